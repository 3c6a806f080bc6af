"""``planit _complete SHELL ...``: what the scripts of ``planit completion`` ask.

Prints a candidate in each line, with a note behind a tab for the shells that show such. Nothing
else is ever printed, for it would land in the prompt. What needs no configuration imports no Hydra,
and answers within 50 ms.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from planit.app.completing.candidates import PathWanted, candidates
from planit.app.completing.typed import Typed

PATHS = 10
"""Exit code: the shell is to offer files and folders."""


def console(arguments: Sequence[str]) -> None:
    """Answer a shell, and end the process: nothing of what is imported can print any more."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="surrogateescape")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    code = 0
    try:
        out.writelines(f"{line}\n" for line in answer(arguments))
        out.flush()
    except PathWanted:
        code = PATHS
    except BaseException:  # whatever is wrong, there is nothing to offer
        code = 1
    os._exit(code)


def answer(arguments: Sequence[str]) -> list[str]:
    """The lines for a shell.

    Args:
        arguments: ``bash``, ``COMP_WORDBREAKS``, the number of words that start the program, and
            the line up to the cursor; or ``zsh`` or ``fish``, the words behind the program, and the
            one that is being typed, in fish with its quotes.

    Raises:
        PathWanted: it is a path that is being typed.
    """
    shell, *words = arguments
    if shell == "bash":
        breaks, program, line = words
        typed = Typed.read(line, breaks)
        if typed.is_path:
            raise PathWanted
        found = candidates(typed.words[int(program) :], typed.current)
        return typed.replies(text for text, _ in found)
    *before, current = words
    if shell == "fish":
        current = Typed.read(current).current
    return [f"{text}\t{note}" for text, note in candidates(before, current)]
