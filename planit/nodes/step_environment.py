"""The environment that a step asks for: checks of its parameters, in the order they take effect.

``modules``, ``setup``, ``venv`` or ``conda``, ``container``, ``env``, ``workdir``, ``srun_args``,
``python``. In values of ``venv``, ``conda``, ``container``, ``env`` and ``workdir`` ``$NAME`` is a
variable of the job.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from planit.errors import PlanError, suggest
from planit.nodes.checks import check_text, setup_lines

ENVIRONMENT = (
    "modules", "setup", "venv", "conda", "container", "env", "workdir", "srun_args", "python",
)  # fmt: skip
"""The parameters of a step's environment, in the order they take effect."""

RUNTIMES = ("apptainer", "singularity", "pyxis")
CONTAINER_KEYS = ("image", "runtime", "mounts", "nv", "args")
_NAME = re.compile(r"[A-Za-z_]\w*")
# What planit, Slurm and srun set in each job, so that another value would be lost or wrong.
_OF_JOBS = re.compile(
    r"PLANIT_(?!RUNS_DIR$|RECORD_WAIT_S$)\w+|SLURMD_\w+|(LOCAL_)?(RANK|WORLD_SIZE)"
    r"|SLURM_(JOB_?ID|NODEID|LOCALID|PROCID|NTASKS|RESTART_COUNT|(STEP|ARRAY)_\w+)"
)


def check_step_environment(options: dict[str, Any], called: str = "") -> None:
    """Check and normalize the parameters of the environment among `options`, in place.

    Args:
        options: submission parameters; those that are None are not set.
        called: what stands before their names in errors.

    Raises:
        PlanError: names the parameter, its value and what would be right.
    """
    for name, check in _CHECKS.items():
        if options.get(name) is not None:
            options[name] = check(f"{called}{name}", options[name])
    if options.get("venv") is not None and options.get("conda") is not None:
        raise PlanError("venv and conda are both set, and a step has one Python", hint="keep one")
    container = options.get("container")
    if container and container["runtime"] == "pyxis" and options.get("use_srun") is False:
        raise PlanError("a container of pyxis is started by srun", hint="remove use_srun: false")


def uses_pyxis(options: Mapping[str, Any]) -> bool:
    """Whether srun itself starts the step in its container."""
    container = options.get("container")
    return container is not None and container["runtime"] == "pyxis"


def needs_shell(options: Mapping[str, Any]) -> bool:
    """Whether a shell has something to do around the step."""
    return any(options.get(name) for name in (*ENVIRONMENT, "teardown") if name != "srun_args")


def combined(before: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Changes `fields` of parameters, in which those of a mapping are on top of what it was.

    Args:
        before: the parameters so far.
        fields: the changes, under planit's or submitit's names.
    """
    found = dict(fields)
    for key, value in fields.items():
        old = before.get(key.removeprefix("slurm_"))
        if key.removeprefix("slurm_") in ("env", "container") and isinstance(value, Mapping):
            new = {**(old if isinstance(old, Mapping) else {}), **value}
            found[key] = {name: one for name, one in new.items() if one is not None}
    return found


def parts_of(text: str) -> tuple[list[str], list[str]]:
    """Text that refers to variables as ``$NAME`` or ``${NAME}``: what is around them, and names."""
    parts = re.split(r"\$(\{[A-Za-z_]\w*\}|[A-Za-z_]\w*)", text)
    return parts[::2], [name.strip("{}") for name in parts[1::2]]


def with_variables(text: str, environ: Mapping[str, str]) -> str:
    """Text with the values of its variables, as a shell would have it.

    Raises:
        KeyError: one is not set.
    """
    if text.startswith("~/"):
        text = "$HOME" + text[1:]
    around, names = parts_of(text)
    values = [environ[name] for name in names]
    return "".join(a + b for a, b in zip(around, [*values, ""], strict=True))


def words(name: str, value: Any) -> list[str]:
    """Words of a command: a list, or text as a shell splits it. Raises PlanError."""
    if isinstance(value, str):
        try:
            value = shlex.split(value)
        except ValueError as error:
            raise PlanError(f"{name} {value!r}: {error}") from None
    if not isinstance(value, list | tuple):
        raise PlanError(f"{name} must be a list of words, not {value!r}")
    for word in value:
        check_text(f"a word of {name}", word)
    return list(value)


def _modules(name: str, value: Any) -> list[str]:
    found = value.split() if isinstance(value, str) else value
    if not isinstance(found, list | tuple):
        raise PlanError(f"{name} must be a list of modules, not {value!r}")
    for module in found:
        check_text(f"a module of {name}", module)
        if len(module.split()) > 1 or module.startswith("-"):
            raise PlanError(f"{name}: {module!r} is not a module's name", hint="list one by one")
    return list(found)


def _text(name: str, value: Any) -> str:
    check_text(name, value)
    return str(value)


def _env(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise PlanError(f"{name} must be a mapping of variables, not {value!r}")
    found: dict[str, str] = {}
    for key, content in value.items():
        if content is None:  # taken out, as of a preset
            continue
        if not isinstance(key, str) or not _NAME.fullmatch(key):
            raise PlanError(f"{name}: {key!r} is not the name of a variable")
        if _OF_JOBS.fullmatch(key):
            raise PlanError(f"{name}.{key} is set by planit or Slurm in each job", hint="remove it")
        if isinstance(content, bool) or not isinstance(content, str | int | float):
            raise PlanError(
                f"{name}.{key} must be text or a number, not {content!r}", hint="write it in quotes"
            )
        found[key] = str(content)
        if "\0" in found[key]:
            raise PlanError(f"{name}.{key} has a null character")
    return found


def _container(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        value = {"image": value}
    if not isinstance(value, Mapping):
        raise PlanError(f"{name} must be an image or a mapping with one, not {value!r}")
    given = {key: one for key, one in value.items() if one is not None}
    for key in given:
        if key not in CONTAINER_KEYS:
            hint = suggest(str(key), CONTAINER_KEYS)
            raise PlanError(f"{name} has no key {key!r}", hint=hint)
    check_text(f"{name}.image", given.get("image"))
    runtime = given.get("runtime", RUNTIMES[0])
    if runtime not in RUNTIMES:
        raise PlanError(f"{name}.runtime {runtime!r} is unknown", hint=", ".join(RUNTIMES))
    nv = given.get("nv", False)
    if not isinstance(nv, bool):
        raise PlanError(f"{name}.nv must be true or false, not {nv!r}")
    if nv and runtime == "pyxis":
        raise PlanError(
            f"{name}.nv is Apptainer's; pyxis has the GPUs of the job", hint="remove it"
        )
    mounts = given.get("mounts", [])
    if isinstance(mounts, str):
        mounts = mounts.split(",")
    if not isinstance(mounts, list | tuple):
        raise PlanError(f"{name}.mounts must be a list of SOURCE:TARGET, not {mounts!r}")
    for mount in mounts:
        check_text(f"a mount of {name}", mount)
        if "," in mount:
            raise PlanError(f"{name}.mounts: {mount!r} has a comma", hint="list one by one")
    args = words(f"{name}.args", given.get("args", []))
    found = {"image": given["image"], "runtime": runtime, "mounts": list(mounts), "nv": nv}
    return found | {"args": args}


_CHECKS = {
    "modules": _modules,
    "setup": setup_lines,
    "venv": _text,
    "conda": _text,
    "container": _container,
    "env": _env,
    "workdir": _text,
    "srun_args": words,
    "python": _text,
}
