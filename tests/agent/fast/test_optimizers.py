"""The optimizers against their equations, number by number, and the implicit step on a penalty."""

import math
import shutil

import pytest
import torch

from agent.anchors.steps import PenaltyGradient, ProximalStep
from agent.fast import optimizers
from agent.fast.optimizers import CentredRMSProp, make_optimizer
from agent.gaussian import DiagonalGaussian


def test_equals_the_equation_written_out_number_by_number():
    generator = torch.Generator().manual_seed(0)
    parameters = [
        torch.nn.Parameter(torch.randn(3, 2, generator=generator)),
        torch.nn.Parameter(torch.randn(4)),
    ]
    slow = [p.detach().double().flatten().tolist() for p in parameters]
    averages = [[(0.0, 0.0)] * len(values) for values in slow]
    optimizer = CentredRMSProp(parameters, lr=0.00025, decay=0.95, epsilon=0.01)
    for _ in range(50):
        gradients = [torch.randn(p.shape, generator=generator) * 3 for p in parameters]
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = g
        optimizer.step()
        for k, gradient in enumerate(gradients):
            for i, g in enumerate(gradient.double().flatten().tolist()):
                mean, square = averages[k][i]
                mean, square = 0.95 * mean + 0.05 * g, 0.95 * square + 0.05 * g * g
                averages[k][i] = mean, square
                slow[k][i] -= 0.00025 * g / math.sqrt(square - mean * mean + 0.01)
    for p, expected in zip(parameters, slow, strict=True):
        torch.testing.assert_close(
            p.detach().double().flatten(), torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=1e-6
        )


def test_a_constant_gradient_moves_by_the_maximal_learning_rate():
    p = torch.nn.Parameter(torch.zeros(1))
    optimizer = CentredRMSProp([p], lr=0.00025, decay=0.95, epsilon=0.01)
    for _ in range(2000):
        p.grad = torch.ones(1)
        before = p.item()
        optimizer.step()
    assert before - p.item() == pytest.approx(0.0025, rel=1e-3)  # the paper's "max. learning rate"


@pytest.mark.parametrize("name", ["rmsprop", "adam"])
def test_parameters_without_gradient_are_left_alone(name):
    still, moving = torch.nn.Parameter(torch.ones(5)), torch.nn.Parameter(torch.ones(5))
    optimizer = make_optimizer(name, [still, moving], learning_rate=0.1, epsilon=0.01, decay=0.95)
    still.grad = moving.grad = torch.ones(5)
    optimizer.step()
    after_first = still.detach().clone()
    still.grad = None
    for _ in range(10):
        moving.grad = torch.ones(5)
        optimizer.step()
    assert torch.equal(still.detach(), after_first)
    assert not torch.equal(moving.detach(), after_first)


def test_unknown_name_is_refused():
    with pytest.raises(ValueError, match="rmsprop or adam"):
        make_optimizer("sgd", [torch.zeros(1)], learning_rate=0.1, epsilon=0.1, decay=0.9)


# -- in chunks, and towards an anchor ----------------------------------------------------------------------------

SHAPES = ((5, 7), (3,), (2, 3, 4, 1), (1,))
NAMES = ["rmsprop", "adam"]


def parameters(seed=0, shapes=SHAPES):
    g = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(shape, generator=g)) for shape in shapes]


def gradients(steps, seed=1, shapes=SHAPES):
    g = torch.Generator().manual_seed(seed)
    return [[3 * torch.randn(shape, generator=g) for shape in shapes] for _ in range(steps)]


def random_anchor(seed=2, shapes=SHAPES):
    """Precisions over several orders of magnitude, some of them 0."""
    g = torch.Generator().manual_seed(seed)
    mean = [torch.randn(shape, generator=g) for shape in shapes]
    held = [torch.rand(shape, generator=g) > 0.2 for shape in shapes]
    return DiagonalGaussian(tuple(mean), tuple((4 * torch.randn(h.shape, generator=g)).exp() * h for h in held))


def make(name, params, learning_rate=0.003):
    return make_optimizer(name, params, learning_rate=learning_rate, epsilon=0.01, decay=0.95)


def go(optimizer, params, all_gradients, anchor=None, ewc_lambda=0.0):
    for step in all_gradients:
        for p, g in zip(params, step, strict=True):
            p.grad = g.clone()
        if anchor is None:
            optimizer.step()
        else:
            optimizer.step_towards(anchor, ewc_lambda)


def straightforward(name, params, all_gradients, anchor, ewc_lambda, lr=0.003, epsilon=0.01):
    """float64, whole tensors: the rate eta of every weight, w <- w - eta m, w <- (w + s mu) / (1 + s), s = lambda
    eta P; m is the gradient, or Adam's mean of it."""
    results = []
    for layer, p in enumerate(params):
        w, mean, square = p.detach().double(), 0.0, 0.0
        for t, step in enumerate(all_gradients, 1):
            g = step[layer].double()
            if name == "rmsprop":
                mean, square = 0.95 * mean + 0.05 * g, 0.95 * square + 0.05 * g * g
                eta, m = lr / (square - mean**2 + epsilon).sqrt(), g
            else:
                mean, square = 0.9 * mean + 0.1 * g, 0.999 * square + 0.001 * g * g
                eta, m = lr / ((square / (1 - 0.999**t)).sqrt() + epsilon), mean / (1 - 0.9**t)
            w = w - eta * m
            if anchor is not None:
                s = ewc_lambda * eta * anchor.precision[layer].double()
                w = (w + s * anchor.mean[layer].double()) / (1 + s)
        results.append(w)
    return results


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ewc_lambda", [None, 0.4, 400.0])
@pytest.mark.parametrize("chunk", [1, 4, 35, 1 << 18])
def test_equals_the_straightforward_step_in_chunks_of_any_size(name, ewc_lambda, chunk, monkeypatch):
    monkeypatch.setattr(optimizers, "_CACHED", chunk)
    params, steps = parameters(), gradients(12)
    anchor = None if ewc_lambda is None else random_anchor()
    expected = straightforward(name, params, steps, anchor, ewc_lambda)
    go(make(name, params), params, steps, anchor, ewc_lambda)
    for p, e in zip(params, expected, strict=True):
        torch.testing.assert_close(p.detach().double(), e, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", NAMES)
def test_an_anchor_that_is_flat_or_of_no_strength_changes_no_bit(name):
    steps, plain = gradients(20), parameters()
    go(make(name, plain), plain, steps)
    flat = DiagonalGaussian.flat(plain)
    for anchor, ewc_lambda in ((flat, 400.0), (random_anchor(), 0.0), (flat, 0.0)):
        params = parameters()
        go(make(name, params), params, steps, anchor, ewc_lambda)
        assert all(torch.equal(p, q) for p, q in zip(params, plain, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_only_the_first_group_is_pulled(name):
    """A task's own parameters are groups of their own."""
    params, own = parameters(), parameters(5, ((5,), (3,)))
    twin = parameters(5, ((5,), (3,)))
    steps = gradients(10, shapes=(*SHAPES, (5,), (3,)))
    optimizer = make(name, params)
    optimizer.add_param_group({"params": own})
    go(optimizer, [*params, *own], steps, random_anchor(), 1e6)
    go(make(name, twin), twin, [step[len(SHAPES) :] for step in steps])
    assert all(torch.equal(p, q) for p, q in zip(own, twin, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_the_anchor_leaves_no_trace_in_the_optimizers_averages(name):
    plain, pulled = parameters(), parameters()
    a, b = make(name, plain), make(name, pulled)
    go(a, plain, gradients(5))
    go(b, pulled, gradients(5), random_anchor(), 400.0)
    assert not torch.equal(plain[0], pulled[0])
    for p, q in zip(plain, pulled, strict=True):
        assert all(torch.equal(a.state[p][key], b.state[q][key]) for key in a.state[p])


@pytest.mark.parametrize("name", NAMES)
def test_weights_without_a_gradient_are_not_pulled_either(name):
    params, anchor = parameters(), random_anchor()
    before = params[1].detach().clone()
    optimizer = make(name, params)
    for p, g in zip(params, gradients(1)[0], strict=True):
        p.grad = g
    params[1].grad = None
    optimizer.step_towards(anchor, 400.0)
    assert torch.equal(params[1], before)
    assert not torch.equal(params[2], parameters()[2])  # the next layer is pulled to its own mean
    expected = straightforward(name, parameters(), gradients(1), anchor, 400.0)
    torch.testing.assert_close(params[2].detach().double(), expected[2], rtol=1e-5, atol=1e-6)


def test_parameters_in_another_memory_format_learn_as_well():
    p = torch.nn.Parameter(torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last))
    before = p.detach().clone()
    p.grad = torch.ones_like(p)
    CentredRMSProp([p], lr=0.1, decay=0.95, epsilon=0.01).step()
    assert not torch.equal(p, before)


# lambda F from 1e-6 to 1e9, and none.
STIFF = torch.cat([torch.zeros(1), torch.logspace(-6, 9, 31)])


def stiff_anchor(ewc_lambda, centre=-2.0):
    return DiagonalGaussian((torch.full_like(STIFF, centre),), (STIFF / ewc_lambda,))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ewc_lambda", [1.0, 400.0])
@pytest.mark.parametrize("size", [0.0, 1e-3, 3.0])
def test_a_step_towards_an_anchor_never_diverges_whatever_its_stiffness(name, ewc_lambda, size):
    """The penalty's part of every step ends between where the loss alone would go and the mean."""
    pulled, free = torch.nn.Parameter(torch.ones_like(STIFF)), torch.nn.Parameter(torch.ones_like(STIFF))
    one, other = make(name, [pulled]), make(name, [free])
    generator = torch.Generator().manual_seed(0)
    for _ in range(150):
        pulled.grad = size * torch.randn(STIFF.shape, generator=generator)
        free.grad = pulled.grad.clone()
        free.data.copy_(pulled.data)
        one.step_towards(stiff_anchor(ewc_lambda), ewc_lambda)
        other.step()
        before, after = free.detach() + 2.0, pulled.detach() + 2.0
        assert (after.abs() <= before.abs() + 1e-6).all() and (after * before >= -1e-6).all()
    assert torch.equal(pulled[:1], free[:1]) and (after[-1].abs() < 1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_weak_pull_is_felt_in_full(name):
    """1 - s is rounded to 1 long before s is to 0. From 0 towards 1 by s / (1 + s), s = lambda eta F, eta = lr / 0.1
    or lr / 0.01 without a gradient."""
    weight = torch.nn.Parameter(torch.zeros_like(STIFF))
    weight.grad = torch.zeros_like(STIFF)
    make(name, [weight], learning_rate=2.5e-4).step_towards(stiff_anchor(1.0, centre=1.0), 1.0)
    s = STIFF.double() * 2.5e-4 / (0.1 if name == "rmsprop" else 0.01)
    torch.testing.assert_close(weight.detach().double(), s / (1 + s), rtol=1e-5, atol=0)


def test_in_the_gradients_form_a_stiff_weight_never_settles():
    """The contrast: rmsprop divides by the penalty's own size and goes on jumping over the mean. (At a fixed rate it
    diverges: tests/agent/anchors/test_steps.py.)"""
    ends, anchor = {}, DiagonalGaussian((torch.zeros(1),), (torch.full((1,), 1e9),))
    for step in (PenaltyGradient(), ProximalStep()):
        weight, path = torch.nn.Parameter(torch.ones(1)), []
        optimizer = make("rmsprop", [weight])
        for _ in range(1500):
            weight.grad = torch.zeros(1)
            step.before_step([weight], anchor, 1.0)
            step.step(optimizer, anchor, 1.0)
            path.append(weight.item())
        ends[type(step)] = path[-50:]
    late = ends[PenaltyGradient]
    assert max(abs(x) for x in late) > 1e-4 and min(late) < 0 < max(late)
    assert all(abs(x) < 1e-30 for x in ends[ProximalStep])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stiffness", [1e-6, 1e-2, 1.0, 1e3, 1e9])
def test_the_fixed_point_is_where_both_gradients_cancel(name, stiffness):
    """For the loss (a / 2) (w - b)^2 at (a b + lambda P mu) / (a + lambda P), whatever the optimizer's averages."""
    a, b, mu, ewc_lambda = 3.0, 2.0, -1.0, 10.0
    expected = (a * b + stiffness * mu) / (a + stiffness)
    weight = torch.nn.Parameter(torch.tensor([expected], dtype=torch.float64))
    anchor = DiagonalGaussian((torch.full_like(weight, mu),), (torch.full_like(weight, stiffness / ewc_lambda),))
    optimizer = make(name, [weight])
    for _ in range(20):
        weight.grad = a * (weight.detach() - b)
        optimizer.step_towards(anchor, ewc_lambda)
        assert weight.item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stiffness", [0.1, 1.0, 8.0])
def test_both_ways_go_to_the_same_fixed_point(name, stiffness):
    a, b, mu = 3.0, 2.0, -1.0
    expected = (a * b + stiffness * mu) / (a + stiffness)
    anchor = DiagonalGaussian((torch.tensor([mu]),), (torch.tensor([stiffness]),))
    for step in (PenaltyGradient(), ProximalStep()):
        weight = torch.nn.Parameter(torch.zeros(1))
        optimizer = make(name, [weight], learning_rate=0.01)
        for _ in range(1200):
            weight.grad = a * (weight.detach() - b)
            step.before_step([weight], anchor, 1.0)
            step.step(optimizer, anchor, 1.0)
        assert weight.item() == pytest.approx(expected, abs=2e-3)


# -- gradients and copies in another type ---------------------------------------------------------------------


@pytest.mark.parametrize("ewc_lambda", [None, 2.0])
def test_a_gradient_of_another_type_is_taken_as_it_is_and_the_new_weights_are_copied(ewc_lambda, monkeypatch):
    """Bit for bit as from its value in `.grad`, in chunks, beside a parameter of the usual kind, and for one step."""
    monkeypatch.setattr(optimizers, "_CACHED", 7)
    usual, other = parameters(), parameters()
    settings = {"learning_rate": 0.01, "epsilon": 0.01, "decay": 0.9}
    a, b = (make_optimizer("rmsprop", each, **settings) for each in (usual, other))
    anchor, copy = random_anchor(), torch.empty(SHAPES[0], dtype=torch.bfloat16)
    for rounds in gradients(5):
        halved = rounds[0].bfloat16()
        for p, q, g in zip(usual, other, rounds, strict=True):
            p.grad, q.grad = g, g.clone()
        usual[0].grad, other[0].grad = halved.float(), None
        b.half[other[0]] = halved, copy
        for optimizer in (a, b):
            optimizer.step() if ewc_lambda is None else optimizer.step_towards(anchor, ewc_lambda)
        for p, q in zip(usual, other, strict=True):
            assert torch.equal(p, q)
        assert torch.equal(copy, other[0].detach().bfloat16())
    assert not b.half
    kept = other[0].detach().clone()
    b.step()
    assert torch.equal(other[0], kept)  # without a gradient of either kind it is left alone


# -- compiled ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("c++") is None and shutil.which("g++") is None, reason="needs a C++ compiler")
def test_the_compiled_step_is_the_plain_one():
    """With and without an anchor, on a large parameter and beside a small one; and it tells that it changed them."""
    shapes = ((400, 401), (7,))
    plain, fast = parameters(shapes=shapes), parameters(shapes=shapes)
    settings = {"learning_rate": 0.01, "epsilon": 0.01, "decay": 0.9}
    optimizers_ = [
        make_optimizer("rmsprop", each, **settings, compiled=compiled)
        for each, compiled in ((plain, False), (fast, True))
    ]
    anchor = DiagonalGaussian.of([torch.ones(400, 401), torch.ones(7)], [torch.rand(400, 401), torch.rand(7)])
    generator = torch.Generator().manual_seed(1)
    for step in range(12):
        version = fast[0]._version
        gradients = [torch.randn(shape, generator=generator) for shape in shapes]
        for each, optimizer in zip((plain, fast), optimizers_, strict=True):
            for p, g in zip(each, gradients, strict=True):
                p.grad = g.clone()
            optimizer.step_towards(anchor, 3.0) if step % 3 == 2 else optimizer.step()
        assert fast[0]._version > version
        for a, b in zip(fast, plain, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    half = gradients[0].bfloat16(), torch.empty(400, 401, dtype=torch.bfloat16)
    for each, optimizer in zip((plain, fast), optimizers_, strict=True):
        each[0].grad, each[1].grad = half[0].float(), None
        if each is fast:
            each[0].grad, optimizer.half[each[0]] = None, half
        optimizer.step_towards(anchor, 3.0)
    torch.testing.assert_close(fast[0], plain[0], rtol=1e-5, atol=1e-6)
    assert torch.equal(half[1], fast[0].detach().bfloat16())
    assert not torch.equal(plain[0], parameters(shapes=shapes)[0])
