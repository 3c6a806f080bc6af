"""What of Hydra a job needs: arguments that it builds, the programs that it runs."""
