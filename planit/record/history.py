"""What a run directory says was submitted: the newest job of each step, from the journal."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from planit.errors import PlanError, RunError
from planit.nodes import walltime
from planit.record import fields, submissions
from planit.record.jobs import JobRef
from planit.record.manifest_tree import leaves_of
from planit.record.run_dir import RunDir
from planit.record.run_paths import MANIFEST
from planit.record.submissions import SubmittedStage


class Leaf(NamedTuple):
    """A step as the manifest has it.

    Attributes:
        base: its name without its branch, if it is of one of several branches.
        values: the swept parameters of its branch.
    """

    name: str
    slug: str
    time: str
    base: str = ""
    values: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Placement:
    """Where the newest submission put a step: a job, or a task of an array.

    Attributes:
        parents: the steps of the submission that must succeed before it.
        lane: those that must end before it, well or not, as only so many run at once.
        index: the task of the job array, or None.
        task: its place in the stage, by which its record and log are found.
        packed: the parameters of its job, if that runs other steps too.
    """

    submission: int
    stage: int
    cluster: str | None
    job: JobRef | None
    index: int | None
    parents: tuple[str, ...]
    options: dict[str, Any]
    lane: tuple[str, ...] = ()
    task: int = 0
    packed: dict[str, Any] | None = None

    @property
    def key(self) -> str | None:
        """``12`` or ``12_3``, as squeue and sacct show it; None if it got no id."""
        if self.job is None:
            return None
        return self.job.job_id if self.index is None else f"{self.job.job_id}_{self.index}"


@dataclass
class History:
    """The journal of a run, read once.

    Attributes:
        leaves: the steps in the order of the plan.
        placements: the newest placement of each step that was ever to be submitted.
        places: submission, stage and index of each placement of a step, the newest last.
        parents: the steps that each step waits for directly, in the whole plan.
        released: numbers of the submissions whose roots were released.
        aborted: reason by number, for submissions that were taken back.
        jobs: all jobs ever submitted for the run.
        cancelled: steps that were cancelled through planit, each with the submission it was in.
        unreadable: numbers of the submissions that say no longer what they consist of.
        problems: what could not be read, a line each.
    """

    leaves: list[Leaf] = field(default_factory=list)
    placements: dict[str, Placement] = field(default_factory=dict)
    places: dict[str, list[tuple[int, int, int]]] = field(default_factory=dict)
    parents: dict[str, tuple[str, ...]] = field(default_factory=dict)
    released: set[int] = field(default_factory=set)
    aborted: dict[int, str] = field(default_factory=dict)
    jobs: dict[tuple[int, int], JobRef] = field(default_factory=dict)
    cancelled: dict[str, int] = field(default_factory=dict)
    unreadable: set[int] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    last_submission: int = 0
    pid: int | None = None
    host: str | None = None

    def requested_s(self, leaf: Leaf) -> float:
        """The wall time of a step's newest job in seconds; of the plan, if it has none."""
        place = self.placements.get(leaf.name)
        return walltime.parse(leaf.time if place is None else place.options["time"]).total_seconds()

    def was_cancelled(self, name: str) -> bool:
        """Whether the newest job of a step was cancelled through planit."""
        place = self.placements.get(name)
        return place is not None and self.cancelled.get(name, 0) >= place.submission

    def behind(self, names: Iterable[str]) -> set[str]:
        """The given steps and all that depend on them, directly or not."""
        reached = set(names)
        for leaf in self.leaves:  # a plan's order has parents before their children
            if not reached.isdisjoint(self.parents.get(leaf.name, ())):
                reached.add(leaf.name)
        return reached

    @property
    def incomplete(self) -> bool:
        """Whether the newest submission neither finished nor was taken back."""
        last = self.last_submission
        return last > 0 and last not in self.released and last not in self.aborted


def read(run: RunDir) -> History:
    """Read manifest, journal and submissions of a run; survives what is torn or foreign."""
    history = History(leaves=list(leaves(run.manifest["tree"])))
    for event in run.journal.events():
        _apply(history, event)
    history.problems += run.journal.problems()
    history.unreadable = {number for number, _ in history.jobs}
    steps = {leaf.name for leaf in history.leaves}
    for number in submissions.numbers(run.path):
        stages = submissions.read(run.path, number)
        if stages is None or not all(_fits(stage, steps) for stage in stages):
            path = submissions.path_of(run.path, number).relative_to(run.path)
            history.problems.append(f"{path} is not readable")
            continue
        history.last_submission = max(history.last_submission, number)
        history.unreadable.discard(number)
        _place(history, number, stages)
    return history


class Changed(NamedTuple):
    """Another value that a resume gave to an argument of steps.

    Attributes:
        number: of the submission.
        text: as it was asked for.
        path: the argument's name, then the keys inside it.
        value: plain data in a list; an empty one if the argument was left out.
        steps: the steps that were rerun with it.
    """

    number: int
    text: str
    path: Sequence[str]
    value: Sequence[Any]
    steps: Collection[str]


def changes(run: RunDir) -> list[Changed]:
    """The arguments that resumes of a run have changed, in order."""
    found: list[Changed] = []
    aborted: set[int] = set()
    for event in run.journal.events():
        number = fields.whole(event, "number") or 0
        if event["event"] == "changed":
            value = [event["value"]] if "value" in event else []
            path, steps = fields.texts(event, "path"), fields.texts(event, "steps")
            found.append(Changed(number, fields.text(event, "text") or "", path, value, set(steps)))
        elif event["event"] == "aborted":
            aborted.add(number)
        elif event["event"] == "released":
            aborted.discard(number)
    return [one for one in found if one.number not in aborted]


def leaves(tree: dict[str, Any]) -> Iterator[Leaf]:
    """The steps of a manifest's tree, in order."""
    for leaf in leaves_of(tree):
        time = leaf["slurm"].get("time")
        if not _is_wall_time(time):
            raise RunError(f"{MANIFEST} is damaged: {time!r} is not the time of a step")
        values = fields.mapping(leaf, "values")
        yield Leaf(leaf["name"], leaf["slug"], time, leaf.get("base", leaf["name"]), values)


def _fits(stage: SubmittedStage, steps: Collection[str]) -> bool:
    """Whether a stage holds steps of the plan, with a wall time."""
    times = [stage.options.get("time"), *(part.options.get("time") for part in stage.packed)]
    return all(map(_is_wall_time, times)) and all(name in steps for name in stage.tasks)


def _is_wall_time(value: Any) -> bool:
    try:
        return bool(walltime.parse(value))
    except PlanError:
        return False


def functions(tree: dict[str, Any], steps: Collection[str]) -> Iterator[str]:
    """The dotted paths of the functions of these steps, each once; not of scripts."""
    seen: set[str] = set()
    for leaf in (leaf for leaf in leaves_of(tree) if leaf["name"] in steps):
        path = leaf.get("func") or leaf.get("app")
        if isinstance(path, str) and path not in seen and "<" not in path:
            seen.add(path)
            yield path


def has_program(tree: dict[str, Any], steps: Collection[str]) -> bool:
    """Whether one of these steps in a manifest's tree is a Hydra program."""
    found = (leaf for leaf in leaves_of(tree) if leaf["name"] in steps)
    return any(leaf.get("kind") == "HydraApp" for leaf in found)


def _apply(history: History, event: dict[str, Any]) -> None:
    kind, number = event["event"], fields.whole(event, "number") or 0
    if kind == "submission":
        history.last_submission = max(history.last_submission, number)
        history.pid, history.host = fields.whole(event, "pid"), fields.text(event, "host")
    elif kind == "submitted":
        job = JobRef(fields.text(event, "cluster"), event["job"])
        history.jobs[number, event["stage"]] = job
    elif kind == "released":
        history.released.add(number)
        history.aborted.pop(number, None)
    elif kind == "aborted":
        history.aborted[number] = fields.text(event, "reason") or ""
    elif kind == "cancelled":
        history.cancelled |= dict.fromkeys(fields.texts(event, "steps"), number)


def _place(history: History, number: int, stages: list[SubmittedStage]) -> None:
    names = {stage.number: stage.tasks for stage in stages}
    for stage in stages:
        whole = [n for kind, p in stage.edges if kind == "afterok" for n in names[p]]
        aligned = [names[p] for kind, p in stage.edges if kind == "aftercorr"]
        job = history.jobs.get((number, stage.number))
        shared = tuple(whole)
        lane = tuple(n for kind, p in stage.edges if kind == "afterany" for n in names[p])
        own = _inside(stage, shared, lane) if stage.packed else []
        for index, name in enumerate(stage.tasks):
            parents = shared + tuple(tasks[index] for tasks in aligned)
            inside = own[index] if own else _Inside(index, stage.options, parents, lane)
            if number == 1:
                history.parents[name] = inside.parents
            history.places.setdefault(name, []).append((number, stage.number, index))
            if number in history.aborted and name in history.placements:
                continue  # what was taken back leaves the state that it had before
            history.placements[name] = Placement(
                submission=number,
                stage=stage.number,
                cluster=(job.cluster if job else None) or stage.cluster,
                job=job,
                index=inside.task if stage.array else None,
                parents=inside.parents,
                options=inside.options,
                lane=inside.lane,
                task=index,
                packed=stage.options if stage.packed else None,
            )


class _Inside(NamedTuple):
    """A step of a stage: the task of the job array that runs it, and what it waits for."""

    task: int
    options: dict[str, Any]
    parents: tuple[str, ...]
    lane: tuple[str, ...]


def _inside(stage: SubmittedStage, shared: tuple[str, ...], lane: tuple[str, ...]) -> list[_Inside]:
    """The steps of a packed stage, by their place in it.

    Args:
        stage: the stage.
        shared: what the whole of it waits for.
        lane: whose end the whole of it waits for.
    """
    found: dict[int, _Inside] = {}
    for part in stage.packed:
        names = [[stage.tasks[i] for i in stage.packed[parent].tasks] for _, parent in part.edges]
        kinds = [kind for kind, _ in part.edges]
        edges = list(zip(kinds, names, strict=True))
        whole = tuple(n for kind, some in edges if kind == "afterok" for n in some)
        aligned = [some for kind, some in edges if kind == "aftercorr"]
        own_lane = lane + tuple(n for kind, some in edges if kind == "afterany" for n in some)
        for at, index in enumerate(part.tasks):
            parents = whole + tuple(some[at] for some in aligned)
            found[index] = _Inside(part.job, part.options, parents or shared, own_lane)
    return [found[index] for index in range(len(stage.tasks))]
