"""``hydra/launcher=planit`` in programs that know nothing of planit."""
