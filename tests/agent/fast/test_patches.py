"""Patches are what a convolution sees, and joining them is its transpose."""

import pytest
import torch
from torch.nn import functional

from agent.fast.patches import Patches

KINDS = [Patches(9, 4, 3, 2), Patches(20, 9, 4, 2), Patches(10, 3, 3, 3), Patches(5, 2, 2, 3), Patches(6, 4, 3, 1)]


def maps(kind, units=3, seed=0):
    return torch.randn(2, kind.before, kind.before, units, generator=torch.Generator().manual_seed(seed))


def cut(kind, x):
    out = torch.empty(len(x) * kind.side**2, kind.kernel**2 * x.shape[-1])
    kind.cut(x, out)
    return out


@pytest.mark.parametrize("kind", KINDS)
def test_a_product_with_patches_is_the_convolution(kind):
    x = maps(kind)
    kernel = torch.randn(4, 3, kind.kernel, kind.kernel, generator=torch.Generator().manual_seed(1))
    product = cut(kind, x) @ kernel.permute(0, 2, 3, 1).flatten(1).T
    expected = functional.conv2d(x.permute(0, 3, 1, 2), kernel, stride=kind.stride).permute(0, 2, 3, 1)
    torch.testing.assert_close(product.view(expected.shape), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_joining_is_the_transpose_of_cutting(kind):
    x, patches = maps(kind), torch.randn(2 * kind.side**2, kind.kernel**2 * 3)
    joined = torch.zeros_like(x)
    for _ in range(2):  # what was joined before is forgotten
        kind.join(patches, joined)
    assert (joined * x).sum().item() == pytest.approx((patches * cut(kind, x)).sum().item(), rel=1e-4)
    inside = torch.zeros_like(x)
    kind.join(torch.ones_like(patches), inside)
    assert torch.equal(joined[inside == 0], x.new_zeros(int((inside == 0).sum())))
