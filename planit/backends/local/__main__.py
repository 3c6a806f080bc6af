"""``python -m planit.backends.local``: guardian and engine as processes of their own."""

import sys

from planit.backends.local.guardian import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
