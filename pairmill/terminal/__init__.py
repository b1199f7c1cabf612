"""Progress, inspect and small pictures in a terminal."""
