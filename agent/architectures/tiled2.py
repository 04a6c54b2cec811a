"""0.8 M shared weights, the tiled one twice as wide, for gates."""

from agent.networks import Architecture


def make() -> Architecture:
    """With half of its units gated, each task has a tiled network of its own making."""
    return Architecture(convolutions=((64, 7, 7), (128, 4, 4)), hidden=512, share=0.5)
