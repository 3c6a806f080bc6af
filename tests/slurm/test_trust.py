"""Nobody else's code runs, and no text of the user's breaks out of where it stands."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from planit import Chain, Command, Parallel, Run, SlurmArgs, Step
from planit.backends.slurm.backend import SlurmBackend
from planit.errors import RunError, StepsFailedError
from planit.nodes import Node
from planit.record import history as histories
from planit.record.run_dir import RunDir
from planit.submit.new import NewRun
from tests.cluster import Cluster
from tests.helpers import end_of, files_of, give_default_acl, mode_of
from tests.local.project import Project, chain
from tests.slurm import steps
from tests.slurm.tools import (
    ARGS,
    lines,
    note,
    of_run,
    planit,
    settled,
    slurm_says,
    states,
    submit,
    until,
)

pytestmark = pytest.mark.slurm
NOBODY = 65534


def new_run(base: Path, root: Node, share: str | None = None) -> Run:
    new = NewRun(plan="p", root=root, base=base, backend=SlurmBackend(), share=share)
    return Run(new.start()[0].path, backend=new.backend)


@pytest.mark.parametrize(
    ("mask", "share", "acl"),
    [(0o000, None, True), (0o000, "group", False), (0o077, None, False), (0o077, "group", True)],
)
def test_run_is_the_users_alone_or_its_groups_to_read_but_never_to_write(
    slurm: Cluster, tmp_path: Path, mask: int, share: str | None, acl: bool
) -> None:
    if acl:
        give_default_acl(tmp_path)
    before = os.umask(mask)
    try:
        root = Chain(
            note("a", tmp_path / "r"),
            Parallel(note("b", tmp_path / "r"), note("c", tmp_path / "r")),
            Command("d", "true", SlurmArgs("5", "batch", cpus_per_task=1, setup=["true"])),
        )
        run = new_run(tmp_path / "runs", root, share)
        assert set(settled(run).values()) == {"DONE"}
        run.resume(only=["a"])
        settled(run)
    finally:
        os.umask(before)
    below = list(run.path.rglob("*"))
    assert len(below) > 20
    frozen = {path for path in run.path.rglob("code/*/**/*") if path.suffix != ".pyc"}
    assert frozen
    for path in [run.path, *below]:
        mode = mode_of(path)
        shared = share == "group"
        if path.is_symlink():
            continue
        if path.is_dir():
            assert mode & 0o777 == 0o755 & ~mask | (0o050 if shared else 0), f"{path} {mode:o}"
        elif path in frozen:
            assert mode & ~0o110 == (0o440 if shared else 0o400), f"{path} {mode:o}"
        elif path.suffix == ".log":
            assert mode == 0o644 & ~mask | (0o040 if shared else 0), f"{path} {mode:o}"
        else:
            assert mode == (0o640 if shared else 0o600), f"{path} {mode:o}"


@pytest.mark.parametrize("backend", ["slurm", "local"])
@pytest.mark.parametrize("acl", [False, True])
def test_secret_from_the_environment_is_in_no_file_that_others_can_read(
    slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, acl: bool
) -> None:
    monkeypatch.setenv("TOKEN", "s3cret-t0ken")
    if acl:
        give_default_acl(tmp_path)
    project = Project(tmp_path)
    token = "${oc.env:TOKEN}"
    step = {"func": "note", "path": str(tmp_path / "ran"), "text": token}
    project.plan({"a": {**step, "slurm": {"setup": [f"export TOKEN={token}"]}}}, chain("a"))
    before = os.umask(0)
    try:
        done = project.planit("submit", "plan=p", f"backend={backend}")
        assert done.code == 0, done.err
        assert project.planit("wait").code == 0
        assert project.planit("resume", "--only", "a", "--detach").code == 0
        assert project.planit("wait").code == 0
    finally:
        os.umask(before)
    assert lines(tmp_path / "ran")[-2:] == ["s3cret-t0ken"] * 2
    files = [path for path in (tmp_path / "planit_runs").rglob("*") if path.is_file()]
    told = [path for path in files if b"s3cret" in path.read_bytes()]
    assert len(told) >= 3, files
    for path in files:
        assert mode_of(path) & 0o022 == 0, path
    assert [path for path in told if mode_of(path) & 0o077] == []


PLACES = {"everybody": 0o777, "sticky": 0o1777, "group": 0o775}


@dataclass(frozen=True)
class Planted:
    """A run that another user made to look like any other, and what it must not touch."""

    base: Path
    run: Path
    foreign: Path
    outside: Path


@pytest.fixture(params=PLACES)
def planted(slurm: Cluster, tmp_path: Path, request: pytest.FixtureRequest) -> Planted:
    """A run with one failed and one waiting step; its files are links to a file outside."""
    begin = SlurmArgs("5", "batch", additional_params={"begin": "now+1hour"})
    root = Parallel(Step("bad", steps.fail, ARGS), Step("waits", steps.succeed, begin))
    run = submit(tmp_path / "runs", root)
    until(lambda: states(run)["bad"] == "FAILED")
    foreign, outside = tmp_path / "foreign", tmp_path / "outside"
    outside.write_text("mine")
    path = run.path
    record = json.loads((path / "submissions" / "1.json").read_text())
    for stage in record["stages"]:
        stage["options"]["setup"] = [f"echo foreign >> {foreign}"]
    (path / "submissions" / "1.json").write_text(json.dumps(record))
    links = ["states.json", "stages/2.0", "steps/waits", "lock.dead.1"]
    for name in links:
        (path / name).unlink(missing_ok=True)
        (path / name).symlink_to(outside)
    log = files_of(path, "bad").log()
    log.unlink()
    log.symlink_to(outside)
    for entry in [path, *path.rglob("*")]:
        os.chown(entry, NOBODY, NOBODY, follow_symlinks=False)
    (tmp_path / "runs" / "p").chmod(PLACES[request.param])
    os.chown(tmp_path / "runs" / "p", 0, NOBODY)
    return Planted(tmp_path / "runs", path, foreign, outside)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_verbs_run_and_change_nothing_of_a_run_that_somebody_planted(planted: Planted) -> None:
    before = {path: path.lstat().st_mtime_ns for path in planted.run.rglob("*")}
    for words in (["resume"], ["resume", "--only", "bad"], ["resume", "--dry-run"], ["cancel"]):
        done = planit(planted.base, *words)
        assert done.code == RunError.exit_code, done
        assert "planit: error: " in done.err
        assert "another user" in done.err or "can be written by" in done.err
    status = planit(planted.base, "status")
    assert "FAILED" in status.out
    assert "PENDING" in status.out
    assert planit(planted.base, "logs", "bad").out.strip() == "mine"
    slurm_says("scancel", of_run(Run(planted.run), "waits"))
    assert planit(planted.base, "wait").code == StepsFailedError.exit_code
    with pytest.raises(RunError):
        Run(planted.run).resume()
    with pytest.raises(RunError):
        Run(planted.run).cancel()
    assert {path: path.lstat().st_mtime_ns for path in planted.run.rglob("*")} == before
    assert planted.outside.read_text() == "mine"
    assert not planted.foreign.exists()


def test_own_run_where_others_may_rename_is_not_resumed_unless_on_purpose(
    slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "runs"
    gate = tmp_path / "bad"
    gate.touch()
    run = submit(place, Step("s", steps.note_unless, ARGS, str(gate), str(tmp_path / "ran")))
    assert settled(run) == {"s": "FAILED"}
    gate.unlink()
    place.chmod(0o777)
    refused = planit(place, "resume")
    assert refused.code == RunError.exit_code
    assert (
        f"runs below {place} are not safe from other users: it can be written by every"
        in refused.err
    )
    assert "PLANIT_RUNS_DIR" in refused.err
    if os.geteuid() != 0:
        return
    os.chown(place, NOBODY, NOBODY)
    place.chmod(0o2770)
    assert "PLANIT_TRUST_GROUP=1" in planit(place, "cancel").err
    monkeypatch.setenv("PLANIT_TRUST_GROUP", "1")
    assert planit(place, "resume").code == 0
    monkeypatch.delenv("PLANIT_TRUST_GROUP")  # the job was told
    assert settled(run) == {"s": "DONE"}
    assert lines(tmp_path / "ran") == ["ran"]


def test_worker_refuses_what_others_could_have_written(slurm: Cluster, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    names = ["group", "folder", "step", "link", "context", "code", "good"]
    if os.geteuid() == 0:
        names.append("owner")
    begin = SlurmArgs("5", "batch", additional_params={"begin": "now+1hour"})
    step = {name: Step("s", steps.note, begin, str(ran), name) for name in names}
    runs = {name: submit(tmp_path / name, step[name]) for name in names}
    calls_of = {name: run.path / "stages" / "1.0" / "calls" for name, run in runs.items()}
    calls_of["group"].chmod(0o664)
    calls_of["folder"].parent.chmod(0o777)
    (runs["step"].path / "steps" / "s").mkdir()
    (runs["step"].path / "steps" / "s").chmod(0o777)
    moved = calls_of["link"]
    moved.rename(tmp_path / "moved")
    moved.symlink_to(tmp_path / "moved")
    (runs["context"].path / "submissions" / "1.context.json").chmod(0o666)
    (runs["code"].path / "code").chmod(0o775)
    if os.geteuid() == 0:
        os.chown(calls_of["owner"], NOBODY, NOBODY)
    for run in runs.values():
        job = json.loads((run.path / "journal.jsonl").read_text().splitlines()[2])["job"]
        slurm_says("scontrol", "update", f"jobid={job}", "StartTime=now")
    found = {name: settled(run)["s"] for name, run in runs.items()}
    assert found == {name: "DONE" if name == "good" else "FAILED" for name in names}
    assert lines(ran) == ["good"]
    reasons = {name: planit(tmp_path / name, "logs", "s").out for name in names}
    assert "calls can be written by others (mode 664)" in reasons["group"]
    assert "stages/1.0 can be written by others (mode 777)" in reasons["folder"]
    assert "steps/s can be written by others (mode 777)" in reasons["step"]
    assert "calls is a symbolic link" in reasons["link"]
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
    assert list((run.path / "steps").iterdir()) == []  # the steps wrote nothing there
    for leaf in histories.read(RunDir(run.path)).leaves:
        assert not set(leaf.slug) & set("=, /"), leaf.slug
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
    gpu_end, end = end_of(run.path, "gpu"), end_of(run.path, "none")
    assert gpu_end.peak_gpu_memory_bytes == 130 * 2**20
    assert end.peak_gpu_memory_bytes is None
    assert (end.peak_memory_bytes or 0) > 5 * 2**20
