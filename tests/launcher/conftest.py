"""Hydra's own fixtures; its plugin for pytest is off, as few tests need it."""

from __future__ import annotations

from hydra.extra.pytest_plugin import hydra_restore_singletons, hydra_sweep_runner

__all__ = ["hydra_restore_singletons", "hydra_sweep_runner"]
