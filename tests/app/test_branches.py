"""Each branch of a sweep equals what Hydra itself composes for its overrides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import hydra
import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from planit import Step
from planit.app.config.plans import Composed, Plans
from planit.app.config.written import Written, preset_keys
from planit.app.sweeps.branches import compose_branches
from planit.errors import ConfigError
from planit.job.hydra.internals import VERSION_BASE
from planit.nodes import Task, tasks
from tests.helpers import write

_FILES = {
    "config.yaml": """\
        defaults:
          - size: small
          - extra: ${size}_extra
          - slurm: cpu
          - plan: one
          - _self_
        lr: 0.1
        seed: 0
        tags: [a, b]
        nested: {depth: 1, name: "n-${seed}", more: {deep: "${lr}"}}
        """,
    "size/small.yaml": "width: 8\nname: small\n",
    "size/large.yaml": "width: 64\nname: large\nheads: 4\n",
    "extra/small_extra.yaml": "note: tiny\n",
    "extra/large_extra.yaml": "note: huge\n",
    "slurm/cpu.yaml": '_target_: planit.SlurmArgs\ntime: "10"\npartition: batch\n',
    "slurm/gpu.yaml": '_target_: planit.SlurmArgs\ntime: "20"\npartition: gpu\n',
    "plan/one.yaml": """\
        _target_: planit.Plan
        name: one
        steps:
          train:
            func: a.train
            slurm_args: ${slurm}
            lr: ${lr}
            width: ${size.width}
            out: run-${seed}-${lr}
            deep: ${nested.more.deep}
            epochs: 3
          test:
            func: a.test
            slurm_args: ${slurm}
            seed: ${seed}
            all: ${nested}
        root: {_target_: planit.Chain, _args_: [train, test]}
        """,
    "plan/two.yaml": """\
        _target_: planit.Plan
        name: two
        steps:
          train: {func: a.train, slurm_args: slurm, seed: "${seed}", lr: "${lr}", epochs: 1}
        root: {_target_: planit.Chain, _args_: [train]}
        """,
    "plan/three.yaml": """\
        _target_: planit.Plan
        name: three
        steps:
          train: {func: a.train, slurm_args: gpu}
        root: train
        """,
}

# Each swept key with values that are told apart by type, form or reach.
_AXES = {
    "lr": ["1e-3", "1", "null", "text", "${seed}", "'quoted text'"],
    "seed": ["0", "1", "true", "abc"],
    "size": ["small", "large"],
    "plan": ["one", "two"],
    "slurm": ["cpu", "gpu"],
    "slurm.time": ["5", "'01:00:00'"],
    "nested.depth": ["1", "2.5"],
    "nested.more.deep": ["7", "x"],
    "tags": ["[x]", "[y,z]"],
    "nested": ["{depth:5}", "{depth:6,other:1}"],
    "plan.steps.train.epochs": ["4", "5"],
    "plan.steps.train.slurm_args": ["slurm", "gpu", "${slurm}"],
    "+added": ["1", "2"],
    "++nested.depth": ["8", "9"],
}
_FIXED = ["lr=9", "tags=[q]", "~nested.more", "+size.extra=1", "++nested.name=z", "nested.depth=3"]


@dataclass
class _Typed:
    lr: float = 0.1
    seed: int = 0
    word: str | None = "x"
    free: Any = None
    counts: dict[str, int] = field(default_factory=lambda: {"a": 1})


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConfigLoader]:
    """Hydra's loader on the files above."""
    ConfigStore.instance().store(group="size", name="typed", node=_Typed)
    folder = tmp_path_factory.mktemp("conf")
    for name, text in _FILES.items():
        write(folder / name, text)
    with hydra.initialize_config_dir(str(folder), **VERSION_BASE):
        yield GlobalHydra.instance().config_loader()


@pytest.fixture(autouse=True)
def _hydra_config_is_put_back() -> Iterator[None]:
    before = HydraConfig.instance().cfg
    yield
    HydraConfig.instance().cfg = before


def master_of(loader: ConfigLoader, arguments: list[str]) -> DictConfig:
    """The configuration that a sweep starts with."""
    return loader.load_configuration("config", arguments, RunMode.MULTIRUN)


def plain(config: DictConfig) -> tuple[Any, Any]:
    """All of a configuration but Hydra's own part: as it is written, and resolved."""
    rest = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    raw = OmegaConf.to_container(rest, resolve=False)
    try:
        return raw, OmegaConf.to_container(rest, resolve=True)
    except Exception as error:  # the same refusal counts as equal
        return raw, type(error).__name__


def check(loader: ConfigLoader, master: DictConfig, branch: Composed, row: list[str]) -> None:
    """Compare one branch with what Hydra's loader makes of the same overrides."""
    composed = loader.load_sweep_config(master, row)
    raw, resolved = plain(composed)
    keys = preset_keys(Written(composed))
    if branch.content is None:
        assert plain(branch.config) == (raw, resolved)
    else:
        assert branch.content == resolved["plan"]
    assert branch.preset_keys in (None, keys)
    assert built(branch) == built(Composed({}, composed))
    assert branch.hydra is not None
    branch.hydra.set_up()
    assert hydra_node(HydraConfig.get()) == hydra_node(composed.hydra)


def hydra_node(node: Any) -> Any:
    """Hydra's own part of a configuration, without what a job sets."""
    content: Any = OmegaConf.to_container(node, resolve=False)
    for part, key in (("job", "id"), ("job", "num"), ("runtime", "output_dir")):
        del content[part][key]
    return content


def built(branch: Composed) -> Any:
    """The steps of a branch's plan with all that they ask for, or what is wrong with it."""
    try:
        root = Plans().of(branch).root
    except ConfigError as error:
        return error.message
    return [(task.name, task.resources.key, task.origin, call_of(task)) for task, _ in tasks(root)]


def call_of(task: Task) -> Any:
    assert isinstance(task, Step)
    return task.args, task.kwargs


@st.composite
def sweeps(draw: st.DrawFn) -> list[str]:
    """A command line that sweeps one to three keys, perhaps with plain overrides around them."""
    keys = draw(st.lists(st.sampled_from(sorted(_AXES)), min_size=1, max_size=3, unique=True))
    swept = []
    for key in keys:
        values = st.lists(st.sampled_from(_AXES[key]), min_size=2, max_size=3, unique=True)
        swept.append(f"{key}={','.join(draw(values))}")
    fixed = draw(st.lists(st.sampled_from(_FIXED), max_size=2, unique=True))
    taken = {word.partition("=")[0] for word in swept}
    extra = [word for word in fixed if word.partition("=")[0] not in taken]
    return draw(st.permutations([*swept, *extra]))


@given(sweep=sweeps())
@settings(max_examples=15, deadline=None)
def test_every_branch_equals_what_hydra_composes(loader: ConfigLoader, sweep: list[str]) -> None:
    try:
        master = master_of(loader, sweep)
        branches = compose_branches(loader, master, sweep)
        for branch, row in zip(branches, hydras_rows(loader, sweep), strict=True):
            check(loader, master, branch, row)
    except hydra.errors.HydraException:
        with pytest.raises(hydra.errors.HydraException):
            hydra_alone(loader, sweep)


def hydras_rows(loader: ConfigLoader, sweep: list[str]) -> list[list[str]]:
    """The overrides of each branch, as Hydra's own sweeper has them."""
    overrides = OverridesParser.create(config_loader=loader).parse_overrides(sweep)
    rows = [row for batch in BasicSweeper.split_arguments(overrides, None) for row in batch]
    return [[word.partition("=")[0] if word[0] == "~" else word for word in row] for row in rows]


def hydra_alone(loader: ConfigLoader, sweep: list[str]) -> None:
    """Compose what Hydra's own sweeper would; raises what it raises."""
    master = master_of(loader, sweep)
    for row in hydras_rows(loader, sweep):
        loader.load_sweep_config(master, row)


def test_plain_values_need_no_second_composition(loader: ConfigLoader) -> None:
    sweep = ["plan=two", "lr=1,2,3", "seed=range(0,4)"]
    branches = list(compose_branches(loader, master_of(loader, sweep), sweep))
    assert len(branches) == 12
    assert all(branch.content is not None for branch in branches)
    assert len({id(branch.config) for branch in branches}) == 1
    assert [branch.values for branch in branches[:2]] == [
        {"lr": "1", "seed": "0"},
        {"lr": "1", "seed": "1"},
    ]


@pytest.mark.parametrize(
    "sweep", [["lr=1,2"], ["slurm.time=5,6"], ["nested.depth=1,2"], ["seed=1,2"]]
)
def test_a_value_that_reaches_further_than_its_place_is_resolved_in_full(
    loader: ConfigLoader, sweep: list[str]
) -> None:
    branches = compose_branches(loader, master_of(loader, sweep), sweep)
    assert all(branch.content is None for branch in branches)


def test_a_field_of_a_preset_that_steps_are_swept_over_is_not_lost(loader: ConfigLoader) -> None:
    sweep = ["plan=three", "plan.steps.train.slurm_args=slurm,gpu", "slurm.time='5','6'"]
    branches = compose_branches(loader, master_of(loader, sweep), sweep)
    steps = [task for branch in branches for task, _ in tasks(Plans().of(branch).root)]
    assert [step.resources.time_text for step in steps] == ["5", "6", "20", "20"]


@pytest.mark.parametrize(
    ("sweep", "values"),
    [
        ("size.lr=1,2", [1.0, 2.0]),
        ("size.seed=1,2", [1, 2]),
        ("size.counts.a=1,2", [1, 2]),
        ("size.word=1,2", ["1", "2"]),
        ("size.free=1,text", [1, "text"]),
    ],
)
def test_the_types_of_a_structured_config_hold_in_every_branch(
    loader: ConfigLoader, sweep: str, values: list[Any]
) -> None:
    key = sweep.partition("=")[0]
    words = ["plan=two", "size=typed", "~extra", f"plan.steps.train.epochs=${{{key}}}", sweep]
    branches = compose_branches(loader, master_of(loader, words), words)
    steps = [task for branch in branches for task, _ in tasks(Plans().of(branch).root)]
    found = [call_of(step)[1]["epochs"] for step in steps]
    assert [(value, type(value)) for value in found] == [(value, type(value)) for value in values]


def test_a_step_that_no_swept_value_touches_is_built_once(loader: ConfigLoader) -> None:
    sweep = ["plan.steps.train.epochs=1,2"]
    plans = Plans()
    roots = [
        plans.of(branch).root.children
        for branch in compose_branches(loader, master_of(loader, sweep), sweep)
    ]
    assert roots[0][0] is not roots[1][0]
    assert roots[0][1] is roots[1][1]


@pytest.mark.parametrize(
    ("sweep", "rows"),
    [
        ("extra=large_extra,null", [["extra=large_extra"], ["~extra"]]),
        ("+size@other=null,large", [[], ["+size@other=large"]]),
    ],
)
def test_null_leaves_a_group_out_of_its_branch(
    loader: ConfigLoader, sweep: str, rows: list[list[str]]
) -> None:
    """Hydra itself takes no null here."""
    words = [sweep, "lr=1,2"]
    master = master_of(loader, words)
    branches = compose_branches(loader, master, words)
    expected = [[*row, f"lr={lr}"] for row in rows for lr in (1, 2)]
    values = []
    for branch, row in zip(branches, expected, strict=True):
        check(loader, master, branch, row)
        values.append(branch.values)
    key = sweep.partition("=")[0].lstrip("+")
    assert values[2 if rows[0] else 0] == {key: "null", "lr": "1"}


def test_a_sweep_that_is_not_finite_is_refused(loader: ConfigLoader) -> None:
    sweep = ["lr=interval(0,1)"]
    with pytest.raises(ConfigError, match="is not a finite sweep"):
        list(compose_branches(loader, master_of(loader, sweep), sweep))
