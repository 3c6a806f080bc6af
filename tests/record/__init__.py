"""The parts of a run directory, without a scheduler."""
