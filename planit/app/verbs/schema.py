"""``planit schema [plan=...]``: the JSON Schema of plan files, for editors."""

from __future__ import annotations

import json
import sys

from planit.app.json_schema.plan_file import PlanFacts, document
from planit.errors import ConfigError
from planit.status.states import printable

HELP = """\
usage: planit schema [plan=NAME] [KEY=VALUE ...]

Print a JSON Schema (draft 7) of the files of plans (conf/plan) and of SLURM presets (conf/slurm),
so that an editor completes keys, shows what they mean, and marks what is wrong.

  planit schema > planit.schema.json
  planit schema plan=mine > planit.schema.json
      knows the parameters of the functions of this plan, too, with their types: it imports them;
      and which SLURM arguments have to be set. -m plan=mine,other knows several plans. Make it
      anew when functions have changed.

In VS Code, with the extension YAML (redhat.vscode-yaml), a comment at the top of a file says its
schema, from the file's own folder:

  # yaml-language-server: $schema=../../planit.schema.json

It stands below `# @package ...`, if there is that: Hydra finds it only above other comments. Or
.vscode/settings.json says it for all files:

  {"yaml.schemas": {"planit.schema.json": ["conf/plan/**/*.yaml", "conf/slurm/**/*.yaml"]},
   "yaml.yamlVersion": "1.1"}

The second setting makes it read YAML as Hydra does: a time without quotes, 12:00:00, is a number
then, and marked.

Every value can be an interpolation, ${key}. A file whose defaults list names another plan need not
be whole. Types are those of the functions' annotations; where there is none, anything can stand.
"""


def run(words: list[str]) -> int:
    """Print the schema."""
    if {"--help", "-h"} & set(words):
        print(HELP, end="")
        return 0
    facts = PlanFacts()
    if words:
        facts, problems = facts_of(words)
        for line in problems:
            print(printable(f"planit: {line}"), file=sys.stderr)
    print(json.dumps(document(facts), indent=1, allow_nan=False))
    return 0


def facts_of(words: list[str]) -> tuple[PlanFacts, list[str]]:
    """What the schema can say of the plans of a command line, and what it cannot, and why."""
    from planit.app.config.compose import run_app
    from planit.app.json_schema.composed_plans import Gathering
    from planit.app.verbs.submit import take_options, take_place

    words, said = take_options(words)
    config_dir, config_name = take_place(said)
    for flag in (flag for flag, values in said.items() if values):
        raise ConfigError(f"planit schema takes no {flag}", hint="planit schema --help")
    gathering = Gathering()
    run_app(gathering, words, config_dir, config_name)
    return gathering.facts(), gathering.problems
