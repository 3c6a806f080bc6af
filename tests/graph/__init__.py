"""Tests of planit.graph."""
