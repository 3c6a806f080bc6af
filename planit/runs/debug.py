"""A plan for this process: checked and handed to submitit's debug executor, without any record."""

from __future__ import annotations

from typing import Any

from planit.backends.debug import DebugRun
from planit.graph import lower
from planit.nodes import Node, tasks
from planit.runs.prepare import call_of


def debugged(plan: str, root: Node, executor: Any) -> DebugRun:
    """The plan's jobs, in order; nothing runs yet. Raises PlanError if the plan is wrong."""
    graph = lower(root, stack=False)
    calls = {task.name: call_of(task) for task, _ in tasks(root)}
    jobs = {
        name: executor.submit(call.function, *call.args, **call.kwargs)
        for name, call in calls.items()
    }
    return DebugRun(plan, jobs, graph.task_parents(), graph.task_lanes())
