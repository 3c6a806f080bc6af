"""A step's call as submitit pickles it, and how it is run inside a job.

submitit's own entry point would unpickle before anything could be checked and lets the time-out
signal end jobs that cannot save themselves, so planit's worker calls these pieces instead.
"""

from __future__ import annotations

import io
import os
import pickle
import signal
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

import cloudpickle
from submitit.core.job_environment import JobEnvironment
from submitit.core.utils import DelayedSubmission, JobPaths

from planit.record import step_files
from planit.record.files import is_shared, write_atomic
from planit.record.trust import TrustedDir
from planit.record.umask import private_umask


class StepPaths(JobPaths):  # type: ignore[misc, unused-ignore]
    """submitit's paths of a job, with payload and script where planit keeps them."""

    def __init__(
        self, step_dir: Path | str, job_id: str | None, task_id: int | None, script: Path | None
    ) -> None:
        super().__init__(step_dir, job_id=job_id, task_id=task_id)
        self._step_dir = Path(step_dir)
        self._script = script

    @property
    def folder(self) -> Path:
        return self._step_dir

    @property
    def submitted_pickle(self) -> Path:
        return self._step_dir / step_files.PAYLOAD

    @property
    def result_pickle(self) -> Path:
        return self._step_dir / step_files.result(str(self.job_id), self.task_id)

    @property
    def stdout(self) -> Path:
        return self._step_dir / step_files.log(str(self.job_id), self.task_id)

    @property
    def submission_file(self) -> Path:
        return self._script if self._script is not None else super().submission_file


class _CheckpointPaths(StepPaths):
    """The same inside the job, where a checkpoint never replaces the original payload."""

    @property
    def submitted_pickle(self) -> Path:
        return self._step_dir / step_files.CHECKPOINT


class LocalEnvironment(JobEnvironment):  # type: ignore[misc, unused-ignore]
    """submitit's view of a step that planit's local engine runs, and which it starts again."""

    _env: ClassVar[dict[str, str]] = {
        "job_id": "PLANIT_JOB",
        "num_tasks": "PLANIT_NOT_SET",
        "num_nodes": "PLANIT_NOT_SET",
        "node": "PLANIT_NOT_SET",
        "global_rank": "PLANIT_NOT_SET",
        "local_rank": "PLANIT_NOT_SET",
    }

    def _requeue(self, countdown: int) -> None:
        """The engine does it when the step has left."""


def can_checkpoint(function: Callable[..., Any]) -> bool:
    """Whether submitit can save and requeue a call of `function`."""
    return hasattr(function, "checkpoint") or hasattr(function, "__submitit_checkpoint__")


def dump(
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    time_minutes: int,
    max_requeues: int,
) -> bytes:
    """The pickled call. Raises whatever pickle raises for what cannot be pickled."""
    call = DelayedSubmission(function, *args, **kwargs)
    call.set_timeout(time_minutes, max_requeues)
    buffer = io.BytesIO()
    cloudpickle.dump(call, buffer, protocol=pickle.HIGHEST_PROTOCOL)
    return buffer.getvalue()


def load(step: TrustedDir) -> DelayedSubmission:
    """The call in a step's folder: its checkpoint, if there is one.

    Raises:
        RunError: another user could have written it.
    """
    with step_files.open_call(step) as file:
        call: DelayedSubmission = pickle.load(file)
        return call


def run(step: TrustedDir, prepare: Callable[[bool], None], requeued: Callable[[], None]) -> Any:
    """Load the call in a step's folder and make it.

    `prepare` is told whether the call can checkpoint, before it starts; submitit's signal
    handlers are installed only then. `requeued` is called when one of them has saved the call and
    leaves, with exit code -1; a step may leave with this code too.
    """
    call = load(step)
    checkpoints = can_checkpoint(call.function)
    prepare(checkpoints)
    if checkpoints:
        here = "PLANIT_JOB" in os.environ
        environment = LocalEnvironment() if here else JobEnvironment()
        paths = _CheckpointPaths(step.proc, environment.job_id, environment.global_rank, None)
        environment._handle_signals(paths, call)
        _close_checkpoints(environment._usr_sig(), requeued, shared=is_shared(step.fd))
    return call.result()


def _close_checkpoints(
    number: signal.Signals, requeued: Callable[[], None], *, shared: bool
) -> None:
    """Let submitit's handler write the checkpoint under the umask of the run's files.

    And in peace: where the warning comes so late that SIGTERM follows at once, that would end the
    ``scontrol requeue`` which it starts. What is ignored here, its children ignore too.
    """
    save = signal.getsignal(number)

    def handler(signum: int, frame: FrameType | None) -> None:
        os.umask(private_umask(shared=shared))
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if callable(save):
            try:
                save(signum, frame)
            except SystemExit:
                requeued()
                raise

    signal.signal(number, handler)


def write_result(path: Path, outcome: str, value: Any) -> None:
    """Leave a result where submitit's `Job.result` looks for it."""
    try:
        data = cloudpickle.dumps((outcome, value), protocol=pickle.HIGHEST_PROTOCOL)
    except Exception:  # a step communicates through files; what it returns must not fail it
        print(f"planit: the return value cannot be pickled:\n{traceback.format_exc()}", flush=True)
        data = cloudpickle.dumps((outcome, None))
    write_atomic(path, data, flush=False)
