"""Tests of planit.submit."""
