"""Views return strings and never print."""

from planit.views.tree import tree_text

__all__ = ["tree_text"]
