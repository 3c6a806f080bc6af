"""`Sweep`: one step for each combination of values, in parallel."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from planit.errors import PlanError
from planit.nodes.functions import Function
from planit.nodes.slurm_args import SlurmSpec
from planit.nodes.step_folder import StepFolder, folder_of, readable
from planit.nodes.tree import Parallel, Step, in_step

_IS_ID = re.compile(r"[+-]?0[\d_]")  # ``subject=007``, which Hydra reads as text too
_WORDS = {"true": True, "false": False, "null": None}
COMBINATIONS = ("product", "zip")


class Sweep(Parallel):
    """A Parallel of Steps, one for each combination of values.

    ``Sweep("train", train, GPU, over={"lr": [1e-3, 1e-4], "model": ["bert", "roberta"]})`` has the
    steps ``train[lr=0.001,model=bert]``, ``train[lr=0.001,model=roberta]`` and so on.

    Args:
        name, func, slurm_args, *args, **kwargs: as for `Step`; the same for every combination.
        over: a list of values for each swept parameter of `func`.
        combine: "product" for every value with every other, "zip" for the first values together,
            the second together, and so on.
        max_concurrent: the maximum number of steps that run at once; by default no limit.

    Raises:
        PlanError: nothing to sweep, a parameter that is given twice, lists of different lengths.
    """

    __slots__ = ("name", "swept")

    def __init__(
        self,
        name: str = "",
        func: Function = "",
        slurm_args: SlurmSpec | None = None,
        *args: Any,
        over: Mapping[str, Iterable[Any]],
        combine: str = "product",
        max_concurrent: int | None = None,
        **kwargs: Any,
    ) -> None:
        try:
            rows = combinations(over, combine)
        except PlanError as error:
            raise in_step(name, error) from None
        twice = sorted(set(over) & set(kwargs))
        if twice:
            raise PlanError(f"step {name!r}: {twice[0]!r} is both swept and given")
        steps = (
            Step(step_name(name, row), func, slurm_args or {}, *args, **kwargs, **row).of_branch(
                name, row
            )
            for row in rows
        )
        super().__init__(*steps, max_concurrent=max_concurrent)
        self.swept = tuple(map(str, over))
        self._call(name)

    @property
    def dir(self) -> StepFolder:
        """The folders of its steps, as an argument of a later step: a list of them.

        Raises:
            PlanError: the sweep has no name yet.
        """
        return folder_of(self.name, "Sweep")

    def _call(self, name: str) -> None:
        self.name = name
        self.label = f"Sweep {name} over {', '.join(self.swept)}"

    def named(self, name: str) -> Sweep:
        """The same sweep under a name, if it has none."""
        if self.name:
            return self
        steps = [step for step in self.children if isinstance(step, Step)]
        other = self.with_children(
            step.renamed(f"{name}{step.name}").of_branch(name, {}) for step in steps
        )
        other._call(name)  # noqa: SLF001 (its own)
        return other


def combinations(over: Mapping[str, Iterable[Any]], combine: str) -> list[dict[str, Any]]:
    """The swept parameters of each step.

    Raises:
        PlanError: no parameter, a parameter without values, lists of different lengths to zip.
    """
    if combine not in COMBINATIONS:
        raise PlanError(f"combine must be product or zip, not {combine!r}")
    if not isinstance(over, Mapping) or not over:
        raise PlanError(f"over must map parameters to lists of values, not {over!r}")
    columns: dict[str, Sequence[Any]] = {}
    for parameter, values in over.items():
        if isinstance(values, str | bytes) or not isinstance(values, Iterable):
            raise PlanError(f"over: {parameter} must have a list of values, not {values!r}")
        columns[str(parameter)] = list(values)
        if not columns[str(parameter)]:
            raise PlanError(f"over: {parameter} has no values")
    if combine == "zip":
        lengths = {parameter: len(values) for parameter, values in columns.items()}
        if len(set(lengths.values())) > 1:
            raise PlanError(f"over: lists of different lengths cannot be zipped: {lengths}")
        rows: Iterable[tuple[Any, ...]] = zip(*columns.values(), strict=True)
    else:
        rows = itertools.product(*columns.values())
    return [dict(zip(columns, row, strict=True)) for row in rows]


def swept_value(text: str) -> Any:
    """The value that an override on the command line sets: a number, true, false, null, or text."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    if text in _WORDS or _IS_ID.match(text):
        return _WORDS.get(text, text)
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def step_name(name: str, values: Mapping[str, Any]) -> str:
    """``train[lr=0.001,model=bert]``."""
    shown = ",".join(f"{key}={value}" for key, value in values.items())
    return f"{name}[{readable(shown)}]"
