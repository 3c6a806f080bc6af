"""A job of ``hydra/launcher=planit``: a task function with one configuration of a sweep."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import cloudpickle
from hydra.core.utils import JobReturn
from hydra.types import TaskFunction
from omegaconf import DictConfig
from submitit.helpers import DelayedSubmission

from planit.job.hydra.program_run import ProgramRun
from planit.record.files import write_atomic
from planit.record.run_dir import JOB_RETURN


@dataclass(frozen=True, eq=False, repr=False)
class JobConfig:
    """The argument of a step: a configuration, shown by the overrides that it was composed with."""

    config: DictConfig
    overrides: Sequence[str]

    def __repr__(self) -> str:
        return " ".join(self.overrides)


@dataclass(frozen=True, eq=False, repr=False)
class LaunchedRun:
    """A program's task function as the function of all steps of a launch.

    Attributes:
        program: runs it.
        keep: called with what Hydra has of the job, for the sweeper that waits for it; None if
            none does.
    """

    program: ProgramRun
    keep: Callable[[JobReturn], None] | None = None
    logs_itself: ClassVar[bool] = True  # Hydra sets up logging, or is told not to

    @classmethod
    def of(
        cls,
        function: TaskFunction,
        callbacks: Any,
        *,
        state: Any = None,
        keep: Callable[[JobReturn], None] | None = None,
    ) -> LaunchedRun:
        """What runs `function`, which is pickled as it is; `state` as in `ProgramRun`."""
        keys = ("hydra.sweep.dir", "hydra.sweep.subdir")
        return cls(ProgramRun(partial(_same, function), state, *keys, callbacks), keep)

    @property
    def __wrapped__(self) -> TaskFunction:
        """The task function, whose code is frozen, and which may be refused."""
        return self.program.task()

    def __call__(self, job: JobConfig) -> Any:
        """What the program returns; raises what it raises."""
        done = self.program.job_return(job.config)
        if self.keep is not None:
            self.keep(done)
        return done.return_value

    def __repr__(self) -> str:
        return f"<{getattr(self.__wrapped__, '__qualname__', type(self.__wrapped__).__name__)}>"


class RestartedRun(LaunchedRun):
    """The same for jobs that are requeued: the program begins anew, with the same configuration."""

    def checkpoint(self, job: JobConfig) -> DelayedSubmission:
        """The call that goes on when the job has run out of time; the program saves itself."""
        return DelayedSubmission(self, job)


def _same(function: TaskFunction) -> TaskFunction:
    return function


def keep_in_record(done: JobReturn) -> None:
    """Leave it in the step's folder, unless it cannot be pickled: the record has the rest."""
    with suppress(Exception):
        content = cloudpickle.dumps(done)
        write_atomic(Path(os.environ["PLANIT_STEP_DIR"], JOB_RETURN), content)
