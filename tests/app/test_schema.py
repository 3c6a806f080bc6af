"""``planit schema``: what the JSON Schema of plan files accepts, and where it finds a mistake."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from omegaconf import OmegaConf

from planit import SlurmArgs
from planit.app.config.node_keys import EVERY_LEAF, GROUPS, HYDRAS_OWN, LEAVES, PLAN_KEYS
from planit.app.json_schema import slurm_fields
from planit.app.json_schema.leaf_keys import KEYS
from planit.app.json_schema.plan_file import PlanFacts, document
from planit.nodes.resources import KNOWN_OPTIONS
from tests.helpers import ROOT, planit_here, run_python, write
from tests.readme import blocks

SCHEMA = document(PlanFacts(slurm_defaults=()))
ALONE = document(PlanFacts())
STEPS = """\
_target_: planit.Plan
name: mine
steps:
  a: {func: os.getcwd, slurm_args: "${cpu}"}
  b: {func: os.getcwd, slurm_args: "${slurm}"}
root: {_target_: planit.Chain, _args_: [a, b]}
"""


def content_of(text: str) -> Any:
    """A file's content as Hydra reads it, and then as JSON has it."""
    return json.loads(json.dumps(OmegaConf.to_container(OmegaConf.create(text))))


def errors(text: str, schema: Any = SCHEMA) -> list[tuple[str, str]]:
    """What is wrong in a file: the place, and what an editor says of it."""
    found = jsonschema.Draft7Validator(schema).iter_errors(content_of(text))
    return sorted((".".join(map(str, one.absolute_path)), _said(one)) for one in found)


def _said(error: jsonschema.ValidationError) -> str:
    """As yaml-language-server does."""
    own = error.schema if isinstance(error.schema, dict) else {}
    said = own.get("errorMessage")
    if error.validator == "pattern":
        said = said or own.get("patternErrorMessage")
    return str(said or error.message)


def test_the_schema_is_one_of_draft_7_and_is_printed_without_a_validator() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    code = "import sys; sys.modules['jsonschema'] = None; from planit.app.main import main; main()"
    done = run_python("-c", code, "schema", cwd=ROOT)
    assert json.loads(done.out) == ALONE
    assert (done.code, done.err) == (0, "")
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"


def shipped() -> Iterator[tuple[str, str]]:
    """Every plan and preset that is in the package, its README and its documentation."""
    for path in sorted(ROOT.glob("conf/plan/**/*.yaml")) + sorted(
        ROOT.glob("conf/slurm/**/*.yaml")
    ):
        yield str(path.relative_to(ROOT)), path.read_text()
    for name in ("README.md", "docs/hydra.md"):
        for block in blocks(name):
            if block.language == "yaml" and block.text.startswith(
                ("# conf/plan/", "# conf/slurm/")
            ):
                yield f"{name}: {block.text.splitlines()[0]}", block.text


SHIPPED = list(shipped())


def test_there_are_plans_and_presets_to_check() -> None:
    names = " ".join(name for name, _ in SHIPPED)
    for one in ("conf/plan/thesis", "conf/slurm/cpu", "README.md: # conf/plan/", "docs/hydra.md"):
        assert one in names


@pytest.mark.parametrize(("name", "text"), SHIPPED, ids=[name for name, _ in SHIPPED])
def test_what_is_shipped_is_accepted(name: str, text: str) -> None:
    assert errors(text) == []


def test_what_init_writes_is_accepted(tmp_path: Path) -> None:
    assert planit_here("init", "--no-slurm", cwd=tmp_path).code == 0
    written = [*tmp_path.glob("conf/plan/*.yaml"), *tmp_path.glob("conf/slurm/*.yaml")]
    assert len(written) > 2
    assert [errors(path.read_text()) for path in written] == [[] for _ in written]


RIGHT = {
    "interpolations": """
        _target_: planit.Plan
        name: "${oc.env:USER}-${lr}"
        steps:
          a: {func: "${pkg}.train", slurm_args: "${gpu}", _args_: "${list}", kwargs: "${more}"}
          b: {_target_: planit.Command, command: ["echo", "${dir:a}/x", 3], slurm_args: cpu,
              slurm: {time: "${times.long}", mem_gb: "${mem}", mail_type: "${m}"}, env: "${env}"}
          c: {_target_: planit.Sweep, func: m.f, slurm_args: cpu, over: {lr: "range(0,10)",
              seed: "${seeds}"}, max_concurrent: "${most}", combine: "${how}"}
          d: ${vars.step}
        root: {_target_: planit.Parallel, _args_: "${vars.nodes}", max_concurrent: "${most}"}
        vars: {step: {func: m.f, slurm_args: cpu}, nodes: [a, b, c, d]}
        """,
    "Hydra's own keys": """
        defaults: [_self_]
        _target_: planit.Plan
        name: mine
        _private: {anything: 1}
        steps:
          a: {_target_: m.train, slurm_args: cpu, _convert_: all, _partial_: false,
              _recursive_: "${r}", model: {_target_: m.Model, _partial_: true, size: 3}}
        root: a
        """,
    "a plan that builds on another": """
        defaults: [thesis, _self_]
        steps:
          train_bert: {epochs: 3, slurm: {time: "10:00"}}
        root: {max_concurrent: 3}
        anything: 1
        """,
    "a plan for the whole configuration": """
        # @package _global_
        defaults: [override /slurm: gpu_a100, _self_]
        lr: 0.1
        slurm: {time: "10:00", mem_gb: 3}
        plan: {name: mine, root: {_target_: planit.Chain, _args_: [a]},
               steps: {a: {func: m.f, slurm_args: "${slurm}", lr: "${lr}"}}}
        """,
    "nodes in nodes": """
        name: mine
        root:
          _target_: planit.nodes.Chain
          _args_:
            - {_target_: planit.Step, name: a, func: m.f, slurm_args: {slurm_time: "10",
               slurm_qos: x, gpus_per_node: 1, slurm_additional_parameters: {constraint: y}}}
            - {func: m.f, name: b, slurm_args: {time: 1-00, partition: p, mail_type: "END,FAIL"}}
            - {_target_: m.f, name: c, slurm_args: {time: "5"}, slurm: {partition: q}}
            - {_target_: planit.HydraApp, name: d, script: train.py, slurm_args: cpu}
            - {_target_: planit.Parallel}
        """,
    "a preset with values to fill in": """
        defaults: [base]
        time: ???
        mail_type: [end, FAIL]
        mem_gb: ???
        account: null
        setup: [module load x]
        """,
    "a preset of submitit's names": "{slurm_time: '10:00', slurm_partition: x, mem_gb: 4}",
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_a_plan_may_have_is_accepted(name: str) -> None:
    assert errors(RIGHT[name]) == []


def step(text: str) -> str:
    """A plan with one more step, `c`."""
    return STEPS.replace("\nroot:", f"\n  c: {text}\nroot:").replace("a, b]", "a, b, c]")


SLURM_ARGS = "steps.c.slurm_args"
TIME = '"04:00:00"; its forms are MM'
WRONG = [
    (step("{func: os.getcwd, slurm_args: {time: 12:00:00, partition: x}}"),
     "steps.c.slurm_args.time", TIME),
    (step("{func: os.getcwd, slurm_args: cpu, slurm: {time: 30}}"), "steps.c.slurm.time", TIME),
    (step('{func: os.getcwd, slurm_args: cpu, slurm: {time: soon}}'), "steps.c.slurm.time", TIME),
    (step('{func: os.getcwd, slurm_args: cpu, slurm: {time: "0:00"}}'), "steps.c.slurm.time", TIME),
    (step("{func: os.getcwd, slurm_args: cpu, slurm: {tiem: '10'}}"), "steps.c.slurm", "'tiem'"),
    (step("{func: os.getcwd, slurm_args: cpu, slurm: {gpus_per_node: two}}"),
     "steps.c.slurm.gpus_per_node", "a whole number or an interpolation"),
    (step("{func: os.getcwd, slurm_args: cpu, slurm: {nodes: 0}}"),
     "steps.c.slurm.nodes", "0 is less than the minimum of 1"),
    (step("{func: os.getcwd, slurm_args: cpu, slurm: {mail_type: [SOON]}}"),
     "steps.c.slurm.mail_type.0", "'SOON'"),
    (step("{func: os.getcwd, slurm_args: {time: '10'}}"),
     "steps.c.slurm_args", "'partition' is a required property"),
    (step("{func: os.getcwd, slurm_args: {slurm_time: '10', slurm_tiem: 3}}"),
     "steps.c.slurm_args", "'slurm_tiem'"),
    (step("{func: os.getcwd}"), "steps.c", "'slurm_args' is a required property"),
    (step("{slurm_args: cpu, lr: 1}"), "steps.c", "'func' is a required property"),
    (step("{func: train, slurm_args: cpu}"), "steps.c.func", "package.module.function"),
    (step("{func: my/train.py, slurm_args: cpu}"), "steps.c.func", "package.module.function"),
    (step("{_target_: os.getcwd, func: os.getcwd, slurm_args: cpu}"),
     "steps.c.func", "a function in _target_ already"),
    (step("{_target_: planit.Comand, command: ls, slurm_args: cpu}"),
     "steps.c._target_", "a node is one of planit.Step, planit.Command"),
    (step("{_target_: planit.Command, slurm_args: cpu}"),
     "steps.c", "'command' is a required property"),
    (step("{_target_: planit.Command, comand: ls, command: ls, slurm_args: cpu}"),
     "steps.c", "'comand' was unexpected"),
    (step("{_target_: planit.HydraApp, slurm_args: cpu}"), "steps.c", "'app' is a required"),
    (step("{_target_: planit.HydraApp, app: m.f, script: f.py, slurm_args: cpu}"),
     "steps.c.script", "there is app already"),
    (step("{_target_: planit.HydraApp, app: train.py, slurm_args: cpu}"),
     "steps.c.app", "a file is its script"),
    (step("{_target_: planit.HydraApp, app: m.f, overrides: lr=1, slurm_args: cpu}"),
     "steps.c.overrides", "a list or an interpolation"),
    (step("{_target_: planit.Sweep, func: os.stat, slurm_args: cpu}"),
     "steps.c", "'over' is a required property"),
    (step("{_target_: planit.Sweep, func: os.stat, slurm_args: cpu, over: {path: 3}}"),
     "steps.c.over.path", "3 is not of type 'array', 'string'"),
    (step("{_target_: planit.Sweep, func: os.stat, slurm_args: cpu, over: {p: [1]}, combine: sum}"),
     "steps.c.combine", "'sum'"),
    (step("{func: os.getcwd, slurm_args: cpu, _convert_: some}"), "steps.c._convert_", "'some'"),
    (step("python train.py"), "steps.c", "a mapping: a step with func and slurm_args, or one of"),
    (STEPS.replace("planit.Chain", "planit.Chian"),
     "root._target_", "a node is one of planit.Step"),
    (STEPS.replace("_target_: planit.Chain, ", ""), "root", "'_target_' is a required property"),
    (STEPS.replace("_args_: [a, b]", "_args_: [a, b], max_concurrent: 2"),
     "root", "'max_concurrent'"),
    (STEPS.replace("planit.Chain", "planit.Packed, slurm_args: cpu"), "root._args_", "too long"),
    (STEPS.replace("planit.Chain", "planit.Packed").replace("[a, b]", "[a]"),
     "root", "'slurm_args' is a required"),
    (STEPS.replace("planit.Chain", "planit.Packed, slurm_args: cpu, jobs: 0").replace("a, b", "a"),
     "root.jobs", "0 is less than the minimum of 1"),
    (STEPS.replace("_args_: [a, b]", "nodes: [a, b]"), "root", "'nodes' was unexpected"),
    (STEPS.replace("planit.Chain, _args_: [a", "planit.Parallel, max_concurrent: 0, _args_: [a"),
     "root.max_concurrent", "0 is less than the minimum of 1"),
    (STEPS.replace("[a, b]", "[a, {func: os.getcwd, slurm_args: cpu}, b]"),
     "root._args_.1", "'name' is a required property"),
    (STEPS.replace("root:", "rot:"), "", "'root' is a required property"),
    (STEPS.replace("planit.Plan", "planit.plna"), "_target_", "a plan is planit.Plan"),
]  # fmt: skip


def test_there_are_more_than_twenty_wrong_files() -> None:
    assert len(WRONG) > 20


@pytest.mark.parametrize(("text", "place", "says"), WRONG, ids=[f"{p}: {s}" for _, p, s in WRONG])
def test_what_is_wrong_is_found_at_its_place_and_planit_refuses_it_too(
    tmp_path: Path, text: str, place: str, says: str
) -> None:
    found = errors(text)
    assert {where for where, _ in found} == {place}, found
    assert any(says in said for _, said in found), found
    write(tmp_path / "conf/plan/mine.yaml", text)
    assert planit_here("plan=mine", cwd=tmp_path).code == 2


WRONG_PRESETS = [
    ("{_target_: planit.SlurmArgs, time: 04:00, partition: x}", []),
    ("{time: 4:00:00, partition: x}", ["time"]),
    ("{time: '4:00:00'}", [""]),
    ("{time: '4:00:00', partition: x, memory: 3}", [""]),
    ("{_target_: planit.SlurmArgs, tiem: '1'}", ["", "", ""]),
    ("{time: '1', partition: x, cpus_per_task: 1.5}", ["cpus_per_task"]),
    ("{time: '1', partition: x, additional_params: [qos]}", ["additional_params"]),
    ("{time: '1', partition: x, gpus_per_node: 'a100:2', modules: [a], env: {A: 1, B: x}}", []),
    ("{time: '1', partition: x, container: {image: x, nv: true, mounts: ['/a:/b']}}", []),
    ("{time: '1', partition: x, container: x.sif, exclusive: true, tasks_per_node: 2}", []),
    ("{time: '1', partition: x, gpus_per_node: 'a100'}", ["gpus_per_node"]),
    ("{time: '1', partition: x, container: {imag: x}}", ["container"]),
    ("{time: '1', partition: x, env: [A]}", ["env"]),
    ("{time: '1', partition: x, exclusive: 3}", ["exclusive"]),
    ("{time: '1', partition: x, begin: 16:00:00}", ["begin"]),
]


def test_fields_are_missed_only_where_slurm_defaults_are_known_not_to_set_them() -> None:
    preset = "{time: '10'}"
    for text, place in ((preset, ""), (step(f"{{func: m.f, slurm_args: {preset}}}"), SLURM_ARGS)):
        assert [where for where, _ in errors(text)] == [place]
        assert errors(text, ALONE) == []
        assert errors(text, document(PlanFacts(slurm_defaults={"partition", "account"}))) == []


@pytest.mark.parametrize(("text", "places"), WRONG_PRESETS)
def test_a_preset_is_checked_as_slurm_args_are(text: str, places: list[str]) -> None:
    assert [place for place, _ in errors(text)] == places


def test_every_field_and_key_has_a_schema_and_a_description() -> None:
    fields = slurm_fields.slurm_fields()
    assert list(fields) == [field.name for field in dataclasses.fields(SlurmArgs)]
    for name, made in fields.items():
        assert made["description"], name
        assert {"type", "anyOf"} & set(made), name
    of_leaves = [key for needed, more in LEAVES.values() for key in (*needed, *more)]
    of_groups = [key for keys in GROUPS.values() for key in keys]
    for key in (*of_leaves, *of_groups, *EVERY_LEAF, *HYDRAS_OWN):
        assert set(KEYS[key]) > {"description"} or "$ref" in KEYS[key], key
    assert set(KEYS) == {*of_leaves, *of_groups, *EVERY_LEAF, *HYDRAS_OWN}
    plan = SCHEMA["definitions"]["plan"]["properties"]
    assert all(plan[key] for key in PLAN_KEYS)
    definitions = SCHEMA["definitions"]
    for kind in (*LEAVES, *GROUPS):
        assert definitions[kind]["properties"]["_target_"]["description"], kind
    (submitits, _) = definitions["slurm_args"]["then"]["patternProperties"]
    assert all(name in submitits for name in KNOWN_OPTIONS - {"time"})


def test_a_new_field_without_a_schema_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    needed, more = LEAVES["Command"]
    monkeypatch.setitem(LEAVES, "Command", (needed, (*more, "shiny")))
    with pytest.raises(KeyError, match="shiny"):
        document(PlanFacts())
    monkeypatch.undo()

    @dataclasses.dataclass(frozen=True)
    class More(SlurmArgs):
        """Without a word about it."""

        shiny: bytes = b""

    monkeypatch.setattr(slurm_fields, "SlurmArgs", More)
    with pytest.raises(KeyError):
        document(PlanFacts())


def test_a_time_of_any_form_is_accepted_and_no_other() -> None:
    time = {**SCHEMA["definitions"]["time"]}
    for text in ("5", "90:30", "1:00:00", "1-00", "2-12:30", "1-2:3:4", "${x}", "${a}:00", "???"):
        assert jsonschema.Draft7Validator(time).is_valid(text), text
    for wrong in ("", "0", "00:00", "1h", "1:2:3:4", "-5", " 5", "1-", 5, 1.5, None, ["5"], True):
        assert not jsonschema.Draft7Validator(time).is_valid(wrong), wrong
