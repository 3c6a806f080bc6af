"""A step's function: a callable, or a dotted path that is imported late."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from planit import Plan, PlanError, Step
from planit.job.call import call_of
from planit.nodes.functions import check_call, dotted_path, resolve
from planit.views.plan_tree import tree_text
from tests.helpers import CPU, nothing, write


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package that says when it is imported; its name is unique, so no test sees another's."""
    name = f"project_{tmp_path.name.replace('-', '_')}"
    package = tmp_path / name
    write(package / "__init__.py", "")
    write(package / "train.py", "NUMBER = 3\nclass Model:\n    @staticmethod\n    def fit(): ...\n")
    write(package / "broken.py", "import no_such_module_at_all\n")
    write(package / "raising.py", "raise ValueError('bad day')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_a_dotted_path_is_imported_when_checked_and_not_when_described(project: str) -> None:
    plan = Plan("p", Step("a", f"{project}.train.Model.fit", CPU))
    assert "● a" in tree_text(plan.name, plan.root)
    assert not [name for name in sys.modules if name.startswith(project)]
    root = plan.root
    assert isinstance(root, Step)
    assert call_of(root).function.__qualname__ == "Model.fit"
    assert f"{project}.train" in sys.modules


def test_a_plan_with_a_path_that_does_not_exist_can_be_described() -> None:
    assert "● a" in tree_text("p", Plan("p", Step("a", "nowhere.at.all", CPU)).root)


@pytest.mark.parametrize("path", ["", "train", "a..b", "a.b-c", ".a", "a.", "a b.c", "a.1"])
def test_text_that_is_no_dotted_path_is_refused_at_once(path: str) -> None:
    with pytest.raises(PlanError, match="is not a dotted path"):
        Step("a", path, CPU)


def test_a_missing_function_is_refused_with_the_step_and_the_nearest_name(project: str) -> None:
    with pytest.raises(PlanError) as caught:
        call_of(Step("a", f"{project}.train.Modle", CPU))
    assert caught.value.message == f"step 'a': {project}.train has no 'Modle'"
    assert (caught.value.hint or "").startswith("did you mean Model?")


def test_a_missing_module_is_refused_with_where_to_look() -> None:
    with pytest.raises(PlanError, match="step 'a': no module named 'no_such_project'") as caught:
        call_of(Step("a", "no_such_project.train.main", CPU))
    assert "working directory" in (caught.value.hint or "")


def test_a_missing_submodule_is_not_taken_for_a_missing_package(project: str) -> None:
    with pytest.raises(PlanError, match=f"{project} has no 'evaluate'"):
        resolve(f"{project}.evaluate.main")


def test_a_module_that_cannot_import_what_it_needs_says_what(project: str) -> None:
    with pytest.raises(PlanError, match=r"broken cannot be imported: .*no_such_module_at_all"):
        resolve(f"{project}.broken.main")


def test_a_module_that_raises_while_imported_says_what(project: str) -> None:
    with pytest.raises(PlanError, match="raising cannot be imported: ValueError: bad day"):
        resolve(f"{project}.raising.main")


def test_a_dotted_path_to_a_value_is_refused(project: str) -> None:
    with pytest.raises(PlanError, match="NUMBER is a int, not something that can be called"):
        resolve(f"{project}.train.NUMBER")


def two(first: int, *, second: int = 0) -> int:
    return first + second


@pytest.mark.parametrize(
    ("args", "kwargs"), [((), {}), ((1, 2), {}), ((1,), {"third": 3}), ((), {"second": 1})]
)
def test_arguments_that_the_function_would_not_take_are_refused(
    args: tuple[int, ...], kwargs: dict[str, int]
) -> None:
    with pytest.raises(PlanError, match=r"step 'a': .* of two\(first"):
        call_of(Step("a", two, CPU, *args, **kwargs))


def test_a_builtin_without_a_signature_is_left_to_the_job() -> None:
    check_call(max, (1, 2, 3, 4), {})


def test_dotted_path_is_known_only_for_what_can_be_imported_again() -> None:
    assert dotted_path("a.b") == "a.b"
    assert dotted_path(nothing) == "tests.helpers.nothing"
    assert dotted_path(lambda: None) is None
