"""1.69 M shared weights (Mnih et al. 2015)."""

from agent.networks import Architecture


def make() -> Architecture:
    """As in the paper in Nature."""
    return Architecture(convolutions=((32, 8, 4), (64, 4, 2), (64, 3, 1)), hidden=512)
