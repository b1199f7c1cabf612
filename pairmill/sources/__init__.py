"""Readers of inputs, one file a format: listing, a profile of each file, its rows as Arrow tables.
They know no workspace: what is stored of what they read is `workspace`'s.
"""
