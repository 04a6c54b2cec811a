"""n-step windows: how far each transition reaches, and what it is worth.

A window starts at a stored step and takes m ≤ n of them. It ends with the step into a terminal, which it
includes; before a step without a usable outcome (an interruption, or the last row before a seam), whose
observation it may still bootstrap from; or after n steps. While the rows that decide this are still to come,
the window is not valid. (Sutton and Barto, 2nd ed., section 7.1; cut at truncations, not only at terminals.)

Axes: N windows, n steps.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Windows(NamedTuple):
    """valid bool [N]; length int64 [N] = m, 0 where not valid; reward, discount float32 [N]."""

    valid: np.ndarray
    length: np.ndarray
    reward: np.ndarray
    discount: np.ndarray


def n_step_windows(
    reward: np.ndarray,
    discount: np.ndarray,
    cut: np.ndarray,
    followed: np.ndarray,
    newest: np.ndarray,
    gamma: float,
) -> Windows:
    """The windows over steps k = 0 … n−1 after their starts.

    reward, discount: float32 [N, n]. cut bool [N, n]: the step has no usable outcome. followed bool [N, n]:
    the step's successor is stored. newest bool [N, n]: the step is the last one stored, so that its successor
    may still come. Steps after one that is not followed are never looked at and may hold anything.

    reward = Σ_{k<m} γᵏ (Π_{j<k} d_j) r_k and discount = γᵐ Π_{k<m} d_k, computed in float64.
    """
    count, n = reward.shape
    terminal = (discount == 0) & ~cut
    passable = followed & ~cut & ~terminal
    passed = np.logical_and.accumulate(passable, axis=1)  # the window goes on after step k
    length = passed.sum(axis=1)
    full = length == n
    stop = np.minimum(length, n - 1)  # the step that ended a window that is not full
    at_stop = (np.arange(count), stop)
    ends = terminal[at_stop] & ~full
    pending = newest[at_stop] & ~cut[at_stop] & ~full & ~ends
    length = length + ends
    valid = (length > 0) & ~pending
    length = np.where(valid, length, 0)

    inside = np.arange(n) < length[:, None]
    factors = np.where(inside, gamma * discount.astype(np.float64), 1.0)
    products = np.multiply.accumulate(factors, axis=1)  # γᵏ⁺¹ Π_{j≤k} d_j, constant after the window's end
    total = np.where(inside, reward, 0.0)
    total[:, 1:] *= products[:, :-1]
    return Windows(valid, length, total.sum(axis=1).astype(np.float32), products[:, -1].astype(np.float32))
