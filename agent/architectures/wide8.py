"""12.8 M shared weights, the small one eight times as wide, for gates."""

from agent.networks import Architecture


def make() -> Architecture:
    """With seven eighths of its units gated, each task has a small network of its own making."""
    return Architecture(convolutions=((256, 5, 5), (512, 5, 5)), hidden=2048, share=0.125)
