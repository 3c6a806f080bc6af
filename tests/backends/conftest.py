"""Fixtures of the backends' tests."""

from tests.backends.tools import pauses, tools

__all__ = ["pauses", "tools"]
