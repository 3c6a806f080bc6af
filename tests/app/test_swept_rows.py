"""Which overrides of another sweeper's jobs are the swept parameters."""

from __future__ import annotations

from planit.app.sweeps.swept_rows import swept_rows


def test_what_differs_between_the_jobs_is_swept() -> None:
    rows = [["plan=p", "+lr=0.1", "slurm=cpu"], ["plan=p", "+lr=0.2", "slurm=gpu"]]
    assert swept_rows(rows) == [{"lr": 0.1, "slurm": "cpu"}, {"lr": 0.2, "slurm": "gpu"}]


def test_of_one_job_all_that_is_set_is_swept() -> None:
    assert swept_rows([["lr=1e-3", "~x", "seed=3"]]) == [{"lr": 0.001, "seed": 3}]
