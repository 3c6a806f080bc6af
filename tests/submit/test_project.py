"""Which files a project consists of, and what of it is frozen, how, and how that is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from planit import Command, PlanError, RunError, SlurmArgs, Step
from planit.job.call import Call, call_of
from planit.record import context, frozen_code
from planit.record.context import Context
from planit.record.frozen_code import CodeUsed
from planit.record.run_dir import RunDir
from planit.submit.freezing import freeze
from planit.submit.project import Freeze, Project, survey
from planit.submit.sources import is_project
from planit.views.code_line import code_line
from tests.helpers import all_below, mode_of, write

ARGS = SlurmArgs("5", "batch")
FILES = ("mine_work.py", "mine_pack/__init__.py", "mine_pack/data.txt", "train.py")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with code and data; nothing else that can be imported is the user's."""
    folder = tmp_path / "project"
    write(folder / "mine_work.py", "def work(): ...")
    write(folder / "mine_pack" / "__init__.py", "")
    write(folder / "mine_pack" / "data.txt", "data")
    write(folder / "train.py", "import mine_pack").chmod(0o755)
    others = [entry for entry in sys.path if not is_project(Path(entry))]
    monkeypatch.setattr(sys, "path", [str(folder), *others])
    monkeypatch.setattr(sys, "modules", {n: m for n, m in sys.modules.items() if _is_installed(m)})
    monkeypatch.chdir(folder)
    yield folder
    sys.modules.pop("mine_work", None)


def _is_installed(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    places = [file] if file else list(getattr(module, "__path__", []))
    return not any(is_project(Path(place)) for place in places)


def git(*words: str) -> str:
    names = ["-c", "user.name=me", "-c", "user.email=me@here"]
    done = subprocess.run(["git", *names, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(*ignored: str) -> str:
    """Make the working directory a repository; its commit."""
    Path(".gitignore").write_text("".join(f"{name}\n" for name in ignored))
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "all")
    return git("rev-parse", "HEAD")


def surveyed(folder: Path, *calls: Call, mode: str = "tree", limit_mb: float = 100) -> Project:
    found = calls or (call_of(Step("a", "mine_work.work", ARGS)),)
    runs = (folder / "planit_runs", folder / "planit_runs" / "p")
    return survey(found, Freeze(mode, limit_mb), runs, Path.cwd())


def names(project: Project) -> list[str]:
    return sorted(project.folders[0].files)


def frozen(folder: Path, run: RunDir | None = None, mode: str = "tree") -> tuple[RunDir, CodeUsed]:
    made = RunDir.create(folder / "planit_runs", "p") if run is None else run
    code = freeze(made, surveyed(folder, mode=mode), 100)
    number = len(list((made.path / "submissions").iterdir())) + 1
    context.write(made.path, number, Context((), code))
    return made, code


def copies(run: RunDir, code: CodeUsed) -> Path:
    return run.path / code.folders[0].place


# Which files


def test_a_folder_without_git_is_all_that_is_in_it_but_for_caches_and_runs(project: Path) -> None:
    for name in (".venv/x.py", "__pycache__/x.pyc", "planit_runs/p/r/log", "mine_pack/x.pyc"):
        write(project / name, "")
    found = surveyed(project)
    assert names(found) == sorted(FILES)
    assert found.git is None
    assert found.folders[0].root == project
    assert found.folders[0].links == {}


def test_in_git_it_is_what_git_tracks_and_what_it_neither_tracks_nor_ignores(
    project: Path,
) -> None:
    (project / "gone.py").touch()
    head = commit("data/", "*.ckpt", "__pycache__")
    (project / "gone.py").unlink()
    write(project / "data" / "large.bin", "x")
    write(project / "mine_pack" / "last.ckpt", "x")
    write(project / "__pycache__" / "x.pyc", "")
    write(project / "new dir" / "näw.py", "")
    write(project / "planit_runs" / "p" / "r" / "log", "")
    (project / "train.py").write_text("changed")
    found = surveyed(project)
    assert names(found) == sorted([*FILES, ".gitignore", "new dir/näw.py"])
    links = {n: str(project / n) for n in ("data", "mine_pack/last.ckpt")}
    assert found.folders[0].links == links
    changed = ["gone.py", "new dir/näw.py", "train.py"]
    assert found.git == {"commit": head, "dirty": True, "changed": changed}


def test_a_repository_is_taken_from_its_root_and_with_its_submodules(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    write(other / "lib.py", "")
    monkeypatch.chdir(other)
    commit()
    monkeypatch.chdir(project)
    commit()
    git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "sub")
    git("commit", "-q", "-m", "sub")
    monkeypatch.chdir(project / "mine_pack")
    found = surveyed(project)
    assert found.folders[0].root == project
    assert {"sub/lib.py", "mine_work.py", "mine_pack/data.txt"} <= set(names(found))


def test_a_project_behind_a_link_is_one_project(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(project)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "link"), *sys.path[1:]])
    monkeypatch.chdir(tmp_path / "link")
    commit()
    found = surveyed(project)
    assert [one.root for one in found.folders if one.whole] == [project]


def test_a_repository_that_is_a_package_is_taken_alone(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "code" / "mine_own"
    write(package / "__init__.py", "def work(): ...")
    write(tmp_path / "code" / "other" / "data.bin", "x")
    monkeypatch.chdir(package)
    commit()
    monkeypatch.chdir(project)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "code"), *sys.path])
    found = surveyed(project, call_of(Step("a", "mine_own.work", ARGS)))
    assert [one.root for one in found.folders if one.whole] == [package]


def test_a_repository_inside_that_git_does_not_know_is_taken_too(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit()
    write(project / "nested" / "lib.py", "")
    monkeypatch.chdir(project / "nested")
    commit()
    monkeypatch.chdir(project)
    assert "nested/lib.py" in names(surveyed(project))


@pytest.mark.parametrize(
    ("command", "is_used"),
    [
        ("python train.py --lr 1", True),
        ("python -m mine_pack", True),
        (["python", "-m", "mine_work"], True),
        ("python -c 'pass'", False),
        ("echo 'an open quote", False),
    ],
)
def test_without_git_a_command_must_name_a_file_of_it(
    project: Path, command: str | list[str], *, is_used: bool
) -> None:
    found = surveyed(project, call_of(Command("c", command, ARGS)))
    assert [one.root for one in found.folders if one.whole] == [project] * is_used


def test_of_other_folders_only_the_sources_are_taken(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "library" / "lib_late.py", "")
    write(tmp_path / "library" / "lib_pack" / "__init__.py", "")
    write(tmp_path / "library" / "notes.txt", "")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "library")])
    first, second = surveyed(project).folders
    assert (first.root, first.whole) == (project, True)
    assert (second.root, second.whole) == (tmp_path / "library", False)
    assert sorted(second.files) == ["lib_late.py", "lib_pack/__init__.py"]


def test_freeze_code_takes_sources_and_freeze_off_nothing(project: Path) -> None:
    head = commit()
    code = surveyed(project, mode="code")
    assert [(one.root, one.whole) for one in code.folders] == [(project, False)]
    assert names(code) == ["mine_pack/__init__.py", "mine_work.py", "train.py"]
    off = surveyed(project, mode="off")
    assert not off.folders
    assert code.git == off.git == {"commit": head, "dirty": False, "changed": []}


def test_too_much_is_refused_and_the_largest_files_are_named(project: Path) -> None:
    write(project / "big.bin", "x" * 3_000_000)
    write(project / "mine_pack" / "weights.pt", "x" * 2_000_000)
    with pytest.raises(PlanError) as caught:
        surveyed(project, limit_mb=4)
    assert caught.value.message.startswith(
        f"the project at {project} has 5.0 MB to freeze, more than freeze_limit_mb=4:"
        " big.bin (3.0 MB), mine_pack/weights.pt (2.0 MB), "
    )
    assert "freeze=code" in str(caught.value.hint)
    assert "freeze_limit_mb=6" in str(caught.value.hint)
    assert names(surveyed(project, limit_mb=6))


@pytest.mark.parametrize(
    ("mode", "limit", "says"),
    [
        ("all", 1, "freeze=all is unknown"),
        ("tree", 0, "freeze_limit_mb must be a number above 0, not 0"),
        ("tree", "1", "freeze_limit_mb must be a number above 0, not '1'"),
        ("tree", float("nan"), "freeze_limit_mb must be a number above 0, not nan"),
    ],
)
def test_odd_wishes_are_refused(mode: str, limit: float, says: str) -> None:
    with pytest.raises(PlanError, match=says):
        Freeze(mode, limit)


# How they are kept


def test_files_are_kept_as_they_are_and_read_only(project: Path) -> None:
    os.utime(project / "train.py", ns=(10**18, 10**18))
    run, code = frozen(project)
    place = copies(run, code)
    assert (place / "mine_pack" / "data.txt").read_text() == "data"
    assert mode_of(place / "mine_work.py") == 0o400
    assert mode_of(place / "train.py") == 0o500
    assert (place / "train.py").stat().st_mtime_ns == 10**18
    assert code.names == ["mine_pack", "mine_work.py", "train.py"]


def test_links_lead_where_they_led(project: Path, tmp_path: Path) -> None:
    write(tmp_path / "outside.txt", "outside")
    (project / "inner.py").symlink_to("mine_work.py")
    (project / "outer.txt").symlink_to("../outside.txt")
    (project / "broken").symlink_to("/nowhere")
    (project / "folder").symlink_to("mine_pack")
    run, code = frozen(project)
    place = copies(run, code)
    assert (place / "inner.py").readlink() == Path("mine_work.py")
    assert (place / "outer.txt").read_text() == "outside"
    assert (place / "broken").readlink() == Path("/nowhere")
    assert (place / "folder" / "data.txt").read_text() == "data"


def test_what_git_ignores_is_found_beside_the_code(project: Path) -> None:
    commit("data/")
    write(project / "data" / "a.csv", "1")
    run, code = frozen(project)
    assert (copies(run, code) / "data" / "a.csv").read_text() == "1"
    assert "data" in code.names


def test_runs_share_the_same_files_and_others_are_copied(project: Path) -> None:
    first, old = frozen(project)
    write(project / "train.py", "changed")
    second, new = frozen(project)
    shared = [copies(first, old) / "mine_work.py", copies(second, new) / "mine_work.py"]
    assert shared[0].samefile(shared[1])
    assert (copies(first, old) / "train.py").read_text() == "import mine_pack"
    assert (copies(second, new) / "train.py").read_text() == "changed"
    assert old.name != new.name


def test_plans_share_them_too(project: Path) -> None:
    first, old = frozen(project)
    other = RunDir.create(project / "planit_runs", "another plan")
    second, new = frozen(project, other)
    shared = [copies(first, old) / "train.py", copies(second, new) / "train.py"]
    assert shared[0].samefile(shared[1])


def test_a_file_that_is_as_it_was_is_not_read_again(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen(project)
    monkeypatch.setattr(time, "time", lambda: 4e9)  # the second run knows the times to be past
    frozen(project)
    read = []
    real = Path.read_bytes

    def noted(path: Path) -> bytes:
        read.extend([path.name] * (path.parent == project))
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", noted)
    write(project / "train.py", "changed!")
    run, code = frozen(project)
    assert read == ["train.py"]
    assert (copies(run, code) / "train.py").read_text() == "changed!"


@pytest.mark.parametrize("change", ["content", "mode", "link"])
def test_what_an_earlier_run_no_longer_has_as_it_was_is_copied(project: Path, change: str) -> None:
    first, old = frozen(project)
    spoiled = copies(first, old) / "train.py"
    if change == "mode":
        spoiled.chmod(0o666)
    else:
        spoiled.unlink()
        write(spoiled, "import spoiled!!")
        spoiled.chmod(0o500)
    if change == "link":
        spoiled.unlink()
        spoiled.symlink_to(project / "mine_work.py")
    second, new = frozen(project)
    kept = copies(second, new) / "train.py"
    assert kept.read_text() == "import mine_pack"
    assert not kept.is_symlink()
    assert mode_of(kept) == 0o500


def test_a_run_for_the_group_can_be_read_by_it(project: Path) -> None:
    frozen(project)
    shared = RunDir.create(project / "planit_runs", "p", "group")
    run, code = frozen(project, shared)
    assert mode_of(copies(run, code) / "mine_work.py") == 0o440
    assert mode_of(copies(run, code) / "train.py") == 0o550


def test_a_second_submission_of_the_same_code_takes_no_second_copy(project: Path) -> None:
    run, first = frozen(project)
    before = all_below(run.path / "code")
    assert frozen(project, run)[1].name == first.name
    assert all_below(run.path / "code") == before
    write(project / "train.py", "changed")
    assert frozen(project, run)[1].name != first.name


def test_commit_and_diff_are_in_the_record(project: Path) -> None:
    head = commit()
    (project / "train.py").write_text("import sys")
    run, code = frozen(project)
    assert code.name is not None
    diff = frozen_code.diff_path(run.path, code.name).read_text()
    assert "-import mine_pack" in diff
    assert "+import sys" in diff
    kept = frozen_code.read(run.path, code.name)
    assert kept is not None
    assert kept.git is not None
    assert (kept.git["commit"], kept.git["changed"]) == (head, ["train.py"])


def test_a_full_file_system_is_told_and_nothing_half_done_is_left(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDir.create(project / "planit_runs", "p")

    def full(*_words: object, **_named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "utime", full)
    with pytest.raises(RunError, match="No space left on device"):
        frozen(project, run)
    assert all_below(run.path / "code") == []


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"mode": 1, "folders": [3]}', '{"files": 3}', "wrong types"]
)
def test_a_damaged_index_is_no_reason_to_fail(project: Path, content: str) -> None:
    first, code = frozen(project)
    assert code.name is not None
    index = frozen_code.index_path(first.path, code.name)
    if content == "wrong types":
        found = json.loads(index.read_text())
        found["files"][0]["train.py"][2] = "large"
        content = json.dumps(found)
    index.write_text(content)
    second, again = frozen(project)
    assert (copies(second, again) / "train.py").read_text() == "import mine_pack"
    assert frozen_code.read(first.path, code.name) is None


# How it is told


def test_the_line_names_commit_changes_and_size(project: Path) -> None:
    head = commit("planit_runs/")
    run, _ = frozen(project)
    assert code_line(run.path, 1) == f"code: frozen at {head[:7]}, 0.0 MB"
    (project / "train.py").write_text("x" * 1_200_000)
    write(project / "new.py", "")
    run, _ = frozen(project)
    assert code_line(run.path, 1) == f"code: frozen at {head[:7]} + 2 changed files, 1.2 MB"


def test_the_line_without_git_and_for_the_other_modes(project: Path) -> None:
    run, _ = frozen(project)
    assert code_line(run.path, 1) == f"code: frozen, 4 files of {project}, 0.0 MB"
    run, _ = frozen(project, mode="code")
    assert code_line(run.path, 1) == "code: frozen, 3 Python sources, 0.0 MB"
    run, _ = frozen(project, mode="off")
    assert code_line(run.path, 1).startswith("code: not frozen (freeze=off)")


def test_the_line_of_a_resume_says_what_has_changed_since(project: Path) -> None:
    run, _ = frozen(project)
    frozen(project, run)
    assert code_line(run.path, 2).endswith("; as in submission 1")
    write(project / "train.py", "fixed")
    write(project / "new.py", "")
    (project / "mine_pack" / "data.txt").unlink()
    frozen(project, run)
    assert code_line(run.path, 3).endswith(
        "; since submission 2: 1 file changed (train.py), 1 file added (new.py),"
        " 1 file removed (mine_pack/data.txt)"
    )
