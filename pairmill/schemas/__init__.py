"""Arrow schemas, config models, expressions and hashing: what every other room builds on, and which
imports none of them.
"""
