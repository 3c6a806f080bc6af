"""``planit check``: everything that is wrong with a plan, at once, without Slurm.

The table in docs/check.md has a row for each kind of problem; every row is a test.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.helpers import ROOT, Done, all_below, planit_here, write

ARGS = "{_target_: planit.SlurmArgs, time: '5', partition: batch}"
MINE = """
from __future__ import annotations
import threading

def train(lr: float, epochs: int = 1, path: str | None = None): ...
def generator(): yield 1
async def coroutine(): ...
class Here:
    def __call__(self): ...
    def __reduce__(self): return here, ()
def here(): raise RuntimeError("only where it was made")
made_here = Here()
class Lock:
    def __init__(self): self.lock = threading.Lock()
    def __call__(self): ...
unpicklable = Lock()
"""
STEPS = {
    "no_module": "func: no_such_module.f",
    "no_function": "func: check_mine.trian, lr: 1",
    "not_callable": "func: os.sep",
    "lazy": "func: check_mine.generator",
    "later": "func: check_mine.coroutine",
    "missing": "func: check_mine.train",
    "unknown": "func: check_mine.train, lr: 1, epochz: 3",
    "type": "func: check_mine.train, lr: fast, epochs: 1.5",
    "target": "func: check_mine.train, lr: {_target_: check_mine.Nope}",
    "unset": "func: check_mine.train, lr: '???'",
    "reference": "func: check_mine.train, lr: '${nowhere}'",
    "folder": "func: check_mine.train, lr: 1, path: '${dir:unset}/x'",
    "behind": "func: check_mine.train, lr: 1, path: '${dir:last}/x'",
    "pickle": "func: check_mine.unpicklable",
    "fresh": "func: check_mine.made_here",
    "program": "_target_: planit.HydraApp, script: train.py, overrides: [nothing=1]",
    "program2": "_target_: planit.HydraApp, script: train.py, overrides: [model=nowhere]",
    "no_script": "_target_: planit.HydraApp, script: trian.py",
    "time": "func: check_mine.train, lr: 1, slurm: {time: soon}",
    "field": "func: check_mine.train, lr: 1, slurm: {partitoin: batch}",
    "fine": "func: check_mine.train, lr: 1, path: '${dir:time}/x'",
    "last": "func: check_mine.train, lr: 1e-3, epochs: 3",
}
PAGE = (ROOT / "docs/check.md").read_text(encoding="utf-8")


def rows_of(section: str) -> list[str]:
    """The lines that a table of docs/check.md promises."""
    text = PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    return re.findall(r"(?m)^\|.*\| `(.*)` \|$", text)


def shown(row: str, lines: list[str]) -> int:
    """How many lines are as a row says; "…" stands for any text."""
    pattern = re.compile(".*".join(map(re.escape, row.split("…"))))
    return sum(pattern.fullmatch(line) is not None for line in lines)


ROWS = rows_of("Everywhere")


def plan(where: Path, root: str, **steps: str) -> None:
    content = "# @package _global_\nlr: 0.1\nplan:\n  _target_: planit.Plan\n  name: p\n  steps:\n"
    for name, text in steps.items():
        given = text if "slurm_args" in text else f"{text}, slurm_args: {ARGS}"
        content += f"    {name}: {{{given}}}\n"
    write(where / "conf/plan/p.yaml", f"{content}  root: {root}\n")


def project(folder: Path) -> Path:
    shutil.copytree(ROOT / "tests/project", folder)
    write(folder / "conf/planit.yaml", "defaults: [plan: p, _self_]\n")
    write(folder / "check_mine.py", MINE)
    return folder


@pytest.fixture(scope="module")
def all_wrong(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """What check says of a plan with one step for each row."""
    folder = project(tmp_path_factory.mktemp("wrong") / "project")
    children = ", ".join([*STEPS, "nobody"])
    plan(folder, f"{{_target_: planit.Chain, _args_: [{children}]}}", **STEPS)
    before = all_below(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(folder))  # as on a laptop: no sbatch
        done = planit_here("check", cwd=folder)
    assert [one for one in all_below(folder) if "__pycache__" not in one] == before
    return done


@pytest.mark.parametrize("row", ROWS)
def test_each_problem_is_one_line_with_its_step_its_key_and_what_would_be_right(
    all_wrong: Done, row: str
) -> None:
    assert shown(row, all_wrong.out.splitlines()) == 1, all_wrong.out


def test_nothing_else_is_told_but_the_counts_and_what_was_not_checked(all_wrong: Done) -> None:
    lines = all_wrong.out.splitlines()
    assert lines[-2] == f"{len(ROWS)} problem(s); {len(STEPS)} step(s) checked"
    assert lines[-1].startswith("Not checked: what Slurm would say")
    assert len(lines) == len(ROWS) + 2, all_wrong.out
    assert (all_wrong.code, all_wrong.err) == (2, "")


def test_no_problems_are_the_exit_code_0_and_say_what_was_not_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project(tmp_path / "project")
    fine = {name: STEPS[name] for name in ("last", "type")}
    fine["type"] = "func: check_mine.train, lr: 1, path: '${dir:last}'"
    plan(folder, "{_target_: planit.Chain, _args_: [last, type]}", **fine)
    monkeypatch.setenv("PATH", str(tmp_path))
    done = planit_here("check", cwd=folder)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[0] == "No problems found; 2 step(s) checked"
    assert done.out.splitlines()[1].endswith("no sbatch on PATH")
    assert planit_here("check", "backend=debug", cwd=folder).out.splitlines()[1:] == []


def test_what_branches_have_in_common_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project(tmp_path / "project")
    plan(
        folder,
        "{_target_: planit.Chain, _args_: [a, b, c]}",
        a="func: check_mine.train, lr: '${lr}'",
        b="func: check_mine.train, lr: '${lr}', epochs: many",
        c="func: check_mine.train, lr: '${lr}', path: '${dir:d}'",
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    done = planit_here("check", "-m", "lr=range(0,1000)", cwd=folder)
    first, second, counts, _ = done.out.splitlines()
    assert first.startswith("c (1000 branches): plan.steps.c: ${dir:d}: the plan has no step 'd'")
    assert second.startswith("b (1000 branches): plan.steps.b.epochs: epochs is 'many', and train")
    assert counts == "2 problem(s); 3000 step(s) checked"


def test_of_many_different_problems_at_one_place_the_first_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project(tmp_path / "project")
    plan(folder, "a", a="func: check_mine.train, lr: '${lr}'")
    monkeypatch.setenv("PATH", str(tmp_path))
    lines = planit_here("check", "-m", "lr=a,b,c,d,e,f,g,1", cwd=folder).out.splitlines()
    assert lines[0].startswith("a[lr=a]: plan.steps.a.lr: lr is 'a', and train")
    assert lines[5:7] == [
        "a: plan.steps.a.lr: and 2 more like these",
        "7 problem(s); 8 step(s) checked",
    ]


def test_what_nothing_can_be_built_of_is_an_error_as_everywhere(tmp_path: Path) -> None:
    folder = project(tmp_path / "project")
    plan(folder, "a", a="func: check_mine.train, lr: 1")
    done = planit_here("check", "plan=q", cwd=folder)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("planit: error: unknown plan 'q'")


def test_a_part_of_a_plan_is_checked_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project(tmp_path / "project")
    plan(
        folder,
        "{_target_: planit.Chain, _args_: [a, b]}",
        a="func: check_mine.train, lr: x",
        b="func: check_mine.train, lr: y",
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    lines = planit_here("check", "--only", "b", cwd=folder).out.splitlines()
    assert lines[0].startswith("b: plan.steps.b.lr: lr is 'y'")
    assert len(lines) == 3


def test_on_this_machine_each_step_that_asks_for_too_much_is_told(tmp_path: Path) -> None:
    folder = project(tmp_path / "project")
    plan(
        folder,
        "{_target_: planit.Parallel, _args_: [a, b]}",
        a="func: check_mine.train, lr: 1, slurm: {cpus_per_task: 3}",
        b="func: check_mine.train, lr: 1, slurm: {cpus_per_task: 4}",
    )
    done = planit_here("check", "backend=local", "backend.cpus=2", cwd=folder)
    assert done.code == 2
    lines = done.out.splitlines()
    assert [line[:16] for line in lines[:2]] == ["a: plan.steps.a:", "b: plan.steps.b:"]
    assert lines[2:] == ["2 problem(s); 2 step(s) checked"]
