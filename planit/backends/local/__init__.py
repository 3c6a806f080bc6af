"""Runs a submission on this machine: what Slurm does elsewhere, in one small process."""
