"""What planit needs of submitit that has no public name. Tried with submitit 1.5.2, 1.5.3, 1.5.4.

All else that planit uses of submitit is public. tests/backends/test_submitit.py fails first when
either changes.
"""

from __future__ import annotations

from submitit import AutoExecutor, Executor


def chosen_executor(executor: AutoExecutor) -> Executor:
    """The executor that an AutoExecutor stands for: it alone has the Python and the requeues."""
    return executor._executor  # noqa: SLF001 (there is no public name)
