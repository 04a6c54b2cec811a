"""A packed network against the whole one, its update against autograd, and what it must leave alone."""

import copy
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch

from agent.anchors.anchored import AnchoredConsolidator
from agent.anchors.steps import PenaltyGradient, ProximalStep
from agent.consolidators.ewc import EWC
from agent.consolidators.none import NoConsolidation
from agent.dqn import METRICS, PlainUpdate
from agent.fast.offers import fastest_update
from agent.fast.optimizers import make_optimizer
from agent.fast.packed import Pack
from agent.fast.packed_update import PackedUpdate
from agent.learner import QLearner
from agent.networks import Architecture, QNetwork, joined_weights
from agent.objective import DOUBLE_Q, Objective, clipped_double_q
from agent.recall import Recalled
from replay.transition import FrameBatch, Transition
from tests.conformance.alike import assert_alike, through_a_file

TINY = Architecture(((8, 3, 3), (12, 2, 2)), 10)  # 21 x 21 pixels -> 7 x 7 -> 3 x 3, with a rest at the border
OVERLAPPING = Architecture(((6, 3, 1), (8, 3, 2), (12, 2, 1)), 10, pool=2)  # 10 x 10 pixels -> 8 x 8 -> 3 x 3 -> 2 x 2
SIDE, STACK, ACTIONS = 21, 3, 5


def make_learner(update=PackedUpdate, gated=0.5, tasks=3, seed=0, shift=2, layers=TINY, background=False):
    generator = torch.Generator().manual_seed(seed)
    network = QNetwork(layers, ACTIONS, STACK, SIDE, generator, torch.float32, gated, 7, subtract_background=background)
    target = copy.deepcopy(network).requires_grad_(False)
    optimizer = make_optimizer("adam", network.weights.parameters(), learning_rate=1e-3, epsilon=1e-3, decay=0.9)
    rule = update(network, target, optimizer, 2.0)
    generator = torch.Generator().manual_seed(1)
    learner = QLearner(network, target, optimizer, rule, target_frames=100, shift_pixels=shift, generator=generator)
    for _ in range(tasks):
        learner.add_task()
    for task in range(1, tasks if background else 0):  # of task 0 it is not known
        learner.set_background(task, make_batch(100 + task).observation[:, 0])
    return learner


def make_batch(seed, count=6):
    g = torch.Generator().manual_seed(seed)

    def pictures():
        return torch.randint(256, (count, STACK, SIDE, SIDE), generator=g, dtype=torch.uint8)

    return Transition(
        observation=pictures(),
        action=torch.randint(ACTIONS, (count,), generator=g),
        reward=torch.randn(count, generator=g),
        discount=torch.where(torch.rand(count, generator=g) < 0.3, 0.0, 0.97),
        next_observation=pictures(),
    )


def anchored(learner, step, ewc_lambda=5.0):
    g = torch.Generator().manual_seed(3)
    kind = AnchoredConsolidator(EWC(), step, learner.weights, ewc_lambda)
    moved = [w.detach() + 0.1 * torch.randn(w.shape, generator=g) for w in learner.weights]
    uses = used_by(learner.network, 1)  # what else is held, only the plain update moves and counts in the norm
    kind.leave(9, moved, lambda: [torch.rand(w.shape, generator=g) * used for w, used in zip(moved, uses, strict=True)])
    kind.enter(0)
    return kind


def none(learner):
    return NoConsolidation()


KINDS = {
    "none": none,
    "proximal": lambda learner: anchored(learner, ProximalStep()),
    "gradient": lambda learner: anchored(learner, PenaltyGradient(), 0.5),
}


def used_by(network, task):
    return joined_weights([w.shape for w in network.weights], network.active_units(task))


# -- the pack --------------------------------------------------------------------------------------------------


def test_scatter_undoes_gather_and_touches_nothing_else():
    learner = make_learner()
    network, own = learner.network, learner.network.of_task(1)
    pack = Pack.of(network, 1)
    before = [p.detach().clone() for p in network.parameters()]
    whole = [[torch.full_like(p, 3.0) for p in group] for group in (network.weights, own.biases, own.gains)]
    pack.scatter(pack.flat, *whole)
    units = network.active_units(1)
    for filled, weight, uses in zip(whole[0], network.weights, used_by(network, 1), strict=True):
        assert torch.equal(filled[uses], weight.detach()[uses]) and (filled[~uses] == 3.0).all()
    for filled, parameters in ((whole[1], own.biases), (whole[2], own.gains)):
        for each, parameter, open_units in zip(filled[:-1], list(parameters)[:-1], units, strict=False):
            assert torch.equal(each[open_units], parameter.detach()[open_units])
            assert (each[~open_units] == 3.0).all()
    assert pack.shared == sum(int(uses.sum()) for uses in used_by(network, 1))
    assert_alike([p.detach() for p in network.parameters()], before)


@pytest.mark.parametrize("layers", [TINY, OVERLAPPING])
@pytest.mark.parametrize("gated", [0.0, 0.5])
@pytest.mark.parametrize("task", [0, 2, None])
@pytest.mark.parametrize("background", [False, True])
def test_values_are_those_of_the_network(layers, gated, task, background):
    learner = make_learner(gated=gated, layers=layers, background=background)
    with torch.no_grad():
        for parameter in learner.network.task_parameters.parameters():
            parameter += 0.3 * torch.randn(parameter.shape) * (parameter != 0)
    observation = make_batch(4).observation
    expected = learner.network(observation, task).detach()
    torch.testing.assert_close(learner.q_values(observation, task), expected, rtol=1e-4, atol=1e-5)


# -- the update ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [TINY, OVERLAPPING])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("gated", "objective"), [(0.0, DOUBLE_Q), (0.5, DOUBLE_Q), (0.5, Objective(clipped_double_q, action_ridge=0.5))]
)
@pytest.mark.parametrize("background", [False, True])
def test_learning_one_task_is_what_autograd_learns(layers, kind, gated, objective, background):
    updates = (partial(update, objective=objective) for update in (PlainUpdate, PackedUpdate))
    plain, packed = (make_learner(update, gated, layers=layers, background=background) for update in updates)
    kinds = [KINDS[kind](learner) for learner in (plain, packed)]
    for seed in range(8):
        found = [learner.learn(make_batch(seed), 1, k) for learner, k in zip((plain, packed), kinds, strict=True)]
        for name in METRICS:
            assert found[1][name].item() == pytest.approx(found[0][name].item(), rel=2e-3, abs=1e-4), name
        if seed == 4:
            plain.sync_target()
            packed.sync_target()
    for a, b in zip(
        plain.network.task_parameters.parameters(), packed.network.task_parameters.parameters(), strict=True
    ):
        torch.testing.assert_close(b, a, rtol=1e-3, atol=2e-5)
    for a, b, uses in zip(plain.weights, packed.weights, used_by(plain.network, 1), strict=True):
        torch.testing.assert_close(b[uses], a[uses], rtol=1e-3, atol=2e-5)
        for name in ("exp_avg", "exp_avg_sq"):
            one, other = plain.optimizer.state[a][name], packed.optimizer.state[b][name]
            torch.testing.assert_close(other[uses], one[uses], rtol=2e-3, atol=1e-5)
        assert packed.optimizer.state[b]["step"] == plain.optimizer.state[a]["step"] == 8


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_task_does_not_use_stands_still_with_its_averages(kind):
    learner = make_learner()
    consolidator = KINDS[kind](learner)
    for seed in range(3):
        learner.learn(make_batch(seed), 0, consolidator)
    uses = used_by(learner.network, 1)
    weights = [w.detach().clone() for w in learner.weights]
    averages = [learner.optimizer.state[w]["exp_avg"].clone() for w in learner.weights]
    others = copy.deepcopy([learner.network.task_parameters[t].state_dict() for t in (0, 2)])
    for seed in range(3):
        learner.learn(make_batch(seed), 1, consolidator)
    assert_alike([learner.network.task_parameters[t].state_dict() for t in (0, 2)], others)
    for w, before, average, used in zip(learner.weights, weights, averages, uses, strict=True):
        assert torch.equal(w.detach()[~used], before[~used]) and not torch.equal(w.detach(), before)
        assert torch.equal(learner.optimizer.state[w]["exp_avg"][~used], average[~used])


def test_whoever_looks_sees_the_latest_and_whoever_changes_is_obeyed():
    learner, kind = make_learner(), NoConsolidation()
    observation = make_batch(50).observation
    for seed in range(3):
        learner.learn(make_batch(seed), 1, kind)
        torch.testing.assert_close(
            learner.q_values(observation, 1), learner.network(observation, 1).detach(), rtol=1e-4, atol=1e-5
        )
        with torch.no_grad():
            learner.network.task_parameters[1].biases[-1].add_(1.0)
        torch.testing.assert_close(
            learner.q_values(observation, 1), learner.network(observation, 1).detach(), rtol=1e-4, atol=1e-5
        )


def test_looking_changes_no_bit():
    looked_at, left_alone, kind = make_learner(), make_learner(), NoConsolidation()
    for seed in range(6):
        for learner in (looked_at, left_alone):
            learner.learn(make_batch(seed), seed // 2 % 2, kind)
        looked_at.state_dict()
        looked_at.q_values(make_batch(60).observation, 2)
    assert_alike(looked_at.state_dict(), left_alone.state_dict())


@pytest.mark.parametrize(("before", "background"), [(0, False), (1, False), (3, False), (3, True)])
def test_a_stop_changes_no_bit(before, background):
    whole, kind = make_learner(background=background), NoConsolidation()
    for seed in range(before):
        whole.learn(make_batch(seed), 1, kind)
    resumed = make_learner(seed=5, background=background)
    resumed.learn(make_batch(40), 0, kind)  # is forgotten
    if background:
        resumed.set_background(2, make_batch(41).observation[:, 0])  # likewise
    resumed.load_state_dict(through_a_file(whole.state_dict()))
    assert [resumed.wants_background(task) for task in range(3)] == [background, False, False]
    for seed in range(before, before + 4):
        task = seed // 2 % 3
        assert_alike(whole.learn(make_batch(seed), task, kind), resumed.learn(make_batch(seed), task, kind))
    assert_alike(whole.state_dict(), resumed.state_dict())


@pytest.mark.parametrize("background", [False, True])
def test_frames_and_stacked_observations_are_learned_alike(background):
    a, b, batch = make_learner(background=background), make_learner(background=background), make_batch(3)
    frames = torch.cat([batch.observation, batch.next_observation]).flatten(0, 1).numpy()
    stacks = torch.arange(len(frames)).view(2, 6, STACK).numpy()
    as_frames = FrameBatch(frames, stacks[0], stacks[1], batch.action, batch.reward, batch.discount)
    assert_alike(a.learn(batch, 1, NoConsolidation()), b.learn(as_frames, 1, NoConsolidation()))
    assert_alike(a.state_dict(), b.state_dict())
    stacked = as_frames.stacked()
    assert torch.equal(stacked.observation, batch.observation)
    assert torch.equal(stacked.next_observation, batch.next_observation)


@pytest.mark.parametrize("kind", ["none", "proximal"])
def test_a_second_thread_changes_no_bit(kind):
    """Be the next minibatch of the same task, of another, or not prepared yet; with a target that moves."""

    def learned(beside):
        learner = make_learner(partial(PackedUpdate, beside=beside))
        consolidator = KINDS[kind](learner)
        numbers, coming = [], None
        for seed in range(12):
            task = seed // 3 % 3
            prepared = coming or learner.prepare(make_batch(seed), task)
            coming = learner.prepare(make_batch(seed + 1), (seed + 1) // 3 % 3) if seed % 5 else None
            numbers.append(learner.learn_prepared(prepared, task, consolidator))
            if coming is None:
                learner.sync_target()
            learner.q_values(make_batch(70).observation, seed % 2)
        return numbers, learner.state_dict()

    assert_alike(learned(True), learned(False))


@pytest.mark.parametrize("layers", [TINY, OVERLAPPING])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gated", [0.0, 0.5])
@pytest.mark.parametrize(("beside", "background"), [(True, False), (False, False), (False, True)])
def test_recalling_another_task_is_what_autograd_recalls(layers, kind, gated, beside, background):
    updates = PlainUpdate, partial(PackedUpdate, beside=beside)
    plain, packed = (make_learner(update, gated, layers=layers, background=background) for update in updates)
    kinds = [KINDS[kind](learner) for learner in (plain, packed)]
    before = [w.detach().clone() for w in plain.weights]
    for seed in range(8):
        other = (0, 2)[seed % 2]
        kept = make_batch(seed + 50)
        values = plain.q_values(kept.observation, other) + torch.randn(6, ACTIONS, generator=plain.generator)
        packed.generator.set_state(plain.generator.get_state())
        recalled = Recalled(other, kept.observation, values.detach(), 3.0)
        found = []
        for learner, consolidator in zip((plain, packed), kinds, strict=True):
            prepared = learner.prepare(make_batch(seed), 1, recalled)
            found.append(learner.learn_prepared(prepared, 1, consolidator)["gradient_norm"].item())
        assert found[1] == pytest.approx(found[0], rel=2e-3)
        if seed == 3:  # another task's turn, and the first one's again
            packed.learn(make_batch(90), 0, kinds[1])
        if 3 <= seed < 7:  # old averages would move the plain one's weights that the task does not use
            plain.load_state_dict(packed.state_dict())
    used = [one | other for one, other in zip(used_by(plain.network, 1), used_by(plain.network, 0), strict=True)]
    for b, first, uses in zip(packed.weights, before, used, strict=True):
        assert torch.equal(b[~uses], first[~uses])
    for a, b, uses in zip(plain.weights, packed.weights, used_by(plain.network, 1), strict=True):
        torch.testing.assert_close(b[uses], a[uses], rtol=1e-3, atol=1e-4)
    for a, b in zip(
        plain.network.task_parameters.parameters(), packed.network.task_parameters.parameters(), strict=True
    ):
        torch.testing.assert_close(b, a, rtol=1e-3, atol=1e-4)


def test_recalling_brings_values_back():
    learner = make_learner(gated=0.0)
    states, kept = make_batch(1).observation, torch.randn(6, ACTIONS, generator=torch.Generator().manual_seed(2))
    away = [(learner.q_values(states, 0) - kept).square().mean().item()]
    for seed in range(60):
        learner.learn_prepared(learner.prepare(make_batch(seed), 1, Recalled(0, states, kept, 50.0)), 1, none(learner))
        away.append((learner.q_values(states, 0) - kept).square().mean().item())
    assert away[-1] < 0.7 * away[0]


@pytest.mark.parametrize("beside", [True, False])
def test_what_goes_wrong_in_the_lane_is_raised(beside):
    learner = make_learner(partial(PackedUpdate, beside=beside))
    prepared = learner.prepare(make_batch(0), 0)
    coming = learner.prepare(make_batch(1), 0)
    coming.cut_following = lambda: torch.zeros(1, 2, 3)
    with pytest.raises(RuntimeError):
        learner.learn_prepared(prepared, 0, NoConsolidation())
        learner.learn_prepared(coming, 0, NoConsolidation())


def test_it_is_offered_where_it_serves():
    learner = make_learner()
    network, target, adam = learner.network, learner.target, learner.optimizer
    rmsprop = make_optimizer("rmsprop", network.weights.parameters(), learning_rate=1, epsilon=1, decay=0.9)
    none = NoConsolidation()
    assert isinstance(fastest_update(network, target, rmsprop, 1.0, none, recalls=True), PlainUpdate)
    assert isinstance(fastest_update(network, target, adam, 1.0, none, recalls=True), PackedUpdate)
    assert isinstance(fastest_update(network, target, adam, 1.0, none), PackedUpdate)
    assert not isinstance(fastest_update(network, target, rmsprop, 1.0, none), PackedUpdate)
    for step in (ProximalStep(), PenaltyGradient()):
        assert isinstance(fastest_update(network, target, adam, 1.0, anchored(learner, step)), PackedUpdate)


class Decay(NoConsolidation):
    """Somebody's own: weights decay after every step."""

    def step(self, optimizer):
        optimizer.step()
        for p in optimizer.param_groups[0]["params"]:
            p.data.mul_(0.9)


class DecayBesideAnchors(AnchoredConsolidator):
    step = Decay.step


class OwnStep(ProximalStep):
    """A way of one's own to make a penalty felt."""

    def step(self, optimizer, merged, ewc_lambda):
        Decay().step(optimizer)


@pytest.mark.parametrize("kind", ["alone", "beside anchors", "as a step"])
def test_a_consolidator_that_cannot_be_packed_is_asked_itself(kind):
    def learned(choose):
        learner = make_learner()
        consolidator = Decay()
        if kind != "alone":
            consolidator = anchored(learner, OwnStep() if kind == "as a step" else ProximalStep())
        if kind == "beside anchors":
            consolidator.__class__ = DecayBesideAnchors
        learner.update = choose(learner, consolidator)
        for seed in range(3):
            learner.learn(make_batch(seed), 0, consolidator)
        return torch.cat([w.detach().flatten() for w in learner.weights])

    fast = learned(lambda it, own: fastest_update(it.network, it.target, it.optimizer, 2.0, own))
    plain = learned(lambda it, own: PlainUpdate(it.network, it.target, it.optimizer, 2.0))
    torch.testing.assert_close(fast, plain)


def test_two_threads_take_memory_of_the_size_that_they_ask_for():
    """While one looks for memory of one size, the other takes and returns some of another."""
    update = make_learner().update
    for size in [4, 9] * 50:
        update._give_back(torch.empty(size, dtype=torch.uint8))

    def take(size, times=3000):
        found = []
        for _ in range(times):
            room = update._room((size, 1, 1))
            found.append(room.numel())
            update._give_back(room.flatten())
        return set(found)

    with ThreadPoolExecutor(2) as both:
        assert list(both.map(take, (4, 9))) == [{4}, {9}]
