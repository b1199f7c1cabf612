"""Rows that repeat others: exact, perceptual, text and semantic duplicates, one answer for all."""
