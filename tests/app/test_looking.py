"""Looking at a plan imports and runs nothing of its author's, whatever stands where in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from planit.app.main import main
from tests.helpers import all_below, run_planit, write

MKDIR = "{_target_: os.mkdir, path: made}"  # Hydra would make the folder
HEAD = "_target_: planit.Plan\nname: p\n"


def chain(child: str) -> str:
    return f"{{_target_: planit.Chain, _args_: [a, {child}]}}"


def plan(step: str = "", root: str = chain("b")) -> str:
    """A plan with a step a, and this step b."""
    more = f"  b: {step}\n" if step else ""
    return f"{HEAD}steps:\n  a: {{func: my.f, slurm_args: cpu}}\n{more}root: {root}\n"


def call(argument: str) -> str:
    """A plan whose step b has this in its mapping."""
    return plan(f"{{func: my.f, slurm_args: cpu, {argument}}}")


def sweep(more: str) -> str:
    return plan(f"{{_target_: planit.Sweep, func: my.f, slurm_args: cpu, {more}}}")


def command(more: str) -> str:
    return plan(f"{{_target_: planit.Command, slurm_args: cpu, {more}}}")


SHOWN = {
    "keyword": call(f"x: {MKDIR}"),
    "positional": call(f"_args_: [1, {MKDIR}]"),
    "in_kwargs": call(f"kwargs: {{x: {MKDIR}}}"),
    "in_a_list": call(f"x: [1, [{MKDIR}]]"),
    "in_a_mapping": call(f"x: {{y: {{z: {MKDIR}}}}}"),
    "partial_argument": call("x: {_target_: os.mkdir, _partial_: true, path: made}"),
    "not_recursive": call(f"x: {{_target_: my.g, _recursive_: false, y: {MKDIR}}}"),
    "sweep_argument": sweep(f"x: {MKDIR}, over: {{y: [1, 2]}}"),
    "sweep_values": sweep(f"over: {{x: [1, {MKDIR}]}}"),
    "sweep_syntax": sweep('over: {x: "choice(1,{_target_:os.mkdir,path:made})"}'),
    "step": plan("{_target_: os.mkdir, slurm_args: cpu, path: made}"),
    "inline_step": plan(root=chain(f"{{name: c, slurm_args: cpu, {MKDIR[1:]}")),
    "hydras_keys": plan(
        "{_target_: os.mkdir, slurm_args: cpu, path: made, _partial_: true, _convert_: all}"
    ),
    "private": plan(root="a") + f"_mine: {MKDIR}\nvars: {{x: {MKDIR}}}\n",
}
GLOBAL = """\
# @package _global_
plan: {_target_: planit.Plan, name: p, steps: {a: {func: my.f, slurm_args: cpu}}, root: a}
"""
HANDLERS = "{root: {level: INFO, handlers: [x]}, handlers: {x: {(): os.mkdir, path: made}}}"
SHOWN |= {
    "callbacks": f"{GLOBAL}hydra: {{callbacks: {{x: {MKDIR}}}}}\n",
    "hydra_logging": f"{GLOBAL}hydra: {{hydra_logging: {HANDLERS}}}\n",
    "job_logging": f"{GLOBAL}hydra: {{job_logging: {HANDLERS}}}\n",
}
ONLY = "a _target_ is built in the arguments of functions only"
REFUSED = {
    "root": (plan(root=MKDIR), "plan.root: os.mkdir is not a node"),
    "child": (
        plan(root=chain(MKDIR)),
        "plan.root._args_[1]: os.mkdir is not a node",
    ),
    "children": (
        plan(root=f"{{_target_: planit.Chain, _args_: {MKDIR}}}"),
        "plan.root._args_ must be a list of nodes",
    ),
    "half_a_step": (plan(MKDIR), "plan.steps.b: Step has no slurm_args"),
    "steps": (f"{HEAD}steps: {MKDIR}\nroot: a\n", "plan.steps has no step '_target_'"),
    "the_plan": (
        plan(root="a").replace("planit.Plan", "os.mkdir"),
        "plan: os.mkdir is not planit.Plan",
    ),
    "arguments": (call(f"_args_: {MKDIR}"), "plan.steps.b._args_ must be a list"),
    "values": (sweep(f"over: {{x: {MKDIR}}}"), "plan.steps.b.over.x must have a list of values"),
    "over": (sweep(f"over: {MKDIR}"), "plan.steps.b.over._target_"),
    "combine": (sweep(f"over: {{x: [1]}}, combine: {MKDIR}"), f"plan.steps.b.combine: {ONLY}"),
    "name": (call(f"name: {MKDIR}"), f"plan.steps.b.name: {ONLY}"),
    "func": (plan(f"{{func: {MKDIR}, slurm_args: cpu}}"), f"plan.steps.b.func: {ONLY}"),
    "command": (command(f"command: [ls, {MKDIR}]"), f"plan.steps.b.command: {ONLY}"),
    "environment": (command(f"command: ls, env: {{A: {MKDIR}}}"), f"plan.steps.b.env: {ONLY}"),
    "folder": (command(f"command: ls, cwd: {MKDIR}"), f"plan.steps.b.cwd: {ONLY}"),
    "commands_args": (command(f"command: ls, _args_: [{MKDIR}]"), f"plan.steps.b._args_: {ONLY}"),
    "slurm_args": (
        plan(f"{{func: my.f, slurm_args: {MKDIR}}}"),
        "plan.steps.b.slurm_args: os.mkdir is not planit.SlurmArgs",
    ),
    "a_slurm_field": (
        call(f"slurm: {{additional_params: {{qos: {MKDIR}}}}}"),
        f"plan.steps.b.slurm_args: {ONLY}",
    ),
    "both": (
        plan("{_target_: os.mkdir, func: my.f, slurm_args: cpu}"),
        "plan.steps.b has both func and _target_ os.mkdir",
    ),
    "no_path": (
        plan("{_target_: made, slurm_args: cpu}"),
        "plan.steps.b: _target_ 'made' is not a dotted path",
    ),
    "typo": (
        plan("{_target_: planit.Setp, slurm_args: cpu}"),
        "plan.steps.b: planit.Setp is not a node",
    ),
    "partial": (call("_partial_: 1"), "plan.steps.b: _partial_ must be true or false, not 1"),
    "recursive": (
        plan("{_target_: os.mkdir, slurm_args: cpu, path: made, _recursive_: no way}"),
        "plan.steps.b: _recursive_ must be true or false, not 'no way'",
    ),
    "convert": (
        sweep("over: {x: [1]}, _convert_: some"),
        "plan.steps.b: _convert_ must be none, partial, object, all, not 'some'",
    ),
    "command_convert": (
        command("command: ls, _convert_: all"),
        "plan.steps.b: Command has no '_convert_'",
    ),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plans, and a module that writes a file when it is imported."""
    folder = tmp_path_factory.mktemp("project")
    plans = {**SHOWN, **{name: text for name, (text, _) in REFUSED.items()}}
    for name, text in plans.items():
        write(folder / "conf/plan" / f"{name}.yaml", text)
    write(folder / "my.py", "open('imported', 'w').close()\ndef f(*_, **__): pass\ng = f\n")
    return folder


@pytest.mark.parametrize("name", SHOWN)
def test_describing_runs_and_imports_nothing(
    project: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    before = all_below(project)
    assert main([f"plan={name}"]) == 0
    assert capsys.readouterr().out.startswith("Plan: p\n")
    assert all_below(project) == before


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_built_in_a_job_is_refused_in_one_line_and_not_run(
    project: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    before = all_below(project)
    assert main([f"plan={name}"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"planit: error: {REFUSED[name][1]}")
    assert len(said.splitlines()) <= 2
    assert all_below(project) == before


@pytest.mark.parametrize(
    "words",
    [
        ["plan=keyword", f"plan.steps.b.x={MKDIR}"],
        ["-m", "plan=keyword", "plan.steps.b.x={_target_:os.mkdir,path:made},2"],
        ["-m", "plan=keyword,positional,step"],
        ["-m", "plan=keyword", "plan.steps.a.slurm_args=cpu,slurm", "sweep.join=[b]"],
    ],
    ids=["override", "swept", "swept plans", "joined"],
)
def test_targets_from_the_command_line_are_not_built_either(
    project: Path, words: list[str]
) -> None:
    before = all_below(project)
    done = run_planit(*words, cwd=project)
    assert (done.code, done.err) == (0, "")
    assert all_below(project) == before
