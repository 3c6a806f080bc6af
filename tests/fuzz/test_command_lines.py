"""Random command lines: each has an answer, or one clear line and leaves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.tools import ESCAPE, REFUSED, assert_told, fuzzed, tried
from tests.helpers import all_below, write

STEP = "{func: os.getcwd, slurm_args: cpu}"
PLAN = f"_target_: planit.Plan\nname: mine\nsteps:\n  a: {STEP}\n  b: {STEP}\n"
FILES = {
    "plan/fine.yaml": PLAN + "root: {_target_: planit.Chain, _args_: [a, b]}\n",
    "plan/swept.yaml": PLAN.replace("slurm_args: cpu}", "slurm_args: cpu, lr: ${lr}}")
    + "root: a\n",
    "experiment/foo.yaml": "# @package _global_\nlr: 3\n",
    "config.yaml": "defaults: [_self_, plan: fine, slurm: cpu, backend: debug,"
    " optional experiment: null]\nlr: 1\naction: describe\nruns_dir: planit_runs\n",
}
VERBS = "describe submit runs status results show logs wait cancel resume clean help".split()
KEYS = [
    "plan", "slurm", "slurm@cpu", "backend", "experiment", "lr", "action", "runs_dir", "sweep.join",
    "sweep.share", "share", "plan.name", "plan.root", "plan.steps", "plan.steps.a",
    "plan.steps.a.x",
    "plan.steps.a.slurm.time", "plan.steps.a.slurm_args", "plan.steps.b.func", "slurm.time",
    "slurm.gpus_per_node", "slurm.additional_params", "backend.cpus", "backend.name", "hydra.mode",
    "hydra.sweeper.params", "hydra/sweeper", "hydra/launcher", "hydra.verbose", "hydra.run.dir",
    "hydra.job.name", "hydra.sweep.dir", "no.such",
]  # fmt: skip
SETTINGS = [
    "fine", "swept", "null", "foo", "foo,null", "null,null", "1", "1,2", "-1", "1.5", "true", "",
    "''", "[]", "[a,b]", "[a", "{}", "{a:1}", "${lr}", "${no.such}", "${lr", "???", "range(0,3)",
    "range(3)", "choice(1,2)", "interval(0,1)", "glob(*)", "sort(3,1)", "a", "b", "cpu", "debug",
    "describe", "submit", "00:10:00", "x" * 300, "a/b", "../a", ESCAPE, "a b", "é", "basic",
    "MULTIRUN", "RUN", "1e999", "nan", "0x", "a=b", "@a", "~", "a\nb", "[" * 400,
]  # fmt: skip
FLAGS = [
    "-m", "--multirun", "--help", "-h", "--cfg", "--cfg=job", "job", "all", "hydra", "--info",
    "--info=plugins", "--resolve", "--package", "-p", "plan", "--config-dir", "-cd", "conf",
    "--config-name", "-cn", "config", "--config-path", "-cp", "--run", "--version", "-V",
    "--experimental-rerun", "--hydra-help", "--shell-completion", "-sc", "--detach", "--nope",
    "--mult", "-x", "--", "-", "--tail", "-n", "-1", "3", "--follow", "--path", "--json", "--all",
    "--runs-dir", "x" * 300, ESCAPE, "--dry-run",
    "--from", "--only", "--config", "--older", "--older-than", "30d", "--keep-last",
    "--failed", "nothing", ".", "/", "",
]  # fmt: skip
# What shows itself until it is stopped, or starts a server of processes, is no input to be refused.
WORDS = st.one_of(
    st.sampled_from(FLAGS),
    st.builds(
        "{}{}={}".format,
        st.sampled_from(["", "", "", "+", "++", "~"]),
        st.sampled_from(KEYS),
        st.sampled_from(SETTINGS),
    ),
    st.builds("~{}".format, st.sampled_from(KEYS)),
    st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=6
    ),
    st.sampled_from(["\udce9", "plan=caf\udce9"]),
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    for name, text in FILES.items():
        write(folder / "conf" / name, text)
    return folder


def test_any_command_line_gives_an_answer_or_one_clear_line(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")  # no sbatch, whatever is here

    @fuzzed
    @given(st.sampled_from(["", "", "submit", *VERBS]), st.lists(WORDS, max_size=4))
    def check(verb: str, words: list[str]) -> None:
        before = all_below(project)
        done = tried([*([verb] if verb else []), *words], project)
        assert_told(done)
        if done.code in REFUSED:
            assert all_below(project) == before

    check()
