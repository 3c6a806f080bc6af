"""Real shells at a terminal of their own, into which keys are typed."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

import pexpect
import pytest

NAMES = ("bash", "zsh", "fish")
_START = {
    "bash": ["--noprofile", "--norc", "-i"],
    "zsh": ["--no-rcs", "--interactive"],
    "fish": ["--no-config", "--interactive"],
}
# The keys ^X d write the line, as it stands, into a file. The rest makes shells quiet.
_SET_UP = {
    "bash": """\
bind 'set show-all-if-ambiguous on'; bind 'set completion-query-items 0'
bind 'set page-completions off'; bind 'set enable-bracketed-paste off'
dump() { printf '%s' "$READLINE_LINE" > dump.new; mv dump.new dump; }
bind -x '"\\C-xd": dump'
eval "$(planit completion bash)"
""",
    "zsh": """\
unsetopt beep prompt_sp; unset zle_bracketed_paste
dump() { print -rn -- "$BUFFER" > dump.new; mv dump.new dump }
zle -N dump; bindkey -e; bindkey '^Xd' dump
autoload -Uz compinit && compinit -u -D
eval "$(planit completion zsh)"
""",
    "fish": """\
set -g fish_greeting; set -g fish_autosuggestion_enabled 0
function fish_prompt; echo -n 'ready> '; end
function dump; commandline > dump.new; mv dump.new dump; end
bind \\cxd dump; bind \\cu 'commandline ""'
planit completion fish | source
""",
}
_COLOR = re.compile(r"\x1b\[[0-9;]*m|\x1b\(B|[\x00\x07]")
_OTHER_ESCAPE = re.compile(r"\x1b(\[[0-9;?<>=]*[a-zA-Z]|\][^\x07]*|[()].|[=>78])|\r")
_LIMIT_S = 60.0


class Shell:
    """An interactive shell with planit's completion.

    Args:
        name: one of `NAMES`.
        folder: where it starts, and leaves files.
        env: its environment.
    """

    def __init__(self, name: str, folder: Path, env: Mapping[str, str]) -> None:
        self.name, self._folder = name, folder
        self._process = pexpect.spawn(
            name,
            _START[name],
            cwd=str(folder),
            env={
                **env,
                "PS1": "ready> ",
                "TERM": "xterm",
                "HOME": str(folder),
                "LC_ALL": "C.UTF-8",
            },
            encoding="utf-8",
            dimensions=(60, 200),
            timeout=_LIMIT_S,
        )
        self._process.delaybeforesend = None
        (folder / f"set_up.{name}").write_text(_SET_UP[name], encoding="utf-8")
        self._process.sendline(f". ./set_up.{name}; echo up-and-'ready'")
        self._process.expect("up-and-ready")

    def line(self, typed: str) -> str:
        """The line after TAB; then it is empty again."""
        return self._after(f"{typed}\t")

    def shown(self, typed: str) -> list[str]:
        """The words on the terminal after TAB, with the line itself."""
        self._after("")
        self._output()
        self._after(f"{typed}\t")
        return _OTHER_ESCAPE.sub(" ", _COLOR.sub("", self._output())).split()

    def _after(self, keys: str) -> str:
        dump = self._folder / "dump"
        dump.unlink(missing_ok=True)
        self._process.send(f"{keys}\x18d")
        limit = time.monotonic() + _LIMIT_S
        while not dump.exists():
            assert time.monotonic() < limit, f"{self.name} does not answer: {self._output()}"
            time.sleep(0.005)
        self._process.send("\x15")
        return dump.read_text(encoding="utf-8").removesuffix("\n")

    def _output(self) -> str:
        """What it has written since; it has answered, so not much is on its way."""
        found = ""
        while True:
            try:
                found += self._process.read_nonblocking(65536, timeout=0.05)
            except (pexpect.TIMEOUT, pexpect.EOF):
                return found

    def end(self) -> None:
        """Close its terminal."""
        self._process.close(force=True)


def needed(name: str) -> str:
    """The name of a shell that is installed; else the test is skipped, or fails in CI."""
    if shutil.which(name) is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"{name} is not installed")
    return name
