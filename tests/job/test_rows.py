"""Each configuration of many steps is the one that Hydra composes for it alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import hydra
import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from planit.job.hydra.internals import VERSION_BASE
from planit.job.hydra.program import Row
from planit.job.hydra.rows import NotComposedError, compose_rows, configuration
from tests.helpers import write


@dataclass
class Rates:
    lr: float = 0.1
    decay: float = 0.0
    sizes: list[int] = field(default_factory=lambda: [1])
    named: dict[str, int] = field(default_factory=dict)


FILES = {
    "config": "defaults: [rates_schema@rates, model: a, _self_]\nseed: 0\nfree: {deep: {x: 1}}\n"
    "out: ${hydra:job.override_dirname}/${seed}\nbig: ???\n",
    "model/a": "width: 1\nrate: ${rates.lr}\n",
    "model/b": "width: 2\nother: {a: 1}\n",
    "experiment/long": "# @package _global_\ndefaults: [{override /model: b}]\nseed: 9\n",
}
# Overrides, by what they are about; the last ones of each do not fit.
TEXTS = [
    ["seed=1", "seed=2", "seed=null", "seed=[1,2]", "seed='a b'", "seed=${rates.lr}", "seed=(",
     "sede=1", "seed=1,2", "+seed=1"],
    ["++seed=4", "++seed=5", "~seed"],
    ["rates.lr=0.5", "rates.lr=2", "rates.lr=1e-3", "rates.lr=text", "rates.lr={a:1}"],
    ["rates.sizes=[3,4]", "rates.sizes=[5]", "rates.sizes=[x]"],
    ["rates.named={a:1}", "rates={lr:3}", "rates={named:{b:1}}", "rates.named.c=1"],
    ["+rates.named.b=2", "+rates.named.b=3", "++rates.named.b=4", "+rates.none=1"],
    ["model=a", "model=b", "model={width:8}", "model={new:{a:1}}", "model=c", "~model"],
    ["model.width=7", "model.width=8", "+model.more=1", "+model.more=2", "~model.width"],
    ["+experiment=long"],
    ["+new=1", "+new=two", "+new={a:1}", "+new={b:1}"],
    ["+new.deep=1", "+new.deep=2"],
    ["free.deep.x=5", "free.deep.x=6", "free.deep={x:6}", "free={deep:{x:7}}", "free=8", "free=9"],
    ["big=1", "big=x"],
    ["hydra.job.name=other", "hydra.job.name=more", "hydra.job.chdir=true",
     "hydra.job.config.override_dirname.exclude_keys=[seed]"],
]  # fmt: skip


@st.composite
def alike(draw: st.DrawFn) -> list[list[str]]:
    """The overrides of some steps, which are about the same."""
    about = draw(st.lists(st.sampled_from(TEXTS), max_size=3, unique_by=lambda texts: texts[0]))
    row = st.tuples(*(st.sampled_from(texts) for texts in about)).map(list)
    return draw(st.lists(row, min_size=1, max_size=5))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("conf")
    for name, text in FILES.items():
        write(folder / f"{name}.yaml", text)
    ConfigStore.instance().store(name="rates_schema", node=Rates)
    return str(folder)


def by_hydra(overrides: Sequence[str]) -> Any:
    """The configuration that Hydra composes, or what it says against it."""
    loader = GlobalHydra.instance().config_loader()
    try:
        words = [*overrides, "hydra.mode=RUN"]  # as Hydra adds it to those of a single run
        return loader.load_configuration("config", words, RunMode.RUN, from_shell=False)
    except HydraException as error:
        return str(error)


def content(config: Any) -> Any:
    plain = OmegaConf.to_container(config, resolve=False)
    HydraConfig.instance().set_config(config)
    try:
        return plain, str(config.hydra.job.override_dirname), OmegaConf.to_yaml(config)
    finally:
        HydraConfig.instance().cfg = None


def composed(rows: Sequence[Sequence[str]]) -> list[tuple[int, Row, Any]]:
    bases, steps = compose_rows(GlobalHydra.instance().config_loader(), "config", rows)
    return [(base, row, configuration(bases[base], row)[0]) for base, row in steps]


@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(rows=alike())
def test_generated_overrides_give_what_hydra_composes(folder: str, rows: list[list[str]]) -> None:
    with hydra.initialize_config_dir(folder, **VERSION_BASE):
        wanted = [by_hydra(row) for row in rows]
        wrong = {number for number, one in enumerate(wanted) if isinstance(one, str)}
        if wrong:
            with pytest.raises(NotComposedError) as refused:
                compose_rows(GlobalHydra.instance().config_loader(), "config", rows)
            assert set(refused.value.errors) == wrong
            first = next(iter(refused.value.errors))
            assert str(refused.value.errors[first]) == wanted[first]
            rows = [row for number, row in enumerate(rows) if number not in wrong]
            wanted = [one for one in wanted if not isinstance(one, str)]
        found = composed(rows)
        assert [content(one) for _, _, one in found] == [content(one) for one in wanted]


def test_rows_that_differ_in_values_share_a_base_and_cost_little(folder: str) -> None:
    rows = [
        ["model=b", f"rates.lr={i / 7}", f"+new={i}", f"free={{deep:{{x:{i}}}}}"]
        for i in range(200)
    ]
    with hydra.initialize_config_dir(folder, **VERSION_BASE):
        started = time.process_time()
        bases, steps = compose_rows(GlobalHydra.instance().config_loader(), "config", rows)
        assert time.process_time() - started < 4
    assert len(bases) == 1
    assert steps[3][1].late == tuple(rows[3][1:])


def test_the_number_of_a_branch_is_in_its_configuration(folder: str) -> None:
    with hydra.initialize_config_dir(folder, **VERSION_BASE):
        bases, [(base, row)] = compose_rows(
            GlobalHydra.instance().config_loader(), "config", [["seed=3"]]
        )
        config, _ = configuration(bases[base], Row(row.overrides, row.late, num=5))
        assert config.hydra.job.num == 5
        assert OmegaConf.is_missing(configuration(bases[base], row)[0].hydra.job, "num")
