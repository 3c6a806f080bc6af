"""What a Packed takes, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from planit import Chain, Node, Packed, Parallel, PlanError, SlurmArgs
from planit.nodes.packed import unpacked
from tests.helpers import CPU, step

JOB = SlurmArgs(time="02:00:00", partition="batch", cpus_per_task=8)
LONG = SlurmArgs(time="03:00:00", partition="batch")
TWO = {"slurm_time": "02:00:00", "slurm_ntasks_per_node": 2}
BOTH = Parallel(step("a"), step("b"))

REFUSED: dict[str, tuple[Callable[[], Node], str]] = {
    "not_a_node": (lambda: Packed(3, JOB), "expects nodes, but child 0 is 3"),  # type: ignore[arg-type]
    "no_slurm": (lambda: Packed(BOTH, 3), "slurm_args must be SlurmArgs"),  # type: ignore[arg-type]
    "jobs": (lambda: Packed(BOTH, JOB, 0), "at least 1, not 0"),
    "not_parallel": (lambda: Packed(Chain(BOTH), JOB, 2), "and Chain.* is not one"),
    "limit": (
        lambda: Packed(Parallel(step("a"), step("b"), max_concurrent=1), JOB, 2),
        "cannot limit branches to max_concurrent=1",
    ),
    "inside": (lambda: Packed(Chain(Packed(BOTH, JOB)), JOB), "stands in another"),
    "tasks": (lambda: Packed(BOTH, TWO), "on one node, as one task"),
    "nodes": (lambda: Packed(BOTH, SlurmArgs("5:00:00", "b", nodes=2)), "on one node, as one task"),
    "time": (lambda: Packed(step("a", LONG), JOB), "asks for 03:00:00, and the job .* 02:00:00"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_packed_is_refused(case: str) -> None:
    make, why = REFUSED[case]
    with pytest.raises(PlanError, match=why):
        make()


def test_without_slurm_it_is_what_it_holds() -> None:
    root = Chain(step("x"), Packed(Parallel(step("a", CPU), step("b", CPU)), JOB, jobs=2))
    assert repr(unpacked(root)) == "Chain(Step('x'), Parallel(Step('a'), Step('b')))"
