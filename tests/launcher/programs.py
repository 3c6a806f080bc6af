"""The test project, copied, and run as its users run it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.helpers import ROOT, Done, run_python, write
from tests.sweepers import halving

LOCAL = ("hydra/launcher=planit", "hydra.launcher.backend=local")
FIXED = (ROOT / "tests/project/vision/model.py").read_text()
# A model that can be trained in some widths only, until it is fixed.
BROKEN = FIXED.replace(
    "        self.name",
    "        if width == 13:\n            raise ValueError('unlucky')\n        self.name",
    1,
)


def project(folder: Path) -> Path:
    """A copy of the test project."""
    return Path(shutil.copytree(ROOT / "tests/project", folder / "project"))


def add_sweeper(folder: Path) -> dict[str, str]:
    """Add the sweeper to a project; the environment that it is found in."""
    write(folder / "plugins/hydra_plugins/halving.py", halving("optimizer.lr"))
    path = [str(ROOT), str(ROOT / "planit/plugins"), str(folder / "plugins")]
    return {"PYTHONPATH": os.pathsep.join(path)}


def train(folder: Path, *words: str, env: dict[str, str] | None = None) -> Done:
    """``python train.py -m`` in a copy of the project, with the record in the same folder."""
    # Under coverage Hydra takes itself to be debugged, and shows a traceback for each error.
    untraced = {name: None for name in os.environ if name.startswith("COVERAGE_")}
    runs = {"PLANIT_RUNS_DIR": str(folder / "planit_runs"), **untraced, **(env or {})}
    return run_python("train.py", "-m", *words, cwd=folder, env=runs)


def outputs(folder: Path) -> Path:
    """The folder of the only sweep."""
    (found,) = folder.glob("multirun/*/*")
    return found


def only_run(folder: Path) -> Path:
    """The only run."""
    (found,) = folder.glob("planit_runs/train/*")
    return found
