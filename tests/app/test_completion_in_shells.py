"""TAB in a real bash, zsh and fish."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers import HERE, planit_here, write
from tests.shells import NAMES, Shell, needed

PRIMARY = """\
defaults: [slurm@cpu: cpu, backend: local, plan: "???", _self_]
freeze: off
lr: 0.5
"""
PLAN = """\
_target_: planit.Plan
name: wide
steps:
  say: {_target_: planit.Command, command: "echo ${lr}", slurm_args: "${cpu}"}
  tell: {_target_: planit.Command, command: "echo told", slurm_args: "${cpu}"}
root: {_target_: planit.Chain, _args_: [say, tell]}
"""


@dataclass(frozen=True)
class Place:
    """A project with one run: its folder, the run's id, and the environment of shells in it."""

    folder: Path
    run_id: str
    env: dict[str, str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("project")
    write(folder / "conf/config.yaml", PRIMARY)
    write(folder / "conf/plan/wide.yaml", PLAN)
    write(folder / "conf/plan/narrow.yaml", PLAN.replace("wide", "narrow"))
    write(folder / "job.py", "")
    program = "import sys\nfrom planit.__main__ import console\nsys.exit(console())\n"
    write(folder / "bin/planit", f"#!{sys.executable}\n{program}").chmod(0o755)
    done = planit_here(
        "submit", "-m", "plan=wide", "lr=0.1,0.2", "sweep.join=[tell]", "cpu.cpus_per_task=1",
        cwd=folder,
    )  # fmt: skip
    assert done.code == 0, done
    (run,) = (folder / "planit_runs/wide").iterdir()
    path = os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), "/usr/bin:/bin"])
    kept = {name: os.environ[name] for name in ("XDG_STATE_HOME", "TMPDIR") if name in os.environ}
    return Place(folder, run.name, {**kept, "PATH": path, "PYTHONPATH": HERE})


@pytest.fixture(scope="module")
def shells(place: Place) -> Iterator[dict[str, Shell]]:
    """The shells that have been started, by name."""
    made: dict[str, Shell] = {}
    yield made
    for shell in made.values():
        shell.end()


@pytest.fixture(params=NAMES)
def shell(place: Place, shells: dict[str, Shell], request: pytest.FixtureRequest) -> Shell:
    name = needed(request.param)
    return shells.get(name) or shells.setdefault(name, Shell(name, place.folder, place.env))


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("planit stat", "planit status "),
        ("planit status 2", "planit status RUN "),
        ("planit logs 'say[lr=0.1", "planit logs 'say[lr=0.1]' "),
        ("planit resume --from=te", "planit resume --from=tell "),
        ("planit status --runs-dir planit_r", "planit status --runs-dir planit_runs/"),
        ("planit submit plan=wi", "planit submit plan=wide "),
        ("bin/planit stat", "bin/planit status "),
        ("python -m planit logs wide te", "python -m planit logs wide tell "),
        ("python jo", "python job.py "),
    ],
)
def test_what_is_unique_is_completed(place: Place, shell: Shell, typed: str, line: str) -> None:
    assert shell.line(typed) == line.replace("RUN", place.run_id)


@pytest.mark.parametrize(
    ("typed", "candidates"),
    [
        ("planit status ", ["RUN", "wide"]),
        ("planit logs 'say[lr=0.", ["say[lr=0.1]", "say[lr=0.2]"]),
        ("planit submit plan=", ["wide", "narrow", "thesis"]),
        ("planit submit plan=nothing lr=", []),
        ("planit resume 'a b", []),
    ],
)
def test_candidates_are_shown_and_nothing_else(
    place: Place, shell: Shell, typed: str, candidates: list[str]
) -> None:
    shown = shell.shown(typed)
    ends = {word.rpartition("plan=")[2].rpartition("lr=")[2] for word in shown} | set(shown)
    for one in candidates:
        text = one.replace("RUN", place.run_id)
        assert {text, text.rpartition("lr=")[2]} & ends, shown
    told = " ".join(shown)
    for bad in ("rror", "Traceback", "command not found", "planit:", "File "):
        assert bad not in told


def test_a_run_is_completed(place: Place, shell: Shell) -> None:
    assert shell.line("planit status 2").endswith(f"{place.run_id} ")
