"""What can be counted in a text without a model, in any of several languages."""
