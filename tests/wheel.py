"""The built wheel, installed in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers import ROOT, Done, write


@dataclass(frozen=True)
class Installed:
    """A wheel and the environment that it is installed in."""

    wheel: Path
    environment: Path

    def run(self, *words: str, cwd: Path) -> Done:
        """A program of the environment, which sees nothing of this checkout."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        done = subprocess.run(
            [str(self.environment / "bin" / words[0]), *words[1:]],
            cwd=cwd,
            env=clean,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)


def call(*words: str, cwd: Path) -> None:
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def borrow_packages(environment: Path) -> None:
    """Let the environment import the installed dependencies, but not this checkout.

    A path file's own entries are not searched for more path files, so the editable install of
    planit in the lending environment stays out.
    """
    lenders = [path for path in sys.path if path.endswith("site-packages")]
    site = next(environment.glob("lib/python*/site-packages"))
    write(site / "borrowed.pth", "\n".join(lenders) + "\n")


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    call(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=ROOT)
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    call(sys.executable, "-m", "venv", "--without-pip", str(environment), cwd=folder)
    borrow_packages(environment)
    python = str(environment / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    words = ["install", "--no-deps", "--no-index", "--ignore-installed", str(wheel)]
    call(*pip, *words, cwd=folder)
    return Installed(wheel, environment)
