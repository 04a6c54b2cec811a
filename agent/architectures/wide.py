"""0.8 M shared weights, the small one twice as wide, for gates."""

from agent.networks import Architecture


def make() -> Architecture:
    """With half of its units gated, each task has a small network of its own making. Kept runs have it without a
    `share`, so that it begins with smaller weights and larger gains than a small network."""
    return Architecture(convolutions=((64, 5, 5), (128, 5, 5)), hidden=512)
