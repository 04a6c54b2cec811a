"""Learners and minibatches for tests, with every random number from a seed."""

import copy
from functools import partial

import torch

from agent.anchors.anchored import AnchoredConsolidator
from agent.consolidators.ewc import EWC
from agent.consolidators.none import NoConsolidation
from agent.fast.offers import fastest_update
from agent.fast.optimizers import make_optimizer
from agent.learner import QLearner
from agent.networks import QNetwork
from configs.choices import NETWORKS
from replay.transition import Transition

OPTIMIZERS = ["adam", "rmsprop"]
SMALL = NETWORKS["small"].make()


class Transposed(QNetwork):
    """A network of another kind: it sees the pictures' columns as rows."""

    def forward(self, observation, task):
        return super().forward(observation.transpose(2, 3), task)


def make_network(architecture=SMALL, actions=18, stack=4, side=84, seed=0, kind=QNetwork, **changes):
    """Without tasks."""
    return kind(architecture, actions, stack, side, torch.Generator().manual_seed(seed), **changes)


def make_learner(
    network=None,
    optimizer="adam",
    learning_rate=1e-3,
    epsilon=1e-3,
    max_gradient_norm=1e9,
    make_update=None,
    target_frames=10**9,
    shift_pixels=0,
    seed=1,
    tasks=2,
):
    """`make_update`: (network, target, optimizer, bound on the gradients' norm) -> an update (None: the fastest)."""
    make_update = make_update or partial(fastest_update, consolidator=NoConsolidation())
    network = network or make_network()
    target = copy.deepcopy(network).requires_grad_(False)
    built = make_optimizer(
        optimizer, network.weights.parameters(), learning_rate=learning_rate, epsilon=epsilon, decay=0.95
    )
    learner = QLearner(
        network,
        target,
        built,
        make_update(network, target, built, max_gradient_norm),
        target_frames=target_frames,
        shift_pixels=shift_pixels,
        generator=torch.Generator().manual_seed(seed),
    )
    for task in range(tasks):
        learner.add_task()
        if task and network.subtract_background:  # of task 0 it is not known
            learner.set_background(task, make_batch(seed=task).observation[:, 0])
    return learner


def make_batch(count=8, seed=2, actions=18, stack=4, side=84):
    g = torch.Generator().manual_seed(seed)
    shape = (count, stack, side, side)
    return Transition(
        observation=torch.randint(256, shape, generator=g, dtype=torch.uint8),
        action=torch.randint(actions, (count,), generator=g),
        reward=torch.randn(count, generator=g),
        discount=torch.where(torch.rand(count, generator=g) < 0.3, 0.0, 0.97),
        next_observation=torch.randint(256, shape, generator=g, dtype=torch.uint8),
    )


def consolidate(learner, step, ewc_lambda, store=None):
    """Anchors of two other tasks, away from the present weights by as much as these are large; task 0 is played."""
    consolidator = AnchoredConsolidator(store or EWC(), step, learner.weights, ewc_lambda)
    g = torch.Generator().manual_seed(9)
    for task in (5, 6):
        moved = [w.detach() + w.std().detach() * torch.randn(w.shape, generator=g) for w in learner.weights]
        fisher = [torch.rand(w.shape, generator=g) for w in learner.weights]
        consolidator.leave(task, moved, lambda fisher=fisher: fisher)
    consolidator.enter(0)
    return consolidator
