"""The journal survives whoever dies while writing it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from planit.record.journal import Journal
from tests.helpers import ROOT


def test_torn_line_is_reported_and_spoils_no_other(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append("intent", number=1)
    whole = journal.path.read_bytes()
    journal.append("submitted", job="7")
    journal.path.write_bytes(journal.path.read_bytes()[:-9])
    journal.append("released", text="line\nbreak \u2028 \x1b[2J")
    assert [event["event"] for event in journal.events()] == ["intent", "released"]
    assert journal.problems() == ["journal.jsonl, line 2 is not a whole event"]
    assert journal.path.read_bytes().startswith(whole)


@pytest.mark.parametrize("line", [b"\xff\xfe\n", b"null\n", b'{"event": 3}\n', b"[]\n", b"{}\n"])
def test_foreign_lines_are_passed_over(tmp_path: Path, line: bytes) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append("intent", number=1)
    with journal.path.open("ab") as file:
        file.write(line)
    journal.append("released")
    assert [event["event"] for event in journal.events()] == ["intent", "released"]
    assert len(journal.problems()) == 1


def test_events_of_several_writers_stay_whole(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from planit.record.journal import Journal\n"
        "for i in range(100): Journal(Path(sys.argv[1])).append('e', by=sys.argv[2], text='x' * i)"
    )
    path = tmp_path / "journal.jsonl"
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(path), str(n)], cwd=ROOT)
        for n in range(4)
    ]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    assert Journal(path).problems() == []
    assert len(list(Journal(path).events())) == 400


def test_no_journal_has_no_events(tmp_path: Path) -> None:
    assert list(Journal(tmp_path / "none").events()) == []
