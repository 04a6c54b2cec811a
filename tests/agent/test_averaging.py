"""The running average of the weights against its definition, and where it is used."""

import copy

import pytest
import torch

from agent.averaging import EVERY, WeightAverage
from agent.consolidators.none import NoConsolidation
from agent.dqn import PlainUpdate
from tests.agent.learners import OPTIMIZERS, make_batch, make_learner

NONE = NoConsolidation()


def parameters(learner, task):
    return [*learner.network.weights, *learner.network.task_parameters[task].parameters()]


def learn(learner, task, count, first_seed=0):
    """The parameters after every update."""
    line = []
    for seed in range(count):
        learner.learn(make_batch(seed=first_seed + seed), task, NONE)
        line.append([p.detach().clone() for p in parameters(learner, task)])
    return line


def averaging(rate, task=0, **changes):
    learner = make_learner(**changes)
    learner.average = WeightAverage(rate)
    learner.enter(task)
    return learner


@pytest.mark.parametrize("rate", [1e-9, 0.01, 1.0])
@pytest.mark.parametrize("make_update", [None, PlainUpdate])
def test_it_is_the_mean_of_what_was_looked_at_and_then_follows(rate, make_update):
    learner = averaging(rate, make_update=make_update)
    line = learn(learner, 0, 5 * EVERY + 3)[EVERY - 1 :: EVERY]
    expected = line[0]
    for looks, now in enumerate(line[1:], 2):
        share = max(1 - (1 - rate) ** EVERY, 1 / looks)
        expected = [(1 - share) * e + share * n for e, n in zip(expected, now, strict=True)]
    if rate < 1e-6:
        expected = [torch.stack(each).mean(0) for each in zip(*line, strict=True)]
    latest = [p.detach().clone() for p in parameters(learner, 0)]
    learner.settle()
    for found, value, last in zip(parameters(learner, 0), expected, latest, strict=True):
        torch.testing.assert_close(found, value, rtol=1e-5, atol=1e-6)
        assert rate < 1 or not torch.equal(found, last)  # three updates came after the last look


def test_learning_never_sees_it():
    with_average, without = averaging(0.1), make_learner()
    for one, other in zip(learn(with_average, 0, 20), learn(without, 0, 20), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_it_plays_where_the_network_is_asked_for_evaluations():
    learner = averaging(0.1)
    before = learner.played_state_dict()
    assert all(torch.equal(value, before[name]) for name, value in learner.network.state_dict().items())
    learn(learner, 0, 2 * EVERY)
    online = copy.deepcopy(learner.network.state_dict())
    played = learner.played_state_dict()
    assert all(torch.equal(value, online[name]) for name, value in learner.network.state_dict().items())
    assert not torch.equal(played["weights.0"], online["weights.0"])
    learner.settle()
    assert all(torch.equal(value, played[name]) for name, value in learner.network.state_dict().items())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("make_update", [None, PlainUpdate])
def test_acting_and_learning_go_on_from_where_it_settled(optimizer, make_update):
    learner = averaging(0.1, optimizer=optimizer, make_update=make_update)
    observation = make_batch().observation
    learn(learner, 0, 2 * EVERY)
    before = learner.q_values(observation, 0)
    learner.settle()
    with torch.no_grad():
        expected = learner.network(observation, 0)
    torch.testing.assert_close(learner.q_values(observation, 0), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(expected, before, atol=1e-4)
    settled = [p.detach().clone() for p in parameters(learner, 0)]
    (after,) = learn(learner, 0, 1, first_seed=99)
    steps = [float((a - s).abs().max()) for a, s in zip(after, settled, strict=True)]
    assert 0 < max(steps) < 0.02  # one step from there, not from the weights before


def test_another_tasks_updates_do_not_count_and_another_task_begins_anew():
    learner = averaging(0.1)
    learn(learner, 1, 2 * EVERY)
    assert not learner.average.begun
    learn(learner, 0, EVERY)
    assert learner.average.begun
    learner.enter(1)
    assert not learner.average.begun
    before = copy.deepcopy(learner.network.state_dict())
    learner.settle()  # nothing has been learned since
    assert all(torch.equal(value, before[name]) for name, value in learner.network.state_dict().items())


def test_it_settles_once():
    """What is changed afterwards, units that are pruned for instance, stays when leaving is begun again."""
    learner = averaging(0.1)
    learn(learner, 0, EVERY)
    learner.settle()
    with torch.no_grad():
        learner.network.task_parameters[0].gains[0][3] = 0.0
    learner.settle()
    assert learner.network.task_parameters[0].gains[0][3] == 0.0


def test_a_stop_changes_nothing():
    whole, first = averaging(0.1), averaging(0.1)
    learn(whole, 0, 3 * EVERY)
    learn(first, 0, EVERY + 3)
    second = averaging(0.1, seed=5)
    second.load_state_dict(first.state_dict())
    learn(second, 0, 2 * EVERY - 3, first_seed=EVERY + 3)
    one, other = whole.played_state_dict(), second.played_state_dict()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_what_was_loaded_stays_as_it_is():
    learner = averaging(0.5)
    learn(learner, 0, EVERY)
    state = learner.average.state_dict()
    before = [each.clone() for each in state["mean"]]
    learner.average.load_state_dict(state)
    learn(learner, 0, EVERY, first_seed=EVERY)
    assert all(torch.equal(a, b) for a, b in zip(state["mean"], before, strict=True))
