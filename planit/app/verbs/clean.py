"""``planit clean [RUN...]``: delete runs that nothing can happen to any more."""

from __future__ import annotations

import argparse
import re
import sys
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from planit.app.verbs import command_line
from planit.backends import registry
from planit.errors import ConfigError, PlanitError, RunError
from planit.record import index, removal
from planit.record.frozen_code import in_mb
from planit.record.run_dir import RunDir
from planit.status.states import printable
from planit.submit.cleaning import Removable, delete, finish, refuse_used, removable, users
from planit.views.run_tree import counts_text

_UNITS_S = {"h": 3600, "d": 86400, "w": 7 * 86400}
_HELP = """\
Delete runs, of which nothing waits or runs. At least one RUN or one of --older-than, --keep-last
and --failed must be given; several options together mean the runs that all of them hold for, and
with RUNs, those of them. Says first what goes and how much that is, and asks; without a terminal
nothing is deleted unless --yes is given. Never deleted: a run of which a step or job waits or runs,
or whose scheduler gives no answer; one whose folders such a run uses (submit --after); one that is
half submitted or locked; another user's; one whose record cannot be read. A RUN for which that
holds is an error, and then nothing is deleted; others are named and left. Frozen code that other
runs share stays with them."""
_EXIT = "exit code: 0 all of it is deleted, or there is nothing to delete; 1 nobody said yes"


def run(words: list[str]) -> int:
    """Say what is to be deleted, ask, and delete it."""
    parser = command_line.parser("clean", _HELP)
    parser.epilog = _EXIT
    parser.add_argument(
        "runs", nargs="*", metavar="RUN", help="whole id of a run, plan/id, a plan's name or a path"
    )
    parser.add_argument(
        "--older-than",
        type=_seconds,
        metavar="AGE",
        help="only runs in which no file was written for so long: 30d, 12h, 2w",
    )
    parser.add_argument(
        "--keep-last",
        type=command_line.count,
        metavar="N",
        help="only runs that are not among the N newest of their plan",
    )
    parser.add_argument(
        "--failed", action="store_true", help="only runs of which not every step succeeded"
    )
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    options = parser.parse_args(words)
    given = (options.older_than is not None, options.keep_last is not None, options.failed)
    if not options.runs and not any(given):
        raise ConfigError(
            "planit clean needs a RUN, --older-than, --keep-last or --failed",
            hint="planit clean --older-than 30d",
        )
    chosen, left = _chosen(options)
    rests = [] if options.runs else removal.leftovers(*options.runs_dir)
    _show(chosen, rests, left)
    if not chosen and not rests:
        return 0
    if not options.yes and not _agrees():
        return 1
    return _delete(chosen, rests)


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d{1,6})([hdw])", text, re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not an age: write 30d, 12h or 2w")
    return int(match[1]) * _UNITS_S[match[2]]


def _chosen(options: Namespace) -> tuple[list[Removable], list[str]]:
    """The runs to delete, the newest first; and why others are left, a line each."""
    chosen: dict[Path, Removable] = {}
    used_by = users(index.all_runs(*options.runs_dir))
    left = []
    for one in _candidates(options):
        try:
            found = removable(one, registry.of_run(one))
            refuse_used(found, used_by)
        except PlanitError as error:
            if options.runs:
                message = f"run {one.run_id} cannot be deleted: {error.message}"
                raise type(error)(message, hint=error.hint) from None
            hint = f" ({error.hint})" if error.hint else ""
            left.append(f"{one.run_id}  {one.path.parent.name}  {error.message}{hint}")
            continue
        if not (options.failed and found.status.succeeded):
            chosen[found.path] = found
    return list(chosen.values()), left


def _candidates(options: Namespace) -> Iterator[RunDir]:
    """The runs that were named, or else all; without those that the options keep."""
    every = index.all_runs(*options.runs_dir)
    named = [_named(options.runs_dir, word) for word in options.runs]
    kept: set[Path] = set()
    seen: Counter[tuple[Path, str | None]] = Counter()
    for one in every if options.keep_last is not None else ():
        plan = (one.path.parent, index.plan_of(one))
        seen[plan] += 1
        if seen[plan] <= options.keep_last:
            kept.add(one.path.resolve())
    oldest = None if options.older_than is None else time.time() - options.older_than
    for one in named or every:
        is_kept = one.path.resolve() in kept
        if not is_kept and (oldest is None or removal.changed_at(one.path) < oldest):
            yield one


def _named(bases: list[Path], word: str) -> RunDir:
    """The run of an id. Raises RunError for a part of one, which a slip may hit."""
    found = index.find(bases, word)
    plan = found.path.parent.name
    ids = (found.run_id, f"{plan}/{found.run_id}", plan, index.plan_of(found))
    if word not in ids and Path(word).resolve() != found.path.resolve():
        raise RunError(f"{word!r} is not a whole run id", hint=f"type the whole id: {found.run_id}")
    return found


def _show(chosen: list[Removable], rests: list[Path], left: list[str]) -> None:
    for line in left:
        print(printable(f"Left: {line}"))
    for one in chosen:
        size = in_mb(removal.room_of([one.path]).freed)
        status = one.status
        print(printable(f"{status.run_id}  {status.plan}  {counts_text(status.counts)}  {size}"))
    for path in rests:
        print(printable(f"{path.name}  {path.parent.name}  the rest of a run that was deleted"))
    if not chosen and not rests:
        print("Nothing to delete")
        return
    room = removal.room_of([*(one.path for one in chosen), *rests])
    shared = f"; {in_mb(room.shared)} more are shared with other runs and stay"
    print(
        f"To delete: {len(chosen) + len(rests)} run(s), {room.files} files, {in_mb(room.freed)}"
        f"{shared if room.shared else ''}"
    )


def _agrees() -> bool:
    if not sys.stdin.isatty():
        print("Nothing is deleted without a yes: planit clean --yes")
        return False
    try:
        answer = input("Delete? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() in ("y", "yes"):
        return True
    print("Nothing is deleted")
    return False


def _delete(chosen: list[Removable], rests: list[Path]) -> int:
    """Delete all that can be. Raises RunError at the end if something could not."""
    problems = []
    for one in chosen:
        try:
            delete(one, registry.of_run(RunDir(one.path)))
        except PlanitError as error:
            problems.append(f"run {one.status.run_id}: {error.message}")
    for path in rests:
        try:
            finish(path)
        except PlanitError as error:
            problems.append(f"run {path.name}: {error.message}")
    print(f"Deleted {len(chosen) + len(rests) - len(problems)} run(s)")
    if problems:
        raise RunError("; ".join(problems))
    return 0
