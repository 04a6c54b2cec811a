"""Taps: per-sample squares by hand, and that the network's values with taps are its values."""

import pytest
import torch

from agent.taps import ConvolutionTap, LinearTap
from tests.agent.test_fisher import WORLDS, make_batch, make_learner


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("task", [0, 1])
def test_the_values_with_taps_are_the_networks(world, task):
    network, batch = make_learner(world).network, make_batch(4, world=world)
    values, taps = network.with_taps(batch.observation, task)
    torch.testing.assert_close(values, network(batch.observation, task), rtol=1e-4, atol=1e-5)
    assert len(taps) == len(network.weights)


def test_a_convolutions_positions_are_summed_before_the_square():
    """One sample, one map, a kernel of one pixel and two positions: (2 * 3 + 1 * -4)^2 = 4, not 36 + 16."""
    tap = ConvolutionTap(torch.tensor([[[[3.0, -4.0]]]]), torch.empty(0), kernel=1, stride=1)
    assert tap.squares(torch.tensor([[[[2.0, 1.0]]]])).tolist() == [[[[4.0]]]]


def test_a_linear_layers_samples_are_squared_before_the_sum():
    """Gradients 2 * 3 and 1 * -6 cancel in the batch's mean, not in its Fisher: 36 + 36."""
    tap = LinearTap(torch.tensor([[3.0], [-6.0]]), torch.empty(0))
    assert tap.squares(torch.tensor([[2.0], [1.0]])).tolist() == [[72.0]]
