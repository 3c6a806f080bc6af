"""A Hydra program: where it is, how it is started, and what a step of a plan gives to it."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from planit.errors import PlanError, suggest
from planit.job import frozen
from planit.nodes.functions import resolve


@dataclass(frozen=True)
class HydraProgram:
    """A program with ``@hydra.main``.

    Attributes:
        name: as the plan names it: the dotted path of the function, or the script's path.
        file: where it is.
        root: the folder that Python imports it from; a script's own.
        is_script: whether it is a script.
    """

    name: str
    file: str
    root: str
    is_script: bool

    def start(self, words: Sequence[str]) -> None:
        """Run it in this process, as the command line ``python FILE WORDS`` would.

        A script's module is ``__main__`` from then on. Of a function that is imported only the
        module's own lines run, and then the function.

        Raises:
            PlanError: the function cannot be imported, or ``@hydra.main`` did not make it.
        """
        from planit.job.hydra.internals import is_decorated

        if self.is_script:
            _run_script(self.file, words)
            return
        sys.argv = [self.file, *words]
        function = resolve(self.name)
        if not is_decorated(function):
            raise PlanError(
                f"{self.name} is not decorated with @hydra.main",
                hint="a step that calls a plain function is a planit.Step",
            )
        function()

    def as_script(self) -> None:
        """Let Hydra go by the function's file, as if that was run, and not by its module.

        Only so it finds a ``config_path`` that is not a package.
        """
        if not self.is_script:
            function: Any = inspect.unwrap(resolve(self.name))
            if function.__module__ == self.name.rpartition(".")[0]:
                function.__module__ = "__main__"


@dataclass(frozen=True)
class Row:
    """What one step's configuration has of its own.

    Attributes:
        overrides: all of its overrides, in order, but for those of Hydra itself.
        late: those that its base lacks.
        num: ``hydra.job.num``, the number of a sweep's branch; None as in a single run.
    """

    overrides: tuple[str, ...]
    late: tuple[str, ...] = ()
    num: int | None = None


def _run_script(file: str, words: Sequence[str]) -> None:
    """Run a script as Python does; the frozen copy, where there is one."""
    path, named = frozen.copy_of(file)
    module = ModuleType("__main__")
    module.__file__ = named
    sys.modules["__main__"] = module
    sys.argv = [named, *words]
    sys.path.insert(0, str(Path(named).parent))
    code = compile(Path(path).read_bytes(), named, "exec")
    exec(code, vars(module))  # noqa: S102 (that is what running a script is)


def find(name: str, *, is_script: bool, directory: Path) -> HydraProgram:
    """The program of a name in a plan; nothing of it is imported.

    Args:
        name: a dotted path, or the path of a script.
        is_script: which of these.
        directory: the working directory of the submission.

    Raises:
        PlanError: there is no such file or module.
    """
    if is_script:
        path = directory / name
        if not path.is_file():
            there = [str(one.relative_to(directory)) for one in path.parent.glob("*.py")]
            raise PlanError(
                f"script {name!r} is not a file in {directory}", hint=suggest(name, there)
            )
        return HydraProgram(
            name, os.path.abspath(path), os.path.abspath(path.parent), is_script=True
        )
    module, spec = _module_of(name)
    if spec is None or not spec.origin:
        raise PlanError(
            f"app {name!r}: no module named {name.partition('.')[0]!r}",
            hint="is it installed, or is the working directory the project's root?",
        )
    depth = module.count(".") + (Path(spec.origin).name == "__init__.py")
    file = os.path.abspath(spec.origin)
    return HydraProgram(name, file, str(Path(file).parents[depth]), is_script=False)


def _module_of(path: str) -> tuple[str, ModuleSpec | None]:
    """The module in a dotted path, found without importing the packages that it is in."""
    name, found, places = "", None, None
    for part in path.split(".")[:-1]:
        inner = f"{name}.{part}" if name else part
        spec = _spec_of(inner, places)
        if spec is None:  # the rest are attributes
            break
        name, found, places = inner, spec, spec.submodule_search_locations
        if places is None:
            break
    return name, found


def _spec_of(name: str, places: Any) -> ModuleSpec | None:
    for finder in sys.meta_path:
        spec = finder.find_spec(name, places)
        if spec is not None:
            return spec
    return None
