"""Compiled loops against their plain twins, indexing pixel by pixel, and torch."""

import numpy as np
import pytest
import torch

from agent.fast.kernels import AdamStep, PixelPatches, adam, cut_patches_of, plain_adam, plain_cut_patches


def world(height, width, depth, reach, seed=0):
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (9, height, width), dtype=np.uint8)
    return frames, rng.integers(0, 9, (7, depth)), rng.integers(-reach, reach + 1, (7, 2))


@pytest.mark.parametrize(
    ("height", "width", "kernel", "stride", "pool"),
    [
        (84, 84, 5, 5, 1),
        (84, 84, 4, 4, 1),
        (21, 23, 3, 3, 1),
        (6, 6, 1, 1, 1),
        (10, 10, 5, 5, 1),
        (84, 84, 8, 4, 1),
        (84, 84, 4, 2, 2),
        (21, 23, 3, 2, 2),
        (22, 19, 2, 1, 3),
        (20, 20, 2, 3, 1),
    ],
)
@pytest.mark.parametrize("reach", [0, 4, 40])
def test_a_patch_is_its_pixels_by_row_frame_and_column(height, width, kernel, stride, pool, reach):
    frames, stacks, offsets = world(height, width, 3, reach)
    cut = PixelPatches(kernel, stride, pool)
    rows, columns = ((side // pool - kernel) // stride + 1 for side in (height, width))
    out = np.zeros((7, rows * columns, 3 * kernel * kernel), np.uint8)
    cut_patches_of(cut)(frames, stacks, offsets, out)
    twin = np.ones_like(out)
    plain_cut_patches(frames, stacks, offsets, cut, twin)
    assert np.array_equal(out, twin)
    rng = np.random.default_rng(1)
    for _ in range(50):  # and the twin, number by number
        n, row, column = rng.integers(7), rng.integers(rows), rng.integers(columns)
        dy, s, dx = rng.integers(kernel), rng.integers(3), rng.integers(kernel)
        y = np.clip((row * stride + dy) * pool + np.arange(pool) + offsets[n, 0], 0, height - 1)
        x = np.clip((column * stride + dx) * pool + np.arange(pool) + offsets[n, 1], 0, width - 1)
        value = twin[n, row * columns + column, (dy * 3 + s) * kernel + dx]
        assert value == np.floor(frames[stacks[n, s]][np.ix_(y, x)].mean() + 0.5)


@pytest.mark.parametrize("strength", [0.0, 0.3])
def test_adam_in_one_pass_is_its_plain_twin_to_the_bit_and_torchs_own_closely(strength):
    rng = np.random.default_rng(4)
    count = 1_001
    weight, gradient, centre = (rng.standard_normal(count).astype(np.float32) for _ in range(3))
    precision = np.exp(3 * rng.standard_normal(count)).astype(np.float32) * (rng.random(count) < 0.7)
    arrays = [weight, gradient, np.zeros(count, np.float32), np.zeros(count, np.float32), centre, precision]
    twins = [each.copy() for each in arrays]
    parameter = torch.nn.Parameter(torch.from_numpy(weight.copy()))
    reference = torch.optim.Adam([parameter], lr=0.01, eps=1e-3)
    for number in range(1, 6):
        arrays[1][:] = twins[1][:] = rng.standard_normal(count) * (rng.random(count) < 0.8)  # some gradients are 0
        step = AdamStep(0.01 / (1 - 0.9**number), (0.9, 0.999), 1 - 0.999**number, 1e-3, strength * 0.01)
        adam(*arrays, step)
        plain_adam(*twins, step)
        for found, expected in zip(arrays, twins, strict=True):
            assert np.array_equal(found, expected)
        parameter.grad = torch.from_numpy(arrays[1].copy())
        reference.step()
        root = (reference.state[parameter]["exp_avg_sq"] / (1 - 0.999**number)).sqrt() + 1e-3
        with torch.no_grad():
            share = strength * 0.01 * torch.from_numpy(precision) / root
            parameter.copy_((parameter + share * torch.from_numpy(centre)) / (1 + share))
        torch.testing.assert_close(torch.from_numpy(arrays[0]), parameter.detach(), rtol=1e-4, atol=1e-5)
