"""Hyper-parameters, their checks, and the building of a run from them."""
