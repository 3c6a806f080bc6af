"""The blocks of the README, for the tests that run them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.helpers import ROOT


@dataclass(frozen=True)
class Block:
    """What stands between two fences.

    Attributes:
        language: the word behind the first fence, or "".
        line: of the first fence, from 1.
    """

    language: str
    text: str
    line: int

    @property
    def commands(self) -> list[str]:
        """Its lines that are commands of planit, without their prompts."""
        lines = [line.removeprefix("$ ") for line in self.text.splitlines()]
        return [line for line in lines if re.match(r"(planit|python -m planit) ", line)]

    @property
    def shown(self) -> list[tuple[str, str]]:
        """Each command behind a prompt with the output that is shown of it."""
        parts = re.split(r"^\$ (.*)\n", self.text, flags=re.MULTILINE)
        return list(zip(parts[1::2], parts[2::2], strict=True))


def blocks(name: str = "README.md") -> list[Block]:
    """All blocks of a page, in order."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return [
        Block(match[1], match[2], text.count("\n", 0, match.start()) + 1)
        for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]


def block_with(words: str) -> Block:
    """The first block in which these words stand."""
    return next(block for block in blocks() if words in block.text)


def is_as_shown(output: str, shown: str) -> bool:
    """Whether an output is what the README shows; a line of ``...`` there stands for any lines."""
    wanted = [re.escape(line) for line in plain(shown).splitlines()]
    pattern = "".join(r"(?:.*\n)*" if line == r"\.\.\." else f"{line}\n" for line in wanted)
    return re.fullmatch(pattern, plain(output)) is not None


def plain(text: str) -> str:
    """A text without what differs from run to run: ids, times, nodes, and the width of columns."""
    for pattern, name in (
        (r"\b\d{8}-\d{6}-\d+-[0-9a-f]{4}\b", "RUN"),
        (r"\bjob \d+(_\d+)?", "job ID"),
        (r"\b\d+:\d\d:\d\d of\b", "TIME of"),
        (r"\bn\d\b", "NODE"),
        (r"  +", "  "),
        (r" +$", ""),
    ):
        text = re.sub(pattern, name, text, flags=re.MULTILINE)
    return text
