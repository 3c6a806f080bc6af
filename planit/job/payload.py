"""A step's call as submitit pickles it, and how it is made inside a job.

submitit's own entry point would unpickle before anything could be checked and lets the time-out
signal end jobs that cannot save themselves, so planit's worker calls these pieces instead.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import CodeType
from typing import Any, BinaryIO

import cloudpickle
from submitit.core.utils import DelayedSubmission

from planit.errors import PlanError, text_of
from planit.job.call import Call
from planit.job.warned import Warned
from planit.nodes.functions import has_run
from planit.nodes.tree import in_step
from planit.record.call_file import CallFile, Limits, PickledCalls
from planit.record.files import write_atomic
from planit.record.run_dir import CHECKPOINT
from planit.record.trust import TrustedDir

_PLAIN = (type(None), bool, int, float, complex)
_NO_FILE = "<dynamic-code>"  # as cloudpickle calls it
_MIN_SHARED_BYTES = 200  # what is smaller is not worth a reference


def can_checkpoint(function: Callable[..., Any]) -> bool:
    """Whether a call of `function` can be saved and requeued, as submitit defines it."""
    return hasattr(function, "checkpoint") or hasattr(function, "__submitit_checkpoint__")


def dump(calls: Mapping[str, Call], limits: Limits) -> PickledCalls:
    """The calls of a stage's steps, by name and in order, pickled; what they share only once.

    Raises:
        PlanError: a step's call cannot be pickled.
    """
    pickled, problems = try_dump(calls, limits)
    for name, problem in problems.items():
        raise in_step(name, problem) from problem.__cause__
    return pickled


def try_dump(
    calls: Mapping[str, Call], limits: Limits
) -> tuple[PickledCalls, dict[str, PlanError]]:
    """The calls that can be pickled, and what is wrong with the others, by step."""
    shared = _Shared(calls.values())
    pickled: list[bytes] = []
    problems: dict[str, PlanError] = {}
    for name, call in calls.items():
        try:
            pickled.append(shared.pickled((call.in_job, tuple(call.args), dict(call.kwargs))))
        except Exception as error:
            problems[name] = PlanError(
                f"its function or arguments cannot be pickled: {error}",
                hint="pass plain values or paths, and open files inside the step",
            )
            problems[name].__cause__ = error
    return PickledCalls(pickled, shared.parts, limits), problems


class _Shared:
    """The functions and arguments that several calls have in common, pickled by themselves.

    Attributes:
        parts: their pickles, by SHA-256.
    """

    def __init__(self, calls: Iterable[Call]) -> None:
        listed = list(calls)
        values = [one for call in listed for one in call.parts]
        times = Counter(id(value) for value in values)
        self.parts: dict[bytes, bytes] = {}
        self._digests: dict[int, bytes] = {}
        self._kept = listed  # what the numbers of `id` stand for must live as long as they do
        for value in values:
            if times[id(value)] > 1 and not isinstance(value, _PLAIN):
                times[id(value)] = 0
                self._try(value)

    def _try(self, value: Any) -> None:
        try:
            part = self.pickled(value)
        except Exception:  # whoever pickles the step says which step it is
            return
        if len(part) > _MIN_SHARED_BYTES:
            digest = hashlib.sha256(part).digest()
            self.parts[digest] = part
            self._digests[id(value)] = digest

    def pickled(self, value: Any) -> bytes:
        """The pickle of a value, which refers to the shared parts in it."""
        buffer = io.BytesIO()
        _Pickler(buffer, self._digests).dump(value)
        return buffer.getvalue()


class _Pickler(cloudpickle.CloudPickler):  # type: ignore[misc, unused-ignore]
    def __init__(self, file: io.BytesIO, digests: Mapping[int, bytes]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._digests = digests

    def persistent_id(self, obj: Any) -> bytes | None:
        return self._digests.get(id(obj))

    def reducer_override(self, obj: Any) -> Any:
        """Keep the file that code comes from, which cloudpickle drops, for tracebacks."""
        if isinstance(obj, CodeType) and obj.co_filename != _NO_FILE:
            return _of_file, (obj.replace(co_filename=_NO_FILE), obj.co_filename)
        return super().reducer_override(obj)


def _of_file(code: CodeType, name: str) -> CodeType:
    return code.replace(co_filename=name)


class _Unpickler(pickle.Unpickler):
    def __init__(self, content: bytes, calls: CallFile, parts: dict[bytes, Any]) -> None:
        super().__init__(io.BytesIO(content))
        self._calls = calls
        self._parts = parts

    def persistent_load(self, pid: Any) -> Any:
        if pid not in self._parts:
            content = self._calls.shared(pid)
            self._parts[pid] = _Unpickler(content, self._calls, self._parts).load()
        return self._parts[pid]


def unpickled(calls: CallFile, index: int, parts: dict[bytes, Any] | None = None) -> Any:
    """Function, positional and keyword arguments of a call, as `dump` pickled them.

    Calls that are loaded with the same `parts` have in common what they share.
    """
    return _Unpickler(calls.call(index), calls, {} if parts is None else parts).load()


def load(calls: BinaryIO, index: int, step: TrustedDir | None) -> tuple[DelayedSubmission, Limits]:
    """A task's call, or its checkpoint if there is one in the step's folder.

    Args:
        calls: the file of the stage's calls.
        index: which of them.
        step: the step's folder, if it has one.

    Raises:
        RunError: another user could have written it, or it is damaged.
    """
    if step is not None and step.holds(CHECKPOINT):
        with step.open(CHECKPOINT) as file:
            return pickle.load(file), Limits(*pickle.load(file))
    read = CallFile(calls)
    function, args, kwargs = unpickled(read, index)
    call = DelayedSubmission(function, *args)
    call.kwargs = kwargs  # which may have a name of one of DelayedSubmission's own parameters
    return call, read.limits


def run(
    call: DelayedSubmission,
    limits: Limits,
    step: TrustedDir,
    requeued: Callable[[], None],
) -> Any:
    """Make a call; one that can checkpoint is saved and requeued by a warning signal.

    `requeued` is called when that was done, just before the process leaves with exit code -1; a
    step may leave with this code too.

    Raises:
        NotRunError: it returned a generator or a coroutine.
    """
    if can_checkpoint(call.function):

        def save(saved: DelayedSubmission, requeues: int) -> None:
            parts = (cloudpickle.dumps(one) for one in (saved, (limits.minutes, requeues)))
            write_atomic(step.proc / CHECKPOINT, b"".join(parts))

        Warned(call, limits.minutes, limits.requeues, save, requeued).install()
    return has_run(call.result())


@dataclass(frozen=True)
class NotPickled:
    """Stands for what a step returned and could not be pickled.

    A step communicates through files: what it returns does not fail it.
    """

    why: str


def pickled_value(value: Any) -> bytes:
    """What a step returned, pickled; nothing for None; `NotPickled` if it cannot be."""
    if value is None:
        return b""
    try:
        return bytes(cloudpickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL))
    except Exception as error:
        why = f"{type(error).__name__}: {text_of(error)}"
        with suppress(OSError, ValueError, AttributeError):  # the step may have closed it
            print(f"planit: what the step returned cannot be pickled: {why}", flush=True)
        return pickle.dumps(NotPickled(why))
