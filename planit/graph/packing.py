"""Spreads what is packed over several jobs."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from planit.nodes import Node, Packed, Parallel, Resources, Task, tasks
from planit.nodes.flags import count_of, flags_of


def spread(node: Packed, resources_of: Callable[[Task], Resources]) -> list[Node]:
    """What each job of a Packed runs: all of it, or some branches of its Parallel.

    The branch with the most work (CPUs times wall time) goes first, to the job that has the least
    so far; equal ones go round.
    """
    branches = node.node.children
    jobs = min(node.jobs, len(branches))
    if jobs < 2:
        return [node.node]

    def work(branch: Node) -> float:
        return sum(_work(resources_of(task)) for task, _ in tasks(branch))

    loads = [work(branch) for branch in branches]
    heap = [(0.0, job) for job in range(jobs)]
    of_job: list[list[int]] = [[] for _ in range(jobs)]
    for index in sorted(range(len(branches)), key=lambda one: -loads[one]):
        load, job = heapq.heappop(heap)
        of_job[job].append(index)
        heapq.heappush(heap, (load + loads[index], job))
    return [Parallel(*(branches[index] for index in sorted(one))) for one in of_job if one]


def _work(resources: Resources) -> float:
    flags = flags_of(resources.options)
    return resources.time.total_seconds() * max(1, count_of(flags.get("cpus_per_task")))
