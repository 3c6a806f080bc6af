"""Random plan files: each is shown, or refused in one clear line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.tools import ESCAPE, REFUSED, VALUES, assert_told, fuzzed, places, replaced, tried
from tests.helpers import all_below, write

PLAN = {
    "_target_": "planit.Plan",
    "name": "mine",
    "steps": {
        "a": {"func": "os.getcwd", "slurm_args": "${slurm}", "x": "${lr}"},
        "b": {"func": "os.getcwd", "slurm_args": "cpu", "slurm": {"time": "10"}, "_args_": [1]},
        "c": {"_target_": "planit.Command", "command": ["ls", "-l"], "slurm_args": "cpu"},
        "d": {
            "_target_": "planit.Sweep",
            "func": "os.getcwd",
            "slurm_args": "cpu",
            "over": {"y": [1, 2], "z": "range(0,2)"},
        },
        "e": {
            "_target_": "os.path.join",
            "slurm_args": "cpu",
            "kwargs": {"a": {"_target_": "m.f"}},
        },
    },
    "root": {
        "_target_": "planit.Chain",
        "_args_": ["a", {"_target_": "planit.Parallel", "_args_": ["b", "c"]}, "d", "e"],
    },
    "vars": {"q": [1, {"r": 2}]},
}
PRESET = {
    "_target_": "planit.SlurmArgs",
    "time": "1:00:00",
    "partition": "batch",
    "additional_params": {"qos": "x"},
    "setup": ["true"],
}
PRIMARY = {
    "defaults": [
        "_self_",
        {"slurm": "cpu"},
        {"slurm@cpu": "cpu"},
        {"plan": "mine"},
        {"backend": "debug"},
    ],
    "lr": 1,
    "action": "describe",
    "runs_dir": "planit_runs",
    "sweep": {"share": True, "join": []},
}
FILES = {"plan/mine.yaml": PLAN, "slurm/cpu.yaml": PRESET, "config.yaml": PRIMARY}
WORDS = [
    ["lr=2"], ["-m"], ["-m", "lr=1,2"], ["submit", "backend=debug"], ["submit", "backend=slurm"],
    ["plan.steps.a.slurm.time=5"], ["--cfg", "job"],
]  # fmt: skip
KEYS = st.sampled_from(
    ["x", "name", "func", "_target_", "_args_", "root", "steps", "slurm", "kwargs", "over", "env",
     "_partial_", "_convert_", "max_concurrent", "time", "command", "defaults", 1, True, None, 1.5]
)  # fmt: skip
WORTH = st.one_of(
    VALUES,
    st.sampled_from(
        ["a", "${slurm}", "${plan}", "${plan.steps}", "${lr}", "${oc.env:HOME}",
         "${hydra:job.name}",
         "???", "planit.Chain", "planit.Step", "os.getcwd", "12:00:00", "${a:b}", "range(0,3)",
         {"_target_": "planit.Step"}, {"_target_": "os.mkdir"}, ["a", "b"], ["a"] * 3]
    ),
    st.dictionaries(KEYS, VALUES, max_size=2),
)  # fmt: skip
TEXTS = [
    b"\0", ESCAPE.encode(), b"\xe9", b"\t", b"&x ", b"*x", b"{", b"]", b": ", b"- ", b"? ",
    b"!!python", b"%YAML 9\n", b"---\n", b"...\n", b"\xef\xbb\xbf", b"<<: *x\n", b"[" * 300,
]  # fmt: skip


@st.composite
def _value_changed(draw: st.DrawFn) -> Callable[[Any], bytes]:
    """Another value, a key more, or something less, somewhere in the content."""
    ways = [(draw(st.integers(0, 200)), draw(WORTH)) for _ in range(draw(st.integers(1, 2)))]
    key, kind = draw(KEYS), draw(st.sampled_from(["set", "set", "set", "remove", "add"]))

    def change(content: Any) -> bytes:
        for at, new in ways:
            found = list(places(content))
            place = found[at % len(found)]
            if kind == "add" and isinstance(_at(content, place), dict):
                place = (*place, key)
            content = replaced(content, place, new, remove=kind == "remove")
        return yaml.safe_dump(content, allow_unicode=True, sort_keys=False).encode(
            "utf-8", "surrogatepass"
        )

    return change


def _at(content: Any, place: tuple[Any, ...]) -> Any:
    for step in place:
        content = content[step]
    return content


@st.composite
def _text_changed(draw: st.DrawFn) -> Callable[[Any], bytes]:
    """The text itself damaged, or in another encoding."""
    encoding = draw(st.sampled_from(["utf-8"] * 4 + ["utf-16", "latin-1", "utf-8-sig", "utf-32"]))
    at, piece = draw(st.floats(0, 1)), draw(st.sampled_from(TEXTS))
    cut = draw(st.integers(0, 5))

    def change(content: Any) -> bytes:
        text = yaml.safe_dump({**content, "_é": "ü"}, allow_unicode=True).encode(encoding)
        place = int(at * len(text))
        return text[:place] + piece + text[place + cut :]

    return change


@st.composite
def _nested(draw: st.DrawFn) -> Callable[[Any], bytes]:
    """Deep, or a part of itself."""
    depth, key = draw(st.integers(1, 400)), draw(st.sampled_from(["root", "vars", "steps", "x"]))
    inner = draw(st.sampled_from(["a", "*x", "{}", "1"]))
    opening, closing = draw(
        st.sampled_from([("[", "]"), ("{a: ", "}"), ("{_target_: planit.Chain, _args_: [", "]}")])
    )

    def change(content: Any) -> bytes:
        rest = {name: value for name, value in content.items() if name != key}
        whole = f"{key}: &x {opening * depth}{inner}{closing * depth}\n"
        return (yaml.safe_dump(rest) + whole).encode()

    return change


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("project")


def test_any_plan_file_is_shown_or_refused_in_one_clear_line(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")  # no sbatch, whatever is here
    as_they_are = {name: yaml.safe_dump(content) for name, content in FILES.items()}
    changes = st.one_of(_value_changed(), _value_changed(), _text_changed(), _nested())

    @fuzzed
    @given(st.sampled_from([*FILES, "plan/mine.yaml"]), changes, st.sampled_from(WORDS))
    def check(name: str, change: Callable[[Any], bytes], words: list[str]) -> None:
        for other, text in as_they_are.items():
            write(project / "conf" / other, text)
        (project / "conf" / name).write_bytes(change(FILES[name]))
        before = all_below(project)
        done = tried(words, project)
        assert_told(done, raw_output=True)  # --cfg shows what is written
        if done.code in REFUSED:
            assert all_below(project) == before

    check()
