"""Writers of packages, one file a format: the files of an output shard from its rows, and the card
and descriptions beside them.  They know no pipeline, workspace or run.
"""
