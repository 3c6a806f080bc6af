"""What a warning signal does to a step that can save itself: it is saved, requeued and left.

The rules are submitit's (its documentation, "Checkpointing"): the function's ``checkpoint`` method
gets the call's arguments and returns the call that goes on from here, or None; a step that ran out
of time is requeued ``max_requeues`` times, one that was preempted always.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, NoReturn

from submitit import JobEnvironment
from submitit.core.utils import DelayedSubmission, UncompletedJobError

from planit.job.ending import job_id

_REQUEUE_TIMEOUT_S = 60.0


@dataclass(repr=False)  # Python's signal module writes handlers out
class Warned:
    """The signal handlers of a step that can save itself.

    Attributes:
        call: the step's call.
        minutes: its wall time.
        requeues: how often it may still be requeued because its time was over.
        save: called with the saved call and its requeues; raises if it cannot be written.
        requeued: called when the job was requeued, before the process leaves.
    """

    call: DelayedSubmission
    minutes: int
    requeues: int
    save: Callable[[DelayedSubmission, int], None]
    requeued: Callable[[], None]
    started: float = field(default_factory=time.monotonic)

    def install(self) -> None:
        """Handle the warning signal, which submitit names; SIGTERM and SIGCONT come with it."""
        signal.signal(signal.SIGTERM, _ignore)
        signal.signal(signal.SIGCONT, _ignore)
        signal.signal(signal.Signals[f"SIG{JobEnvironment.USR_SIG}"], self._on_warning)

    def _on_warning(self, number: int, _frame: FrameType | None) -> None:
        out_of_time = self._is_out_of_time()
        why = "its time is over" if out_of_time else "it is preempted"
        _print(f"{signal.Signals(number).name}: {why}")
        if int(os.environ.get("SLURM_PROCID", "0")):
            return  # the first rank saves all
        # Where the warning comes so late that SIGTERM follows at once, that would end the scontrol
        # below. What is ignored here, its children ignore too.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        left = self.requeues - out_of_time
        saved = self._checkpoint()
        if saved is None:
            _give_up("checkpoint returned None")
        self.save(saved, left)
        if left < 0:
            _give_up("its time was over too many times")
        _requeue()
        _print(f"saved and requeued; its time may be over {left} more time(s)")
        self.requeued()
        sys.exit(-1)  # as submitit leaves

    def _is_out_of_time(self) -> bool:
        """Whether the warning came near the end of the wall time; else it is for a preemption."""
        limit_s = self.minutes * 60
        return time.monotonic() - self.started >= min(limit_s * 0.8, limit_s - 10 * 60)

    def _checkpoint(self) -> DelayedSubmission | None:
        function: Any = self.call.function
        save = getattr(function, "__submitit_checkpoint__", None) or function.checkpoint
        saved: DelayedSubmission | None = save(*self.call.args, **self.call.kwargs)
        if saved is not None and not callable(getattr(saved, "result", None)):
            raise TypeError(f"checkpoint must return a DelayedSubmission or None, not {saved!r}")
        return saved


def _requeue() -> None:
    """Let Slurm start this job again; planit's local engine does so by itself.

    Raises:
        OSError, subprocess.SubprocessError: Slurm did not take it.
    """
    if "PLANIT_JOB" not in os.environ:
        command = ["scontrol", "requeue", job_id()]
        subprocess.run(command, check=True, timeout=_REQUEUE_TIMEOUT_S)


def _give_up(why: str) -> NoReturn:
    raise UncompletedJobError(f"the step was warned, and not requeued: {why}")


def _ignore(number: int, _frame: FrameType | None) -> None:
    _print(f"{signal.Signals(number).name} is ignored by a step that can save itself")


def _print(text: str) -> None:
    """Write to the log; `print` must not be entered twice, as a signal handler could."""
    with suppress(OSError):
        os.write(2, f"planit: {text}\n".encode())
