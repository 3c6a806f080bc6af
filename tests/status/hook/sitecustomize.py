"""Python runs this first in a command line of planit whose evidence is recorded."""

import os

from tests.status.recorder import FILE, record_to

record_to(os.environ[FILE])
