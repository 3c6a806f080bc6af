"""What can be set below ``hydra.launcher``, and what it becomes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.initialize import initialize_config_dir
from omegaconf import OmegaConf

from hydra_plugins.planit.launcher import PlanitBackendConf, PlanitLauncherConf
from planit import SlurmArgs, Step
from planit.app.config.places import conf_dir
from planit.app.launch_settings import LaunchSettings, told
from planit.errors import PlanitError
from planit.job.hydra.internals import VERSION_BASE
from tests.helpers import planit_here, write

OWN = "_target_: planit.SlurmArgs\ntime: '30'\npartition: own\ngpus_per_node: 2\n"
CONFIG = {
    "hydra": {
        "job": {"name": "train"},
        "sweeper": {"_target_": "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"},
    }
}


@pytest.fixture
def loader(tmp_path: Path) -> Iterator[ConfigLoader]:
    """Of a program with presets of its own, one of which leaves its time open."""
    write(tmp_path / "conf/slurm/cpu.yaml", OWN)
    write(tmp_path / "conf/slurm/open.yaml", OWN.replace("'30'", "???"))
    write(tmp_path / "conf/slurm/raw.yaml", "slurm_time: '10'\nslurm_qos: night\n")
    with initialize_config_dir(str(tmp_path / "conf"), **VERSION_BASE):
        yield GlobalHydra.instance().config_loader()


def settings(loader: ConfigLoader, **given: Any) -> LaunchSettings:
    defaults = OmegaConf.structured(PlanitLauncherConf(backend="local"))
    content = OmegaConf.to_container(OmegaConf.merge(defaults, given), resolve=True)
    assert isinstance(content, dict)
    named = {str(key): value for key, value in content.items()}
    return LaunchSettings.of(named, OmegaConf.create(CONFIG), loader)


def test_every_field_of_slurm_args_and_every_setting_of_a_backend_can_be_set() -> None:
    names = {field.name for field in fields(PlanitLauncherConf)}
    assert {field.name for field in fields(SlurmArgs)} <= names
    of_plans = yaml.safe_load((conf_dir() / "backend/auto.yaml").read_text())
    assert {field.name for field in fields(PlanitBackendConf)} == set(of_plans) - {"name"}


def test_without_anything_a_job_has_an_hour_on_slurms_own_partition(loader: ConfigLoader) -> None:
    made = settings(loader)
    assert made.slurm_args == {"slurm_time": "01:00:00"}
    assert (made.plan, made.wait, made.max_concurrent) == ("train", True, None)


def test_a_preset_is_the_programs_own_before_planits(loader: ConfigLoader) -> None:
    own = settings(loader, preset="cpu").slurm_args
    assert own == {"slurm_time": "30", "slurm_partition": "own", "slurm_gpus_per_node": 2}
    planits = settings(loader, preset="gpu_a100").slurm_args
    assert planits["slurm_partition"] == "gpu_a100"
    assert settings(loader, preset="raw").slurm_args == {"slurm_time": "10", "slurm_qos": "night"}


def test_a_field_overrides_the_preset_and_fills_what_it_leaves_open(loader: ConfigLoader) -> None:
    fields = {"time": "2-00", "gpus_per_node": 0, "additional_params": {"constraint": "big"}}
    for preset in ("cpu", "open"):
        assert settings(loader, preset=preset, **fields).slurm_args == {
            "slurm_time": "2-00",
            "slurm_partition": "own",
            "slurm_additional_parameters": {"constraint": "big"},
        }


def test_every_field_reaches_the_steps(loader: ConfigLoader) -> None:
    given: dict[str, Any] = {
        "time": "1-00",
        "partition": "p",
        "gpus_per_node": 1,
        "nodes": 2,
        "cpus_per_task": 3,
        "cpus_per_gpu": 4,
        "mem_gb": 5,
        "account": "a",
        "cluster": "c",
        "mail_type": ["END"],
        "mail_user": "me@x.org",
        "additional_params": {"ntasks": 4},
        "setup": ["module load x"],
        "max_requeues": 6,
        "tasks_per_node": 2,
        "exclusive": True,
        "modules": ["CUDA", "cuDNN"],
        "container": {"image": "x.sif", "mounts": ["/data"], "nv": True, "args": ["--cleanenv"]},
        "env": {"A": "1"},
        "srun_args": ["--mpi=pmix"],
    }
    texts = "qos constraint gres exclude nodelist reservation signal switches begin licenses"
    given |= {name: f"some {name}" for name in (*texts.split(), "python", "venv")}
    other = {"time": "1", "partition": "p", "conda": "c", "mem_per_cpu": "1G"}
    others = [other, {"time": "1", "partition": "p", "mem_per_gpu": "1G"}]
    everything = {name for one in (given, *others) for name in one}
    assert everything | {"workdir"} == {field.name for field in fields(SlurmArgs)}
    for one in (given, *others):
        step = Step("train", print, settings(loader, **one).slurm_args)
        assert step.resources == SlurmArgs(**one).resources
    assert settings(loader, **given).is_requeued


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            {"preset": "cpuu"},
            "hydra.launcher.preset: unknown SLURM preset 'cpuu' (did you mean cpu",
        ),
        ({"preset": "open"}, "hydra.launcher: SlurmArgs needs 'time' (set time)"),
        ({"time": 43200}, "hydra.launcher: time"),
        ({"mem_gb": "x"}, "hydra.launcher: mem_gb must be"),
        ({"workdir": "/x", "time": "1"}, "hydra.launcher.workdir: a program runs where it is"),
        ({"backend": "lokal"}, "hydra.launcher.backend=lokal is unknown"),
        ({"backend_settings": {"cpus": 0}}, "hydra.launcher.backend_settings.cpus must be"),
        ({"objective": "train"}, "hydra.launcher.objective is for plans"),
        ({"wait": False, "backend": "debug"}, "hydra.launcher.wait=false has no meaning"),
        ({"freeze": "all"}, "hydra.launcher.freeze=all is unknown (hydra.launcher.freeze=tree"),
    ],
)
def test_what_is_wrong_is_told_with_its_key(
    loader: ConfigLoader, given: dict[str, Any], problem: str
) -> None:
    with pytest.raises(PlanitError) as error:
        settings(loader, **given)
    assert problem in told(error.value)


def test_batches_that_wait_for_each_other_are_not_left_alone(loader: ConfigLoader) -> None:
    config = OmegaConf.create(CONFIG)
    config.hydra.sweeper.max_batch_size = 2
    made: Any = OmegaConf.to_container(OmegaConf.structured(PlanitLauncherConf(wait=False)))
    made["runs_dir"] = None
    with pytest.raises(PlanitError, match=r"max_batch_size.*max_concurrent"):
        LaunchSettings.of({**made, "backend": "local"}, config, loader)


def test_in_planits_own_app_a_plan_has_its_own_settings(empty_dir: Path) -> None:
    words = ("plan=experiment", "hydra/launcher=planit", "slurm.time=1,2")
    done = planit_here("-m", *words, "hydra.launcher.time=4")
    assert done.code == 2
    assert "hydra.launcher.time is for other programs" in done.err
