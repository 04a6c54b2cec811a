"""Patches hold every pixel once, in the order of a channels-last kernel, and go back to where they were."""

import pytest
import torch
from torch.nn import functional

from agent.fast.unfold import fold, unfold

SHAPES = [(3, 4, 84, 84, 5), (2, 4, 8, 8, 4), (2, 3, 11, 7, 3), (1, 2, 5, 5, 1)]


def observations(shape, dtype):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, shape, generator=generator).to(dtype)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("n, c, h, w, side", SHAPES)
def test_a_patch_is_its_pixels_row_by_row_the_channels_of_each_together(n, c, h, w, side, dtype):
    x = observations((n, c, h, w), dtype)
    found = unfold(x, side)
    columns = w // side
    assert found.shape == (n, (h // side) * columns, side * side * c) and found.dtype == dtype
    for p in range(found.shape[1]):
        top, left = side * (p // columns), side * (p % columns)
        expected = x[:, :, top : top + side, left : left + side].permute(0, 2, 3, 1).reshape(n, -1)
        assert torch.equal(found[:, p], expected)


@pytest.mark.parametrize("n, c, h, w, side", SHAPES)
def test_joined_puts_them_back_and_leaves_0_outside(n, c, h, w, side):
    x = observations((n, c, h, w), torch.float32) + 1
    whole = fold(unfold(x, side), c, h, w)
    expected = x.clone()
    expected[:, :, side * (h // side) :] = 0
    expected[:, :, :, side * (w // side) :] = 0
    assert torch.equal(whole, expected)
    assert whole.is_contiguous(memory_format=torch.channels_last)


def test_a_product_with_patches_is_the_convolution():
    x, kernel = observations((3, 4, 84, 84), torch.float64), observations((6, 4, 5, 5), torch.float64)
    product = unfold(x, 5) @ kernel.permute(0, 2, 3, 1).flatten(1).T
    assert torch.equal(product.transpose(1, 2), functional.conv2d(x, kernel, stride=5).flatten(2))


def test_what_is_cut_is_a_copy_also_of_a_view():
    x = observations((2, 4, 12, 20), torch.uint8)
    view = x[1:, :, 1:11, 5:15]
    found = unfold(view, 5)
    assert torch.equal(found, unfold(view.clone(), 5))
    before = found.clone()
    x += 1
    assert torch.equal(found, before)
