"""A step's call as submitit pickles it, and how it is made inside a job.

submitit's own entry point would unpickle before anything could be checked and lets the time-out
signal end jobs that cannot save themselves, so planit's worker calls these pieces instead.
"""

from __future__ import annotations

import io
import pickle
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle
from submitit.core.utils import DelayedSubmission

from planit.job.warned import Warned
from planit.record import step_files
from planit.record.files import write_atomic
from planit.record.trust import TrustedDir


class Limits(NamedTuple):
    """What a step that can save itself may take.

    Attributes:
        minutes: its wall time.
        requeues: how often it may still be requeued because its time was over.
    """

    minutes: int
    requeues: int


def can_checkpoint(function: Callable[..., Any]) -> bool:
    """Whether a call of `function` can be saved and requeued, as submitit defines it."""
    return hasattr(function, "checkpoint") or hasattr(function, "__submitit_checkpoint__")


def dump(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], limits: Limits
) -> bytes:
    """The pickled call. Raises whatever pickle raises for what cannot be pickled."""
    return _pickled(DelayedSubmission(function, *args, **kwargs), limits)


def _pickled(call: DelayedSubmission, limits: Limits) -> bytes:
    """A call and its limits, as two pickles in a row; submitit's own tools load the first."""
    buffer = io.BytesIO()
    cloudpickle.dump(call, buffer, protocol=pickle.HIGHEST_PROTOCOL)
    cloudpickle.dump(tuple(limits), buffer, protocol=pickle.HIGHEST_PROTOCOL)
    return buffer.getvalue()


def load(step: TrustedDir) -> tuple[DelayedSubmission, Limits]:
    """The call in a step's folder, or its checkpoint if there is one.

    Raises:
        RunError: another user could have written it.
    """
    with step_files.open_call(step) as file:
        return pickle.load(file), Limits(*pickle.load(file))


def run(step: TrustedDir, prepare: Callable[[bool], None], requeued: Callable[[], None]) -> Any:
    """Load the call in a step's folder and make it.

    `prepare` is called before it starts, with whether the call can checkpoint; only then a warning
    signal saves and requeues it. `requeued` is called when that was done, just before the process
    leaves with exit code -1; a step may leave with this code too.
    """
    call, limits = load(step)
    checkpoints = can_checkpoint(call.function)
    prepare(checkpoints)
    if checkpoints:

        def save(saved: DelayedSubmission, requeues: int) -> None:
            data = _pickled(saved, Limits(limits.minutes, requeues))
            write_atomic(step.proc / step_files.CHECKPOINT, data)

        Warned(call, limits.minutes, limits.requeues, save, requeued).install()
    return call.result()


def write_result(path: Path, outcome: str, value: Any) -> None:
    """Leave a result where the job's `result` finds it."""
    try:
        data = cloudpickle.dumps((outcome, value), protocol=pickle.HIGHEST_PROTOCOL)
    except Exception:  # a step communicates through files; what it returns must not fail it
        print(f"planit: the return value cannot be pickled:\n{traceback.format_exc()}", flush=True)
        data = cloudpickle.dumps((outcome, None))
    write_atomic(path, data, flush=False)
