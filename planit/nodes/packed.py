"""`Packed`: a whole subtree in one job, or in the tasks of one job array."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

from planit.errors import PlanError
from planit.nodes.flags import count_of, flags_of, task_count
from planit.nodes.rebuilding import rebuilt, with_nodes
from planit.nodes.resources import Resources
from planit.nodes.slurm_args import SlurmSpec, resources_of
from planit.nodes.tree import Group, Named, Node, Origin, Parallel, tasks


class Packed(Group):
    """Runs all steps of a node inside one job, on its CPUs, GPUs and memory.

    For many short steps, each of which would cost Slurm a second or more. Inside the job the steps
    keep their order; each takes its own CPUs, GPUs, memory and time of what the job has. What
    comes behind starts when all of them succeeded. On this machine (the local and debug backends)
    it is just its node.

    Args:
        node: what is run in the job.
        slurm_args: the job's, as for `Step`: one task on one node.
        jobs: over how many tasks of a job array the branches are spread; with more than 1 the
            node must be a Parallel.

    Raises:
        PlanError: anything of it is wrong, or a Packed stands in another.
    """

    __slots__ = ("jobs", "origin", "resources")

    kind = "Packed"
    jobs: int
    origin: Origin | None  # of the job's arguments in a configuration
    resources: Resources

    def __init__(self, node: Node | str, slurm_args: SlurmSpec, jobs: int = 1) -> None:
        super().__init__(node)
        if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
            raise PlanError(f"jobs of a Packed must be a whole number of at least 1, not {jobs!r}")
        try:
            self.resources = resources_of(slurm_args)
        except PlanError as error:
            raise PlanError(f"Packed: {error.message}", hint=error.hint) from None
        self.jobs = jobs
        self.origin = None
        self._check()

    @property
    def node(self) -> Node:
        """What is run in the job."""
        return self.children[0]

    def with_children(self, children: Iterable[Node]) -> Self:
        """The same with another node."""
        other = super().with_children(children)
        other._check()  # noqa: SLF001 (its own)
        return other

    def _check(self) -> None:
        if isinstance(self.node, Named):  # which comes later
            return
        if self.jobs > 1 and not isinstance(self.node, Parallel):
            raise PlanError(
                f"Packed with jobs={self.jobs} spreads the branches of a Parallel, and"
                f" {self.node!r} is not one",
                hint="leave jobs out, or pack a Parallel",
            )
        if self.jobs > 1 and getattr(self.node, "max_concurrent", None) is not None:
            raise PlanError(
                f"Packed with jobs={self.jobs} cannot limit branches to"
                f" max_concurrent={self.node.max_concurrent} at once",  # type: ignore[attr-defined]
                hint="leave one of them out: the CPUs of the jobs are a limit, too",
            )
        flags = flags_of(self.resources.options)
        if count_of(flags.get("nodes") or 1) > 1 or task_count(flags) > 1:
            raise PlanError(
                "a Packed job runs on one node, as one task", hint="jobs=N spreads it over N jobs"
            )
        for option in ("container", "srun_args"):
            if self.resources.options.get(option):
                raise PlanError(
                    f"a Packed job takes no {option}", hint=f"{option} is for the steps in it"
                )
        stack = [self.node]
        while stack:
            node = stack.pop()
            if isinstance(node, Packed):
                raise PlanError("a Packed stands in another", hint="keep the outer one")
            stack.extend(node.children)
        for task, _ in tasks(self.node):
            if task.resources.time > self.resources.time:
                raise PlanError(
                    f"step {task.name!r} asks for {task.resources.time_text}, and the job that it"
                    f" is packed in for {self.resources.time_text}",
                    hint="give the job at least the time of its longest step",
                )


def packed_in(job: Resources, node: Node, jobs: int) -> Packed:
    """A Packed of an earlier submission again, by the parameters of its job. Raises PlanError."""
    made = Packed.__new__(Packed)
    Group.__init__(made, node)
    made.resources, made.jobs, made.origin = job, jobs, None
    made._check()  # noqa: SLF001 (its own)
    return made


def unpacked(root: Node) -> Node:
    """The tree with what each Packed holds in its place."""

    def instead(node: Node, children: Sequence[Node]) -> Node:
        return children[0] if isinstance(node, Packed) else with_nodes(node, children)

    found = rebuilt(root, instead)
    assert found is not None, "every node has one in its place"
    return found
