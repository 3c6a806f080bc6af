"""Which folders of runs belong to the working directory: what the verbs about runs look in.

The configuration's ``runs_dir`` is read as plain YAML, and Hydra is only asked where that is an
interpolation of anything but variables of the environment: these verbs are quick.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from planit.errors import ConfigError
from planit.record import run_bases

_KEY = "runs_dir"
_PRIMARY = ("planit.yaml", "config.yaml")
_OF_ENVIRONMENT = re.compile(r"\$\{oc\.env:\s*([^\s${}:,]+)\s*(?:,\s*([^${}]*?)\s*)?\}")

Compose = Callable[[Path], str | None]


def here(compose: Compose | None = None) -> list[Path]:
    """The folders of the runs of the project that the working directory is in.

    Those are what its configuration says (else ``$PLANIT_RUNS_DIR`` or ``planit_runs``), and the
    folders that runs were submitted to from the project's folder. That is the nearest one that has
    any: the working directory or one above it, but not above one with conf/ or ``.git``, nor this
    user's home or somebody else's folder.

    Args:
        compose: gives ``runs_dir`` for a project's folder where that takes Hydra. Without it such
            a ``runs_dir`` is left out.

    Raises:
        ConfigError: ``runs_dir`` cannot be resolved, and nothing else tells where runs are.
    """
    start = Path.cwd()
    default = Path(os.environ.get("PLANIT_RUNS_DIR") or "planit_runs")
    for folder in _upward(start):
        recorded = run_bases.of_folder(folder)
        is_here = not default.is_absolute() and (folder / default).is_dir()
        try:
            own = _configured(folder, compose)
        except ConfigError:
            if not recorded:
                raise
            own = None
        if own or recorded or is_here or (folder / "conf").is_dir():
            usual = [folder / default] if is_here or own is None else []
            return run_bases.each_once([*([own] if own else []), *usual, *recorded])
    return [default]


def _upward(start: Path) -> Iterator[Path]:
    home = _expanded("~").resolve()
    for folder in (start, *start.parents):
        if folder != start and (folder == home or folder.stat().st_uid != os.geteuid()):
            return
        yield folder
        if (folder / "conf").is_dir() or (folder / ".git").exists():
            return


def _primary(folder: Path) -> Path | None:
    """The primary config of the project in a folder."""
    paths = [folder / "conf" / name for name in _PRIMARY]
    return next((path for path in paths if path.is_file()), None)


def _configured(folder: Path, compose: Compose | None) -> Path | None:
    """What the configuration says; None if that is planit's own default, or takes Hydra."""
    value = _written(folder)
    if value is None:
        return None
    text = _from_environment(str(value))
    if "${" in text:
        text = str((compose(folder) if compose else None) or "")
    return folder / _expanded(text) if text else None


def _expanded(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # there is no such user, or no home folder
        return Path(text)


def _written(folder: Path) -> object:
    """The key of the primary config, if it is there; what cannot be read has none."""
    path = _primary(folder)
    try:
        content = path.read_bytes() if path else b""
    except OSError:
        return None
    if _KEY.encode() not in content:
        return None
    import yaml

    try:
        config = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    return config.get(_KEY) if isinstance(config, dict) else None


def _from_environment(text: str) -> str:
    """The text with ``${oc.env:NAME,DEFAULT}`` resolved, from the inside out."""
    before = ""
    while text != before:
        before, text = text, _OF_ENVIRONMENT.sub(_variable, text)
    return text


def _variable(match: re.Match[str]) -> str:
    name, default = match.groups()
    if name in os.environ:
        return os.environ[name]
    if default is None:
        return match[0]
    return "" if default == "null" else default.strip("'\"")
