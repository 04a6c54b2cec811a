"""3.2 M shared weights, the small one four times as wide, for gates."""

from agent.networks import Architecture


def make() -> Architecture:
    """With three quarters of its units gated, each task has a small network of its own making."""
    return Architecture(convolutions=((128, 5, 5), (256, 5, 5)), hidden=1024, share=0.25)
