"""Overrides of a resume: which steps they edit, what they make of them, and what is refused."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest

from planit import Chain, Plan, Step
from planit.app.config.changes import Changes
from planit.errors import ConfigError, PlanError
from planit.graph import Branch, merge
from planit.nodes import Node, Resources, tasks
from planit.record.manifest import describe_run, trees_of
from tests.app.test_overrides import LIGHT, MAIN, plan_for
from tests.helpers import CPU, nothing, write

Options = dict[str, dict[str, Any]]


GPU_FIELDS = {
    "time": "02:00:00",
    "partition": "gpu_a100",
    "gpus_per_node": 1,
    "cpus_per_gpu": 18,
}
CPU_FIELDS = {"time": "01:00:00", "partition": "batch", "cpus_per_task": 8}
CONFIG = {"slurm": GPU_FIELDS, "cpu": CPU_FIELDS, "lr": "${oc.env:NOT_THERE}"}


def options_of(root: Node) -> Options:
    return {task.name: task.resources.options for task, _ in tasks(root)}


def change(root: Node, *words: str, rerun: set[str] | None = None, config: Any = CONFIG) -> Options:
    """The options of the steps that are rerun, after a resume of a run of this tree."""
    before = options_of(root)
    manifest = describe_run(
        "p", trees_of(root, root, {name: name for name in before}, None), {"config": config}
    )
    now = {n: Resources(o) for n, o in before.items() if rerun is None or n in rerun}
    new = Changes(manifest, words)(now)
    return {name: resources.options for name, resources in new.items()}


def differing(before: Options, after: Options) -> set[str]:
    return {name for name in after if before[name] != after[name]}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(empty_dir: Path) -> None:
    """So that planit's own conf/ is used."""


@pytest.fixture
def thesis() -> Plan:
    return _thesis()


@functools.cache
def _thesis() -> Plan:
    return plan_for("plan=thesis", "+slurm.account=a", "plan.steps.train_nl.slurm.mem_gb=8")


@pytest.mark.parametrize(
    ("words", "who"),
    [
        (["slurm.time=04:00:00"], MAIN),
        (["cpu.mem_gb=16"], LIGHT),
        (["slurm.mem_gb=16"], MAIN - {"train_nl"}),  # which has its own
        (["plan.steps.train_bert.slurm.time=08:00:00"], {"train_bert"}),
        (["plan.steps.train_xlm-r.slurm.mem_gb=64"], {"train_xlm-r"}),
        (["+slurm.mail_user=me@u.edu"], MAIN),
        (["++cpu.setup=[module load x]"], LIGHT),
        (["slurm.env.OMP_NUM_THREADS=8"], MAIN),
        (["cpu.container.image=x.sif"], LIGHT),
        (["plan.steps.train_bert.slurm.workdir=/x"], {"train_bert"}),
        (["~slurm.account"], MAIN),
        (["~plan.steps.train_bert.slurm.account"], {"train_bert"}),
        (["slurm.additional_params.constraint=a100"], MAIN),
        (["slurm=cpu"], MAIN),
        (["slurm@cpu=gpu_a100"], LIGHT),
        (["cpu=gpu_a100"], LIGHT),
        (["plan.steps.train_bert.slurm_args=cpu"], {"train_bert"}),
        (["plan.steps.download_data.slurm_args=${slurm}"], {"download_data"}),
        (["plan.steps.train_nl.slurm_args=cpu", "cpu.time=9"], {"train_nl", *LIGHT}),
        (["slurm.time=9", "cpu.time=9"], MAIN | LIGHT),
    ],
)
def test_an_override_edits_the_steps_whose_preset_or_name_fits_and_no_other(
    thesis: Plan, words: list[str], who: set[str]
) -> None:
    words = [word.replace("=9", "='9'") for word in words]
    assert differing(options_of(thesis.root), change(thesis.root, *words)) == who


def test_an_edit_means_the_same_as_the_override_of_a_new_plan(thesis: Plan) -> None:
    for words in (
        ["slurm.time=04:00:00", "+slurm.cluster=wice"],
        ["slurm.gpus_per_node=0"],
        ["plan.steps.train_bert.slurm_args=cpu", "cpu.time='9'"],
        ["slurm=wice_h100", "slurm.account=b", "slurm.mail_user=m", "slurm.time=1-0"],
    ):
        steps = {task.name: task for task, _ in tasks(plan_for("plan=thesis", *words).root)}
        edited = change(plan_for("plan=thesis").root, *words)
        keys = {name: task.resources.key for name, task in steps.items()}
        assert {name: Resources(options).key for name, options in edited.items()} == keys


def test_a_deletion_unsets_the_field(thesis: Plan) -> None:
    assert "account" not in change(thesis.root, "~slurm.account")["train_bert"]
    again = change(thesis.root, "~slurm.gpus_per_node", "slurm.additional_params.qos=high")
    assert again["train_bert"] == {
        "time": "02:00:00",
        "partition": "gpu_a100",
        "cpus_per_gpu": 18,
        "account": "a",
        "additional_parameters": {"qos": "high"},
    }


def test_a_steps_own_override_wins_whatever_the_order(thesis: Plan) -> None:
    own, preset = "plan.steps.train_bert.slurm.time='9'", "slurm.time='8'"
    for words in ([own, preset], [preset, own]):
        new = change(thesis.root, *words)
        assert (new["train_bert"]["time"], new["train_nl"]["time"]) == ("9", "8")


def test_what_a_step_sets_itself_is_kept_when_it_gets_another_preset(thesis: Plan) -> None:
    assert change(thesis.root, "slurm=cpu")["train_nl"] == {
        "time": "01:00:00",
        "partition": "batch",
        "cpus_per_task": 8,
        "mem": "8GB",
    }


def test_a_preset_of_the_run_is_what_it_was_when_the_run_was_submitted(thesis: Plan) -> None:
    config: dict[str, Any] = {
        "cpu": {"_target_": "planit.SlurmArgs", "time": "77", "partition": "${where}"}
    }
    config["where"] = "night"
    new = change(thesis.root, "plan.steps.train_bert.slurm_args=cpu", config=config)
    assert new["train_bert"] == {"time": "77", "partition": "night"}


def test_a_preset_file_of_the_project_and_one_of_planits_are_found(thesis: Plan) -> None:
    write(Path("conf/slurm/mine.yaml"), '_target_: planit.SlurmArgs\ntime: "3"\npartition: x\n')
    assert change(thesis.root, "slurm=mine")["train_bert"] == {"time": "3", "partition": "x"}
    assert change(thesis.root, "slurm=cpu")["train_bert"]["partition"] == "batch"


def test_in_a_sweep_a_step_stands_for_that_of_every_branch() -> None:
    rows = [Branch({"lr": lr}, plan_for("plan=thesis", f"lr={lr}").root) for lr in ("0.1", "0.2")]
    root = merge(rows, join=["evaluate_all", "generate_plots"])
    after = change(root, "plan.steps.train_bert.slurm.time='9'")
    assert differing(options_of(root), after) == {"train_bert[lr=0.1]", "train_bert[lr=0.2]"}
    after = change(root, "cpu.time='9'")
    assert "preprocess_en[lr=0.1]" in differing(options_of(root), after)
    assert "evaluate_all" in differing(options_of(root), after)


def test_slurm_means_every_step_of_a_run_made_from_python() -> None:
    root = Chain(Step("a", nothing, CPU), Step("b", nothing, {"slurm_time": "1", "mem_gb": 4}))
    new = change(root, "slurm.time='9'", "slurm.slurm_qos=high", "~slurm.mem_gb")
    assert new["b"] == {"time": "9", "qos": "high"}
    assert {new["a"]["time"], new["a"]["qos"]} == {"9", "high"}
    new = change(root, "plan.steps.a.slurm.time='9'")
    assert (new["a"]["time"], new["b"]["time"]) == ("9", "1")
    with pytest.raises(ConfigError, match=r"plan\.steps has no such step"):
        change(root, "plan.steps.c.slurm.time='9'")


REFUSED = [
    # what would need more than other SLURM arguments
    ("lr=3", "lr cannot be changed in a resume", "slurm.FIELD, plan.steps.STEP.slurm.FIELD"),
    ("plan=other", "plan cannot be changed", None),
    ("plan.steps.train_bert.epochs=3", "plan.steps.train_bert.epochs cannot be changed", "FIELD"),
    ("plan.steps.train_bert.slurm_whatever=3", "slurm_whatever cannot be changed", "FIELD"),
    ("plan.steps.train_bert.slurm={time: 3}", "plan.steps.train_bert.slurm cannot be", None),
    ("plan.steps.train_bert.slurm.setup.0=x", "a field of the SLURM arguments is", None),
    ("slurmm.time='3'", "slurmm.time cannot be changed", "cpu.FIELD"),
    ("~lr", "lr cannot be changed", None),
    ("~plan.steps.train_bert", "plan.steps.train_bert cannot be changed", None),
    # what is not plain
    ("slurm.time='1','2'", "a resume takes KEY=VALUE and ~KEY", None),
    ("~slurm.account=b", "a resume takes KEY=VALUE and ~KEY", None),
    ("slurm.account=${oc.env:HOME}", "plain values", None),
    ("~slurm", "the name of a SLURM preset is expected", None),
    ("slurm={time: 3}", "the name of a SLURM preset is expected", None),
    ("slurm.time=[", "", None),
    # what does not exist or has a wrong value
    ("plan.steps.train_bretl.slurm.time='3'", "has no such step", "mean plan.steps.train_"),
    ("plan.steps.train_bretl.slurm_args=cpu", "has no such step", "mean plan.steps.train_"),
    ("slurm=gpu_a10", "unknown SLURM preset 'gpu_a10'", "did you mean gpu_a100?"),
    ("plan.steps.train_bert.slurm_args=gpu_a10", "unknown SLURM preset", "gpu_a100"),
    ("slurm=wice_h100", "slurm=wice_h100: account is not set", "add slurm.account=..."),
    ("plan.steps.train_bert.slurm_args=wice_h100", "account is not set",
     "add plan.steps.train_bert.slurm.account=..."),
    ("slurm.tiem='3'", "SlurmArgs has no field 'tiem'", "did you mean time?"),
    ("~slurm.tiem", "SlurmArgs has no field 'tiem'", "did you mean time?"),
    ("slurm.slurm_qso=x", "unknown SLURM argument 'slurm_qso'", "slurm_qos"),
    ("slurm.time=never", "'never' is not a wall time", None),
    ("slurm.time=8", "time must be text, not 8", None),
    ("~slurm.time", "SlurmArgs needs 'time'", None),
]  # fmt: skip


@pytest.mark.parametrize(("word", "says", "hint"), REFUSED, ids=[word for word, _, _ in REFUSED])
def test_what_is_not_another_value_of_a_slurm_argument_is_refused(
    thesis: Plan, word: str, says: str, hint: str | None
) -> None:
    with pytest.raises((ConfigError, PlanError)) as caught:
        change(thesis.root, word)
    assert says in caught.value.message
    assert (hint or "") in (caught.value.hint or "")


def test_an_override_without_effect_on_what_is_rerun_is_refused(thesis: Plan) -> None:
    for word, says, hint in (
        ("cpu.time='3'", "no step that is rerun uses cpu", "slurm"),
        ("slurm@cpu=gpu_a100", "no step that is rerun uses cpu", "slurm"),
        (
            "plan.steps.download_data.slurm.time='3'",
            "rerun uses plan.steps.download_data",
            "steps.train_nl",
        ),
        ("slurm.mem_gb=9", "set their own mem_gb", "plan.steps.train_nl"),
    ):
        with pytest.raises(ConfigError, match="has no effect") as caught:
            change(thesis.root, "slurm.time='3'", word, rerun={"train_nl"})
        assert says in caught.value.message
        assert hint in (caught.value.hint or "")
