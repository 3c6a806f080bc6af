"""Slurm as a backend."""
