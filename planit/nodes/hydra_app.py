"""`HydraApp`: an existing Hydra program as a step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from planit.errors import PlanError
from planit.nodes.functions import dotted_path, is_dotted_path
from planit.nodes.slurm_args import SlurmSpec
from planit.nodes.tree import UNNAMED, Task, in_step

CONFIG_FLAGS = ("--config-name=", "--config-path=", "--config-dir=")
_DOTTED = 'write it as "package.module.function"'
_USAGE = "HydraApp(name, app, slurm_args, overrides) or HydraApp(name, script=..., slurm_args=...)"
# The first key that matches says why.
_NOT_TAKEN = {
    "hydra.run.dir": "its output folder is the step's own",
    "hydra.mode": "planit runs the program once; sweep with planit submit -m",
    "hydra.sweep": "planit runs the program once; sweep with planit submit -m",
    "hydra.sweeper": "planit runs the program once; sweep with planit submit -m",
    "hydra/sweeper": "planit runs the program once; sweep with planit submit -m",
    "hydra.launcher": "planit starts the program",
    "hydra/launcher": "planit starts the program",
}


class HydraApp(Task):
    """A program with ``@hydra.main`` as one SLURM job; the program knows nothing of planit.

    Its configuration is composed when the plan is submitted, as Hydra does it for the program, and
    is what runs, whatever is edited meanwhile. In the job it finds what it finds under Hydra:
    HydraConfig, its job logging, and an output folder with ``.hydra/``, which is the step's. What
    it returns is what the step returns.

    Args:
        name: unique in its plan.
        app: the function that is decorated with ``@hydra.main``, or its dotted path.
        slurm_args: as for `Step`.
        overrides: as on the program's command line, a text each; also ``--config-name=NAME``,
            ``--config-path=DIR`` and ``--config-dir=DIR``.
        script: instead of `app`, the path of the program's script, from the working directory of
            the submission. It is run as a script: ``__name__`` is ``"__main__"``.

    Raises:
        PlanError: neither or both of `app` and `script`, or an override that is not one.
    """

    __slots__ = ("app", "overrides", "script")

    app: str | None
    script: str | None
    overrides: tuple[str, ...]

    def __init__(
        self,
        name: str = UNNAMED,
        app: Callable[..., Any] | str | None = None,
        slurm_args: SlurmSpec | None = None,
        overrides: Iterable[str] = (),
        script: Any = None,
    ) -> None:
        if slurm_args is None:
            raise PlanError(f"step {name!r} has no slurm_args", hint=_USAGE)
        self._set_up(name, slurm_args)
        try:
            self.app = None if app is None else _path_of(app)
            self.script = None if script is None else str(script)
            self.overrides = _texts(overrides)
            if (self.app is None) == (self.script is None):
                both = "both app and script" if self.app else "neither app nor script"
                raise PlanError(f"HydraApp has {both}", hint=_USAGE)
        except PlanError as error:
            raise in_step(self.name, error) from None

    @property
    def program(self) -> str:
        """The program as it was named."""
        return self.app or str(self.script)


def _path_of(app: Any) -> str:
    """The dotted path of a function, or that text. Raises PlanError."""
    if isinstance(app, str):
        if is_dotted_path(app) and not app.endswith(".py"):
            return app
        hint = f'name a file by script="{app}"' if app.endswith(".py") else _DOTTED
        raise PlanError(f"app {app!r} is not a dotted path", hint=hint)
    path = dotted_path(app) if callable(app) else None
    if path is None:
        raise PlanError(
            f"app {app!r} is not a function that the job can import",
            hint="write it in a module of its own, or name its script: HydraApp(..., script=...)",
        )
    return path


def _texts(overrides: Any) -> tuple[str, ...]:
    """The overrides. Raises PlanError for what is not one, or would have no effect."""
    if isinstance(overrides, str) or not isinstance(overrides, Iterable):
        raise PlanError(
            f"overrides must be a list of texts, not {overrides!r}",
            hint='write overrides: [model=bert, "lr=${lr}"]',
        )
    listed = list(overrides)
    for text in listed:
        if not isinstance(text, str) or not text:
            hint = 'write each as one text, such as "lr=0.1"'
            raise PlanError(f"overrides: {text!r} is not a text like key=value", hint=hint)
        if text.startswith("-"):
            if not text.startswith(CONFIG_FLAGS):
                flags = ", ".join(f"{flag}..." for flag in CONFIG_FLAGS)
                raise PlanError(f"overrides: {text!r} is a flag", hint=f"flags can be {flags}")
            continue
        key = text.lstrip("+~").partition("=")[0].partition("@")[0]
        for refused, why in _NOT_TAKEN.items():
            if (key == refused or key.startswith(f"{refused}.")) and text != "hydra.mode=RUN":
                raise PlanError(f"overrides: {text!r} would have no effect: {why}")
    return tuple(listed)
