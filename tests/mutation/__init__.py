"""A mutation test of the package: see ``python -m tests.mutation --help``."""
