"""Measurements of speed and memory, each a command; results.md holds what they printed."""
