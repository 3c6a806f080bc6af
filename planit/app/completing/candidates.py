"""What can be typed next on planit's command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from planit.app.completing import verb_words
from planit.app.completing.run_words import RunWords
from planit.app.completing.verb_words import VerbWords
from planit.app.config import base_folders
from planit.app.verbs import VERBS, note

Candidates = Iterable[tuple[str, str]]


class PathWanted(Exception):  # noqa: N818 (an answer, not an error)
    """What is typed is a path, and the shell knows best how to complete that."""


def candidates(words: Sequence[str], current: str) -> list[tuple[str, str]]:
    """What can be typed, each with a note.

    Args:
        words: those behind the program's name.
        current: the beginning of the one that is being typed.

    Raises:
        PathWanted: it is a path.
    """
    if not words and not current.startswith("-"):
        verbs = [
            *((verb, note(verb)) for verb in VERBS),
            ("help", "all verbs, and where things come from"),
        ]
        if found := _beginning(current, verbs):
            return found
    is_verb = bool(words) and words[0] in VERBS
    line = _Line.read(words[0] if is_verb else "describe", words[is_verb:])
    if line.option or not current.startswith("-"):
        return _beginning(current, line.values(current))
    name, equals, value = current.partition("=")
    if not equals:
        return _beginning(current, line.options())
    line = _Line(line.verb, line.words, line.said, name)
    return [(f"{name}={text}", told) for text, told in _beginning(value, line.values(value))]


def _beginning(current: str, found: Candidates) -> list[tuple[str, str]]:
    """Those that begin with what is typed, each once, and only what a terminal just shows."""
    notes = {text: told for text, told in found if text.startswith(current)}
    return [(text, told) for text, told in notes.items() if f"{text}{told}".isprintable()]


class _Line:
    """A verb, its words so far, and the option whose value is typed next, if any."""

    def __init__(
        self, verb: VerbWords, words: Sequence[str], said: dict[str, list[str]], option: str
    ) -> None:
        self.verb, self.words, self.said, self.option = verb, words, said, option

    @classmethod
    def read(cls, verb: str, words: Sequence[str]) -> _Line:
        taken = verb_words.taken_by(verb)
        return cls(taken, *verb_words.split(taken, words))

    def options(self) -> Candidates:
        return ((name, "") for name in self.verb.options if name.startswith("--"))

    def values(self, current: str) -> Candidates:
        if few := self.verb.values.get(self.option if self.option or not self.words else "?"):
            return ((text, "") for text in few)
        kind = self.verb.rest if self.words else self.verb.first
        if self.option:
            kind = self.verb.options.get(self.option) or verb_words.OTHER
        return self._of_kind(kind, current)

    def _of_kind(self, kind: str, current: str) -> Candidates:
        if kind == verb_words.DIR:
            raise PathWanted
        if kind == verb_words.RUN:
            return self._runs_found(current)
        if kind == verb_words.STEP:
            return self._runs.steps(self._run, current)
        if kind == verb_words.RUN_OR_STEP:
            steps = list(self._runs.steps(None, current))
            return [*steps, *self._runs_found(current)]
        if kind == verb_words.CHANGE:
            return self._changes(current)
        return self._of_plan(kind, current)

    def _runs_found(self, current: str) -> Candidates:
        found = list(self._runs.runs(current))
        if current.startswith((".", "/", "~")) and not _beginning(current, found):
            raise PathWanted
        return found

    def _changes(self, current: str) -> Iterator[tuple[str, str]]:
        """What `resume` takes: a run, and fields of the SLURM arguments."""
        key = current.lstrip("~")
        if "=" in current or key.startswith(("slurm.", "cpu.", "plan.")):
            from planit.app.completing.slurm_words import fields_behind

            yield from fields_behind(current)
            yield from self._runs.keys(self._run)
        elif not any(self._runs.named(word) for word in self.words):
            yield from self._runs_found(current)

    def _of_plan(self, kind: str, current: str) -> Candidates:
        if kind not in (verb_words.OVERRIDE, verb_words.PLAN_STEP):
            return []
        from planit.app.completing.override_words import OverrideWords

        folder = self._last("--config-dir", "-cd", "--config-path", "-cp")
        found = OverrideWords(self.words, folder, self._last("--config-name", "-cn"))
        return found.steps() if kind == verb_words.PLAN_STEP else found.overrides(current)

    @cached_property
    def _runs(self) -> RunWords:
        typed = self._last("--runs-dir")
        return RunWords([Path(typed).expanduser()] if typed else base_folders.here())

    def _last(self, *options: str) -> str | None:
        return next((self.said[name][-1] for name in options if name in self.said), None)

    @property
    def _run(self) -> Path | None:
        """The run that is named; None for the latest."""
        words = [word for word in self.words if "=" not in word]
        if not words or any(name == words[0] for name, _ in self._runs.steps(None, words[0])):
            return None
        return self._runs.named(words[0])
