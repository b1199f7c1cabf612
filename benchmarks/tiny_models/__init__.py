"""Tiny models of every family: real classes, random weights, templates in each family's style."""
