"""Products of Gaussians by hand, by their laws, and against float64 written out."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agent.gaussian import DiagonalGaussian, multiply_into
from tests.conformance.alike import assert_alike, through_a_file

SHAPES = ((3, 2), (4,), (2, 1, 2, 2))
seeds = st.integers(0, 2**31)


def random_gaussian(seed, spread=3.0, no_opinion=0.2):
    """Precisions over several orders of magnitude, some of them 0."""
    g = torch.Generator().manual_seed(seed)
    precision = []
    for shape in SHAPES:
        p = (spread * torch.randn(shape, generator=g)).exp()
        precision.append(p * (torch.rand(shape, generator=g) >= no_opinion))
    return DiagonalGaussian(tuple(torch.randn(shape, generator=g) for shape in SHAPES), tuple(precision))


def factors(seed, count):
    return [random_gaussian(seed + i) for i in range(count)]


def product(*gaussians):
    merged = DiagonalGaussian.flat([torch.empty(shape) for shape in SHAPES])
    rest = multiply_into(merged, gaussians)
    return merged, rest


def exact_product(gaussians):
    """P = sum F, mu = sum F theta / P in float64; 0/0 = 0."""
    layers = []
    for layer in range(len(SHAPES)):
        total = sum(g.precision[layer].double() for g in gaussians)
        weighted = sum(g.precision[layer].double() * g.mean[layer].double() for g in gaussians)
        layers.append((torch.where(total > 0, weighted / total, 0.0), total))
    return layers


def exact_quadratic(gaussian, weights):
    return sum(
        float((p.double() * (w.double() - m.double()) ** 2).sum())
        for w, m, p in zip(weights, gaussian.mean, gaussian.precision, strict=True)
    )


def assert_close(a, b, rtol=1e-6, atol=1e-6):
    for one, other in ((a.mean, b.mean), (a.precision, b.precision)):
        torch.testing.assert_close(list(one), list(other), rtol=rtol, atol=atol)


def single(mean, precision):
    return DiagonalGaussian((torch.tensor([mean]),), (torch.tensor([precision]),))


def test_a_product_by_hand():
    merged = DiagonalGaussian.flat([torch.ones(1)])
    # P = 1 + 3, mu = (1 * 0 + 3 * 4) / 4, and what is lost at mu: 1 * 3^2 + 3 * 1^2 = 12.
    assert multiply_into(merged, [single(0.0, 1.0), single(4.0, 3.0)]) == pytest.approx(12.0)
    assert (merged.mean[0].item(), merged.precision[0].item()) == (3.0, 4.0)
    # A third factor: P = 8, mu = (4 * 3 + 4 * 5) / 8, and 4 * 1^2 + 4 * 1^2 more.
    rest = multiply_into(merged, [single(0.0, 1.0), single(4.0, 3.0), single(5.0, 4.0)])
    assert rest == pytest.approx(20.0)
    assert (merged.mean[0].item(), merged.precision[0].item()) == (4.0, 8.0)


def test_a_quadratic_by_hand():
    mean = (torch.tensor([1.0, 2.0]), torch.tensor([[0.5]]))
    precision = (torch.tensor([2.0, 0.0]), torch.tensor([[8.0]]))
    weights = [torch.tensor([4.0, 9.0]), torch.tensor([[0.0]])]
    assert DiagonalGaussian(mean, precision).quadratic(weights).item() == pytest.approx(2 * 9 + 8 / 4)


@given(seeds, st.integers(1, 6))
def test_precisions_add_and_means_are_weighted_by_them(seed, count):
    gaussians = factors(seed, count)
    merged, _ = product(*gaussians)
    expected = exact_product(gaussians)
    for mean, precision, (centre, total) in zip(merged.mean, merged.precision, expected, strict=True):
        assert mean.dtype == precision.dtype == torch.float32
        torch.testing.assert_close(precision, total.float(), rtol=1e-7, atol=0)
        torch.testing.assert_close(mean.double(), centre, rtol=1e-6, atol=1e-7)


@given(seeds)
def test_the_product_is_commutative_and_associative_to_rounding(seed):
    a, b, c = factors(seed, 3)
    whole, rest = product(a, b, c)
    for others in ((c, a, b), (b, a, c)):
        merged, its_rest = product(*others)
        assert_close(merged, whole)
        assert its_rest == pytest.approx(rest, rel=1e-9)
    for pair, other in (((a, b), c), ((b, c), a)):
        inner, one = product(*pair)
        merged, two = product(inner, other)
        assert_close(merged, whole)
        assert one + two == pytest.approx(rest, rel=1e-4)


@given(seeds)
def test_no_opinion_is_the_identity(seed):
    gaussian = random_gaussian(seed, no_opinion=0.0)
    flat = DiagonalGaussian.flat(gaussian.mean)
    for others in ((gaussian,), (flat, gaussian), (gaussian, flat), (flat, gaussian, flat)):
        merged, rest = product(*others)
        assert_alike(merged, gaussian)
        assert rest == 0.0


def test_a_mean_without_precision_does_not_matter_and_nought_by_nought_is_nought():
    merged = DiagonalGaussian.flat([torch.ones(1)])
    assert multiply_into(merged, [single(7.0, 0.0), single(-3.0, 0.0)]) == 0.0
    assert (merged.mean[0].item(), merged.precision[0].item()) == (0.0, 0.0)
    for order in ((single(7.0, 0.0), single(2.0, 5.0)), (single(2.0, 5.0), single(7.0, 0.0))):
        assert multiply_into(merged, order) == 0.0
        assert (merged.mean[0].item(), merged.precision[0].item()) == (2.0, 5.0)


def test_the_product_of_nothing_is_flat_and_overwrites_in_place():
    merged, _ = product(*factors(0, 2))
    places = [t.data_ptr() for t in (*merged.mean, *merged.precision)]
    assert multiply_into(merged, []) == 0.0
    assert_alike(merged, DiagonalGaussian.flat(merged.mean))
    multiply_into(merged, iter(factors(1, 2)))  # any iterable
    assert_alike(merged, product(*factors(1, 2))[0])
    assert [t.data_ptr() for t in (*merged.mean, *merged.precision)] == places


@given(seeds, st.integers(1, 6))
def test_separate_quadratics_are_the_merged_one_and_the_rest(seed, count):
    gaussians = factors(seed, count)
    weights = random_gaussian(seed + 100).mean
    merged, rest = product(*gaussians)
    separate = sum(exact_quadratic(gaussian, weights) for gaussian in gaussians)
    assert rest >= 0
    assert exact_quadratic(merged, weights) + rest == pytest.approx(separate, rel=1e-5)
    assert merged.quadratic(weights).item() == pytest.approx(exact_quadratic(merged, weights), rel=1e-5)


def test_the_product_has_no_memory_of_earlier_products():
    merged, _ = product(random_gaussian(0))
    for i in range(300):
        multiply_into(merged, factors(i, 3))
    assert_alike(merged, product(*factors(299, 3))[0])


def test_precisions_many_orders_apart_keep_both_ends():
    merged = DiagonalGaussian.flat([torch.ones(1)])
    multiply_into(merged, [single(1.0, 1e-20), single(2.0, 1e20)])
    assert (merged.mean[0].item(), merged.precision[0].item()) == (2.0, pytest.approx(1e20))
    multiply_into(merged, [single(1.0, 1e-30), single(2.0, 3e-30)])
    assert merged.mean[0].item() == pytest.approx(1.75) and merged.precision[0].item() == pytest.approx(4e-30)


def test_a_gaussian_of_tensors_is_a_copy_and_its_state_is_shared():
    mean, precision = [torch.nn.Parameter(torch.ones(2))], [torch.ones(2)]
    gaussian = DiagonalGaussian.of(mean, precision)
    state = gaussian.state_dict()
    restored = DiagonalGaussian.from_state(state)
    with torch.no_grad():
        mean[0].fill_(9.0)
        precision[0].fill_(9.0)
    assert not gaussian.mean[0].requires_grad
    for each in (gaussian, restored, DiagonalGaussian.from_state(through_a_file(state))):
        assert_alike(each, DiagonalGaussian((torch.ones(2),), (torch.ones(2),)))
    for one, other in ((gaussian.mean, restored.mean), (gaussian.precision, restored.precision)):
        assert one[0].data_ptr() == other[0].data_ptr()


def test_layers_must_match():
    with pytest.raises(ValueError):
        random_gaussian(0).quadratic([torch.zeros(3, 2)])
