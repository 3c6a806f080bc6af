"""The files that start a project: a plan, a primary config, and presets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from planit.app.config.cluster_presets import ClusterPreset, yaml_text
from planit.errors import ConfigError

_PLAN = """\
# The plan {name}: `planit plan={name}` shows it, `planit submit plan={name}` runs it.
_target_: planit.Plan
name: {name}

steps:
  prepare:
    _target_: planit.Command          # a shell command
    command: echo "put what prepares your data here"
    slurm_args: ${{cpu}}                # the preset of light steps
  train:
    _target_: planit.Command
    command: echo "put your training here"
    slurm_args: ${{slurm}}              # the preset of main steps
  report:
    _target_: planit.Command
    command: echo "put your evaluation here"
    slurm_args: ${{cpu}}

# What a step can be instead of a command. A Python function; the other keys are its arguments:
#   train:
#     func: my_project.train.main
#     slurm_args: ${{slurm}}
#     lr: 3.0e-5
# A program with @hydra.main, as it is:
#   train:
#     _target_: planit.HydraApp
#     script: train.py
#     overrides: [optimizer.lr=0.1]
#     slurm_args: ${{slurm}}

root:                                 # their order; planit.Parallel has steps at the same time
  _target_: planit.Chain
  _args_: [prepare, train, report]
"""
_PRIMARY = """\
# planit's primary config. What planit brings is beneath it; `planit --cfg job` prints all.
defaults:
  - planit
  # ${{slurm}}, what main steps ask for, is conf/slurm/{main}.yaml; slurm=NAME takes another preset.
  - slurm: {main}
  # ${{cpu}}, what light steps ask for
  - slurm@cpu: {light}
  - plan: {name}
  - _self_

# For every preset that does not say otherwise: account, mail_user, mail_type, qos ...
slurm_defaults: {defaults}
"""
# Keys of a primary config, or entries of its defaults list, that planit alone has.
_OWN_KEYS = frozenset({"plan", "planit", "slurm", "slurm@cpu", "slurm_defaults"})
# Where there is no Slurm to read: to edit on the cluster. The first runs on any machine.
EXAMPLES = (
    ClusterPreset(
        "cpu",
        {"time": "0:10:00", "partition": "batch", "cpus_per_task": 1},
        [
            "An example: put in a partition of your cluster (sinfo has them) and what steps need.",
            "On a login node `planit init` writes presets for the partitions that there are.",
        ],
    ),
    ClusterPreset(
        "gpu",
        {"time": "1:00:00", "partition": "gpu", "gpus_per_node": 1, "cpus_per_gpu": 8},
        ["An example of a step with a GPU; `- slurm: gpu` in conf/planit.yaml makes it ${slurm}."],
    ),
)


def primary_of(conf: Path) -> Path | None:
    """The file of a conf/ folder that is planit's primary config already, if there is one."""
    for name in ("planit.yaml", "config.yaml"):
        path = conf / name
        if path.exists() and (name == "planit.yaml" or _is_planits(path)):
            return path
    return None


def texts(
    conf: Path,
    name: str,
    presets: Sequence[ClusterPreset],
    main: ClusterPreset,
    light: ClusterPreset,
) -> dict[Path, str]:
    """The files of a new project and what is in them.

    The account of its main steps is in the primary config, for all presets, unless that exists.

    Args:
        conf: the project's conf/ folder.
        name: of the plan.
        presets: for the group slurm.
        main: the preset of its main steps.
        light: the preset of its light steps.
    """
    found = {conf / "plan" / f"{name}.yaml": _PLAN.format(name=name)}
    if primary_of(conf) is None:
        account = main.fields.get("account")
        presets = [one.without_account(account) for one in presets]
        defaults = f"{{account: {yaml_text(account)}}}" if account else "{}"
        found[conf / "planit.yaml"] = _PRIMARY.format(
            name=name, main=main.name, light=light.name, defaults=defaults
        )
    return found | {conf / "slurm" / f"{one.name}.yaml": one.text() for one in presets}


def write_new(files: Mapping[Path, str]) -> list[Path]:
    """Write those of the files that do not exist; if one cannot be written, none is left.

    Returns:
        Those that were written.

    Raises:
        ConfigError: a file cannot be written.
    """
    written: list[Path] = []
    folders: list[Path] = []
    try:
        for path, text in files.items():
            for folder in reversed([path.parent, *path.parent.parents]):
                if not folder.exists():
                    folder.mkdir()
                    folders.append(folder)
            try:
                with path.open("x", encoding="utf-8") as file:
                    written.append(path)
                    file.write(text)
            except FileExistsError:
                continue
    except OSError as error:
        _remove(written, folders)
        message = f"cannot write {error.filename or written[-1]}: {error.strerror}"
        raise ConfigError(message, hint="nothing was written") from error
    except BaseException:
        _remove(written, folders)
        raise
    return written


def _remove(files: Sequence[Path], folders: Sequence[Path]) -> None:
    for path in files:
        path.unlink(missing_ok=True)
    for folder in reversed(folders):
        with suppress(OSError):
            folder.rmdir()


def _is_planits(path: Path) -> bool:
    """Whether a config.yaml is planit's, and not another Hydra program's."""
    try:
        loaded = OmegaConf.load(path)
    except Exception:  # whatever it is, planit cannot use it
        return False
    if not isinstance(loaded, DictConfig):
        return False
    content = OmegaConf.to_container(loaded)
    assert isinstance(content, dict)
    defaults = content.get("defaults")
    entries = defaults if isinstance(defaults, list) else []
    chosen = {str(key) for one in entries for key in (one if isinstance(one, dict) else [one])}
    return not _OWN_KEYS.isdisjoint({*map(str, content), *chosen})
