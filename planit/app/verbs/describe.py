"""``planit [describe] plan=...``: show the plan. Nothing is imported, written or submitted."""

from __future__ import annotations

from planit.app.verbs.submit import act


def run(words: list[str]) -> int:
    """Show the plan, unless the configuration says ``action=submit``."""
    return act(words, None)
