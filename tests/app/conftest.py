"""Fixtures of the app's tests."""

from tests.backends.tools import tools

__all__ = ["tools"]
