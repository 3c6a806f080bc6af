"""The scripts run by bash, with a fake Python: whatever the user's lines do, the code is right."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from planit.backends.slurm.script import ScriptSpec, script_text
from tests.helpers import write

OPTIONS = {"time": "01:00:00", "partition": "batch"}


@dataclass(frozen=True)
class Ran:
    code: int
    ran: bool
    out: str


def fake_python(folder: Path, code: int) -> str:
    """A program that stands for the worker: says what it was told, and ends with `code`."""
    script = write(
        folder / "fake python.sh",
        f"""
        stage="$PLANIT_RUN_DIR/stages/$PLANIT_SUBMISSION.$PLANIT_STAGE"
        end() {{ echo '{{"outcome": "succeeded"}}' > "$stage/$PLANIT_TASK.$PLANIT_RESTART.json"; }}
        case "$5" in
            open) exit 0 ;;
            close) end; exit "$6" ;;
            run) end ;;
        esac
        echo "step $PLANIT_STEP in $PLANIT_STEP_DIR: $*"
        touch {shlex.quote(str(folder))}/ran
        exit {code}
        """,
    )
    return f"bash {shlex.quote(str(script))}"


def execute(script: str, folder: Path, env: dict[str, str]) -> Ran:
    path = write(folder / "script.sh", script)
    (folder / "stages" / "1.0").mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["bash", str(path)],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
        check=False,
    )
    return Ran(done.returncode, (folder / "ran").exists(), done.stdout)


def run_single(folder: Path, code: int, *, step: str = "train", **options: Any) -> Ran:
    step_dir = folder / "steps" / step
    spec = ScriptSpec(
        plan="p",
        name=step,
        options={**OPTIONS, **options},
        run_dir=folder,
        tag="planit:r1:1.0",
        python=fake_python(folder, code),
    )
    return execute(script_text(spec.for_step(step, step_dir)), folder, {"SLURM_JOB_ID": "12"})


@pytest.mark.parametrize("code", [0, 1, 7, 255])
@pytest.mark.parametrize("lines", [{}, {"setup": ["true"]}, {"teardown": ["true"]}])
def test_the_exit_code_of_the_script_is_that_of_the_step(
    tmp_path: Path, code: int, lines: dict[str, Any]
) -> None:
    done = run_single(tmp_path, code, **lines)
    assert (done.code, done.ran) == (code, True)
    assert f"step train in {tmp_path}/steps/train: -P -u -m planit.job.worker" in done.out


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("false", 1),
        ("exit 5", 5),
        ("exit 0", 1),
        ("(exit 3)", 3),
        ("no_such_program_at_all", 127),
        ("trap 'exit 0' EXIT; false", 1),
        ("set +e; false; exit 0", 1),
        ("cd /no/such/folder", 1),
        ("true | false", 1),
        ("set -u; echo $NO_SUCH_VARIABLE_AT_ALL", 1),
        ("exec true", 1),
        ("if true; then", None),
        ('echo "open', None),
        ("echo 'open", None),
        ("cat <<END", None),
    ],
)
def test_setup_lines_that_do_not_reach_the_step_fail_the_job(
    tmp_path: Path, line: str, code: int | None
) -> None:
    done = run_single(tmp_path, 0, setup=["export A=1", line, "export B=2"])
    assert not done.ran
    assert done.code != 0
    if code is not None:
        assert done.code == code
        own = 0 if "exit 0" in line or line == "exec true" else code
        assert f"planit: setup line 2: {line}: exit code {own}\n" in done.out


def test_what_setup_lines_export_reaches_the_step(tmp_path: Path) -> None:
    done = run_single(tmp_path, 0, setup=["export PLANIT_STEP=renamed", "cd /"])
    assert done.code == 0
    assert "step renamed in" in done.out


@pytest.mark.parametrize("code", [0, 3])
@pytest.mark.parametrize(
    "lines",
    [
        {"teardown": ["exit 0"]},
        {"teardown": ["exit 9"]},
        {"teardown": ["false"]},
        {"teardown": ["no_such_program_at_all"]},
        {"setup": ["trap 'exit 0' EXIT"]},
        {"setup": ["trap 'exit 9' EXIT"]},
        {"setup": ["trap 'false' EXIT"], "teardown": ["exit 0"]},
        {"teardown": ["exec true"]},
        {"teardown": ["set -e", "false", "true"]},
    ],
    ids=str,
)
def test_neither_teardown_lines_nor_traps_mask_the_code_of_the_step(
    tmp_path: Path, code: int, lines: dict[str, Any]
) -> None:
    done = run_single(tmp_path, code, **lines)
    assert (done.code, done.ran) == (code, True)


def test_an_err_trap_of_the_setup_lines_cannot_turn_a_failed_step_into_a_success(
    tmp_path: Path,
) -> None:
    assert run_single(tmp_path, 3, setup=["trap 'exit 0' ERR"]).code != 0


@pytest.mark.parametrize("code", [0, 3])
def test_teardown_runs_after_a_failure_too(tmp_path: Path, code: int) -> None:
    done = run_single(tmp_path, code, teardown=["false", "echo cleaned up"])
    assert done.code == code
    assert "cleaned up" in done.out


def test_an_exit_code_that_an_earlier_attempt_left_is_not_taken_for_this_ones(
    tmp_path: Path,
) -> None:
    """A requeued job keeps its id: its attempts are told apart by SLURM_RESTART_COUNT."""
    step_dir = tmp_path / "steps" / "train"
    spec = ScriptSpec(
        plan="p",
        name="train",
        options={**OPTIONS, "setup": ['[ -z "$SLURM_RESTART_COUNT" ] || exit 4']},
        run_dir=tmp_path,
        tag="t",
        python=fake_python(tmp_path, 0),
    )
    script = script_text(spec.for_step("train", step_dir))
    env = {"SLURM_JOB_ID": "12"}
    assert execute(script, tmp_path, env).code == 0
    assert execute(script, tmp_path, {**env, "SLURM_RESTART_COUNT": "1"}).code == 4


@pytest.mark.parametrize("name", ["a b", "it's", 'say "hi"', "$HOME", "`id`", "a;b", "ü%j", "-n"])
@pytest.mark.parametrize("lines", [{}, {"setup": ["true"]}])
def test_names_and_paths_with_spaces_and_quotes_stay_whole(
    tmp_path: Path, name: str, lines: dict[str, Any]
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    done = run_single(folder, 0, step=name, **lines)
    assert done.code == 0
    assert f"step {name} in {folder}/steps/{name}: -P -u -m planit.job.worker" in done.out


@pytest.mark.parametrize(("task", "code"), [(0, 0), (2, 6)])
@pytest.mark.parametrize("lines", [{}, {"setup": ["true"], "teardown": ["exit 0"]}])
def test_each_task_of_an_array_finds_its_own_step(
    tmp_path: Path, task: int, code: int, lines: dict[str, Any]
) -> None:
    names = ["fit a=1", "it's", "$HOME b\\c"]
    task_list = write(
        tmp_path / "arrays" / "1.0" / "tasks",
        "".join(f"slug-{i}\t{name}\n" for i, name in enumerate(names)),
    )
    spec = ScriptSpec(
        plan="p",
        name="fit",
        options={**OPTIONS, **lines},
        run_dir=tmp_path,
        tag="t",
        python=fake_python(tmp_path, code),
    )
    env = {
        "SLURM_JOB_ID": "15",
        "SLURM_ARRAY_JOB_ID": "12",
        "SLURM_ARRAY_TASK_ID": str(task),
    }
    done = execute(script_text(spec.for_array(task_list, 3)), tmp_path, env)
    assert done.code == code
    step_dir = tmp_path / "steps" / f"slug-{task}"
    assert done.out.startswith(f"step {names[task]} in {step_dir}: -P -u -m planit")
