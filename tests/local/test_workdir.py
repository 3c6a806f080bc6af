"""A Hydra program as a step runs in the step's working directory, too."""

from __future__ import annotations

import json

from planit import Run
from tests.helpers import write
from tests.local.project import Project

PROGRAM = """
import logging, os
import hydra
from hydra.utils import get_original_cwd

@hydra.main(version_base="1.3", config_path=None)
def main(cfg):
    logging.getLogger("mine").info("hydra logs this")
    return [os.getcwd(), get_original_cwd()]

if __name__ == "__main__":
    main()
"""


def test_a_hydra_program_runs_in_the_working_directory_of_its_step(project: Project) -> None:
    write(project.folder / "prog.py", PROGRAM)
    place = project.folder / "place"
    place.mkdir()
    slurm = {"time": "5", "partition": "batch", "workdir": str(place)}
    step = {"_target_": "planit.HydraApp", "script": "prog.py", "slurm_args": slurm}
    plan = {"_target_": "planit.Plan", "name": "p", "steps": {"a": step}, "root": "a"}
    write(project.folder / "conf/plan/p.yaml", json.dumps(plan))
    done = project.planit("submit", "plan=p", "backend=local", "backend.cpus=1")
    assert done.code == 0, done
    (row,) = Run(project.run_dir()).results("a")
    assert row.result == [str(place), str(place)]
    logged = project.planit("logs", "a").out
    assert logged.count("hydra logs this") == 1
