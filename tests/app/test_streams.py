"""What planit is started with: closed and full streams, encodings, working directories, users."""

from __future__ import annotations

import json
import os
import pwd
import shlex
import sys
from pathlib import Path

import pytest

from planit.app.main import main
from tests.helpers import Done, all_below, planit_here, run_python, write

PLAN = (
    "_target_: planit.Plan\nname: mine\nsteps:\n  a: {func: os.getcwd, slurm_args: cpu}\nroot: a\n"
)
CLOSED = "standard output is closed"
FULL = "cannot write to standard output: No space left on device"


@pytest.fixture
def project(empty_dir: Path) -> Path:
    write(empty_dir / "conf" / "plan" / "mine.yaml", PLAN)
    return empty_dir


def shell(folder: Path, words: str, **env: str) -> Done:
    """``planit WORDS``, with redirections, in a shell."""
    planit = f"{shlex.quote(sys.executable)} -m planit"
    code = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1], shell=True).returncode)"
    return run_python("-c", code, f"{planit} {words}", cwd=folder, env=env)


@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize(("words", "says"), [(">&-", CLOSED), (">/dev/full", FULL)])
def test_an_answer_that_cannot_be_written_is_an_error(
    project: Path, words: str, says: str, buffered: str
) -> None:
    before = all_below(project)
    done = shell(project, f"plan=mine {words}", PYTHONUNBUFFERED=buffered)
    assert done.err.splitlines()[0] == f"planit: error: {says}"
    assert len(done.err.splitlines()) <= 2
    assert done.code == 2
    assert all_below(project) == before


def test_with_standard_output_closed_nothing_is_submitted(project: Path) -> None:
    before = all_below(project)
    assert shell(project, "submit plan=mine backend=debug >&-").code == 2
    assert all_below(project) == before


def test_with_standard_error_closed_the_answer_is_the_same(project: Path) -> None:
    assert shell(project, "plan=mine 2>&-").out == shell(project, "plan=mine").out
    assert shell(project, "plan=no 2>&-") == Done(2, "", "")


C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
PLAIN = "Plan: mine\n`-- * a [01:00:00]\n"


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"LC_ALL": "C"}, "└── ● a"),
        (C_LOCALE, PLAIN),
        ({"PYTHONIOENCODING": "latin-1"}, PLAIN),
        ({"PYTHONIOENCODING": "ascii:strict"}, PLAIN),
    ],
)
def test_a_tree_is_plain_where_its_signs_cannot_be_written(
    project: Path, env: dict[str, str], says: str
) -> None:
    done = run_python("-m", "planit", "plan=mine", cwd=project, env=env)
    assert (done.code, done.err) == (0, "")
    assert says in done.out


SCRIPT = """\
import logging, sys
from planit import Chain, Command, Parallel, Plan, SlurmArgs
if sys.argv[1:]:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=getattr(sys, sys.argv[1]))
cpu = SlurmArgs(time="01:00:00", partition="batch")
a = Command("a", "true", cpu)
Plan("p", Chain(a, Parallel(Command("\\xe9t\\xe9", "true", cpu)))).describe()
"""


@pytest.mark.parametrize("words", [[], ["stdout"], ["stderr"]])
@pytest.mark.parametrize(
    ("env", "says"),
    [
        (C_LOCALE, "`-- v Chain [2:00:00]|    |-- * a [01:00:00]|    `-- = Parallel [1:00:00]|"),
        ({"PYTHONIOENCODING": "latin-1"}, "        `-- * \xe9t\xe9 [01:00:00]|"),
        ({"PYTHONIOENCODING": "ascii:strict"}, "        `-- * \\xe9t\\xe9 [01:00:00]|"),
        ({"PYTHONIOENCODING": "utf-8"}, "        └── ● \xe9t\xe9 [01:00:00]|"),
    ],
)
def test_a_script_describes_its_plan_on_any_terminal(
    project: Path, env: dict[str, str], says: str, words: list[str]
) -> None:
    script = write(project / "script.py", SCRIPT)
    encoding = env.get("PYTHONIOENCODING", "ascii").partition(":")[0]
    done = run_python(str(script), *words, cwd=project, env=env, encoding=encoding)
    assert says in (done.out + done.err).replace("\n", "|")
    assert done.code == 0
    assert "Error" not in done.err


def test_branches_that_are_not_shown_are_dots_on_a_plain_terminal(
    project: Path,
) -> None:
    done = run_python(
        "-m", "planit", "-m", "plan=mine", "+plan.steps.a.x=range(9)", cwd=project, env=C_LOCALE
    )
    assert done.code == 0, done.err
    assert "    |-- ... 7 more branches\n" in done.out


def test_a_working_directory_that_is_gone_is_one_line(project: Path) -> None:
    gone = project / "gone"
    gone.mkdir()
    for words in ("plan=mine", "submit plan=mine backend=debug", "status"):
        code = (
            "import os, sys; from planit.app.main import main; os.chdir('gone');"
            " os.rmdir('../gone'); sys.exit(main(sys.argv[1:]))"
        )
        done = run_python("-c", code, *words.split(), cwd=project)
        gone.mkdir()
        assert done.err.splitlines()[0] == "planit: error: the working directory no longer exists"
        assert len(done.err.splitlines()) == 2
        assert done.code == 2
    assert all_below(project) == ["conf", "conf/plan", "conf/plan/mine.yaml", "gone"]


def test_a_working_directory_that_is_not_utf8_is_one_line(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = os.fsencode(project) + b"/caf\xe9"
    os.mkdir(odd)
    monkeypatch.chdir(os.fsdecode(odd))
    for words in (["plan=thesis"], ["submit", "plan=thesis", "backend=debug"], ["runs"]):
        assert main(words) == 2
        first = capsys.readouterr().err.splitlines()[0]
        assert first.startswith("planit: error: the working directory '")
        assert first.endswith("caf\\udce9' is not UTF-8")
    assert os.listdir(odd) == []


def test_a_word_that_is_not_utf8_is_one_line(project: Path) -> None:
    done = planit_here("plan=caf\udce9")
    assert done.err.splitlines()[0] == "planit: error: 'plan=caf\\udce9' is not UTF-8"
    assert done.code == 2


def test_a_user_without_a_name_is_recorded_by_number(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_entry(uid: int) -> pwd.struct_passwd:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", no_entry)
    done = planit_here("submit", "plan=mine", "backend=slurm", "runs_dir='~/runs'")
    assert done.err.startswith("planit: error: ~/runs: there is no such user, or no home folder")
    assert done.code == 5
    monkeypatch.syspath_prepend(project)
    done = planit_here("submit", "plan=mine", "backend=local", "backend.cpus=8", "--detach")
    assert (done.code, done.err) == (0, "")
    manifest = next(project.glob("planit_runs/*/*/manifest.json"))
    assert json.loads(manifest.read_text())["user"] == str(os.getuid())
    assert planit_here("wait").code == 0


def test_a_bug_keeps_its_traceback_and_says_that_it_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_: object) -> int:
        raise AttributeError("a mistake")

    monkeypatch.setitem(sys.modules["planit.app.verbs"].VERBS, "runs", broken)
    with pytest.raises(AttributeError) as caught:
        main(["runs"])
    assert caught.value.__notes__[0].startswith("This is a bug in planit ")


def test_folders_with_escape_codes_in_their_names_are_only_shown(project: Path) -> None:
    odd = "runs\x1b[31m"
    assert planit_here("runs", "--runs-dir", odd).out == "No runs in runs\ufffd[31m\n"
    done = planit_here(
        "submit", "plan=mine", "backend=local", "backend.cpus=8", f"runs_dir='{odd}'"
    )
    assert (done.code, "\x1b" in done.out + done.err) == (0, False)
    for words in (["runs"], ["status"], ["wait"], ["cancel"], ["resume"], ["status", "x"]):
        done = planit_here(*words, "--runs-dir", odd)
        assert "\x1b" not in done.out + done.err
