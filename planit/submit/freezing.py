"""Keeps the files of a project in a run: the jobs run them as they were.

What an earlier run holds already is linked, not copied; a file whose size and times are those of
then is not even read, as git does it. A link costs one operation of the file system, so several
are under way at a time: on a network file system each takes a millisecond or more.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from planit.record import frozen_code
from planit.record.files import is_shared, make_dir, told_of, write_new
from planit.record.frozen_code import CodeUsed, FrozenCode, FrozenFile, FrozenFolder
from planit.record.run_dir import RunDir
from planit.submit.project import Folder, Project

_MAX_EARLIER = 5  # runs that are asked for the same files
_AT_ONCE = 8
_CLOCK_NS = 2 * 10**9  # a change within this time of being read may not show in a file's times
_PRIVATE, _GROUP = stat.S_IRUSR, stat.S_IRUSR | stat.S_IRGRP


def freeze(run: RunDir, project: Project, limit_mb: float) -> CodeUsed:
    """Keep the project's files in the run.

    Raises:
        RunError: the file system is full, read-only or broken.
    """
    if not project.folders:
        return CodeUsed(project.mode, limit_mb)
    store = run.path / frozen_code.FOLDER / f".{secrets.token_hex(4)}"
    make_dir(store)
    try:
        code = _Freezing(run, store, project).done()
        if frozen_code.index_path(run.path, code.name).exists():  # of an earlier submission
            shutil.rmtree(store)
        else:
            with told_of(store):
                os.rename(store, run.path / frozen_code.place_of(code.name))
            _write_down(run, project, code)
    except BaseException:
        shutil.rmtree(store, ignore_errors=True)
        raise
    first = project.folders[0]
    names = {path.partition("/")[0] for path in (*first.files, *first.links)} if first.whole else ()
    return CodeUsed(project.mode, limit_mb, code.name, code.folders, sorted(names))


def _write_down(run: RunDir, project: Project, code: FrozenCode) -> None:
    repository = project.folders[0].repository
    if repository is not None and (diff := repository.diff()):
        path = frozen_code.diff_path(run.path, code.name)
        with suppress(FileExistsError):
            write_new(path, os.fsencode(diff))
    write_new(frozen_code.index_path(run.path, code.name), code.to_json())


@dataclass
class _Freezing:
    """Fills one folder with the project's files.

    Attributes:
        store: the folder.
        mode: of the files.
        by_content: frozen files of earlier runs, by digest and kind.
    """

    run: RunDir
    store: Path
    project: Project
    mode: int = _PRIVATE
    by_content: dict[tuple[str, str], tuple[Path, FrozenFile]] = field(default_factory=dict)

    def done(self) -> FrozenCode:
        self.mode = _GROUP if is_shared(self.run.path) else _PRIVATE
        self.earlier = _earlier(self.run)
        for place, _, kept in self._kept_earlier():
            for path, one in kept.items():
                self.by_content.setdefault((one.digest, one.kind), (place / path, one))
        places = _place_names(self.project.folders)
        files = [
            self._fill(folder, self.store / place)
            for folder, place in zip(self.project.folders, places, strict=True)
        ]
        name = _name_of(self.project, files)
        folders = [
            FrozenFolder(str(folder.root), frozen_code.place_of(name, place), folder.whole)
            for folder, place in zip(self.project.folders, places, strict=True)
        ]
        git = None if self.project.git is None else dict(self.project.git)
        return FrozenCode(name, self.project.mode, folders, files, git, time.time())

    def _fill(self, folder: Folder, place: Path) -> Mapping[str, FrozenFile]:
        make_dir(place)
        names = {os.path.dirname(path) for path in (*folder.files, *folder.links)} - {""}
        for name in sorted(names):
            make_dir(place / name)
        known = self._known(folder)
        with told_of(place), ThreadPoolExecutor(_AT_ONCE) as pool:
            listed = list(folder.files.items())

            def keep(part: int) -> list[tuple[str, FrozenFile | None]]:
                return [
                    (path, self._keep(folder, place, path, info, known.get(path)))
                    for path, info in listed[part::_AT_ONCE]
                ]

            kept = dict(one for part in pool.map(keep, range(_AT_ONCE)) for one in part)
            files = {path: one for path in folder.files if (one := kept[path]) is not None}
            for name, target in folder.links.items():
                os.symlink(target, place / name)
        return files

    def _known(self, folder: Folder) -> Mapping[str, FrozenFile]:
        """Files of an earlier run that are surely as they were then."""
        for _, root, files in self._kept_earlier():
            if root == str(folder.root) and self.earlier is not None:
                before = self.earlier[1].written * 10**9 - _CLOCK_NS
                return {path: one for path, one in files.items() if max(one.stamp[:2]) < before}
        return {}

    def _kept_earlier(self) -> Iterator[tuple[Path, str, Mapping[str, FrozenFile]]]:
        """Of each folder of the earlier run: where it is frozen, where it was, and its files."""
        if self.earlier is not None:
            run_path, code = self.earlier
            for folder, files in zip(code.folders, code.files, strict=False):
                yield run_path / folder.place, folder.root, files

    def _mode_of(self, kind: str) -> int:
        """The mode of a frozen file: whoever may read it may execute it, if anybody may."""
        return self.mode | (self.mode >> 2 if kind else 0)

    def _keep(
        self, folder: Folder, place: Path, name: str, info: os.stat_result, known: FrozenFile | None
    ) -> FrozenFile | None:
        """Freeze one file; None if it has gone meanwhile, or is no file, such as a socket."""
        path, copy = folder.root / name, place / name
        if stat.S_ISLNK(info.st_mode):
            return _copy_link(path, copy, folder.root)
        if not stat.S_ISREG(info.st_mode):
            return None
        stamp = (info.st_mtime_ns, info.st_ctime_ns, info.st_ino)
        kind = "x" if info.st_mode & stat.S_IXUSR else ""
        as_before = (stamp, info.st_size, kind)
        if known is not None and (known.stamp, known.size, known.kind) == as_before:
            changed = self._linked(copy, known.digest, kind)
            if changed is not None:
                return replace(known, changed_ns=changed)
        try:
            content = path.read_bytes()
        except (FileNotFoundError, PermissionError):
            return None
        digest = hashlib.sha256(content).hexdigest()[:40]
        changed = self._linked(copy, digest, kind)
        if changed is None:
            mode = self._mode_of(kind)
            changed = info.st_mtime_ns
            handle = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            with os.fdopen(handle, "wb") as file:
                os.fchmod(handle, mode)
                file.write(content)
                file.flush()
                os.utime(handle, ns=(changed, changed))
        return FrozenFile(digest, kind, len(content), changed, stamp)

    def _linked(self, copy: Path, digest: str, kind: str) -> int | None:
        """Link a copy to that of an earlier run, if that is as it was; when it was changed."""
        if (digest, kind) not in self.by_content:
            return None
        there, one = self.by_content[digest, kind]
        with suppress(OSError):
            info = there.lstat()
            same = (
                stat.S_ISREG(info.st_mode)
                and stat.S_IMODE(info.st_mode) == self._mode_of(kind)
                and info.st_uid == os.geteuid()
                and (info.st_size, info.st_mtime_ns) == (one.size, one.changed_ns)
            )
            if same:
                os.link(there, copy, follow_symlinks=False)
                return one.changed_ns
        return None


def _copy_link(path: Path, copy: Path, root: Path) -> FrozenFile | None:
    """A link to a file of the project leads to its copy; any other leads where it led."""
    try:
        target = os.readlink(path)
        leads_to = os.path.normpath(path.parent / target)
        inside = not os.path.isabs(target) and Path(leads_to).is_relative_to(root)
        target = target if inside else leads_to
        os.symlink(target, copy)
    except FileNotFoundError:
        return None
    digest = hashlib.sha256(os.fsencode(target)).hexdigest()[:40]
    return FrozenFile(digest, "l", len(target), 0, (0, 0, 0))


def _earlier(run: RunDir) -> tuple[Path, FrozenCode] | None:
    """What was frozen last: by this run, or another one of the plan, or one of another plan."""
    own = frozen_code.newest(run.path)
    if own is not None:
        return run.path, own
    plans = [run.path.parent, *_newest_of(run.path.parents[1], _MAX_EARLIER)]
    for plan in dict.fromkeys(plans):
        for path in _newest_of(plan, _MAX_EARLIER):
            code = frozen_code.newest(path) if path != run.path else None
            if code is not None:
                return path, code
    return None


def _newest_of(folder: Path, count: int) -> list[Path]:
    """Those entries of a folder of runs whose names are last, for runs sort by time."""
    with suppress(OSError):
        return [folder / name for name in sorted(os.listdir(folder), reverse=True)[:count]]
    return []


def _place_names(folders: Iterable[Folder]) -> list[str]:
    """A folder's own name, with a number where another one has it too."""
    names: list[str] = []
    for folder in folders:
        own = folder.root.name or "root"
        names.append(own if own not in names else f"{own}.{len(names)}")
    return names


def _name_of(project: Project, files: Sequence[Mapping[str, FrozenFile]]) -> str:
    digest = hashlib.sha256(project.mode.encode())
    for folder, there in zip(project.folders, files, strict=True):
        digest.update(
            os.fsencode(f"\0{folder.root}\0{folder.whole}\0{sorted(folder.links.items())}")
        )
        for path, one in sorted(there.items()):
            digest.update(os.fsencode(f"\0{path}\0{one.digest}\0{one.kind}"))
    return digest.hexdigest()[:20]
