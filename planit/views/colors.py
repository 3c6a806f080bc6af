"""The states of a run's tree in their colors."""

from __future__ import annotations

from rich.text import Text


def colored(text: str) -> Text:
    """The text with each state in its color."""
    shown = Text(text)
    shown.highlight_words(["DONE"], "green")
    shown.highlight_words(["RUNNING"], "cyan")
    shown.highlight_words(["PENDING", "HELD"], "yellow")
    shown.highlight_words(
        ["FAILED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "CANCELLED", "LOST"], "bold red"
    )
    shown.highlight_words(["BLOCKED", "NOT_SUBMITTED"], "magenta")
    return shown
