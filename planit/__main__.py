"""``planit`` and ``python -m planit``."""

import sys


def console() -> None:
    """The console script."""
    if sys.argv[1:2] == ["_complete"]:  # first of all: somebody has pressed TAB, and waits
        from planit.app.completing import answer

        answer.console(sys.argv[2:])
    from planit.app import main

    main.console()


if __name__ == "__main__":
    console()
