"""Tests of planit.views."""
