"""Variables of the environment that each thread has for itself."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any

from submitit.helpers import environment_variables


class _PerThread(MutableMapping[str, str]):
    """`os.environ` with further variables, which only the thread sees that has set them.

    All else that is set, also by a step, is the process's. Programs that a step starts without an
    ``env=`` of their own do not get a thread's variables.
    """

    def __init__(self, process: MutableMapping[str, str]) -> None:
        self._process = process
        self._threads = threading.local()

    @property
    def own(self) -> dict[str, str]:
        """The variables of this thread."""
        own: dict[str, str] = self._threads.__dict__.setdefault("own", {})
        return own

    def _holder(self, key: str) -> MutableMapping[str, str]:
        return self.own if key in self.own else self._process

    def __getitem__(self, key: str) -> str:
        return self._holder(key)[key]

    def __setitem__(self, key: str, value: str) -> None:
        self._holder(key)[key] = value

    def __delitem__(self, key: str) -> None:
        del self._holder(key)[key]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._process, **self.own})

    def __len__(self) -> int:
        return len({**self._process, **self.own})

    def copy(self) -> dict[str, str]:
        return dict(self)

    def __or__(self, other: Mapping[str, str]) -> dict[str, str]:
        return {**self, **other}

    def __ror__(self, other: Mapping[str, str]) -> dict[str, str]:
        return {**other, **self}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._process, name)


@contextmanager
def of_threads() -> Iterator[None]:
    """Within this, `variables` are those of the thread alone."""
    before, environ = os.environ, _PerThread(os.environ)
    os.environ = environ  # type: ignore[assignment]  # noqa: B003  # os.getenv must see it too
    try:
        yield
    finally:
        if os.environ is environ:  # else another one was put on top, which goes on using this
            os.environ = before  # noqa: B003


@contextmanager
def variables(given: Mapping[str, str]) -> Iterator[None]:
    """Have these variables in the environment; within `of_threads` this thread alone has them."""
    environ = os.environ
    if not isinstance(environ, _PerThread):
        with environment_variables(**given):
            yield
        return
    before = dict(environ.own)
    environ.own.update(given)
    try:
        yield
    finally:
        environ.own.clear()
        environ.own.update(before)
