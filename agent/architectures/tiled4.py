"""3.0 M shared weights, the tiled one four times as wide, for gates."""

from agent.networks import Architecture


def make() -> Architecture:
    """With three quarters of its units gated, each task has a tiled network of its own making."""
    return Architecture(convolutions=((128, 7, 7), (256, 4, 4)), hidden=1024, share=0.25)
