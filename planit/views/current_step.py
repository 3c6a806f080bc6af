"""Where a step stands, as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planit.job.standing import CurrentStep
from planit.status.states import printable


def current_text(step: CurrentStep) -> str:
    """What `planit.current()` gives, a line each; also one for each parent."""
    rows = [
        ("plan", step.plan),
        ("run", str(step.run_dir)),
        ("step", step.name),
        ("folder", str(step.dir)),
        ("attempt", str(step.attempt)),
    ]
    if step.values:
        rows.append(("values", _values(step.values)))
    lines = [f"{what:<9}{text}" for what, text in rows]
    lines += [f"{'parent':<9}{one.name}  {one.dir}" for one in step.parents]
    return "\n".join(map(printable, lines))


def _values(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items())
