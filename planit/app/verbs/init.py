"""``planit init [NAME]``: write a start into a project, with presets for the cluster."""

from __future__ import annotations

import shutil
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from planit.app.config import cluster_presets, new_project
from planit.app.config.cluster_presets import ClusterPreset
from planit.app.verbs.command_line import Parser
from planit.backends.slurm import partitions
from planit.backends.slurm.client import SlurmClient
from planit.backends.slurm.environment import default_cluster
from planit.backends.slurm.partitions import Partition
from planit.errors import ConfigError, SchedulerError, UnknownClusterError, suggest
from planit.nodes.checks import check_cluster
from planit.status.states import printable

_HELP = """\
Write a start into a project: a plan that works at once, planit's primary config, and a preset for
each partition of the cluster, read from Slurm: time limit, CPUs, memory and GPUs of its nodes, and
your default account. Where there is no Slurm, the presets are examples to edit. A file that exists
is never changed; if Slurm gives no answer, nothing is written."""
ANSWER_WITHIN_S = 30.0


@dataclass(frozen=True)
class _Found:
    """Presets, those of main and light steps, and what else to say."""

    presets: Sequence[ClusterPreset]
    main: ClusterPreset
    light: ClusterPreset
    notes: Sequence[str] = ()


def run(words: list[str]) -> int:
    """Read Slurm, then write what is not there yet."""
    options = _options(words)
    folder: Path = options.dir
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--dir {folder}: this is not a folder")
    found = _found(options)
    conf = folder / "conf"
    kept = new_project.primary_of(conf)
    files = new_project.texts(conf, options.name, found.presets, found.main, found.light)
    written = new_project.write_new(files)
    for path in files:
        print(printable(f"wrote {path}" if path in written else f"kept {path}, which exists"))
    if kept is not None:
        print(printable(f"kept {kept}, which exists"))
    for note in found.notes:
        print(printable(note))
    words = [] if kept is None else [f"plan={options.name}"]
    if kept is not None and conf / "slurm" / f"{found.main.name}.yaml" in written:
        words += [f"slurm={found.main.name}", f"slurm@cpu={found.light.name}"]
    print(_next(options, words))
    return 0


def _options(words: list[str]) -> Namespace:
    parser = Parser(prog="planit init", description=_HELP)
    parser.add_argument(
        "name", nargs="?", default="mine", metavar="NAME", help="name of the plan (default: mine)"
    )
    parser.add_argument(
        "--dir",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="the project's folder, in which conf/ is or will be (default: the working directory)",
    )
    parser.add_argument(
        "--cluster",
        action="append",
        default=[],
        metavar="CLUSTER",
        help="read this cluster of several, whose presets then name it; may be given again; the"
        " plan's steps go to the first",
    )
    parser.add_argument("--no-slurm", action="store_true", help="do not read Slurm")
    options: Namespace = parser.parse_args(words)
    if cluster_presets.choice_name(options.name) != options.name:
        hint = "a letter, then letters, digits, - and _; it becomes conf/plan/NAME.yaml"
        raise ConfigError(f"{options.name!r} is not a name for a plan", hint=hint)
    for cluster in options.cluster:
        check_cluster("--cluster", cluster)
    if options.no_slurm and options.cluster:
        raise ConfigError("--cluster and --no-slurm contradict each other", hint="leave one out")
    return options


def _found(options: Namespace) -> _Found:
    if options.no_slurm:
        return _examples("presets are examples, as Slurm was not read")
    if shutil.which("sbatch") is None:
        if options.cluster:
            raise ConfigError("--cluster: there is no Slurm here (sbatch is not on PATH)")
        return _examples("presets are examples, as there is no Slurm here (sbatch is not on PATH)")
    try:
        return _of_slurm(SlurmClient(timeout_s=ANSWER_WITHIN_S), list(options.cluster))
    except SchedulerError as error:
        hint = "nothing was written; try again, or planit init --no-slurm for examples to edit"
        raise type(error)(error.message, hint=hint) from error


def _examples(why: str) -> _Found:
    examples = new_project.EXAMPLES
    names = " and ".join(f"conf/slurm/{one.name}.yaml" for one in examples)
    return _Found(examples, examples[0], examples[0], [f"{names}: {why}"])


def _of_slurm(client: SlurmClient, clusters: Sequence[str]) -> _Found:
    """What Slurm shows of the clusters, or of the machine's own one if none is given."""
    if not clusters:
        return _of_default_cluster(client)
    read = []
    for name in dict.fromkeys(clusters):
        try:
            shown = partitions.of_cluster(client, name)
        except UnknownClusterError as error:
            hint = suggest(name, client.clusters())
            raise ConfigError(f"--cluster {name}: {error.message}", hint=hint) from error
        read.append(_found_in(shown, client.accounts(name), name, f"{name}_"))
    presets = [preset for one in read for preset in one.presets]
    notes = [note for one in read for note in one.notes]
    return _Found(presets, read[0].main, read[0].light, notes)


def _of_default_cluster(client: SlurmClient) -> _Found:
    """Where there are several clusters, some sites refuse jobs that name none."""
    here = default_cluster()
    shown = partitions.of_cluster(client, here)
    known = client.clusters()
    named = (here or client.setting("ClusterName", None)) if len(known) > 1 else None
    found = _found_in(shown, client.accounts(here), named, "")
    if named is None:
        return found
    words = " ".join(f"--cluster {name}" for name in known)
    note = f"presets are of cluster {named} only; planit init {words} reads all"
    return replace(found, notes=[*found.notes, note])


def _found_in(
    shown: Sequence[Partition], accounts: Sequence[str], cluster: str | None, prefix: str
) -> _Found:
    """The presets for one cluster's partitions, which name it if it has a name."""
    whose = f" of cluster {cluster}" if prefix else ""
    notes = [
        f"no preset for partition {one.name}{whose}: {why}"
        for one in shown
        if (why := cluster_presets.unusable(one)) is not None
    ]
    made = cluster_presets.presets_of(shown, accounts, cluster, prefix)
    if not made:
        raise SchedulerError(f"Slurm shows no partition{whose} that takes jobs")
    main, light = cluster_presets.choose(made, prefix)
    return _Found(made if light in made else [*made, light], main, light, notes)


def _next(options: Namespace, words: Sequence[str]) -> str:
    where = f"in {options.dir}, " if options.dir != Path() else ""
    plan = options.dir / "conf" / "plan" / f"{options.name}.yaml"
    show = " ".join(["planit", *words])
    submit = " ".join(["planit submit", *words])
    then = f"then put your own steps into {plan}"
    return printable(f"Next, {where}{show} shows the plan, and {submit} runs it; {then}.")
