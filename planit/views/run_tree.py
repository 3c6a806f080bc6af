"""A run's states as text and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from planit.graph import common_start
from planit.nodes.walltime import clock
from planit.status.states import RunStatus, State, StepStatus, printable

JSON_SCHEMA = 1
_SHOWN_ALONE = 10  # a Parallel of more equal branches than this is summed up
_SIGNS = {"Chain": "▼", "Packed": "▣"}
_NAMED = 5  # failures named in a sum


def counts_text(counts: Mapping[State, int]) -> str:
    """``3 done, 1 failed``, in the order of the states."""
    parts = [f"{counts[state]} {_word(state)}" for state in State if counts.get(state)]
    return ", ".join(parts) or "no steps"


def _word(state: State) -> str:
    return state.lower().replace("_", " ")


def status_text(
    status: RunStatus,
    tree: Mapping[str, Any],
    *,
    everything: bool = False,
    notes: Iterable[str] = (),
) -> str:
    """The plan's tree with each step's state, job, times, node and cause.

    Args:
        status: the states.
        tree: the tree of the run's manifest.
        everything: list all branches of a large Parallel instead of summing them up.
        notes: lines that come below the tree.
    """
    rows = list(_rows(status, tree, everything))
    width = max((len(left) for left, _ in rows), default=0)
    lines = [f"Run {printable(status.run_id)} of plan {status.plan}: {counts_text(status.counts)}"]
    lines += [f"{left:<{width}}  {right}".rstrip() for left, right in rows]
    lines += notes
    if status.incomplete:
        lines.append(
            "Incomplete submission: nothing of it runs; planit resume finishes it, planit cancel"
            " clears it."
        )
    if status.submitting:
        lines.append(f"Being submitted at this moment by {status.submitting}.")
    if status.stale:
        lines.append("Stale: the scheduler does not answer; these are the states it showed last.")
    if never := sum(step.never for step in status.steps):
        lines.append(
            f"{never} step(s) will never start: planit resume slurm.FIELD=VALUE submits them again"
            " with another request, planit cancel clears them."
        )
    lines += [f"Note: {printable(problem)}" for problem in status.problems]
    return "\n".join(lines)


def _rows(
    status: RunStatus, tree: Mapping[str, Any], everything: bool
) -> Iterator[tuple[str, str]]:
    """(tree part, state part) of each line; iterative, so depth does not matter."""
    states = {step.name: step for step in status.steps}
    stack: list[tuple[Any, str, bool]] = [(tree, "", True)]
    while stack:
        node, indent, last = stack.pop()
        head = f"{indent}{'└── ' if last else '├── '}"
        if isinstance(node, str):
            yield head + node, ""
            continue
        if "children" not in node:
            yield f"{head}● {node['name']}", step_text(states[node["name"]])
            continue
        sign = _SIGNS.get(node["kind"], "⇉")
        yield f"{head}{sign} {printable(node.get('label') or node['kind'])}", ""
        below = indent + ("    " if last else "│   ")
        children = node["children"]
        if node["kind"] == "Parallel" and not everything:
            children = list(_summed(children, states))
        final = len(children) - 1
        stack.extend((c, below, i == final) for i, c in reversed(list(enumerate(children))))


def _summed(
    children: Iterable[Mapping[str, Any]], states: Mapping[str, StepStatus]
) -> Iterator[Any]:
    """Children, with many of one form replaced by a line for each position of the form."""
    by_form: dict[str, list[Mapping[str, Any]]] = {}
    for child in children:
        by_form.setdefault(_form(child), []).append(child)
    for alike in by_form.values():
        if len(alike) <= _SHOWN_ALONE:
            yield from alike
            continue
        for names in zip(*(_names(child) for child in alike), strict=True):
            counts = Counter(states[name].state for name in names)
            yield f"● {common_start(names) or 'steps'}: {counts_text(counts)}"
            failed = [n for n in names if states[n].state.is_failure or states[n].never]
            yield from (f"  {name}  {step_text(states[name])}" for name in failed[:_NAMED])
            if len(failed) > _NAMED:
                yield f"  and {len(failed) - _NAMED} more (--all lists them)"


def _form(node: Mapping[str, Any]) -> str:
    if "children" not in node:
        return str(node["kind"])
    return f"{node['kind']}({','.join(_form(child) for child in node['children'])})"


def _names(node: Mapping[str, Any]) -> list[str]:
    if "children" not in node:
        return [node["name"]]
    return [name for child in node["children"] for name in _names(child)]


def step_text(step: StepStatus) -> str:
    """State, job, elapsed of requested time, node, attempt and cause of one step."""
    parts = [f"{step.state.value:<9}"]
    if step.job is not None:
        parts.append(f"job {step.job}" + (f" on {step.cluster}" if step.cluster else ""))
    if step.elapsed_s is not None:
        requested = clock(timedelta(seconds=step.requested_s))
        parts.append(f"{clock(timedelta(seconds=round(step.elapsed_s)))} of {requested}")
    if step.node:
        parts.append(step.node)
    if step.attempt > 1:
        parts.append(f"attempt {step.attempt}")
    if step.cause:
        parts.append(printable(step.cause))
    if step.stale:
        parts.append("(stale)")
    return "  ".join(parts)


def status_json(status: RunStatus, path: str) -> dict[str, Any]:
    """A run's states as plain data.

    ``schema`` (int), ``plan``, ``run``, ``path`` (str), ``final``, ``succeeded``,
    ``incomplete``, ``stale`` (bool), ``submitting`` (null, or who submits at this moment),
    ``problems`` (list of str), ``counts`` (state -> int), and ``steps``: a list in the order of
    the plan with ``name``, ``state``, ``job``, ``cluster``, ``attempt``, ``elapsed_s``,
    ``requested_s``, ``node``, ``cause``, ``stuck`` (bool: it waits, and will not start by
    itself), ``stale`` and ``error`` (null, or ``type``, ``message`` and ``traceback``). Times
    are seconds. Fields may be added; none will be removed without a new ``schema``.
    """
    fields = (
        "name",
        "state",
        "job",
        "cluster",
        "attempt",
        "elapsed_s",
        "requested_s",
        "node",
        "cause",
        "stuck",
        "stale",
        "error",
    )
    return {
        "schema": JSON_SCHEMA,
        "plan": status.plan,
        "run": status.run_id,
        "path": path,
        "final": status.is_final,
        "succeeded": status.succeeded,
        "incomplete": status.incomplete,
        "submitting": status.submitting,
        "stale": status.stale,
        "problems": list(status.problems),
        "counts": {state.value: count for state, count in status.counts.items()},
        "steps": [{name: getattr(step, name) for name in fields} for step in status.steps],
    }
