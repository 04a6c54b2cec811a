"""The n-step arithmetic on cases computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from replay.windows import n_step_windows

F, T = False, True


@pytest.mark.parametrize(
    ("discount", "cut", "followed", "newest", "expected"),
    [
        ([1, 1, 1], [F, F, F], [T, T, T], [F, F, F], (3, 1 + 2 * 0.5 + 4 * 0.25, 0.125)),  # n steps
        ([1, 0, 1], [F, F, F], [T, T, T], [F, F, F], (2, 1 + 2 * 0.5, 0.0)),  # a terminal
        ([0, 1, 1], [F, F, F], [F, F, F], [T, F, F], (1, 1.0, 0.0)),  # a terminal at the write head
        ([1, 1, 1], [F, F, T], [T, T, T], [F, F, F], (2, 1 + 2 * 0.5, 0.25)),  # an interruption
        ([1, 1, 1], [F, T, F], [T, F, F], [F, T, F], (1, 1.0, 0.5)),  # an interruption at the write head
        ([1, 1, 1], [T, F, F], [T, T, T], [F, F, F], None),  # nothing before the interruption
        ([1, 1, 1], [F, F, F], [T, F, F], [F, F, F], (1, 1.0, 0.5)),  # a seam after the second step
        ([1, 1, 1], [F, F, F], [F, F, F], [F, F, F], None),  # a seam after the first
        ([1, 1, 1], [F, F, F], [T, T, F], [F, F, T], None),  # still open
        ([0.5, 0.5, 1], [F, F, F], [T, T, T], [F, F, F], (3, 1 + 2 * 0.25 + 4 * 0.0625, 0.03125)),
    ],
)
def test_by_hand(discount: list, cut: list, followed: list, newest: list, expected: tuple | None) -> None:
    reward = np.array([[1, 2, 4]], np.float32)
    flags = (np.array([flag]) for flag in (cut, followed, newest))
    windows = n_step_windows(reward, np.array([discount], np.float32), *flags, gamma=0.5)
    assert windows.valid[0] == (expected is not None)
    if expected is not None:
        assert (windows.length[0], windows.reward[0], windows.discount[0]) == expected
