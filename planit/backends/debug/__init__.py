"""The plan in this process, for debuggers."""
