"""What planit builds a plan from, the JSON Schema of plan files accepts too."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import jsonschema
from hypothesis import given
from hypothesis import strategies as st

from planit.app.config.build import Builder
from planit.app.json_schema.plan_file import PlanFacts, document
from planit.errors import ConfigError, PlanitError
from tests.fuzz.test_plan_files import KEYS, PLAN, WORTH
from tests.fuzz.tools import fuzzed, places, replaced

VALIDATOR = jsonschema.Draft7Validator(document(PlanFacts()))
# planit takes the text of anything for a name, what is empty for what is not there, and the word
# true of a command for "True": an editor had better mark that.
ODD = ("name", "_target_")


def preset(name: str) -> tuple[str | None, Mapping[str, Any]]:
    if name not in ("cpu", "gpu", "${slurm}"):
        raise ConfigError(f"unknown SLURM preset {name!r}")
    return name, {"time": "10", "partition": "batch"}


@st.composite
def changed_plans(draw: st.DrawFn) -> Any:
    """The plan with one or two values changed, added or removed."""
    content: Any = copy.deepcopy(PLAN)
    for _ in range(draw(st.integers(1, 2))):
        found = list(places(content))
        place = found[draw(st.integers(0, 200)) % len(found)]
        here = content
        for part in place:
            here = here[part]
        kind = draw(st.sampled_from(["set", "set", "remove", "add"]))
        if kind == "add" and isinstance(here, dict):
            place = (*place, draw(KEYS))
        content = replaced(content, place, draw(WORTH), remove=kind == "remove")
    return content


def builds(content: Any) -> bool:
    try:
        Builder(preset, lambda text, key: [1, 2]).plan(content, {})
    except (PlanitError, TypeError):  # resolved configurations have text as keys
        return False
    return True


@fuzzed
@given(changed_plans())
def test_what_planit_builds_the_schema_accepts(content: Any) -> None:
    if not isinstance(content, dict) or not builds(content):
        return
    plain = json.loads(json.dumps(content))
    for error in VALIDATOR.iter_errors(plain):
        place = list(error.absolute_path)
        is_odd = place[-1] in ODD or not error.instance or error.instance is True
        # A step that the root does not name is told, and not looked at any further.
        is_odd |= place[0] == "steps" and f'"{place[1]}"' not in json.dumps(plain["root"])
        assert is_odd, (place, error.message)
