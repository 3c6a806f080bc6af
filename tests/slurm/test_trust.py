"""Nobody else's code runs, and no text of the user's breaks out of where it stands."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path

import pytest

from planit import Chain, Command, Parallel, Run, SlurmArgs, Step
from tests.cluster import Cluster
from tests.slurm import steps
from tests.slurm.tools import (
    ARGS,
    lines,
    note,
    planit,
    settled,
    slurm_says,
    submit,
    until,
)

pytestmark = pytest.mark.slurm
NOBODY = 65534


@pytest.mark.parametrize("mask", [0o000, 0o002, 0o077])
def test_run_directory_is_never_writable_by_others(
    slurm: Cluster, tmp_path: Path, mask: int
) -> None:
    before = os.umask(mask)
    try:
        array = [note(name, tmp_path / "r") for name in "bc"]
        root = Chain(note("a", tmp_path / "r"), Parallel(*array))
        run = submit(tmp_path / "runs", root)
        assert set(settled(run).values()) == {"DONE"}
        run.resume(only=["a"])
        settled(run)
    finally:
        os.umask(before)
    below = list(run.path.rglob("*"))
    assert len(below) > 15
    for path in [run.path, run.path.parent, *below]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o022 == 0, f"{path} {mode:o}"
        assert mode & mask & 0o077 == 0, f"{path} {mode:o}"


def test_worker_refuses_what_others_could_have_written(slurm: Cluster, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    names = ["group", "folder", "link", "context", "code", "good"]
    if os.geteuid() == 0:
        names.append("owner")
    begin = SlurmArgs("5", "batch", additional_params={"begin": "now+1hour"})
    step = {name: Step("s", steps.note, begin, str(ran), name) for name in names}
    runs = {name: submit(tmp_path / name, step[name]) for name in names}
    steps_of = {name: run.path / "steps" / "s" for name, run in runs.items()}
    (steps_of["group"] / "payload.pkl").chmod(0o664)
    steps_of["folder"].chmod(0o777)
    moved = steps_of["link"] / "payload.pkl"
    moved.rename(tmp_path / "moved.pkl")
    moved.symlink_to(tmp_path / "moved.pkl")
    (runs["context"].path / "submissions" / "1.context.json").chmod(0o666)
    (runs["code"].path / "code").chmod(0o775)
    if os.geteuid() == 0:
        os.chown(steps_of["owner"] / "payload.pkl", NOBODY, NOBODY)
    for run in runs.values():
        job = json.loads((run.path / "journal.jsonl").read_text().splitlines()[2])["job"]
        slurm_says("scontrol", "update", f"jobid={job}", "StartTime=now")
    found = {name: settled(run)["s"] for name, run in runs.items()}
    assert found == {name: "DONE" if name == "good" else "FAILED" for name in names}
    assert lines(ran) == ["good"]
    reasons = {name: planit(tmp_path / name, "logs", "s").out for name in names}
    assert "payload.pkl can be written by others (mode 664)" in reasons["group"]
    assert "steps/s can be written by others (mode 777)" in reasons["folder"]
    assert "payload.pkl is a symbolic link" in reasons["link"]
    assert "context.json can be written by others" in reasons["context"]
    assert "code can be written by others" in reasons["code"]
    if "owner" in names:
        assert f"belongs to another user (uid {NOBODY})" in reasons["owner"]


NASTY = [
    "../../outside",
    "a b'c\"d`touch hacked`$(touch hacked);|&>x",
    "ünï-çødé ☃ 漢字",
    "/etc/passwd",
    "-rf",
    ".hidden",
    "100%j%a",
    "x" * 300,
    "#SBATCH --wrap=x\\",
    "{tab} ~ * ? [a-z] !",
]


def test_nasty_names_break_out_of_nothing(
    slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here 'and' there"
    here.mkdir()
    monkeypatch.chdir(here)
    ran = tmp_path / "ran"
    other = SlurmArgs("6", "batch", cpus_per_task=1)
    single = [note(f"{name}", ran, SlurmArgs(str(7 + i), "batch")) for i, name in enumerate(NASTY)]
    array = [Step(f"{name} 2", steps.note, other, str(ran), f"{name} 2") for name in NASTY]
    env = Command("env", "printf '%s\\n' \"$PLANIT_STEP $NASTY\"", ARGS, env={"NASTY": NASTY[1]})
    root = Parallel(Parallel(*single), Parallel(*array), env)
    run = submit(here / "runs", root, plan="../../" + NASTY[1])
    assert set(settled(run).values()) == {"DONE"}
    assert sorted(lines(ran)) == sorted([*NASTY, *(f"{name} 2" for name in NASTY)])
    assert run.path.parent.parent == here / "runs"
    assert sorted(path.name for path in here.iterdir()) == ["runs"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [here.name, "ran"]
    assert len(list((run.path / "steps").iterdir())) == 2 * len(NASTY) + 1
    assert planit(here / "runs", "logs", "env").out == f"env {NASTY[1]}\n"
    for name in (NASTY[1], f"{NASTY[1]} 2"):
        assert planit(here / "runs", "logs", Run(run.path).run_id, name).code == 0


def test_errors_move_no_cursor(slurm: Cluster, tmp_path: Path) -> None:
    text = "\x1b[2J\x1b]0;title\x07 evil\rover\x9b31m\n--- second line"
    root = Chain(Step("bad", steps.fail, ARGS, text), note("behind", tmp_path / "ran"))
    run = submit(tmp_path, root)
    settled(run)
    for verb in ("status", "wait", "resume"):
        shown = planit(tmp_path, verb, *(["--dry-run"] if verb == "resume" else []))
        assert "evil" in shown.out
        for line in (shown.out + shown.err).splitlines():
            assert line.isprintable(), repr(line)
    raw = planit(tmp_path, "status", "--json").out
    assert all(line.isprintable() for line in raw.splitlines())
    assert json.loads(raw)["steps"][0]["error"]["message"] == text


SMI = """
echo "$$ 1"
echo "$(cut -d' ' -f4 /proc/$PPID/stat), 17"
echo "$PPID, 123"
echo "$PPID, 7"
"""


def test_gpu_memory_is_asked_of_nvidia_smi(slurm: Cluster, tmp_path: Path) -> None:
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    fake = bin_dir / "nvidia-smi"
    fake.write_text(f"#!/bin/bash\n{SMI}")
    fake.chmod(0o755)
    gpu = SlurmArgs("5", "gpu_a100", gpus_per_node=1, setup=[f"export PATH={bin_dir}:$PATH"])
    root = Parallel(
        Step("gpu", steps.gate, gpu, str(tmp_path / "go"), str(tmp_path / "begun")),
        Step("none", steps.gate, ARGS, str(tmp_path / "go"), str(tmp_path / "begun")),
    )
    run = submit(tmp_path, root)
    until(lambda: len(lines(tmp_path / "begun")) == 2)
    time.sleep(0.5)  # nvidia-smi is asked in a thread
    (tmp_path / "go").touch()
    assert set(settled(run).values()) == {"DONE"}
    marker = {
        name: json.loads((run.path / "steps" / name / "end-1.0.json").read_text())
        for name in ("gpu", "none")
    }
    assert marker["gpu"]["peak_gpu_memory_bytes"] == 130 * 2**20
    assert marker["none"]["peak_gpu_memory_bytes"] is None
    assert marker["none"]["peak_memory_bytes"] > 5 * 2**20
