"""The only place that makes a backend from its name. A new one is a folder and a line here."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from planit.backends.base import Backend
from planit.backends.configurable import refuse_unknown_settings
from planit.backends.in_process import InProcess
from planit.errors import ConfigError, RunError, suggest
from planit.record import context, submissions

if TYPE_CHECKING:
    from planit.record.run_dir import RunDir

_BACKENDS = {  # loaded when they are used
    "slurm": "planit.backends.slurm.backend:SlurmBackend",
    "local": "planit.backends.local.backend:LocalBackend",
    "debug": "planit.backends.debug.backend:DebugBackend",
}
_AUTO = ("slurm", "local")


def create(
    name: str,
    settings: Mapping[str, Any] | None = None,
) -> Backend | InProcess:
    """A backend by its name; "auto" is Slurm where there is sbatch, and this machine elsewhere.

    Args:
        name: "slurm", "local", "debug" or "auto".
        settings: its settings; for "auto", of any that it may stand for.

    Raises:
        ConfigError: there is no such backend or setting, or a value is not of its kind.
    """
    given = dict(settings or {})
    if name == "auto":
        name = _automatic()
        refuse_unknown_settings("auto", given, {k for one in _AUTO for k in _class(one).SETTINGS})
        if name == "local" and given.get("dependency") is not None:
            raise ConfigError("backend.dependency needs Slurm, and there is no sbatch here")
        given = {key: value for key, value in given.items() if key in _class(name).SETTINGS}
    if name not in _BACKENDS:
        hint = suggest(name, ["auto", *_BACKENDS])
        raise ConfigError(f"backend.name={name} is unknown", hint=hint)
    made: Backend | InProcess = _class(name)().with_settings(given)
    return made


def of_run(run: RunDir) -> Backend:
    """The backend that a run was submitted with last, which also resumes it.

    Raises:
        ConfigError: it has a backend or a setting that this planit does not know.
        RunError: its backend keeps no runs, or nothing says which one it has.
    """
    newest = max(submissions.numbers(run.path), default=1)
    settings = dict(context.read(run.path, newest).backend)
    name = settings.pop("name", None)
    if not isinstance(name, str):
        raise RunError(
            f"{context.path_of(run.path, newest)} does not say which backend has the run's jobs"
        )
    backend = create(name, settings)
    if isinstance(backend, InProcess):
        raise RunError(f"{run.path} names the backend {backend.name}, which keeps no runs")
    backend.open_run(run.path)
    return backend


def known_settings() -> set[str]:
    """The settings that any backend has."""
    return {key for name in _BACKENDS for key in _class(name).SETTINGS}


def _automatic() -> str:
    return "slurm" if shutil.which("sbatch") is not None else "local"


def _class(name: str) -> Any:
    module, _, attribute = _BACKENDS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
