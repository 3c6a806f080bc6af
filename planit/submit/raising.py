"""What a resume raises by hand: memory and time, as the retry policies of the steps say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from planit.backends.step_request import memory_bytes
from planit.errors import RunError
from planit.nodes import Resources
from planit.nodes.flags import flags_of
from planit.nodes.retry import Cause, RetryPolicy
from planit.nodes.slurm_args import changed
from planit.nodes.walltime import clock
from planit.record.history import History
from planit.record.markers import Retry
from planit.record.records import RunRecords
from planit.record.run_dir import RunDir
from planit.status.states import RunStatus, State

_CAUSES = {State.OUT_OF_MEMORY: Cause.OOM, State.TIMEOUT: Cause.TIMEOUT}


@dataclass(frozen=True)
class Raised:
    """Gives steps that ran out of memory or time more of it, from what their last attempt had.

    Attributes:
        run: the run.
        history: of the run.
        status: the states of its steps.
    """

    run: RunDir
    history: History
    status: RunStatus

    def __call__(self, now: Mapping[str, Resources]) -> dict[str, Resources]:
        """The new submission parameters of steps, by name.

        Raises:
            RunError: there is none to be raised.
        """
        records = RunRecords(self.run, self.history)
        new: dict[str, Resources] = {}
        for name, resources in now.items():
            cause = _CAUSES.get(self.status.step(name).state)
            policy = resources.options.get("retry")
            if cause is None or not policy or str(cause) not in policy:
                continue
            place, ends = self.history.placements[name], records.tries(name).ends
            last = max((at for at in ends if ends[at].retry is not None), default=None)
            own = last is not None and last.submission == place.submission
            retry = ends[last].retry if last is not None and own else None
            found = _raised(resources, RetryPolicy.from_mapping(policy), cause, retry)
            if found is not None:
                new[name] = found
        if not new:
            raise RunError(
                "--raise: no step that is rerun ran out of memory or time and has a rule for it",
                hint="retry: {oom: {times: 1, mem: x2}, timeout: {times: 1, time: x2}}",
            )
        return new


def _raised(
    resources: Resources, policy: RetryPolicy, cause: Cause, last: Retry | None
) -> Resources | None:
    rule = policy.rules[cause]
    if cause is Cause.TIMEOUT:
        minutes = last.minutes if last is not None else None
        before = resources.time.total_seconds() if minutes is None else 60 * minutes
        return changed(resources, {"time": clock(timedelta(seconds=rule.raised(int(before))))})
    flags = flags_of(resources.options)
    name = next((one for one in ("mem", "mem_per_cpu", "mem_per_gpu") if flags.get(one)), None)
    if name is None:
        return None
    granted = last.memory_mb if last is not None else None
    memory = granted or memory_bytes(flags[name]) // 2**20
    return changed(resources, {"additional_params": {name: f"{rule.raised(memory)}M"}})
