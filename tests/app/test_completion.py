"""What is offered for each kind of word, and how soon."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planit import Chain, Parallel, Step
from planit.app.completing import answer as answers
from planit.app.completing.candidates import PathWanted, candidates
from planit.app.completing.typed import Typed
from planit.app.completing.verb_words import taken_by
from planit.app.verbs import VERBS
from tests.helpers import HERE, nothing, planit_here, write
from tests.memory import MemoryScheduler
from tests.record.test_index import made
from tests.runs import ARGS, a, submitted

OF_PLANS = ("describe", "check", "submit", "schema")
PRIMARY = """\
defaults: [slurm: gpu_a100, slurm@cpu: cpu, backend: local, plan: "???", _self_]
lr: 0.5
is_fast: true
note: a text of several words
"""
PLAN = """\
_target_: planit.Plan
name: wide
steps:
  say: {func: my.say, slurm_args: "${cpu}", x: "${lr}"}
  tell: {_target_: planit.Command, command: "echo told", slurm_args: "${cpu}"}
root: {_target_: planit.Chain, _args_: [say, tell]}
"""


def texts(*words: str) -> list[str]:
    """The candidates for the last of the words behind ``planit``."""
    return [text for text, _ in candidates(words[:-1], words[-1])]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    write(folder / "conf/config.yaml", PRIMARY)
    write(folder / "conf/plan/wide.yaml", PLAN)
    write(folder / "conf/plan/narrow.yaml", PLAN)
    (folder / "planit_runs").symlink_to(folder / "runs")
    says = [Step(f"say[lr={lr}]", nothing, ARGS, lr=lr) for lr in (0.1, 0.2)]
    branches = [
        step.of_branch("say", {"lr": lr}) for step, lr in zip(says, (0.1, 0.2), strict=True)
    ]
    root = Chain(a("load"), Parallel(*branches), a("tell"))
    submitted(MemoryScheduler(), folder, root)
    made(folder / "runs", "old", "20200101-000000-000-0000")
    return folder


@pytest.fixture(autouse=True)
def project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The working directory; the id of its latest run."""
    monkeypatch.chdir(folder)
    (run,) = (folder / "runs/p").iterdir()
    return run.name


def test_the_first_word_is_a_verb_or_an_override() -> None:
    assert texts("") == [*VERBS, "help"]
    assert texts("st") == ["status"]
    assert "plan=" in texts("pl")
    assert {"--config-dir", "--from", "--multirun"} <= set(texts("--"))


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in OF_PLANS])
def test_the_options_of_a_verb_are_those_of_its_help(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        VERBS[verb](["--help"])
    text = capsys.readouterr().out.partition("\noptions:")[2]
    printed: dict[str, bool] = {}
    for line in re.findall(r"^  (-.*?)(?:  .*)?$", text, re.MULTILINE):
        names = line.split(", ")  # Python 3.13 prints the value behind the last one only
        takes_value = " " in names[-1]
        printed |= {name.partition(" ")[0]: takes_value for name in names}
    options = taken_by(verb).options
    assert {name: kind is not None for name, kind in options.items()} == printed


def test_runs_and_plans_come_behind_the_verbs_that_take_them(project: str) -> None:
    runs = [project, "20200101-000000-000-0000", "p", "old"]
    for verb in ("status", "wait", "clean", "resume"):
        assert texts(verb, "") == runs
    assert texts("status", "--json", "2020") == ["20200101-000000-000-0000"]
    assert texts("status", "old/") == ["old/20200101-000000-000-0000"]
    assert texts("submit", "--after", "o") == ["old"]
    assert texts("submit", "--after=o") == ["--after=old"]
    assert texts("runs", "") == texts("status", "p", "") == texts("current", "") == []


def test_names_that_would_act_on_a_terminal_are_not_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path / "planit_runs", "red\x1b[31m", "20200101-000000-000-0000")
    made(tmp_path / "planit_runs", "plain", "20200101-000000-001-\x1b[31m")
    monkeypatch.chdir(tmp_path)
    assert texts("status", "") == ["plain"]


@pytest.mark.parametrize("verb", ["results", "show", "logs", "cancel"])
def test_steps_come_behind_a_run_or_stand_for_those_of_the_latest(project: str, verb: str) -> None:
    steps = ["load", "say", "tell"]
    assert texts(verb, "")[:3] == steps
    assert project in texts(verb, "")
    for run in ("p", project, f"p/{project}", project[-8:], f"planit_runs/p/{project}"):
        assert texts(verb, run, "") == steps
    assert texts(verb, "load", "t") == ["tell"]
    assert texts(verb, "old", "") == []
    assert texts(verb, "say[lr=0.") == ["say[lr=0.1]", "say[lr=0.2]"]
    assert texts("resume", "p", "--from", "t") == ["tell"]
    assert texts("resume", "--only=s") == ["--only=say"]


def test_a_path_is_left_to_the_shell() -> None:
    for words in (
        ["status", "--runs-dir", "x"],
        ["status", "--runs-dir=x"],
        ["submit", "--config-dir", ""],
        ["status", "./x"],
        ["status", "/"],
    ):
        with pytest.raises(PathWanted):
            candidates(words[:-1], words[-1])
    assert texts("status", "--runs-dir", "nowhere", "") == []


def test_options_that_take_something_else_offer_nothing() -> None:
    for words in (["logs", "--tail", ""], ["results", "--sort", ""], ["clean", "--older-than="]):
        assert texts(*words) == []
    assert texts("describe", "--cfg", "") == ["job", "hydra", "all"]
    assert texts("completion", "") == ["bash", "zsh", "fish"]
    assert texts("completion", "zsh", "") == []


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("submit plan=", ["plan=experiment", "plan=narrow", "plan=thesis", "plan=wide"]),
        ("submit -m plan=wide,n", ["plan=wide,narrow"]),
        ("plan=wide lr=0.1,0.2 plan.st", ["plan.steps."]),
        ("plan=wide plan.steps.", ["plan.steps.say.", "plan.steps.tell."]),
        ("plan=wide plan.steps.say.x", ["plan.steps.say.x="]),
        ("plan=wide plan.steps.say.slurm.ti", ["plan.steps.say.slurm.time="]),
        ("plan=wide plan.steps.say.slurm_args=c", ["plan.steps.say.slurm_args=cpu"]),
        ("plan=nothing l", ["lr="]),
        ("lr=", ["lr=0.5"]),
        ("is_fast=", ["is_fast=true", "is_fast=false"]),
        ("note=", []),
        ("++l", ["++lr="]),
        ("~slurm.acc", ["~slurm.account"]),
        ("cpu.mem_g", ["cpu.mem_gb="]),
        ("backend=l", ["backend=local"]),
        ("slurm@cpu=c", ["slurm@cpu=cpu"]),
        ("action=", ["action=describe", "action=submit"]),
        ("--config-dir nowhere lr", []),
        ("plan=wide --from ", ["say", "tell"]),
        ("plan=wide --only=t", ["--only=tell"]),
        ("resume slurm.ti", ["slurm.time="]),
        (
            "resume p plan.st",
            [
                "plan.steps.load.slurm.",
                "plan.steps.say.slurm.",
                "plan.steps.say.lr=",
                "plan.steps.tell.slurm.",
            ],
        ),
        ("resume plan.steps.say.l", ["plan.steps.say.lr="]),
        ("-cn nothing lr", []),
        ("-cd conf lr", ["lr="]),
        ("resume plan.steps.say.slurm.par", ["plan.steps.say.slurm.partition="]),
    ],
)
def test_overrides_are_those_of_the_configuration(words: str, wanted: list[str]) -> None:
    assert texts(*words.split(" ")) == wanted


BREAKS = " \t\n\"'><=;|&(:"


@pytest.mark.parametrize(
    ("line", "words", "current", "replies"),
    [
        ("planit ", ["planit"], "", ["a b[=$'c]"]),
        (r"planit a\ b", ["planit"], "a b", [r"a\ b\[=\$\'c\]"]),
        ("planit 'a b", ["planit"], "a b", [r"a b[=$'\''c]"]),
        ('planit "a b[', ["planit"], "a b[", ["a b[=\\$'c]"]),
        (r"planit a\ b\[=", ["planit"], "a b[=", [r"\$\'c\]"]),
        (r"planit x 'y z' a\ ", ["planit", "x", "y z"], "a ", [r"a\ b\[=\$\'c\]"]),
        ("planit >out a", ["planit"], "a", [r"a\ b\[=\$\'c\]"]),
    ],
)
def test_a_line_of_bash_is_read_and_completed_as_it_is_quoted(
    line: str, words: list[str], current: str, replies: list[str]
) -> None:
    typed = Typed.read(line, BREAKS)
    assert (typed.words, typed.current) == (words, current)
    if line != "planit ":
        assert typed.replies(["a b[=$'c]"]) == replies


WORDS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))


@settings(deadline=None)
@given(WORDS)
def test_words_are_read_as_they_were_quoted_and_quoted_as_they_are_read(words: list[str]) -> None:
    assert Typed.read(f"{shlex.join(words)} ", BREAKS).words == words
    line = " ".join(Typed.read("", BREAKS).replies(word.replace("\n", "") for word in words))
    assert shlex.split(line) == [word.replace("\n", "") for word in words if word != "\n"]


@settings(deadline=None)
@given(st.text(), st.text())
def test_whatever_is_typed_can_be_read(line: str, breaks: str) -> None:
    typed = Typed.read(line, breaks)
    assert 0 <= typed.kept <= len(typed.current)


def test_a_file_that_output_goes_to_is_a_path() -> None:
    for line in ("planit status > x", "planit status >x", "planit status 2>x"):
        with pytest.raises(PathWanted):
            answers.answer(["bash", BREAKS, "1", line])


def test_the_completion_of_a_shell_is_printed_and_others_are_refused() -> None:
    for shell in ("bash", "zsh", "fish"):
        done = planit_here("completion", shell)
        assert (done.code, done.err) == (0, "")
        assert f"_complete {shell}" in done.out
    done = planit_here("completion", "tcsh")
    assert (done.code, done.out) == (2, "")
    assert "invalid choice: 'tcsh'" in done.err


def ask(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Ask as a shell does."""
    code = "from planit.__main__ import console; console()"
    return subprocess.run(
        [sys.executable, *words[:2], "-c", code, "_complete", "zsh", *words[2:]],
        cwd=folder, env={"PYTHONPATH": HERE}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 runs, the latest of which has 1,000 branches of two steps."""
    folder = tmp_path_factory.mktemp("large")
    chains = [
        Chain(*(a(f"{name}[lr={lr}]").of_branch(name, {"lr": lr}) for name in ("fit", "eval")))
        for lr in range(1000)
    ]
    submitted(MemoryScheduler(), folder, Parallel(*chains))
    (folder / "runs").rename(folder / "planit_runs")
    for number in range(300):
        made(folder / "planit_runs", f"p{number % 5}", f"20200101-000000-{number:03}-0000")
    return folder


@pytest.mark.parametrize("words", [("status", ""), ("logs", ""), ("logs", "p", "fit[lr=99")])
def test_runs_and_steps_are_there_without_what_is_slow_to_import(
    large: Path, words: tuple[str, ...]
) -> None:
    done = ask(large, "-X", "importtime", *words)
    assert len(done.stdout.splitlines()) > 5
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert imported.isdisjoint({"hydra", "omegaconf", "submitit", "yaml", "argparse"})


def test_nothing_is_ever_printed_but_candidates(tmp_path: Path) -> None:
    write(tmp_path / "conf/config.yaml", "{")
    write(tmp_path / "planit_runs/p/20200101-000000-000-0000/manifest.json", "{")
    for words in (["submit", "plan="], ["logs", ""], ["submit", "--config-dir", "x", "y"], []):
        done = ask(tmp_path, "-X", "utf8", *words)
        assert (done.stderr, done.stdout) == ("", "")
