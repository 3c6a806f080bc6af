"""A step's arguments are what `hydra.utils.instantiate` would pass to its function."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from planit.app.config.plans import plan_of
from planit.job import payload
from planit.job.call import call_of
from planit.job.hydra.arguments import instantiate
from planit.nodes import tasks
from planit.record.call_file import Limits


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
    return pickle.loads(content).result()


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
    if isinstance(value, Model):
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
