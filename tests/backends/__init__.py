"""Tests of planit.backends."""
