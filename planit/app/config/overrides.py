"""The words of the command line: what planit refuses of them, and what they may add."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields
from itertools import pairwise

from planit.errors import ConfigError, suggest
from planit.nodes import SlurmArgs
from planit.nodes.slurm_args import is_submitits

_FIELDS = tuple(field.name for field in fields(SlurmArgs))
_INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
_OF_BACKENDS = ("name", "detach")
_PLANITS_GROUPS = ("plan", "slurm", "slurm@cpu", "backend")
_PLANITS_KEYS = (
    "action", "runs_dir", "share", "freeze", "freeze_limit_mb", "planit.imports", "slurm_defaults",
)  # fmt: skip


def refuse_flags(flags: Sequence[str], overrides: Sequence[str]) -> None:
    """Raise ConfigError for flags of Hydra's that would do something else than they seem to."""
    if "--hydra-help" in flags and overrides:
        raise ConfigError(
            f"--hydra-help stands alone: {overrides[0]} has no effect", hint="planit --hydra-help"
        )
    if {"--shell-completion", "-sc"} & set(flags):
        hint = 'planit has its own: eval "$(planit completion bash)"; or zsh, fish'
        raise ConfigError("Hydra's shell completion does not know planit's words", hint=hint)
    for flag, after in pairwise([*flags, "-"]):
        if flag in ("--info", "-i") and after.startswith("-"):
            hint = f"{flag} with one of {', '.join(_INFO)}"
            raise ConfigError(f"{flag} needs a value", hint=hint)


def refuse_planits_own(overrides: Iterable[str], own: Iterable[str]) -> None:
    """Raise ConfigError for what planit sets itself, so that it would have no effect."""
    keys = {text.partition("=")[0] for text in own}
    for text in overrides:
        key = text.lstrip("+~").partition("=")[0]
        if any(key == one or key.startswith(f"{one}.") for one in keys):
            hint = "runs_dir=DIR is where runs go" if key == "hydra.run.dir" else None
            raise ConfigError(f"{key} is set by planit itself", hint=hint)


def opened(argument: str, presets: Collection[str]) -> str:
    """An override that works with and without ``+``, if its key is one that planit knows.

    Those are planit's own keys and groups, the fields of SLURM arguments, and the settings of
    backends and of ``sweep``; ``share=false`` is sweep.share.

    Args:
        argument: as typed.
        presets: the keys of the configuration that hold SLURM presets.

    Raises:
        ConfigError: a key below one of these that nobody knows.
    """
    key, equals, value = argument.partition("=")
    if not equals or key.startswith("~"):
        return argument
    bare = key.lstrip("+")
    if bare in _PLANITS_GROUPS:
        return f"{bare}={value}"
    if bare == "share" and value.lower() in ("true", "false"):
        bare = "sweep.share"
    return f"++{bare}={value}" if _may_add(bare, presets) else argument


def _may_add(key: str, presets: Collection[str]) -> bool:
    parts = key.split(".")
    if key in _PLANITS_KEYS or (parts[0] == "sweep" and len(parts) == 2):
        return True
    if parts[:2] == ["plan", "steps"] and parts[3:4] == ["slurm"]:
        return len(parts) >= 5
    for preset in sorted((*presets, "slurm_defaults"), key=len, reverse=True):
        if key.startswith(f"{preset}."):
            return _is_field(key, key.removeprefix(f"{preset}.").split(".")[0])
    return parts[0] == "backend" and len(parts) == 2 and _is_setting(key, parts[1])


def _is_field(key: str, field: str) -> bool:
    """Whether it is a field of SlurmArgs; False for one of a dict that submitit understands."""
    if field in _FIELDS:
        return True
    if is_submitits(field) or field == "_target_":
        return False
    raise ConfigError(f"{key}: SlurmArgs has no field {field!r}", hint=suggest(field, _FIELDS))


def _is_setting(key: str, setting: str) -> bool:
    from planit.backends.registry import known_settings

    known = {*known_settings(), *_OF_BACKENDS}
    if setting not in known:
        raise ConfigError(f"{key} is not a setting of a backend", hint=suggest(setting, known))
    return True
