"""Steps that tell where they stand, for `test_standing`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import planit


def prepare() -> dict[str, int]:
    here = planit.current()
    assert here.dir == Path(os.environ["PLANIT_STEP_DIR"])
    (here.dir / "data").write_text("data")
    return {"rows": 3}


def train(lr: float, data: Path) -> dict[str, float]:
    (planit.current().dir / "model").write_text(f"{data.read_text()} {lr}")
    return {"loss": 2 * lr}


def compare(out: str, models: list[Path], named: dict[str, Any]) -> None:
    here = planit.current()
    told = {
        **here.as_json(),
        "run_dir": str(here.run_dir),
        "train": [one.as_json() for one in here.ancestors("train")],
        "ancestors": [one.name for one in here.ancestors()],
        "models": [path.read_text() for path in models],
        "named": [Path(path).read_text() for path in named["models"]],
    }
    Path(out).write_text(json.dumps(told))
