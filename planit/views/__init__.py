"""Views return strings and never print."""
