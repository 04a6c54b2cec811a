"""Many runs in a few numbers, after Agarwal et al. 2021 (Deep reinforcement learning at the edge of the statistical
precipice): performance profiles and the probability of improvement. Interquartile mean and bootstrap are in
`evaluation.retention`.

Axes: S seeds, T tasks (a game, or a game within a set of games), K thresholds. Scores are float64 [S, T]; NaN is a run
that is missing and does not count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluation.retention import mean_over_seeds, percentile_interval, resampled


def performance_profile(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """[K]: the share of runs that score above each threshold, tau -> mean over tasks of mean over seeds of
    1[score > tau] (their equation 1); NaN if a task has no run."""
    above = (scores[:, :, None] > thresholds).astype(np.float64)
    above[np.isnan(scores)] = np.nan
    return mean_over_seeds(above).mean(0)


def probability_of_improvement(one: np.ndarray, other: np.ndarray) -> float:
    """How probable it is that `one` [S, T] scores higher than `other` [S', T] on a task drawn at random: the mean over
    tasks of the share of pairs of seeds in which it does, ties as half (Mann and Whitney's U; their section 4.3)."""
    x, y = one[:, None], other[None]
    wins = (x > y) + 0.5 * (x == y)
    wins[np.isnan(x - y)] = np.nan
    pairs = wins.reshape(-1, wins.shape[-1])
    return float(mean_over_seeds(pairs).mean())


def profile_interval(
    scores: np.ndarray,
    thresholds: np.ndarray,
    rng: np.random.Generator,
    count: int = 2000,
    level: float = 0.95,
    strata: Sequence[int] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """(low, high), each [K], at every threshold by itself; runs resampled as in `evaluation.retention.resampled`."""
    return percentile_interval(
        resampled(scores, lambda sample: performance_profile(sample, thresholds), rng, count, strata), level
    )


def improvement_interval(
    one: np.ndarray,
    other: np.ndarray,
    rng: np.random.Generator,
    count: int = 2000,
    level: float = 0.95,
    strata: Sequence[int] | None = None,
) -> tuple[float, float]:
    """(low, high) of the probability of improvement; runs of both resampled, independently of each other."""
    first, second = (resampled(each, lambda sample: sample.copy(), rng, count, strata) for each in (one, other))
    low, high = percentile_interval(
        np.array([probability_of_improvement(a, b) for a, b in zip(first, second, strict=True)]), level
    )
    return float(low), float(high)
