"""``planit completion SHELL``: print the script that makes a shell complete planit's words."""

from __future__ import annotations

from pathlib import Path

from planit.app.verbs.command_line import Parser

_SCRIPTS = Path(__file__).resolve().parents[1] / "completing"
_SHELLS = ("bash", "zsh", "fish")
_HELP = """\
Print the script by which a shell completes planit's verbs, options, overrides, runs and steps. Put
eval "$(planit completion bash)" into ~/.bashrc, eval "$(planit completion zsh)" into ~/.zshrc, or
planit completion fish | source into ~/.config/fish/config.fish."""


def run(words: list[str]) -> int:
    """Print it."""
    parser = Parser(prog="planit completion", description=_HELP)
    parser.add_argument("shell", choices=_SHELLS, metavar="SHELL", help=", ".join(_SHELLS))
    options = parser.parse_args(words)
    print((_SCRIPTS / f"planit.{options.shell}").read_text(encoding="utf-8"), end="")
    return 0
