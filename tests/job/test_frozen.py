"""The frozen code: what a step and its children run is what was there at submission."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planit import RunError
from planit.job import frozen
from planit.job.interpreter import sitecustomize
from planit.record import trust
from planit.record.frozen_code import CodeUsed, FrozenFolder
from planit.record.run_dir import RunDir
from tests.helpers import Done, run_python, write

MODES = pytest.mark.parametrize("whole", [True, False], ids=["tree", "code"])
NAMES = ("mine_main", "mine_pack", "mine_pack.inner.deep", "mine_space.part")
SHOW = (
    "import sys, importlib\n"
    "for name in sys.argv[1:]:\n"
    "    module = importlib.import_module(name)\n"
    "    print(name, module.VALUE, module.__file__)\n"
)


class Frozen:
    """A project and its frozen copy, made by hand; after that the project is edited."""

    def __init__(self, folder: Path, *, whole: bool) -> None:
        self.project = folder / "project"
        for name, text in {
            "mine_main.py": "VALUE = 'old'",
            "mine_pack/__init__.py": "VALUE = 'old'",
            "mine_pack/__main__.py": f"from mine_pack.inner.deep import *\n{SHOW}",
            "mine_pack/inner/__init__.py": "",
            "mine_pack/inner/deep.py": "from .. import VALUE as v; VALUE = v + '!'",
            "mine_space/part.py": "VALUE = 'old'",
            "train.py": f"import mine_main\nprint('train', __file__)\n{SHOW}",
        }.items():
            write(self.project / name, text)
        self.run = RunDir.create(folder / "runs", "p")
        self.code = CodeUsed(
            "tree", 100, "c", [FrozenFolder(str(self.project), "code/c/project", whole)]
        )
        self.copy = self.run.path / "code" / "c" / "project"
        shutil.copytree(self.project, self.copy)
        for place in (self.copy.parents[1], self.copy.parent, *self.copy.rglob("*")):
            place.chmod(0o700 if place.is_dir() else 0o600)

    def edit(self) -> None:
        for path in self.project.rglob("*.py"):
            path.write_text("VALUE = 'new'")
        write(self.project / "mine_added.py", "VALUE = 'added'")

    def listed(self) -> str:
        return json.dumps([[str(self.project), str(self.copy), self.code.folders[0].whole]])

    def python(self, *words: str, **env: str) -> Done:
        """What a Python prints that a step of the run starts."""
        path = os.pathsep.join([str(Path(sitecustomize.__file__).parent), str(self.project)])
        env = {"PYTHONPATH": path, sitecustomize.CODE: self.listed(), **env}
        return run_python(*words, cwd=self.project, env=env)


@MODES
@pytest.mark.parametrize("change", ["edited", "removed"])
def test_modules_are_as_they_were(tmp_path: Path, change: str, *, whole: bool) -> None:
    project = Frozen(tmp_path, whole=whole)
    if change == "edited":
        project.edit()
    else:
        shutil.rmtree(project.project)
        project.project.mkdir()
    done = project.python("-c", SHOW, *NAMES)
    assert done.err == ""
    where = project.copy if whole else project.project
    assert done.out.splitlines() == [
        f"mine_main old {where}/mine_main.py",
        f"mine_pack old {where}/mine_pack/__init__.py",
        f"mine_pack.inner.deep old! {where}/mine_pack/inner/deep.py",
        f"mine_space.part old {where}/mine_space/part.py",
    ]


def test_a_module_that_was_added_since_is_not_there(tmp_path: Path) -> None:
    project = Frozen(tmp_path, whole=True)
    project.edit()
    done = project.python("-c", SHOW, "mine_added")
    assert "No module named 'mine_added'" in done.err
    beside = Frozen(tmp_path / "sources", whole=False)
    beside.edit()
    assert beside.python("-c", SHOW, "mine_added").out.startswith("mine_added added ")


@pytest.mark.parametrize(
    "words",
    [
        ("train.py", "mine_main"),
        ("-u", "train.py", "mine_main"),
        ("-W", "ignore", "-Xutf8", "./train.py", "mine_main"),
        ("-m", "mine_pack", "mine_main"),
        ("-um", "mine_pack", "mine_main"),
    ],
    ids=" ".join,
)
def test_scripts_and_modules_are_run_as_they_were(tmp_path: Path, words: tuple[str, ...]) -> None:
    project = Frozen(tmp_path, whole=True)
    project.edit()
    done = project.python(*words)
    assert done.err == ""
    assert done.out.splitlines()[-1] == f"mine_main old {project.copy}/mine_main.py"


def test_a_script_starts_scripts_as_they_were(tmp_path: Path) -> None:
    project = Frozen(tmp_path, whole=True)
    starts = "import subprocess, sys; subprocess.run([sys.executable, 'train.py', 'mine_main'])"
    write(project.copy / "outer.py", starts)
    write(project.project / "outer.py", "raise SystemExit('new')")
    project.edit()
    done = project.python("outer.py")
    assert done.out.splitlines()[-1] == f"mine_main old {project.copy}/mine_main.py"


def test_what_is_not_the_projects_runs_as_it_is(tmp_path: Path) -> None:
    project = Frozen(tmp_path, whole=True)
    other = write(tmp_path / "other.py", "print(__file__)")
    assert project.python(str(other)).out == f"{other}\n"
    assert project.python("-c", "import json; print(json.__file__)").out.startswith(sys.base_prefix)


def test_an_import_hook_that_knows_a_package_by_its_place_gets_the_frozen_one(
    tmp_path: Path,
) -> None:
    """As the hooks of editable installs do; nothing of the project is on the search path."""
    project = Frozen(tmp_path, whole=True)
    hook = (
        "import sys, importlib.util\n"
        "class Hook:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'mine_pack':\n"
        "            init = sys.argv[1] + '/mine_pack/__init__.py'\n"
        "            return importlib.util.spec_from_file_location(name, init)\n"
        "sys.meta_path.append(Hook())\n"
        "import mine_pack.inner.deep as deep\n"
        "print(deep.VALUE, deep.__file__)\n"
    )
    project.edit()
    path = str(Path(sitecustomize.__file__).parent)
    done = project.python("-P", "-c", hook, str(project.project), PYTHONPATH=path)
    assert done.out == f"old! {project.copy}/mine_pack/inner/deep.py\n"


def test_many_imports_cost_one_look_each_and_not_one_for_each_folder_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Frozen(tmp_path, whole=True)
    deep = write(project.project / "venv/lib/python3/site-packages/pack/m0.py", "").parent
    other = write(tmp_path / "other" / "a" / "b" / "c" / "d" / "m0.py", "").parent
    looks: list[str] = []

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def look(path: str, **more: Any) -> Any:
            looks.append(path)
            return real(path, **more)

        return look

    for name in ("stat", "lstat"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    folders = sitecustomize.FrozenFolders(json.loads(project.listed()))
    for folder in (deep, other):
        looks.clear()
        assert {folders.find(str(folder / f"m{i}.py")) for i in range(50)} == {None}
        assert len(looks) < 50 + 20
    looks.clear()
    assert folders.find(str(project.project / "mine_main.py")) == (
        f"{project.copy}/mine_main.py",
        True,
    )
    assert len(looks) < 5


def test_a_link_to_the_project_is_the_project_and_what_comes_later_is_found(tmp_path: Path) -> None:
    project = Frozen(tmp_path, whole=True)
    (tmp_path / "link").symlink_to(project.project)
    (tmp_path / "one.py").symlink_to(project.project / "mine_main.py")
    folders = sitecustomize.FrozenFolders(json.loads(project.listed()))
    copy = (f"{project.copy}/mine_main.py", True)
    assert folders.find(str(tmp_path / "link" / "mine_main.py")) == copy
    assert folders.find(str(tmp_path / "one.py")) == copy
    assert folders.find(str(project.project / "later" / "x.py")) is None
    write(project.copy / "later" / "x.py", "")
    folders.forget()
    assert folders.find(str(project.project / "later" / "x.py")) is not None
    assert folders.find("/") is None


def test_a_site_has_its_own_module_of_that_name(tmp_path: Path) -> None:
    project = Frozen(tmp_path, whole=True)
    write(tmp_path / "site" / "sitecustomize.py", "print('of the site')")
    path = os.pathsep.join([str(Path(sitecustomize.__file__).parent), str(tmp_path / "site")])
    assert project.python("-c", "", PYTHONPATH=path).out == "of the site\n"


def test_children_are_told_by_their_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Frozen(tmp_path, whole=True)
    monkeypatch.setenv("PYTHONPATH", "/mine")
    monkeypatch.setenv(frozen.CODE_DIR, "of another run")
    listed = [tuple(folder) for folder in json.loads(project.listed())]
    frozen.for_children(listed)
    frozen.for_children(listed)
    interpreter = str(Path(sitecustomize.__file__).parent)
    assert os.environ["PYTHONPATH"].split(os.pathsep) == [interpreter, "/mine"]
    assert os.environ[frozen.CODE_DIR] == str(project.copy)
    assert os.environ[sitecustomize.CODE] == project.listed()
    frozen.for_children([])
    assert os.environ["PYTHONPATH"] == "/mine"
    assert not {frozen.CODE_DIR, sitecustomize.CODE} & set(os.environ)


def test_code_that_others_could_have_written_is_refused(tmp_path: Path) -> None:
    project = Frozen(tmp_path, whole=True)
    project.copy.parent.chmod(0o777)
    with trust.opened(project.run.path) as run, pytest.raises(RunError, match="written by others"):
        frozen.use(run, project.code)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("bash", "run.sh", "data.csv"), ("bash", "{}/run.sh", "data.csv")),
        (("./tool",), ("{}/tool",)),
        (("tool",), ("tool",)),  # a program of PATH
        (("python", "train.py"), ("python", "train.py")),  # Python sees to it
        ("bash run.sh && ./tool x > run.log", "bash {}/run.sh && {}/tool x > run.log"),
        ("(./run.sh; ./tool)|cat", "({}/run.sh; {}/tool)|cat"),
        ("cd below && bash run.sh", "cd below && bash run.sh"),
        ('bash "run.sh" $X/run.sh', 'bash "run.sh" $X/run.sh'),
        ("bash missing.sh ./data.csv", "bash missing.sh ./data.csv"),
        ("echo ls > run.sh && bash run.sh", "echo ls > run.sh && bash run.sh"),
        ("cat ./data.csv ./tool", "cat ./data.csv {}/tool"),
    ],
)
def test_scripts_that_a_command_names_are_the_frozen_ones(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str | tuple[str, ...],
    expected: str | tuple[str, ...],
) -> None:
    project = Frozen(tmp_path, whole=True)
    for folder in (project.project, project.copy):
        for name in ("run.sh", "tool"):
            write(folder / name, "#!/bin/sh\n").chmod(0o700)
        write(folder / "data.csv", "1,2").chmod(0o700)  # as on a drive without such rights
    monkeypatch.setenv(sitecustomize.CODE, project.listed())
    monkeypatch.chdir(project.project)
    filled = (
        expected.replace("{}", str(project.copy))
        if isinstance(expected, str)
        else tuple(word.replace("{}", str(project.copy)) for word in expected)
    )
    assert frozen.frozen_command(command, None) == filled
    monkeypatch.chdir(tmp_path)
    assert frozen.frozen_command(command, "project") == filled
    monkeypatch.delenv(sitecustomize.CODE)
    assert frozen.frozen_command(command, "project") == command


def test_what_is_written_beside_the_frozen_code_is_told(tmp_path: Path) -> None:
    project = Frozen(tmp_path, whole=True)
    names = sorted(path.name for path in project.copy.iterdir())
    code = CodeUsed("tree", 100, "c", project.code.folders, names)
    with trust.opened(project.run.path) as run:
        assert frozen.new_beside(run, code) == ""
        (project.copy / "__pycache__").mkdir()
        assert frozen.new_beside(run, code) == ""
        (project.copy / "results").mkdir()
        line = frozen.new_beside(run, code)
    assert line.startswith(f"results: written beside the frozen code, in {project.copy}. ")
    assert str(project.project) in line


def test_a_path_with_spaces_is_quoted_or_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Frozen(tmp_path / "my runs", whole=True)
    for folder in (project.project, project.copy):
        write(folder / "run.sh", "")
    monkeypatch.setenv(sitecustomize.CODE, project.listed())
    monkeypatch.chdir(project.project)
    assert frozen.frozen_command("bash run.sh", None) == f"bash '{project.copy}/run.sh'"
    assert frozen.frozen_command('sh -c "bash run.sh x"', None) == 'sh -c "bash run.sh x"'


def test_a_commands_own_python_path_hides_no_frozen_code(tmp_path: Path) -> None:
    project = Frozen(tmp_path, whole=True)
    interpreter = str(Path(sitecustomize.__file__).parent)
    outer = {"PYTHONPATH": interpreter, sitecustomize.CODE: project.listed(), "A": "1"}
    merged = frozen.with_own_path(outer, {"PYTHONPATH": "src", "B": "2"})
    assert merged["PYTHONPATH"] == f"{interpreter}{os.pathsep}src"
    assert (merged["A"], merged["B"]) == ("1", "2")
    assert frozen.with_own_path({}, {"PYTHONPATH": "src"})["PYTHONPATH"] == "src"
