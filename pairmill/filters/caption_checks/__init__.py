"""Checks of captions without references: by rules, by detected objects, by a two-tower model."""
