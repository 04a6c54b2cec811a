"""Fishers of unit mean, whatever the store."""

import pytest
import torch

from agent.anchors.normalised import NormalisedFishers
from agent.consolidators.ewc import EWC
from tests.agent.anchors.worlds import fisher_of, make, weights_at


def test_normalised_fishers_have_mean_one_whatever_their_scale():
    anchors = []
    for scale in (1e-6, 1e4):
        consolidator = make(NormalisedFishers(EWC()))
        consolidator.leave(0, weights_at(1), lambda scale=scale: [scale * each for each in fisher_of(1)])
        anchors.append(consolidator.store.anchors[0].precision)
        assert torch.cat([each.flatten() for each in anchors[-1]]).mean().item() == pytest.approx(1, rel=1e-5)
    torch.testing.assert_close(anchors[0], anchors[1])
