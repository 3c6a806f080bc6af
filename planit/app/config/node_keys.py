"""The keys of the nodes of a plan in YAML: what is built from them, and what their schema says."""

from __future__ import annotations

from typing import Any

LEAVES = {
    "Step": (("name", "func", "slurm_args"), ()),
    "Command": (("name", "command", "slurm_args"), ("cwd", "env")),
    "HydraApp": (("name", "slurm_args"), ("app", "script", "overrides")),
    "Sweep": (("name", "func", "slurm_args", "over"), ("combine", "max_concurrent")),
}
"""The keys of each kind of leaf: those that it needs, the first three by position, and others."""

EVERY_LEAF = ("slurm", "_args_", "_target_", "kwargs")
"""The keys that every leaf may have."""

WITHOUT_ARGUMENTS = ("Command", "HydraApp")
"""The leaves that call no function of a plan's, so that no other key can be an argument."""

GROUPS: dict[str, tuple[str, ...]] = {
    "Chain": (),
    "Parallel": ("max_concurrent",),
    "Packed": ("slurm_args", "slurm", "jobs"),
}
"""What holds other nodes, and the keys of each besides ``_target_`` and ``_args_``."""

HYDRAS_OWN = ("_partial_", "_convert_", "_recursive_")
"""How `hydra.utils.instantiate` makes the arguments of a leaf that has some."""

PLAN_KEYS = ("_target_", "name", "steps", "root")


def is_private(key: Any) -> bool:
    """Whether only other keys refer to a key; a plan may hold values of its own under vars."""
    return str(key).startswith("_") or key == "vars"
