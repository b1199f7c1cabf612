"""A generated web whose truth is known: its pages and server, small real models, and what is
measured of a run over it.  Nothing else imports this room but the command line.
"""
