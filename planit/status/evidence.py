"""The evidence about one step: record, markers, queue, accounting, log, an earlier status."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from planit.record.jobs import JobView
from planit.record.markers import EndMarker, Outcome, Retry
from planit.status.states import State


class Answer(enum.Enum):
    """What the scheduler answered when it was asked for a step's job."""

    NOT_ASKED = "not asked"
    NO_ANSWER = "no answer"
    QUEUED = "in the queue"
    ACCOUNTED = "in the accounting"
    UNKNOWN = "in neither"


@dataclass(frozen=True)
class Evidence:
    """The evidence about a step that has not ended for good; `decide` makes a state of it.

    Attributes:
        submitted: whether the step was ever to be submitted.
        aborted: why its newest submission was taken back, if it was.
        has_job: whether its newest submission got a job id.
        is_first: whether no step of the plan is before it.
        cancelled: whether its newest job was cancelled through planit.
        starts: how often the step was started, requeues and resumes included.
        started: whether the newest job has left a start marker.
        end: the end marker of the newest job's last attempt.
        answer: what the scheduler answered about the job.
        view: the job as the scheduler shows it, if it does.
        missing_s: seconds since queue and accounting first left the job out; 0 for the first time.
        last: the state that an earlier status found.
        retry: what the newest job's last retry was after, and what it has.
        memory_complaint: whether Slurm wrote into the log that the job used too much memory.
    """

    submitted: bool = True
    aborted: str | None = None
    has_job: bool = True
    is_first: bool = False
    cancelled: bool = False
    starts: int = 0
    started: bool = False
    end: EndMarker | None = None
    answer: Answer = Answer.NOT_ASKED
    view: JobView | None = None
    missing_s: float = 0.0
    last: State | None = None
    memory_complaint: bool = False
    retry: Retry | None = None

    @property
    def outcome(self) -> Outcome | None:
        """How the last attempt ended by its marker."""
        return None if self.end is None else self.end.outcome

    @property
    def is_live(self) -> bool:
        """Whether the queue has the job as waiting or running."""
        return self.answer is Answer.QUEUED and self.view is not None and self.view.is_live

    @property
    def is_ending(self) -> bool:
        """Whether the job has ended but for Slurm's own clean-up (its KillWait, its epilog)."""
        return self.is_live and self.view is not None and self.view.state == "COMPLETING"

    @property
    def is_forgotten(self) -> bool:
        """Whether the queue has dropped the job, so that it cannot be requeued by hand."""
        return self.answer in (Answer.ACCOUNTED, Answer.UNKNOWN)
