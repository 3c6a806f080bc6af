"""YAML that is not what it should be: one line that names the file, and nothing left on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.app.test_bad_input import HEAD, STEP_A, assert_one_clear_line
from tests.helpers import all_below, planit_here, write

FINE = HEAD + STEP_A + "root: a\n"


def chains(depth: int) -> str:
    return "{_target_: planit.Chain, _args_: [" * depth + "a" + "]}" * depth


FILES = {
    "latin_1": (FINE.replace("mine", "café").encode("latin-1"), "line 2: not UTF-8 text"),
    "utf_16": (FINE.encode("utf-16"), "line 1: not UTF-8 text"),
    "nul": (FINE.encode() + b"# \0\n", "the character '\\x00' is not allowed in YAML"),
    "escape": (FINE.encode() + b"# \x1b[31m\n", "the character '\\x1b' is not allowed in YAML"),
    "itself": (b"&x\n" + FINE.replace(STEP_A, "steps: *x\n").encode(), "line 4: *x refers to"),
    "its_own_child": (
        FINE.replace("root: a", "root: &r {_target_: planit.Chain, _args_: [a, *r]}").encode(),
        "line 5: *r refers to what it is a part of",
    ),
    "deep": (FINE.replace("root: a", f"root: {chains(300)}").encode(), "nested more than 50 deep"),
    "very_deep": ((FINE + "vars: " + "[" * 30_000).encode(), "nested more than 50 deep"),
    "a_number_as_text": (b'"3"\n', "line 1: a single value, not a mapping of keys to values"),
    "a_number": (b"3\n", "line 1: a single value, not a mapping of keys to values"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_read_is_named(empty_dir: Path, name: str) -> None:
    content, says = FILES[name]
    path = empty_dir / "conf" / "plan" / f"{name}.yaml"
    write(path, "").write_bytes(content)
    before = all_below(empty_dir)
    done = planit_here(f"plan={name}")
    assert_one_clear_line(done, says)
    assert f"{path}" in done.err.splitlines()[0]
    assert done.code == 2
    assert all_below(empty_dir) == before


def test_the_primary_config_is_named_too(empty_dir: Path) -> None:
    write(empty_dir / "conf" / "config.yaml", "").write_bytes("# é".encode("latin-1"))
    write(empty_dir / "conf" / "plan" / "fine.yaml", FINE)
    for words in (["plan=fine"], ["-m", "plan=fine"]):
        assert_one_clear_line(planit_here(*words), "config.yaml, line 1: not UTF-8 text")


def test_a_value_that_is_nested_too_deep_is_refused(empty_dir: Path) -> None:
    write(empty_dir / "conf" / "plan" / "fine.yaml", FINE)
    assert_one_clear_line(planit_here("plan=fine", "x=" + "[" * 400), "", None)


@pytest.mark.parametrize("root", ["1", "'1'"])
def test_names_of_steps_are_text(empty_dir: Path, root: str) -> None:
    steps = STEP_A.replace("a:", "1:")
    write(empty_dir / "conf" / "plan" / "ints.yaml", f"{HEAD}{steps}root: {root}\n")
    done = planit_here("plan=ints")
    assert_one_clear_line(done, "plan.steps: the name 1 is not text", 'put it in quotes: "1"')


@pytest.mark.parametrize(
    "step",
    [
        "{func: os.getcwd, slurm_args: {1: 2, time: '5', partition: x}}",
        "{func: os.getcwd, slurm_args: cpu, slurm: {1: 2}}",
        "{_target_: planit.Command, command: ls, slurm_args: cpu, 1: 2}",
    ],
)
def test_other_keys_that_are_numbers_are_refused(empty_dir: Path, step: str) -> None:
    write(empty_dir / "conf" / "plan" / "keys.yaml", f"{HEAD}steps:\n  a: {step}\nroot: a\n")
    assert_one_clear_line(planit_here("plan=keys"), "plan.steps.a")


@pytest.mark.parametrize("words", ["plan=escaped", "plan=quoted", "plan=fine +slurm.\x1b=1"])
def test_no_message_holds_escape_codes(empty_dir: Path, words: str) -> None:
    name = '"\\e[31ma"'
    folder = empty_dir / "conf" / "plan"
    write(folder / "fine.yaml", FINE)
    write(folder / "escaped.yaml", HEAD + STEP_A.replace("a:", f"{name}:") + f"root: {name}\n")
    write(folder / "quoted.yaml", FINE.replace("func: os.getcwd", f"func: {name}"))
    done = planit_here(*words.split())
    assert_one_clear_line(done, "")
    assert "\x1b" not in done.err
