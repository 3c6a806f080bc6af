"""How often a step is tried again, by what ended it, and what is raised each time.

::

    retry: {oom: {times: 2, mem: x2}, timeout: {times: 1, time: x1.5},
            node_fail: {times: 3, exclude: true},
            error: {times: 1, delay: 5m, on: [ConnectionError]}}
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from planit.errors import PlanError, suggest
from planit.nodes.checks import check_count


class Cause(enum.StrEnum):
    """What ended an attempt at a step."""

    OOM = "oom"
    CUDA_OOM = "cuda_oom"
    TIMEOUT = "timeout"
    NODE_FAIL = "node_fail"
    ERROR = "error"

    @property
    def words(self) -> str:
        """For people."""
        return _WORDS[self]


_WORDS = {
    Cause.OOM: "out of memory",
    Cause.CUDA_OOM: "out of GPU memory",
    Cause.TIMEOUT: "exceeding the time limit",
    Cause.NODE_FAIL: "a node failure",
    Cause.ERROR: "an error",
}
KEYS = {
    Cause.OOM: ("times", "mem", "delay"),
    Cause.CUDA_OOM: ("times", "delay"),
    Cause.TIMEOUT: ("times", "time", "delay"),
    Cause.NODE_FAIL: ("times", "exclude"),
    Cause.ERROR: ("times", "delay", "on"),
}
"""What a rule about a cause takes."""

_FACTOR = re.compile(r"x(\d+(?:\.\d+)?)")
_DELAY = re.compile(r"(\d+)\s*([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_MAX_FACTOR = 100


@dataclass(frozen=True)
class Rule:
    """What is done about one cause.

    Attributes:
        times: how often the step is tried again.
        factor: what its memory or its time is multiplied by each time.
        delay_s: seconds until it may start again.
        on: names of exceptions, with or without their modules; empty for any.
        exclude: whether the nodes that failed are left out.
    """

    times: int
    factor: Fraction = Fraction(1)
    delay_s: int = 0
    on: tuple[str, ...] = ()
    exclude: bool = False

    def raised(self, amount: int) -> int:
        """`amount` times the factor, rounded up."""
        return math.ceil(amount * self.factor)


@dataclass(frozen=True)
class RetryPolicy:
    """The rules of a step by cause."""

    rules: Mapping[Cause, Rule]

    @classmethod
    def from_mapping(cls, given: Any, name: str = "retry") -> RetryPolicy:
        """Read one as it is written.

        Raises:
            PlanError: names the key, and what would be right.
        """
        if not isinstance(given, Mapping):
            raise PlanError(
                f"{name} must be a mapping of causes, not {given!r}",
                hint="for instance {oom: {times: 2, mem: x2}}",
            )
        rules = {}
        for key, rule in given.items():
            if key not in list(Cause):
                raise PlanError(
                    f"{name} has no cause {key!r}", hint=suggest(str(key), [str(c) for c in Cause])
                )
            if rule is not None:
                rules[Cause(key)] = _rule(f"{name}.{key}", Cause(key), rule)
        return cls(rules)

    def is_meant(self, cause: Cause, kinds: tuple[str, ...] = ()) -> bool:
        """Whether there is a rule for a cause, and for an error of one of these kinds."""
        rule = self.rules.get(cause)
        return rule is not None and (not rule.on or not set(rule.on).isdisjoint(kinds))


def canonical(given: Any, name: str = "retry") -> dict[str, dict[str, Any]]:
    """A policy as plain data, in one order, without what is not set. Raises PlanError."""
    RetryPolicy.from_mapping(given, name)
    rules = {cause: given.get(str(cause)) for cause in Cause}
    found = {}
    for cause, rule in rules.items():
        if rule is not None:
            keys = {key: rule.get(key) for key in KEYS[cause]}
            found[str(cause)] = {
                key: list(value) if isinstance(value, list | tuple) else value
                for key, value in keys.items()
                if value is not None
            }
    return found


def memory_text(megabytes: int) -> str:
    """``64 GB``, or ``600 MB`` where it is not whole."""
    return f"{megabytes // 1024} GB" if megabytes % 1024 == 0 else f"{megabytes} MB"


def kinds_of(error: BaseException) -> tuple[str, ...]:
    """The names by which a rule may mean an exception: its class's, and those of its bases."""
    names: list[str] = []
    for one in type(error).__mro__:
        if one not in (object, BaseException):
            names += [one.__name__, f"{one.__module__}.{one.__qualname__}"]
    return tuple(names)


def _rule(name: str, cause: Cause, given: Any) -> Rule:
    if not isinstance(given, Mapping):
        raise PlanError(f"{name} must be a mapping, not {given!r}", hint="{times: 1}")
    keys = KEYS[cause]
    for key in given:
        if key not in keys:
            raise PlanError(f"{name} has no key {key!r}", hint=f"it takes {', '.join(keys)}")
    if given.get("times") is None:
        raise PlanError(f"{name} needs times", hint="how often the step is tried again")
    check_count(f"{name}.times", given["times"])
    what = {Cause.OOM: "mem", Cause.TIMEOUT: "time"}.get(cause)
    factor = Fraction(1)
    if what is not None and given.get(what) is not None:
        factor = _factor(f"{name}.{what}", given[what])
    exclude = given.get("exclude")
    if exclude is not None and not isinstance(exclude, bool):
        raise PlanError(f"{name}.exclude must be true or false, not {exclude!r}")
    return Rule(
        times=given["times"],
        factor=factor,
        delay_s=_delay(f"{name}.delay", given.get("delay")),
        on=_names(f"{name}.on", given.get("on")),
        exclude=bool(exclude),
    )


def _factor(name: str, value: Any) -> Fraction:
    match = _FACTOR.fullmatch(value) if isinstance(value, str) else None
    if match is None or not 1 < Fraction(match[1]) <= _MAX_FACTOR:
        raise PlanError(
            f"{name} {value!r} is not a factor", hint="write x2 or x1.5, more than x1, up to x100"
        )
    return Fraction(match[1])


def _delay(name: str, value: Any) -> int:
    if value is None:
        return 0
    match = _DELAY.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise PlanError(f"{name} {value!r} is not a delay", hint="write 30s, 5m or 1h")
    return int(match[1]) * _SECONDS[match[2]]


def _names(name: str, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    good = isinstance(value, list | tuple) and all(
        isinstance(one, str) and all(part.isidentifier() for part in one.split("."))
        for one in value
    )
    if not good or not value:
        raise PlanError(
            f"{name} must be a list of exceptions' names, not {value!r}",
            hint="for instance [ConnectionError, requests.exceptions.Timeout]",
        )
    return tuple(value)
