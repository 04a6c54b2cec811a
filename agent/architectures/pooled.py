"""0.2 M shared weights, for CPUs; layers that overlap, on pictures of half the resolution."""

from agent.networks import Architecture


def make() -> Architecture:
    """The layers of the first deep Q-learning (Mnih et al. 2013) on means over 2 x 2 pixels, where its 8 x 8 patches, 4
    pixels apart, are 4 x 4 means, 2 apart; and one more, that needs fewer weights behind it."""
    return Architecture(convolutions=((16, 4, 2), (32, 4, 2), (64, 3, 3)), hidden=256, pool=2)
