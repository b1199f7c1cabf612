"""Map stages that score or judge one row (or document) at a time: rules, models, expressions.  One
file a stage; what several share has files of its own (`seeing`, `regions`, `text_scores`).
"""
