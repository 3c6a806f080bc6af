"""One module per verb, each with ``run(words) -> exit code``, imported only when it is used."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial

_HELP = {
    "init": "",
    "describe": "",
    "check": "",
    "submit": "",
    "schema": "",
    "runs": "the project's runs, newest first; --all: every run of yours",
    "status": "[RUN]: the state of every step; --watch, --json, --all",
    "results": "[RUN] [STEP]: what the branches returned; --sort, --where, --csv, --json",
    "show": "[RUN] STEP: everything about one step; --config",
    "logs": "[RUN] STEP: what a step wrote; --follow, --tail N, --path",
    "current": "inside a step: its folder, swept values and parents; --json",
    "wait": "[RUN]: block until all is final",
    "cancel": "[RUN] [STEP...]: cancel what is not final, and what is behind it",
    "resume": "[RUN]: submit again what is not done; --from, --only, --dry-run, slurm.time=...",
    "clean": "[RUN...]: delete runs; --older-than 30d, --keep-last N, --failed, --yes",
    "completion": "",
}


def _run(verb: str, words: list[str]) -> int:
    module = importlib.import_module(f"planit.app.verbs.{verb}")
    code: int = module.run(words)
    return code


VERBS: dict[str, Callable[[list[str]], int]] = {verb: partial(_run, verb) for verb in _HELP}


def summary() -> str:
    """The help lines of the verbs that work on runs."""
    lines = [f"  {verb:<11} {text}\n" for verb, text in _HELP.items() if text]
    return "\nverbs about runs:\n" + "".join(lines)


def note(verb: str) -> str:
    """What a verb is for, in a few words."""
    text = _HELP[verb]
    return (text.partition("]: ")[2] or text.partition("STEP: ")[2] or text).partition(";")[0]
