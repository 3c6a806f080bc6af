"""Runs a Hydra program inside a job: its task function, with the configuration frozen for it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from typing import Any, cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from planit.job.ending import job_id
from planit.job.hydra.internals import callbacks_of


@dataclass(frozen=True, eq=False)
class ProgramRun:
    """A Hydra program as the function of a step, to be called with its configuration.

    It does what Hydra's launchers do around a job: HydraConfig, job logging, callbacks, and the
    folder of the outputs with ``.hydra/`` in it. What the branches of a sweep have in common is
    here, so that it is pickled only once.

    Attributes:
        task: gives the task function; called in the job, in the program's own state of Hydra.
        state: that state and the resolvers, as `Singleton.get_state` gave it where the
            configuration was composed; None if this is that process.
        dir_key, subdir_key: the keys of the configuration that name the folder of the outputs.
        callbacks: Hydra's callbacks; None makes them in the job, from ``hydra.callbacks``.
    """

    task: Callable[[], TaskFunction]
    state: Any = None
    dir_key: str = "hydra.run.dir"
    subdir_key: str | None = None
    callbacks: Any = None

    def __call__(self, config: DictConfig) -> Any:
        """What the program returns; raises what it raises."""
        return self.job_return(config).return_value

    def job_return(self, config: DictConfig) -> JobReturn:
        """All that Hydra has of the job; reading its value raises what the program raised.

        Args:
            config: composed but not resolved, with its node ``hydra``; it is not modified.
        """
        with _in_state(self.state):
            setup_globals()
            config = copy.deepcopy(config)
            with open_dict(config):
                config.hydra.job.id = job_id()
            callbacks = callbacks_of(config) if self.callbacks is None else self.callbacks
            with chdir(config.hydra.runtime.cwd):  # a resume may be called from anywhere
                return run_job(
                    # A job composes nothing, so that it needs no loader.
                    hydra_context=HydraContext(cast("ConfigLoader", None), callbacks),
                    task_function=self.task(),
                    config=config,
                    job_dir_key=self.dir_key,
                    job_subdir_key=self.subdir_key,
                )


@contextmanager
def _in_state(state: Any) -> Iterator[None]:
    """Hydra's singletons and the resolvers as they are in `state`; None leaves them."""
    if state is None:
        yield
        return
    Plugins.instance()  # Hydra loads them once: what they store belongs to the state before
    before = Singleton.get_state()
    Singleton.set_state(copy.deepcopy(state))
    try:
        yield
    finally:
        Singleton.set_state(before)
