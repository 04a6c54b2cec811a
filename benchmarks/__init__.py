"""Measurements of speed and memory, each a command; docs/results.md holds what they printed."""
