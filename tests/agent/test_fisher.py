"""Fisher information: against a loop over samples, in closed form, and by what it must not be."""

import copy
from itertools import pairwise

import pytest
import torch
from torch.nn import functional

from agent import fisher as f
from agent.fisher import ESTIMATORS, fisher_information
from agent.networks import Architecture, joined_weights
from agent.objective import clipped_double_q, double_q
from agent.taps import LinearTap, squared_gradients
from configs.choices import NETWORKS
from replay.transition import Transition
from tests.agent import learners
from tests.agent.test_networks import gated, observations

# Kernels and strides that leave a rest of the picture unseen, as the paper's do not.
TINY = Architecture(((3, 5, 3), (4, 3, 2)), 6)
WORLDS = {"tiny": (TINY, 5, 2, 21), "small": (NETWORKS["small"].make(), 18, 4, 84)}  # actions, stack, side


def make_learner(world="tiny", dtype=torch.float32):
    """Biases and gains of two tasks as after some learning, and a target network of its own."""
    network = learners.make_network(*WORLDS[world], compute_dtype=dtype)
    learner = learners.make_learner(network, max_gradient_norm=1.0, shift_pixels=2)
    g = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in [*network.task_parameters.parameters(), *learner.target.parameters()]:
            parameter += 0.3 * torch.randn(parameter.shape, generator=g)
        network.task_parameters[1].gains[0][0] *= -1
    return learner


def make_batch(count, seed=3, world="tiny"):
    return learners.make_batch(count, seed, *WORLDS[world][1:])


def fisher_of(learner, batches, task, estimator, generator, td_target=double_q):
    return fisher_information(learner.network, learner.target, batches, task, estimator, generator, td_target)


def part_of(batch, start, stop):
    return Transition(*(getattr(batch, name)[start:stop] for name in Transition.__slots__))


def seeded(seed=7):
    return torch.Generator().manual_seed(seed)


def sample_gradients(learner, batch, task, estimator, clipped=False):
    """For every sample, the scores' gradients with the weights of their squares: a loop with plain autograd."""
    network, found = learner.network, []
    with torch.no_grad():
        drawn = torch.multinomial(network(batch.observation, task).softmax(1), 1, generator=seeded())
    for i in range(len(batch.action)):
        one = part_of(batch, i, i + 1)
        values = network(one.observation, task)[0]
        if estimator == "q":
            scores = [(1.0, values[one.action[0]])]
        elif estimator == "q_all":
            scores = [(1 / len(values), value) for value in values]
        elif estimator == "policy":
            scores = [(1.0, values[drawn[i, 0]] - values.logsumexp(0))]
        else:
            with torch.no_grad():
                online, target = (each(one.next_observation, task)[0] for each in (network, learner.target))
                best = online.argmax()
                following = min(online[best], target[best]) if clipped else target[best]
                goal = one.reward[0] + one.discount[0] * following
            error = values[one.action[0]] - goal
            scores = [(1.0, 0.5 * error**2 if error.abs() <= 1 else error.abs())]
        found.append([(share, torch.autograd.grad(s, learner.weights, retain_graph=True)) for share, s in scores])
    return found


def slow_fisher(learner, batch, task, estimator, clipped=False):
    """float64: the mean over samples of squared gradients."""
    total = [torch.zeros(w.shape, dtype=torch.float64) for w in learner.weights]
    for scores in sample_gradients(learner, batch, task, estimator, clipped):
        for share, gradients in scores:
            for sum_, gradient in zip(total, gradients, strict=True):
                sum_ += share * gradient.double() ** 2
    return [t / len(batch.action) for t in total]


def assert_close(found, expected, rtol=1e-3, atol=1e-6):
    """Layer by layer; `atol` is a share of the layer's largest value."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        least = atol * float(other.abs().max())
        torch.testing.assert_close(one.double(), other.double(), rtol=rtol, atol=least)


# -- the learner's estimators against a loop over samples -------------------------------------------------------


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(("world", "count"), [("tiny", 12), ("small", 5)])
def test_equals_a_loop_over_samples(world, count, estimator):
    learner, batch = make_learner(world), make_batch(count, world=world)
    found = fisher_of(learner, [batch], 1, estimator, seeded())
    assert [each.shape for each in found] == [w.shape for w in learner.weights]
    assert all(each.dtype == torch.float32 and float(each.sum()) > 0 and each.min() >= 0 for each in found)
    assert_close(found, slow_fisher(learner, batch, 1, estimator))


def test_that_of_the_td_loss_is_of_what_is_learned_towards():
    learner, batch = make_learner(), make_batch(12)
    clipped, double = (fisher_of(learner, [batch], 1, "td", seeded(), each) for each in (clipped_double_q, double_q))
    assert_close(clipped, slow_fisher(learner, batch, 1, "td", clipped=True))
    assert not torch.allclose(clipped[0], double[0], rtol=1e-2)


@pytest.mark.parametrize("estimator", ["td", "q", "q_all"])
def test_a_batch_in_parts_gives_the_same_mean(estimator):
    learner, batch = make_learner(), make_batch(12)
    whole = fisher_of(learner, [batch], 0, estimator, seeded())
    for cuts in ((0, 3, 12), (0, 5, 6, 12), tuple(range(13))):
        parts = (part_of(batch, a, b) for a, b in pairwise(cuts))
        assert_close(fisher_of(learner, parts, 0, estimator, seeded()), whole, rtol=1e-4)


def test_a_mean_over_batches_of_different_size_by_hand():
    sums = [([torch.tensor([2.0])], 1), ([torch.tensor([4.0])], 3)]
    assert f.mean_over(iter(sums))[0].item() == 1.5


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_it_is_not_the_squared_gradient_of_the_batch(estimator):
    """The commonest mistake: the square of a mean shrinks with the batch, the mean of squares does not."""
    learner, batch = make_learner("small"), make_batch(8, world="small")
    found = fisher_of(learner, [batch], 1, estimator, seeded())
    mean = [torch.zeros(w.shape) for w in learner.weights]
    for scores in sample_gradients(learner, batch, 1, estimator):
        for share, gradients in scores:
            for sum_, gradient in zip(mean, gradients, strict=True):
                sum_ += share * gradient / len(batch.action)
    for right, wrong in zip(found, mean, strict=True):
        assert float(right.sum()) > 1.2 * float(wrong.square().sum())
        assert (right >= 0.99 * wrong.square()).all()  # Jensen


@pytest.mark.parametrize("estimator", ["td", "q", "q_all"])
def test_a_sample_seen_twice_counts_as_once(estimator):
    learner, batch = make_learner(), make_batch(1)
    twice = Transition(*(torch.cat([getattr(batch, name)] * 4) for name in Transition.__slots__))
    once = fisher_of(learner, [batch], 0, estimator, seeded())
    assert_close(fisher_of(learner, [twice], 0, estimator, seeded()), once, rtol=1e-4)


# -- the estimators against each other ------------------------------------------------------------------------


@pytest.mark.parametrize(("error", "factor"), [(0.0, 0.0), (0.5, 0.25), (-0.5, 0.25), (3.0, 1.0), (-9.0, 1.0)])
def test_that_of_the_td_loss_is_the_clipped_errors_square_times_that_of_q(error, factor):
    """So it vanishes as a game is learned."""
    learner, batch = make_learner(), make_batch(6)
    values, _ = learner.network.with_taps(batch.observation, 0)
    chosen = values.detach().gather(1, batch.action[:, None]).squeeze(1)
    batch = Transition(batch.observation, batch.action, chosen - error, torch.zeros(6), batch.next_observation)
    td, q = (fisher_of(learner, [batch], 0, each, seeded()) for each in ("td", "q"))
    for one, other in zip(td, q, strict=True):
        torch.testing.assert_close(one, factor * other, rtol=1e-3, atol=1e-5 * float(other.max()))


def test_that_of_all_actions_is_the_mean_over_each():
    learner, batch = make_learner(), make_batch(4)
    each = []
    for action in range(5):
        chosen = Transition(batch.observation, torch.full((4,), action), *_rest(batch))
        each.append(fisher_of(learner, [chosen], 0, "q", seeded()))
    mean = [torch.stack(layer).mean(0) for layer in zip(*each, strict=True)]
    assert_close(fisher_of(learner, [batch], 0, "q_all", seeded()), mean, rtol=1e-4)


def _rest(batch):
    return batch.reward, batch.discount, batch.next_observation


def test_that_of_the_policy_draws_its_own_actions():
    learner, batch = make_learner(), make_batch(6)
    other = Transition(batch.observation, (batch.action + 1) % 5, *_rest(batch))
    a, b = (fisher_of(learner, [each], 0, "policy", seeded()) for each in (batch, other))
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    c = fisher_of(learner, [batch], 0, "policy", seeded(8))
    assert any(not torch.equal(x, y) for x, y in zip(a, c, strict=True))


def test_an_unknown_estimator_is_refused():
    with pytest.raises(ValueError, match="td, q, q_all, policy"):
        fisher_of(make_learner(), [make_batch(2)], 0, "empirical", seeded())


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_measuring_changes_nothing(estimator):
    learner, batch = make_learner(), make_batch(4)
    learner_before = copy.deepcopy(learner.state_dict())
    world = torch.get_rng_state()
    fisher_of(learner, [batch], 1, estimator, seeded())
    after = learner.state_dict()
    for name in ("network", "target"):
        assert all(torch.equal(value, after[name][key]) for key, value in learner_before[name].items())
    assert torch.equal(learner_before["generator"], after["generator"])
    assert torch.equal(world, torch.get_rng_state())
    assert all(p.grad is None for p in learner.network.parameters())


def test_a_fisher_is_measured_in_float32_whatever_the_network_computes_in():
    exact, fast, batch = make_learner(), make_learner(dtype=torch.bfloat16), make_batch(4)
    for estimator in ("q", "q_all", "policy"):
        a, b = (fisher_of(each, [batch], 1, estimator, seeded()) for each in (exact, fast))
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# -- closed forms ------------------------------------------------------------------------------------------------


def linear_model(samples=7, inputs=4, outputs=3, seed=0):
    """x [N, I], W [O, I] and W x [N, O]."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, inputs, generator=g)
    weight = torch.randn(outputs, inputs, generator=g, requires_grad=True)
    return x, weight, functional.linear(x, weight)


def test_a_linear_gaussian_model_in_closed_form():
    """y ~ N(W x, 1): the Fisher information of W_ki is E[x_i^2], for every k; here as the mean over K outputs."""
    x, _, z = linear_model()
    expected = x.square().sum(0).expand(3, 4) / 3
    torch.testing.assert_close(f.all_outputs_squares(z, [LinearTap(x, z)])[0], expected)


def test_a_linear_gaussian_model_seen_through_one_output_in_closed_form():
    x, _, z = linear_model()
    chosen = torch.tensor([0, 1, 2, 0, 0, 1, 0])
    expected = torch.stack([x[chosen == k].square().sum(0) for k in range(3)])
    found = squared_gradients(z.gather(1, chosen[:, None]).squeeze(1), [LinearTap(x, z)])
    torch.testing.assert_close(found[0], expected)


def softmax_information(x, z):
    """sum_n p_k (1 - p_k) x_i^2: the diagonal for a softmax of W x."""
    p = z.detach().softmax(1)
    return (p * (1 - p)).T @ x.square()


def test_a_linear_softmax_model_in_closed_form():
    x, _, z = linear_model()
    torch.testing.assert_close(f.exact_softmax_squares(z, [LinearTap(x, z)])[0], softmax_information(x, z))


def test_sampling_a_linear_softmax_model_is_unbiased():
    """z-scores of the mean over many draws, with the variance in closed form as well: that of (1[y = k] - p_k)^2."""
    draws = 4000
    x, weight, z = linear_model(samples=5)
    many = x.repeat(draws, 1)
    logits = functional.linear(many, weight)
    log_likelihood = f.sampled_log_likelihood(logits, seeded())
    found = squared_gradients(log_likelihood, [LinearTap(many, logits)])[0].double() / draws
    p = z.detach().double().softmax(1)
    variance = p * (1 - p) ** 4 + (1 - p) * p**4 - (p * (1 - p)) ** 2
    error = ((variance.T @ x.double() ** 4) / draws).sqrt()
    scores = (found - softmax_information(x, z).double()) / error
    assert scores.abs().max() < 4
    assert 0.3 < scores.square().mean() < 2.5


def test_the_exact_expectation_equals_that_over_all_classes_of_a_network():
    network, batch = make_learner().network, make_batch(5)
    values, taps = network.with_taps(batch.observation, 1)
    found = f.exact_softmax_squares(values, taps)
    values, taps = network.with_taps(batch.observation, 1)
    expected = [torch.zeros(w.shape) for w in network.weights]
    for i in range(5):
        for y, p in enumerate(values[i].detach().softmax(0)):
            gradients = torch.autograd.grad(values[i].log_softmax(0)[y], list(network.weights), retain_graph=True)
            for sum_, gradient in zip(expected, gradients, strict=True):
                sum_ += p * gradient.square()
    assert_close(found, expected)


def test_the_policys_fisher_is_unbiased():
    learner, batch = make_learner(), make_batch(6)
    with torch.no_grad():
        learner.network.task_parameters[1].gains[-1].mul_(8)  # a policy that is far from uniform
    values, taps = learner.network.with_taps(batch.observation, 1)
    exact = [each / 6 for each in f.exact_softmax_squares(values, taps)]
    generator, draws = seeded(), 200
    found = [fisher_of(learner, [batch], 1, "policy", generator) for _ in range(draws)]
    scores = []
    for layer, expected in enumerate(exact):
        each = torch.stack([one[layer] for one in found]).double()
        error = each.std(0) / draws**0.5
        apart = (each.mean(0) - expected).abs()
        known = error > 1e-3 * expected.max()
        scores.append((apart[known] / error[known]).flatten())
        assert (apart[~known] <= 0.02 * expected.max()).all()
    scores = torch.cat(scores)
    assert len(scores) > 100 and scores.max() < 5
    assert 0.5 < scores.square().mean() < 1.6


def test_sampled_classes_come_from_the_softmax():
    logits = torch.tensor([[2.0, 0.0, -1.0]]).repeat(20_000, 1)
    drawn = f.sampled_log_likelihood(logits, seeded()).exp()
    for p in logits[0].softmax(0):
        share = float((drawn - p).abs().lt(1e-5).double().mean())
        assert abs(share - p) < 4 * float((p * (1 - p) / 20_000) ** 0.5)


# -- scale and overlap -------------------------------------------------------------------------------------------


def random_fisher(seed):
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=g).exp() * 1e-6 for shape in ((5, 4), (3, 5))]


def test_normalising_makes_the_mean_one_and_keeps_the_ratios():
    fisher = random_fisher(0)
    found = f.normalised(fisher)
    assert float(torch.cat([each.flatten() for each in found]).mean()) == pytest.approx(1, rel=1e-5)
    ratio = found[0][0, 0] / fisher[0][0, 0]
    assert_close(found, [ratio * each for each in fisher], rtol=1e-5)
    assert_close(f.normalised([1e-4 * each for each in fisher]), found, rtol=1e-5)
    nothing = [torch.zeros(3)]
    assert f.normalised(nothing)[0].tolist() == [0, 0, 0]


def test_an_overlap_by_hand():
    # Shares (1/4, 3/4) and (1/2, 1/2): (sqrt 1/8 + sqrt 3/8); with traces 4 and 20.
    one, other = [torch.tensor([1.0, 3.0])], [torch.tensor([10.0, 10.0])]
    assert f.fisher_overlap(one, other) == pytest.approx([(1 / 8) ** 0.5 + (3 / 8) ** 0.5])


def test_overlap_is_one_for_proportional_fishers_and_nought_for_disjoint_ones():
    fisher = random_fisher(0)
    scaled = [1e-7 * fisher[0], 1e9 * fisher[1]]
    assert f.fisher_overlap(fisher, scaled) == pytest.approx([1.0, 1.0])
    masks = [torch.arange(each.numel()).reshape(each.shape) % 2 for each in fisher]
    odd, even = ([each * (m == k) for each, m in zip(fisher, masks, strict=True)] for k in (0, 1))
    assert f.fisher_overlap(odd, even) == [0.0, 0.0]
    assert f.fisher_overlap([torch.zeros(2)], [torch.ones(2)]) == [0.0]


def test_overlap_is_symmetric_and_within_nought_and_one_layer_by_layer():
    for seed in range(20):
        one, other = random_fisher(seed), random_fisher(seed + 100)
        overlap = f.fisher_overlap(one, other)
        assert overlap == f.fisher_overlap(other, one)
        assert all(0 < each < 1 for each in overlap)
        assert overlap[1] == f.fisher_overlap([torch.ones(2), one[1]], [torch.ones(2), other[1]])[1]


# -- damping -----------------------------------------------------------------------------------------------------


def units_of(*active):
    """Per layer, bool [U]."""
    return [torch.tensor(each, dtype=torch.bool) for each in active]


def test_damping_lies_under_the_weights_between_active_units_and_under_no_other():
    """F + d mean(F over these weights), layer by layer; as well where such a weight has no information."""
    shapes, units = ((5, 3), (4, 10)), units_of([1, 0, 1, 1, 0], [1, 1, 0, 1])  # two inputs from each unit
    joined = joined_weights([torch.Size(shape) for shape in shapes], units)
    g = seeded(5)
    fisher = [torch.randn(shape, generator=g).exp() * 1e-6 * uses for shape, uses in zip(shapes, joined, strict=True)]
    fisher[0][0] = 0  # joined, but without information
    raised = f.damped(fisher, units, 0.5)
    assert [int(uses.sum()) for uses in joined] == [9, 18]
    for before, after, uses in zip(fisher, raised, joined, strict=True):
        assert not after[~uses].any()
        torch.testing.assert_close(after[uses], before[uses] + 0.5 * before[uses].mean(), rtol=1e-5, atol=0)
        share = before + 0.5 * before.sum() / uses.sum().clamp_min(1) * uses
        assert torch.equal(after, share)  # the formula, bit for bit
    assert f.damped(fisher, units, 0.0) == tuple(fisher)


def test_damping_of_nothing_is_nothing():
    nothing = [torch.zeros(3, 2)]
    assert not f.damped(nothing, units_of([1, 1, 1]), 0.5)[0].any()
    assert not f.damped(nothing, units_of([0, 0, 0]), 0.5)[0].any()  # nor a division by 0


def test_without_word_of_units_all_weights_of_any_shape_are_damped():
    fisher = [torch.tensor([1.0, 3.0]), torch.zeros(2, 2, 2)]
    raised = f.damped(fisher, [], 0.5)
    assert raised[0].tolist() == [2.0, 4.0] and not raised[1].any()


def joined_in(network, task):
    return joined_weights([w.shape for w in network.weights], network.active_units(task))


def test_joined_weights_are_those_that_values_depend_on():
    network = gated()
    randomise = torch.Generator().manual_seed(5)
    for own in network.task_parameters:
        for bias in own.biases:
            bias.data.fill_(0.5)  # so that most open units are active
    x = observations(16)
    before = network(x, 1).detach()
    joined = joined_in(network, 1)
    for weight, uses in zip(network.weights, joined, strict=True):
        weight.data += torch.randn(weight.shape, generator=randomise) * ~uses
    assert torch.equal(network(x, 1), before)  # what joins closed units does not matter
    assert not torch.equal(network(x, 0), gated()(x, 0))  # to another task it does
    # 4 x 16 of 4 x 32 kernels, 16 x 32 of 32 x 64, 32 x 9 x 128 of 64 x 9 x 256, 128 x 18 of 256 x 18
    shares = [float(uses.float().mean()) for uses in joined]
    assert shares == [0.5, 0.25, 0.25, 0.5]
    assert all(uses.shape == weight.shape for uses, weight in zip(joined, network.weights, strict=True))


def test_without_gates_all_weights_are_joined():
    assert all(bool(uses.all()) for uses in joined_in(gated(share=0.0), 0))
