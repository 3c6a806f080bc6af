"""Imports what steps will import, so that they can be forked from here."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Collection

from planit.errors import PlanError
from planit.job import frozen
from planit.job.hydra.app_run import import_hydra
from planit.job.step import import_payload
from planit.nodes.functions import resolve
from planit.record import history as histories
from planit.record import trust
from planit.record.context import Context
from planit.record.run_dir import RunDir


def warm_up(run: RunDir, context: Context, steps: Collection[str]) -> bool:
    """Import what these steps will import; if an import fails, the step reports it.

    Returns:
        Whether they can be forked: a fork would have the modules, but not the threads that they
        have started.
    """
    frozen.extend_path(context.sys_path)
    frozen.use(trust.opened(run.path), context.code)
    import_payload()
    tree = run.manifest["tree"]
    for path in histories.functions(tree, steps):
        with contextlib.suppress(PlanError):
            resolve(path)
    if histories.has_program(tree, steps):
        import_hydra()
    has_threads = threading.active_count() > 1
    gc.collect()
    gc.freeze()  # so that forks share these pages
    return not has_threads
