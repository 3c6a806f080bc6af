"""A private real Slurm on one machine, for tests: `python -m tests.cluster up`, or Cluster."""

from __future__ import annotations

from .cluster import Cluster
from .errors import ClusterError
from .packages import ensure_installed, missing_packages

__all__ = ["Cluster", "ClusterError", "ensure_installed", "missing_packages"]
