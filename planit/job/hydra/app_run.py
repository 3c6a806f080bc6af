"""What a `HydraApp` step runs inside its job."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from inspect import signature
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar

from planit.job.hydra.program import HydraProgram, Row

if TYPE_CHECKING:
    from hydra.types import TaskFunction


class NotStartedError(RuntimeError):
    """The program did not call its ``@hydra.main`` function, or called a second one."""


@dataclass(frozen=True)
class AppRun:
    """Runs a program with the configuration that was composed at submission.

    Attributes:
        program: the program.
        flags: of its command line.
    """

    program: HydraProgram
    flags: tuple[str, ...] = ()
    logs_itself: ClassVar[bool] = True  # Hydra sets up logging, or is told not to

    def __call__(self, base: bytes, row: Row) -> Any:
        """Run it to its end; what its function returned.

        Args:
            base: what the configurations of the program's steps have in common, pickled.
            row: what this step's has of its own.

        Raises:
            NotStartedError: see there.
            BaseException: what the program raises.
        """
        from planit.job.hydra.internals import called_instead

        started = _Started(base, row)
        with called_instead(started.run):
            try:
                self.program.start([*row.overrides, *self.flags])
            except BaseException as error:
                if error is started.error:
                    raise error.with_traceback(started.trace) from error.__cause__
                raise
        if started.error is not None:  # under Hydra the process would have ended
            raise started.error.with_traceback(started.trace)
        if not started.has_run:
            raise NotStartedError(f"{self.program.name} did not call its @hydra.main function")
        return started.value


def import_hydra() -> None:
    """Import what a program needs, where many of them will be forked."""
    from planit.job.hydra import internals, program_run, rows  # noqa: F401 (for the forks)


@contextmanager
def put_back() -> Iterator[None]:
    """Put back what a program changes in a process that goes on: Hydra, logging, ``__main__``.

    What its modules stored stays, as they do. A script may register its resolvers again.
    """
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.utils import JobRuntime

    hydra, job = GlobalHydra.instance().hydra, JobRuntime.instance().get("name")
    main, words, path = sys.modules["__main__"], sys.argv, sys.path[:]
    log = logging.getLogger()
    handlers, level = log.handlers[:], log.level
    try:
        with _resolvers_again():
            yield
    finally:
        log.handlers[:] = handlers
        log.setLevel(level)
        sys.modules["__main__"], sys.argv, sys.path[:] = main, words, path
        JobRuntime.instance().set("name", job)
        GlobalHydra.instance().clear()
        if hydra is not None:
            GlobalHydra.instance().initialize(hydra)


@contextmanager
def _resolvers_again() -> Iterator[None]:
    """Let a script register resolvers that are there since it ran before."""
    from omegaconf import OmegaConf

    named = {
        name: getattr(OmegaConf, name) for name in ("register_new_resolver", "register_resolver")
    }
    try:
        for name, register in named.items():
            if "replace" in signature(register).parameters:  # the second one since OmegaConf 2.4
                setattr(OmegaConf, name, staticmethod(partial(register, replace=True)))
        yield
    finally:
        for name, register in named.items():
            setattr(OmegaConf, name, staticmethod(register))


@dataclass
class _Started:
    """The program's function, which runs once."""

    base: bytes
    row: Row
    has_run: bool = False
    value: Any = None
    error: BaseException | None = None
    trace: TracebackType | None = field(default=None, repr=False)

    def run(self, task_function: TaskFunction) -> None:
        if self.has_run:
            raise NotStartedError(
                "the program called a second @hydra.main function: the configuration that planit"
                " composed when the plan was submitted is the first one's"
            )
        self.has_run = True
        try:
            self.value = _run(task_function, self.base, self.row)
        except BaseException as error:
            self.error, self.trace = error, _of_the_program(error.__traceback__)
            raise


def _run(task_function: TaskFunction, base: bytes, row: Row) -> Any:
    """What Hydra does in a single run, but for composing the configuration."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.utils import JobRuntime, setup_globals
    from omegaconf import open_dict, read_write

    from planit.job.hydra.internals import callbacks_of
    from planit.job.hydra.program_run import ProgramRun
    from planit.job.hydra.rows import configuration

    setup_globals()
    config, hydra = configuration(base, row)
    name = config.hydra.job.config_name
    with read_write(config.hydra), open_dict(config.hydra):
        config.hydra.run.dir = os.environ["PLANIT_STEP_DIR"]
        if (workdir := os.environ.get("PLANIT_WORKDIR")) is not None:
            config.hydra.runtime.cwd = workdir
    GlobalHydra.instance().clear()
    if hydra is not None:
        GlobalHydra.instance().initialize(hydra)  # for `hydra.compose` in the program
    JobRuntime.instance().set("name", config.hydra.job.name)
    callbacks = callbacks_of(config)
    callbacks.on_run_start(config=config, config_name=name)
    done = ProgramRun(lambda: task_function, callbacks=callbacks).job_return(config)
    callbacks.on_run_end(config=config, config_name=name, job_return=done)
    return done.return_value


def _of_the_program(trace: TracebackType | None) -> TracebackType | None:
    """A traceback from the program's own frames on; all of it if none is the program's."""
    import hydra

    above = [f"{Path(str(hydra.__file__)).parent}{os.sep}", f"{Path(__file__).parents[2]}{os.sep}"]
    found = trace
    while found is not None and found.tb_frame.f_code.co_filename.startswith(tuple(above)):
        found = found.tb_next
    return found or trace
