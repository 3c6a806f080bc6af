"""From evidence to a state, without a scheduler."""
