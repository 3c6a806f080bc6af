"""Arguments with a ``_target_`` are built in the job: once for each run of a step, nowhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from submitit.helpers import DelayedSubmission

from planit.job.hydra.instantiate import WithBuilt
from planit.job.payload import can_checkpoint
from planit.nodes.arguments import Unbuilt
from planit.record.files import read_json
from tests.helpers import Done
from tests.local.project import Project, chain, ended, wait_for_lines

# Every model notes who makes it; the steps note what they were given.
SHOP = '''\
import os
import threading
import time
from pathlib import Path

from submitit.helpers import DelayedSubmission

VERSION = "as submitted"


def add(path, text):
    with open(path, "a") as file:
        file.write(f"{text}\\n")


class Model:
    def __init__(self, size, inner=None):
        self.size = size
        self.inner = inner
        self.lock = threading.Lock()  # cannot be pickled
        add("built", f"{size} {os.getpid()}")


def count():
    add("counted", Path("built").exists())


def train(model, *more, **named):
    values = [model, *more, *named.values()]
    shown = [getattr(value, "size", value) for value in values]
    add("trained", f"{shown} {os.getpid()} {VERSION}")
    return shown


def train_deep(tree):
    add("trained", f"{tree.layers[1].size} {tree.layers[1].inner.size} {tree.plain}")


def fail_once(model):
    add("trained", model.size)
    if not Path("again").exists():
        open("again", "w").close()
        raise ValueError("broken")


class Saving:
    """Saves itself when it is warned."""

    def __init__(self):
        self.epoch = 0

    def __call__(self, model, rate, mark="x"):
        self.epoch += 1
        add("trained", f"epoch {self.epoch}: {model.size} {rate} {mark}")
        if self.epoch == 1:
            time.sleep(60)

    def checkpoint(self, model, rate, mark="x"):
        add("saved", model.size)
        return DelayedSubmission(self, model, rate=rate + 1, mark=mark)


saving = Saving()
'''


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    folder = tmp_path / "project"
    folder.mkdir()
    made = Project(folder)
    (folder / "shop.py").write_text(SHOP)
    try:
        yield made
    finally:
        made.clean()


def model(size: int, **more: Any) -> dict[str, Any]:
    return {"_target_": "shop.Model", "size": size, **more}


def write_plan(project: Project, steps: dict[str, dict[str, Any]], root: Any = None) -> None:
    """A plan p with these steps, one after another."""
    slurm = {"_target_": "planit.SlurmArgs", "time": "5", "partition": "batch"}
    written = {name: {"slurm_args": slurm, **step} for name, step in steps.items()}
    content = {"_target_": "planit.Plan", "name": "p", "steps": written}
    path = project.folder / "conf" / "plan" / "p.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**content, "root": root or chain(*steps)}))


def submitted(project: Project, *words: str) -> tuple[Done, int]:
    """`planit submit`, and its process."""
    process = project.submit(*words)
    return ended(process), process.pid


def built(project: Project) -> tuple[list[str], set[int]]:
    """The sizes of the models that were built, and the processes that did it."""
    rows = [line.split() for line in project.lines("built")]
    return [size for size, _ in rows], {int(pid) for _, pid in rows}


@pytest.mark.parametrize("isolation", ["fork", "spawn"])
def test_a_step_gets_what_its_own_process_built_once(project: Project, isolation: str) -> None:
    write_plan(
        project,
        {
            "train": {"func": "shop.train", "_args_": [model(1), 2], "x": model(3), "y": "z"},
            "deep": {
                "func": "shop.train_deep",
                "tree": {"layers": [0, model(4, inner=model(5))], "plain": 6},
            },
            "target": {"_target_": "shop.train", "model": model(9)},
        },
    )
    done, pid = submitted(project, f"backend.isolation={isolation}")
    assert done.code == 0, done
    trained = [line.rsplit(" ", 3) for line in project.lines("trained")]
    assert trained[0][0] == "[1, 2, 3, 'z']"
    assert project.lines("trained")[1] == "4 5 6"
    assert trained[2][0] == "[9]"
    sizes, makers = built(project)
    assert sizes == ["1", "3", "5", "4", "9"]
    assert len(makers) == 3
    assert pid not in makers
    assert int(trained[0][1]) in makers


def test_in_this_process_too_they_are_built_when_the_step_runs(project: Project) -> None:
    write_plan(
        project,
        {
            "first": {"func": "shop.count"},
            "second": {"func": "shop.train", "model": model(1)},
        },
    )
    done = project.planit("submit", "plan=p", "backend=debug")
    assert done.code == 0, done
    assert project.lines("counted") == ["False"]
    assert project.lines("trained")[0].startswith("[1] ")
    assert built(project)[0] == ["1"]


def test_a_sweeps_values_are_built_by_the_step_that_gets_them(project: Project) -> None:
    over = {"model": [model(1), {"_target_": "shop.Model", "size": 2}, "none"]}
    write_plan(
        project, {"t": {"_target_": "planit.Sweep", "func": "shop.train", "over": over}}, "t"
    )
    done, pid = submitted(project)
    assert done.code == 0, done
    assert sorted(line.rsplit(" ", 3)[0] for line in project.lines("trained")) == [
        "['none']",
        "[1]",
        "[2]",
    ]
    sizes, makers = built(project)
    assert sorted(sizes) == ["1", "2"]
    assert len(makers) == 2
    assert pid not in makers


def test_branches_of_a_sweep_share_a_step_whose_arguments_are_built_alike(
    project: Project,
) -> None:
    write_plan(
        project,
        {
            "prepare": {"func": "shop.train", "model": model(1)},
            "train": {"func": "shop.train", "model": model(2), "rate": 0},
        },
    )
    done, _ = submitted(
        project, "plan.steps.train.rate=1,2,3", "plan.steps.train.model.size=5,6", "-m"
    )
    assert done.code == 0, done
    sizes, makers = built(project)
    assert sorted(sizes) == ["1", "5", "5", "5", "6", "6", "6"]
    assert len(makers) == 7


def test_the_record_shows_the_plain_content(project: Project) -> None:
    write_plan(project, {"t": {"func": "shop.train", "_args_": [model(1)], "x": [model(2)]}})
    assert submitted(project)[0].code == 0
    manifest = read_json(project.run_dir() / "manifest.json")
    assert manifest is not None
    leaf = manifest["tree"]["children"][0]
    assert (leaf["args"], leaf["kwargs"]) == ([model(1)], {"x": [model(2)]})
    assert leaf["targets"] == ["shop.Model"]


def test_a_refused_submission_a_dry_run_and_a_look_build_nothing(project: Project) -> None:
    good = {"func": "shop.fail_once", "model": model(1)}
    behind = {"func": "shop.train", "model": model(2)}
    write_plan(project, {"t": good, "u": behind, "v": {"func": "shop.no_such", "x": model(3)}})
    done, _ = submitted(project)
    assert done.code == 2, done
    assert "shop has no 'no_such'" in done.err
    assert built(project)[0] == []
    write_plan(project, {"t": good, "u": behind})
    assert submitted(project)[0].code == 1
    for words in (
        ["status"],
        ["resume", "--dry-run"],
        ["resume", "--dry-run", "plan.steps.u.slurm.time='9'"],
    ):
        assert project.planit(*words).code == 0, words
    assert built(project)[0] == ["1"]
    assert project.planit("resume").code == 0
    assert built(project)[0] == ["1", "1", "2"]


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("shop.Modle", "step 't': _target_ 'shop.Modle': shop has no 'Modle'"),
        ("shpo.Model", "step 't': _target_ 'shpo.Model': no module named 'shpo'"),
        ("shop.VERSION", "step 't': _target_ 'shop.VERSION': shop.VERSION is a str"),
        ("Model", "step 't': _target_ 'Model': not a dotted path"),
        (["shop.Model"], "step 't': _target_ ['shop.Model']: not a dotted path"),
    ],
)
def test_a_target_that_cannot_be_found_is_refused_before_anything_is_submitted(
    project: Project, target: Any, says: str
) -> None:
    write_plan(project, {"t": {"func": "shop.train", "model": [{"_target_": target}]}})
    done, _ = submitted(project)
    assert done.code == 2
    assert done.err.splitlines()[0].startswith(f"planit: error: {says}")
    assert not (project.folder / "planit_runs").exists()


def test_the_code_of_what_is_built_is_frozen_with_the_run(project: Project) -> None:
    """Nothing else imports that module."""
    (project.folder / "parts.py").write_text("def part(): return 'as submitted'\n")
    steps: dict[str, dict[str, Any]] = {
        "first": {"func": "work.until", "flag": "go"},
        "second": {"func": "shop.train", "model": {"_target_": "parts.part"}},
    }
    write_plan(project, steps)
    process = project.submit()
    wait_for_lines(project, "begun", 1)
    (project.folder / "parts.py").write_text("def part(): return 'edited'\n")
    (project.folder / "go").touch()
    assert ended(process).code == 0
    assert project.lines("trained")[0].startswith("['as submitted']")
    (project.folder / "begun").unlink()
    (project.folder / "go").unlink()
    again = project.start("resume", "--from", "first")
    wait_for_lines(project, "begun", 1)
    (project.folder / "parts.py").write_text("def part(): return 'edited again'\n")
    (project.folder / "go").touch()
    assert ended(again).code == 0
    assert project.lines("trained")[1].startswith("['edited']")


@pytest.mark.parametrize("isolation", ["fork", "spawn"])
def test_a_checkpoint_keeps_the_arguments_unbuilt(project: Project, isolation: str) -> None:
    """A lock could not be saved; the function's own method sees the built arguments."""
    slurm = {
        "_target_": "planit.SlurmArgs",
        "time": "0:06",
        "partition": "batch",
        "max_requeues": 2,
    }
    arguments = {"_args_": [model(1), 0], "mark": {"_target_": "builtins.str", "_args_": ["y"]}}
    step: dict[str, Any] = {"func": "shop.saving", "slurm_args": slurm, **arguments}
    write_plan(project, {"s": step})
    done, pid = submitted(project, f"backend.isolation={isolation}")
    assert done.code == 0, done
    assert project.lines("trained") == ["epoch 1: 1 0 y", "epoch 2: 1 1 y"]
    assert project.lines("saved") == ["1"]
    sizes, makers = built(project)
    assert sizes == ["1", "1"]
    assert len(makers) == 2
    assert pid not in makers


class Saves:
    """A function that saves itself in another way than most: with less, or not at all."""

    def __init__(self, saved: DelayedSubmission | None) -> None:
        self.saved = saved

    def __call__(self, *_: object) -> None: ...

    def __submitit_checkpoint__(self, *_: object) -> DelayedSubmission | None:
        return self.saved


def test_a_function_saves_itself_as_it_would_without_arguments_to_build() -> None:
    given = Unbuilt({"_target_": "builtins.dict", "a": 1})
    call = WithBuilt(Saves(None))
    assert can_checkpoint(call)
    assert not hasattr(call, "checkpoint")
    assert not can_checkpoint(WithBuilt(len))
    early = call.__submitit_checkpoint__(given, 2)  # a signal came before all was built
    assert (early.function, early.args) == (call, (given, 2))
    call(given, 2)
    assert call.__submitit_checkpoint__(given, 2) is None
    other = DelayedSubmission(len, "abc")
    call = WithBuilt(Saves(other))
    call(given)
    assert call.__submitit_checkpoint__(given).result() == 3
    assert other.function is len


def test_what_cannot_be_built_fails_the_step_and_says_so(project: Project) -> None:
    write_plan(project, {"t": {"func": "shop.train", "model": {"_target_": "shop.Model"}}})
    done, _ = submitted(project)
    assert done.code == 1
    logs = project.planit("logs")
    assert "missing 1 required positional argument: 'size'" in logs.out
    assert "full_key: model" in logs.out
    assert "planit was building the step's arguments: model={'_target_': 'shop.Model'}" in logs.out
