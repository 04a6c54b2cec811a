"""0.7 M shared weights, the pooled one twice as wide, for gates."""

from agent.networks import Architecture


def make() -> Architecture:
    """With half of its units gated, each task has a pooled network of its own making."""
    return Architecture(convolutions=((32, 4, 2), (64, 4, 2), (128, 3, 3)), hidden=512, share=0.5, pool=2)
