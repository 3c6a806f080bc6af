"""Makes a step's arguments inside the job, as `hydra.utils.instantiate` makes those of a target."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from submitit.helpers import DelayedSubmission

from planit.errors import PlanError
from planit.job.hydra.hydra_config import StepHydra, in_place
from planit.nodes.arguments import Making, Structured, Unbuilt

_SAVES = ("checkpoint", "__submitit_checkpoint__")
_PLAIN = (type(None), bool, int, float, complex, str, bytes)


class WithBuilt:
    """A function as a job calls it: with `HydraConfig` set, and what is `Unbuilt` made first.

    It can checkpoint if the function can. The function's own checkpoint method gets the built
    arguments; what is saved holds them unbuilt again, for an open file or a GPU's memory could not
    be saved, and the next attempt builds its own.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        making: Making | None = None,
        hydra: StepHydra | None = None,
    ) -> None:
        self.function = function
        self.making = making
        self.hydra = hydra
        self._built: tuple[Sequence[Any], Mapping[str, Any]] | None = None

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Make the arguments, then call the function."""
        with in_place(self.hydra):
            making = self.making or Making()
            self._built = _built(args, kwargs, making)
            function = partial(self.function, *self._built[0], **self._built[1])
            return function if making.partial else function()

    def __reduce__(self) -> Any:
        return WithBuilt, (self.function, self.making, self.hydra)

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
        saved.function = WithBuilt(saved.function, self.making, self.hydra)
        saved.args = tuple(unbuilt.get(id(value), value) for value in saved.args)
        saved.kwargs = {name: unbuilt.get(id(v), v) for name, v in saved.kwargs.items()}
        return saved


def _built(
    args: Sequence[Any], kwargs: Mapping[str, Any], making: Making
) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """The arguments as Hydra hands them to a target, detached from any configuration."""
    if not any(isinstance(value, Unbuilt) for value in (*args, *kwargs.values())):
        return args, kwargs
    from omegaconf import OmegaConf

    content = {
        "_target_": f"{__name__}.{_Arguments.__name__}",
        "_convert_": making.convert,
        "_recursive_": making.recursive,
        "_args_": [_unpacked(value) for value in args],
        **{name: _unpacked(value) for name, value in kwargs.items()},
    }
    try:
        made = instantiate(OmegaConf.create(content, flags={"allow_objects": True}))
    except Exception as error:
        shown = ", ".join([*map(repr, args), *(f"{name}={kwargs[name]!r}" for name in kwargs)])
        error.add_note(f"planit was building the step's arguments: {shown}")
        raise
    return made.args, made.kwargs


def config_classes() -> tuple[type, ...]:
    """The classes of OmegaConf's containers; none before something has imported it."""
    module = sys.modules.get("omegaconf")
    return () if module is None else (module.DictConfig, module.ListConfig)


def detached(config: Any) -> Any:
    """A resolved copy of one of OmegaConf's containers, without the configuration around it.

    Raises:
        PlanError: something in it cannot be resolved.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    own = copy.deepcopy(config)
    try:
        OmegaConf.resolve(own)
    except OmegaConfBaseException as error:
        raise PlanError(
            f"an argument cannot be resolved: {' '.join(str(error).split())}"
        ) from error
    made = instantiate(
        {"_target_": f"{__name__}.{_Arguments.__name__}", "_recursive_": False, "_args_": [own]}
    )
    return made.args[0]


class _Arguments:
    """What Hydra calls a target with."""

    def __init__(self, /, *args: Any, **kwargs: Any) -> None:
        self.args = args
        self.kwargs = kwargs


def _unpacked(value: Any) -> Any:
    return _as_config(value.content) if isinstance(value, Unbuilt) else value


def _as_config(content: Any) -> Any:
    """The content with a structured config where the configuration had one."""
    from omegaconf import OmegaConf, open_dict, read_write

    if isinstance(content, Structured):
        node = OmegaConf.structured(content.cls)
        with read_write(node), open_dict(node):
            for key, item in content.items():
                node[key] = _as_config(item)
        return node
    if isinstance(content, dict):
        return {key: _as_config(item) for key, item in content.items()}
    if isinstance(content, list):
        return [_as_config(item) for item in content]
    return content


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
