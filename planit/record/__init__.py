"""The run directory: the only place that knows a file's name in it."""
