"""Units that a task does not need: which they are; to gate them off changes no value and frees their weights."""

import pytest
import torch

from agent.consolidators.none import NoConsolidation
from agent.fast.update import FastUpdate
from agent.networks import joined_weights
from agent.pruning import active_fraction, inactive_units, prune
from tests.agent.learners import OPTIMIZERS, make_batch, make_learner

NONE = NoConsolidation()


def with_inactive_units(learner, task=1):
    """Biases that keep some units of every hidden layer below zero, whatever is seen."""
    with torch.no_grad():
        for bias in learner.network.task_parameters[task].biases[:-1]:
            bias[::3] = -100.0
    return learner


def test_inactive_units_are_those_that_no_observation_activates():
    learner = with_inactive_units(make_learner())
    batches = [make_batch(seed=s) for s in range(3)]
    found = inactive_units(learner.network, batches, 1)
    x = torch.cat([b.observation for b in batches])
    for layer, mask in enumerate(found):
        _, taps = learner.network.with_taps(x, 1)
        activation = taps[layer + 1].input.flatten(1).reshape(len(x), len(mask), -1)
        assert mask.tolist() == [bool((unit == 0).all()) for unit in activation.unbind(1)]
        assert mask[::3].all() and not mask.all()
    assert not all(mask[::3].all() for mask in inactive_units(learner.network, batches, 0))


def test_pruning_changes_no_value_and_frees_the_units_weights():
    learner = with_inactive_units(make_learner(make_update=FastUpdate))
    batches = [make_batch(seed=s) for s in range(3)]
    before = [learner.q_values(b.observation, 1) for b in batches]
    others = [learner.q_values(b.observation, 0) for b in batches]
    prune(learner, 1, inactive_units(learner.network, batches, 1))
    assert all(torch.equal(learner.q_values(b.observation, 1), q) for b, q in zip(batches, before, strict=True))
    assert all(torch.equal(learner.q_values(b.observation, 0), q) for b, q in zip(batches, others, strict=True))
    g = torch.Generator().manual_seed(5)
    weights = list(learner.network.weights)
    joined = joined_weights([w.shape for w in weights], learner.network.active_units(1))
    with torch.no_grad():
        for weight, uses in zip(weights, joined, strict=True):
            assert not uses.all()
            weight += torch.randn(weight.shape, generator=g) * ~uses
        for b, q in zip(batches, before, strict=True):
            torch.testing.assert_close(learner.q_values(b.observation, 1), q, rtol=1e-6, atol=1e-6)
    assert not torch.allclose(learner.q_values(batches[0].observation, 0), others[0], atol=0.1)


def test_a_layer_that_is_inactive_altogether_stays_open():
    learner = with_inactive_units(make_learner())
    with torch.no_grad():
        learner.network.task_parameters[1].biases[1][:] = -1000.0
    inactive = inactive_units(learner.network, [make_batch()], 1)
    assert inactive[1].all()
    prune(learner, 1, inactive)
    for network in (learner.network, learner.target):
        gains = network.task_parameters[1].gains
        assert gains[0].count_nonzero() < len(gains[0]) and gains[1].all()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_pruned_units_stay_off_however_long_the_task_is_learned(optimizer):
    learner = make_learner(optimizer=optimizer)
    for seed in range(3):
        learner.learn(make_batch(seed=seed), 1, NONE)  # gains have a momentum now
    pruned = [torch.arange(u) % 4 == 0 for u in learner.network.units[:-1]]
    prune(learner, 1, pruned)
    for seed in range(3, 6):
        learner.learn(make_batch(seed=seed), 1, NONE)
    for network in (learner.network, learner.target):
        for gain, mask in zip(network.task_parameters[1].gains, pruned, strict=False):
            assert (gain[mask] == 0).all() and (gain[~mask] != 0).all()
    assert active_fraction(learner.network, 1) == 0.75 and active_fraction(learner.network, 0) == 1.0
