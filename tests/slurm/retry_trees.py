"""Random trees of steps that fail some times from random causes, and a model of what happens."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planit import Chain, Parallel, SlurmArgs, Step
from planit.nodes import Node
from tests.slurm import retry_steps

CAUSES: dict[str, tuple[Callable[..., None], dict[str, Any]]] = {
    "error": (retry_steps.flaky, {"error": {"times": 1, "on": ["OSError"]}}),
    "cuda_oom": (retry_steps.cuda_out_of_memory, {"cuda_oom": {"times": 1}}),
    "oom": (retry_steps.memory_is_out, {"oom": {"times": 1, "mem": "x2"}}),
    "other": (retry_steps.flaky, {"error": {"times": 1, "on": ["ValueError"]}}),
}


@dataclass
class RandomTrees:
    """Makes trees; the names of their steps are those of the files in which they note their tries.

    Attributes:
        succeeds: by step, whether it succeeds in the end.
        tries: by step, how often it is started.
    """

    base: Path
    seed: int
    succeeds: dict[str, bool] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def made(self, name: str) -> Node:
        """A chain of steps and of parallel chains."""
        parts: list[Node] = []
        starts = True
        for place in range(self._random.randint(2, 3)):
            if self._random.random() < 0.3:
                named = [f"{name}_{place}{letter}" for letter in "ab"]
                branches = [self._branch(one, starts=starts) for one in named]
                parts.append(Parallel(*(node for node, _ in branches)))
                starts = all(good for _, good in branches)
            else:
                step, starts = self._step(f"{name}_{place}", starts=starts)
                parts.append(step)
        return Chain(*parts)

    def _branch(self, name: str, *, starts: bool) -> tuple[Node, bool]:
        first, good = self._step(f"{name}x", starts=starts)
        second, good = self._step(f"{name}y", starts=good)
        return Chain(first, second), good

    def _step(self, name: str, *, starts: bool) -> tuple[Step, bool]:
        cause = self._random.choice(list(CAUSES))
        function, retry = CAUSES[cause]
        failures = self._random.choice([0, 0, 1, 1, 2])
        allowed = 0 if cause == "other" else 1
        good = starts and failures <= allowed
        self.succeeds[name] = good
        self.tries[name] = min(failures, allowed) + 1 if starts else 0
        more: dict[str, Any] = {"additional_params": {"mem": "200M"}}
        args = SlurmArgs(time="5", partition="batch", cpus_per_task=1, retry=retry, **more)
        return Step(name, function, args, str(self.base / name), failures), good
