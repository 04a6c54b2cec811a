"""Temporal-difference maths by hand, and the learner against plain autograd, with and without consolidation."""

import copy

import pytest
import torch

from agent.consolidators.consolidation import (
    Consolidation,
    GradientPull,
    ImplicitPull,
    NoConsolidation,
    SeparateAnchors,
)
from agent.dqn import QLearner, double_q_target, huber
from agent.networks import ARCHITECTURES, QNetwork
from replay.transition import Transition
from tests.conformance.alike import assert_alike

NONE = NoConsolidation()
PULLS = [GradientPull(), ImplicitPull()]


def make_learner(**changes):
    network = QNetwork(ARCHITECTURES["small"], 18, 4, 84, torch.Generator().manual_seed(0))
    settings = {
        "optimiser": "adam",
        "learning_rate": 1e-3,
        "optimiser_epsilon": 1e-3,
        "decay": 0.95,
        "max_gradient_norm": 1e9,
        "shift_pixels": 0,
        "generator": torch.Generator().manual_seed(1),
    }
    learner = QLearner(network, **{**settings, **changes})
    learner.add_task()
    learner.add_task()
    return learner


def make_batch(count=8, seed=2):
    g = torch.Generator().manual_seed(seed)
    return Transition(
        observation=torch.randint(256, (count, 4, 84, 84), generator=g, dtype=torch.uint8),
        action=torch.randint(18, (count,), generator=g),
        reward=torch.randn(count, generator=g),
        discount=torch.where(torch.rand(count, generator=g) < 0.3, 0.0, 0.97),
        next_observation=torch.randint(256, (count, 4, 84, 84), generator=g, dtype=torch.uint8),
    )


def test_double_q_target_by_hand():
    online = torch.tensor([[1.0, 5.0, 2.0], [9.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    target = torch.tensor([[10.0, 20.0, 30.0], [7.0, 8.0, 9.0], [1.0, 2.0, 3.0]])
    reward, discount = torch.tensor([1.0, -1.0, 0.5]), torch.tensor([0.5, 0.9, 0.0])
    # The online network chooses actions 1, 0, 2; the target network values them; a terminal adds nothing.
    assert double_q_target(reward, discount, online, target).tolist() == pytest.approx([11.0, 5.3, 0.5])


def test_huber_by_hand_and_its_slope_is_the_clipped_error():
    error = torch.tensor([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0], requires_grad=True)
    value = huber(error)
    assert value.tolist() == pytest.approx([2.5, 0.5, 0.125, 0.0, 0.125, 0.5, 2.5])
    value.sum().backward()
    assert error.grad.tolist() == pytest.approx([-1.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.0])


def test_one_update_equals_plain_autograd():
    learner, batch = make_learner(), make_batch()
    learner.learn(make_batch(seed=5), 1, NONE)  # online and target differ from here on
    twin = copy.deepcopy(learner.network)
    optimiser = torch.optim.Adam([*twin.weights.parameters(), *twin.tasks[1].parameters()], lr=1e-3, eps=1e-3)
    moments = learner.optimiser.state_dict()
    learner.optimiser = torch.optim.Adam(
        [*learner.network.weights.parameters(), *learner.network.tasks[1].parameters()], lr=1e-3, eps=1e-3
    )
    assert moments["state"]  # the first update was made with the learner's own optimiser

    loss = 0.0
    for i in range(len(batch.action)):  # one transition at a time, the mathematics spelt out
        s, s2 = batch.observation[i : i + 1], batch.next_observation[i : i + 1]
        with torch.no_grad():
            best = int(twin(s2, 1).argmax())
            goal = batch.reward[i] + batch.discount[i] * learner.target(s2, 1)[0, best]
        error = twin(s, 1)[0, batch.action[i]] - goal
        loss = loss + (0.5 * error**2 if abs(error.item()) <= 1 else error.abs() - 0.5)
    loss.backward()
    norm = torch.cat([p.grad.flatten() for p in twin.parameters() if p.grad is not None]).norm()
    optimiser.step()

    metrics = learner.learn(batch, 1, NONE)
    assert metrics["loss"].item() == pytest.approx(loss.item() / 8, rel=1e-4)
    assert metrics["gradient_norm"].item() == pytest.approx(norm.item(), rel=1e-3)
    for fast, slow in zip(learner.network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-3, atol=1e-5)


class FullGradients(NoConsolidation):
    """Wants every weight's `.grad`, and does nothing with it."""

    adds_to_gradients = True

    def before_step(self, weights):
        assert all(w.grad is not None and w.grad.dtype == torch.float32 for w in weights)


def test_gradients_that_stay_in_bfloat16_give_the_same_update_bit_for_bit():
    """And the passes' copies are those of the weights, also after the two kinds of update took turns."""
    half, full, mixed = (bfloat16_learner() for _ in range(3))
    for seed in range(6):
        batch, task = make_batch(seed=seed), seed % 2
        kinds = (NoConsolidation(), FullGradients(), (NoConsolidation(), FullGradients())[seed // 2 % 2])
        for learner, kind in zip((half, full, mixed), kinds, strict=True):
            learner.learn(batch, task, kind)
    for learner in (full, mixed):
        assert_alike(learner.network.state_dict(), half.network.state_dict())
        assert_alike(learner.optimiser.state_dict(), half.optimiser.state_dict())
    observation = make_batch().observation
    afresh = bfloat16_learner()
    afresh.load_state_dict(half.state_dict())
    assert torch.equal(half.q_values(observation, 1), afresh.q_values(observation, 1))
    assert half.network.weights[2].grad is None and full.network.weights[2].grad is not None


def bfloat16_learner():
    network = QNetwork(ARCHITECTURES["small"], 18, 4, 84, torch.Generator().manual_seed(0), torch.bfloat16)
    settings = {"learning_rate": 1e-3, "optimiser_epsilon": 1e-2, "decay": 0.95, "max_gradient_norm": 1e9}
    learner = QLearner(
        network, optimiser="rmsprop", shift_pixels=0, generator=torch.Generator().manual_seed(1), **settings
    )
    learner.add_task()
    learner.add_task()
    return learner


@pytest.mark.parametrize("optimiser", ["adam", "rmsprop"])
def test_learning_one_task_never_touches_anothers_parameters(optimiser):
    learner = make_learner(optimiser=optimiser)
    for seed in range(3):
        learner.learn(make_batch(seed=seed), 0, NONE)
    before = copy.deepcopy(learner.network.tasks[0].state_dict())
    shared = learner.network.weights[0].detach().clone()
    for seed in range(5):
        learner.learn(make_batch(seed=seed), 1, NONE)
    for name, value in learner.network.tasks[0].state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not torch.equal(learner.network.weights[0].detach(), shared)


def test_the_gradient_norm_is_bounded():
    free, bound = make_learner(), make_learner(max_gradient_norm=0.5)
    batch = make_batch()
    norm = free.learn(batch, 0, NONE)["gradient_norm"]
    bound.learn(batch, 0, NONE)
    assert norm > 0.5
    clipped = torch.cat([p.grad.flatten() for p in bound.network.parameters() if p.grad is not None]).norm()
    assert clipped.item() == pytest.approx(0.5, rel=1e-3)


def test_the_target_network_moves_only_when_it_is_synced():
    learner = make_learner()
    before = copy.deepcopy(learner.target.state_dict())
    learner.learn(make_batch(), 0, NONE)
    assert all(torch.equal(v, before[k]) for k, v in learner.target.state_dict().items())
    learner.sync_target()
    online = learner.network.state_dict()
    assert all(torch.equal(v, online[k]) for k, v in learner.target.state_dict().items())
    assert any(not torch.equal(v, before[k]) for k, v in learner.target.state_dict().items())


def test_values_converge_to_the_fixed_point_of_a_small_chain():
    """Two states: s0 -(r=1)-> s1 -(r=1)-> end, discount 0.5: Q(s1) = 1, Q(s0) = 1.5."""
    learner = make_learner(learning_rate=3e-3)
    states = torch.randint(256, (2, 4, 84, 84), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)
    batch = Transition(
        observation=states[[0, 1]],
        action=torch.tensor([4, 4]),
        reward=torch.ones(2),
        discount=torch.tensor([0.5, 0.0]),
        next_observation=states[[1, 1]],
    )
    # Only action 4 is ever learned; give the others values too low to be chosen.
    with torch.no_grad():
        learner.network.tasks[0].biases[-1].fill_(-5.0)
        learner.network.tasks[0].biases[-1][4] = 0.0
    learner.sync_target()
    for update in range(300):
        learner.learn(batch, 0, NONE)
        if update % 20 == 0:
            learner.sync_target()
    values = learner.q_values(states, 0)[:, 4]
    assert values.tolist() == pytest.approx([1.5, 1.0], abs=0.05)


# -- with consolidation ----------------------------------------------------------------------------------------


def consolidate(learner, pull, strength):
    """Anchors of two other tasks, away from the present weights by as much as these are large."""
    consolidation = Consolidation(SeparateAnchors(), pull, learner.weights, strength=strength)
    g = torch.Generator().manual_seed(9)
    for task in (5, 6):
        moved = [w.detach() + w.std().detach() * torch.randn(w.shape, generator=g) for w in learner.weights]
        fisher = [torch.rand(w.shape, generator=g) for w in learner.weights]
        consolidation.leave(task, moved, lambda fisher=fisher: fisher)
    consolidation.enter(0)
    return consolidation


@pytest.mark.parametrize("optimiser", ["adam", "rmsprop"])
@pytest.mark.parametrize("pull", PULLS)
def test_strength_nought_is_no_consolidation_bit_for_bit(optimiser, pull):
    plain, held = make_learner(optimiser=optimiser), make_learner(optimiser=optimiser)
    consolidation = consolidate(held, pull, 0.0)
    for seed in range(4):
        batch = make_batch(4, seed)
        assert_alike(held.learn(batch, seed % 2, consolidation), plain.learn(batch, seed % 2, NONE))
    assert_alike(held.state_dict(), plain.state_dict())


def test_in_the_gradients_form_an_update_is_that_of_loss_and_separate_penalties():
    learner, batch = make_learner(), make_batch()
    consolidation = consolidate(learner, GradientPull(), 3.0)
    values, following = learner.network(batch.observation, 1), batch.next_observation
    with torch.no_grad():
        online, target = learner.network(following, 1), learner.target(following, 1)
        goal = double_q_target(batch.reward, batch.discount, online, target)
    loss = huber(values.gather(1, batch.action[:, None]).squeeze(1) - goal).sum()
    for anchor in consolidation.memory.anchors.values():
        loss = loss + 1.5 * sum(
            (f * (w - m) ** 2).sum() for w, m, f in zip(learner.weights, anchor.mean, anchor.precision, strict=True)
        )
    expected = torch.autograd.grad(loss, learner.weights)
    norm = learner.learn(batch, 1, consolidation)["gradient_norm"]
    for w, e in zip(learner.weights, expected, strict=True):
        torch.testing.assert_close(w.grad, e, rtol=1e-3, atol=1e-4)
    own = [p.grad for p in learner.network.tasks[1].parameters()]
    whole = torch.cat([g.flatten() for g in (*expected, *own)]).norm()
    assert norm.item() == pytest.approx(whole.item(), rel=1e-4)


@pytest.mark.parametrize("optimiser", ["adam", "rmsprop"])
def test_in_the_implicit_form_the_losss_gradient_and_its_averages_are_untouched(optimiser):
    plain, held = make_learner(optimiser=optimiser), make_learner(optimiser=optimiser)
    consolidation = consolidate(held, ImplicitPull(), 400.0)
    batch = make_batch()
    assert_alike(held.learn(batch, 0, consolidation), plain.learn(batch, 0, NONE))
    assert_alike(held.optimiser.state_dict(), plain.optimiser.state_dict())
    for free, w, m in zip(plain.weights, held.weights, consolidation.merged.mean, strict=True):
        assert not torch.equal(w, free)
        between = (w - m) / (free - m)  # the way that is left to the mean
        assert ((between >= -1e-3) & (between <= 1 + 1e-3))[(free - m).abs() > 1e-3].all()


@pytest.mark.parametrize("optimiser", ["adam", "rmsprop"])
@pytest.mark.parametrize("pull", PULLS)
def test_another_tasks_gains_and_biases_are_untouched_whatever_the_strength(optimiser, pull):
    learner = make_learner(optimiser=optimiser)
    for seed in range(2):
        learner.learn(make_batch(4, seed), 0, NONE)
    consolidation = Consolidation(SeparateAnchors(), pull, learner.weights, strength=1e9)
    batch, generator = make_batch(4, 10), torch.Generator()
    consolidation.leave(0, learner.weights, lambda: learner.fisher([batch], 0, "q_all", generator))
    consolidation.enter(1)
    for each in (consolidation.memory.anchor(0), consolidation.merged):
        for part in (each.mean, each.precision):
            assert [layer.shape for layer in part] == [w.shape for w in learner.weights]
    plain = copy.deepcopy(learner)
    before = copy.deepcopy([task.state_dict() for task in learner.network.tasks])
    values = learner.q_values(batch.observation, 0)
    for seed in range(6):
        for each, its in ((learner, consolidation), (plain, NONE)):
            each.learn(make_batch(4, seed), 1, its)
    for each in (learner, plain):
        assert_alike(each.network.tasks[0].state_dict(), before[0])
        for name, value in each.network.tasks[1].state_dict().items():
            assert not torch.equal(value, before[1][name])  # the task's own are free to learn
    if isinstance(pull, ImplicitPull):  # and what the other task was worth stays
        held, free = ((each.q_values(batch.observation, 0) - values).norm() for each in (learner, plain))
        assert held < 0.3 * free


@pytest.mark.parametrize("optimiser", ["adam", "rmsprop"])
@pytest.mark.parametrize("pull", PULLS)
def test_the_tasks_own_gains_and_biases_are_not_pulled(optimiser, pull):
    """One update from the same state moves them the same way, whether the weights are held or not."""
    plain, held = make_learner(optimiser=optimiser), make_learner(optimiser=optimiser)
    batch = make_batch()
    held.learn(batch, 1, consolidate(held, pull, 1e4))
    plain.learn(batch, 1, NONE)
    assert_alike(held.network.tasks[1].state_dict(), plain.network.tasks[1].state_dict())
    assert not torch.equal(held.weights[0], plain.weights[0])


@pytest.mark.parametrize("optimiser", ["adam", "rmsprop"])
def test_a_huge_strength_holds_the_weights_where_they_matter(optimiser):
    learner = make_learner(optimiser=optimiser)
    consolidation = consolidate(learner, ImplicitPull(), 1e12)
    for seed in range(4):
        learner.learn(make_batch(4, seed), 0, consolidation)
    for w, m, p in zip(learner.weights, consolidation.merged.mean, consolidation.merged.precision, strict=True):
        assert torch.isfinite(w).all()
        assert ((w - m).abs()[p > 1e-3] < 1e-5).all()


# -- gates and silent units --------------------------------------------------------------------------------------


def gated_learner(optimiser="adam"):
    learner = make_learner(optimiser=optimiser)
    learner.network.gated = learner.target.gated = 0.5
    for task in (2, 3):
        learner.add_task()
        for online, behind in zip(learner.network.tasks[task].gains, learner.target.tasks[task].gains, strict=True):
            assert torch.equal(online, behind)
    return learner


@pytest.mark.parametrize("optimiser", ["adam", "rmsprop"])
def test_learning_leaves_closed_gates_and_what_joins_closed_units_as_they_were(optimiser):
    learner = gated_learner(optimiser)
    network = learner.network
    joined = network.connections(2)
    weights = [w.detach().clone() for w in network.weights]
    gains = [g.detach().clone() for g in network.tasks[2].gains]
    for seed in range(3):
        learner.learn(make_batch(seed=seed), 2, NONE)
    for before, after, uses in zip(weights, network.weights, joined, strict=True):
        assert torch.equal(before[~uses], after[~uses])
        assert not torch.equal(before, after)
    for before, after in zip(gains, network.tasks[2].gains, strict=True):
        assert torch.equal(after[before == 0], before[before == 0])
        assert not torch.equal(before, after)


def with_silent_units(learner, task=1):
    """Biases that keep some units of every hidden layer below zero, whatever is seen."""
    with torch.no_grad():
        for bias in learner.network.tasks[task].biases[:-1]:
            bias[::3] = -100.0
    return learner


def test_silent_units_are_those_that_no_observation_activates():
    learner = with_silent_units(make_learner())
    batches = [make_batch(seed=s) for s in range(3)]
    found = learner.silent_units(batches, 1)
    x = torch.cat([b.observation for b in batches])
    for layer, mask in enumerate(found):
        _, taps = learner.network.with_taps(x, 1)
        activation = taps[layer + 1].input.flatten(1).reshape(len(x), len(mask), -1)
        assert mask.tolist() == [bool((unit == 0).all()) for unit in activation.unbind(1)]
        assert mask[::3].all() and not mask.all()
    assert not all(mask[::3].all() for mask in learner.silent_units(batches, 0))


def test_closing_silent_units_changes_no_value_and_frees_their_weights():
    learner = with_silent_units(make_learner())
    batches = [make_batch(seed=s) for s in range(3)]
    before = [learner.q_values(b.observation, 1) for b in batches]
    others = [learner.q_values(b.observation, 0) for b in batches]
    learner.close_units(1, learner.silent_units(batches, 1))
    assert all(torch.equal(learner.q_values(b.observation, 1), q) for b, q in zip(batches, before, strict=True))
    assert all(torch.equal(learner.q_values(b.observation, 0), q) for b, q in zip(batches, others, strict=True))
    g = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight, uses in zip(learner.network.weights, learner.network.connections(1), strict=True):
            assert not uses.all()
            weight += torch.randn(weight.shape, generator=g) * ~uses
        for b, q in zip(batches, before, strict=True):
            torch.testing.assert_close(learner.q_values(b.observation, 1), q, rtol=1e-6, atol=1e-6)
    assert not torch.allclose(learner.q_values(batches[0].observation, 0), others[0], atol=0.1)


def test_a_layer_that_is_silent_altogether_stays_open():
    learner = with_silent_units(make_learner())
    with torch.no_grad():
        learner.network.tasks[1].biases[1][:] = -1000.0
    silent = learner.silent_units([make_batch()], 1)
    assert silent[1].all()
    learner.close_units(1, silent)
    for network in (learner.network, learner.target):
        gains = network.tasks[1].gains
        assert gains[0].count_nonzero() < len(gains[0]) and gains[1].all()


@pytest.mark.parametrize("optimiser", ["adam", "rmsprop"])
def test_closed_units_stay_closed_however_long_the_task_is_learned(optimiser):
    learner = make_learner(optimiser=optimiser)
    for seed in range(3):
        learner.learn(make_batch(seed=seed), 1, NONE)  # gains have a momentum now
    closed = [torch.arange(u) % 4 == 0 for u in learner.network.units[:-1]]
    learner.close_units(1, closed)
    for seed in range(3, 6):
        learner.learn(make_batch(seed=seed), 1, NONE)
    for network in (learner.network, learner.target):
        for gain, mask in zip(network.tasks[1].gains, closed, strict=False):
            assert (gain[mask] == 0).all() and (gain[~mask] != 0).all()
