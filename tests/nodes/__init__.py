"""Tests of planit.nodes."""
