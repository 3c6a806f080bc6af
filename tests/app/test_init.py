"""``planit init``: what it writes works at once, and what is there stays as it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from planit.app.config import places
from planit.nodes import Command
from tests.app.test_overrides import plan_for, steps_for
from tests.app.test_places import PLAN, PRESET, PRIMARY, UNRELATED
from tests.backends.test_partitions import recorded
from tests.backends.tools import DOWN, Tools
from tests.helpers import Done, all_below, planit_here, write

PLAN_FILE, PRIMARY_FILE = Path("conf/plan/mine.yaml"), Path("conf/planit.yaml")
WRITTEN = [str(PLAN_FILE), str(PRIMARY_FILE), "conf/slurm/cpu.yaml", "conf/slurm/gpu.yaml"]
FOLDERS = ["conf", "conf/plan", "conf/slurm"]


@pytest.fixture
def no_slurm(empty_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory on a machine without Slurm."""
    monkeypatch.setenv("PATH", os.fspath(empty_dir.parent / "no-tools"))
    return empty_dir


@pytest.fixture
def odd_site(tools: Tools, empty_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    """An empty working directory on the recorded site, of one cluster."""
    for name in ("SLURM_CLUSTERS", "SBATCH_CLUSTERS"):
        monkeypatch.delenv(name, raising=False)
    config = "Configuration data as of 2026-11-28T00:00:00\nClusterName = odd\n"
    tools.answer("scontrol", config)
    tools.answer("scontrol", recorded("partitions", "22.05"), call=1)
    tools.answer("scontrol", recorded("nodes", "22.05"), call=2)
    tools.answer("sacctmgr", "odd|lp_one|lp_two\nodd|lp_one|lp_one\n")
    tools.answer("sacctmgr", "odd\n", call=1)
    return tools


def told(done: Done, word: str) -> list[str]:
    """The paths in the lines that begin with a word."""
    lines = [line for line in done.out.splitlines() if line.startswith(f"{word} ")]
    return sorted(line.split()[1].rstrip(",") for line in lines)


# Without Slurm


def test_a_start_is_written_and_said_with_the_next_command(no_slurm: Path) -> None:
    done = planit_here("init")
    assert (done.code, done.err, told(done, "wrote")) == (0, "", WRITTEN)
    assert all_below(no_slurm) == sorted([*FOLDERS, *WRITTEN])
    *_, examples, after = done.out.splitlines()
    assert examples == (
        "conf/slurm/cpu.yaml and conf/slurm/gpu.yaml: presets are examples, as there is no Slurm"
        " here (sbatch is not on PATH)"
    )
    assert after == (
        "Next, planit shows the plan, and planit submit runs it; then put your own steps"
        " into conf/plan/mine.yaml."
    )


def test_what_was_written_is_described_and_runs_here(
    no_slurm: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    planit_here("init")
    assert planit_here().out.startswith("Plan: mine\n")
    assert planit_here("submit", "backend=debug").code == 0
    assert "put your training here" in capfd.readouterr().out
    asked = {one.resources.options["cpus_per_task"] for one in steps_for().values()}
    assert asked == {1}  # so that backend=local takes it on any machine


def test_a_second_time_nothing_is_changed_and_that_is_said(no_slurm: Path) -> None:
    planit_here("init")
    before = {path: path.read_bytes() for path in map(Path, WRITTEN)}
    for path, content in before.items():
        path.write_bytes(content + b"# mine\n")
    done = planit_here("init")
    assert (done.code, told(done, "wrote"), told(done, "kept")) == (0, [], WRITTEN)
    assert {path: path.read_bytes().removesuffix(b"# mine\n") for path in before} == before
    assert all(path.read_bytes().endswith(b"# mine\n") for path in before)
    assert "planit plan=mine shows the plan" in done.out


def test_what_is_missing_is_added_to_what_is_there(no_slurm: Path) -> None:
    write(PLAN_FILE, PLAN)
    write(Path("conf/slurm/cpu.yaml"), PRESET)
    done = planit_here("init")
    assert told(done, "kept") == [str(PLAN_FILE), "conf/slurm/cpu.yaml"]
    assert told(done, "wrote") == [str(PRIMARY_FILE), "conf/slurm/gpu.yaml"]
    assert {one.resources.time_text for one in steps_for().values()} == {"09:00:00"}


def test_the_config_of_another_hydra_program_does_no_harm(no_slurm: Path) -> None:
    write(Path("conf/config.yaml"), UNRELATED)
    assert planit_here("init").code == 0
    assert plan_for().name == "mine"
    assert Path("conf/config.yaml").read_text() == UNRELATED


@pytest.mark.parametrize("name", ["config.yaml", "planit.yaml"])
def test_a_primary_config_that_is_there_stays_the_one(no_slurm: Path, name: str) -> None:
    write(Path("conf") / name, PRIMARY.replace("slurm: big", "slurm: gpu"))
    done = planit_here("init")
    assert f"conf/{name}" in told(done, "kept")
    assert places.primary(None)[1] == name.removesuffix(".yaml")
    words = "plan=mine slurm=cpu slurm@cpu=cpu"
    assert f"planit {words} shows the plan, and planit submit {words} runs it" in done.out
    assert plan_for(*words.split()).name == "mine"


@pytest.mark.parametrize(
    ("text", "is_planits"),
    [
        ("defaults: [planit, {plan: x}, _self_]\n", True),
        ("slurm_defaults: {account: x}\n", True),
        ("defaults: [{slurm@cpu: x}, _self_]\n", True),
        ("defaults: [base, {model: cnn}, _self_]\nlr: 0.1\n", False),
        ("", False),
        ("[1, 2]\n", False),
        ("a: [\n", False),
    ],
)
def test_a_config_is_planits_by_what_it_says(no_slurm: Path, text: str, is_planits: bool) -> None:
    write(Path("conf/config.yaml"), text)
    assert planit_here("init").code == 0
    assert PRIMARY_FILE.exists() is not is_planits


def test_the_plan_has_the_name_and_the_folder_that_were_given(no_slurm: Path) -> None:
    done = planit_here("init", "thesis", "--dir", "new/project")
    assert "Next, in new/project, planit shows the plan" in done.out
    assert all_below(no_slurm)[:3] == ["new", "new/project", "new/project/conf"]
    os.chdir("new/project")
    assert plan_for().name == "thesis"
    assert all(isinstance(one, Command) for one in steps_for().values())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["a b"], "'a b' is not a name for a plan"),
        (["../up"], "'../up' is not a name for a plan"),
        (["null"], "'null' is not a name for a plan"),
        (["7"], "'7' is not a name for a plan"),
        ([""], "'' is not a name for a plan"),
        (["one", "two"], "unrecognized arguments: two"),
        (["--dir", "file"], "--dir file: this is not a folder"),
        (["--cluster", "a,b"], "--cluster 'a,b' is more than one cluster"),
        (["--cluster", "a"], "--cluster: there is no Slurm here"),
        (["--no-slurm", "--cluster", "a"], "--cluster and --no-slurm contradict each other"),
    ],
)
def test_what_cannot_be_meant_is_one_clear_line(
    no_slurm: Path, words: list[str], says: str
) -> None:
    write(Path("file"), "")
    done = planit_here("init", *words)
    first = done.err.splitlines()[0]
    assert (done.code, done.out, first.startswith(f"planit: error: {says}")) == (2, "", True), done
    assert all_below(no_slurm) == ["file"]


def test_where_a_file_cannot_be_written_none_is_left(no_slurm: Path) -> None:
    write(Path("conf/slurm"), "a file")
    done = planit_here("init")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "planit: error: cannot write conf/slurm/cpu.yaml: Not a directory\n"
        "  hint: nothing was written\n"
    )
    assert all_below(no_slurm) == ["conf", "conf/slurm"]
    Path("conf/slurm").rename("elsewhere")
    Path("conf").rmdir()
    Path("conf").symlink_to("nowhere")
    assert planit_here("init").err.startswith("planit: error: cannot write conf: File exists\n")


# With Slurm


def test_presets_of_an_odd_site_can_be_chosen_whatever_its_partitions_are_called(
    odd_site: Tools,
) -> None:
    done = planit_here("init")
    assert (done.code, done.err) == (0, "")
    assert "no preset for partition old: its state is DRAIN" in done.out
    assert len(list(Path("conf/slurm").iterdir())) == 18
    odd = {"gpu_long_v100": "gpu.long@v100", "partition_64": "64", "mixed_1g_10gb": "mixed"}
    for name, partition in odd.items():
        options = steps_for(f"slurm={name}")["train"].resources.options
        assert (options["partition"], options["account"]) == (partition, "lp_one")
    main, light = steps_for()["train"].resources, steps_for()["prepare"].resources
    assert main.options["cpus_per_gpu"] == 17
    assert light.options == {
        "time": "1:00:00",
        "partition": "main",
        "cpus_per_task": 8,
        "mem": "31GB",
        "account": "lp_one",
    }


def test_the_default_account_is_in_the_primary_config_for_all_presets(odd_site: Tools) -> None:
    odd_site.answer("sacctmgr", "odd|x|x\nodd|x|lp_one\n")
    planit_here("init")
    naming = [path.stem for path in Path("conf/slurm").iterdir() if "account" in path.read_text()]
    assert naming == ["limited"]  # which takes the other one only
    accounts = {
        words: steps_for(*words.split())["train"].resources.options["account"]
        for words in ("", "slurm=limited", "slurm_defaults.account=y", "slurm.account=z")
    }
    assert list(accounts.values()) == ["x", "lp_one", "y", "z"]


def test_beside_a_primary_config_that_is_kept_the_presets_have_the_account(odd_site: Tools) -> None:
    write(PRIMARY_FILE, "")
    planit_here("init")
    options = steps_for("plan=mine", "slurm=main")["train"].resources.options
    assert options["account"] == "lp_one"


@pytest.mark.parametrize("call", [1, 2])
def test_if_slurm_gives_no_answer_nothing_is_written(odd_site: Tools, call: int) -> None:
    odd_site.answer("scontrol", "", DOWN, 1, call=call)
    done = planit_here("init")
    assert (done.code, done.out) == (4, "")
    assert done.err == (
        "planit: error: scontrol: slurm_load_jobs error: Unable to contact slurm controller"
        " (connect failure)\n"
        "  hint: nothing was written; try again, or planit init --no-slurm for examples to edit\n"
    )
    assert all_below(Path()) == []
    assert planit_here("init", "--no-slurm").code == 0
    assert all_below(Path()) == sorted([*FOLDERS, *WRITTEN])


def test_a_slurm_that_hangs_is_given_up(odd_site: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    odd_site.answer("scontrol", "", wait_s=20, call=1)
    monkeypatch.setattr("planit.app.verbs.init.ANSWER_WITHIN_S", 0.1)
    done = planit_here("init")
    assert (done.code, all_below(Path())) == (4, [])
    assert "scontrol gave no answer in 0.1 s" in done.err


def test_a_slurm_without_partitions_for_jobs_is_told(odd_site: Tools) -> None:
    odd_site.answer("scontrol", "No partitions in the system\n", call=1)
    done = planit_here("init")
    assert (done.code, all_below(Path())) == (4, [])
    assert "Slurm shows no partition that takes jobs" in done.err


def test_without_accounting_presets_have_no_account(odd_site: Tools) -> None:
    for call in (1, 2):
        odd_site.answer("sacctmgr", "", "sacctmgr: error: no slurmdbd\n", 1, call=call)
    assert planit_here("init").code == 0
    assert "account" not in steps_for()["train"].resources.options


def test_where_there_are_several_clusters_presets_name_theirs_and_the_others_are_told(
    odd_site: Tools,
) -> None:
    odd_site.answer("sacctmgr", "odd\nnew\n", call=1)
    done = planit_here("init")
    words = "planit init --cluster odd --cluster new reads all"
    assert f"presets are of cluster odd only; {words}" in done.out
    assert steps_for()["train"].resources.cluster == "odd"


def test_the_site_that_a_variable_names_is_the_one_that_is_read(
    odd_site: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CLUSTERS", "new")
    assert planit_here("init").code == 0
    assert odd_site.calls("scontrol")[0] == "-M new -o show partition"
    monkeypatch.setenv("SLURM_CLUSTERS", "new,odd")
    assert "names several clusters" in planit_here("init").err
