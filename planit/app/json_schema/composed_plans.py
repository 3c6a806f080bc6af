"""Gathers the functions that the steps of composed plans call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from omegaconf import DictConfig

from planit.app.config.plans import Composed, resolved
from planit.app.config.presets import slurm_defaults
from planit.app.json_schema.parameters import Parameters
from planit.app.json_schema.plan_file import PlanFacts
from planit.errors import ConfigError, PlanError
from planit.nodes.arguments import TARGET
from planit.nodes.functions import is_dotted_path, resolve


class Gathering:
    """The function that Hydra runs for ``planit schema plan=...``: takes plans in.

    Attributes:
        problems: a line for each function of which the parameters are not known.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._functions: dict[str, Parameters | None] = {}
        self._steps: dict[str, str | None] = {}
        self._presets: list[str] = []
        self._defaults: set[str] = set()

    def __call__(self, config: DictConfig) -> None:
        """One configuration."""
        self._take(config, resolved(config))

    def sweep(
        self, branches: Iterable[Composed], config: DictConfig, overrides: Sequence[str]
    ) -> None:
        """All configurations of a sweep."""
        for branch in branches:
            self._take(branch.config, branch.content or resolved(branch.config))

    def batch(
        self,
        configs: Sequence[DictConfig],
        overrides: Sequence[Sequence[str]],
        first: int,
        objective: str | None,
    ) -> NoReturn:
        """Another sweeper: its values change no parameter."""
        raise ConfigError("planit schema takes no sweeper", hint="planit schema -m plan=a,b")

    def facts(self) -> PlanFacts:
        """What was found."""
        known = {path: found for path, found in self._functions.items() if found is not None}
        return PlanFacts(known, self._steps, self._presets, self._defaults)

    def _take(self, config: DictConfig, plan: Mapping[str, Any]) -> None:
        self._defaults |= set(slurm_defaults(config))
        self._presets = list(_names_in("slurm", GlobalHydra.instance().config_loader()))
        steps = plan.get("steps")
        for name, content in steps.items() if isinstance(steps, Mapping) else ():
            self._steps[str(name)] = _function_of(content)
        for content in _mappings(plan):
            path = _function_of(content)
            if path is not None and path not in self._functions:
                self._functions[path] = self._parameters(path)

    def _parameters(self, path: str) -> Parameters | None:
        try:
            found = Parameters.of(resolve(path))
        except PlanError as error:
            self.problems.append(f"{path}: its parameters are not checked: {error.message}")
            return None
        if found is None:
            self.problems.append(f"{path}: Python does not know its parameters")
        return found


def _names_in(group: str, loader: ConfigLoader) -> Iterator[str]:
    """The names of the configs of a group, with those in folders: ``vsc/wice_a100``."""
    yield from loader.get_group_options(group)
    for folder in loader.get_group_options(group, ObjectType.GROUP):
        yield from (f"{folder}/{name}" for name in _names_in(f"{group}/{folder}", loader))


def _function_of(content: Any) -> str | None:
    """The dotted path of the function that a step calls."""
    if not isinstance(content, Mapping):
        return None
    target = content.get(TARGET)
    is_planits = target is None or str(target).startswith("planit.")
    path = content.get("func") if is_planits else target
    return path if is_dotted_path(path) else None


def _mappings(plan: Mapping[str, Any]) -> Iterator[Any]:
    """The content of every node: in steps, and below root."""
    steps = plan.get("steps")
    todo = [*(steps.values() if isinstance(steps, Mapping) else ()), plan.get("root")]
    while todo:
        content = todo.pop(0)
        if isinstance(content, Mapping):
            yield content
            target = str(content.get(TARGET))
            children = content.get("_args_") if target.startswith("planit.") else None
            todo += children if isinstance(children, list) else []
