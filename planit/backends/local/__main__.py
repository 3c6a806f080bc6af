"""``python -m planit.backends.local``: the engine as a process of its own."""

import sys

from planit.backends.local.engine import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
