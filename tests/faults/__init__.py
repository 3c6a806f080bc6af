"""What goes wrong around planit, many times over: ``python -m tests.faults`` runs and counts all.

A category is a module with ``run(count, seed, folder, ...) -> Result``. Its cases are made from the
seed alone; they look at planit from outside (its command line, Slurm's own queue, and the lines
that the steps write), so they say nothing about how planit does it.
"""
