"""A Hydra program in a job: what it finds there."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from omegaconf import DictConfig, OmegaConf, open_dict

from planit.job.hydra.program_run import ProgramRun

CONFIG = """
lr: 0.1
double: ${twice:${lr}}
hydra:
  mode: RUN
  run: {dir: "${lr}/${hydra.job.id}"}
"""


def program(config: DictConfig) -> Any:
    hydra = HydraConfig.get()
    if config.lr < 0:
        raise ValueError("a negative rate")
    return [config.double, hydra.job.id, hydra.runtime.output_dir, "hydra" in config]


def task() -> Any:
    return program


@pytest.fixture
def frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ProgramRun, DictConfig]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLANIT_JOB", "12_3")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/config.yaml").write_text(CONFIG)
    Plugins.instance()  # their ConfigStore entries are made once, and belong to the state before
    before = Singleton.get_state()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # newer versions have other names for these
            OmegaConf.register_new_resolver("twice", lambda value: 2 * value)
            with initialize_config_dir(str(tmp_path / "conf"), version_base="1.3"):
                config = compose("config", return_hydra_config=True)
        with open_dict(config):
            config.hydra.job.name = "train"
        run = ProgramRun(task, Singleton.get_state())
        return pickle.loads(cloudpickle.dumps((run, config)))  # type: ignore[no-any-return]
    finally:
        Singleton.set_state(before)


def test_the_program_has_its_resolvers_its_config_and_a_folder(
    frozen: tuple[ProgramRun, DictConfig], tmp_path: Path
) -> None:
    run, config = frozen
    assert run(config) == [0.2, "12_3", str(tmp_path / "0.1/12_3"), False]
    names = {path.name for path in (tmp_path / "0.1/12_3/.hydra").iterdir()}
    assert names == {"config.yaml", "hydra.yaml", "overrides.yaml"}


def test_nothing_of_it_stays_in_the_process_nor_in_the_configuration(
    frozen: tuple[ProgramRun, DictConfig],
) -> None:
    run, config = frozen
    before = OmegaConf.to_yaml(config)
    first, second = run(config), run(config)
    assert first == second
    assert OmegaConf.to_yaml(config) == before
    assert not OmegaConf.has_resolver("twice")
    assert HydraConfig.instance().cfg is None


def test_what_the_program_raises_is_raised(frozen: tuple[ProgramRun, DictConfig]) -> None:
    run, config = frozen
    config.lr = -1
    with pytest.raises(ValueError, match="a negative rate"):
        run(config)
