"""Temporal-difference maths by hand, and one update, plain or fast, against a loop over transitions."""

import copy
from functools import partial

import pytest
import torch

from agent.consolidators.none import NoConsolidation
from agent.dqn import PlainUpdate
from agent.fast.packed_update import PackedUpdate
from agent.fast.update import FastUpdate
from agent.networks import QNetwork
from agent.objective import DOUBLE_Q, Objective, clipped_double_q, double_q, huber
from replay.transition import Transition
from tests.agent.learners import Transposed, make_batch, make_learner, make_network

NONE = NoConsolidation()
UPDATES = [PlainUpdate, FastUpdate]


BY_HAND = (
    torch.tensor([1.0, -1.0, 0.5]),
    torch.tensor([0.5, 0.9, 0.0]),
    torch.tensor([[1.0, 5.0, 2.0], [9.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
    torch.tensor([[10.0, 20.0, 30.0], [7.0, 8.0, 9.0], [1.0, 2.0, 3.0]]),
)
"""Rewards, discounts, the values of the online network and those of the target network."""


def test_double_q_by_hand():
    # The online network chooses actions 1, 0, 2; the target network values them; a terminal adds nothing.
    assert double_q(*BY_HAND).tolist() == pytest.approx([11.0, 5.3, 0.5])


def test_clipped_double_q_by_hand():
    # The same actions; 5 and 7 are the smaller values.
    assert clipped_double_q(*BY_HAND).tolist() == pytest.approx([3.5, 5.3, 0.5])


def test_of_noise_alone_clipped_double_q_makes_less_of_a_value():
    """All actions are worth 0; both networks see them with errors of which half are common to them."""
    generator = torch.Generator().manual_seed(0)
    common, *own = torch.randn(3, 20_000, 18, generator=generator)
    online, target = (common + each for each in own)
    double, clipped = (goal(torch.zeros(1), torch.ones(1), online, target) for goal in (double_q, clipped_double_q))
    assert double.mean() > 1.0  # E max of 18 such errors is 1.82 sqrt(2) in one network, and half of that in the other
    assert (clipped <= double).all() and clipped.mean() < double.mean() - 0.1
    alike = clipped_double_q(torch.zeros(1), torch.ones(1), online, online)
    assert torch.equal(alike, double_q(torch.zeros(1), torch.ones(1), online, online))


def test_the_objectives_slope_by_hand_and_by_autograd():
    values = torch.tensor([[1.0, 2.0, 6.0], [0.0, 0.0, 0.0]], requires_grad=True)
    error, action = torch.tensor([0.5, -4.0]), torch.tensor([1, 2])
    objective = Objective(action_ridge=0.1)
    slope = objective.gradient(error, values.detach(), action)
    assert slope.flatten().tolist() == pytest.approx([-0.2, 0.5 - 0.1, 0.3, 0.0, 0.0, -1.0])
    goal = values.detach().gather(1, action[:, None]).squeeze(1) - error
    loss = objective.loss(values.gather(1, action[:, None]).squeeze(1) - goal, values)
    assert loss.item() == pytest.approx(0.125 + 3.5 + 0.05 * (4 + 1 + 9))
    torch.testing.assert_close(torch.autograd.grad(loss, values)[0], slope)


def test_a_ridge_moves_no_states_mean_value():
    values = torch.randn(5, 18, generator=torch.Generator().manual_seed(0))
    ridge = Objective(action_ridge=2.0).gradient(torch.zeros(5), values, torch.zeros(5, dtype=torch.int64))
    assert ridge.abs().max() > 0.1
    torch.testing.assert_close(ridge.sum(1), torch.zeros(5), atol=1e-5, rtol=0)


def test_huber_by_hand_and_its_slope_is_the_clipped_error():
    error = torch.tensor([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0], requires_grad=True)
    value = huber(error)
    assert value.tolist() == pytest.approx([2.5, 0.5, 0.125, 0.0, 0.125, 0.5, 2.5])
    value.sum().backward()
    assert error.grad.tolist() == pytest.approx([-1.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.0])


@pytest.mark.parametrize("objective", [DOUBLE_Q, Objective(clipped_double_q, action_ridge=0.5)])
@pytest.mark.parametrize("make_update", UPDATES)
def test_one_update_equals_plain_autograd(make_update, objective):
    learner, batch = make_learner(make_update=partial(make_update, objective=objective)), make_batch()
    learner.learn(make_batch(seed=5), 1, NONE)  # online and target differ from here on
    twin = copy.deepcopy(learner.network)
    optimizer = torch.optim.Adam([*twin.weights.parameters(), *twin.task_parameters[1].parameters()], lr=1e-3, eps=1e-3)
    moments = learner.optimizer.state_dict()
    learner.update.optimizer = torch.optim.Adam(
        [*learner.network.weights.parameters(), *learner.network.task_parameters[1].parameters()], lr=1e-3, eps=1e-3
    )
    assert moments["state"]  # the first update was made with the learner's own optimizer

    huber_loss, ridge, values = 0.0, 0.0, []
    for i in range(len(batch.action)):  # one transition at a time, the mathematics spelt out
        s, s2 = batch.observation[i : i + 1], batch.next_observation[i : i + 1]
        with torch.no_grad():
            best = int(twin(s2, 1).argmax())
            following = learner.target(s2, 1)[0, best]
            if objective.td_target is clipped_double_q:
                following = min(following, twin(s2, 1)[0, best])
            goal = batch.reward[i] + batch.discount[i] * following
        values.append(twin(s, 1)[0])
        error = values[-1][batch.action[i]] - goal
        huber_loss = huber_loss + (0.5 * error**2 if abs(error.item()) <= 1 else error.abs() - 0.5)
        mean = sum(values[-1]) / len(values[-1])
        ridge = ridge + objective.action_ridge / 2 * sum((value - mean) ** 2 for value in values[-1])
    (huber_loss + ridge).backward()
    norm = torch.cat([p.grad.flatten() for p in twin.parameters() if p.grad is not None]).norm()
    optimizer.step()

    metrics = learner.learn(batch, 1, NONE)
    assert metrics["loss"].item() == pytest.approx(huber_loss.item() / 8, rel=1e-4)
    assert metrics["gradient_norm"].item() == pytest.approx(norm.item(), rel=1e-3)
    chosen = [value[action].item() for value, action in zip(values, batch.action, strict=True)]
    assert metrics["q"].item() == pytest.approx(sum(chosen) / 8, rel=1e-4, abs=1e-6)
    assert metrics["q_max"].item() == pytest.approx(max(value.max().item() for value in values), rel=1e-4)
    for fast, slow in zip(learner.network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("make_update", UPDATES)
def test_the_gradient_norm_is_bounded(make_update):
    free, bound = (make_learner(max_gradient_norm=norm, make_update=make_update) for norm in (1e9, 0.5))
    batch = make_batch()
    norm = free.learn(batch, 0, NONE)["gradient_norm"]
    bound.learn(batch, 0, NONE)
    assert norm > 0.5
    clipped = torch.cat([p.grad.flatten() for p in bound.network.parameters() if p.grad is not None]).norm()
    assert clipped.item() == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize(("kind", "update"), [(QNetwork, PackedUpdate), (Transposed, PlainUpdate)])
def test_values_converge_to_the_fixed_point_of_a_small_chain(kind, update):
    """Two states: s0 -(r=1)-> s1 -(r=1)-> end, discount 0.5: Q(s1) = 1, Q(s0) = 1.5. With any network: where no fast
    update is offered for it, the plain one is taken."""
    learner = make_learner(make_network(kind=kind), learning_rate=3e-3)
    assert type(learner.update) is update
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
        learner.network.task_parameters[0].biases[-1].fill_(-5.0)
        learner.network.task_parameters[0].biases[-1][4] = 0.0
    learner.sync_target()
    for update in range(300):
        learner.learn(batch, 0, NONE)
        if update % 20 == 0:
            learner.sync_target()
    values = learner.q_values(states, 0)
    torch.testing.assert_close(values, learner.network(states, 0).detach(), rtol=1e-4, atol=1e-5)
    assert values[:, 4].tolist() == pytest.approx([1.5, 1.0], abs=0.05)
