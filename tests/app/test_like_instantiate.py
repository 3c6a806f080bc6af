"""A step's arguments are what `hydra.utils.instantiate` would pass to its function."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import hydra
import pytest
import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from planit import Plan, PlanError, SlurmArgs, Step
from planit.app.config.plans import plan_of
from planit.job import payload
from planit.job.call import call_of, calls_of
from planit.job.hydra.instantiate import instantiate
from planit.job.hydra.internals import VERSION_BASE
from planit.nodes import tasks
from planit.record.call_file import Limits
from planit.views.plan_tree import tree_text
from tests.helpers import ROOT


class Schedule(Enum):
    CONSTANT = 1
    COSINE = 2


@dataclass
class Optimizer:
    lr: float = 0.1
    schedule: Schedule = Schedule.CONSTANT


@dataclass
class Momentum(Optimizer):
    momentum: float = 0.9


@dataclass
class Training:
    root: Path = Path("data")
    optimizer: Optimizer = field(default_factory=Momentum)
    layers: list[int] = field(default_factory=lambda: [1, 2])
    anything: Any = None


class Model:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args, self.kwargs = args, kwargs


def take(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


SLURM = SlurmArgs(time="5", partition="batch")
MODEL = f"_target_: {__name__}.Model"

STEPS = {
    "plain": "{a: 1, b: text, c: null, d: 0.5, e: true}",
    "containers": "{a: {b: [1, {c: 2}]}, d: [], e: [[1], {}]}",
    "positional": "{_args_: [1, {a: 2}, [3]], b: 4}",
    "target": f"{{model: {{{MODEL}, width: 3, inner: {{{MODEL}, x: [1]}}}}}}",
    "partial inside": f"{{model: {{{MODEL}, _partial_: true, width: 3}}}}",
    "convert inside": f"{{model: {{{MODEL}, _convert_: all, width: [1, {{a: 2}}]}}, other: [1]}}",
    "not recursive inside": f"{{model: {{{MODEL}, _recursive_: false, x: {{{MODEL}}}}}}}",
    "all": "{_convert_: all, a: {b: [1, {c: 2}]}, t: '${training}'}",
    "convert partial": "{_convert_: partial, a: {b: [1]}, t: '${training}'}",
    "object": "{_convert_: object, a: {b: [1]}, t: '${training}'}",
    "not recursive": f"{{_recursive_: false, a: {{{MODEL}, b: {{{MODEL}}}}}, l: [{{{MODEL}}}]}}",
    "structured": "{cfg: '${training}', o: '${training.optimizer}', root: '${training.root}'}",
    "structured in others": "{a: {b: ['${training}']}, schedule: '${training.optimizer.schedule}'}",
    "interpolation": "{a: {b: '${lr}', c: 'x-${lr}'}, cfg: '${settings}', d: '${settings.list}'}",
}


@pytest.mark.parametrize("what", STEPS)
def test_arguments_are_those_that_hydra_would_pass(what: str) -> None:
    arguments = yaml.safe_load(STEPS[what])
    config = OmegaConf.create(
        {
            "lr": 0.1,
            "training": OmegaConf.structured(Training),
            "settings": {"lr": "${lr}", "list": [1, "${lr}"]},
            "there": {"_target_": f"{__name__}.take", **arguments},
            "plan": {
                "_target_": "planit.Plan",
                "name": "p",
                "steps": {
                    "s": {
                        "_target_": f"{__name__}.take",
                        "slurm_args": {"time": "5", "partition": "batch"},
                        **arguments,
                    }
                },
                "root": "s",
            },
        }
    )
    expected = instantiate(config.there)
    assert shape(called_in_job(config)) == shape(expected)


def called_in_job(config: DictConfig) -> Any:
    """What the only step of a plan returns; its call is pickled on the way, as for a job."""
    ((task, _),) = tasks(plan_of(config).root)
    written = payload.dump({"s": call_of(task)}, Limits(5, 0))
    (content,) = written.calls
    function, args, kwargs = pickle.loads(content)
    return function(*args, **kwargs)


def shape(value: Any) -> Any:
    """A value with the type of everything in it."""
    if isinstance(value, DictConfig):
        content: Any = {key: shape(item) for key, item in value.items()}
        return ("DictConfig", OmegaConf.get_type(value), content)
    if isinstance(value, ListConfig | list | tuple):
        return (type(value).__name__, [shape(item) for item in value])
    if isinstance(value, dict):
        return ("dict", {key: shape(item) for key, item in value.items()})
    if hasattr(value, "func"):  # a partial
        return ("partial", value.func, shape(value.args), shape(value.keywords))
    if type(value).__name__ == "Model":
        return ("Model", shape(value.args), shape(value.kwargs))
    return (type(value), value)


def test_a_partial_step_returns_its_function_with_the_arguments() -> None:
    step = {"func": f"{__name__}.take", "_partial_": True, "a": [1]}
    found = called_in_job(planned(step))
    assert found.func is take
    assert found() == ((), {"a": [1]})


def test_arguments_are_detached_from_the_configuration() -> None:
    config = planned({"func": f"{__name__}.take", "cfg": "${settings}"})
    _, found = called_in_job(config)
    with open_dict(found["cfg"]):
        found["cfg"].other = "${plan.name}"
    with pytest.raises(Exception, match=r"plan\.name"):
        print(found["cfg"].other)


def test_a_swept_value_of_a_structured_config_has_its_type() -> None:
    config = planned({"func": f"{__name__}.take", "cfg": "${training}"})
    OmegaConf.update(config, "training.optimizer.schedule", "COSINE")
    _, found = called_in_job(config)
    assert found["cfg"].optimizer.schedule is Schedule.COSINE
    assert OmegaConf.get_type(found["cfg"]) is Training
    assert OmegaConf.get_type(found["cfg"].optimizer) is Momentum


def planned(step: dict[str, Any]) -> DictConfig:
    """A configuration with a plan of one step."""
    step = {"slurm_args": {"time": "5", "partition": "batch"}, **step}
    return OmegaConf.create(
        {
            "training": OmegaConf.structured(Training),
            "settings": {"a": 1},
            "plan": {"_target_": "planit.Plan", "name": "p", "steps": {"s": step}, "root": "s"},
        }
    )


@pytest.mark.parametrize("name", ["thesis", "experiment"])
def test_plain_instantiate_makes_the_same_plan_of_the_shipped_files(name: str) -> None:
    with hydra.initialize_config_dir(str(ROOT / "conf"), **VERSION_BASE):
        config = hydra.compose("planit", [f"+plan={name}"])
    plan = instantiate(config.plan)
    assert isinstance(plan, Plan)
    assert tree_text(plan.name, plan.root) == tree_text(name, plan_of(config).root)
    assert [call_of(task).kwargs for task, _ in tasks(plan.root)] == [
        call_of(task).kwargs for task, _ in tasks(plan_of(config).root)
    ]


def test_plain_instantiate_makes_every_kind_of_step() -> None:
    slurm = {"_target_": "planit.SlurmArgs", "time": "5", "partition": "batch"}
    steps: dict[str, dict[str, Any]] = {
        "one": {"_target_": "planit.Step", "func": f"{__name__}.take", "a": [1]},
        "two": {"func": f"{__name__}.take", "slurm": {"time": "6"}, "cfg": "${settings}"},
        "three": {"_target_": "planit.Command", "command": ["ls", "-l"]},
        "four": {"_target_": "planit.Sweep", "func": f"{__name__}.take", "over": {"x": [1, 2]}},
    }
    plan = {
        "_target_": "planit.Plan",
        "name": "p",
        "steps": {name: {"slurm_args": slurm, **step} for name, step in steps.items()},
        "root": {"_target_": "planit.Chain", "_args_": list(steps)},
    }
    config = OmegaConf.create({"settings": {"a": 1}, "plan": plan})
    made = instantiate(config.plan)
    assert tree_text("p", made.root) == tree_text("p", plan_of(config).root)
    two = made.root.children[1]
    assert two.resources.time_text == "6"
    assert two.kwargs == {"cfg": {"a": 1}}


def test_a_configuration_that_python_passes_arrives_alone() -> None:
    config = OmegaConf.create({"lr": 0.1, "secret": "x", "cfg": {"lr": "${lr}", "layers": [1]}})
    steps = [
        Step(
            f"s{i}", take, SlurmArgs(time="5", partition="b"), config.cfg, layers=config.cfg.layers
        )
        for i in range(2)
    ]
    calls = calls_of(steps)
    config.cfg.layers.append(2)
    config.lr = 7
    written = payload.dump({"s0": calls["s0"]}, Limits(5, 0))
    assert b"secret" not in written.calls[0]
    function, args, kwargs = pickle.loads(written.calls[0])
    (cfg,), named = function(*args, **kwargs)
    assert shape(cfg) == (
        "DictConfig",
        dict,
        {"lr": (float, 0.1), "layers": ("ListConfig", [(int, 1)])},
    )
    assert shape(named["layers"]) == ("ListConfig", [(int, 1)])
    assert calls["s0"].args[0] is calls["s1"].args[0]  # pickled once for both


def test_what_python_passes_and_cannot_be_resolved_is_refused() -> None:
    config = OmegaConf.create({"cfg": {"lr": "${no.such}"}})
    with pytest.raises(PlanError, match=r"step 's': an argument cannot be resolved: .*no\.such"):
        calls_of([Step("s", take, SLURM, config.cfg)])
