"""The line that says which code the jobs of a submission run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from planit.record import context, frozen_code
from planit.record.frozen_code import FrozenCode, FrozenFile, in_mb

_SHOWN = 3


def code_line(run_path: Path, submission: int) -> str:
    """For instance ``code: frozen at abc1234 + 3 changed files, 1.2 MB``.

    Behind that, for a resume, what has changed since the submission before it.
    """
    used = context.read(run_path, submission).code
    if used.mode == "off":
        return "code: not frozen (freeze=off): jobs run what is there when they start"
    code = frozen_code.read(run_path, used.name) if used.name else None
    if code is None:
        return "code: nothing frozen: no step's function or command is a file of a project"
    before = context.read(run_path, submission - 1).code.name if submission > 1 else None
    return f"code: {_frozen(code)}{_since(run_path, code, before, submission - 1)}"


def _frozen(code: FrozenCode) -> str:
    size = sum(one.size for there in code.files for one in there.values())
    first, *others = zip(code.folders, (len(files) for files in code.files), strict=True)
    elsewhere = sum(count for _, count in others)
    parts = []
    if not first[0].whole:
        elsewhere += first[1]
        parts.append(f"frozen, {_count(elsewhere, 'Python source')}")
    else:
        if code.git is None:
            parts.append(f"frozen, {_count(first[1], 'file')} of {first[0].root}")
        else:
            parts.append(f"frozen at {str(code.git.get('commit'))[:7]}")
            changed = len(code.git.get("changed", ()))
            parts += [_count(changed, "changed file")] if changed else []
        parts += [f"{_count(elsewhere, 'file')} elsewhere"] if elsewhere else []
    return f"{' + '.join(parts)}, {in_mb(size)}"


def _since(run_path: Path, code: FrozenCode, before: str | None, submission: int) -> str:
    if before is None:
        return ""
    if before == code.name:
        return f"; as in submission {submission}"
    old = frozen_code.read(run_path, before)
    if old is None:
        return ""
    parts = [
        f"{_count(len(names), 'file')} {verb} ({_named(names)})"
        for verb, names in _differences(_contents(old), _contents(code)).items()
        if names
    ]
    return f"; since submission {submission}: {', '.join(parts)}" if parts else ""


def _contents(code: FrozenCode) -> Mapping[str, FrozenFile]:
    return {
        (path if folder is code.folders[0] else f"{folder.root}/{path}"): one
        for folder, files in zip(code.folders, code.files, strict=False)
        for path, one in files.items()
    }


def _differences(
    old: Mapping[str, FrozenFile], new: Mapping[str, FrozenFile]
) -> dict[str, list[str]]:
    both = old.keys() & new.keys()
    is_changed = {p for p in both if (old[p].digest, old[p].kind) != (new[p].digest, new[p].kind)}
    return {
        "changed": sorted(is_changed),
        "added": sorted(new.keys() - old.keys()),
        "removed": sorted(old.keys() - new.keys()),
    }


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
