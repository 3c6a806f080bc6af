"""The presets for the VSC, in YAML and in Python."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from examples import vsc_args
from planit import SlurmArgs
from planit.app.config.places import conf_dir
from tests.app.test_overrides import steps_for

PRESETS = {
    "wice_batch": 72,
    "wice_a100": 18,
    "wice_a100_debug": 64,
    "wice_h100": 16,
    "mindwell_b200": 24,
    "genius_batch": 36,
    "genius_v100": 4,
}
FILES = [
    path
    for cluster in ("wice", "mindwell", "genius")
    for path in sorted((conf_dir() / "slurm").glob(f"{cluster}_*.yaml"))
]


def content(path: Path) -> dict[str, object]:
    fields = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(fields, dict)
    return {str(name): value for name, value in fields.items() if name != "_target_"}


@pytest.mark.parametrize("preset", PRESETS)
def test_each_preset_is_valid_once_it_is_filled_in(preset: str) -> None:
    words = [f"slurm={preset}", "slurm.account=a", "slurm.mail_user=m"]
    resources = steps_for("plan=thesis", *words)["train_bert"].resources
    assert resources.cluster == preset.partition("_")[0]
    assert resources.options["mail_type"] == "END,FAIL"
    cpus = resources.options.get("cpus_per_gpu") or resources.options.get("cpus_per_task")
    assert cpus == PRESETS[preset]


def test_the_python_file_has_the_same_presets_as_the_yaml_files() -> None:
    in_python = {
        name.lower(): value
        for name, value in vars(vsc_args).items()
        if isinstance(value, SlurmArgs)
    }
    filled = {"account": vsc_args.ACCOUNT, "mail_user": vsc_args.MAIL_USER}
    in_yaml = {path.stem: SlurmArgs.from_mapping(content(path) | filled) for path in FILES}
    assert in_python == in_yaml
    assert in_yaml.keys() == PRESETS.keys()


def test_a_b200_comes_with_its_exact_share_of_the_memory() -> None:
    node_mib = 8 * 194_400  # 192 CPUs of 8,100 MiB
    additional = vsc_args.MINDWELL_B200.resources.options["additional_parameters"]
    assert additional == {"mem_per_gpu": f"{node_mib // 8}M", "clusters": "mindwell"}


def test_the_file_of_nodes_that_are_gone_says_so() -> None:
    retired = [path.stem for path in FILES if "retired" in path.read_text(encoding="utf-8")]
    assert retired == ["genius_batch"]
