"""``python -m tests.faults.attacker KIND FOLDER SEED``: another user of the machine, at work.

It starts as root, which can be anybody, and becomes `nobody` before it does anything. What it
plants appends the uid of whoever runs it to FOLDER/planted. It works until it is terminated.

    plant   moves runs of its own into the shared folder of the runs
    swap    puts a copy of its own in the place of a run, and back again
    parent  does the same with the folder above, and with symbolic links
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from planit.errors import RunError
from planit.record.call_file import CallFile, Limits, PickledCalls

NOBODY = 65534
SETUP, COMMAND, FUNCTION = "true setup-marker", "true command-marker", "tests.faults.steps.work"
_BEGAN = ("*.json", "*.log")


class _Evil:
    """A pickle that runs a command when it is loaded."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


class Poison:
    """Turns the files of a run into others that write down who runs them.

    Where `imports`, the steps call a function of the attacker's own module; a resume may refuse
    that one, and not the others.
    """

    def __init__(self, folder: Path, *, imports: bool = False) -> None:
        self.imports = imports
        self.command = f"id -u >> {folder}/planted"
        self.modules = folder / "evil"
        self.modules.mkdir(exist_ok=True)
        code = f"import os\nos.system({self.command!r})\ndef act(*args, **words): pass\n"
        (self.modules / "evil_code.py").write_text(code)

    def content(self, path: Path) -> bytes | None:
        """What stands in the place of a file's content; None if it cannot be read."""
        evil = pickle.dumps(_Evil(self.command))
        if path.suffix == ".pkl":
            return evil
        if path.name == "calls":
            with contextlib.suppress(OSError, RunError), path.open("rb") as file:
                return PickledCalls([evil] * CallFile(file).count, {}, Limits(5, 0)).content()
            return None
        try:
            text = path.read_bytes().decode(errors="replace")
        except OSError:
            return None
        for marker in (SETUP, COMMAND):
            text = text.replace(marker, self.command)
        if self.imports:
            text = text.replace(FUNCTION, "evil_code.act")
        if path.suffix == ".py":
            text = f"import os; os.system({self.command!r})\n"
        if path.name.endswith(".json"):
            head, _, _ = text.partition("\n")
            text = self._with_modules(head if path.parent.parent.name == "stages" else text)
            if path.parent.parent.name == "stages":
                return text.encode() + b"\n" + evil
        return text.encode()

    def _with_modules(self, text: str) -> str:
        with contextlib.suppress(ValueError):
            found = json.loads(text)
            if isinstance(found, dict) and isinstance(found.get("sys_path"), list):
                found["sys_path"].insert(0, str(self.modules))
                return json.dumps(found)
        return text

    def copy(self, source: Path, target: Path) -> None:
        """A poisoned copy of a run, or of the files that it has got since the last copy."""
        for path in _below(source):
            there = target / path.relative_to(source)
            with contextlib.suppress(OSError):
                if path.is_dir():
                    there.mkdir(parents=True, exist_ok=True)
                elif not there.exists() and (content := self.content(path)) is not None:
                    there.parent.mkdir(parents=True, exist_ok=True)
                    there.write_bytes(content)


def _below(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        yield from (Path(here, name) for name in [*folders, *files])


def plant(folder: Path, rng: random.Random) -> NoReturn:
    """Failed runs that wait for a resume, the newest of all, with links to what is not ours."""
    poisons, number = [Poison(folder)] * 4 + [Poison(folder, imports=True)], 0
    sources = sorted((folder / "sources").iterdir())
    touched = json.loads((folder / "touched.json").read_text())
    while True:
        source, number = rng.choice(sources), number + 1
        made = folder / "mine" / f"{number}"
        rng.choice(poisons).copy(source, made)
        if rng.random() < 0.4:
            _link(made, rng.sample(touched, min(len(touched), 4)), folder / "secret", rng)
        plan = folder / "shared" / "runs" / rng.choice(["p", "q"])
        with contextlib.suppress(OSError):
            plan.mkdir(0o777, exist_ok=True)
            late = rng.choice([time.strftime("%Y%m%d-%H%M%S"), "20991231-235959"])
            made.rename(plan / f"{late}-{number:04x}")
        time.sleep(rng.uniform(0.2, 1.5))


def _link(run: Path, names: list[str], secret: Path, rng: random.Random) -> None:
    """Symbolic links to the victim's own files where a verb is going to write."""
    for name in names:
        path = run / name
        with contextlib.suppress(OSError):
            if path.is_dir():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(secret / rng.choice(["", "notes", "keys"]))


def swap(folder: Path, rng: random.Random) -> NoReturn:
    """Exchange the newest run of the victim for a poisoned copy, at the worst moments."""
    poison, plan = Poison(folder), folder / "shared" / "runs" / "p"
    seen: set[str] = set()
    while True:
        time.sleep(0.002)
        for run in _of_others(plan):
            evil = folder / "mine" / f"swap-{run.name}"
            if run.name not in seen:
                seen.add(run.name)
                poison.copy(folder / "sources" / "slurm", evil)
            poison.copy(run, evil)
            if rng.random() < 0.02 or _has_begun(run):
                _exchange(run, evil, rng.uniform(0.001, 0.5))


def parent(folder: Path, rng: random.Random) -> NoReturn:
    """Exchange the folder of all runs for a poisoned copy of it, or for a link to one."""
    poison, runs, evil = Poison(folder), folder / "shared" / "runs", folder / "mine" / "runs"
    while True:
        time.sleep(rng.uniform(0.2, 1.5))
        poison.copy(runs, evil)
        link = folder / "mine" / "link"
        if rng.random() < 0.3:
            link.unlink(missing_ok=True)
            link.symlink_to(evil)
            _exchange(runs, link, rng.uniform(0.001, 0.4))
        else:
            _exchange(runs, evil, rng.uniform(0.001, 0.4))


def _of_others(plan: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return [path for path in plan.iterdir() if path.lstat().st_uid != NOBODY]
    return []


def _has_begun(run: Path) -> bool:
    """Whether a step has just passed its checks, as its marker or its log tells."""
    now = time.time()
    with contextlib.suppress(OSError):
        fresh = (path.lstat().st_mtime for name in _BEGAN for path in run.glob(f"stages/*/{name}"))
        return any(now - at < 0.3 for at in fresh)
    return False


def _exchange(victims: Path, evil: Path, seconds: float) -> None:
    """Put ours in the place of theirs for a moment. To be terminated waits for the end of it."""
    aside = evil.with_name(f"{evil.name}.aside")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        victims.rename(aside)
        with contextlib.suppress(OSError):
            evil.rename(victims)
            time.sleep(seconds)
            victims.rename(evil)
        aside.rename(victims)
    except OSError:
        time.sleep(0.01)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


KINDS = {"plant": plant, "swap": swap, "parent": parent}


def main(kind: str, folder: Path, seed: str) -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    os.umask(0)
    KINDS[kind](folder, random.Random(seed))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
