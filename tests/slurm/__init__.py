"""The run lifecycle on the private Slurm."""
