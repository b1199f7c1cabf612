"""The page of a run: what is read off the stored columns, the figures in `data.json`, and the page
that draws them.
"""
