"""``planit resume [RUN]``: submit again what is not done."""

from __future__ import annotations

from collections import Counter

from planit.app.submitting import see_through, show_progress
from planit.app.verbs import command_line
from planit.record import index, submissions
from planit.record.manifest import pickled_by_value
from planit.run import Run
from planit.status.states import printable
from planit.submit.decisions import ResumeAction, ResumeDecision
from planit.submit.recorded_calls import NewArgument
from planit.views.code_line import code_line
from planit.views.run_notes import run_notes


def run(words: list[str]) -> int:
    """Resume, and say what is kept, rerun and waited for."""
    parser = command_line.parser(
        "resume",
        "Submit again what failed, was cancelled, got lost or never ran, and everything behind"
        " it. What is done is kept; what runs or waits goes on. Overrides such as"
        " slurm.time=08:00:00, cpu.mem_gb=16 or plan.steps.STEP.slurm.time=... change the"
        " resources of what is rerun; ~slurm.FIELD unsets a field. plan.steps.STEP.ARGUMENT=VALUE"
        " changes an argument of what is rerun (+ adds one, ~ leaves one out), and the run then"
        " holds two configurations. backend.KEY=VALUE"
        " changes a setting of the backend: on this machine, backend.cpus=8 and the"
        " like change what the steps can have. STEP is a step's name, without its branch for all"
        " branches, or a pattern in quotes: 'train[lr=0.1*]'.",
    )
    parser.add_argument("words", nargs="*", metavar="[RUN] [KEY=VALUE]", help=command_line.RUN_HELP)
    parser.add_argument(
        "--from", dest="start_from", action="append", default=[], metavar="STEP",
        help="rerun STEP and everything behind it, done or not",
    )  # fmt: skip
    parser.add_argument(
        "--only", action="append", default=[], metavar="STEP", help="rerun just STEP"
    )
    parser.add_argument(
        "--frozen-code", action="store_true",
        help="run the code that was submitted last; by default the project's code as it is now",
    )  # fmt: skip
    parser.add_argument(
        "--raise", dest="raised", action="store_true",
        help="give what ran out of memory or time more of it, as its retry policy says",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument(
        "--detach", action="store_true", help="a run on this machine goes on in the background"
    )
    options = parser.parse_args(words)
    overrides = [word for word in options.words if "=" in word or word.startswith("~")]
    names = [word for word in options.words if word not in overrides]
    if len(names) > 1:
        parser.error(f"one run is enough, not {' '.join(names)}")
    found = index.find(options.runs_dir, names[0] if names else None)
    opened = Run(found.path)
    own = [word for word in overrides if word.startswith("backend.")]
    overrides = [word for word in overrides if word not in own]
    if own:
        from planit.app.config.changes import changed_backend

        opened.backend = changed_backend(opened.backend, own)
    if not options.detach:
        opened.backend = opened.backend.attached()
    changes = None
    arguments: list[NewArgument] = []
    if overrides:
        from planit.app.config.changes import Changes
        from planit.app.config.new_arguments import take_arguments

        arguments, overrides = take_arguments(found.manifest, overrides)
        changes = Changes(found.manifest, overrides) if overrides else None
    decisions = opened.resume(
        start_from=command_line.steps_of(found, options.start_from),
        only=command_line.steps_of(found, options.only),
        resources=changes,
        raised=options.raised,
        arguments=arguments,
        dry_run=options.dry_run,
        frozen_code=options.frozen_code,
        progress=show_progress,
    )
    started = not options.dry_run and any(d.action is ResumeAction.RERUN for d in decisions)
    if started:
        print(printable(code_line(found.path, submissions.numbers(found.path)[-1])))
        rerun = {d.step for d in decisions if d.action is ResumeAction.RERUN}
        if (
            as_it_was := rerun & pickled_by_value(found.manifest["tree"])
        ) and not options.frozen_code:
            print(
                f"code: the function of {len(as_it_was)} step(s) is that of a script, which is run"
                " as it was submitted; what it imports is as above"
            )
    _show(decisions, found.run_id, dry_run=options.dry_run)
    if started and arguments:
        print("\n".join(run_notes(found)))
    return see_through(opened) if started else 0


def _show(decisions: list[ResumeDecision], run_id: str, *, dry_run: bool) -> None:
    counts = Counter(decision.action for decision in decisions)
    width = max(len(decision.step) for decision in decisions)
    for decision in decisions:
        if dry_run or decision.action is ResumeAction.RERUN:
            print(f"{decision.action.value:<5}  {decision.step:<{width}}  {decision.reason}")
    numbers = (counts[ResumeAction.RERUN], counts[ResumeAction.KEEP], counts[ResumeAction.WAIT])
    what = "{} to rerun, {} kept, {} going on".format(*numbers)
    verb = "Would resume" if dry_run else "Resumed"
    if not counts[ResumeAction.RERUN]:
        verb = "Nothing to rerun in"
    print(f"{verb} run {run_id}: {what}")
