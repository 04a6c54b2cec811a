"""Patches cut by compiled loops against indexing pixel by pixel."""

import numpy as np
import pytest

from agent.fast.kernels import cut_patches_of, plain_cut_patches


def world(height, width, depth, reach, seed=0):
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (9, height, width), dtype=np.uint8)
    return frames, rng.integers(0, 9, (7, depth)), rng.integers(-reach, reach + 1, (7, 2))


@pytest.mark.parametrize(("height", "width", "stride"), [(84, 84, 5), (84, 84, 4), (21, 23, 3), (6, 6, 1), (10, 10, 5)])
@pytest.mark.parametrize("reach", [0, 4, 40])
def test_a_patch_is_its_pixels_by_row_frame_and_column(height, width, stride, reach):
    frames, stacks, offsets = world(height, width, 3, reach)
    rows, columns = height // stride, width // stride
    out = np.zeros((7, rows * columns, 3 * stride * stride), np.uint8)
    cut_patches_of(stride)(frames, stacks, offsets, out)
    twin = np.ones_like(out)
    plain_cut_patches(frames, stacks, offsets, stride, twin)
    assert np.array_equal(out, twin)
    rng = np.random.default_rng(1)
    for _ in range(50):  # and the twin, number by number
        n, row, column = rng.integers(7), rng.integers(rows), rng.integers(columns)
        dy, s, dx = rng.integers(stride), rng.integers(3), rng.integers(stride)
        y = np.clip(row * stride + dy + offsets[n, 0], 0, height - 1)
        x = np.clip(column * stride + dx + offsets[n, 1], 0, width - 1)
        value = twin[n, row * columns + column, (dy * 3 + s) * stride + dx]
        assert value == frames[stacks[n, s], y, x]
