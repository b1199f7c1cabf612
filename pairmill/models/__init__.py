"""Checkpoints: where their files are, what loads them, and loading them without a hole."""
