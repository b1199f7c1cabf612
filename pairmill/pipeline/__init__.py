"""A run from source to packages: its folder, phases, tables, log, figures and findings.  The body
that does the work (this machine or Ray) is chosen in `run.py` and nowhere else.
"""
