"""The environment that a step asks for, as lines of bash and as words before its command.

The order is that of `planit.nodes.step_environment.ENVIRONMENT`, on every backend that has a shell.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from planit.job.command import IN_CONTAINER
from planit.nodes.step_environment import parts_of

_OWN_PYTHON = "python3"  # of what was activated, or of the image
# Not every batch shell has the function: sites define it in what login shells read.
_HAS_MODULE = "type -t module > /dev/null || . /etc/profile"


def blocks(options: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """The lines before a step, by the field that they come from, in order."""
    made: dict[str, list[str]] = {
        "modules": [f"module load {shlex.quote(one)}" for one in options.get("modules") or []],
        "setup": list(options.get("setup") or []),
    }
    if (venv := options.get("venv")) is not None:
        made["venv"] = [f"source {expanded(f'{venv}/bin/activate')}"]
    if (conda := options.get("conda")) is not None:
        hook = 'eval "$("${CONDA_EXE:-conda}" shell.bash hook)"'
        made["conda"] = [hook, f"conda activate {expanded(conda)}"]
    env = options.get("env") or {}
    made["env"] = [f"export {name}={expanded(value)}" for name, value in env.items()]
    if (workdir := options.get("workdir")) is not None:
        # The second line is for Hydra programs, which else run where they were composed.
        made["workdir"] = [f"cd {expanded(workdir)}", 'export PLANIT_WORKDIR="$PWD"']
    return [(name, lines) for name, lines in made.items() if lines]


def before_all(options: Mapping[str, Any]) -> list[str]:
    """What the lines of `blocks` need, and what is not the user's."""
    return [_HAS_MODULE] if options.get("modules") else []


def python_of(options: Mapping[str, Any], default: str, *, launches: bool) -> str:
    """Shell words that start the Python which runs a step.

    Args:
        options: submission parameters.
        default: of the backend.
        launches: whether the step itself runs in it; a `Command` only needs planit there.
    """
    if options.get("python") is not None:
        return str(options["python"])
    own = any(options.get(name) is not None for name in ("venv", "conda", "container"))
    return _OWN_PYTHON if own and launches else default


def container_words(options: Mapping[str, Any]) -> list[str]:
    """Words of bash that start a command in the step's container; for pyxis, options of srun.

    The run's folder is there, too. Apptainer itself adds home, /tmp and the working directory.
    """
    container = options.get("container")
    if not container:
        return []
    image = expanded(container["image"])
    mounts = ["$PLANIT_RUN_DIR:$PLANIT_RUN_DIR", *container["mounts"]]
    args = [shlex.quote(word) for word in container["args"]]
    if container["runtime"] == "pyxis":
        words = [f"--container-image={image}", f"--container-mounts={expanded(','.join(mounts))}"]
        if options.get("workdir") is not None:
            words.append('--container-workdir="$PWD"')
        return [*words, *args]
    binds = [word for mount in mounts for word in ("--bind", expanded(mount))]
    nv = ["--nv"] if container["nv"] else []
    return [container["runtime"], "exec", *nv, *binds, *args, image]


def command_container(options: Mapping[str, Any]) -> list[str]:
    """The lines that let a `Command` step start its command in the container."""
    words = container_words(options)
    if not words:
        return []
    if options["container"]["runtime"] == "pyxis":
        words = ["srun", "--nodes=1", "--ntasks=1", *words]
    return [f"{IN_CONTAINER}=$(printf '%q ' {' '.join(words)})", f"export {IN_CONTAINER}"]


def expanded(text: str) -> str:
    """Text as a word of bash in which ``$NAME`` and a leading ``~/`` are expanded, nothing else.

    A variable that is not set ends the shell, rather than to stand for nothing.
    """
    if text.startswith("~/"):
        text = "$HOME" + text[1:]
    around, names = parts_of(text)
    literal = [re.sub(r'([\\"`$])', r"\\\1", part) for part in around]
    values = [f"${{{name}?}}" for name in names]
    return f'"{"".join(a + b for a, b in zip(literal, [*values, ""], strict=True))}"'
