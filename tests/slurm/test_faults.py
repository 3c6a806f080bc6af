"""What goes wrong around a run: daemons, killed jobs, memory, requeues, forgotten ids."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from planit import Chain, Parallel, Run, SlurmArgs, Step
from planit.backends.local.backend import LocalBackend
from planit.backends.slurm.backend import SlurmBackend
from planit.backends.slurm.client import SlurmClient
from planit.errors import SchedulerError, StepsFailedError, SubmissionError
from planit.status import decide
from planit.submit.new import NewRun
from tests.cluster import Cluster
from tests.helpers import files_of
from tests.slurm import steps
from tests.slurm.tools import (
    ARGS,
    begin_now,
    in_queue,
    lines,
    note,
    of_run,
    planit,
    settled,
    slurm_says,
    states,
    status_json,
    submit,
    until,
    wrapped,
)

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("late_is_warned")]
SMALL = SlurmArgs(time="5", partition="batch", cpus_per_task=1, additional_params={"mem": "150M"})

IMPATIENT = SlurmBackend(client=SlurmClient(timeout_s=2))


@contextmanager
def stopped(slurm: Cluster, *names: str) -> Iterator[None]:
    for name in names:
        slurm.stop_daemon(name)
    try:
        yield
    finally:
        for name in reversed(names):
            slurm.start_daemon(name)
        slurm.wait_ready()


def test_a_sigterm_right_behind_the_warning_does_not_undo_the_requeue(
    slurm: Cluster, tmp_path: Path
) -> None:
    saved = tmp_path / "saves"
    saves = steps.Counter(str(saved))
    args = SlurmArgs(time="5", partition="batch", cpus_per_task=1, max_requeues=1)
    with wrapped(tmp_path / "bin", {"scontrol": 'sleep 1; real "$@"'}):  # the job's PATH, too
        run = submit(tmp_path, Step("saves", saves, args, str(tmp_path / "go")))
        until(lambda: lines(saved) == ["attempt 1"])
        for signal in ("USR2", "TERM"):
            slurm_says("scancel", f"--signal={signal}", of_run(run, "saves"))
            time.sleep(0.3)
    until(lambda: begin_now(run, "saves") and len(lines(saved)) == 2, 150)
    assert settled(run) == {"saves": "DONE"}


def test_a_release_passes_over_what_has_ended_and_complains_of_what_stays_held(
    slurm: Cluster, tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\nexit 0\n")
    client = SlurmClient()
    options = ["--partition=batch", "--time=5", "--output=/dev/null"]
    ended = client.submit(str(script), options)
    held = [client.submit(str(script), [*options, "--hold"]) for _ in range(3)]
    unknown = replace(ended, job_id="999999")
    until(lambda: client.queue(None)[ended.job_id].state == "COMPLETED")
    client.cancel(held[:1])
    client.release([ended, unknown, *held])
    until(lambda: [client.queue(None)[job.job_id].state for job in held[1:]] == ["COMPLETED"] * 2)
    still = client.submit(str(script), [*options, "--hold"])
    with wrapped(tmp_path / "bin", {"scontrol": "exit 1"}), pytest.raises(SchedulerError):
        client.release([ended, still])
    client.cancel([still])


def test_silent_slurm_gives_the_last_known_states_marked_stale(
    slurm: Cluster, tmp_path: Path
) -> None:
    root = Chain(
        note("first", tmp_path / "ran"),
        Step("second", steps.gate, ARGS, str(tmp_path / "go")),
        note("third", tmp_path / "ran"),
    )
    run = submit(tmp_path, root)
    until(lambda: states(run)["second"] == "RUNNING")
    with stopped(slurm, "slurmctld"):
        began = time.monotonic()
        shown = planit(tmp_path, "status")  # squeue itself takes 9 s to give up
        assert time.monotonic() - began < 15
        assert shown.code == SchedulerError.exit_code == 4
        assert "Stale: the scheduler does not answer" in shown.out
        assert "Note: squeue: " in shown.out
        assert shown.out.count("(stale)") == 2
        run = Run(run.path, backend=IMPATIENT)
        assert states(run) == {"first": "DONE", "second": "RUNNING", "third": "PENDING"}
        with pytest.raises(SchedulerError):
            run.cancel()
        with pytest.raises(SchedulerError, match="cannot tell what is in the queue: squeue"):
            run.resume()
        (tmp_path / "go").touch()
        until(lambda: states(run)["second"] == "DONE")  # its marker needs no scheduler
    run = Run(run.path)
    assert set(settled(run).values()) == {"DONE"}


def test_silent_slurm_refuses_a_submission_and_leaves_nothing_running(
    slurm: Cluster, tmp_path: Path
) -> None:
    stop_after_first = f'real "$@"; code=$?; touch {tmp_path}/in; exit $code'
    slow = f"[ -e {tmp_path}/in ] && {{ touch {tmp_path}/second; while [ ! -e {tmp_path}/down ];"
    slow += f" do sleep 0.05; done; }}\n{stop_after_first}"
    root = Chain(note("a", tmp_path / "ran"), note("b", tmp_path / "ran"))

    def stop() -> None:
        until((tmp_path / "second").exists)
        slurm.stop_daemon("slurmctld")
        (tmp_path / "down").touch()

    stopper = threading.Thread(target=stop)
    stopper.start()
    try:
        with (
            wrapped(tmp_path / "bin", {"sbatch": slow}),
            pytest.raises(SubmissionError, match="could not be taken back") as refused,
        ):
            submit(tmp_path, root, client=IMPATIENT.client, retry_wait_s=0.1)
    finally:
        stopper.join()
        slurm.start_daemon("slurmctld")
        slurm.wait_ready()
    assert "planit resume finishes" in str(refused.value)
    run = Run.open(base=tmp_path)
    assert run.status().incomplete
    assert lines(tmp_path / "ran") == []
    run.resume()
    assert set(settled(run).values()) == {"DONE"}
    assert lines(tmp_path / "ran") == ["a", "b"]


def test_without_accounting_the_states_are_still_true(slurm: Cluster, tmp_path: Path) -> None:
    base = tmp_path
    with stopped(slurm, "slurmdbd"):
        root = Parallel(
            Chain(note("good", base / "ran"), note("next", base / "ran")),
            Chain(Step("bad", steps.fail, ARGS), note("behind", base / "ran")),
            Step("dead", steps.killed, ARGS),
        )
        run = submit(base, root)
        assert settled(run) == {
            "good": "DONE",
            "next": "DONE",
            "bad": "FAILED",
            "behind": "BLOCKED",
            "dead": "FAILED",
        }
        assert planit(base, "status").code == 0


KILLED = "ended by signal 9 (SIGKILL) before the function returned"


@pytest.fixture(scope="module")
def ended_from_outside(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of which every step was cancelled, killed, out of memory, or blocked by such a one."""
    base = tmp_path_factory.mktemp("outside")
    gate = Step("gate", steps.gate, ARGS, str(base / "never"), str(base / "begun"))
    waiting = SlurmArgs("5", "batch", additional_params={"begin": "now+1hour"})
    root = Parallel(
        Chain(gate, note("behind", base / "ran")),
        Chain(note("waiting", base / "ran", waiting), note("behind2", base / "ran")),
        Chain(Step("dead", steps.killed, ARGS), note("behind3", base / "ran")),
        Step("child", steps.child, ARGS, str(base / "child")),
        Step("hog", steps.hog, SMALL),
        Parallel(*(Step(f"hog_{i}", steps.hog, SMALL) for i in "ab")),
    )
    run = submit(base, root)
    until(lambda: lines(base / "begun") and lines(base / "child"))
    for name in ("gate", "waiting", "child"):
        slurm_says("scancel", of_run(run, name))
    settled(run)
    return run


@pytest.mark.parametrize(
    ("name", "state", "cause"),
    [
        ("gate", "CANCELLED", "cancelled while it ran"),
        ("waiting", "CANCELLED", "cancelled before it ran"),
        ("child", "CANCELLED", "cancelled while it ran"),
        ("dead", "FAILED", KILLED),
        ("hog", "OUT_OF_MEMORY", "out of memory"),
        ("hog_a", "OUT_OF_MEMORY", "out of memory"),
        ("hog_b", "OUT_OF_MEMORY", "out of memory"),
        ("behind", "BLOCKED", "blocked by gate: CANCELLED"),
        ("behind2", "BLOCKED", "blocked by waiting: CANCELLED"),
        ("behind3", "BLOCKED", "blocked by dead: FAILED"),
    ],
)
def test_jobs_ended_from_outside_say_so(
    ended_from_outside: Run, name: str, state: str, cause: str
) -> None:
    step = ended_from_outside.status().step(name)
    assert (step.state, step.cause) == (state, cause)


def test_waiting_for_them_raises_all_that_did_not_succeed(ended_from_outside: Run) -> None:
    with pytest.raises(StepsFailedError) as failed:
        ended_from_outside.wait()
    ended = {"gate", "waiting", "dead", "child", "hog", "hog_a", "hog_b"}
    assert set(failed.value.failures) == ended
    assert set(failed.value.blocked) == {"behind", "behind2", "behind3"}


def test_requeued_job_keeps_its_place_and_shows_its_attempt(slurm: Cluster, tmp_path: Path) -> None:
    base = tmp_path
    names = ("gate", "child")
    root = Chain(
        Parallel(
            Step("gate", steps.gate, ARGS, str(base / "go"), str(base / "gate")),
            Step("child", steps.child, ARGS, str(base / "child")),
        ),
        note("behind", base / "ran"),
    )
    run = submit(base, root)
    until(lambda: all(lines(base / name) for name in names))
    for name in names:
        slurm_says("scontrol", "requeue", of_run(run, name))
    until(lambda: states(run)["gate"] == "PENDING", 20)
    assert not run.status().is_final
    assert states(run)["child"] in ("PENDING", "RUNNING")
    assert states(run)["behind"] == "PENDING"

    until(lambda: begin_now(run, *names) and len(lines(base / "gate")) == 2, 180)
    assert "attempt 2" in planit(base, "status").out
    (base / "go").touch()
    until(lambda: states(run)["gate"] == "DONE")
    run.cancel()
    assert run.status().step("gate").attempt == 2
    files = files_of(run.path, "gate")
    records = sorted(path.name for path in files.folder.glob(f"{files.index}.*.json"))
    assert records == [f"{files.index}.0.json", f"{files.index}.1.json"]


def test_ids_that_slurm_has_forgotten_release_nothing_too_early(tmp_path: Path) -> None:
    cluster = Cluster.start(min_job_age=2)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLURM_CONF", str(cluster.conf))
            bad = tmp_path / "bad"
            bad.touch()
            root = Chain(
                note("a", tmp_path / "ran"),
                Step("b", steps.note_unless, ARGS, str(bad), str(tmp_path / "ran"), "b"),
                note("c", tmp_path / "ran"),
            )
            run = submit(tmp_path, root)
            assert settled(run) == {"a": "DONE", "b": "FAILED", "c": "BLOCKED"}
            until(lambda: not slurm_says("squeue", "-h", "-t", "all"), 100)
            (run.path / "states.json").unlink()
            assert states(run) == {"a": "DONE", "b": "FAILED", "c": "BLOCKED"}
            with wrapped(tmp_path / "bin", ("squeue", "sacct")) as calls:
                assert states(run) == {"a": "DONE", "b": "FAILED", "c": "BLOCKED"}
                assert lines(calls) == []  # what Slurm has forgotten cannot be requeued
            bad.unlink()
            run.resume()
            edges = json.loads((run.path / "submissions" / "2.json").read_text())["stages"]
            assert [stage["edges"] for stage in edges] == [[], [["afterok", 0]]]
            assert settled(run) == {"a": "DONE", "b": "DONE", "c": "DONE"}
            assert lines(tmp_path / "ran") == ["a", "b", "c"]
    finally:
        cluster.stop()


def test_job_that_vanished_is_lost_and_resumed(
    slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Chain(note("a", tmp_path / "ran"), note("b", tmp_path / "ran"))
    run = submit(tmp_path, root)
    assert set(settled(run).values()) == {"DONE"}
    journal = run.path / "journal.jsonl"
    text = journal.read_text()
    for job in (of_run(run, "a"), of_run(run, "b")):
        text = text.replace(f'"job": "{job}"', f'"job": "{int(job) + 1_000_000}"')
    journal.write_text(text)
    (run.path / "states.json").unlink()
    for name in ("a", "b"):
        files_of(run.path, name).record(0).unlink()
    run = Run(run.path)
    assert states(run) == {"a": "PENDING", "b": "PENDING"}
    assert run.status().stale
    assert "lost if it still does not after 120 s" in planit(tmp_path, "status").out
    with pytest.raises(SchedulerError, match="cannot tell what still runs"):
        run.resume()
    monkeypatch.setattr(decide, "LOST_AFTER_S", 1)
    time.sleep(1.1)
    assert states(run) == {"a": "LOST", "b": "BLOCKED"}
    assert planit(tmp_path, "wait").code == 1
    run.resume()
    assert set(settled(run).values()) == {"DONE"}
    assert lines(tmp_path / "ran") == ["a", "b", "a", "b"]


def test_torn_and_foreign_files_are_survived_and_reported(slurm: Cluster, tmp_path: Path) -> None:
    run = submit(tmp_path, Chain(note("a", tmp_path / "ran"), note("b", tmp_path / "ran")))
    assert set(settled(run).values()) == {"DONE"}
    ids = f"{of_run(run, 'a')},{of_run(run, 'b')}"
    ended = ["COMPLETED", "COMPLETED"]
    until(lambda: slurm_says("squeue", "-h", "-t", "all", "-j", ids, "-o", "%T").split() == ended)
    with (run.path / "journal.jsonl").open("a") as file:
        file.write('{"event": "canc')
    broken = files_of(run.path, "a").record(0)
    broken.write_text('{"outcome": "suc')
    files_of(run.path, "b").record(0).unlink()
    (run.path / "stages" / "thesis.tex").write_text("a foreign file")
    broken.with_name("0.nonsense.json").write_text("[]")
    (run.path / "submissions" / "notes.json").write_text("{")
    (run.path / "states.json").write_text("{torn")
    found = until(lambda: (status := Run(run.path).status()).is_final and status)
    assert any(f"{broken.name} is not readable" in problem for problem in found.problems)
    shown = status_json(tmp_path)
    assert [step["state"] for step in shown["steps"]] == ["DONE", "DONE"]  # Slurm says COMPLETED
    assert any("is not a whole event" in problem for problem in shown["problems"])
    run.resume(start_from=["b"])
    assert set(settled(Run(run.path)).values()) == {"DONE"}
    assert lines(tmp_path / "ran") == ["a", "b", "b"]


def test_runs_asks_the_backend_of_each_run_and_each_cluster_once(
    slurm: Cluster, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    gates = [Step("gate", steps.gate, ARGS, str(go), str(tmp_path / f"b{i}")) for i in range(3)]
    runs = [submit(tmp_path, gate) for gate in gates[:2]]
    here = LocalBackend(cpus=1, gpus=0)
    local = Run(NewRun(plan="p", root=gates[2], base=tmp_path, backend=here).start()[0].path)
    until(lambda: all(lines(tmp_path / f"b{i}") for i in range(3)))
    with wrapped(tmp_path / "bin", ("squeue", "sacct")) as calls:
        shown = planit(tmp_path, "runs").out
    assert shown == "".join(f"{run.run_id}  p  1 running\n" for run in [local, *runs[::-1]])
    assert lines(calls) == ["squeue"]
    go.touch()
    assert [settled(run) for run in [*runs, local]] == [{"gate": "DONE"}] * 3


def test_a_resume_on_slurm_keeps_the_settings_of_the_backend_and_takes_new_ones(
    slurm: Cluster, tmp_path: Path
) -> None:
    run = submit(tmp_path, Step("bad", steps.fail, ARGS), kill_on_invalid_dep=False)
    settled(run)
    script = run.path / "stages" / "{}.0" / "script.sh"
    for number, words, cancels in (
        (2, (), False),
        (3, ("backend.kill_on_invalid_dep=true",), True),
    ):
        assert planit(tmp_path, "resume", *words).code == 0
        text = Path(str(script).format(number)).read_text()
        assert ("PLANIT_CANCELS=1" in text) == cancels
        settled(run)
    refused = planit(tmp_path, "resume", "backend.cpus=2")
    assert (refused.code, "is not a setting of backend=slurm" in refused.err) == (2, True)


def test_status_asks_once_per_tool_and_not_for_what_is_final(
    slurm: Cluster, tmp_path: Path
) -> None:
    branches = [
        Chain(Step(f"a{i}", steps.succeed, ARGS), Step(f"b{i}", steps.fail, ARGS))
        for i in range(20)
    ]
    run = submit(tmp_path, Chain(Parallel(*branches), note("end", tmp_path / "ran")))
    tools = ("squeue", "sacct", "scontrol", "sbatch")
    with wrapped(tmp_path / "bin", tools) as calls:
        planit(tmp_path, "status")
        assert lines(calls) == ["squeue"]
        until(lambda: run.status().is_final)
        until(lambda: not any(step.queued for step in run.status().steps))
        calls.unlink()
        planit(tmp_path, "status")
        planit(tmp_path, "runs")
        assert planit(tmp_path, "wait").code == 1
        assert lines(calls) == ["squeue"] * 3  # what failed may be requeued by hand
        (run.path / "states.json").unlink()
        calls.unlink()
        run.status()
        assert lines(calls) in (["squeue"], ["squeue", "sacct"])
    assert not in_queue(run)
    assert SlurmClient().calls == {}
