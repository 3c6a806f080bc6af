"""What planit uses of Hydra under names that are not public: fails first when Hydra changes it."""

from __future__ import annotations

import functools
import warnings
from pathlib import Path
from typing import Any

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from planit.app.config.written import as_written
from planit.errors import ConfigError
from planit.job.hydra.internals import (
    VERSION_BASE,
    apply_values,
    called_instead,
    flags_and_overrides,
    is_decorated,
    with_number,
)
from tests.helpers import write

_CONFIG = "lr: 0.1\ntags: [a, b]\nnested: {depth: 1, name: '${lr}', more: {deep: x}}\n"


@pytest.fixture
def folder(tmp_path: Path) -> str:
    write(tmp_path / "config.yaml", _CONFIG)
    return str(tmp_path)


def composed(folder: str, *overrides: str) -> DictConfig:
    """What Hydra composes."""
    with hydra.initialize_config_dir(folder, **VERSION_BASE):
        loader = GlobalHydra.instance().config_loader()
        return loader.load_configuration("config", list(overrides), RunMode.RUN)


@pytest.mark.parametrize(
    "overrides",
    [
        ["lr=1e-3"],
        ["lr=null", "nested.name='${tags.0}'"],
        ["nested={depth:5}"],
        ["+added=1", "+nested.new={a:[1,2]}"],
        ["++nested.depth=9", "++fresh.key=text"],
        ["~nested.more", "~tags"],
        ["~lr=0.1"],
        ["tags=[c]"],
    ],
)
def test_values_set_afterwards_give_what_hydra_composes_with_them(
    folder: str, overrides: list[str]
) -> None:
    apply_values(OverridesParser.create().parse_overrides(overrides), config := composed(folder))
    assert as_written(config) == as_written(composed(folder, *overrides))


@pytest.mark.parametrize("override", ["no.such=1", "+lr=2", "~nothing", "~lr=7", "group@x=y"])
def test_values_that_hydra_refuses_are_refused(folder: str, override: str) -> None:
    with hydra.initialize_config_dir(folder, **VERSION_BASE):
        config = (
            GlobalHydra.instance().config_loader().load_configuration("config", [], RunMode.RUN)
        )
    with pytest.raises(HydraException):
        apply_values(OverridesParser.create().parse_overrides([override]), config)


@pytest.mark.parametrize(
    "sweep",
    ["a.b=1,-2,1e-3,1e+22,0.1,3.0", "+a=range(0,3)", "++a@b=range(0,1,0.25)", "a=1e400,-7,1e-9"],
)
def test_numbers_are_what_hydras_parser_makes_of_them(sweep: str) -> None:
    parser = OverridesParser.create()
    override = parser.parse_override(sweep)
    for value, text in zip(
        override.sweep_iterator(), override.sweep_string_iterator(), strict=True
    ):
        line = f"{override.get_key_element()}={text}"
        assert isinstance(value, int | float)
        made, parsed = with_number(override, value, line), parser.parse_override(line)
        assert (made, type(made.value())) == (parsed, type(parsed.value()))


def test_hydra_takes_the_version_base_without_a_warning(folder: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with hydra.initialize_config_dir(folder, **VERSION_BASE):
            hydra.compose("config")
        hydra.main(**VERSION_BASE, config_path=folder, config_name="config")


def test_flags_are_told_from_overrides_wherever_they_stand() -> None:
    words = "a=1 -m --cfg job ~b --package plan +c=2 --config-name x --info plugins".split()
    flags, overrides = flags_and_overrides(words)
    assert flags == "-m --cfg job --package plan --config-name x --info plugins".split()
    assert overrides == ["a=1", "~b", "+c=2"]
    assert flags_and_overrides(["--info"]) == (["--info"], [])
    with pytest.raises(ConfigError, match="unrecognized arguments: --multi"):
        flags_and_overrides(["--multi"])


@hydra.main(**VERSION_BASE, config_path=None)
def program(_config: Any) -> None:
    raise AssertionError


@functools.wraps(program)
def watched(*args: Any) -> Any:
    return program(*args)


def test_what_a_program_decorates_is_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["program", "a=1", "--config-name=x"])
    found: list[Any] = []
    with called_instead(found.append):
        watched()
    assert found == [vars(program)["__wrapped__"]]


def test_a_program_is_told_from_other_functions() -> None:
    assert is_decorated(program)
    assert is_decorated(watched)
    assert not is_decorated(vars(program)["__wrapped__"])
    assert not is_decorated(print)
    assert not is_decorated(functools.lru_cache(print))
