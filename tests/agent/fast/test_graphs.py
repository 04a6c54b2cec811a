"""Updates recorded as CUDA graphs against the same updates, kernel by kernel. Needs a GPU."""

import pytest
import torch

from agent.consolidators.consolidation import Consolidation, ImplicitPull, NoConsolidation, SeparateAnchors
from agent.dqn import QLearner
from tests.agent.test_dqn import make_batch
from tests.agent.test_networks import make

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def make_learner(recorded, optimiser):
    network = make().to("cuda")
    settings = {"learning_rate": 1e-3, "optimiser_epsilon": 0.01, "decay": 0.95, "max_gradient_norm": 10.0}
    learner = QLearner(
        network,
        optimiser=optimiser,
        shift_pixels=0,
        generator=torch.Generator().manual_seed(0),
        recorded=recorded,
        **settings,
    )
    learner.add_task()
    learner.add_task()
    return learner


@pytest.mark.parametrize("anchored", [False, True])
@pytest.mark.parametrize("optimiser", ["rmsprop", "adam"])
def test_recorded_updates_are_the_plain_ones(optimiser, anchored):
    """Through two tasks in turns, with acting, syncs of the target and another merge of the anchors in between."""
    learners = [make_learner(recorded, optimiser) for recorded in (False, True)]
    kinds = [NoConsolidation(), NoConsolidation()]
    if anchored:
        kinds = [Consolidation(SeparateAnchors(), ImplicitPull(), each.weights, strength=10.0) for each in learners]
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
