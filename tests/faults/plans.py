"""Small random plans, and what their lines must look like afterwards."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planit import Chain, Parallel, SlurmArgs, Step
from planit.nodes import Node
from tests.faults import steps
from tests.faults.results import Violation

_GRACE_S = 3.0  # a step that has written "end" needs a moment to be done

Spec = dict[str, Any]
"""A plan as JSON: {"chain": [...]}, {"parallel": [...]} or the arguments of a step."""


def step(name: str, **words: Any) -> Spec:
    """A step; `words` are those of `steps.work`, "setup" the setup lines, "cpus" its CPUs."""
    return {"step": name, **words}


def random_spec(rng: random.Random) -> Spec:
    """Two to six stages: single steps, arrays, stacked chains, joins."""
    stages: list[Spec] = []
    left = rng.randint(2, 6)
    while left > 0:
        kind = rng.choice(["single", "array", "stack"] if left > 1 else ["single", "array"])
        here = len(stages)
        if kind == "single":
            stages.append(_quick(rng, f"s{here}"))
        elif kind == "array":
            many = [_quick(rng, f"a{here}-{i}") for i in range(rng.randint(2, 4))]
            stages.append({"parallel": many})
        else:
            rows = range(rng.randint(2, 3))
            pairs = [[_quick(rng, f"p{here}-{i}"), _quick(rng, f"q{here}-{i}")] for i in rows]
            stages.append({"parallel": [{"chain": pair} for pair in pairs]})
        left -= 2 if kind == "stack" else 1
    return {"chain": stages}


def _quick(rng: random.Random, name: str) -> Spec:
    return step(name, seconds=rng.choice([0.0, 0.0, 0.3, 1.0]))


def node(spec: Spec, log: Path) -> Node:
    """The plan of a spec."""
    if "chain" in spec:
        return Chain(*(node(part, log) for part in spec["chain"]))
    if "parallel" in spec:
        return Parallel(*(node(part, log) for part in spec["parallel"]))
    words = {key: value for key, value in spec.items() if key not in ("step", "setup", "cpus")}
    cpus, setup = spec.get("cpus", 1), spec.get("setup", [])
    args = SlurmArgs(time="5", partition="batch", cpus_per_task=cpus, setup=setup)
    return Step(spec["step"], steps.work, args, str(log), spec["step"], **words)


def names(spec: Spec) -> list[str]:
    """The steps of a plan."""
    if "step" in spec:
        return [spec["step"]]
    return [name for part in spec.get("chain") or spec["parallel"] for name in names(part)]


def parents(spec: Spec) -> dict[str, set[str]]:
    """The steps that must have ended before each step."""
    found: dict[str, set[str]] = {}
    _walk(spec, set(), found)
    return found


def _walk(spec: Spec, before: set[str], found: dict[str, set[str]]) -> set[str]:
    if "step" in spec:
        found[spec["step"]] = set(before)
        return {spec["step"]}
    if "chain" in spec:
        for part in spec["chain"]:
            before = _walk(part, before, found)
        return before
    return set().union(*(_walk(part, before, found) for part in spec["parallel"]))


@dataclass
class Wanted:
    """When the steps were told to run again, or to stop, by this test itself.

    Attributes:
        cancels: from when to when a cancel was at work: a step that it ends may run again.
    """

    cancels: list[tuple[float, float]] = field(default_factory=list)

    def may_rerun(self, ended: float) -> bool:
        """Whether a cancel may have ended a step that had just written its last line."""
        return any(begin - _GRACE_S <= ended <= end + _GRACE_S for begin, end in self.cancels)


def judge(
    lines: Iterable[steps.Line], spec: Spec, wanted: Wanted | None = None
) -> Sequence[Violation]:
    """Early starts and double runs in what the steps wrote."""
    found: dict[Violation, None] = {}
    before, wanted = parents(spec), wanted or Wanted()
    ended: dict[str, float] = {}
    for line in lines:
        if line.what == "begin":
            missing = sorted(before[line.name] - ended.keys())
            if missing:
                text = f"{line.name} began (job {line.job}) before {', '.join(missing)} ended"
                found[Violation("early", text)] = None
            if line.name in ended and not wanted.may_rerun(ended[line.name]):
                text = f"{line.name} ran again (job {line.job}) after it had ended"
                found[Violation("double", text)] = None
        elif line.what == "overlap":
            found[Violation("double", f"{line.name} ran twice at once (job {line.job})")] = None
        else:
            ended[line.name] = line.at
    return list(found)
