"""Bad input: one clear line, a code that is not zero, no traceback, nothing left on disk."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.helpers import Done, all_below, planit_here, write

HEAD = "_target_: planit.Plan\nname: mine\n"
STEP_A = "steps:\n  a: {func: os.getcwd, slurm_args: cpu}\n"


def chain(*children: str) -> str:
    return "root:\n  _target_: planit.Chain\n  _args_:\n" + "".join(
        f"    - {c}\n" for c in children
    )


PLANS = {
    "fine": HEAD + STEP_A + "root: a\n",
    "no_root": HEAD + STEP_A,
    "no_func": HEAD + "steps:\n  a: {slurm_args: cpu}\nroot: a\n",
    "no_args": HEAD + "steps:\n  a: {func: os.getcwd}\nroot: a\n",
    "func_number": HEAD + "steps:\n  a: {func: 3, slurm_args: cpu}\nroot: a\n",
    "func_missing": HEAD + "steps:\n  a: {func: os.getcwdd, slurm_args: cpu}\nroot: a\n",
    "func_module": HEAD + "steps:\n  a: {func: no_such_module.f, slurm_args: cpu}\nroot: a\n",
    "func_value": HEAD + "steps:\n  a: {func: os.sep, slurm_args: cpu}\nroot: a\n",
    "func_argument": HEAD + "steps:\n  a: {func: os.getcwd, slurm_args: cpu, x: 1}\nroot: a\n",
    "twice": HEAD + STEP_A + chain("a", "a"),
    "same_name": HEAD
    + STEP_A
    + "  b: {name: a, func: os.getcwd, slurm_args: cpu}\n"
    + chain("a", "{_target_: planit.Parallel, _args_: [b]}"),
    "child_number": HEAD + STEP_A + chain("a", "5"),
    "child_unknown": HEAD + STEP_A + chain("a", "b"),
    "child_other": HEAD + STEP_A + chain("{_target_: datetime.date, year: 2000, month: 1, day: 1}"),
    "child_typo": HEAD + STEP_A + chain("{_target_: planit.Chian, _args_: [a]}"),
    "root_list": HEAD + STEP_A + "root: [a]\n",
    "step_list": HEAD + "steps: [a]\nroot: a\n",
    "no_name": "_target_: planit.Plan\n" + STEP_A + "root: a\n",
    "extra": HEAD + STEP_A + "root: a\nrooot: a\n",
    "reference": HEAD + "steps:\n  a: {func: os.getcwd, slurm_args: '${cpuu}'}\nroot: a\n",
    "broken": HEAD + "steps: [x\n",
    "own_time": HEAD
    + "steps:\n  a: {func: os.getcwd, slurm_args: cpu, slurm: {time: 1:30:00}}\nroot: a\n",
    "raw": HEAD
    + "steps:\n  a: {func: os.getcwd, slurm_args: {slurm_time: '1:00', qos: x}}\nroot: a\n",
    "unnamed": HEAD
    + STEP_A
    + "  b: {func: os.getcwd, slurm_args: cpu}\n  c: {func: os.getcwd, slurm_args: cpu}\nroot: a\n",
    "command": HEAD
    + "steps:\n  a: {_target_: planit.Command, command: ls, cdw: x, slurm_args: cpu}\nroot: a\n",
}
PRESETS = {
    "unquoted": "_target_: planit.SlurmArgs\ntime: 12:00:00\npartition: batch\n",
    "unknown_field": '_target_: planit.SlurmArgs\ntime: "1:00"\npartition: x\ngpus_per_nod: 1\n',
    "no_partition": '_target_: planit.SlurmArgs\ntime: "1:00"\n',
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    for group, files in (("plan", PLANS), ("slurm", PRESETS)):
        for name, text in files.items():
            write(folder / "conf" / group / f"{name}.yaml", text)
    return folder


def assert_one_clear_line(done: Done, says: str, hint: str | None = None) -> None:
    lines = done.err.splitlines()
    assert "Traceback" not in done.err
    assert done.code not in (0, 1)
    assert lines[0].startswith("planit: error: "), done.err
    assert says in lines[0]
    assert len(lines) <= 2, done.err
    assert all(line.startswith("  hint: ") for line in lines[1:]), done.err
    assert all(line.removeprefix("  hint: ") not in lines[0] for line in lines[1:]), done.err
    if hint is not None:
        assert hint in lines[1]


BAD: list[tuple[str, str, str | None]] = [
    # an unknown preset, plan, step, verb, backend, action or key
    ("plan=thesis slurm=gpu_a10", "unknown SLURM preset 'gpu_a10'",
     "did you mean gpu_a100? known: cpu, genius_batch,"),
    ("plan=thesis slurm@cpu=cpuu", "unknown SLURM preset 'cpuu'", "did you mean cpu?"),
    ("plan=thesis plan.steps.train_bert.slurm_args=gpu_a10",
     "plan.steps.train_bert.slurm_args: unknown SLURM preset 'gpu_a10'",
     "did you mean gpu_a100? known: cpu, genius_batch,"),
    ("plan=thesiss", "unknown plan 'thesiss'", "did you mean thesis?"),
    ("action=describe", "plan", "experiment"),
    ("submitt plan=thesis", "unknown verb 'submitt'", "did you mean submit?"),
    ("plan=thesis action=sumbit", "action=sumbit is unknown", "did you mean submit?"),
    ("submit plan=thesis backend=slrum", "unknown backend config 'slrum'", "did you mean slurm?"),
    ("plan=thesis plan.steps.train_bretl.slurm.time=1:00:00",
     "plan.steps has no step 'train_bretl'", "did you mean train_"),
    ("plan=thesis plan.steps.train_bert.epoch=3", "Could not override", "'epoch'"),
    ("plan=thesis no.such=key", "no.such", None),
    ("plan=thesis slurm.time=[", "", None),
    ("--config-dir nowhere plan=thesis", "--config-dir nowhere: no such folder", None),
    ("plan=thesis sweep.jion=[plot]", "sweep.jion is unknown", "did you mean join?"),
    ("-m plan=thesis lr=1,2 sweep.jion=[plot]", "sweep.jion is unknown", "did you mean join?"),
    ("-m plan=thesis lr=1,2 +sweep.jion=[plot]", "sweep.jion is unknown", "packed, share"),
    # flags
    ("plan=fine --nope", "unrecognized arguments: --nope", "planit --hydra-help"),
    ("plan=fine --multrun", "unrecognized arguments: --multrun", "did you mean --multirun?"),
    ("plan=fine --multi", "unrecognized arguments: --multi", "did you mean --multirun?"),
    ("plan=fine --cfg", "argument --cfg/-c: expected one argument", None),
    ("plan=fine --info", "--info needs a value", "defaults-tree, plugins"),
    ("-i -m plan=fine", "-i needs a value", "one of all, config"),
    ("-sc query=bash plan=fine", "Hydra's shell completion", "planit completion bash"),
    ("--hydra-help plan=x", "--hydra-help stands alone: plan=x has no effect", None),
    ("plan=fine --config-path conf", "--config-path conf: Hydra would look", "--config-dir conf"),
    ("-cp", "-cp needs a value", "-cp DIR"),
    ("plan=fine --cfg no", "argument --cfg/-c: invalid choice: 'no'", None),
    ("plan=fine --resolve", "The --resolve flag can only be used in conjunction with --cfg", None),
    ("plan=fine --run -m", "Only one of --run, --multirun", None),
    ("submit plan=fine backend=debug --experimental-rerun=x",
     "--experimental-rerun is not supported", "planit resume"),
    ("--experimental-rerun x", "--experimental-rerun is not supported", "planit resume"),
    ("submit config -m", "config", None),
    ("plan=fine hydra.run.dir=made", "hydra.run.dir is set by planit itself", "runs_dir=DIR"),
    ("plan=fine hydra.callbacks.x=1", "hydra.callbacks.x is set by planit itself", None),
    ("status --nope", "unrecognized arguments: --nope", "planit status --help"),
    ("logs --tail -1", "'-1' is not a number of at least 0", "planit logs --help"),
    ("runs -n -1", "'-1' is not a number of at least 0", "planit runs --help"),
    # null is no config of a group
    ("plan=null", "plan=null: a config group takes a name", "~plan leaves it out"),
    ("plan=null -m", "plan=null: a config group takes a name", "~plan leaves it out"),
    ("plan=fine,null -m", "the configuration has no plan", None),
    ("plan=thesis slurm=cpu,null -m", "Interpolation key 'slurm' not found", None),
    ("-m plan=fine sweep.max_concurrent=0", "sweep.max_concurrent must be a whole number", None),
    ("-m plan=fine sweep.packed=3", "sweep.packed must name SLURM arguments", "sweep.packed=cpu"),
    ("-m plan=fine sweep.packed={slurm_args:cpu,job:4}", "sweep.packed.job is unknown", "jobs"),
    ("-m plan=fine sweep.packed=cpuu", "unknown SLURM preset 'cpuu'", "did you mean cpu?"),
    ("-m plan=fine sweep.join=[[a]]", "sweep.join must be a list of steps", None),
    # a folder whose name is too long
    (f"submit plan=fine runs_dir={'x' * 300}", "File name too long", None),
    (f"status --runs-dir {'x' * 300}", "File name too long", None),
    (f"plan=fine --config-dir {'x' * 300}", "File name too long", None),
    # a bad time
    ("plan=thesis slurm.time=soon", "time 'soon' is not a wall time", "HH:MM:SS"),
    ("plan=thesis slurm.time=7200", "time must be text, not 7200", "base 60"),
    ("plan=fine slurm=unquoted plan.steps.a.slurm_args=unquoted",
     "time must be text, not 43200", 'quotes, for instance "12:00:00"'),
    ("plan=own_time", "plan.steps.a.slurm_args: time must be text, not 5400", '"1:30:00"'),
    # a SLURM field that does not exist, or is missing
    ("plan=thesis +slurm.gpus_per_nod=1", "SlurmArgs has no field 'gpus_per_nod'",
     "did you mean gpus_per_node?"),
    ("plan=thesis slurm=unknown_field", "SlurmArgs has no field 'gpus_per_nod'", "gpus_per_node"),
    ("plan=thesis slurm=no_partition", "SlurmArgs needs 'partition'", "set partition"),
    ("plan=raw", "unknown SLURM argument 'qos'", "slurm_qos"),
    # the VSC's presets before they are filled in
    ("plan=thesis slurm=wice_a100", "slurm.account is not set", "set slurm.account=..."),
    ("plan=thesis slurm=wice_a100 slurm.account=x",
     "slurm.mail_user is not set", "set slurm.mail_user=..."),
    ("plan=thesis slurm@cpu=genius_batch", "cpu.account is not set", "set cpu.account=..."),
    ("plan=thesis plan.steps.train_bert.slurm_args=wice_h100",
     "plan.steps.train_bert.slurm_args: account is not set",
     "set plan.steps.train_bert.slurm.account=..."),
    # functions
    ("submit plan=func_missing backend=debug", "step 'a': os has no 'getcwdd'", "getcwd"),
    ("submit plan=func_module backend=local backend.cpus=8",
     "step 'a': no module named 'no_such_module'", "installed"),
    ("submit plan=func_value backend=local backend.cpus=8",
     "step 'a': os.sep is a str, not something that can be called", None),
    ("submit plan=func_argument backend=local backend.cpus=8", "step 'a': ", None),
    ("plan=func_number", "func must be a callable or a dotted path, not 3", "without calling it"),
    ("plan=no_func", "plan.steps.a: Step has no func", "set plan.steps.a.func"),
    ("plan=no_args", "plan.steps.a: Step has no slurm_args", "set plan.steps.a.slurm_args"),
    # the tree
    ("plan=twice", "two steps are called 'a': at Chain[0] and at Chain[1]", "unique"),
    ("plan=same_name", "at Chain[0] and at Chain[1].Parallel[0]", "unique"),
    ("plan=no_root", "plan has no root", "set plan.root"),
    ("plan=no_name", "plan has no name", "set plan.name"),
    ("plan=root_list", "plan.root: a node is expected, not ['a']", "planit.Chain"),
    ("plan=step_list", "plan.steps must map names to steps", None),
    ("plan=child_number", "plan.root._args_[1]: a node is expected, not 5", "planit.Chain"),
    ("plan=child_unknown", "plan.root._args_[1]: plan.steps has no step 'b'", "known: a"),
    ("plan=child_other", "plan.root._args_[0]: datetime.date is not a node", "name and slurm_args"),
    ("plan=child_typo", "planit.Chian is not a node", "Parallel and Packed"),
    ("plan=extra", "plan.rooot is not a part of a plan", "did you mean root?"),
    ("plan=reference", "plan.steps.a.slurm_args: Interpolation key 'cpuu' not found", None),
    ("plan=broken", "broken.yaml, line 4: ", "fix the YAML"),
    ("plan=command", "plan.steps.a: Command has no 'cdw'", "did you mean cwd?"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "says", "hint"), BAD, ids=[words for words, _, _ in BAD])
def test_bad_input_gives_one_clear_line(
    project: Path, words: str, says: str, hint: str | None
) -> None:
    before = all_below(project)
    done = planit_here(*words.split(), cwd=project)
    assert_one_clear_line(done, says, hint)
    assert all_below(project) == before


def test_where_there_is_no_slurm_the_error_is_still_the_first_line(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    done = planit_here("submit", "plan=func_missing", "backend.cpus=8", cwd=project)
    assert_one_clear_line(done, "step 'a': os has no 'getcwdd'", "getcwd")


@pytest.mark.parametrize("words", [(), ("-m", "plan.steps.a.slurm.time='1','2'")])
def test_steps_that_the_root_does_not_name_are_told_once(
    project: Path, words: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    done = planit_here("describe", "plan=unnamed", *words, cwd=project)
    assert done.code == 0, done
    assert caplog.messages == [
        "warning: plan.root does not name the step 'b' of plan.steps, nor 'c': not run"
    ]
