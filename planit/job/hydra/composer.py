"""A process that composes the configurations of a program's steps, and runs nothing of them.

It starts the program with a command line that leads Hydra to a sweeper of planit's. So whatever
the program does before Hydra composes is done: imports, its ConfigStore, its resolvers. The answer
goes back in a file, pickled, and the process that submits does not look into the pickles in it:
it would have to import what the program imports.
"""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import environ
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from planit.errors import PlanError, text_of
from planit.job.hydra.program import HydraProgram

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader

REQUEST = "PLANIT_COMPOSE"  # the folder with the request, where the answer goes
_REQUEST, _ANSWER = "request", "answer"
# As on the command line: the sweeper, no log, no callbacks, which Hydra would build.
_WORDS = (
    "hydra.mode=MULTIRUN",
    "hydra.callbacks='???'",
    "++hydra.hydra_logging.root=null",
    "hydra.sweeper=null",
    "hydra.sweeper={_target_: hydra_plugins.planit.compose_only.ComposeOnly}",
)


@dataclass(frozen=True)
class ComposeRequest:
    """What is to be composed.

    Attributes:
        program: the program.
        flags: of its command line.
        rows: the overrides of each step.
    """

    program: HydraProgram
    flags: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class ComposeAnswer:
    """What became of it.

    Attributes:
        bases, steps: what `planit.job.hydra.rows.compose_rows` returns.
        refusals: otherwise, what is wrong, text of one or more lines, by the number of the step;
            None if it is in the program itself.
        hint: what would be right.
        looked_at: whether the other steps were looked at too.
    """

    bases: Sequence[bytes] = ()
    steps: Sequence[tuple[int, Any]] = ()
    refusals: Mapping[int | None, str] = field(default_factory=dict)
    hint: str | None = None
    looked_at: bool = True


def ask(folder: Path, request: ComposeRequest) -> None:
    """Leave a request in a folder."""
    (folder / _REQUEST).write_bytes(pickle.dumps(request))


def answer_in(folder: Path) -> ComposeAnswer | None:
    """The answer; None if the program ended before Hydra came to its configuration."""
    try:
        found: ComposeAnswer = pickle.loads((folder / _ANSWER).read_bytes())
    except FileNotFoundError:
        return None
    return found


def main() -> None:
    """ComposeAnswer the request of this process."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    request = _request()
    first = request.rows[0]
    try:
        request.program.as_script()
        request.program.start([*first, *_WORDS, *request.flags, "--multirun"])
    except PlanError as error:
        _end(ComposeAnswer(refusals={None: error.message}, hint=error.hint))
    except (HydraException, OmegaConfBaseException) as error:
        _end(ComposeAnswer(refusals={0: _words_of(error)}, looked_at=False))
    except Exception as error:
        program = request.program
        how = (
            program.name if program.is_script else f"-c 'import {program.name.rpartition('.')[0]}'"
        )
        message = f"{program.name} cannot be started: {_shown(error)}"
        _end(ComposeAnswer(refusals={None: message}, hint=f"python {how} shows all of it"))


def answer(loader: ConfigLoader, config_name: str | None) -> NoReturn:
    """Compose what is asked for, with Hydra's loader for the program, and end the process."""
    from planit.job.hydra.rows import NotComposedError, compose_rows

    try:
        bases, steps = compose_rows(loader, config_name, _request().rows)
    except NotComposedError as problem:
        errors = problem.errors.items()
        _end(ComposeAnswer(refusals={row: _words_of(error) for row, error in errors}))
    except BaseException as error:
        message = f"its configuration cannot be composed: {_shown(error)}"
        _end(ComposeAnswer(refusals={None: message}))
    _end(ComposeAnswer(bases, steps))


def is_asked() -> bool:
    """Whether this process has a request."""
    return REQUEST in environ


def _request() -> ComposeRequest:
    found: ComposeRequest = pickle.loads(Path(environ[REQUEST], _REQUEST).read_bytes())
    return found


def _end(found: ComposeAnswer) -> NoReturn:
    """Write the answer and end at once: nothing more of the program runs."""
    path = Path(environ[REQUEST], _ANSWER)
    path.with_suffix(".new").write_bytes(pickle.dumps(found))
    path.with_suffix(".new").rename(path)
    os._exit(0)


def _words_of(error: Exception) -> str:
    from omegaconf.errors import OmegaConfBaseException

    text = str(error)
    if isinstance(error.__cause__, OmegaConfBaseException):
        text += f"\n{error.__cause__}"
    return text.strip() or type(error).__name__


def _shown(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" ({last[0].filename}, line {last[0].lineno})" if last else ""
    return f"{type(error).__name__}: {text_of(error)}{where}"
