"""The run directory and everything that happens to it: submission, worker, status."""
