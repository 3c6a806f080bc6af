"""What a plan means, on every backend: slurm, local (forked and fresh steps) and debug."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from pathlib import Path

import pytest

from planit import Chain, Command, Parallel, SlurmArgs, Step, Sweep
from tests.contract import work
from tests.contract.drivers import ARGS, DEBUG_LACKS, ON_SLURM, Driver
from tests.graph.reference import ancestors
from tests.helpers import all_below, files_of, write
from tests.slurm import steps
from tests.slurm.tools import lines, settled, until


@pytest.fixture(params=[ON_SLURM, "local-fork", "local-spawn", "debug"])
def driver(request: pytest.FixtureRequest) -> Driver:
    if request.param == "slurm":
        request.getfixturevalue("slurm")
    return Driver(request.param)


def skip_where_lacking(driver: Driver, what: str) -> None:
    if driver.lacks(what):
        pytest.skip(f"debug: {DEBUG_LACKS[what]}")


def timed(name: str, folder: Path) -> Step:
    return Step(name, work.timed, ARGS, str(folder), name)


def test_every_step_starts_after_all_before_it_have_ended(driver: Driver, tmp_path: Path) -> None:
    folder = tmp_path / "times"
    folder.mkdir()
    root = Chain(
        timed("first", folder),
        Parallel(
            Chain(timed("a", folder), Parallel(timed("b", folder), timed("c", folder))),
            Chain(),
            timed("d", folder),
        ),
        timed("last", folder),
    )
    assert set(driver.run(tmp_path / "runs", root).values()) == {"DONE"}
    times = {path.stem: json.loads(path.read_text()) for path in folder.iterdir()}
    for name, before in ancestors(root).items():
        for parent in before:
            assert times[parent]["end"] <= times[name]["start"], (parent, name)


def test_a_failed_step_stops_what_is_behind_it_and_nothing_else(
    driver: Driver, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"

    def note(name: str) -> Step:
        return Step(name, work.note, ARGS, str(ran), name)

    root = Chain(
        note("first"),
        Parallel(
            Chain(Step("bad", work.fail, ARGS), Parallel(note("x"), Chain(note("y"), note("z")))),
            Chain(note("sibling"), note("its_tail")),
        ),
        note("join"),
    )
    assert driver.run(tmp_path / "runs", root) == {
        "first": "DONE",
        "bad": "FAILED",
        "x": "BLOCKED",
        "y": "BLOCKED",
        "z": "BLOCKED",
        "sibling": "DONE",
        "its_tail": "DONE",
        "join": "BLOCKED",
    }
    assert lines(ran) == ["first", "sibling", "its_tail"]


def test_a_failed_branch_of_a_sweep_stops_its_own_tail_only(driver: Driver, tmp_path: Path) -> None:
    branches = [
        Chain(
            Step(f"train_{i}", work.fail_if, ARGS, i == 3),
            Step(f"test_{i}", work.note, ARGS, str(tmp_path / "ran"), str(i)),
        )
        for i in range(6)
    ]
    found = driver.run(tmp_path / "runs", Parallel(*branches))
    assert {name for name, state in found.items() if state != "DONE"} == {"train_3", "test_3"}
    assert sorted(lines(tmp_path / "ran")) == ["0", "1", "2", "4", "5"]


def test_a_limit_holds_and_a_failure_makes_room(driver: Driver, tmp_path: Path) -> None:
    room, lanes = tmp_path / "room", tmp_path / "lanes"
    room.mkdir()
    over = {"number": range(5)}
    sweep = Sweep("s", work.crowd, ARGS, str(room), over=over, max_concurrent=2)
    mixed = Parallel(
        Step("m0", work.crowd, ARGS, str(lanes), 0),
        Chain(Step("m1", work.crowd, ARGS, str(lanes), 1), Step("bad", work.fail, ARGS)),
        Step("m2", work.crowd, ARGS, str(lanes), 2),
        max_concurrent=1,
    )
    lanes.mkdir()
    found = driver.run(tmp_path / "runs", Parallel(sweep, mixed))
    assert {name for name, state in found.items() if state != "DONE"} == {"bad"}
    assert max(int(line) for line in lines(Path(f"{room}.most"))) <= 2
    assert max(int(line) for line in lines(Path(f"{lanes}.most"))) == 1


def test_commands_run_in_their_folder_with_their_environment(
    driver: Driver, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    root = Parallel(
        Command("shell", 'echo "$WORD $PWD" > out', ARGS, cwd=tmp_path, env={"WORD": "a'b"}),
        Command(
            "argv", ["/bin/sh", "-c", 'echo "$1" > "$2"', "x", "$HOME *", str(out) + "2"], ARGS
        ),
        Command("code", "exit 7", ARGS),
        Command("missing", ["no-such-program-here"], ARGS),
    )
    found = driver.run(tmp_path / "runs", root)
    assert found == {"shell": "DONE", "argv": "DONE", "code": "FAILED", "missing": "FAILED"}
    assert lines(out) == [f"a'b {tmp_path}"]
    assert lines(Path(f"{out}2")) == ["$HOME *"]


def test_results_are_what_was_returned_and_plain_ones_are_in_the_record(
    driver: Driver, tmp_path: Path
) -> None:
    """Of a command what it wrote to the file; that file is gone."""
    wrong, right = (
        Command(name, f"echo {shlex.quote(text)} > $PLANIT_RESULT; test -s $PLANIT_RESULT", ARGS)
        for name, text in (("wrong", "{oops"), ("right", '{"loss": [0.5, NaN]}'))
    )
    root = Parallel(
        Sweep("pair", work.pair, ARGS, over={"x": [1, 2]}), wrong, right, Step("set", set, ARGS)
    )
    if driver.name != "debug":
        run = driver.start(tmp_path / "runs", root)
        assert set(settled(run, 120).values()) == {"DONE"}
        rows = {row.step: row for row in run.results("pair")}
        assert [(row.values, row.result) for row in rows.values()] == [
            ({"x": 1}, [1, 0.5]),
            ({"x": 2}, [2, 0.5]),
        ]
        found = {name: run.results(name)[0] for name in ("wrong", "right", "set")}
        assert repr(found["right"].result) == "{'loss': [0.5, nan]}"
        assert found["wrong"].result is None
        assert not found["wrong"].is_pickled
        assert found["set"].is_pickled
        assert "$PLANIT_RESULT is not JSON" in files_of(run.path, "wrong").log().read_text()
        assert all_below(run.path / "steps") == []
        return
    jobs = driver.jobs(tmp_path / "runs", root)
    assert repr({name: job.result() for name, job in jobs.items()}) == repr(
        {
            "pair[x=1]": (1, 0.5),
            "pair[x=2]": (2, 0.5),
            "wrong": None,
            "right": {"loss": [0.5, float("nan")]},
            "set": set(),
        }
    )


def test_setup_lines_run_before_and_a_failing_one_fails_the_step(
    driver: Driver, tmp_path: Path
) -> None:
    skip_where_lacking(driver, "setup")
    good = SlurmArgs("5", "batch", setup=["export FROM_SETUP='set up'"])
    bad = SlurmArgs("5", "batch", setup=["false", "true"])
    left = SlurmArgs("5", "batch", setup=["exit 0"])
    seen = tmp_path / "seen"
    root = Parallel(
        Step("good", work.variable, good, str(seen), "FROM_SETUP"),
        Chain(Step("bad", work.note, bad, str(seen), "bad"), Step("behind", work.fail, ARGS)),
        Chain(Step("left", work.note, left, str(seen), "left"), Step("after", work.fail, ARGS)),
    )
    assert driver.run(tmp_path / "runs", root) == {
        "good": "DONE",
        "bad": "FAILED",
        "behind": "BLOCKED",
        "left": "FAILED",
        "after": "BLOCKED",
    }
    assert lines(seen) == ["set up"]


def test_steps_know_where_they_are_and_change_nothing_around_them(
    driver: Driver, tmp_path: Path
) -> None:
    before = dict(os.environ)
    skip_where_lacking(driver, "environment")
    seen = tmp_path / "seen"
    run = driver.start(tmp_path / "runs", Step("who am I", work.variable, ARGS, str(seen), ""))
    until(lambda: run.status().is_final)
    told = json.loads(seen.read_text())
    assert told["PLANIT_STEP"] == "who am I"
    assert told["PLANIT_RUN_DIR"] == str(run.path)
    assert Path(told["PLANIT_STEP_DIR"]).parent == run.path / "steps"
    assert dict(os.environ) == before


def test_odd_names_and_places(driver: Driver, tmp_path: Path) -> None:
    base = tmp_path / "ein Ordner mit 'Ümläuten'"
    base.mkdir()
    ran = base / "ran"
    names = ["prétraitement", "a b", "../up", "$(touch x)", "semi;colon", "日本", "UP", "up"]
    root = Parallel(*(Step(name, work.note, ARGS, str(ran), name) for name in names))
    assert set(driver.run(base, root, plan="ein Plan").values()) == {"DONE"}
    assert sorted(lines(ran)) == sorted(names)


def test_large_output_is_all_in_the_log(driver: Driver, tmp_path: Path) -> None:
    skip_where_lacking(driver, "record")
    run = driver.start(tmp_path / "runs", Step("loud", work.loud, ARGS, 10_000_000))
    until(lambda: run.status().is_final)
    log, *others = files_of(run.path, "loud").logs()
    assert log.stat().st_size >= 10_000_000
    assert not others


def test_many_branches_and_a_join(driver: Driver, tmp_path: Path) -> None:
    count = 40 if driver.name in ("slurm", "local-spawn") else 200
    sweep = Sweep("s", work.note, ARGS, str(tmp_path / "ran"), over={"text": range(count)})
    root = Chain(sweep, Step("join", work.note, ARGS, str(tmp_path / "ran"), "join"))
    assert set(driver.run(tmp_path / "runs", root).values()) == {"DONE"}
    noted = lines(tmp_path / "ran")
    assert (len(noted), noted[-1]) == (count + 1, "join")


def test_cancel_ends_a_step_and_what_is_behind_it(driver: Driver, tmp_path: Path) -> None:
    skip_where_lacking(driver, "record")
    begun = tmp_path / "begun"
    root = Parallel(
        Chain(Step("long", work.sleep, ARGS, str(begun), 60.0), Step("tail", work.fail, ARGS)),
        Step("other", work.sleep, ARGS, str(begun), 2.0),
    )
    run = driver.start(tmp_path / "runs", root)
    until(lambda: len(lines(begun)) == 2)
    assert set(run.cancel("long").steps) == {"long", "tail"}
    until(lambda: run.status().is_final)
    found = {step.name: step.state.value for step in run.status().steps}
    assert found == {"long": "CANCELLED", "tail": "CANCELLED", "other": "DONE"}
    assert run.cancel().steps == ()


def test_resume_runs_what_is_not_done_and_nothing_twice(driver: Driver, tmp_path: Path) -> None:
    skip_where_lacking(driver, "record")
    flag, ran = tmp_path / "mended", tmp_path / "ran"
    root = Chain(
        Step("once", work.note, ARGS, str(ran), "once"),
        Step("flaky", work.fail_unless, ARGS, str(flag)),
        Step("tail", work.note, ARGS, str(ran), "tail"),
    )
    run = driver.start(tmp_path / "runs", root)
    until(lambda: run.status().is_final)
    assert run.status().step("tail").state == "BLOCKED"
    flag.touch()
    assert [d.step for d in run.resume() if d.action == "rerun"] == ["flaky", "tail"]
    until(lambda: run.status().is_final)
    assert run.status().succeeded
    assert lines(ran) == ["once", "tail"]


def test_wall_time_is_enforced(driver: Driver, tmp_path: Path) -> None:
    skip_where_lacking(driver, "time")
    if driver.name == "slurm":
        pytest.skip("Slurm ends jobs by the minute: tests/slurm/test_wall_time.py")
    short = SlurmArgs("0:03", "batch")  # a fresh interpreter needs some of it
    root = Parallel(
        Chain(
            Step("slow", work.sleep, short, str(tmp_path / "b"), 30.0), Step("t", work.fail, ARGS)
        ),
        Step("deaf", work.ignore_signals, short, str(tmp_path / "b"), 30.0),
        Step("quick", work.note, short, str(tmp_path / "b"), "quick"),
    )
    started = time.monotonic()
    found = driver.run(tmp_path / "runs", root)
    assert found == {"slow": "TIMEOUT", "t": "BLOCKED", "deaf": "TIMEOUT", "quick": "DONE"}
    assert time.monotonic() - started < 25


def test_a_step_that_saves_itself_goes_on_where_it_was(driver: Driver, tmp_path: Path) -> None:
    if not driver.name.startswith("local"):
        pytest.skip("on Slurm: tests/slurm/test_wall_time.py; debug ends no step")
    args = SlurmArgs("0:06", "batch", max_requeues=2)
    saves = Step("saves", work.Counter(str(tmp_path / "ran")), args)
    run = driver.start(tmp_path / "runs", saves)
    until(lambda: run.status().is_final)
    assert run.status().succeeded, run.status()
    assert run.status().step("saves").attempt == 2
    assert lines(tmp_path / "ran") == ["attempt 1", "attempt 2"]


def test_what_is_edited_added_and_removed_while_jobs_wait_changes_nothing(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Functions, commands, scripts, what they import late, and data beside the code."""
    skip_where_lacking(driver, "record")
    project, out = tmp_path / "project", tmp_path / "out"
    texts = {
        "mine_fit.py": "def fit(out):\n    from mine_pack import late\n    late.note(out, 'old')\n",
        "mine_pack/__init__.py": "",
        "mine_pack/__main__.py": "import sys, mine_pack.late as m\nm.note(*sys.argv[1:])\n",
        "mine_pack/late.py": (
            "from pathlib import Path\n"
            "def note(out, text):\n"
            "    data = (Path(__file__).parent / 'data.txt').read_text()\n"
            "    with open(out, 'a') as file:\n"
            "        file.write(f'{text} late-old {data}\\n')\n"
        ),
        "mine_pack/data.txt": "data-old",
        "train.py": "import sys\nfrom mine_pack.late import note\nnote(sys.argv[1], 'old')\n",
        "run.sh": "echo shell-old\nexec python train.py $1\n",
    }
    for name, text in texts.items():
        write(project / name, text)
    monkeypatch.chdir(project)
    monkeypatch.syspath_prepend(str(project))
    python = shlex.quote(sys.executable)
    shell = f"PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH bash run.sh {out}"
    run = driver.start(
        tmp_path / "runs",
        Chain(
            Step("gate", steps.gate, ARGS, str(tmp_path / "go")),
            Step("function", "mine_fit.fit", ARGS, str(out)),
            Command("script", f"{python} train.py {out}", ARGS),
            Command("module", [sys.executable, "-m", "mine_pack", str(out), "old"], ARGS),
            Command("shell", shell, ARGS),
        ),
    )
    for name, text in texts.items():
        (project / name).write_text(text.replace("old", "new"))
    (project / "mine_fit.py").unlink()
    (project / "json.py").write_text("raise SystemExit('added since')")
    (tmp_path / "go").touch()
    assert set(settled(run, 120).values()) == {"DONE"}
    assert lines(out) == ["old late-old data-old"] * 4
    assert files_of(run.path, "shell").log().read_text() == "shell-old\n"
