"""``python -m planit.backends.local``: guardian and engine as processes of their own.

``packed`` runs what is packed in a Slurm job, which is told by its environment; ``packed-check``
only says by its exit code whether it may.
"""

import sys

from planit.backends.local import guardian

if __name__ == "__main__":
    if sys.argv[1:] == ["packed-check"]:
        from planit.backends.local import packed_job

        sys.exit(packed_job.main(sys.argv[1:]))
    sys.exit(guardian.main(sys.argv[1:]))
