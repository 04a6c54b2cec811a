"""0.2 M shared weights, for CPUs."""

from agent.networks import Architecture


def make() -> Architecture:
    """van Hasselt et al. 2019 (data-efficient Rainbow): a tenth of the Nature network's time on a CPU.

    Its layers leave out what does not fill a patch: it sees the upper left 75 x 75 of 84 x 84 pixels.
    """
    return Architecture(convolutions=((32, 5, 5), (64, 5, 5)), hidden=256)
