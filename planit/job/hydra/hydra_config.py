"""What `HydraConfig.get()` and ``${hydra:...}`` give in a job.

The configuration that a step was made from is frozen with its call. It costs a job nothing before
something imports Hydra.
"""

from __future__ import annotations

import importlib.util
import os
import pickle
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from planit.job.ending import job_id
from planit.nodes.arguments import IN_JOB

# What only a job knows, as a composed configuration has it: its value is the text ${hydra:job.id}.
_JOB_ID = f"\\{IN_JOB}job.id}}"
_OUTPUT_DIR = f"\\{IN_JOB}runtime.output_dir}}"


_SEPARATOR = "\0"


class FrozenConfig:
    """A composed configuration with its hydra node, pickled once for all the steps that share it.

    Attributes:
        is_whole: whether it is the whole configuration, or `HydraConfig`'s own part of it.
    """

    def __init__(self, config: Any, *, is_whole: bool) -> None:
        self._content: Any = config
        self.is_whole = is_whole

    def __reduce__(self) -> Any:
        return _frozen, (self.pickled, self.is_whole)

    @property
    def pickled(self) -> bytes:
        """The configuration as it is when this is first asked, compressed."""
        import cloudpickle  # a look at a plan does without

        if not isinstance(self._content, bytes):
            self._content = zlib.compress(cloudpickle.dumps(self._content))
        return self._content

    def load(self) -> Any:
        """A copy of the configuration."""
        return pickle.loads(zlib.decompress(self.pickled))


def _frozen(pickled: bytes, is_whole: bool) -> FrozenConfig:
    return FrozenConfig(pickled, is_whole=is_whole)


@dataclass(frozen=True)
class StepHydra:
    """What a step's job sets `HydraConfig` up from.

    Attributes:
        base: the configuration that the step shares with others.
        late: overrides of values that its own branch sets on top, as text.
        overrides: all overrides of its branch, as text; None for those of `base`.
        number: ``hydra.job.num``; None where there is no sweep.
    """

    base: FrozenConfig
    late: Sequence[str] = ()
    overrides: Sequence[str] | None = None
    number: int | None = None

    def __reduce__(self) -> Any:  # with as few objects as can be, for there is one for each step
        overrides = None if self.overrides is None else _SEPARATOR.join(self.overrides)
        return _step_hydra, (self.base, _SEPARATOR.join(self.late), overrides, self.number)

    def set_up(self) -> None:
        """Set `HydraConfig`, and register the resolvers that Hydra itself brings."""
        from hydra.core.hydra_config import HydraConfig
        from hydra.core.utils import setup_globals
        from omegaconf import open_dict, read_write

        from planit.job.hydra.internals import set_branch

        setup_globals()
        config = self.base.load()
        if self.overrides is not None:
            set_branch(config, self.late, self.overrides, self.number)
        with read_write(config.hydra), open_dict(config.hydra):
            config.hydra.job.id = job_id()
            config.hydra.runtime.output_dir = os.environ.get("PLANIT_STEP_DIR", str(Path.cwd()))
        if self.base.is_whole:
            HydraConfig.instance().set_config(config)
        else:
            HydraConfig.instance().cfg = config


def _step_hydra(
    base: FrozenConfig, late: str, overrides: str | None, number: int | None
) -> StepHydra:
    def texts(joined: str) -> list[str]:
        return joined.split(_SEPARATOR) if joined else []

    given = None if overrides is None else texts(overrides)
    return StepHydra(base, texts(late), given, number)


def of_this_process() -> StepHydra | None:
    """What steps get that are submitted from inside a Hydra program; None elsewhere."""
    module = sys.modules.get("hydra.core.hydra_config")
    if module is None or not module.HydraConfig.initialized():
        return None
    return StepHydra(FrozenConfig(module.HydraConfig.instance().cfg, is_whole=False))


def leave_to_job(hydra: Any, number: int | None = None) -> None:
    """Let ``${hydra:job.id}`` and ``${hydra:runtime.output_dir}`` be completed by the job.

    Args:
        hydra: the hydra node of a composed configuration.
        number: what ``hydra.job.num`` is, if there is a sweep.
    """
    from omegaconf import open_dict, read_write

    with read_write(hydra), open_dict(hydra):
        hydra.job.id = _JOB_ID
        hydra.runtime.output_dir = _OUTPUT_DIR
        if number is not None:
            hydra.job.num = number


@contextmanager
def put_back_after() -> Iterator[None]:
    """Put `HydraConfig` back as it was before."""
    from hydra.core.hydra_config import HydraConfig

    before = HydraConfig.instance().cfg
    try:
        yield
    finally:
        HydraConfig.instance().cfg = before


@contextmanager
def in_place(step: StepHydra | None) -> Iterator[None]:
    """`HydraConfig` of a step, now or as soon as something imports Hydra."""
    if step is None:
        yield
        return
    if "hydra" not in sys.modules:
        sys.meta_path.insert(0, _AfterHydra(step))
        yield
        return
    with put_back_after():
        step.set_up()
        yield


class _AfterHydra(MetaPathFinder):
    """Sets `HydraConfig` up when Hydra has been imported."""

    def __init__(self, step: StepHydra) -> None:
        self._step = step

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "hydra":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Then(spec.loader, self._step)
        return spec


class _Then(Loader):
    """A module's own loader, and what is done after it."""

    def __init__(self, loader: Loader, step: StepHydra) -> None:
        self._loader = loader
        self._step = step

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        if module.__spec__ is not None:
            module.__spec__.loader = module.__loader__ = self._loader
        self._step.set_up()


def completed(text: str) -> str:
    """A text of a `Command` with what only its job knows put in."""
    for marker, value in ((_JOB_ID, job_id()), (_OUTPUT_DIR, os.environ.get("PLANIT_STEP_DIR"))):
        text = text.replace(marker.lstrip("\\"), value or "")
    return text
