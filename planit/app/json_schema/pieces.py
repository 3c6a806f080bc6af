"""The schemas of single values. Each of them may be an interpolation instead."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from planit.app.config.presets import MISSING

Schema: TypeAlias = dict[str, Any]
"""A JSON Schema as plain data."""

PART = r"\$\{"
"""In text that is an interpolation or has one in it."""

_MISSING = MISSING.replace("?", r"\?")
WHOLE = rf"^\s*\$\{{[\s\S]*\}}\s*$|^{_MISSING}$"
"""Text that stands for a value of another kind: one interpolation, or what has to be given."""

INTERPOLATION = "an interpolation such as ${lr}"


def text(description: str = "", *, pattern: str | None = None, wrong: str | None = None) -> Schema:
    """Text that is not empty.

    Args:
        description: what an editor shows.
        pattern: a regular expression of what the whole text can be.
        wrong: what an editor says of any other text.
    """
    made: Schema = {"type": "string", "minLength": 1}
    if pattern is not None:
        made["pattern"] = rf"^(?:{pattern})$|{PART}|^{_MISSING}$"
    return _described(made, description, wrong)


def value_of(
    kinds: str | Iterable[str], description: str = "", *, wrong: str | None = None, **more: Any
) -> Schema:
    """A value of some kinds, none of which is text, or an interpolation.

    Args:
        kinds: "integer", "number", "boolean", "array", "object" or "null".
        description: what an editor shows.
        wrong: what an editor says of any other text.
        **more: further keywords, such as ``minimum`` or ``items``.
    """
    types = [kinds] if isinstance(kinds, str) else list(kinds)
    made = {"type": [*types, "string"], "pattern": WHOLE, **more}
    a = {"integer": "a whole number", "array": "a list", "object": "a mapping"}.get(types[0])
    return _described(made, description, wrong or f"{a or 'a ' + types[0]} or {INTERPOLATION}")


def one_of(names: Iterable[str], description: str) -> Schema:
    """One of some words, or an interpolation."""
    return {"anyOf": [{"enum": list(names)}, {"type": "string", "pattern": WHOLE}]} | _described(
        {}, description, None
    )


def no_text(why: str) -> Schema:
    """What no text is right for."""
    return {"pattern": "(?!)", "patternErrorMessage": why}


def when(condition: Schema, then: Schema, otherwise: Schema | None = None) -> Schema:
    """What holds if something else does."""
    made = {"if": condition, "then": then}
    return made if otherwise is None else {**made, "else": otherwise}


def has(*keys: str) -> Schema:
    """A mapping that has all of these keys."""
    return {"required": list(keys)}


def has_any(keys: Iterable[str]) -> Schema:
    """A mapping that has one of these keys."""
    return {"anyOf": [has(key) for key in keys]}


def targets(pattern: str) -> Schema:
    """A mapping of which ``_target_`` matches a regular expression."""
    return {"properties": {"_target_": {"type": "string", "pattern": pattern}}} | has("_target_")


def target_of(kinds: Iterable[str]) -> str:
    """A regular expression of the dotted paths of planit's classes, as `build` reads them."""
    return rf"^planit(?:\.\w+)*\.(?:{'|'.join(kinds)})$"


def ref(name: str) -> Schema:
    """The definition of a name."""
    return {"$ref": f"#/definitions/{name}"}


def _described(made: Schema, description: str, wrong: str | None) -> Schema:
    if description:
        made["description"] = description
    if wrong is not None:
        made["patternErrorMessage"] = wrong  # of yaml-language-server; others leave it out
    return made
