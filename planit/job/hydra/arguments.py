"""Builds a step's arguments inside the job."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

from submitit.helpers import DelayedSubmission

from planit.nodes.arguments import Unbuilt

_SAVES = ("checkpoint", "__submitit_checkpoint__")
_PLAIN = (type(None), bool, int, float, complex, str, bytes)


class WithBuilt:
    """A function as a job calls it: what is `Unbuilt` in its arguments is built first.

    It can checkpoint if the function can. The function's own checkpoint method gets the built
    arguments; what is saved holds them unbuilt again, for an open file or a GPU's memory could not
    be saved, and the next attempt builds its own.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self._built: tuple[list[Any], dict[str, Any]] | None = None

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Build the arguments, then call the function."""
        self._built = (
            [_build(value, f"argument {i}") for i, value in enumerate(args)],
            {name: _build(value, f"argument {name!r}") for name, value in kwargs.items()},
        )
        return self.function(*self._built[0], **self._built[1])

    def __getattr__(self, name: str) -> Any:
        if name in _SAVES:
            return partial(self._save, getattr(self.function, name))
        raise AttributeError(name)

    def _save(self, save: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """The call that goes on from here, as the function's own `save` wants it."""
        if self._built is None:  # interrupted while building: the function has not begun
            return DelayedSubmission(self, *args, **kwargs)
        saved = copy.copy(save(*self._built[0], **self._built[1]))
        if saved is None:
            return None
        given = (*args, *kwargs.values())
        made = (*self._built[0], *self._built[1].values())
        unbuilt = {
            id(one): before
            for before, one in zip(given, made, strict=True)
            if isinstance(before, Unbuilt) and not isinstance(one, _PLAIN)
        }
        saved.function = WithBuilt(saved.function)
        saved.args = tuple(unbuilt.get(id(value), value) for value in saved.args)
        saved.kwargs = {name: unbuilt.get(id(v), v) for name, v in saved.kwargs.items()}
        return saved


def _build(value: Any, what: str) -> Any:
    if not isinstance(value, Unbuilt):
        return value
    try:
        return instantiate(value.content)
    except Exception as error:
        error.add_note(f"planit was building the step's {what}: {value!r}")
        raise


def instantiate(content: Any) -> Any:
    """What Hydra makes of `content`.

    Hydra 1.4 wants to be told which targets may run. A plan's author names functions to run all
    through the plan, so nothing is gained by checking these.
    """
    import hydra.utils

    unchecked = getattr(hydra.utils, "UNSAFE_DISABLE_EXECUTION_CHECKS", None)
    if unchecked is None:  # Hydra 1.3
        return hydra.utils.instantiate(content)
    return hydra.utils.instantiate(content, _execution_whitelist_=unchecked)
