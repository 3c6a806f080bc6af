"""What planit takes from Hydra under names that are not public, and where its versions differ.

Tried with Hydra 1.3.2, 1.3.8 and 1.4.0rc3. tests/job/test_hydra_internals.py fails first when
another version is different.
"""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from inspect import signature
from typing import Any, NoReturn

import hydra
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from hydra.types import TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from planit.errors import ConfigError, did_you_mean

_MAIN = importlib.import_module("hydra.main")  # ``hydra.main`` itself is the decorator
_IS_1_3 = hydra.__version__.startswith("1.3.")

VERSION_BASE: dict[str, Any] = {"version_base": "1.3"} if _IS_1_3 else {}
"""For `hydra.main` and `hydra.initialize_config_dir`; 1.4 warns if it is given."""


def callbacks_of(config: DictConfig) -> Any:
    """The callbacks that ``hydra.callbacks`` describes, built."""
    return Callbacks(config)


def register_resolver(name: str, resolver: Callable[..., Any]) -> None:
    """Register a resolver: OmegaConf 2.4 renamed the function, to the name of an old one of 2.3."""
    renamed = "replace" in signature(OmegaConf.register_resolver).parameters
    register = OmegaConf.register_resolver if renamed else OmegaConf.register_new_resolver
    register(name, resolver)


def apply_values(overrides: list[Override], config: DictConfig) -> None:
    """Apply overrides of values to a composed configuration, as Hydra does itself.

    Raises:
        HydraException: a key that does not exist, or a value that it does not take.
    """
    ConfigLoaderImpl._apply_overrides_to_config(overrides, config)  # noqa: SLF001 (no public name)


def parsed(texts: Sequence[str]) -> list[Override]:
    """Overrides as Hydra's parser reads them."""
    return OverridesParser.create().parse_overrides(list(texts))


def name_branch(hydra_node: Any, overrides: Sequence[Override], number: int | None) -> None:
    """Set what tells a branch of a sweep from others, as Hydra and its launchers do.

    Args:
        hydra_node: the hydra node of a composed configuration.
        overrides: all overrides of the branch.
        number: its number in the sweep; None where there is no sweep.
    """
    own = [one for one in overrides if not one.is_hydra_override()]
    with read_write(hydra_node), open_dict(hydra_node):
        hydra_node.overrides.task = [one.input_line for one in own]
        if not OmegaConf.is_interpolation(hydra_node.job, "override_dirname"):  # as in Hydra 1.4
            hydra_node.job.override_dirname = _dirname(own, hydra_node.job.config)
        if number is not None:
            hydra_node.job.num = number


def _dirname(overrides: Sequence[Override], config: Any) -> str:
    """What Hydra 1.3 makes of overrides; 1.4 has no function for it."""
    how = config.override_dirname
    texts = [str(one.input_line) for one in overrides if one.key_or_group not in how.exclude_keys]
    return str(how.item_sep).join(sorted(texts)).replace("=", how.kv_sep)


@contextmanager
def called_instead(run: Callable[[TaskFunction], None]) -> Iterator[None]:
    """Where a ``@hydra.main`` function is called, call `run` with what it decorates."""

    def handed_over(*, task_function: TaskFunction, **_: Any) -> None:
        run(task_function)

    before = vars(_MAIN)["_run_hydra"]
    vars(_MAIN)["_run_hydra"] = handed_over
    try:
        yield
    finally:
        vars(_MAIN)["_run_hydra"] = before


def is_decorated(function: Any) -> bool:
    """Whether a call of a function comes to one that ``@hydra.main`` made."""
    while function is not None:
        if getattr(function, "__globals__", None) is vars(_MAIN):
            return True
        function = getattr(function, "__wrapped__", None)
    return False


def set_branch(
    config: DictConfig, late: Sequence[str], overrides: Sequence[str], number: int | None
) -> None:
    """Make what branches have in common the configuration of one of them.

    Args:
        config: a composed configuration with its hydra node, which is changed.
        late: overrides of values that it lacks.
        overrides: all overrides of the branch.
        number: its number in the sweep; None where there is no sweep.
    """
    if late:
        apply_values(parsed(late), config)
    name_branch(config.hydra, parsed(overrides), number)


def with_number(sweep: Override, value: float, text: str) -> Override:
    """What Hydra's parser makes of `text`, the override of a sweep by one of its numbers.

    The parser takes 0.2 ms for each.
    """
    element = ValueType.ELEMENT
    return replace(sweep, value_type=element, _value=value, input_line=text, config_loader=None)


def flags_and_overrides(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words of a command line, apart; Hydra itself wants all overrides in one piece.

    Raises:
        ConfigError: a flag that Hydra does not have, or that needs a value, or is of no use here;
            Hydra would print its page of usage and end the process.
    """
    given = _parser().parse_intermixed_args(list(words))
    if given.experimental_rerun is not None:
        hint = "planit resume submits again what is not done"
        raise ConfigError("--experimental-rerun is not supported", hint=hint)
    left, flags = list(given.overrides), []
    for word in words:
        if left and word == left[0]:
            left.pop(0)
        else:
            flags.append(word)
    _parser().parse_args([*given.overrides, *flags])
    return flags, given.overrides


def _parser() -> argparse.ArgumentParser:
    """Hydra's parser, which raises ConfigError."""
    parser = get_args_parser()
    parser.allow_abbrev = False  # planit looks for whole ones

    def refuse(message: str) -> NoReturn:
        flag = message.removeprefix("unrecognized arguments: ").split(" ")[0]
        known = re.findall(r"--[a-z_-]+", parser.format_usage())
        close = did_you_mean(flag, known) if flag != message else ""
        raise ConfigError(message, hint=f"{close}planit --help, planit --hydra-help")

    parser.error = refuse  # type: ignore[method-assign]
    return parser
