"""A submission whose engine ends when this process does, as this process follows it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from planit.backends.attached import StepEvent
from planit.backends.local import events
from planit.backends.local.client import LocalClient
from planit.record import local_files


@dataclass
class EngineRun:
    """The engine that this process has started for a submission.

    Attributes:
        client: of the run.
        number: of the submission.
        engine: the process.
        steps: the last change of each step so far, by key.
    """

    client: LocalClient
    number: int
    engine: subprocess.Popen[bytes]
    steps: dict[str, StepEvent] = field(default_factory=dict)

    @cached_property
    def _follower(self) -> events.Follower:
        assert self.client.run_path is not None
        return events.Follower(local_files.events(self.client.run_path, self.number))

    def is_running(self) -> bool:
        """Whether a process of the submission is left; after a kill -9 it takes them a moment."""
        if self.engine.poll() is None:
            return True
        engine = self.client.engine(self.number)
        return engine is not None and engine.is_alive

    def new_events(self) -> list[StepEvent]:
        found = [_event(change) for change in self._follower.new()]
        self.steps |= {event.key: event for event in found}
        return found

    def finish(self) -> None:
        self.client.ask(self.number, {"action": "finish"})

    def stop(self) -> None:
        self.client.ask(self.number, {"action": "stop"})


def _event(change: Mapping[str, Any]) -> StepEvent:
    return StepEvent(
        key=str(change["key"]),
        name=str(change.get("name", change["key"])),
        state=str(change["state"]),
        elapsed_s=change.get("elapsed_s"),
        blocked=bool(change.get("blocked")),
    )
