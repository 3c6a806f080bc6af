"""A job of a scheduler, and what the scheduler says of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

# States of a job that has ended (squeue manual, "JOB STATE CODES").
_ENDED = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    }
)
# Reasons with which a pending job has priority 0, so that it does not start by itself: JobHeldUser,
# JobHeldAdmin, "launch failed requeued held", "job requeued in held state" and these two.
_HELD = re.compile("held|JobHoldMaxRequeue|BadConstraints", re.IGNORECASE)
# Reasons that only another request, or another configuration of Slurm, takes away (the resource
# limits page; squeue manual, "JOB REASON CODES"). Limits of groups and users pass.
_NEVER = re.compile(
    r"Partition(TimeLimit|NodeLimit|Config)|BadConstraints|Invalid(Account|QOS)"
    r"|(Account|QOS)NotAllowed|(Association|QOS)TimeLimit|MaxMemPerLimit"
    r"|(Assoc|QOS)Max\w+Per(Job|Node)(Limit)?|QOSMin\w+"
)


@dataclass(frozen=True)
class JobRef:
    """A job, or the whole of a job array."""

    cluster: str | None
    job_id: str

    def __str__(self) -> str:
        return self.job_id if self.cluster is None else f"{self.job_id}@{self.cluster}"


@dataclass(frozen=True)
class JobView:
    """What the scheduler says of one job or array task.

    Attributes:
        key: ``12`` or ``12_3``.
        cause: why it failed, where the scheduler itself knows.
    """

    key: str
    state: str
    elapsed_s: int | None = None
    node: str | None = None
    reason: str | None = None
    comment: str | None = None
    started: bool = True
    cause: str | None = None

    @property
    def is_live(self) -> bool:
        """Whether the job waits or runs, so that others can depend on it."""
        return self.state not in _ENDED

    @property
    def is_held(self) -> bool:
        """Whether the job waits to be released, by the reason that squeue shows."""
        return self.state == "PENDING" and _HELD.search(self.reason or "") is not None

    @property
    def never_starts(self) -> bool:
        """Whether the job asks for what it will not get, by the reason that squeue shows."""
        return self.state == "PENDING" and _NEVER.fullmatch(self.reason or "") is not None

    @property
    def is_gone(self) -> bool:
        """Whether nothing is left to cancel: it has ended, or its processes are being ended."""
        return self.state in _ENDED or self.state == "COMPLETING"
