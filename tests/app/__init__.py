"""Tests of planit.app."""
