"""The user's own primary config needs to say nothing that planit brings."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from planit import Plan
from planit.app.config.compose import run_app
from planit.app.config.places import conf_dir
from planit.app.config.plans import Composed, Plans
from planit.nodes import tasks
from tests.app.test_overrides import steps_for, times
from tests.helpers import ROOT, Done, planit_here, run_planit, write

_PLAN = """\
_target_: planit.Plan
name: mine
steps:
  prepare: {func: os.getcwd, slurm_args: "${cpu}"}
  train: {func: os.getcwd, slurm_args: "${slurm}"}
root: {_target_: planit.Chain, _args_: [prepare, train]}
"""
_BRINGS = OmegaConf.load(conf_dir() / "planit.yaml")
_PRESET = '_target_: planit.SlurmArgs\ntime: "3"\npartition: own\n'


class Keep:
    """What is done with composed configurations here: they are kept."""

    def __init__(self) -> None:
        self.config = OmegaConf.create()
        self.plans: list[Plan] = []

    def __call__(self, config: DictConfig) -> None:
        self.config = config

    def sweep(self, branches: Iterable[Composed], *_args: object) -> None:
        plans = Plans()
        self.plans = [plans.of(branch) for branch in branches]

    def batch(self, *_args: object) -> list[Any]:
        raise AssertionError("no batch was asked for")


def composed(*words: str) -> DictConfig:
    keep = Keep()
    run_app(keep, words, None)
    return keep.config


def options(*words: str) -> dict[str, dict[str, Any]]:
    return {name: task.resources.options for name, task in steps_for(*words).items()}


def assert_refused(done: Done, says: str, hint: str = "") -> None:
    assert done.code == 2, done
    first, *more = done.err.splitlines()
    assert first.startswith("planit: error: ")
    assert says in first
    assert len(more) <= 1, done.err
    assert hint in "".join(more)


@pytest.fixture(autouse=True)
def project(empty_dir: Path) -> Path:
    write(empty_dir / "conf/plan/mine.yaml", _PLAN)
    return empty_dir


@pytest.fixture
def module(project: Path) -> Iterator[str]:
    """A module of the project that registers a resolver, a preset and a plan."""
    name = f"registers_{os.getpid()}"
    write(
        project / f"{name}.py",
        "from hydra.core.config_store import ConfigStore\n"
        "from planit.job.hydra.internals import register_resolver\n"
        "register_resolver('hours', lambda n: f'{n}:00:00')\n"
        "preset = {'_target_': 'planit.SlurmArgs', 'time': '7', 'partition': 'stored'}\n"
        "ConfigStore.instance().store(group='slurm', name='stored', node=preset)\n"
        "from planit import SlurmArgs\n"
        "typed = SlurmArgs(time='8', partition='typed')\n"
        "ConfigStore.instance().store(group='slurm/in', name='typed', node=typed)\n"
        "step = {'func': 'os.getcwd', 'slurm_args': '${slurm}'}\n"
        "plan = {'_target_': 'planit.Plan', 'name': 's', 'steps': {'only': step}, 'root': 'only'}\n"
        "ConfigStore.instance().store(group='plan', name='stored', node=plan)\n",
    )
    yield name
    sys.modules.pop(name, None)
    OmegaConf.clear_resolver("hours")
    for group in ("slurm", "plan"):
        ConfigStore.instance().repo.pop(group, None)


_PRIMARIES = {
    "none": {},
    "an empty planit.yaml": {"planit": ""},
    "only a comment": {"planit": "# mine\n"},
    "only its own keys": {"config": "lr: 0.1\nmodel: {layers: 3}\n"},
    "planit, a plan": {"config": "defaults: [planit, {plan: mine}, _self_]\n"},
    "the same in planit.yaml": {"planit": "defaults: [planit, {plan: mine}, _self_]\n"},
    "only the plan": {"config": "defaults: [{plan: mine}, _self_]\nlr: 0.1\n"},
    "without _self_": {"config": "defaults: [{plan: mine}]\nlr: 0.1\n"},
    "an override": {"config": "defaults: [planit, _self_, override plan: mine]\n"},
    "planit is not first": {"config": "defaults: [{plan: mine}, _self_, planit]\n"},
    "planit below another": {
        "config": "defaults: [base, _self_]\n",
        "base": "defaults: [planit, {plan: mine}]\n",
    },
    "some of the groups": {"planit": "defaults: [{slurm: gpu_a100}, {plan: mine}, _self_]\n"},
    "another program's beside it": {
        "planit": "",
        "config": "defaults: [config_schema, {db: '???'}]\nplan: free\n",
    },
    "another program's alone": {"config": "defaults: [config_schema, {db: mysql}]\nlr: 0\n"},
    "of another program that sets up Hydra": {
        "config": "defaults: [_self_, {override hydra/launcher: elsewhere}]\n"
    },
    "of another program that has to be told": {"config": "defaults: [{db: '???'}]\n"},
}


@pytest.mark.parametrize("files", _PRIMARIES.values(), ids=list(_PRIMARIES))
def test_whatever_the_primary_config_has_what_planit_brings_is_there(files: dict[str, str]) -> None:
    for name, text in files.items():
        write(Path(f"conf/{name}.yaml"), text)
    words = [] if any("plan: mine" in text for text in files.values()) else ["plan=mine"]
    config = composed(*words)
    for key in set(_BRINGS) - {"defaults", "slurm", "cpu", "backend"}:
        assert key in config, key
    assert config.runs_dir == "planit_runs"
    assert config.sweep == {"share": True, "join": [], "max_concurrent": None, "packed": None}
    assert (config.slurm.partition, config.cpu.partition) == ("gpu_a100", "batch")
    assert config.backend.name == "auto"
    done = planit_here("-m", *words, "slurm=cpu,gpu_a100")
    assert done.code == 0, done.err
    assert "● train[slurm=cpu] [01:00:00]" in done.out


def test_what_the_primary_config_has_of_its_own_wins() -> None:
    write(Path("conf/slurm/big.yaml"), _PRESET)
    write(
        Path("conf/config.yaml"),
        "defaults: [planit, {slurm: big}, {plan: mine}, _self_]\n"
        "runs_dir: elsewhere\nslurm: {mem_gb: 3}\nsweep: {max_concurrent: 2}\n"
        "backend: {name: local, cpus: 4}\nlr: 0.1\n",
    )
    config = composed("+freeze=off")
    assert (config.runs_dir, config.lr, config.freeze) == ("elsewhere", 0.1, "off")
    assert (config.sweep.share, config.sweep.max_concurrent) == (True, 2)
    assert (config.backend.name, config.backend.cpus) == ("local", 4)
    own = {"time": "3", "partition": "own", "mem": "3GB"}
    assert options()["train"] == own
    assert options("+slurm=big", "+slurm@cpu=big")["prepare"] == {"time": "3", "partition": "own"}


def test_what_a_plan_says_of_the_whole_configuration_wins_over_planits(module: str) -> None:
    plan = "plan:\n" + "".join(f"  {line}\n" for line in _PLAN.splitlines())
    head = "# @package _global_\nslurm: {time: '${hours:4}'}\nsweep: {max_concurrent: 3}\n"
    write(Path("conf/plan/whole.yaml"), f"{head}planit: {{imports: [{module}]}}\n{plan}")
    config = composed("plan=whole")
    assert config.sweep.max_concurrent == 3
    assert times(steps_for("plan=whole"))["train"] == "4:00:00"


def test_a_key_that_may_be_another_programs_is_refused_with_the_way_out() -> None:
    way_out = "write a conf/planit.yaml, which may be empty"
    write(Path("conf/config.yaml"), "sweep: {method: bayes}\n")
    assert_refused(planit_here("plan=mine"), "sweep.method is unknown", way_out)
    write(Path("conf/config.yaml"), "backend: nccl\n")
    done = planit_here("submit", "plan=mine")
    assert_refused(done, "backend must be a mapping of settings, not 'nccl'", "defaults list")
    write(Path("conf/planit.yaml"), "")
    assert planit_here("plan=mine").code == 0


def test_an_override_in_a_config_that_the_command_line_adds_still_works() -> None:
    write(Path("conf/config.yaml"), "defaults: [planit, {plan: mine}, _self_]\n")
    text = "# @package _global_\ndefaults:\n  - override /slurm: cpu\nsweep: {share: false}\n"
    write(Path("conf/experiment/light.yaml"), text)
    config = composed("+experiment=light")
    assert (config.slurm.partition, config.sweep.share) == ("batch", False)


def test_another_primary_config_can_be_named() -> None:
    write(Path("conf/config.yaml"), "defaults: [{plan: mine}, _self_]\nruns_dir: a\n")
    write(Path("conf/night.yaml"), "defaults: [{plan: mine}, _self_]\nslurm: {time: '9'}\n")
    for words in (["--config-name", "night"], ["--config-name=night"], ["-cn", "night.yaml"]):
        done = planit_here("describe", *words)
        assert "● train [9]" in done.out, done
    assert_refused(planit_here("describe", "-cn", "no"), "--config-name no: there is no ")
    assert_refused(planit_here("describe", "-cn"), "-cn needs a value")


# A second program


@pytest.fixture
def program(project: Path) -> Path:
    """The ordinary Hydra program of the tests, with a plan added and nothing else."""
    shutil.copytree(ROOT / "tests/project", project, dirs_exist_ok=True)
    return project


def test_a_programs_own_conf_does_no_harm(program: Path) -> None:
    done = run_planit("submit", "plan=mine", "backend=debug", cwd=program)
    assert done.code == 0, done
    assert "All 2 step(s) of plan mine succeeded" in done.out


def test_what_only_the_programs_config_has_is_refused_with_the_reason(program: Path) -> None:
    done = planit_here("plan=mine", "optimizer.lr=0.1")
    assert_refused(done, "Could not override 'optimizer.lr'", "conf/config.yaml is not used, as")
    assert "config_schema" in done.err
    write(
        program / "conf/plan/mine.yaml", _PLAN.replace("os.getcwd,", "os.getcwd, x: '${epochs}',")
    )
    done = planit_here("plan=mine")
    assert_refused(done, "Interpolation key 'epochs' not found", "conf/planit.yaml")


def test_a_structured_root_takes_what_planit_brings(program: Path) -> None:
    """Its own keys keep their types."""
    write(
        program / "conf/planit.yaml",
        "defaults: [config_schema, {model: bert}, planit, {plan: mine}, _self_]\n"
        "planit: {imports: [train]}\nlr: 0.1\nsteps: '${times:${epochs},10}'\n",
    )
    done = run_planit("plan=mine", "--cfg", "job", "--resolve", "optimizer.lr=3", cwd=program)
    assert done.code == 0, done
    found = OmegaConf.create(done.out)
    assert (found.optimizer.lr, found.optimizer.schedule, found.steps) == (3.0, "CONSTANT", 20)
    assert (found.slurm.partition, found.sweep.share, found.lr) == ("gpu_a100", True, 0.1)
    done = run_planit("-m", "optimizer.lr=3,fast", cwd=program)
    assert (done.code, "optimizer.lr=fast" in done.err) == (2, True)


# The plan of the primary config


@pytest.mark.parametrize(
    "text",
    [
        "defaults: [planit, {plan: mine}]\n",
        "defaults: [_self_, override plan: mine, planit]\n",
        "plan:\n" + "".join(f"  {line}\n" for line in _PLAN.splitlines()),
    ],
)
def test_planit_alone_shows_the_plan_of_the_primary_config(text: str) -> None:
    write(Path("conf/config.yaml"), text)
    done = planit_here()
    assert done.code == 0, done.err
    assert done.out.startswith("Plan: mine\n")


@pytest.mark.parametrize("text", ["", "lr: 0\n", "defaults: [planit]\n", "plan: {name: x}\n"])
def test_planit_alone_prints_its_usage_where_no_plan_is_chosen(text: str) -> None:
    write(Path("conf/config.yaml"), text)
    done = planit_here()
    assert done.code == 2
    assert done.out.startswith("planit: write the plan once")


def test_a_plan_in_the_primary_config_itself_cannot_be_chosen_away() -> None:
    plan = "plan:\n" + "".join(f"  {line}\n" for line in _PLAN.splitlines())
    write(Path("conf/config.yaml"), plan)
    assert list(steps_for("plan.steps.train.slurm_args=cpu")) == ["prepare", "train"]
    done = planit_here("plan=thesis")
    assert_refused(done, "conf/config.yaml has a plan of its own", "conf/plan/NAME.yaml")


def test_the_name_of_a_plan_is_no_plan() -> None:
    write(Path("conf/config.yaml"), "plan: mine\n")
    assert_refused(planit_here("describe"), "plan must be a mapping, not 'mine'", "defaults list")


# Keys that need not be there


@pytest.mark.parametrize("plus", ["", "+", "++"])
def test_what_planit_knows_is_set_with_and_without_a_plus(plus: str) -> None:
    words = (
        "cpu.mem_gb=16", "slurm.account=x", "slurm.qos=high", "slurm.time='9'",
        "slurm.additional_params.constraint=a", "plan.steps.train.slurm.mail_user=me",
        "backend.dependency=afterok:3", "backend.cpus=4", "sweep.max_concurrent=8", "share=group",
        "runs_dir=x", "freeze=code", "slurm_defaults.cluster=wice",
    )  # fmt: skip
    config = composed("plan=mine", *(f"{plus}{word}" for word in words))
    assert (config.cpu.mem_gb, config.slurm.account, config.slurm.time) == (16, "x", "9")
    assert config.slurm.additional_params == {"constraint": "a"}
    assert (config.backend.dependency, config.backend.cpus) == ("afterok:3", 4)
    assert (config.sweep.max_concurrent, config.share, config.runs_dir) == (8, "group", "x")
    found = options("plan=mine", *(f"{plus}{word}" for word in words))
    assert found["prepare"]["mem"] == "16GB"
    assert found["train"]["mail_user"] == "me"
    assert found["train"]["qos"] == "high"
    assert found["train"]["additional_parameters"] == {"constraint": "a", "clusters": "wice"}


@pytest.mark.parametrize("backend", ["slurm", "local", "debug"])
def test_a_setting_is_added_to_the_backend_that_has_it(backend: str) -> None:
    given = {"slurm": "dependency=afterok:3", "local": "cpus=64", "debug": "kill_wait_s=3"}
    done = planit_here("plan=mine", f"backend={backend}", f"backend.{given[backend]}")
    assert done.code == 0, done
    if backend == "debug":
        done = planit_here("submit", "plan=mine", "backend=debug", "backend.kill_wait_s=3")
        assert_refused(done, "backend.kill_wait_s is not a setting of backend=debug")


@pytest.mark.parametrize(
    ("word", "says", "hint"),
    [
        ("slurm.acount=x", "slurm.acount: SlurmArgs has no field 'acount'", "mean account?"),
        ("+cpu.mem=x", "cpu.mem: SlurmArgs has no field 'mem'", "mem_gb"),
        ("big.tim=x", "big.tim: SlurmArgs has no field 'tim'", "mean time?"),
        ("backend.cpu=x", "backend.cpu is not a setting", "mean cpus?"),
        ("sweep.jion=[]", "sweep.jion is unknown", "mean join?"),
        ("slurm_defaults.acount=x", "slurm_defaults.acount: SlurmArgs has no", "mean account?"),
        ("model.nodes=3", "Could not override 'model.nodes'", "+model.nodes=3"),
        ("planit.import=[x]", "Could not override 'planit.import'", "+planit.import"),
    ],
)
def test_what_nobody_knows_is_refused_with_a_hint(word: str, says: str, hint: str) -> None:
    write(Path("conf/planit.yaml"), "defaults: [{slurm@big: cpu}, _self_]\nmodel: {layers: 3}\n")
    assert_refused(planit_here("plan=mine", word), says, hint)


def test_a_preset_of_the_users_own_is_open_too_wherever_it_is_chosen() -> None:
    write(Path("conf/planit.yaml"), "defaults: [{slurm@big: gpu_a100}, _self_]\n")
    head = "# @package _global_\ndefaults: [{/slurm@small: cpu}]\n"
    plan = _PLAN.replace("${cpu}", "${small}").replace("${slurm}", "${big}")
    text = "plan:\n" + "".join(f"  {line}\n" for line in plan.splitlines())
    write(Path("conf/plan/other.yaml"), head + text)
    found = options("plan=other", "big.mem_gb=3", "small.mem_gb=4")
    assert [found[name]["mem"] for name in ("train", "prepare")] == ["3GB", "4GB"]
    found = options(
        "plan=mine", "+slurm@own=cpu", "own.mem_gb=5", "plan.steps.train.slurm_args=own"
    )
    assert found["train"]["mem"] == "5GB"


# Presets in folders, and what holds for all


def test_a_preset_in_a_folder_works_wherever_presets_do(project: Path) -> None:
    write(project / "conf/slurm/vsc/wice.yaml", f"{_PRESET}account: ${{mine}}\n")
    write(project / "conf/planit.yaml", "mine: me\n")
    own = {"time": "3", "partition": "own", "account": "me"}
    assert options("plan=mine", "slurm=vsc/wice")["train"] == own
    assert options("plan=mine", "slurm@cpu=vsc/wice")["prepare"] == own
    assert options("plan=mine", "plan.steps.train.slurm_args=vsc/wice")["train"] == own
    write(project / "conf/plan/mine.yaml", _PLAN.replace("${slurm}", "vsc/wice"))
    assert options("plan=mine")["train"] == own
    assert options("plan=mine", "plan.steps.train.slurm.time='9'")["train"] == {**own, "time": "9"}
    done = planit_here("-m", "plan=mine", "slurm@cpu=cpu,vsc/wice")
    assert "● prepare[slurm@cpu=vsc/wice] [3]" in done.out
    done = planit_here("plan=mine", "plan.steps.train.slurm_args=vsc/wiec")
    assert_refused(done, "unknown SLURM preset 'vsc/wiec'", "did you mean vsc/wice?")


def test_slurm_defaults_hold_for_every_preset_that_does_not_say_otherwise(project: Path) -> None:
    write(
        project / "conf/planit.yaml",
        "slurm_defaults:\n  account: mine\n  mail_user: me@x.org\n  qos: normal\n  mem_gb: ${gb}\n"
        "  additional_params: {constraint: fast, nice: 3}\ngb: 4\n",
    )
    write(project / "conf/slurm/own.yaml", f"{_PRESET}account: own\nmail_user: null\n")
    write(
        project / "conf/slurm/raw.yaml",
        "slurm_time: '5'\nslurm_additional_parameters: {nice: 1, qos: high}\n",
    )
    light = {"account": "mine", "mail_user": "me@x.org", "qos": "normal", "mem": "4GB"}
    more = {"additional_parameters": {"constraint": "fast", "nice": 3}}
    assert options("plan=mine")["prepare"] == {
        "time": "01:00:00", "partition": "batch", "cpus_per_task": 8, **light, **more
    }  # fmt: skip
    vsc = options("plan=mine", "slurm=wice_a100", "plan.steps.prepare.slurm_args=wice_h100")
    assert {one["account"] for one in vsc.values()} == {"mine"}
    own = options("plan=mine", "slurm=own", "+slurm.additional_params={nice: 5}", "slurm.qos=high")
    assert own["train"] == {
        "time": "3", "partition": "own", **light, "account": "own", "qos": "high",
        "additional_parameters": {"constraint": "fast", "nice": 5},
    }  # fmt: skip
    raw = options("plan=mine", "plan.steps.train.slurm_args=raw")["train"]
    assert raw == {
        "time": "5", "account": "mine", "mail_user": "me@x.org", "mem": "4GB",
        "additional_parameters": {"constraint": "fast", "nice": 1, "qos": "high"},
    }  # fmt: skip


def test_slurm_defaults_can_be_swept_and_are_checked(project: Path) -> None:
    keep = Keep()
    words = ["-m", "plan=mine", "slurm_defaults.account=a,b", "slurm=wice_h100"]
    run_app(keep, [*words, "slurm_defaults.mail_user=m"], None)
    assert [
        {task.resources.options["account"] for task, _ in tasks(plan.root)} for plan in keep.plans
    ] == [{"a"}, {"b"}]
    for text, says in (
        ("slurm_defaults: {acount: x}", "slurm_defaults: SlurmArgs has no field 'acount'"),
        ("slurm_defaults: high", "slurm_defaults must be a mapping of SLURM arguments"),
        ("slurm_defaults: {mem_gb: much}", "mem_gb must be a whole number"),
    ):
        write(project / "conf/planit.yaml", text)
        assert_refused(planit_here("plan=mine"), says)


# Resolvers and ConfigStore entries


def _with(module: str) -> None:
    write(Path("conf/planit.yaml"), f"planit: {{imports: [{module}]}}\n")


def test_a_named_module_registers_resolvers_and_configs(module: str) -> None:
    _with(module)
    write(
        Path("conf/plan/mine.yaml"),
        _PLAN.replace('"${slurm}"', "stored, slurm: {time: '${hours:3}'}"),
    )
    assert times(steps_for("plan=mine")) == {"prepare": "01:00:00", "train": "3:00:00"}
    assert options("plan=mine", "slurm@cpu=stored")["prepare"]["partition"] == "stored"
    assert list(steps_for("plan=stored")) == ["only"]
    typed = options("plan=stored", "slurm=in/typed", "slurm.time='9'", "slurm.mem_gb=3")["only"]
    assert typed == {"time": "9", "partition": "typed", "mem": "3GB"}


def test_modules_are_imported_for_a_sweep_and_a_word_names_them_too(module: str) -> None:
    write(Path("conf/plan/mine.yaml"), _PLAN.replace("os.getcwd", "'os.getcwd'"))
    done = planit_here(
        "-m", "plan=mine", f"planit.imports=[{module}]", "slurm=cpu,stored", "cpu.time='${hours:2}'"
    )
    assert done.code == 0, done
    assert "● train[slurm=stored] [7]" in done.out
    assert "● prepare [2:00:00]" in done.out


def test_modules_that_cannot_be_imported_are_told(project: Path) -> None:
    write(project / "breaks.py", "raise OSError('no disk')\n")
    for name, says in (
        ("not_there", "planit.imports: not_there cannot be imported: ModuleNotFoundError"),
        ("breaks", "planit.imports: breaks cannot be imported: OSError: no disk"),
        ("3", "planit.imports: 3 is not the name of a module"),
    ):
        _with(name)
        assert_refused(planit_here("plan=mine"), says)
    write(project / "conf/planit.yaml", "planit: {import: [x]}\n")
    assert_refused(planit_here("plan=mine"), "planit.import is unknown", "imports: [")
    write(project / "conf/planit.yaml", "planit: [x]\n")
    assert_refused(planit_here("plan=mine"), "planit must be a mapping", "imports: [")


def test_hydras_own_ways_to_more_configs_work_too(project: Path) -> None:
    """A search path in the primary config, and a plugin of the project."""
    write(project / "more/slurm/searched.yaml", _PRESET)
    write(project / "most/slurm/plugged.yaml", _PRESET.replace("own", "plugged"))
    write(
        project / "hydra_plugins/own_search_path.py",
        "from pathlib import Path\n"
        "from hydra.plugins.search_path_plugin import SearchPathPlugin\n"
        "class OwnSearchPath(SearchPathPlugin):\n"
        "    def manipulate_search_path(self, search_path):\n"
        "        path = Path(__file__).parents[1] / 'most'\n"
        "        search_path.append('own', f'file://{path}')\n",
    )
    primary = f"defaults: [planit, {{slurm: searched}}, _self_]\nhydra: {{searchpath: [file://{project}/more]}}\n"
    write(project / "conf/config.yaml", primary)
    done = run_planit("-m", "plan=mine", "slurm@cpu=cpu,plugged", cwd=project)
    assert done.code == 0, done
    assert "● prepare[slurm@cpu=plugged] [3]" in done.out


def test_a_resume_finds_presets_as_a_new_plan_does(project: Path, module: str) -> None:
    """In folders, in the ConfigStore, and completed by slurm_defaults."""
    write(project / "conf/slurm/vsc/wice.yaml", f"{_PRESET}account: ???\n")
    _with(module)
    with Path("conf/planit.yaml").open("a") as file:
        file.write("slurm_defaults: {account: mine}\nbackend: {name: local, cpus: 64}\n")
    write(project / "conf/plan/mine.yaml", _PLAN.replace("os.getcwd", "no_such.f"))
    write(project / "no_such.py", "def f(): raise ValueError\n")
    done = run_planit("submit", "plan=mine", "slurm=cpu", "freeze=off", cwd=project)
    assert done.code == 1, done
    for words in (["slurm=stored"], ["slurm=vsc/wice", "plan.steps.prepare.slurm_args=stored"]):
        done = run_planit("resume", "--dry-run", *words, cwd=project)
        assert done.code == 0, done
        assert "2 to rerun" in done.out
