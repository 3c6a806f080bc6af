"""Everything about one step of a run, on one screen."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from planit.nodes.walltime import clock
from planit.record import history as histories
from planit.record.history import History, Leaf
from planit.record.log_files import log_files
from planit.record.manifest_tree import leaves_of
from planit.record.markers import Attempt, EndMarker, Tries
from planit.record.records import RunRecords
from planit.record.run_dir import RunDir
from planit.record.stage_dir import StageDir
from planit.status.retry_text import retry_text
from planit.status.states import RunStatus, printable
from planit.views.run_tree import step_text

_MAX_VALUE = 300  # characters
_MAX_PARENTS = 10
_TRACEBACK_LINES = 12
_NOT_ARGUMENTS = ("kind", "name", "slug", "slurm", "base", "values", "origin", "targets")


def frozen_step(run: RunDir, name: str) -> dict[str, Any]:
    """What a run's record has of a step: its function, arguments and swept values.

    Plain values are as they are; others are shown by their repr, of at most 500 characters. What
    resumes have changed is as it is now.
    """
    leaf = next(leaf for leaf in leaves_of(run.manifest["tree"]) if leaf["name"] == name)
    own = {key: item for key, item in leaf.items() if key not in _NOT_ARGUMENTS}
    for change in _changes(run, name):
        path = list(change.path)
        if leaf["kind"] == "Step":
            path = ["args"] if path == ["_args_"] else ["kwargs", *path]
        own = _changed(own, path, change.value)
    return {**own, "values": leaf["values"]} if leaf.get("values") else own


def _changes(run: RunDir, name: str) -> list[histories.Changed]:
    return [change for change in histories.changes(run) if name in change.steps]


def _changed(content: Any, path: Sequence[str], value: Sequence[Any]) -> Any:
    """A copy of plain data with a value set, or left out if there is none."""
    if not path:
        return value[0]
    key, *inside = path
    made = dict(content) if isinstance(content, Mapping) else {}
    if not inside and not value:
        made.pop(key, None)
    else:
        made[key] = _changed(made.get(key), inside, value)
    return made


def step_page(run: RunDir, history: History, leaf: Leaf, status: RunStatus) -> str:
    """The step's call, resources asked for and used, attempts, parents, files, result or error."""
    records = RunRecords(run, history)
    tries = records.tries(leaf.name) if records.count(leaf.name) else Tries()
    end = tries.ends.get(tries.last) if tries.last is not None else None
    place = history.placements.get(leaf.name)
    rows = [
        ("step", f"{leaf.name} of run {run.run_id}"),
        ("state", step_text(status.step(leaf.name))),
        *_call(frozen_step(run, leaf.name)),
        *(
            ("changed", f"{one.text} in submission {one.number}")
            for one in _changes(run, leaf.name)
        ),
        ("asked for", _pairs({} if place is None else place.options)),
        ("used", _used(end)),
        *(("attempt", text) for text in _attempts(tries)),
        ("jobs", ", ".join(_jobs(history, leaf)) or "none"),
        *_parents(history, leaf, status),
        *_files(run, history, leaf),
    ]
    if end is not None and end.error is None and end.result is not None:
        rows.append(("result", _value(end.result)))
    width = max(len(key) for key, _ in rows)
    lines, before = [], ""
    for key, text in rows:
        lines.append(f"{'' if key == before else key:<{width}}  {printable(text)}".rstrip())
        before = key
    return "\n".join([*lines, *_error(end)])


def _call(frozen: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    names = {"func": "function", "app": "program"}
    for key, item in frozen.items():
        if key == "args":
            yield from (("argument", _value(value)) for value in item)
        elif key == "kwargs":
            yield from (("argument", f"{name} = {_value(value)}") for name, value in item.items())
        elif key == "values":
            yield "swept", _pairs(item)
        elif item is not None and item not in ([], {}):
            yield names.get(key, key), item if isinstance(item, str) else _value(item)


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}..."


def _pairs(values: Mapping[str, Any]) -> str:
    given = {key: value for key, value in values.items() if value is not None}
    return ", ".join(f"{key}={_value(value)}" for key, value in given.items()) or "-"


def _used(end: EndMarker | None) -> str:
    if end is None:
        return "- (it has not ended)"
    parts = []
    if end.elapsed_s is not None:
        parts.append(f"{clock(timedelta(seconds=round(end.elapsed_s)))} elapsed")
    if end.peak_memory_bytes is not None:
        parts.append(f"{end.peak_memory_bytes / 2**30:.2f} GB memory at its peak")
    if end.peak_gpu_memory_bytes is not None:
        parts.append(f"{end.peak_gpu_memory_bytes / 2**30:.2f} GB of a GPU's memory")
    return ", ".join(parts) or "-"


def _attempts(tries: Tries) -> Iterator[str]:
    attempts: list[Attempt] = sorted({*tries.starts, *tries.ends})
    for attempt in attempts:
        end = tries.ends.get(attempt)
        job = end.job if end is not None else tries.starts[attempt].job
        where = job.node or job.host
        outcome = "started" if end is None else f"{end.outcome.value}, exit code {end.exit_code}"
        if end is not None and end.retry is not None:
            outcome += f"; next: {retry_text(end.retry)}"
            outcome += "".join(f"; {line}" for line in end.retry.told)
        if end is not None and end.no_retry is not None:
            outcome += f"; {end.no_retry}"
        yield f"{attempt}: job {job.job_id or '-'}{f' on {where}' if where else ''}, {outcome}"


def _jobs(history: History, leaf: Leaf) -> Iterator[str]:
    """The ids of all jobs that were submitted for the step, the newest last."""
    newest = history.placements.get(leaf.name)
    for submission, stage, index in history.places.get(leaf.name, ()):
        if newest is not None and (submission, stage) == (newest.submission, newest.stage):
            job = newest.key
        else:
            ref = history.jobs.get((submission, stage))
            job = None if ref is None else f"{ref.job_id} (task {index})"
        if job is not None:
            yield job


def _parents(history: History, leaf: Leaf, status: RunStatus) -> Iterator[tuple[str, str]]:
    parents = history.parents.get(leaf.name, ())
    states = {step.name: step.state.value for step in status.steps}
    shown = sorted(parents, key=lambda name: states[name] == "DONE")  # what is not done first
    for name in shown[:_MAX_PARENTS]:
        yield "parent", f"{name}  {states[name]}"
    if len(parents) > _MAX_PARENTS:
        done = sum(states[name] == "DONE" for name in parents)
        yield "parent", f"and {len(parents) - _MAX_PARENTS} more; {done} of {len(parents)} are DONE"


def _files(run: RunDir, history: History, leaf: Leaf) -> Iterator[tuple[str, str]]:
    place = history.placements.get(leaf.name)
    if place is not None:
        yield "script", _path(StageDir(run.path, place.submission, place.stage).script)
    logs = log_files(run, history, leaf)
    yield from (("log", _path(log)) for log in logs)
    yield "folder", _path(run.step_dir(leaf.slug))


def _path(path: Path) -> str:
    path = path.absolute()
    return str(path) if path.exists() else f"{path} (not there)"


def _error(end: EndMarker | None) -> list[str]:
    if end is None or end.error is None:
        return []
    trace = end.error.traceback.rstrip().splitlines()[-_TRACEBACK_LINES:]
    lines = trace or [f"{end.error.type}: {end.error.message}"]
    return ["error", *(f"  {printable(line)}" for line in lines)]
