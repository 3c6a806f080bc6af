"""``planit`` and ``python -m planit``: finds the verb, runs it, turns errors into exit codes."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import planit
from planit.app import streams, verbs
from planit.errors import ConfigError, PlanitError, RunError, StepsFailedError, suggest
from planit.status.states import printable

# Errors of a path that the user gave, or of the file system; others are errors of planit's.
_NOT_OURS = (
    errno.EACCES,
    errno.EDQUOT,
    errno.EIO,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
    errno.ESTALE,
)

_BUG = f"This is a bug in planit {planit.__version__}: please report it, with all of the above"

USAGE = """\
planit: write the plan once, queue all of it or none.

usage: planit [VERB] [ARGUMENTS]

  planit init                                 begin: a plan, a primary config, and presets of this
                                              cluster; planit init --help
  planit plan=thesis                          show the tree, its critical path and estimate
  planit check plan=thesis                    tell everything that is wrong with it
  planit submit plan=thesis slurm.time=04:00:00
                                              submit every step, or none
  planit submit -m plan=thesis lr=1e-3,1e-4 seed=0,1,2
                                              a sweep: its branches as one plan

verbs that take a plan (Hydra overrides: key=value):
  describe    show the plan (the default); the same as action=describe
  check       tell all at once that can be found before the plan is in the queue: functions,
              arguments, configurations, and what the cluster would refuse
  submit      submit the plan; the same as action=submit
  schema      print a JSON Schema of plan files for editors; of plan=NAME with its functions'
              parameters; planit schema --help says how to use it
{more}
  completion  SHELL (bash, zsh, fish): print what makes it complete planit's words

where things come from:
  plan=NAME                        conf/plan/NAME.yaml
  slurm=NAME, slurm.FIELD=VALUE    the preset of the main steps, conf/slurm/NAME.yaml
  cpu.FIELD=VALUE                  the preset of the light steps
  plan.steps.STEP.PARAMETER=VALUE  a parameter of one step
  plan.steps.STEP.slurm_args=NAME  another preset for one step
  plan.steps.STEP.slurm.time=TIME  one field of one step's SLURM arguments
  --config-dir DIR                 your conf/ folder, if it is not ./conf
  --cfg job                        print the composed configuration
  --hydra-help                     what else Hydra's command line can do

a part of a plan (describe, check, submit):
  --from STEP          STEP and everything behind it; a name without its branch means all
                       branches, 'train[lr=0.1*]' is a pattern
  --until STEP         STEP and everything that must succeed before it
  --only STEP          just STEP; each of these can be given several times
  --after RUN          the rest is done in RUN: its folders and results are used

where a plan runs:
  backend=auto         on Slurm where there is sbatch, else on this machine (the default)
  backend=slurm        on Slurm
  backend=local        here, a process per step; --detach in the background,
                       backend.cpus=N, .gpus=N, .mem_gb=N: what steps can have,
                       backend.isolation=spawn: a fresh interpreter for each,
                       backend.kill_wait_s=N: from SIGTERM to SIGKILL (30)
  backend=debug        here, in this process, step by step: breakpoints work
sweeps (-m or --multirun):
  KEY=A,B              a branch for each value, and each combination of several keys
  'sweep.join=[STEP]'  run this last step once, after every branch
  sweep.share=false    do not share equal first steps
  sweep.max_concurrent=N
                       at most N branches under way at once

exit codes: 0 all well, 1 steps failed or will not start, 2 wrong input, 3 Slurm refused the
  submission, 4 Slurm does not answer, 5 no such run, or it is locked
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _dispatch(words)
        sys.stdout.flush()  # what cannot be written is no answer
    except PlanitError as error:
        return _refuse(error)
    except KeyboardInterrupt:
        print("planit: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output (head, less) has seen enough
        return 141
    except OSError as error:
        if (refusal := _of_the_file_system(error)) is None:
            error.add_note(_BUG)
            raise
        return _refuse(refusal)
    except Exception as error:
        error.add_note(_BUG)
        raise
    return code


def _refuse(error: PlanitError) -> int:
    """Print an error, with nothing in it that a terminal would not only show; its exit code."""
    lines = error.message.splitlines()
    if not isinstance(error, StepsFailedError):  # which holds tracebacks
        lines = [" ".join(lines)]
    print("planit: error: " + "\n".join(map(printable, lines)), file=sys.stderr)
    if error.hint:
        print(f"  hint: {printable(' '.join(error.hint.splitlines()))}", file=sys.stderr)
    return error.exit_code


def _of_the_file_system(error: OSError) -> PlanitError | None:
    """What to say of an error that is not planit's; None of one that may be."""
    if error.errno not in _NOT_OURS:
        return None
    if error.filename is None:  # what is written to files is told with their names
        return ConfigError(f"cannot write to standard output: {error.strerror}")
    return RunError(f"cannot use {os.fsdecode(error.filename)}: {error.strerror}")


def _dispatch(words: list[str]) -> int:
    if words[:1] == ["help"]:
        return _usage(0)
    if not words and not _chooses_plan():
        return _usage(2)
    if words[:1] == ["-V"] or "--version" in words:
        print(f"planit {planit.__version__}")
        return 0
    _refuse_what_is_not_utf8(words)
    name = "describe"
    if words and words[0].isidentifier():
        name, *words = words
    if name not in verbs.VERBS:
        raise ConfigError(f"unknown verb {name!r}", hint=suggest(name, [*verbs.VERBS, "help"]))
    if name in ("describe", "check", "submit") and {"--help", "-h"} & set(words):
        return _usage(0)
    return verbs.VERBS[name](words)


def _chooses_plan() -> bool:
    """Whether the primary config in the working directory chooses a plan, or is one."""
    if not Path("conf").is_dir():
        return False
    from planit.app.config.primary_config import Primary

    return Primary.read(None).has_plan


def _usage(code: int) -> int:
    print(USAGE.format(more=verbs.summary()), end="")
    return code


def _refuse_what_is_not_utf8(words: Sequence[str]) -> None:
    """Raise ConfigError where words or the working directory could not be written down."""
    try:
        here = os.getcwd()
    except FileNotFoundError:
        raise ConfigError(
            "the working directory no longer exists", hint="cd to a folder that does"
        ) from None
    for what, text in (("the working directory", here), *(("", word) for word in words)):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ConfigError(
                f"{what} {text!r} is not UTF-8".lstrip(), hint="planit's records are UTF-8 text"
            ) from None


def console() -> None:
    """The console script."""
    try:
        streams.prepare()
        code = main()
    except ConfigError as error:
        code = _refuse(error)
    streams.give_up_stdout()
    sys.exit(code)
