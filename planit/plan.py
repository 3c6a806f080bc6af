"""`Plan`: the name and the root of a tree, and what can be done with it."""

from __future__ import annotations

import logging
import shlex
import sys
from typing import TYPE_CHECKING, Any

from planit.errors import PlanError
from planit.graph import refuse_folders
from planit.nodes import Node, check_unique_names
from planit.nodes.named import with_steps
from planit.nodes.tree import Named, not_a_node_hint
from planit.views.plan_tree import tree_text
from planit.views.signs import for_streams

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from submitit.core.core import Job

    from planit.backends.base import Backend
    from planit.backends.executors import ExecutorView
    from planit.graph import Part
    from planit.run import Run
    from planit.submit.project import Freeze

logger = logging.getLogger("planit")


class Plan:
    """A workflow: ``Plan(name, root)``.

    Args:
        name: used for the run directory.
        root: a Chain, a Parallel, or a single step.
        steps: the steps that `root` refers to by name, as a plan in a configuration does: so
            `hydra.utils.instantiate` makes one of its YAML. A step without a name takes its key.

    Attributes:
        run: the `Run` of the last submission, or None; there is none with the debug executor.
        jobs: what the last `submit` returned.

    Raises:
        PlanError: no name, no root, or two steps of one name.
    """

    def __init__(self, name: str, root: Node | str, steps: Mapping[str, Any] | None = None) -> None:
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise PlanError(f"the name of a plan must be non-empty text, not {name!r}")
        if isinstance(root, str) and steps is not None:
            root = Named(root)
        if not isinstance(root, Node):
            shown = "no root" if root is None else f"the root {root!r}, which is not a node"
            raise PlanError(f"plan {name!r} has {shown}", hint=not_a_node_hint(root, "Chain"))
        root = with_steps(root, steps or {})
        check_unique_names(root)
        self.name = name
        self.root = root
        self.run: Run | None = None
        self.jobs: list[Job[Any]] = []
        self._wait: Callable[[], object] | None = None

    def __repr__(self) -> str:
        return f"Plan({self.name!r}, {self.root!r})"

    def describe(self) -> None:
        """Show the tree and the best-case estimate, once.

        It goes to the "planit" logger at level INFO; where logging is not set up to show that, to
        standard output.

        Raises:
            PlanError: a step names the folder of a step that does not come before it.
        """
        refuse_folders(self.root)
        text = tree_text(self.name, self.root)
        if _shows_info(logger):
            streams = (getattr(handler, "stream", None) for handler in _handlers(logger))
            logger.info(for_streams(text, streams))
        else:
            print(for_streams(text, [sys.stdout]))

    def submit(
        self,
        executor: Any,
        *,
        kill_on_invalid_dep: bool = True,
        local: Mapping[str, Any] | None = None,
        share: str | None = None,
        freeze: str = "tree",
        freeze_limit_mb: float = 100,
        start_from: Collection[str] = (),
        until: Collection[str] = (),
        only: Collection[str] = (),
        after: str | Path | None = None,
    ) -> list[Job[Any]]:
        """Submit all steps, or none; the "planit" logger tells the run at level INFO.

        Args:
            executor: a submitit executor. Its folder gets the record of the run (of ``logs/%j``
                what is before the job's id). Parameters set on it are defaults for every step, a
                dependency is for the first steps; it is not modified. With "local" (what
                AutoExecutor chooses where there is no Slurm) the plan runs on this machine, in the
                background. With "debug" nothing runs before `wait`.
            kill_on_invalid_dep: let Slurm cancel what can never run.
            local: what steps on this machine can have, instead of what it has: "cpus", "gpus",
                "mem_gb"; and "isolation", "fork" or "spawn", and "kill_wait_s".
            share: "group" lets the group read the record of the run, logs and results too; by
                default only logs can be read by others, as far as the umask allows.
            freeze: what the jobs run as it is now, whatever is changed before they start: "tree",
                the project's files; "code", its Python sources, whose ``__file__`` still names the
                original place; "off", nothing.
            freeze_limit_mb: the most that is frozen, in MB of 10^6 bytes.
            start_from: run just these steps and everything behind them. A step's name without its
                branch means all of its branches, and ``train[lr=0.1*]`` is a pattern.
            until: run just these steps and everything that must succeed before them.
            only: run just these steps.
            after: the run in which the steps before them were done: its id or its folder. Where
                steps name the folders of those, they are that run's.

        Returns:
            One submitit job per step, in the order of the plan.

        Raises:
            PlanError: the plan is wrong: a function, its arguments, an edge between two clusters, a
                step that this machine has not enough for; or its code is too large to be frozen.
            RunError: there is no run `after`, or a step that is needed is not done in it.
            ConfigError: `local` has a key or a value that the backend does not take.
            SubmissionError: Slurm refused a step; everything submitted before it was cancelled.
        """
        from planit.backends import executors, registry
        from planit.backends.in_process import InProcess
        from planit.submit.part_asked import PartAsked
        from planit.submit.project import Freeze

        view = executors.view(executor)
        asked = PartAsked(_listed(start_from), _listed(until), _listed(only), after)
        part = asked.part(self.root, view.folder)
        executors.tell_overruled(view.defaults, self.root)
        given = {"slurm": {"kill_on_invalid_dep": kill_on_invalid_dep}, "local": dict(local or {})}
        backend = registry.create(view.kind, {**view.settings, **given.get(view.kind, {})})
        if isinstance(backend, InProcess):
            prepared = backend.prepare(self.name, self.root, view.folder, part)
            self._wait, self.jobs = prepared.in_threads, list(prepared.jobs.values())
        else:
            wanted = Freeze(freeze, freeze_limit_mb)
            self.jobs = self._submit_run(view, backend, share, wanted, part)
        return self.jobs

    def wait(self) -> None:
        """Block until every step ended. With the debug executor, run them now, in this process.

        Raises:
            StepsFailedError: names every step that failed, with its traceback.
            PlanError: the plan was not submitted.
        """
        if self._wait is None:
            raise PlanError(f"plan {self.name!r} was not submitted", hint="call submit first")
        self._wait()

    def _submit_run(
        self,
        view: ExecutorView,
        backend: Backend,
        share: str | None,
        freeze: Freeze,
        part: Part | None,
    ) -> list[Job[Any]]:
        from planit.record.run_bases import is_remembered
        from planit.run import Run
        from planit.submit.new import NewRun
        from planit.views.code_line import code_line

        new = NewRun(
            plan=self.name,
            root=self.root,
            base=view.folder,
            backend=backend,
            defaults=view.defaults,
            max_requeues=view.max_requeues,
            max_pickle_gb=view.max_pickle_gb,
            share=share,
            freeze=freeze,
            part=part,
        )
        started, jobs = new.start()
        self.run = Run(started.path, backend=backend)
        self._wait = self.run.wait
        ids = jobs.ids
        base = started.path.parents[1]
        more = "" if is_remembered(base) else f" --runs-dir {shlex.quote(str(base))}"
        logger.info(
            "Submitted plan %s: %d step(s) as %d job(s), %s, run %s; next: %s",
            self.name,
            len(jobs),
            len(ids),
            " to ".join(dict.fromkeys(ids[:1] + ids[-1:])),
            started.run_id,
            f"planit status{more}",
        )
        logger.info(code_line(started.path, 1))
        return list(jobs)


def _listed(names: str | Collection[str]) -> Collection[str]:
    """Names of steps; a single one is not taken for its letters."""
    return (names,) if isinstance(names, str) else names


def _shows_info(source: logging.Logger) -> bool:
    """Whether a record at level INFO reaches somebody."""
    if not source.isEnabledFor(logging.INFO):
        return False
    return any(handler.level <= logging.INFO for handler in _handlers(source))


def _handlers(source: logging.Logger) -> Iterator[logging.Handler]:
    """All that get the records of a logger."""
    asked: logging.Logger | None = source
    while asked is not None:
        yield from asked.handlers
        asked = asked.parent if asked.propagate else None
