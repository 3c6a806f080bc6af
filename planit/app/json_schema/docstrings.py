"""What docstrings say of arguments, in Google's style."""

from __future__ import annotations

import inspect
import re
from typing import Any

_SECTION = re.compile(r"(?:Args|Arguments|Parameters|Attributes):\s*$")
_ENTRY = re.compile(r"(\*{0,2}\w+(?:, *\*{0,2}\w+)*)(?: *\([^)]*\))?: *(.*)")


def first_line(documented: Any) -> str:
    """The first line of a docstring; empty if there is none."""
    return (inspect.getdoc(documented) or "").partition("\n")[0]


def argument_docs(documented: Any) -> dict[str, str]:
    """The text of each argument's entry in the docstring of a class or function."""
    found: dict[str, list[str]] = {}
    names: list[str] = []
    is_inside, depth = False, 0
    for line in (inspect.getdoc(documented) or "").splitlines():
        if not line.startswith(" ") and line:
            is_inside, names = bool(_SECTION.match(line)), []
            continue
        if not is_inside or not line.strip():
            continue
        indent = len(line) - len(line.lstrip())
        depth = depth if names else indent
        entry = _ENTRY.match(line.strip()) if indent == depth else None
        if entry is not None:
            names = [name.strip(" *") for name in entry[1].split(",")]
            found |= {name: [entry[2]] for name in names}
        else:
            for name in names:
                found[name].append(line.strip())
    return {name: " ".join(lines).strip() for name, lines in found.items()}
