"""A resume with other arguments: what the jobs then call, and what the run says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from planit import Chain, Command, Node, PlanError, RunError, SlurmArgs, Step
from planit.errors import SubmissionError
from planit.job.call import Call
from planit.job.command import CommandCall
from planit.nodes.arguments import Unbuilt
from planit.record import history as histories
from planit.record.run_dir import CHECKPOINT, RunDir
from planit.submit.recorded_calls import REMOVED, NewArgument, recorded_calls
from planit.submit.resumption import Resume
from planit.views.run_notes import run_notes
from planit.views.step_page import frozen_step
from tests.memory import MemoryScheduler
from tests.runs import ARGS, end, history, submitted

BIG = list(range(500))


def fit(lr: float, model: Any = None, *, data: Any = None) -> tuple[float, Any, Any]:
    return lr, model, data


@pytest.fixture
def slurm() -> MemoryScheduler:
    return MemoryScheduler()


def ended(slurm: MemoryScheduler, base: Path, root: Node) -> RunDir:
    """A run of which all is done."""
    run = submitted(slurm, base, root)
    for leaf in history(run).leaves:
        end(run, leaf.name)
        slurm.set(str(history(run).placements[leaf.name].key), "COMPLETED")
    return run


def two(base: Path, slurm: MemoryScheduler) -> RunDir:
    model = Unbuilt({"size": 1, "inner": {"deep": [1, 2]}})
    steps = [Step(name, fit, ARGS, 0.1, model=model, data=BIG) for name in ("a", "b")]
    return ended(slurm, base, Chain(*steps))


def new(
    text: str, *path: str, value: Any, steps: tuple[str, ...] = ("a",), add: bool = False
) -> Any:
    return NewArgument(text, steps, path, value, add)


def resumed(run: RunDir, slurm: MemoryScheduler, *arguments: NewArgument, **more: Any) -> None:
    Resume(run, slurm, arguments=arguments, **{"start_from": ["a"], **more}).execute()


def call(run: RunDir, name: str) -> Call:
    """What the newest job of a step calls."""
    with recorded_calls(run, history(run)) as recorded:
        return recorded.call(name)


def test_only_the_named_argument_of_the_named_step_is_another(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = two(tmp_path, slurm)
    before = call(run, "a")
    resumed(
        run,
        slurm,
        new("model.size=2", "model", "size", value=2),
        new("+model.new.x=1", "model", "new", "x", value=1, add=True),
        new("~model.inner.deep", "model", "inner", "deep", value=REMOVED),
    )
    made = call(run, "a")
    assert made.kwargs["model"].content == {"size": 2, "inner": {}, "new": {"x": 1}}
    assert (made.function, made.args, made.kwargs["data"]) == (fit, before.args, BIG)
    assert call(run, "b").kwargs["model"].content == before.kwargs["model"].content
    assert before.kwargs["model"].content["size"] == 1, "what was read is not changed itself"


def test_a_later_resume_keeps_it(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = two(tmp_path, slurm)
    resumed(run, slurm, new("_args_=[5]", "_args_", value=[5], steps=("a", "b")))
    for name in ("a", "b"):
        slurm.set(str(history(run).placements[name].key), "CANCELLED")
    resumed(run, slurm, new("model=x", "model", value="x", steps=("b",)))
    assert (call(run, "a").args, call(run, "b").args) == ((5,), (5,))
    assert call(run, "b").kwargs["model"] == "x"
    assert run_notes(run) == [
        "This run holds 3 configurations:",
        "  submission 2 reran 2 step(s) (a, b) with _args_=[5]",
        "  submission 3 reran 1 step(s) (b) with model=x",
    ]
    assert frozen_step(run, "b")["args"] == [5]
    assert frozen_step(run, "b")["kwargs"]["model"] == "x"
    assert frozen_step(run, "a")["kwargs"]["model"] == {"size": 1, "inner": {"deep": [1, 2]}}


def test_a_saved_call_does_not_go_on_with_the_old_arguments(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = two(tmp_path, slurm)
    saved = [run.step_dir(name) / CHECKPOINT for name in ("a", "b")]
    for path in saved:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"saved")
    resumed(run, slurm, new("model=1", "model", value=1))
    assert [path.exists() for path in saved] == [False, True]


def test_a_command_has_its_own_fields(slurm: MemoryScheduler, tmp_path: Path) -> None:
    root = Command("a", "echo $X", SlurmArgs("5", "batch"), env={"X": "1"})
    run = ended(slurm, tmp_path, root)
    resumed(run, slurm, new("env.Y=2", "env", "Y", value=2), new("cwd=/", "cwd", value="/"))
    assert call(run, "a").function == CommandCall("echo $X", "/", {"X": "1", "Y": "2"})
    resumed(
        run, slurm, new("~cwd", "cwd", value=REMOVED), new("command=true", "command", value="true")
    )
    assert call(run, "a").function == CommandCall("true", None, {"X": "1", "Y": "2"})
    with pytest.raises(PlanError, match="step 'a': lr=1: a command has no lr"):
        resumed(run, slurm, new("lr=1", "lr", value=1))


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (new("lrr=1", "lrr", value=1), "step 'a': lrr=1: the step has no 'lrr'"),
        (new("model.q=1", "model", "q", value=1), "model has no 'q'"),
        (new("data.x=1", "data", "x", value=1), "data is not a mapping"),
        (new("+q=1", "q", value=1, add=True), "step 'a': got an unexpected keyword argument 'q'"),
        (new("~q", "q", value=REMOVED), "the step has no 'q'"),
        (new("_args_.0=1", "_args_", "0", value=1), "as a whole list"),
        (new("model=?", "model", value={"_target_": "no.such"}), "no module named 'no'"),
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
def test_what_the_step_would_not_take_is_refused_before_anything_is_done(
    slurm: MemoryScheduler, tmp_path: Path, argument: NewArgument, message: str, dry_run: bool
) -> None:
    run = two(tmp_path, slurm)
    resume = Resume(run, slurm, start_from=["a"], arguments=[argument])
    with pytest.raises(PlanError) as refused:
        resume.plan() if dry_run else resume.execute()
    assert message in refused.value.message
    assert history(run).last_submission == 1
    assert histories.changes(run) == []


def test_an_argument_of_what_is_not_rerun_is_refused(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = two(tmp_path, slurm)
    with pytest.raises(RunError, match="model=1 has no effect") as refused:
        resumed(run, slurm, new("model=1", "model", value=1), start_from=["b"])
    assert "--from a" in str(refused.value.hint)


def test_a_resume_that_was_taken_back_changed_nothing(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = two(tmp_path, slurm)
    slurm.refuses = {"b": "no"}
    with pytest.raises(SubmissionError):
        resumed(run, slurm, new("model=1", "model", value=1))
    assert run_notes(run) == []
    assert call(run, "a").kwargs["model"] != 1
