"""Updates recorded as CUDA graphs against the same updates, kernel by kernel. Needs a GPU."""

from functools import partial

import pytest
import torch

from agent.anchors.anchored import AnchoredConsolidator
from agent.anchors.steps import ProximalStep
from agent.consolidators.ewc import EWC
from agent.consolidators.none import NoConsolidation
from agent.fast.update import FastUpdate
from tests.agent.learners import OPTIMIZERS, make_batch, make_learner, make_network

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.parametrize("anchored", [False, True])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_recorded_updates_are_the_plain_ones(optimizer, anchored):
    """Through two tasks in turns, with acting, syncs of the target and another merge of the anchors in between."""
    learners = [
        make_learner(
            make_network().to("cuda"),
            optimizer,
            epsilon=0.01,
            max_gradient_norm=10.0,
            make_update=partial(FastUpdate, cuda_graphs=recorded),
        )
        for recorded in (False, True)
    ]
    kinds = [NoConsolidation(), NoConsolidation()]
    if anchored:
        kinds = [AnchoredConsolidator(EWC(), ProximalStep(), each.weights, ewc_lambda=10.0) for each in learners]
    for update in range(40):
        task = (update // 5) % 2
        for learner, kind in zip(learners, kinds, strict=True):
            if anchored and update % 5 == 0:
                kind.leave(1 - task, learner.weights, lambda its=learner: [torch.ones_like(w) for w in its.weights])
                kind.enter(task)
            metrics = learner.learn(make_batch(seed=update), task, kind)
            assert torch.isfinite(metrics["loss"])
            if update % 7 == 0:
                learner.sync_target()
        plain, recorded = (each.q_values(make_batch(seed=99).observation, task) for each in learners)
        torch.testing.assert_close(recorded, plain, rtol=1e-3, atol=1e-4)
    for a, b in zip(learners[0].network.parameters(), learners[1].network.parameters(), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-3, atol=1e-4)
