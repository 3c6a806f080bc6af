"""The frozen sources: what a job imports is what was there at submission."""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from planit import RunError
from planit.job.code import install_snapshot, take_snapshot
from planit.record import trust
from planit.record.run_dir import RunDir
from tests.helpers import HERE, run_python, write

IMPORT = """
import sys
from pathlib import Path
from planit.job.code import install_snapshot
from planit.record import trust
run, archive, project, *names = sys.argv[1:]
sys.path.append(project)
install_snapshot(trust.opened(Path(run)), archive)
import importlib
for name in names:
    module = importlib.import_module(name)
    print(name, module.VALUE, module.__file__)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Modules and a package, of which nothing is imported yet; nothing else can be edited."""
    folder = tmp_path / "project"
    write(folder / "planit_main.py", "VALUE = 'old'")
    write(folder / "planit_late.py", "VALUE = 'old late'")
    write(folder / "planit_pack" / "__init__.py", "VALUE = 'old pack'")
    write(folder / "planit_pack" / "inner" / "__init__.py", "VALUE = 'old inner'")
    write(
        folder / "planit_pack" / "inner" / "deep.py", "from .. import VALUE as v; VALUE = v + '!'"
    )
    write(folder / "notes.txt", "not a source")
    write(folder / ".venv" / "lib" / "other.py", "VALUE = 1")
    here = {str(Path(entry).resolve()) for entry in HERE.split(":")}
    monkeypatch.setattr(
        sys, "path", [str(folder), *(e for e in sys.path if str(Path(e).resolve()) not in here)]
    )
    return folder


def frozen(run: RunDir) -> str:
    name = take_snapshot(run.code, ["planit_main"])
    assert name is not None
    return name


def imported(run: RunDir, archive: str, project: Path, *names: str) -> list[str]:
    done = run_python("-c", IMPORT, str(run.path), archive, str(project), *names, cwd=run.path)
    return done.out.splitlines() if done.code == 0 else [done.err.splitlines()[-1]]


NAMES = ("planit_main", "planit_late", "planit_pack", "planit_pack.inner.deep")


@pytest.mark.parametrize("change", ["edited", "removed"])
def test_modules_are_as_they_were_also_those_that_are_imported_late(
    tmp_path: Path, project: Path, change: str
) -> None:
    run = RunDir.create(tmp_path / "runs", "p")
    archive = frozen(run)
    if change == "removed":
        shutil.rmtree(project)
        project.mkdir()
    else:
        for path in project.rglob("*.py"):
            path.write_text("VALUE = 'new'")
    values = ("old", "old late", "old pack", "old pack!")
    assert imported(run, archive, project, *NAMES) == [
        f"{name} {value} {project}/{file}"
        for name, value, file in zip(
            NAMES,
            values,
            ("planit_main.py", "planit_late.py", "planit_pack/__init__.py",
             "planit_pack/inner/deep.py"),
            strict=True,
        )
    ]  # fmt: skip


def test_what_is_not_the_projects_is_imported_from_where_it_is(
    tmp_path: Path, project: Path
) -> None:
    run = RunDir.create(tmp_path / "runs", "p")
    archive = frozen(run)
    with zipfile.ZipFile(run.code / archive) as kept:
        names = [name for name in kept.namelist() if "/project/" in name]
        assert not [name for name in kept.namelist() if "site-packages" in name]
    assert sorted(Path(name).name for name in names) == sorted(
        ["planit_main.py", "planit_late.py", "__init__.py", "__init__.py", "deep.py"]
    )
    write(project / "planit_new.py", "VALUE = 'new'")
    assert imported(run, archive, project, "planit_new")[0].startswith("planit_new new ")


def test_runs_of_the_same_code_share_one_file_and_others_do_not(
    tmp_path: Path, project: Path
) -> None:
    runs = [RunDir.create(tmp_path / "runs", "p") for _ in range(3)]
    first, second = frozen(runs[0]), frozen(runs[1])
    assert first == second
    assert (runs[0].code / first).samefile(runs[1].code / second)
    write(project / "planit_main.py", "VALUE = 'newer'")
    third = frozen(runs[2])
    assert third != first
    assert (runs[2].code / third).stat().st_nlink == 1


def test_archive_with_other_content_under_the_same_name_is_not_taken(
    tmp_path: Path, project: Path
) -> None:
    one, two = (RunDir.create(tmp_path / "runs", "p") for _ in range(2))
    name = frozen(one)
    (one.code / name).write_bytes(b"foreign")
    assert frozen(two) == name
    assert not (two.code / name).samefile(one.code / name)
    assert imported(two, name, project, "planit_main")[0].startswith("planit_main old ")


def test_archive_that_others_could_have_written_is_refused(tmp_path: Path, project: Path) -> None:
    run = RunDir.create(tmp_path / "runs", "p")
    name = frozen(run)
    (run.code / name).chmod(0o666)
    with trust.opened(run.path) as opened, pytest.raises(RunError, match="written by others"):
        install_snapshot(opened, name)


def test_without_sources_of_the_project_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "modules", {})
    run = RunDir.create(tmp_path / "runs", "p")
    assert take_snapshot(run.code, []) is None
    assert not run.code.exists()
