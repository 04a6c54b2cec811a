"""Temporal-difference maths by hand, and one update, plain or fast, against a loop over transitions."""

import copy

import pytest
import torch

from agent.consolidators.none import NoConsolidation
from agent.dqn import PlainUpdate, double_q_target, huber
from agent.fast.packed_update import PackedUpdate
from agent.fast.update import FastUpdate
from agent.networks import QNetwork
from replay.transition import Transition
from tests.agent.learners import Transposed, make_batch, make_learner, make_network

NONE = NoConsolidation()
UPDATES = [PlainUpdate, FastUpdate]


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


@pytest.mark.parametrize("make_update", UPDATES)
def test_one_update_equals_plain_autograd(make_update):
    learner, batch = make_learner(make_update=make_update), make_batch()
    learner.learn(make_batch(seed=5), 1, NONE)  # online and target differ from here on
    twin = copy.deepcopy(learner.network)
    optimizer = torch.optim.Adam([*twin.weights.parameters(), *twin.task_parameters[1].parameters()], lr=1e-3, eps=1e-3)
    moments = learner.optimizer.state_dict()
    learner.update.optimizer = torch.optim.Adam(
        [*learner.network.weights.parameters(), *learner.network.task_parameters[1].parameters()], lr=1e-3, eps=1e-3
    )
    assert moments["state"]  # the first update was made with the learner's own optimizer

    loss, values = 0.0, []
    for i in range(len(batch.action)):  # one transition at a time, the mathematics spelt out
        s, s2 = batch.observation[i : i + 1], batch.next_observation[i : i + 1]
        with torch.no_grad():
            best = int(twin(s2, 1).argmax())
            goal = batch.reward[i] + batch.discount[i] * learner.target(s2, 1)[0, best]
        values.append(twin(s, 1)[0])
        error = values[-1][batch.action[i]] - goal
        loss = loss + (0.5 * error**2 if abs(error.item()) <= 1 else error.abs() - 0.5)
    loss.backward()
    norm = torch.cat([p.grad.flatten() for p in twin.parameters() if p.grad is not None]).norm()
    optimizer.step()

    metrics = learner.learn(batch, 1, NONE)
    assert metrics["loss"].item() == pytest.approx(loss.item() / 8, rel=1e-4)
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
