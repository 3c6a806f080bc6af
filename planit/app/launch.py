"""``hydra/launcher=planit`` in any Hydra program: a batch of configurations is one run."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log, filter_overrides, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from planit.app.config.written import as_written
from planit.app.launch_settings import LaunchSettings
from planit.app.submitting import run_here, see_through, show_progress, start
from planit.app.sweeps.swept_rows import swept_rows
from planit.app.waiting import wait_for
from planit.backends.in_process import InProcess
from planit.errors import StepsFailedError
from planit.job.hydra.launched import JobConfig, LaunchedRun, RestartedRun, keep_in_record
from planit.nodes import Parallel, Step
from planit.plan import Plan
from planit.record import trust
from planit.record.run_dir import JOB_RETURN, RunDir
from planit.run import Run
from planit.status.states import State, StepStatus
from planit.submit.new import NewRun

log = logging.getLogger(__name__)
_INTERRUPTED = 130
# Where Hydra's programs leave their outputs by default.
_OUTPUTS = (Path("multirun"), Path("outputs"))


@dataclass(frozen=True)
class Program:
    """A program that Hydra runs.

    Attributes:
        task: its task function.
        context: what Hydra composes configurations with, and its callbacks.
        config: its configuration, without the swept values.
    """

    task: TaskFunction
    context: HydraContext
    config: DictConfig

    def composed(self, overrides: list[str], number: int) -> DictConfig:
        """The configuration of one job of the sweep."""
        config = self.context.config_loader.load_sweep_config(self.config, overrides)
        with open_dict(config):
            config.hydra.job.num = number
        return config


@dataclass(frozen=True)
class _Batch:
    """The jobs that are launched together, by the names of their steps."""

    program: Program
    jobs: Mapping[str, JobConfig]

    def plan(self, settings: LaunchSettings, runs: LaunchedRun) -> Plan:
        """A branch for each configuration; of one shape, so that they are one job array."""
        base = str(self.program.config.hydra.job.name)
        swept = swept_rows([filter_overrides(job.overrides) for job in self.jobs.values()])
        steps = [
            Step(name, runs, settings.slurm_args, job).of_branch(base, values)
            for (name, job), values in zip(self.jobs.items(), swept, strict=True)
        ]
        return Plan(settings.plan, Parallel(*steps, max_concurrent=settings.max_concurrent))

    def runs(self, settings: LaunchSettings, **rest: Any) -> LaunchedRun:
        """The function of all steps."""
        kind = RestartedRun if settings.is_requeued else LaunchedRun
        return kind.of(self.program.task, self.program.context.callbacks, **rest)

    def returned(self, of: Callable[[str, JobReturn], JobReturn]) -> list[JobReturn]:
        """What the sweeper gets: `of` a step's name and what is known before its job."""
        return [of(name, _before(job)) for name, job in self.jobs.items()]


def launch(
    program: Program, given: Mapping[str, Any], rows: Sequence[list[str]], first: int
) -> Sequence[JobReturn]:
    """Run a batch of a sweep as one run; what the sweeper gets of each job.

    Args:
        program: the program.
        given: what is set below ``hydra.launcher``.
        rows: the overrides of each job.
        first: number of the first job in the whole sweep.

    Raises:
        PlanitError: a setting is wrong, or nothing could be submitted.
        SystemExit: Ctrl-C stopped the waiting; the jobs go on, or on this machine can be resumed.
    """
    setup_globals()
    config = program.config
    settings = LaunchSettings.of(given, config, program.context.config_loader)
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    Path(str(config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
    jobs = {}
    for number, row in enumerate(rows, first):
        name = f"{config.hydra.job.name}-{number}"
        log.info("%s : %s", name, " ".join(filter_overrides(row)))
        jobs[name] = JobConfig(program.composed(row, number), row)
    batch = _Batch(program, jobs)
    if isinstance(settings.backend, InProcess):
        return _here(batch, settings, settings.backend)
    return _submitted(batch, settings)


def _here(batch: _Batch, settings: LaunchSettings, backend: InProcess) -> list[JobReturn]:
    """Run it in this process."""
    kept: dict[int, JobReturn] = {}

    def keep(done: JobReturn) -> None:
        assert done.hydra_cfg is not None
        kept[done.hydra_cfg.hydra.job.num] = done

    failures: Mapping[str, str] = {}
    try:
        run_here(batch.plan(settings, batch.runs(settings, keep=keep)), settings.base, backend)
    except StepsFailedError as error:
        failures = error.failures
    hydra = batch.program.config.hydra
    configure_log(hydra.hydra_logging, hydra.verbose)  # the jobs set up their own

    def returned(name: str, before: JobReturn) -> JobReturn:
        if (done := kept.get(batch.jobs[name].config.hydra.job.num)) is not None:
            return done
        return _failed(before, StepsFailedError(settings.plan, {name: failures.get(name, "")}))

    return batch.returned(returned)


def _submitted(batch: _Batch, settings: LaunchSettings) -> list[JobReturn]:
    """Submit it, and wait for it if that is wanted."""
    assert not isinstance(settings.backend, InProcess)
    config = batch.program.config
    keep = keep_in_record if settings.wait else None
    new = NewRun(
        plan=settings.plan,
        root=batch.plan(
            settings, batch.runs(settings, state=Singleton.get_state(), keep=keep)
        ).root,
        base=settings.base,
        backend=settings.backend,
        source={
            "config": as_written(config),
            "overrides": [job.overrides for job in batch.jobs.values()],
        },
        progress=show_progress,
        share=settings.share,
        freeze=settings.freeze,
        not_frozen=[*_OUTPUTS, Path(str(config.hydra.sweep.dir))],
    )
    run, jobs = start(new, chosen=settings.backend_name)
    if not settings.wait:
        return batch.returned(_not_waited_for)
    attached = run.backend.attached_run()
    code = wait_for(run) if attached is None else see_through(run)
    if code == _INTERRUPTED:
        raise SystemExit(code)
    status = run.status()
    values = {job.name: job.result for job in jobs}

    def returned(name: str, before: JobReturn) -> JobReturn:
        return _returned(run, status.plan, status.step(name), before, values[name])

    return batch.returned(returned)


def _returned(
    run: Run, plan: str, step: StepStatus, before: JobReturn, value: Callable[[], Any]
) -> JobReturn:
    """What Hydra has of a job that has ended, or what the record has of it."""
    done = _taken(RunDir(run.path), step)
    succeeded = step.state is State.DONE
    if done is not None and (done.status is JobStatus.COMPLETED) == succeeded:
        if not succeeded:
            _tell_where(done, step)
        return done
    if not succeeded:
        trace = (step.error or {}).get("traceback") or f"{step.state}: {step.cause or ''}"
        return _failed(before, StepsFailedError(plan, {step.name: trace}))
    try:
        before.return_value = value()
    except Exception as error:  # it cannot be pickled
        return _failed(before, error)
    before.status = JobStatus.COMPLETED
    return before


def _tell_where(done: JobReturn, step: StepStatus) -> None:
    """Add to a job's exception where it was raised: a pickled one has no traceback."""
    error = vars(done)["_return_value"]  # whose property raises it
    error.add_note(f"planit: raised in step {step.name} (job {step.job}); planit logs {step.name}")
    trace = (step.error or {}).get("traceback")
    if trace and not vars(done).get("_remote_traceback"):  # of Hydra 1.4, which raises it with that
        error.add_note(str(trace).rstrip())


def _taken(run: RunDir, step: StepStatus) -> JobReturn | None:
    """What a job left for the sweeper, which is removed from the record; None if nothing is."""
    folder = run.step_dir(step.slug)
    done = None
    with suppress(Exception), trust.opened(run.path) as opened:  # what it holds is the program's
        content = opened.read_bytes(str((folder / JOB_RETURN).relative_to(run.path)))
        done = pickle.loads(content)
    with suppress(OSError):
        (folder / JOB_RETURN).unlink()
        folder.rmdir()
    return done if isinstance(done, JobReturn) else None


def _before(job: JobConfig) -> JobReturn:
    """What is known of a job before it has run."""
    config = job.config
    keys = [str(key) for key in config if key != "hydra"]
    name = str(config.hydra.job.name)
    cfg = OmegaConf.masked_copy(config, keys)
    return JobReturn(overrides=job.overrides, cfg=cfg, hydra_cfg=config, task_name=name)


def _failed(before: JobReturn, error: Exception) -> JobReturn:
    before.status = JobStatus.FAILED
    before.return_value = error
    return before


class _NotWaitedFor(JobReturn):
    """Of a job that nobody waits for: its status stays unknown, and its value is in the record."""

    return_value = None


def _not_waited_for(_name: str, before: JobReturn) -> JobReturn:
    return _NotWaitedFor(before.overrides, before.cfg, before.hydra_cfg, task_name=before.task_name)
