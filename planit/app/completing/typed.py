"""A command line that is being typed, as the shell will read it; and words as one types them."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SPACE = " \t\n"
_OPERATORS = "<>|&;()"
_PLAIN = re.compile(r"([^\w@%+=:,./^-])")  # all other signs may mean something to a shell
_IN_DOUBLE = re.compile(r'(["\\$`])')


class Typed:
    """What stands before the cursor.

    Attributes:
        words: the words before the one that is being typed, without quotes.
        current: that one, as far as it is typed; empty behind a space.
        quote: the quote that is open in it, if any.
        kept: how much of `current` readline leaves alone when it completes: what is before the last
            quote or word break.
        is_path: whether it is where output goes to or input comes from.
    """

    def __init__(self) -> None:
        self.words: list[str] = []
        self.current = self.quote = ""
        self.kept = 0
        self.is_path = False

    @classmethod
    def read(cls, line: str, breaks: str = "") -> Typed:
        """Read a line of a POSIX shell, or of fish.

        Args:
            line: up to the cursor.
            breaks: the characters at which readline divides a word, as in ``COMP_WORDBREAKS``.
        """
        made, is_word = cls(), False
        signs = iter(line)
        for sign in signs:
            if made.quote == "'" or (made.quote and sign not in ('"', "\\")):
                made._inside(sign)
            elif made.quote == '"':
                made._in_double(sign, next(signs, "") if sign == "\\" else "")
            elif sign in _SPACE:
                made._end(is_word)
                is_word = False
                continue
            elif sign in _OPERATORS:
                made._end(is_word)
                made.is_path = sign in "<>"
                is_word = False
                continue
            elif sign in "'\"":
                made.quote, made.kept = sign, len(made.current)
            else:
                made.current += next(signs, "") if sign == "\\" else sign
                made.kept = len(made.current) if sign in breaks else made.kept
            is_word = True
        return made

    def _inside(self, sign: str) -> None:
        if sign == self.quote:
            self.quote, self.kept = "", len(self.current)
        else:
            self.current += sign

    def _in_double(self, sign: str, escaped: str) -> None:
        if sign == '"':
            self.quote, self.kept = "", len(self.current)
        else:
            self.current += escaped if escaped in '"\\$`' else sign + escaped

    def _end(self, is_word: bool) -> None:
        if is_word and not self.is_path:
            self.words.append(self.current)
        if is_word:
            self.is_path = False
        self.current, self.kept = "", 0

    def replies(self, texts: Iterable[str]) -> list[str]:
        """What bash is to put in place of what readline does not keep of the word."""
        return [self._quoted(text[self.kept :]) for text in texts]

    def _quoted(self, text: str) -> str:
        if self.quote == "'":
            return text.replace("'", "'\\''")
        return (_IN_DOUBLE if self.quote else _PLAIN).sub(r"\\\1", text)
