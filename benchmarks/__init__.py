"""Measurements of speed and memory, each a command; docs/measurements.md holds what they printed."""
