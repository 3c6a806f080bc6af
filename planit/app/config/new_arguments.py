"""Overrides of a resume that change arguments of steps: ``plan.steps.train.lr=1e-4``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import Override

from planit.app.config.changes import parsed
from planit.errors import ConfigError, suggest
from planit.nodes.arguments import TARGET
from planit.record import fields
from planit.record.manifest import origins
from planit.record.manifest_tree import leaves_of
from planit.submit.recorded_calls import REMOVED, NewArgument

_SLURM = ("slurm", "slurm_args")
_FIXED = (TARGET, "name", "func", "app", "script", "over", "combine", "max_concurrent")
_HYDRAS_OWN = ("_partial_", "_convert_", "_recursive_")


def take_arguments(
    manifest: Mapping[str, Any], words: Sequence[str]
) -> tuple[list[NewArgument], list[str]]:
    """The arguments that overrides change, and the overrides that are about something else.

    Args:
        manifest: of the run.
        words: the overrides as typed.

    Raises:
        ConfigError: the run has no such step, or the argument cannot be changed.
    """
    taken = _Taking(manifest)
    found, rest = [], []
    for one in parsed(words):
        new = taken.of(one)
        if new is None:
            rest.append(str(one.input_line))
        else:
            found.append(new)
    return found, rest


class _Taking:
    def __init__(self, manifest: Mapping[str, Any]) -> None:
        self._config = fields.mapping(manifest, "config")
        self._values = {
            leaf["name"]: leaf.get("values", {}) for leaf in leaves_of(manifest["tree"])
        }
        self._steps: dict[str, list[str]] = {}
        for name, origin in origins(manifest["tree"]).items():
            if origin.step is not None:
                self._steps.setdefault(origin.step, []).append(name)

    def of(self, one: Override) -> NewArgument | None:
        """The argument that an override changes; None if it changes none. Raises ConfigError."""
        text, key = str(one.input_line), one.key_or_group
        if not key.startswith("plan.steps."):
            return None
        step, path = self._split(key)
        if not path or path[0] in _SLURM:
            return None
        if path[0] in (*_FIXED, *_HYDRAS_OWN):
            raise ConfigError(
                f"{text}: {path[0]} cannot be changed in a resume", hint="submit the plan anew"
            )
        if one.is_sweep_override() or (one.is_delete() and one.value() is not None):
            raise ConfigError(f"{text}: a resume takes KEY=VALUE and ~KEY")
        value = REMOVED if one.is_delete() else one.value()
        if "${" in str(value):
            raise ConfigError(f"{text}: a resume takes plain values, without interpolations")
        steps = self._steps[step]
        if (swept := self._swept(key, step, path, steps)) is not None:
            raise ConfigError(
                f"{text}: {swept} is swept, and its branches would all be the same",
                hint=f"submit the plan anew: planit submit -m ... {swept}=VALUES",
            )
        path = path[1:] if path[0] == "kwargs" else path
        return NewArgument(text, steps, path, value, one.is_add() or one.is_force_add())

    def _split(self, key: str) -> tuple[str, list[str]]:
        """The step's key and the path below it; a step's key may have dots. Raises ConfigError."""
        parts = key.split(".")[2:]
        for count in range(len(parts), 0, -1):
            if (step := ".".join(parts[:count])) in self._steps:
                return step, parts[count:]
        hint = suggest(f"plan.steps.{parts[0]}", [f"plan.steps.{step}" for step in self._steps])
        raise ConfigError(f"plan.steps.{parts[0]}: plan.steps has no such step", hint=hint)

    def _swept(self, key: str, step: str, path: Sequence[str], names: Sequence[str]) -> str | None:
        """The swept parameter that gives the argument its value in a branch, if one does."""
        values = {parameter for name in names for parameter in self._values[name]}
        if key in values:
            return key
        written = fields.mapping(fields.mapping(self._config, "plan"), "steps").get(step)
        if isinstance(written, Mapping) and path[0] in fields.mapping(written, "over"):
            return path[0]
        if written is None and path[0] in values:  # a Sweep in Python
            return path[0]
        for part in path:
            written = written.get(part) if isinstance(written, Mapping) else None
        texts = list(_texts(written))
        return next(
            (p for p in values if any(re.search(rf"\$\{{\.*{re.escape(p)}\b", t) for t in texts)),
            None,
        )


def _texts(content: Any) -> Iterator[str]:
    """The texts in plain data."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping):
        for item in content.values():
            yield from _texts(item)
    elif isinstance(content, list):
        for item in content:
            yield from _texts(item)
