"""The environment that a step asks for, in order, on every backend that has a shell."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from planit import Chain, Command, Parallel, Run, SlurmArgs, Step
from tests.contract import environment_steps as own
from tests.contract.drivers import ON_SLURM, Driver
from tests.helpers import files_of
from tests.slurm.tools import lines, note, settled

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "modules": ({"modules": ["good", "bad"]}, "modules line 2: module load bad: exit code 3"),
    "setup": (
        {"setup": ["if true; then", "  ls /no/such/file", "fi"]},
        "setup line 2: ls /no/such/file: exit code 2",
    ),
    "left": ({"setup": ["exit 0"]}, "setup line 1: exit 0: exit code 0"),
    "venv": ({"venv": "/no/venv"}, 'venv line 1: source "/no/venv/bin/activate": exit code 1'),
    "conda": ({"conda": "bad"}, 'conda line 2: conda activate "bad": exit code 4'),
    "env": (
        {"env": {"A": "1", "B": "$NO_SUCH/x"}},
        'env line 2: export B="${NO_SUCH?}/x": exit code ',
    ),
    "python": ({"python": "no_such_python"}, "ended with exit code 127 before the step began: "),
    "workdir": ({"workdir": "/no/dir"}, 'workdir line 1: cd "/no/dir": exit code 1'),
}


@dataclass(frozen=True)
class Ended:
    run: Run
    base: Path

    def seen(self, name: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads((self.base / name).read_text())
        return told


@pytest.fixture(scope="module", params=["local-fork", ON_SLURM])
def ended(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """An ended run of steps, each with an environment of its own."""
    if request.param == "slurm":
        request.getfixturevalue("slurm")
    base = tmp_path_factory.mktemp("environment")
    venv, image, wd = own.make_venv(base / "my venv"), base / "x.sif", base / "work dir"
    wd.mkdir()
    own.make_program(base / "bin/apptainer", own.APPTAINER)
    own.make_program(base / "bin/conda", own.CONDA)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{base}/bin{os.pathsep}{os.environ['PATH']}")
        patch.setenv("BASH_FUNC_module%%", own.MODULE)
        patch.setenv("PLANIT_TEST_ORDER", str(base / "order"))
        everything = args(
            modules=["good"],
            setup=["export FROM_SETUP='set up'", 'echo "setup" >> "$PLANIT_TEST_ORDER"'],
            venv=str(venv),
            container={"image": str(image), "mounts": ["/data:/data"], "nv": True},
            env={"JOINED": "$FROM_SETUP/b", "LITERAL": 'a "b" `c` $(d) $5 \\'},
            workdir=str(wd),
        )
        told = f"echo $IN_IMAGE in $PWD > {base / 'command'}"
        python = f"{venv}/bin/python3".replace(" ", "\\ ")
        root = Parallel(
            Step("all", own.seen, everything, str(base / "all")),
            Step("conda", own.seen, args(conda="good", python=sys.executable), str(base / "conda")),
            Step("python", own.seen, args(python=python), str(base / "python")),
            Command("boxed", told, args(container=str(image), workdir=str(wd))),
            *(
                Chain(
                    Step(f"bad_{name}", own.seen, args(**bad), str(base / "x")),
                    note(f"after_{name}", base / "ran"),
                )
                for name, (bad, _) in BAD.items()
            ),
        )
        run = Driver(request.param).start(base / "runs", root)
        settled(run, 180)
    return Ended(run, base)


def args(**fields: Any) -> SlurmArgs:
    return SlurmArgs("5", "batch", **fields)


def test_all_of_it_takes_effect_in_order(ended: Ended) -> None:
    seen = ended.seen("all")
    venv, wd = str(ended.base / "my venv"), str(ended.base / "work dir")
    assert (seen["FROM_SETUP"], seen["JOINED"]) == ("set up", "set up/b")
    assert seen["LITERAL"] == 'a "b" `c` $(d) $5 \\'
    assert (seen["VIRTUAL_ENV"], seen["prefix"], seen["cwd"]) == (venv, venv, wd)
    assert seen["IN_IMAGE"] == "yes"
    order = [line for line in lines(ended.base / "order") if "nv" in line or "c" not in line]
    assert order[:2] == ["module good", "setup"] or order.count("module good") == 2
    (container,) = [line for line in order if "--nv" in line]
    run_dir = ended.run.path
    assert container.startswith(
        f"container exec --nv --bind {run_dir}:{run_dir} --bind /data:/data {ended.base}/x.sif"
        " python3 -P -u -m planit.job.worker step"
    )


def test_a_conda_environment_is_activated(ended: Ended) -> None:
    assert ended.seen("conda")["IN_CONDA"] == "good"


def test_what_a_step_logs_is_in_its_log_with_times(ended: Ended) -> None:
    log = files_of(ended.run.path, "conda").log().read_text()
    when = r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d,\d+"
    assert re.search(rf"^\[{when}\]\[work\]\[INFO\] - seen$", log, re.MULTILINE)


def test_a_python_of_its_own_starts_the_step(ended: Ended) -> None:
    assert ended.seen("python")["orig"] == f"{ended.base}/my venv/bin/python3"


def test_a_commands_command_runs_in_the_container_and_planits_worker_does_not(
    ended: Ended,
) -> None:
    assert lines(ended.base / "command") == [f"yes in {ended.base / 'work dir'}"]
    (boxed,) = [line for line in lines(ended.base / "order") if "echo $IN_IMAGE" in line]
    assert "planit.job.worker" not in boxed


@pytest.mark.parametrize("name", BAD)
def test_a_line_that_fails_is_named_and_releases_nothing(ended: Ended, name: str) -> None:
    step = ended.run.status().step(f"bad_{name}")
    assert step.state.value == "FAILED"
    assert str(step.cause).startswith(BAD[name][1])
    assert name != "python" or str(step.cause).endswith("no_such_python: command not found")
    assert not (ended.base / "ran").exists()
    assert not (ended.base / "x").exists()
