"""The sbatch script of a stage: text in, text out.

Whatever the user's setup and teardown lines do (fail, exit, set traps), the exit code of the job
is that of the step, and never 0 without an end marker: Slurm releases dependents by this code.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from planit.backends.environment_lines import command_container, container_words, python_of
from planit.backends.shell import WAIT, lines_around
from planit.backends.slurm.rendezvous import FOR_SRUN, RENDEZVOUS
from planit.errors import PlanError
from planit.nodes.flags import flags_of, task_count
from planit.nodes.step_environment import needs_shell, uses_pyxis
from planit.record.run_dir import RunDir
from planit.record.stage_dir import StageDir
from planit.record.task_files import (
    SUCCESS_IN_BASH,
    log_pattern,
    rank_log_in_bash,
    record_in_bash,
)
from planit.record.trust import TRUST_GROUP

DEFAULT_SIGNAL_DELAY_S = 90
_NAME_CHARACTERS = 200


@dataclass(frozen=True)
class ScriptSpec:
    """Everything that decides the text of a script.

    Attributes:
        plan, name: of the plan, and of the step or of all steps of the array.
        options: submission parameters under submitit's names.
        run_dir: the run directory.
        step: name of the step, for a single job; None for an array.
        step_dir: folder of the step, for a single job.
        task_list: for an array the file whose line i holds slug and name of task i.
        array: sbatch's ``--array`` expression, or None.
        tag: unique text for the job's comment, by which it can be found again.
        python: shell words that start Python.
        attempt: number of the submission.
        stage: number of the stage.
        checkpoints: whether a task can save itself when Slurm warns it.
        launches: whether the step is started once for each Slurm task, by srun.
        cancels: whether a step that fails cancels what waits for it.
        packed: whether each job runs many steps of the stage.
        dependency: what the job waits for besides the steps before it, in sbatch's words, or None.
        trust_group: whether the user trusts who can write to the folders above the run.
    """

    plan: str
    name: str
    options: Mapping[str, Any]
    run_dir: Path
    tag: str
    python: str
    step: str | None = None
    step_dir: Path | None = None
    task_list: Path | None = None
    array: str | None = None
    attempt: int = 1
    stage: int = 0
    checkpoints: bool = False
    launches: bool = True
    trust_group: bool = False
    cancels: bool = False
    dependency: str | None = None
    packed: bool = False

    def for_packed(self, jobs: int, max_running: int | None = None) -> ScriptSpec:
        """The script of `jobs` packed jobs."""
        limit = f"%{max_running}" if max_running is not None else ""
        array = f"0-{jobs - 1}{limit}" if jobs > 1 else None
        return replace(self, packed=True, array=array, checkpoints=False)

    def for_step(self, step: str, step_dir: Path) -> ScriptSpec:
        """The script of a single job."""
        return replace(self, step=step, step_dir=step_dir)

    def for_array(self, task_list: Path, count: int, max_running: int | None = None) -> ScriptSpec:
        """The script of an array of `count` tasks, of which at most `max_running` run at once."""
        limit = f"%{max_running}" if max_running is not None else ""
        return replace(self, task_list=task_list, array=f"0-{count - 1}{limit}")


def script_text(spec: ScriptSpec) -> str:
    """The script, ready for sbatch."""
    for path in (spec.run_dir, spec.step_dir):
        if path is not None and not str(path).isprintable():
            raise PlanError(f"the path {str(path)!r} has control characters")
    lines = ["#!/bin/bash", *_directives(spec), "", *_environment(spec), "", *_body(spec)]
    return "\n".join(lines) + "\n"


def _directives(spec: ScriptSpec) -> list[str]:
    flags = {"job_name": job_name(spec.plan, spec.name), **flags_of(spec.options)}
    if not flags.get("gpus_per_node", True):
        del flags["gpus_per_node"]  # some sites refuse a request for no GPUs
    comment = flags.get("comment")
    flags["comment"] = f"{comment} {spec.tag}" if comment else spec.tag
    if spec.checkpoints:
        delay = spec.options.get("signal_delay_s", DEFAULT_SIGNAL_DELAY_S)
        flags.setdefault("signal", f"USR2@{delay}")
    if spec.array is not None:
        flags["array"] = spec.array
    if spec.dependency is not None:  # which sbatch's command line replaces for other steps
        flags["dependency"] = spec.dependency
        if spec.cancels:
            flags["kill_on_invalid_dep"] = "yes"
    flags["output"] = _log_pattern(spec)
    flags["open_mode"] = "append"
    return [
        _directive(name, value)
        for name, value in flags.items()
        if value is not None and value is not False
    ]


def job_name(plan: str, step: str) -> str:
    """``thesis/train``: what squeue and sacct show; Slurm takes up to 1024 bytes."""
    return f"{plan}/{step}"[:_NAME_CHARACTERS]


def _rename(plan: str) -> str:
    """Gives the job planit_job the name of the step in PLANIT_STEP."""
    start = job_name(plan, "")
    name = f'{shlex.quote(start)}"${{PLANIT_STEP:0:{_NAME_CHARACTERS - len(start)}}}"'
    return f'timeout 10 scontrol update JobId="$planit_job" JobName={name} &> /dev/null'


def _log_pattern(spec: ScriptSpec) -> str:
    stage = StageDir(spec.run_dir, spec.attempt, spec.stage)
    folder = stage.path
    if spec.packed:
        log = stage.packed_log("%a" if spec.array else None).name
        return f"{str(folder).replace('%', '%%')}/{log}"
    log = log_pattern(None if spec.task_list is not None else 0)
    return f"{str(folder).replace('%', '%%')}/{log}"


def _directive(name: str, value: Any) -> str:
    flag = name.replace("_", "-")
    if value is True:
        return f"#SBATCH --{flag}"
    text = str(value).replace("\\", "\\\\")  # sbatch, unlike a shell, reads it in quotes too
    return f"#SBATCH --{flag}={shlex.quote(text)}"


def _environment(spec: ScriptSpec) -> list[str]:
    lines = [
        f"export PLANIT_RUN_DIR={shlex.quote(str(spec.run_dir))}",
        f"export PLANIT_SUBMISSION={spec.attempt} PLANIT_STAGE={spec.stage}",
    ]
    if spec.cancels:
        lines.append("export PLANIT_CANCELS=1")
    if spec.trust_group:
        lines.append(f"export {TRUST_GROUP}=1")
    lines.append("export PLANIT_RESTART=${SLURM_RESTART_COUNT:-0}")
    if spec.packed:
        lines += ["export PLANIT_TASK=packed$SLURM_ARRAY_TASK_ID"]
    elif spec.task_list is None:
        lines += [
            "export PLANIT_TASK=0",
            f"export PLANIT_STEP={shlex.quote(str(spec.step))}",
            f"export PLANIT_STEP_DIR={shlex.quote(str(spec.step_dir))}",
        ]
    else:
        tasks = shlex.quote(str(spec.task_list))
        step_dir = RunDir(Path("$PLANIT_RUN_DIR")).step_dir("$planit_slug")
        lines += [
            "export PLANIT_TASK=$SLURM_ARRAY_TASK_ID",
            f'planit_task=$(sed -n "$((PLANIT_TASK + 1))p" {tasks})',
            "IFS=$'\\t' read -r planit_slug PLANIT_STEP <<< \"$planit_task\"",
            f'export PLANIT_STEP PLANIT_STEP_DIR="{step_dir}"',
        ]
        if "job_name" not in flags_of(spec.options):
            lines += [
                "planit_job=${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}",
                "# So that squeue and sacct show which branch this task is.",
                _rename(spec.plan),
            ]
    folder = StageDir(spec.run_dir, spec.attempt, spec.stage).path
    # What submitit's JobEnvironment reads, besides Slurm's own variables.
    return [*lines, f"export SUBMITIT_EXECUTOR=slurm SUBMITIT_FOLDER={shlex.quote(str(folder))}"]


def _body(spec: ScriptSpec) -> list[str]:
    if spec.packed:
        return _packed_body(spec)
    worker = f"{spec.python} -P -u -m planit.job.worker"
    if _is_simple(spec):
        run = [f"planit_run {worker} run", "planit_code=$?"]
    else:
        extra = [] if spec.launches else command_container(spec.options)
        several = task_count(flags_of(spec.options)) > 1
        run = [
            "# Nothing of the user's runs before the record says that the step may run.",
            f"{worker} open || exit $?",
            *(RENDEZVOUS if several else []),
            *(FOR_SRUN if several or _needs_srun(spec) else []),
            *lines_around(_command(spec), spec.options, extra),
            f'{worker} close "$planit_code"',
            "planit_code=$?",
        ]
    return [
        WAIT,
        *run,
        "# Slurm releases the steps behind this one by the exit code: never without an end marker.",
        'if [ "$planit_code" -eq 0 ]; then',
        f'    {{ read -r planit_end < "{record_in_bash()}"; }} 2> /dev/null',
        f"    if [[ $planit_end != *{SUCCESS_IN_BASH}* ]]; then",
        '        echo "planit: the step left no end marker" >&2',
        "        planit_code=1",
        "    fi",
        "fi",
        'exit "$planit_code"',
    ]


def _packed_body(spec: ScriptSpec) -> list[str]:
    """The engine's exit code is the job's: 0 only if it has seen each step's end marker say so."""
    run = "-P -u -m planit.backends.local packed"
    engine = f"{python_of(spec.options, spec.python, launches=True)} {run}"
    if not needs_shell(spec.options):
        return [WAIT, f"planit_run {engine}", 'exit "$?"']
    return [
        WAIT,
        "# Nothing of the user's runs before the record says that the steps may run.",
        f"{spec.python} {run}-check || exit $?",
        *lines_around(engine, spec.options),
        'exit "$planit_code"',
    ]


def _is_simple(spec: ScriptSpec) -> bool:
    """Whether the script has nothing to do but to start one worker."""
    several = task_count(flags_of(spec.options)) > 1
    return not (needs_shell(spec.options) or several or _needs_srun(spec))


def _needs_srun(spec: ScriptSpec) -> bool:
    return needs_srun(spec.options, checkpoints=spec.checkpoints, launches=spec.launches)


def _command(spec: ScriptSpec) -> str:
    python = python_of(spec.options, spec.python, launches=spec.launches)
    worker = f"{python} -P -u -m planit.job.worker step"
    container = " ".join(container_words(spec.options)) if spec.launches else ""
    if not _needs_srun(spec):
        return " ".join(word for word in [container, worker] if word)
    extra = shlex.join(spec.options.get("srun_args") or [])
    output = f'--output "{rank_log_in_bash()}"' if task_count(flags_of(spec.options)) > 1 else ""
    words = ["srun --export=ALL --unbuffered --kill-on-bad-exit=1 --open-mode=append", output]
    inner = [container, extra] if uses_pyxis(spec.options) else [extra, container]
    return " ".join(word for word in [*words, *inner, worker] if word)


def needs_srun(options: Mapping[str, Any], *, checkpoints: bool, launches: bool) -> bool:
    """Whether the worker starts through srun.

    A single task needs no inner job step: it saves a second or more per job, and leaves srun free
    for the step itself. Several tasks need one to be started, as does a container of pyxis, and a
    signal before the end reaches only job steps (or, with "B:", the script, which hands it on).
    """
    if options.get("use_srun") is not None:
        return bool(options["use_srun"])
    several = task_count(flags_of(options)) > 1
    signal = str(flags_of(options).get("signal") or "B:")
    in_srun = launches and (several or uses_pyxis(options) or not signal.startswith("B:"))
    return checkpoints or bool(options.get("srun_args")) or in_srun
