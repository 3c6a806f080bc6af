"""The worker as a process of its own, as a job's script starts it, but without Slurm."""

from __future__ import annotations

import json
import math
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planit import Command, SlurmArgs, Step
from planit.graph import lower
from planit.job.call import call_of
from planit.nodes import Task
from planit.record import tickets, trust
from planit.record.frozen_code import CodeUsed
from planit.record.jobs import JobRef
from planit.record.run_dir import CHECKPOINT, RunDir
from planit.record.stage_dir import After
from planit.record.task_files import TaskFiles, read_result
from planit.submit import prepare
from tests.helpers import ROOT, mode_of

ARGS = SlurmArgs("5", "batch")


def begin(tmp_path: Path, task: Task, **env: str) -> tuple[subprocess.Popen[str], TaskFiles]:
    """A worker on this step; the step's files."""
    run = RunDir.create(tmp_path, "p")
    calls = {task.name: call_of(task)}
    prepare.write_context(run, 1, CodeUsed(), {})
    folder = run.stage_dir(1, 0)
    folder.write([("s", task.name)], After())
    prepare.pickle_calls(lower(task), calls, 0)[0].write(folder.calls_file)
    tickets.issue(run.path, 1, {0: JobRef(None, "1")}, [task.name])
    names = {
        "PLANIT_RUN_DIR": run.path,
        "PLANIT_STEP_DIR": run.step_dir("s"),
        "PLANIT_STEP": task.name,
        "PLANIT_SUBMISSION": 1,
        "PLANIT_STAGE": 0,
        "PLANIT_TASK": 0,
        "PLANIT_RECORD_WAIT_S": 0.2,
    }
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "planit.job.worker"],
        env={
            **{key: value for key, value in os.environ.items() if not key.startswith("SLURM_")},
            **{key: str(value) for key, value in names.items()},
            "PYTHONPATH": str(ROOT),
            "SLURM_JOB_ID": "1",
            **env,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return process, TaskFiles(run.path, 1, 0, 0)


def end(process: subprocess.Popen[str], files: TaskFiles, restart: int = 0) -> dict[str, Any]:
    """Wait for a worker; its end marker, with its output."""
    out, _ = process.communicate(timeout=60)
    marker = files.end(restart)
    assert marker is not None, out
    assert marker.exit_code == process.returncode
    return {**marker.as_json(), "out": out}


def test_a_job_opens_each_file_of_its_run_once(tmp_path: Path) -> None:
    """But for its record, of which the report is written first and read when the process ended."""
    log, hook = tmp_path / "opened", tmp_path / "hook" / "sitecustomize.py"
    hook.parent.mkdir()
    hook.write_text(
        "import os, sys\n"
        f"log = os.open({str(log)!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)\n"
        "def noted(event, args):\n"
        "    if event == 'open' and isinstance(args[0], str):\n"
        "        os.write(log, (args[0] + '\\n').encode())\n"
        "sys.addaudithook(noted)\n"
    )
    path = os.pathsep.join([str(hook.parent), str(ROOT)])
    end(*begin(tmp_path, Step("s", pow, ARGS, 2, 3), PYTHONPATH=path))
    names = [Path(line).name for line in log.read_text().splitlines()]
    for name in ("1.context.json", "calls", "after.json", "1.jobs.json", "0.0.rank0.json"):
        assert names.count(name) == 1, (name, names)
    assert names.count("s") == 2  # made, then entered


def leave(how: Any) -> None:
    sys.exit(how)


def raise_with(message: str) -> None:
    raise RuntimeError(message)


def lambda_result() -> Callable[[], None]:
    return lambda: None


def pair() -> tuple[int, float]:
    return 1, math.nan


def mask_and_file(path: str) -> str:
    Path(path).write_text("x")
    mask = os.umask(0)
    os.umask(mask)
    return f"{mask:03o}"


@pytest.mark.parametrize(
    ("task", "outcome", "code", "said"),
    [
        (Step("s", leave, ARGS, 0), "succeeded", 0, None),
        (Step("s", leave, ARGS, None), "succeeded", 0, None),
        (Step("s", leave, ARGS, 3), "failed", 3, "SystemExit"),
        (Step("s", leave, ARGS, 256), "failed", 1, "SystemExit"),
        (Step("s", leave, ARGS, "text"), "failed", 1, "SystemExit"),
        (Step("s", raise_with, ARGS, "why"), "failed", 1, "RuntimeError"),
        (Step("s", raise_with, ARGS, "x" * 100_000), "failed", 1, "RuntimeError"),
        (Step("s", lambda_result, ARGS), "succeeded", 0, None),
        (Command("s", "exit 9", ARGS), "failed", 9, "CommandFailedError"),
        (Command("s", "kill -9 $$", ARGS), "failed", 137, "CommandFailedError"),
        (Command("s", "kill $$", ARGS), "failed", 143, "CommandFailedError"),
        (Command("s", ["/etc/passwd"], ARGS), "failed", 126, "CommandFailedError"),
        (Command("s", ["no-such-thing"], ARGS), "failed", 127, "CommandFailedError"),
    ],
)
def test_exit_code_and_marker_say_how_a_step_ended(
    tmp_path: Path, task: Task, outcome: str, code: int, said: str | None
) -> None:
    marker = end(*begin(tmp_path, task))
    assert (marker["outcome"], marker["exit_code"]) == (outcome, code)
    assert (marker["error"] or {}).get("type") == said
    assert len(json.dumps(marker["error"])) < 150_000


def returned(files: TaskFiles) -> bytes:
    with trust.opened(files.run_path) as run:
        return read_result(run, files, 0, 0)[1]


def test_plain_return_value_is_in_the_end_marker_alone(tmp_path: Path) -> None:
    process, files = begin(tmp_path, Step("s", dict, ARGS, loss=0.5, tags=["a"]))
    assert end(process, files)["result"] == {"loss": 0.5, "tags": ["a"]}
    assert returned(files) == b""


def test_what_is_more_than_its_json_is_pickled_too(tmp_path: Path) -> None:
    process, files = begin(tmp_path, Step("s", pair, ARGS))
    assert repr(end(process, files)["result"]) == "[1, nan]"
    assert repr(pickle.loads(returned(files))) == "(1, nan)"


def test_other_return_values_are_pickled_as_ever(tmp_path: Path) -> None:
    process, files = begin(tmp_path, Step("s", set, ARGS, [1]))
    assert end(process, files)["result"] is None
    assert pickle.loads(returned(files)) == {1}


@pytest.mark.parametrize(
    ("shell", "result", "said"),
    [
        ("echo '{\"loss\": 0.5, \"n\": NaN}' > $PLANIT_RESULT", {"loss": 0.5, "n": math.nan}, ""),
        ("echo 3 > out; mv out $PLANIT_RESULT", 3, ""),
        ("true", None, ""),
        ("echo oops > $PLANIT_RESULT", None, "is not JSON: Expecting value: line 1 column 1"),
        (": > $PLANIT_RESULT", None, "is empty"),
        (
            "printf '[%065536d]' 0 | tr 0 1 > $PLANIT_RESULT", None,
            "has more than 65,536 bytes",
        ),
        ("printf '%05000d' 1 | tr 0 1 > $PLANIT_RESULT", None, "is not JSON: "),
        ("printf '%09000d' 0 | tr 0 [ > $PLANIT_RESULT", None, "is not JSON: "),
        ("mkdir $PLANIT_RESULT", None, "cannot be read: Is a directory"),
        ("mkfifo $PLANIT_RESULT", None, "is empty"),
    ],
)  # fmt: skip
def test_what_a_command_writes_to_planit_result_is_its_result(
    tmp_path: Path, shell: str, result: Any, said: str
) -> None:
    """If it is none, the log says so, and the step has succeeded all the same."""
    process, files = begin(tmp_path, Command("s", shell, ARGS, cwd=tmp_path))
    marker = end(process, files)
    assert (marker["outcome"], repr(marker["result"])) == ("succeeded", repr(result))
    assert (f"planit: $PLANIT_RESULT {said}" if said else "") in marker["out"]
    assert bool(said) == ("PLANIT_RESULT" in marker["out"])
    assert not RunDir(files.run_path).step_dir("s").exists() or "mkdir" in shell
    assert sorted(path.name for path in files.folder.glob("0*")) == ["0.0.json"]


def test_a_command_that_fails_has_no_result_and_leaves_no_file(tmp_path: Path) -> None:
    process, files = begin(tmp_path, Command("s", "echo 3 > $PLANIT_RESULT; exit 1", ARGS))
    assert end(process, files)["result"] is None
    assert not RunDir(files.run_path).step_dir("s").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_step_that_is_told_to_end_is_terminated_not_failed(tmp_path: Path, number: int) -> None:
    go = tmp_path / "go"
    process, files = begin(tmp_path, Command("s", f"touch {go}; exec sleep 60", ARGS))
    while not go.exists():
        time.sleep(0.02)
    time.sleep(0.2)  # Python is still starting the command: a signal then would leave it running
    process.send_signal(number)
    assert end(process, files)["outcome"] == "terminated"


@pytest.mark.parametrize("how", ["command", "child"])
def test_child_that_hears_of_the_end_first_does_not_make_it_a_failure(
    tmp_path: Path, how: str
) -> None:
    """Slurm signals one process after another; a failed step would not be requeued in `status`."""
    text = f"(sleep 0.2; kill {{}}) & echo > {tmp_path}/begun; kill $$"
    shell = text.format("$PPID")
    task: Task = Command("s", shell, ARGS)
    if how == "child":
        task = Step("s", subprocess.run, ARGS, ["bash", "-c", shell], check=True)
    assert end(*begin(tmp_path, task))["outcome"] == "terminated"


@pytest.mark.parametrize("mask", [0o000, 0o002, 0o077])
def test_step_has_the_users_umask_and_leaves_a_closed_folder(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        own = tmp_path / "own"
        process, files = begin(tmp_path, Step("s", mask_and_file, ARGS, str(own)))
        assert end(process, files)["outcome"] == "succeeded"
    finally:
        os.umask(before)
    assert own.stat().st_mode & 0o777 == 0o666 & ~mask
    for path in [files.folder, *files.folder.iterdir()]:
        assert path.stat().st_mode & (mask | 0o022) & 0o777 == 0, path


class Saves:
    """Warned by Slurm, it saves itself; there is no Slurm here to requeue it."""

    def __call__(self, path: str) -> None:
        Path(path).touch()
        time.sleep(30)

    def checkpoint(self, path: str) -> Any:
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, path)


def test_checkpoint_is_closed_too_so_that_the_next_attempt_trusts_it(tmp_path: Path) -> None:
    before = os.umask(0o002)
    go = tmp_path / "go"
    try:
        process, files = begin(
            tmp_path,
            Step("s", Saves(), ARGS, str(go)),
            SUBMITIT_EXECUTOR="slurm",
            SLURM_PROCID="0",
            SLURM_LOCALID="0",
            SLURM_NTASKS="1",
        )
        while not go.exists():
            time.sleep(0.02)
        process.send_signal(signal.SIGUSR2)
        process.communicate(timeout=30)
    finally:
        os.umask(before)
    saved = RunDir(files.run_path).step_dir("s") / CHECKPOINT
    assert mode_of(saved) == 0o600


def test_requeued_attempt_has_markers_of_its_own(tmp_path: Path) -> None:
    process, files = begin(tmp_path, Step("s", leave, ARGS, 0), SLURM_RESTART_COUNT="2")
    assert end(process, files, 2)["outcome"] == "succeeded"
    assert [path.name for path in files.folder.glob("*.json")].count("0.2.json") == 1
