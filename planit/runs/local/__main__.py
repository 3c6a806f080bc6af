"""``python -m planit.runs.local``: the engine as a process of its own."""

import sys

from planit.runs.local.engine import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
