"""Consolidation against autograd over separate penalties, every variant against its equation, and its stability."""

import copy

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from agent.consolidators.consolidation import (
    Consolidation,
    GradientPull,
    ImplicitPull,
    LatestOptimum,
    NoConsolidation,
    OnlineAnchor,
    SeparateAnchors,
)
from agent.fisher import fisher_overlap, with_floor
from agent.gaussian import DiagonalGaussian
from tests.conformance.alike import assert_alike, difference, through_a_file
from tracking.checkpoints import Checkpoints

SHAPES = ((4, 3), (5,), (2, 2, 2, 1))
STRENGTH = 37.0
MEMORIES = {
    "separate": SeparateAnchors,
    "separate, active": lambda: SeparateAnchors(include_active=True),
    "online": lambda: OnlineAnchor(0.7),
    "latest": LatestOptimum,
    "latest, active": lambda: LatestOptimum(include_active=True),
}


def weights_at(seed):
    g = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(shape, generator=g)) for shape in SHAPES]


def fisher_of(seed):
    """Over several orders of magnitude, a fifth of it 0."""
    g = torch.Generator().manual_seed(1000 + seed)
    return [(2 * torch.randn(shape, generator=g)).exp() * (torch.rand(shape, generator=g) > 0.2) for shape in SHAPES]


def make(memory=None, pull=None, **settings):
    return Consolidation(
        memory or SeparateAnchors(), pull or GradientPull(), weights_at(0), **{"strength": STRENGTH, **settings}
    )


def leave_all(consolidation, tasks, first_seed=1):
    """Leave these tasks in turn, the n-th at weights and with a Fisher of its own; returns these by task, the latest
    of each, in order of departure."""
    left = {}
    for seed, task in enumerate(tasks, first_seed):
        consolidation.enter(task)
        consolidation.leave(task, weights_at(seed), lambda seed=seed: fisher_of(seed))
        left.pop(task, None)
        left[task] = (weights_at(seed), fisher_of(seed))
    return left


def separate_penalty(weights, anchors, strength=STRENGTH):
    """float64, in the graph of `weights`: (lambda / 2) sum_c sum_i F_c,i (theta_i - theta_c,i)^2, written out."""
    total = torch.zeros((), dtype=torch.float64)
    for centres, fisher in anchors:
        for w, centre, f in zip(weights, centres, fisher, strict=True):
            total = total + (f.double() * (w.double() - centre.detach().double()) ** 2).sum()
    return 0.5 * strength * total


def assert_pays(consolidation, anchors, seed=99):
    """Its value and its gradient are those of separate penalties for these (weights, Fisher)."""
    weights = weights_at(seed)
    exact = separate_penalty(weights, anchors, consolidation.strength)
    assert consolidation.penalty(weights).item() == pytest.approx(exact.item(), rel=1e-5)
    expected = torch.autograd.grad(exact, weights) if anchors else [torch.zeros(s) for s in SHAPES]
    own = [torch.randn(w.shape, generator=torch.Generator().manual_seed(seed)) for w in weights]
    for w, g in zip(weights, own, strict=True):
        w.grad = g.clone()
    GradientPull().before_step(weights, consolidation.merged, consolidation.strength)
    for w, g, pull in zip(weights, own, expected, strict=True):
        torch.testing.assert_close(w.grad, g + pull, rtol=1e-5, atol=1e-5 * float(pull.abs().max()) + 1e-7)


# -- value and gradient ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("include_active", [False, True])
def test_the_penalty_and_its_gradient_are_those_of_separate_penalties(include_active):
    consolidation = make(SeparateAnchors(include_active))
    left = leave_all(consolidation, [0, 1, 2, 1, 5, 0])
    for active in (0, 1, 2, 5, 7):
        consolidation.enter(active)
        assert_pays(consolidation, [left[task] for task in left if include_active or task != active])


def test_the_gradient_is_autograds_of_its_own_value():
    consolidation = make()
    leave_all(consolidation, [0, 1, 2])
    consolidation.enter(3)
    weights = weights_at(50)
    expected = torch.autograd.grad(consolidation.penalty(weights), weights)
    consolidation.before_step(weights)  # there was no gradient yet
    for w, e in zip(weights, expected, strict=True):
        torch.testing.assert_close(w.grad, e, rtol=1e-6, atol=1e-6)


def test_a_penalty_by_hand():
    consolidation = Consolidation(SeparateAnchors(), GradientPull(), [torch.zeros(1)], strength=10.0)
    for task, (centre, f) in enumerate([(1.0, 2.0), (-1.0, 1.0)]):
        consolidation.leave(task, [torch.tensor([centre])], lambda f=f: [torch.tensor([f])])
    w = torch.nn.Parameter(torch.tensor([3.0]))
    for active, value, gradient in ((2, 5 * (2 * 4 + 16), 10 * (2 * 2 + 4)), (0, 5 * 16, 10 * 4), (1, 5 * 8, 10 * 4)):
        consolidation.enter(active)
        w.grad = torch.ones(1)
        consolidation.before_step([w])
        assert consolidation.penalty([w]).item() == pytest.approx(value)
        assert w.grad.item() == pytest.approx(1 + gradient)


def test_before_any_departure_nothing_is_penalised():
    for kind in MEMORIES.values():
        consolidation = make(kind())
        for task in (0, 1):
            consolidation.enter(task)
            assert_pays(consolidation, [])
            assert consolidation.penalty(weights_at(3)).item() == 0.0


class Operations(TorchDispatchMode):
    """Counts what torch is asked to do."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("pull", [GradientPull(), ImplicitPull()])
def test_an_updates_cost_does_not_depend_on_the_number_of_tasks(pull):
    counts = []
    for tasks in (1, 2, 30):
        consolidation, weights = make(pull=pull), weights_at(1)
        places = [t.data_ptr() for t in (*consolidation.merged.mean, *consolidation.merged.precision)]
        leave_all(consolidation, range(tasks))
        consolidation.enter(tasks)
        for w in weights:
            w.grad = torch.ones_like(w)
        with Operations() as operations:
            consolidation.before_step(weights)
            consolidation.after_step(weights, lambda weights=weights: [torch.ones_like(w) for w in weights])
            consolidation.penalty(weights)
        counts.append(operations.count)
        merged = (*consolidation.merged.mean, *consolidation.merged.precision)
        assert [t.data_ptr() for t in merged] == places  # overwritten in place
    assert counts[0] == counts[1] == counts[2] > 0


# -- anchors by task -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("include_active", [False, True])
def test_hundreds_of_revisits_leave_no_drift(include_active):
    """The merge equals that of the last anchors alone bit for bit, and separate anchors in float64."""
    consolidation = make(SeparateAnchors(include_active))
    order = torch.randint(4, (300,), generator=torch.Generator().manual_seed(0)).tolist()
    left = leave_all(consolidation, order)
    fresh = make(SeparateAnchors(include_active))
    for task, (weights, fisher) in left.items():  # in order of departure, not of task
        fresh.leave(task, weights, lambda fisher=fisher: fisher)
    assert consolidation.memory.tasks == [0, 1, 2, 3]
    for active in (4, *range(4)):
        for each in (consolidation, fresh):
            each.enter(active)
        assert_alike(consolidation.merged, fresh.merged)
        assert consolidation.rest == fresh.rest
        anchors = [left[task] for task in left if include_active or task != active]
        assert_pays(consolidation, anchors)
        for layer in range(len(SHAPES)):
            total = sum(fisher[layer].double() for _, fisher in anchors)
            centre = sum(f[layer].double() * w[layer].detach().double() for w, f in anchors) / total
            torch.testing.assert_close(consolidation.merged.precision[layer].double(), total, rtol=1e-7, atol=0)
            torch.testing.assert_close(
                consolidation.merged.mean[layer].double(), torch.where(total > 0, centre, 0.0), rtol=1e-6, atol=1e-7
            )


def test_a_task_left_again_replaces_only_its_own_anchor():
    memory = SeparateAnchors()
    leave_all(make(memory), [0, 1])
    first, other = memory.anchor(0), memory.anchor(1)
    leave_all(make(memory), [0], first_seed=70)
    assert difference(first, memory.anchor(0))
    assert_alike(memory.anchor(0), DiagonalGaussian.of(weights_at(70), fisher_of(70)))
    assert_alike(memory.anchor(1), other)
    assert memory.anchor(2) is None


@pytest.mark.parametrize("kind", MEMORIES)
def test_what_is_kept_is_a_copy(kind):
    consolidation, weights, fisher = make(MEMORIES[kind]()), weights_at(1), fisher_of(1)
    consolidation.leave(0, weights, lambda: fisher)
    consolidation.enter(1)
    before = copy.deepcopy(consolidation.merged)
    with torch.no_grad():
        for each in (*weights, *fisher):
            each.fill_(5.0)
        for each in (*consolidation.merged.mean, *consolidation.merged.precision):
            each.fill_(6.0)
    consolidation.enter(1)
    assert_alike(consolidation.merged, before)


@pytest.mark.parametrize("kind", MEMORIES)
def test_a_restored_consolidation_pays_the_same(kind):
    whole, resumed = make(MEMORIES[kind]()), make(MEMORIES[kind]())
    leave_all(whole, [0, 1, 0, 2])
    whole.enter(1)
    leave_all(resumed, [3])  # is forgotten
    resumed.load_state_dict(through_a_file(whole.state_dict()))
    assert_alike(resumed.merged, whole.merged)
    assert (resumed.rest, resumed.active) == (whole.rest, 1)
    assert_alike(resumed.state_dict(), whole.state_dict())


LEFT = {  # what a checkpoint holds after the departures of 0 and 1, and after one more of 1
    "separate": ({"task000-000001", "task001-000001"}, {"task000-000001", "task001-000002"}),
    "online": ({"running-000002"}, {"running-000003"}),
    "latest": (
        {"task000-000001", "task001-000001", "latest-000002"},
        {"task000-000001", "task001-000002", "latest-000003"},
    ),
}


def inodes(checkpoint):
    """{segment: inode of its file}."""
    files = checkpoint.glob("consolidation.*.pt")
    return {file.stem.removeprefix("consolidation."): file.stat().st_ino for file in files}


@pytest.mark.parametrize("resumed", [False, True])
@pytest.mark.parametrize("kind", LEFT)
def test_a_checkpoint_links_what_stayed_and_writes_what_was_left_anew(kind, resumed, tmp_path):
    consolidation, checkpoints = make(MEMORIES[kind]()), Checkpoints(tmp_path)
    leave_all(consolidation, [0, 1])
    before = inodes(checkpoints.save(100, {"consolidation": consolidation}))
    if resumed:
        consolidation, checkpoints = make(MEMORIES[kind]()), Checkpoints(tmp_path)
        checkpoints.restore_latest({"consolidation": consolidation})
    leave_all(consolidation, [1], first_seed=70)
    consolidation.enter(2)
    after = inodes(checkpoints.save(200, {"consolidation": consolidation}))
    assert (before.keys(), after.keys()) == LEFT[kind]
    assert all(before[name] == after[name] for name in before.keys() & after.keys())
    loaded = make(MEMORIES[kind]())
    Checkpoints(tmp_path).restore_latest({"consolidation": loaded})
    for name in ("merged", "rest", "active"):
        assert_alike(getattr(loaded, name), getattr(consolidation, name))
    assert_alike(loaded.state_dict(), consolidation.state_dict())


@pytest.mark.parametrize("kind", MEMORIES)
def test_states_share_what_was_left(kind):
    def places(tree):
        if isinstance(tree, torch.Tensor):
            return [tree.data_ptr()]
        return [place for branch in (tree.values() if isinstance(tree, dict) else tree) for place in places(branch)]

    memory, twin = MEMORIES[kind](), MEMORIES[kind]()
    leave_all(make(memory), [0, 1])
    twin.load_state_dict(memory.state_dict())
    held = places(memory.state_dict()["segments"])
    assert held and held == places(memory.state_dict()["segments"]) == places(twin.state_dict()["segments"])


# -- leaving a task ----------------------------------------------------------------------------------------------


class Thunk:
    """A Fisher that tells how often it was measured."""

    def __init__(self, fisher):
        self.fisher, self.calls = fisher, 0

    def __call__(self):
        self.calls += 1
        return self.fisher


@pytest.mark.parametrize("floor", [0.0, 0.3])
def test_what_is_reported_at_a_departure(floor):
    """The information as it was measured, whatever is held for it."""
    consolidation = make(normalise=True, floor=floor)
    assert list(make().leave(0, weights_at(1), lambda: fisher_of(1))) == ["fisher_mean"]  # the first of all
    left = leave_all(consolidation, [0, 2])
    report = consolidation.leave(2, weights_at(2), lambda: [1e-5 * each for each in fisher_of(2)])
    mean = torch.cat([each.flatten() for each in fisher_of(2)]).mean().item()
    assert report.pop("fisher_mean") == pytest.approx(1e-5 * mean, rel=1e-5)
    overlaps = fisher_overlap(fisher_of(2), left[0][1])
    expected = {f"fisher_overlap_task0_layer{i}": each for i, each in enumerate(overlaps)}
    assert report == pytest.approx(expected, rel=1e-3)


def test_a_floor_is_held_as_well():
    consolidation = make(floor=0.5)
    joined = [each > 0.5 * each.mean() for each in fisher_of(1)]
    consolidation.leave(0, weights_at(1), lambda: fisher_of(1), lambda: joined)
    assert_alike(list(consolidation.memory.anchor(0).precision), with_floor(fisher_of(1), joined, 0.5))


def test_normalised_fishers_have_mean_one_whatever_their_scale():
    anchors = []
    for scale in (1e-6, 1e4):
        consolidation = make(normalise=True)
        consolidation.leave(0, weights_at(1), lambda scale=scale: [scale * each for each in fisher_of(1)])
        anchors.append(consolidation.memory.anchor(0).precision)
        assert torch.cat([each.flatten() for each in anchors[-1]]).mean().item() == pytest.approx(1, rel=1e-5)
    torch.testing.assert_close(anchors[0], anchors[1])


def test_no_consolidation_pays_nothing_and_does_nothing():
    nothing, thunk, weights = NoConsolidation(), Thunk(fisher_of(1)), weights_at(1)
    before = copy.deepcopy(weights)
    nothing.enter(0)
    assert nothing.leave(0, weights, thunk) == {}
    nothing.enter(1)
    for w in weights:
        w.grad = torch.ones_like(w)
    with Operations() as operations:
        nothing.before_step(weights)
        nothing.after_step(weights, lambda: pytest.fail("the rates are not asked for"))
    assert (thunk.calls, operations.count, nothing.state_dict()) == (0, 0, {})
    assert all(torch.equal(w, b) and (w.grad == 1).all() for w, b in zip(weights, before, strict=True))
    optimiser = torch.optim.SGD(weights, lr=0.5)
    nothing.step(optimiser)
    assert all(torch.equal(w, b - 0.5) for w, b in zip(weights, before, strict=True))


# -- variants against their equations ------------------------------------------------------------------------------


def test_l2_spreads_the_information_evenly():
    """(lambda / 2) sum_c mean(F_c) sum_i (theta_i - theta_c,i)^2."""
    consolidation = make(uniform=True)
    reports = [consolidation.leave(task, weights_at(task), lambda t=task: fisher_of(t)) for task in range(3)]
    consolidation.enter(3)
    means = [torch.cat([each.flatten() for each in fisher_of(task)]).mean() for task in range(3)]
    even = [[torch.full(shape, float(mean)) for shape in SHAPES] for mean in means]
    assert_pays(consolidation, [(weights_at(task), even[task]) for task in range(3)])
    assert [list(each) for each in reports] == [["fisher_mean"]] * 3  # no overlap of what was spread


@pytest.mark.parametrize("decay", [1.0, 0.7, 0.0])
def test_the_online_anchor_decays_and_adds_around_the_latest_weights(decay):
    """F* <- gamma F* + F; (lambda / 2) sum F* (theta - theta*)^2."""
    consolidation = make(OnlineAnchor(decay))
    tasks = [0, 1, 0, 2]
    leave_all(consolidation, tasks)
    running = [torch.zeros(shape, dtype=torch.float64) for shape in SHAPES]
    for seed in range(1, 1 + len(tasks)):
        running = [decay * old + new.double() for old, new in zip(running, fisher_of(seed), strict=True)]
    for active in (0, 2, 9):  # nothing is kept per task: all the same
        consolidation.enter(active)
        assert_pays(consolidation, [(weights_at(len(tasks)), running)])
        assert consolidation.rest == 0
    assert consolidation.memory.tasks == [] and consolidation.memory.anchor(0) is None


@pytest.mark.parametrize("include_active", [False, True])
def test_the_latest_optimum_sums_fishers_around_the_latest_weights(include_active):
    """(lambda / 2) sum (sum_c F_c) (theta - theta*)^2; a task left again counts once, with its new Fisher."""
    consolidation = make(LatestOptimum(include_active))
    left = leave_all(consolidation, [0, 1, 0, 2])
    for active in (0, 1, 2, 7):
        consolidation.enter(active)
        summed = [left[task][1] for task in left if include_active or task != active]
        assert_pays(consolidation, [(weights_at(4), fisher) for fisher in summed])
        assert consolidation.rest == 0
    assert_alike(consolidation.memory.anchor(1), DiagonalGaussian.of(weights_at(4), left[1][1]))


def test_the_three_agree_on_a_single_task():
    merged = []
    for kind in (SeparateAnchors, lambda: OnlineAnchor(0.3), LatestOptimum):
        consolidation = make(kind())
        leave_all(consolidation, [0])
        consolidation.enter(1)
        merged.append(consolidation.merged)
    assert_alike(merged[0], merged[1])
    assert_alike(merged[0], merged[2])


# -- the implicit step ---------------------------------------------------------------------------------------------

# lambda F from 1e-6 to 1e9, and none.
STIFF = torch.cat([torch.zeros(1), torch.logspace(-6, 9, 31)])


def stiff_world(strength, start=1.0, centre=-2.0):
    weight = torch.nn.Parameter(torch.full_like(STIFF, start))
    return weight, DiagonalGaussian((torch.full_like(STIFF, centre),), (STIFF / strength,))


@pytest.mark.parametrize("strength", [1.0, 400.0, 1e7])
@pytest.mark.parametrize("rate", [2.5e-4, 2.5e-3, 1.0])
def test_an_implicit_step_never_diverges_whatever_the_stiffness(strength, rate):
    """No matter how the loss pushes, the penalty's part of the step ends between the weight and its mean."""
    weight, merged = stiff_world(strength)
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        with torch.no_grad():
            weight -= rate * torch.randn(STIFF.shape, generator=generator)
        before = weight.detach() + 2.0
        ImplicitPull().after_step([weight], merged, strength, lambda: [torch.full_like(STIFF, rate)])
        after = weight.detach() + 2.0
        assert (after.abs() <= before.abs() + 1e-6).all() and (after * before >= -1e-6).all()
        expected = before / (1 + rate * STIFF)
        torch.testing.assert_close(after, expected, rtol=1e-4, atol=1e-6)
    assert torch.isfinite(weight).all()


def test_a_gradient_step_diverges_where_rate_times_stiffness_exceeds_two():
    """The contrast: it multiplies the distance by 1 - eta lambda F."""
    rate, distances = 0.0025, {}
    for pull in (GradientPull(), ImplicitPull()):
        weight, merged = stiff_world(1.0)
        optimiser = torch.optim.SGD([weight], lr=rate)
        for _ in range(300):
            weight.grad = torch.zeros_like(STIFF)
            pull.before_step([weight], merged, 1.0)
            optimiser.step()
            pull.after_step([weight], merged, 1.0, lambda: [torch.full_like(STIFF, rate)])
        distances[type(pull)] = (weight.detach() + 2.0).abs()
    beyond = rate * STIFF > 2.1
    gone = distances[GradientPull]
    assert beyond.any() and not (gone[beyond] < 1e6).any()  # far off or not even a number
    assert (gone[~beyond] <= 3.0 + 1e-4).all()
    assert (distances[ImplicitPull] <= 3.0).all() and (distances[ImplicitPull][beyond] < 1e-6).all()


@pytest.mark.parametrize("stiffness", [1e-6, 1e-2, 1.0, 30.0, 1e3, 1e9])
@pytest.mark.parametrize("rate", [1e-4, 1e-2, 0.5])
def test_the_fixed_point_is_where_both_gradients_cancel(stiffness, rate):
    """For the loss (a / 2) (theta - b)^2 at (a b + lambda P mu) / (a + lambda P), whatever the rate."""
    a, b, mu, strength = 3.0, 2.0, -1.0, 10.0
    merged = DiagonalGaussian(
        (torch.tensor([mu], dtype=torch.float64),), (torch.tensor([stiffness / strength], dtype=torch.float64),)
    )
    expected = (a * b + stiffness * mu) / (a + stiffness)
    weight = torch.nn.Parameter(torch.tensor([expected], dtype=torch.float64))
    rates = [torch.full_like(weight, rate)]
    for _ in range(5):
        with torch.no_grad():
            weight -= rate * a * (weight - b)
        ImplicitPull().after_step([weight], merged, strength, lambda: rates)
        assert weight.item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("stiffness", [1e-6, 1e-2, 1.0, 30.0])
def test_both_ways_go_to_the_same_fixed_point(stiffness):
    a, b, mu, rate = 3.0, 2.0, -1.0, 0.02
    merged = DiagonalGaussian((torch.tensor([mu]),), (torch.tensor([stiffness]),))
    for pull in (GradientPull(), ImplicitPull()):
        weight = torch.nn.Parameter(torch.tensor([5.0]))
        optimiser = torch.optim.SGD([weight], lr=rate)
        for _ in range(400):
            weight.grad = a * (weight.detach() - b)
            pull.before_step([weight], merged, 1.0)
            optimiser.step()
            pull.after_step([weight], merged, 1.0, lambda weight=weight: [torch.full_like(weight, rate)])
        assert weight.item() == pytest.approx((a * b + stiffness * mu) / (a + stiffness), abs=1e-4)


def test_the_implicit_pull_leaves_the_losss_gradient_alone():
    consolidation, weights = make(pull=ImplicitPull()), weights_at(5)
    leave_all(consolidation, [0])
    consolidation.enter(1)
    for w in weights:
        w.grad = torch.ones_like(w)
    consolidation.before_step(weights)
    assert all((w.grad == 1).all() for w in weights)


@pytest.mark.parametrize("pull", [GradientPull(), ImplicitPull()])
def test_with_strength_nought_nothing_moves(pull):
    consolidation, weights = make(pull=pull, strength=0.0), weights_at(5)
    leave_all(consolidation, [0, 1])
    consolidation.enter(2)
    before = copy.deepcopy(weights)
    for w in weights:
        w.grad = torch.ones_like(w)
    consolidation.before_step(weights)
    consolidation.after_step(weights, lambda: [torch.ones_like(w) for w in weights])
    for w, b in zip(weights, before, strict=True):
        assert torch.equal(w, b) and (w.grad == 1).all()
