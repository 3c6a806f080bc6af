"""A small research project."""
