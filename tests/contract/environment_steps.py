"""What the steps of test_step_environment.py run, and stand-ins for programs that are not here."""

from __future__ import annotations

import json
import logging
import os
import sys
import sysconfig
import venv
from pathlib import Path

MODULE = """() { [ "$2" = good ] || { echo "no module $2" >&2; return 3; }
 echo "module $2" >> "$PLANIT_TEST_ORDER"; }"""

APPTAINER = """\
#!/bin/bash
echo "container $*" >> "$PLANIT_TEST_ORDER"
while [[ $1 != *.sif ]]; do shift; done
shift
IN_IMAGE=yes exec "$@"
"""

CONDA = """\
#!/bin/bash
[ "$*" = "shell.bash hook" ] || exit 9
echo 'conda() { [ "$2" = good ] || return 4; export IN_CONDA=$2; }'
"""


def seen(path: str) -> None:
    """Write down what this step sees."""
    logging.getLogger("work").info("seen")
    names = ("FROM_SETUP", "JOINED", "LITERAL", "IN_IMAGE", "IN_CONDA", "VIRTUAL_ENV")
    told = {name: os.environ.get(name) for name in names}
    told |= {"cwd": str(Path.cwd()), "prefix": sys.prefix, "orig": sys.orig_argv[0]}
    Path(path).write_text(json.dumps(told))


def make_venv(folder: Path) -> Path:
    """A virtual environment that has what this one has."""
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "this.pth").write_text(
        f"import site; site.addsitedir({sysconfig.get_paths()['purelib']!r})\n"
    )
    return folder


def make_program(path: Path, text: str) -> None:
    """An executable script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
