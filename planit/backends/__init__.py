"""Who runs the steps: Slurm, or this process. The only place that knows submitit."""
