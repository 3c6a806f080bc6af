"""Options may stand before, between and after RUN, STEP and overrides."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.helpers import planit_here, run_planit, write

_PLAN = """\
_target_: planit.Plan
name: two
steps:
  a: {_target_: planit.Command, command: echo one, slurm_args: cpu}
  b: {_target_: planit.Command, command: echo two, slurm_args: cpu}
root: {_target_: planit.Chain, _args_: [a, b]}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two ended runs of one plan."""
    folder = tmp_path_factory.mktemp("project")
    write(folder / "conf/plan/two.yaml", _PLAN)
    for _ in range(2):
        done = run_planit("submit", "plan=two", "backend=local", "backend.cpus=8", cwd=folder)
        assert done.code == 0, done.err
    return folder


@pytest.mark.parametrize(
    ("verb", "parts"),
    [
        ("resume", ["RUN", "--from b", "plan.steps.b.slurm.time=0:10:00", "--dry-run"]),
        ("resume", ["--only b", "RUN", "--dry-run", "~plan.steps.b.slurm.mem_gb backend.cpus=9"]),
        ("logs", ["RUN b", "--tail 1"]),
        ("logs", ["--path", "RUN", "b"]),
        ("show", ["RUN", "--config", "b"]),
        ("results", ["RUN", "b", "--csv", "--sort -elapsed"]),
        ("status", ["RUN", "--json"]),
        ("cancel", ["RUN", "--runs-dir planit_runs", "b"]),
    ],
)
def test_options_stand_anywhere(project: Path, verb: str, parts: list[str]) -> None:
    first = min(path.name for path in project.glob("planit_runs/two/*"))
    answers = set()
    for order in itertools.permutations(parts):
        words = " ".join(order).split()
        names = [word for word in order if word in ("RUN", "b")]
        if names == ["b", "RUN"]:
            continue  # a STEP comes behind its RUN
        done = planit_here(verb, *(first if w == "RUN" else w for w in words), cwd=project)
        assert (done.code, done.err) == (0, ""), (words, done.err)
        answers.add(done.out)
    (answer,) = answers
    assert answer
