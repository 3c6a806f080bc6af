"""A part of each category of faults; ``python -m tests.faults`` runs all of them.

The purges, which are slow because Slurm's clock is, go on beside the others, on their own Slurm.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.faults import answers, attackers, ends, kills, purges
from tests.faults.results import Result

pytestmark = pytest.mark.slurm
SEED = int(os.environ.get("PLANIT_FAULTS_SEED", "9"))


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that other users of the machine can reach, as pytest's own cannot be."""
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module", autouse=True)
def purging(slurm: Cluster, folder: Path) -> Iterator[Future[Result]]:
    """The purges, begun before all else."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(purges.run, 4, SEED, folder, {}, widest=40, only=[0, 3])


def check(result: Result) -> None:
    assert result.cases, "nothing was tried"
    assert not result.problems, "\n".join(["", *result.problems])


def test_killed_submissions_run_nothing_twice_and_leave_nothing(
    slurm: Cluster, folder: Path
) -> None:
    check(kills.run(8, SEED, folder, slurm.env()))


def test_wrong_answers_of_slurm_lose_and_double_nothing(slurm: Cluster, folder: Path) -> None:
    check(answers.run(8, SEED, folder, slurm.env()))


def test_a_step_is_done_only_if_it_ended_well(slurm: Cluster, folder: Path) -> None:
    check(ends.run(16, SEED, folder, slurm.env()))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user too")
def test_other_users_run_nothing_as_me_and_overwrite_nothing_of_mine(
    slurm: Cluster, folder: Path
) -> None:
    check(attackers.run(1, SEED, folder, slurm.env()))


def test_nothing_runs_behind_a_failed_step_that_slurm_has_purged(
    purging: Future[Result],
) -> None:
    check(purging.result())
