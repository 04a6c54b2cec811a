"""The fast update against the plain one, which is the reference; and gradients that stay in bfloat16."""

import pytest
import torch

from agent.anchors.steps import PenaltyGradient, ProximalStep
from agent.consolidators.none import NoConsolidation
from agent.dqn import PlainUpdate
from agent.fast.offers import fastest_update
from agent.fast.optimizers import CentredRMSProp
from agent.fast.packed_update import PackedUpdate
from agent.fast.update import FastUpdate
from agent.networks import Architecture, QNetwork
from agent.objective import Objective, clipped_double_q
from configs.build import build_learner, build_network
from configs.choices import NETWORKS
from configs.schema import Config, LearnerConfig
from tests.agent.learners import OPTIMIZERS, SMALL, Transposed, consolidate, make_batch, make_learner, make_network
from tests.conformance.alike import assert_alike

NONE = NoConsolidation()
CONSOLIDATION = {
    "none": lambda learner: NONE,
    "proximal step": lambda learner: consolidate(learner, ProximalStep(), 30.0),
    "penalty gradient": lambda learner: consolidate(learner, PenaltyGradient(), 0.3),
}


def learn_alike(optimizer, consolidation, network=make_network, **changes):
    """The plain and the fast learner after the same six minibatches of two tasks; their metrics are compared."""
    settings = {"optimizer": optimizer, "epsilon": 1e-2, "max_gradient_norm": 3.5, **changes}
    plain, fast = (make_learner(network(), make_update=each, **settings) for each in (PlainUpdate, FastUpdate))
    consolidators = [CONSOLIDATION[consolidation](learner) for learner in (plain, fast)]
    bounded = 0
    for seed in range(6):
        task, batch = seed // 2 % 2, make_batch(seed=seed)
        for consolidator in consolidators:
            consolidator.enter(task)
        slow, soon = (each.learn(batch, task, its) for each, its in zip((plain, fast), consolidators, strict=True))
        assert slow.keys() == soon.keys()
        for name in slow:
            torch.testing.assert_close(soon[name], slow[name], rtol=1e-3, atol=1e-4, msg=name)
        bounded += bool(slow["gradient_norm"] > 3.5)
        if seed == 3:
            plain.sync_target(), fast.sync_target()
    assert bounded > 0  # the bound on the gradients' norm is part of what is compared
    return plain, fast


def assert_moved_alike(plain, fast, network):
    """From where `network` is, every parameter went the same way but for a thousandth of it."""
    begin = dict(make_learner(network).network.named_parameters())
    for (name, slow), soon in zip(plain.network.named_parameters(), fast.network.parameters(), strict=True):
        moved = (slow - begin[name]).norm()
        assert moved > 0 and (soon - slow).norm() <= 1e-3 * moved, name


@pytest.mark.parametrize("consolidation", CONSOLIDATION)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_fast_update_learns_as_the_plain_one(optimizer, consolidation):
    """Parameters and the optimizer's state after several updates, in float32."""
    plain, fast = learn_alike(optimizer, consolidation)
    assert_moved_alike(plain, fast, make_network())
    slow, soon = (each.optimizer.state_dict() for each in (plain, fast))
    assert_alike(soon["param_groups"], slow["param_groups"])
    assert soon["state"].keys() == slow["state"].keys()
    for number, state in slow["state"].items():
        assert soon["state"][number].keys() == state.keys()
        for name, value in state.items():
            size = float(value.abs().max())
            torch.testing.assert_close(soon["state"][number][name], value, rtol=1e-3, atol=1e-4 * size, msg=name)
    x = make_batch(seed=99).observation
    for task in (0, 1, None):
        torch.testing.assert_close(fast.q_values(x, task), plain.q_values(x, task), rtol=1e-3, atol=1e-4)


def test_with_gates_the_fast_update_learns_as_the_plain_one():
    make = lambda: make_network(gated=0.5, gate_seed=7)  # noqa: E731
    assert_moved_alike(*learn_alike("adam", "proximal step", make), make())


@pytest.mark.parametrize("layers", [SMALL, Architecture(((8, 8, 4), (8, 4, 2)), 16)])
def test_without_the_background_the_fast_update_learns_as_the_plain_one(layers):
    """Where the first layer's patches do not overlap, and where they do."""
    make = lambda: make_network(layers, subtract_background=True)  # noqa: E731
    assert_moved_alike(*learn_alike("adam", "proximal step", make), make())


def test_with_gates_tasks_are_acted_in_in_turn_each_on_copies_of_its_own():
    """As where two games are evaluated: none makes another's copies anew, and none is behind the network."""
    learner = make_learner(make_network(gated=0.5, gate_seed=7), make_update=FastUpdate)
    x, copies = make_batch(seed=99).observation, {}
    for seed in range(3):
        for task in (0, 1, None):
            expected = learner.network(x, task).detach()
            torch.testing.assert_close(learner.q_values(x, task), expected, rtol=1e-3, atol=1e-4)
        for task, network in learner.update._acting.items():
            places = [weight.data_ptr() for weight in network._weights]
            assert copies.setdefault(task, places) == places
        learner.learn(make_batch(seed=seed), 0, NONE)
    assert copies.keys() == {0, 1, None}


# -- which one is offered ------------------------------------------------------------------------------------------


def test_the_fast_update_is_offered_to_the_projects_own_network_and_optimizers_only():
    for optimizer in OPTIMIZERS:
        assert type(make_learner(make_network(NETWORKS["nature"].make()), optimizer).update) is FastUpdate
        assert type(make_learner(make_network(kind=Transposed), optimizer).update) is PlainUpdate
    network, target = make_network(), make_network()
    other = torch.optim.SGD(network.weights.parameters(), lr=0.1)
    assert type(fastest_update(network, target, other, 1.0, NoConsolidation())) is PlainUpdate


@pytest.mark.parametrize(
    ("settings", "update"),
    [
        ({"network": "small", "optimizer": "adam"}, PackedUpdate),
        ({"network": "small", "optimizer": "rmsprop"}, FastUpdate),
    ],
)
def test_what_is_minimised_is_set_whichever_update_is_taken(settings, update):
    config = Config(threads=1, learner=LearnerConfig(**settings, td_target="clipped_double_q", action_ridge=0.5))
    built = build_learner(config, build_network(config), NoConsolidation()).update
    wanted = Objective(clipped_double_q, 0.5)
    assert type(built) is update and built.objective == wanted
    network, target = make_network(), make_network()
    other = torch.optim.SGD(network.weights.parameters(), lr=0.1)
    plain = fastest_update(network, target, other, 1.0, NoConsolidation(), wanted)
    assert type(plain) is PlainUpdate and plain.objective == wanted


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_plain_update_learns_with_a_network_of_another_kind(optimizer):
    """It learns what the same network learns that is shown the pictures as this one sees them."""
    other = make_learner(make_network(kind=Transposed), optimizer)
    usual = make_learner(optimizer=optimizer, make_update=PlainUpdate)
    before = [w.detach().clone() for w in other.weights]
    for seed in range(4):
        batch = make_batch(seed=seed)
        turned = type(batch)(
            batch.observation.transpose(2, 3),
            batch.action,
            batch.reward,
            batch.discount,
            batch.next_observation.transpose(2, 3),
        )
        torch.testing.assert_close(other.learn(batch, 0, NONE), usual.learn(turned, 0, NONE))
        torch.testing.assert_close(other.q_values(batch.observation, 0), usual.q_values(turned.observation, 0))
    assert type(usual.network) is QNetwork
    for mine, its, was in zip(other.weights, usual.weights, before, strict=True):
        torch.testing.assert_close(mine, its)
        assert not torch.equal(mine, was)


# -- gradients in bfloat16 -----------------------------------------------------------------------------------------


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
        assert_alike(learner.optimizer.state_dict(), half.optimizer.state_dict())
    observation = make_batch().observation
    afresh = bfloat16_learner()
    afresh.load_state_dict(half.state_dict())
    assert torch.equal(half.q_values(observation, 1), afresh.q_values(observation, 1))
    assert half.network.weights[2].grad is None and full.network.weights[2].grad is not None


def bfloat16_learner():
    learner = make_learner(make_network(compute_dtype=torch.bfloat16), "rmsprop", epsilon=1e-2)
    assert type(learner.update) is FastUpdate and isinstance(learner.optimizer, CentredRMSProp)
    return learner
