"""The text of sbatch scripts, byte for byte. How they behave is in test_script_runs.py."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from planit import PlanError, SlurmArgs
from planit.backends.slurm.rendezvous import FOR_SRUN, RENDEZVOUS
from planit.backends.slurm.script import ScriptSpec, job_name, needs_srun, script_text
from planit.nodes.slurm_args import resources_of

RUN = Path("/runs/p/r1")


def spec(options: dict[str, Any], **changes: Any) -> ScriptSpec:
    values = {
        "plan": "p",
        "name": "train",
        "run_dir": RUN,
        "tag": "planit:r1:1.0",
        "python": "python3",
    }
    return ScriptSpec(options=options, **{**values, **changes})


def single(options: dict[str, Any], **changes: Any) -> str:
    return script_text(spec(options, **changes).for_step("train", RUN / "steps/train"))


def directives(text: str) -> dict[str, str]:
    mark = "#SBATCH --"
    lines = [line.removeprefix(mark) for line in text.splitlines() if line.startswith(mark)]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


CPU = SlurmArgs(time="01:00:00", partition="batch", cpus_per_task=8).resources.options

WAIT = """\
planit_forward() {
    for planit_signal in TERM INT HUP USR1 USR2; do
        trap "kill -s $planit_signal \\"\\$planit_child\\" 2> /dev/null" "$planit_signal"
    done
}
planit_run() {
    "$@" &
    planit_child=$!
    while wait "$planit_child"; planit_code=$?; [ "$planit_code" -gt 128 ] &&
        kill -0 "$planit_child" 2> /dev/null; do :; done
    return "$planit_code"
}
planit_forward
"""

FILES = "$PLANIT_RUN_DIR/stages/$PLANIT_SUBMISSION.$PLANIT_STAGE/$PLANIT_TASK"
END = """\
# Slurm releases the steps behind this one by the exit code: never without an end marker.
if [ "$planit_code" -eq 0 ]; then
    { read -r planit_end < "RECORD.json"; } 2> /dev/null
    if [[ $planit_end != *'"outcome": "succeeded"'* ]]; then
        echo "planit: the step left no end marker" >&2
        planit_code=1
    fi
fi
exit "$planit_code"
""".replace("RECORD", f"{FILES}.$PLANIT_RESTART")

SIMPLE = f"""\
{WAIT}planit_run python3 -P -u -m planit.job.worker run
planit_code=$?
{END}"""

SINGLE = f"""\
#!/bin/bash
#SBATCH --job-name=p/train
#SBATCH --time=01:00:00
#SBATCH --partition=batch
#SBATCH --cpus-per-task=8
#SBATCH --comment=planit:r1:1.0
#SBATCH --output=/runs/p/r1/stages/1.0/0.log
#SBATCH --open-mode=append

export PLANIT_RUN_DIR=/runs/p/r1
export PLANIT_SUBMISSION=1 PLANIT_STAGE=0
export PLANIT_RESTART=${{SLURM_RESTART_COUNT:-0}}
export PLANIT_TASK=0
export PLANIT_STEP=train
export PLANIT_STEP_DIR=/runs/p/r1/steps/train
export SUBMITIT_EXECUTOR=slurm SUBMITIT_FOLDER=/runs/p/r1/stages/1.0

{SIMPLE}"""


def test_the_script_of_a_single_job() -> None:
    assert single(CPU) == SINGLE


NOTE = """\
planit_note() {
    ((planit_first < $1 && $1 != planit_at)) || return 0
    planit_at=$1
    { echo "at $1" > "$planit_exit"; } 2> /dev/null
}
planit_first=$LINENO planit_at=0
trap 'planit_note "$LINENO"' DEBUG ERR
"""

USERS = """\
# planit: setup
module load CUDA
source venv/bin/activate
trap - DEBUG
[[ $(trap -p ERR) != *planit_note* ]] || trap - ERR
"""

LINES = f"""\
{WAIT}# Nothing of the user's runs before the record says that the step may run.
python3 -P -u -m planit.job.worker open || exit $?
planit_exit="{FILES}.$PLANIT_RESTART.exit"
rm -f "$planit_exit"
planit_lines() {{
planit_forward
set -e
{NOTE}{USERS}set +e
: > "$planit_exit"
planit_run python3 -P -u -m planit.job.worker step
echo $? > "$planit_exit"
rm -rf scratch
}}
planit_run planit_lines
planit_code=$?
planit_end=
{{ read -r planit_end < "$planit_exit"; }} 2> /dev/null
case "$planit_end" in
at*)
    planit_end=$(awk -v at="${{planit_end#at }}" '/^# planit: / {{ field = $3; first = NR }} \
NR == at {{ sub(/^ +/, ""); print field " line " NR - first ": " $0; exit }}' "$0" 2> /dev/null)
    echo "planit: ${{planit_end:=the setup lines}}: exit code $planit_code" >&2
    printf "%s\\t%s\\n" "$planit_end" "$planit_code" > "$planit_exit"
    [ "$planit_code" -ne 0 ] || planit_code=1 ;;
?*)
    planit_code=$planit_end
    rm -f "$planit_exit" ;;
*)
    echo "planit: the lines around the step ended with exit code $planit_code" >&2
    [ "$planit_code" -ne 0 ] || planit_code=1 ;;
esac
python3 -P -u -m planit.job.worker close "$planit_code"
planit_code=$?
{END}""".replace("\\\n", "")


def test_the_script_with_setup_and_teardown_lines() -> None:
    lines = {
        "setup": ["module load CUDA", "source venv/bin/activate"],
        "teardown": ["rm -rf scratch"],
    }
    text = single({**CPU, **lines})
    assert text == SINGLE.replace(SIMPLE, LINES)


ARRAY = f"""\
#!/bin/bash
#SBATCH --job-name=p/train
#SBATCH --time=01:00:00
#SBATCH --partition=batch
#SBATCH --cpus-per-task=8
#SBATCH --comment=planit:r1:1.0
#SBATCH --array=0-9
#SBATCH --output=/runs/p/r1/stages/1.0/%a.log
#SBATCH --open-mode=append

export PLANIT_RUN_DIR=/runs/p/r1
export PLANIT_SUBMISSION=1 PLANIT_STAGE=0
export PLANIT_RESTART=${{SLURM_RESTART_COUNT:-0}}
export PLANIT_TASK=$SLURM_ARRAY_TASK_ID
planit_task=$(sed -n "$((PLANIT_TASK + 1))p" /runs/p/r1/arrays/1.0/tasks)
IFS=$'\\t' read -r planit_slug PLANIT_STEP <<< "$planit_task"
export PLANIT_STEP PLANIT_STEP_DIR="$PLANIT_RUN_DIR/steps/$planit_slug"
planit_job=${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}
# So that squeue and sacct show which branch this task is.
timeout 10 scontrol update JobId="$planit_job" JobName=p/"${{PLANIT_STEP:0:198}}" &> /dev/null
export SUBMITIT_EXECUTOR=slurm SUBMITIT_FOLDER=/runs/p/r1/stages/1.0

{SIMPLE}"""


def test_the_script_of_an_array() -> None:
    assert script_text(spec(CPU).for_array(RUN / "arrays/1.0/tasks", 10)) == ARRAY


def test_several_tasks_are_started_by_srun_with_a_log_each() -> None:
    nodes = "#SBATCH --cpus-per-task=8\n#SBATCH --nodes=2\n"
    text = SINGLE.replace("#SBATCH --cpus-per-task=8\n", nodes)
    srun = (
        "planit_run srun --export=ALL --unbuffered --kill-on-bad-exit=1 --open-mode=append"
        f' --output "{FILES}.%t.log" python3 -P -u -m planit.job.worker step'
    )
    own = LINES.replace(NOTE, "").replace(USERS, "")
    planit_exit = 'planit_exit="'
    own = own.replace(planit_exit, "\n".join([*RENDEZVOUS, *FOR_SRUN, planit_exit]), 1)
    own = own.replace("rm -rf scratch\n", "")
    own = own.replace("planit_run python3 -P -u -m planit.job.worker step", srun)
    assert single({**CPU, "nodes": 2}) == text.replace(SIMPLE, own)


def test_several_tasks_of_an_array_task_have_a_log_each() -> None:
    text = script_text(spec({**CPU, "nodes": 2}).for_array(RUN / "arrays/1.0/tasks", 3))
    assert f'--output "{FILES}.%t.log" python3 -P -u -m' in text


BOX = {"image": "x.sif", "mounts": ["/data:/data"], "args": ["--cleanenv"]}
WORKER = "-P -u -m planit.job.worker step"
HERE = '"${PLANIT_RUN_DIR?}:${PLANIT_RUN_DIR?}'


@pytest.mark.parametrize(
    ("fields", "launches", "line"),
    [
        ({"venv": "/v"}, True, f"planit_run python3 {WORKER}"),
        ({"venv": "/v"}, False, f"planit_run base {WORKER}"),
        ({"conda": "c", "python": "my python"}, True, f"planit_run my python {WORKER}"),
        (
            {"container": BOX | {"nv": True}},
            True,
            (
                f'planit_run apptainer exec --nv --bind {HERE}" --bind "/data:/data" --cleanenv'
                f' "x.sif" python3 {WORKER}'
            ),
        ),
        (
            {"container": BOX},
            False,
            (
                f"PLANIT_CONTAINER=$(printf '%q ' apptainer exec --bind {HERE}\" --bind"
                ' "/data:/data" --cleanenv "x.sif")'
            ),
        ),
        (
            {"container": BOX | {"runtime": "pyxis"}, "workdir": "/w", "srun_args": ["--mpi=pmix"]},
            True,
            (
                "planit_run srun --export=ALL --unbuffered --kill-on-bad-exit=1 --open-mode=append"
                f' --container-image="x.sif" --container-mounts={HERE},/data:/data"'
                f' --container-workdir="$PWD" --cleanenv --mpi=pmix python3 {WORKER}'
            ),
        ),
        (
            {"container": {"image": "a+b", "runtime": "pyxis"}},
            False,
            (
                "PLANIT_CONTAINER=$(printf '%q ' srun --nodes=1 --ntasks=1"
                f' --container-image="a+b" --container-mounts={HERE}")'
            ),
        ),
        ({"container": BOX, "nodes": 2}, True, f'"x.sif" python3 {WORKER}'),
        (
            {"env": {"A": "$B/${C}", "D": "~/x"}},
            True,
            'export A="${B?}/${C?}"\nexport D="${HOME?}/x"',
        ),
        ({"modules": ["a/1", "b"]}, True, "# planit: modules\nmodule load a/1\nmodule load b\n"),
    ],
)
def test_the_environment_of_a_step(fields: dict[str, Any], launches: bool, line: str) -> None:
    options = SlurmArgs("5", "batch", **fields).resources.options
    text = single(options, launches=launches, python="base")
    assert line in text
    assert "--container" not in text.partition("planit_lines")[0]


def test_the_environment_takes_effect_in_its_order() -> None:
    args = SlurmArgs(
        "5", "batch", workdir="/w", env={"A": "1"}, venv="/v", setup=["x"], modules=["m"]
    )  # fmt: skip
    text = single(args.resources.options)
    marks = [line.split()[2] for line in text.splitlines() if line.startswith("# planit: ")]
    assert marks == ["modules", "setup", "venv", "env", "workdir"]


def test_a_users_comment_keeps_its_place_before_the_tag() -> None:
    for text in ("two words", "it's"):
        options = resources_of({"slurm_time": "1:00:00", "slurm_comment": text}).options
        written = shlex.split(directives(single(options))["comment"])
        assert written == [f"{text} planit:r1:1.0"]
    assert directives(single({**CPU, "comment": "mine"}))["comment"] == "'mine planit:r1:1.0'"
    assert directives(single({**CPU, "comment": ""}))["comment"] == "planit:r1:1.0"


def test_a_request_for_no_gpus_is_not_written() -> None:
    assert "gpus" not in single({**CPU, "gpus_per_node": 0})
    assert directives(single({**CPU, "gpus_per_node": 2}))["gpus-per-node"] == "2"


def test_flags_are_written_without_a_value_and_unset_ones_not_at_all() -> None:
    more = {"requeue": True, "no_kill": False, "qos": None}
    found = directives(single({**CPU, "exclusive": True, "additional_parameters": more}))
    assert found["exclusive"] == found["requeue"] == ""
    assert not {"no-kill", "qos"} & set(found)


def test_a_zero_that_the_user_set_is_written() -> None:
    """``--mem=0`` asks for all memory of a node."""
    assert directives(single({**CPU, "additional_parameters": {"mem": 0}}))["mem"] == "0"


@pytest.mark.parametrize("key", ["signal_delay_s", "stderr_to_stdout", "srun_args", "use_srun"])
def test_what_is_no_option_of_sbatch_is_not_written(key: str) -> None:
    assert key.replace("_", "-") not in single({**CPU, key: []})


def test_a_step_that_can_checkpoint_is_warned_and_runs_as_a_job_step() -> None:
    text = single(CPU, checkpoints=True)
    assert directives(text)["signal"] == "USR2@90"
    assert "\nplanit_run srun " in text
    assert directives(single({**CPU, "signal_delay_s": 30}, checkpoints=True))["signal"] == (
        "USR2@30"
    )


def test_values_with_spaces_are_quoted() -> None:
    found = directives(single({**CPU, "constraint": "a100&nvlink|h100", "exclude": "n[1-2]"}))
    assert found["constraint"] == "'a100&nvlink|h100'"
    assert found["exclude"] == "'n[1-2]'"


def test_a_percent_sign_in_a_path_is_no_pattern_for_slurm() -> None:
    run = Path("/runs/100%j")
    text = script_text(spec(CPU, run_dir=run).for_step("train", run / "steps/t"))
    assert directives(text)["output"] == "/runs/100%%j/stages/1.0/0.log"


@pytest.mark.parametrize("path", [Path("/runs/a\nb"), Path("/runs/a\x07b")])
def test_a_path_with_control_characters_is_refused(path: Path) -> None:
    with pytest.raises(PlanError, match="control characters"):
        script_text(spec(CPU).for_step("train", path))
    with pytest.raises(PlanError, match="control characters"):
        script_text(spec(CPU, run_dir=path).for_step("train", RUN))


@pytest.mark.parametrize(
    "options",
    [
        {"nodes": 3},
        {"additional_parameters": {"ntasks": 2}},
        {"additional_parameters": {"ntasks-per-node": 2}},
        {"additional_parameters": {"nodes": "2"}},
    ],
)
def test_srun_starts_a_process_for_each_task_wherever_they_are_asked_for(
    options: dict[str, Any],
) -> None:
    assert needs_srun(options, checkpoints=False, launches=True)
    assert (
        "planit_run srun --export=ALL --unbuffered --kill-on-bad-exit=1 --open-mode=append"
        f' --output "{FILES}' in (single({**CPU, **options}))
    )


def test_an_option_is_written_once_and_additional_parameters_win() -> None:
    text = single({**CPU, "nodes": 1, "additional_parameters": {"cpus-per-task": 4, "nodes": 2}})
    assert text.count("--cpus-per-task") == text.count("--nodes") == 1
    assert directives(text)["cpus-per-task"] == "4"


def test_a_dependency_of_the_whole_plan_stands_in_the_script() -> None:
    found = directives(single(CPU, dependency="afterok:7", cancels=True))
    assert (found["dependency"], found["kill-on-invalid-dep"]) == ("afterok:7", "yes")
    assert "kill-on-invalid-dep" not in directives(single(CPU, dependency="afterok:7"))


def test_a_job_is_called_by_its_plan_and_step() -> None:
    assert job_name("thesis", "train[lr=0.1]") == "thesis/train[lr=0.1]"
    assert len(job_name("p", "x" * 2000)) == 200  # Slurm refuses more than 1024 bytes


def test_a_name_of_the_users_own_stays() -> None:
    text = script_text(spec({**CPU, "job_name": "mine"}).for_array(RUN / "arrays/1.0/tasks", 3))
    assert directives(text)["job-name"] == "mine"
    assert "JobName" not in text


@pytest.mark.parametrize(
    ("options", "checkpoints", "launches", "srun"),
    [
        ({"nodes": 2}, False, False, False),  # a Command starts its own srun
        ({"srun_args": ["--mpi=pmix"]}, False, False, True),
        ({"use_srun": False, "nodes": 2}, True, True, False),
        ({"use_srun": True}, False, False, True),
        ({"signal": "USR1@60"}, False, True, True),
        ({"signal": "B:USR1@60"}, False, True, False),
        ({"additional_parameters": {"signal": "USR1@60"}}, False, False, False),
        ({}, True, True, True),
    ],
)
def test_srun_is_used_where_it_is_needed_or_asked_for(
    options: dict[str, Any], checkpoints: bool, launches: bool, srun: bool
) -> None:
    assert needs_srun(options, checkpoints=checkpoints, launches=launches) == srun
