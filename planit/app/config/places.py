"""Where configuration comes from: the user's conf/, and planit's own."""

from __future__ import annotations

from pathlib import Path

from planit.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parents[2]


def conf_dir() -> Path:
    """Planit's own conf/: in the package of an installed wheel, beside it in a checkout."""
    installed = _PACKAGE / "conf"
    return installed if installed.is_dir() else _PACKAGE.parent / "conf"


def primary(config_dir: str | None) -> tuple[Path, str]:
    """The folder that is searched first, and the name of the primary config.

    That is ``--config-dir`` if given, else conf/ in the working directory if there is one, else
    planit's own. A conf/planit.yaml is before a conf/config.yaml, which may belong to another Hydra
    program.

    Raises:
        ConfigError: the given folder does not exist.
    """
    folder = Path(config_dir or "conf").absolute()
    if config_dir is not None and not folder.is_dir():
        raise ConfigError(f"--config-dir {config_dir}: no such folder")
    if not folder.is_dir():
        folder = conf_dir()
    return folder, "planit" if (folder / "planit.yaml").is_file() else "config"
