"""2.8 M shared weights, the pooled one four times as wide, for gates."""

from agent.networks import Architecture


def make() -> Architecture:
    """With three quarters of its units gated, each task has a pooled network of its own making."""
    return Architecture(convolutions=((64, 4, 2), (128, 4, 2), (256, 3, 3)), hidden=1024, share=0.25, pool=2)
