"""The one error that the private Slurm raises on purpose."""

from __future__ import annotations


class ClusterError(RuntimeError):
    """The private Slurm could not be installed, started, reached or ended; the text says why."""
