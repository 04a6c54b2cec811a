"""The learner: what an update touches and what it leaves alone, with and without consolidation."""

import copy

import pytest
import torch

from agent.anchors.anchored import AnchoredConsolidator
from agent.anchors.steps import PenaltyGradient, ProximalStep
from agent.consolidators.ewc import EWC
from agent.consolidators.none import NoConsolidation
from agent.dqn import PlainUpdate
from agent.fast.update import FastUpdate
from agent.fisher import fisher_information
from agent.networks import Architecture, QNetwork, joined_weights
from agent.objective import double_q, huber
from tests.agent.learners import OPTIMIZERS, consolidate, make_batch, make_learner
from tests.conformance.alike import assert_alike

NONE = NoConsolidation()
STEPS = [PenaltyGradient(), ProximalStep()]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_learning_one_task_never_touches_anothers_parameters(optimizer):
    learner = make_learner(optimizer=optimizer)
    for seed in range(3):
        learner.learn(make_batch(seed=seed), 0, NONE)
    before = copy.deepcopy(learner.network.task_parameters[0].state_dict())
    shared = learner.network.weights[0].detach().clone()
    for seed in range(5):
        learner.learn(make_batch(seed=seed), 1, NONE)
    for name, value in learner.network.task_parameters[0].state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not torch.equal(learner.network.weights[0].detach(), shared)


def test_the_target_network_moves_only_when_it_is_synced():
    learner = make_learner()
    before = copy.deepcopy(learner.target.state_dict())
    learner.learn(make_batch(), 0, NONE)
    assert all(torch.equal(v, before[k]) for k, v in learner.target.state_dict().items())
    learner.sync_target()
    online = learner.network.state_dict()
    assert all(torch.equal(v, online[k]) for k, v in learner.target.state_dict().items())
    assert any(not torch.equal(v, before[k]) for k, v in learner.target.state_dict().items())


def test_the_target_follows_where_a_multiple_of_its_period_was_passed():
    learner = make_learner(target_frames=100)
    synced = []
    for frames in (0, 60, 39, 1, 0, 99, 1, 350, 49, 1):  # 0, 60, 99, 100, 100, 199, 200, 550, 599, 600
        with torch.no_grad():
            learner.network.weights[0] += 1
        learner.count_frames(frames)
        synced.append(torch.equal(learner.target.weights[0], learner.network.weights[0]))
    assert synced == [False, False, False, True, False, False, True, True, False, True]
    assert learner.learned_frames == 600


# -- with consolidation ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("update", [PlainUpdate, FastUpdate])
def test_in_the_gradients_form_an_update_is_that_of_loss_and_separate_penalties(update):
    learner, batch = make_learner(make_update=update), make_batch()
    consolidator = consolidate(learner, PenaltyGradient(), 3.0)
    values, following = learner.network(batch.observation, 1), batch.next_observation
    with torch.no_grad():
        online, target = learner.network(following, 1), learner.target(following, 1)
        goal = double_q(batch.reward, batch.discount, online, target)
    loss = huber(values.gather(1, batch.action[:, None]).squeeze(1) - goal).sum()
    for anchor in consolidator.store.anchors.values():
        loss = loss + 1.5 * sum(
            (f * (w - m) ** 2).sum() for w, m, f in zip(learner.weights, anchor.mean, anchor.precision, strict=True)
        )
    expected = torch.autograd.grad(loss, learner.weights)
    norm = learner.learn(batch, 1, consolidator)["gradient_norm"]
    for w, e in zip(learner.weights, expected, strict=True):
        torch.testing.assert_close(w.grad, e, rtol=1e-3, atol=1e-4)
    own = [p.grad for p in learner.network.task_parameters[1].parameters()]
    whole = torch.cat([g.flatten() for g in (*expected, *own)]).norm()
    assert norm.item() == pytest.approx(whole.item(), rel=1e-4)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_in_the_implicit_form_the_losss_gradient_and_its_averages_are_untouched(optimizer):
    plain, held = make_learner(optimizer=optimizer), make_learner(optimizer=optimizer)
    consolidator = consolidate(held, ProximalStep(), 400.0)
    batch = make_batch()
    assert_alike(held.learn(batch, 0, consolidator), plain.learn(batch, 0, NONE))
    assert_alike(held.optimizer.state_dict(), plain.optimizer.state_dict())
    for free, w, m in zip(plain.weights, held.weights, consolidator.merged.mean, strict=True):
        assert not torch.equal(w, free)
        between = (w - m) / (free - m)  # the way that is left to the mean
        assert ((between >= -1e-3) & (between <= 1 + 1e-3))[(free - m).abs() > 1e-3].all()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("step", STEPS)
def test_another_tasks_gains_and_biases_are_untouched_whatever_the_strength(optimizer, step):
    learner = make_learner(optimizer=optimizer)
    for seed in range(2):
        learner.learn(make_batch(4, seed), 0, NONE)
    consolidator = AnchoredConsolidator(EWC(), step, learner.weights, 1e9)
    batch, generator = make_batch(4, 10), torch.Generator()
    fisher = fisher_information(learner.network, learner.target, [batch], 0, "q_all", generator)
    consolidator.leave(0, learner.weights, lambda: fisher)
    consolidator.enter(1)
    for each in (consolidator.store.anchors[0], consolidator.merged):
        for part in (each.mean, each.precision):
            assert [layer.shape for layer in part] == [w.shape for w in learner.weights]
    plain = copy.deepcopy(learner)
    before = copy.deepcopy([task.state_dict() for task in learner.network.task_parameters])
    values = learner.q_values(batch.observation, 0)
    for seed in range(6):
        for each, its in ((learner, consolidator), (plain, NONE)):
            each.learn(make_batch(4, seed), 1, its)
    for each in (learner, plain):
        assert_alike(each.network.task_parameters[0].state_dict(), before[0])
        for name, value in each.network.task_parameters[1].state_dict().items():
            assert not torch.equal(value, before[1][name])  # the task's own are free to learn
    if isinstance(step, ProximalStep):  # and what the other task was worth stays
        held, free = ((each.q_values(batch.observation, 0) - values).norm() for each in (learner, plain))
        assert held < 0.3 * free


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("step", STEPS)
def test_the_tasks_own_gains_and_biases_are_not_pulled(optimizer, step):
    """One update from the same state moves them the same way, whether the weights are held or not."""
    plain, held = make_learner(optimizer=optimizer), make_learner(optimizer=optimizer)
    batch = make_batch()
    held.learn(batch, 1, consolidate(held, step, 1e4))
    plain.learn(batch, 1, NONE)
    assert_alike(held.network.task_parameters[1].state_dict(), plain.network.task_parameters[1].state_dict())
    assert not torch.equal(held.weights[0], plain.weights[0])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_huge_strength_holds_the_weights_where_they_matter(optimizer):
    learner = make_learner(optimizer=optimizer)
    consolidator = consolidate(learner, ProximalStep(), 1e12)
    for seed in range(4):
        learner.learn(make_batch(4, seed), 0, consolidator)
    for w, m, p in zip(learner.weights, consolidator.merged.mean, consolidator.merged.precision, strict=True):
        assert torch.isfinite(w).all()
        assert ((w - m).abs()[p > 1e-3] < 1e-5).all()


# -- gates -------------------------------------------------------------------------------------------------------


def gated_learner(optimizer):
    learner = make_learner(optimizer=optimizer)
    learner.network.gated = learner.target.gated = 0.5
    for task in (2, 3):
        learner.add_task()
        for online, target in zip(
            learner.network.task_parameters[task].gains, learner.target.task_parameters[task].gains, strict=True
        ):
            assert torch.equal(online, target)
    return learner


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_learning_leaves_closed_gates_and_what_joins_closed_units_as_they_were(optimizer):
    learner = gated_learner(optimizer)
    network = learner.network
    joined = joined_weights([w.shape for w in network.weights], network.active_units(2))
    weights = [w.detach().clone() for w in network.weights]
    gains = [g.detach().clone() for g in network.task_parameters[2].gains]
    for seed in range(3):
        learner.learn(make_batch(seed=seed), 2, NONE)
    network = learner.network
    for before, after, uses in zip(weights, network.weights, joined, strict=True):
        assert torch.equal(before[~uses], after[~uses])
        assert not torch.equal(before, after)
    for before, after in zip(gains, network.task_parameters[2].gains, strict=True):
        assert torch.equal(after[before == 0], before[before == 0])
        assert not torch.equal(before, after)


def test_the_state_of_another_network_is_refused_in_a_sentence():
    """As when a network's own file has changed between a run and its resume."""
    generator = torch.Generator().manual_seed(0)
    other = make_learner(QNetwork(Architecture(((4, 3, 3),), 9), 5, 3, 21, generator))
    with pytest.raises(ValueError, match=r"^what was saved is of another network, in its [\w.]+; put its file back"):
        make_learner().load_state_dict(other.state_dict())
