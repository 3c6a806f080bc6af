"""The tests mirror planit/; tests/cluster/ starts a private real Slurm."""
