"""6.56 M shared weights (PAPER)."""

from agent.networks import Architecture


def make() -> Architecture:
    """As in Kirkpatrick et al. 2017, Supporting Information."""
    return Architecture(convolutions=((32, 8, 4), (64, 4, 2), (128, 3, 1)), hidden=1024)
