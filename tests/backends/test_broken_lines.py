"""Setup lines that bash cannot read are refused before anything is submitted."""

from __future__ import annotations

from pathlib import Path

import pytest

from planit import PlanError
from planit.backends.broken_lines import refuse_broken_lines


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["true", "fi"], "setup line 2: syntax error near unexpected token `fi'"),
        (["if true; then", "echo"], "setup line 3: syntax error: unexpected end of file"),
        (["true", 'echo "open'], "setup line 2: unexpected EOF while looking for matching"),
        (["cat <<END", "x"], "setup line 2: warning: here-document at line 1 delimited by"),
    ],
)
def test_lines_that_would_break_the_script_are_refused(lines: list[str], says: str) -> None:
    with pytest.raises(PlanError, match="step 'a': setup line ") as refused:
        refuse_broken_lines("a", {"setup": lines})
    assert says in refused.value.message


def test_whole_commands_are_taken_and_none_is_run(tmp_path: Path) -> None:
    lines = ["for i in 1 2; do", f"  touch {tmp_path}/x", "done"]
    refuse_broken_lines("a", {"setup": lines, "teardown": ["cat <<END", "$(x", "END"]})
    assert list(tmp_path.iterdir()) == []
