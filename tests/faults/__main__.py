"""``python -m tests.faults``: every category in full, and one table at the end."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.cluster import Cluster
from tests.faults import answers, attackers, ends, kills, purges
from tests.faults.results import Result, table

MODULES = {
    kills.CATEGORY: kills,
    answers.CATEGORY: answers,
    purges.CATEGORY: purges,
    ends.CATEGORY: ends,
    attackers.CATEGORY: attackers,
}


def main() -> int:
    """Run what was asked for; the exit code is 1 if anything went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--category", action="append", choices=list(MODULES), default=[])
    parser.add_argument(
        "--full", action="store_true", help="all cases, the default without --count"
    )
    parser.add_argument("--count", type=int, help="so many cases of each category")
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument("--only", type=int, action="append", default=[], metavar="N",
                        help="just the case of this number")  # fmt: skip
    parser.add_argument("--keep", action="store_true", help="keep the files of the cases")
    words = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    folder.chmod(0o755)
    wanted = words.category or list(MODULES)
    cluster = Cluster.start() if set(wanted) - {purges.CATEGORY} else None
    results: list[Result] = []
    try:
        base: Mapping[str, str] = cluster.env() if cluster else os.environ
        if cluster:
            os.environ["SLURM_CONF"] = str(cluster.conf)
        for name in wanted:
            module = MODULES[name]
            count = module.FULL if words.full or words.count is None else words.count
            results.append(module.run(count, words.seed, folder, base, only=words.only, say=_say))
    finally:
        if cluster:
            cluster.stop()
        if not words.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print()
    for result in results:
        print("\n".join(result.problems))
    print(f"\n{table(results)}\nseed {words.seed}" + (f", files in {folder}" if words.keep else ""))
    return 1 if any(result.bad for result in results) else 0


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
