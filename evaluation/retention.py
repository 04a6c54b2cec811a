"""What a run has learned, what it has kept and what it can still learn: pure functions of a score matrix.

Axes: G games, E evaluations in order, S seeds, R resamples. Numbers are float64 unless said otherwise.

    scores   float [G, E]: mean score of every game at every evaluation, raw or normalised; NaN where an evaluation was
             not of this game, but of the one just left
    frames   int [E]: the moments of the evaluations, rising [environment frames]
    visits   (game, first frame, last frame) of every visit in order; `game` is a row of `scores`. The last frame is
             where the next visit begins, so an evaluation at that frame saw the whole visit and nothing after it

**Missing numbers are NaN, never an error.** A game's line is read without the evaluations that it had no part in. What
depends on any other NaN is NaN: a game that was never visited has learned nothing, a visit after which nobody looked
has no result, a share of nothing (single == random) is no share, a total with a missing game is no total. Two means
leave missing entries out and are NaN only if nothing is left: `mean_over_seeds` and `iqm` (over seeds and games).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

Visits = Sequence[tuple[int, int, int]]
Statistic = Callable[[np.ndarray], np.ndarray | float]
"""float [S, G, ...] -> a number or an array; it meets NaN where a seed is missing."""

FRACTIONS = (-1.0, 1.5)
"""The least and the most of what an agent for one game alone reaches that a run is credited with: so that one game with
a weak yardstick does not decide a mean over games. A choice."""

# -- scores -------------------------------------------------------------------------------------------------------


def human_normalised(scores: np.ndarray, random: np.ndarray, human: np.ndarray) -> np.ndarray:
    """(score - random) / (human - random), as [G, ...]: 0 is random play, 1 is human play. random, human: [G]."""
    scores = np.asarray(scores, np.float64)
    low, high = (np.asarray(each, np.float64).reshape(-1, *[1] * (scores.ndim - 1)) for each in (random, human))
    return _over(scores - low, high - low)


def total_clipped(normalised: np.ndarray) -> np.ndarray:
    """The paper's total: normalised scores [G, ...], clipped above at 1 and not below, summed over games."""
    return np.minimum(1.0, normalised).sum(0)


# -- learning and forgetting -----------------------------------------------------------------------------------------


def learned(scores: np.ndarray, frames: np.ndarray, visits: Visits) -> np.ndarray:
    """[G]: the score at the end of the game's own last visit: its first evaluation at or after that end."""
    found = np.full(len(scores), np.nan)
    for game, _, end in visits:  # later visits overwrite
        later = scores[game, np.asarray(frames) >= end]
        found[game] = _first(later[~np.isnan(later)])
    return found


def learned_first(scores: np.ndarray, frames: np.ndarray, visits: Visits) -> np.ndarray:
    """[G]: the same of its own first visit."""
    first = {game: (game, start, end) for game, start, end in reversed(visits)}
    return learned(scores, frames, list(first.values()))


def retained(scores: np.ndarray, frames: np.ndarray, visits: Visits, count: int = 3) -> np.ndarray:
    """[G]: the mean of the run's last `count` evaluations of every game, but of none from before the game's own last
    visit began: of a game that was played last, those within that visit. Without one, the game's last evaluation.

    Those of the game just left do not count beside others: they show what was learned before anything could be lost.
    """
    begun = np.zeros(len(scores), np.int64)
    for game, start, _ in visits:
        begun[game] = start
    whole = ~np.isnan(scores[~np.isnan(scores).all(1)]).any(0)
    found = latest(scores)
    for game, line in enumerate(scores):
        since = line[whole & (np.asarray(frames) > begun[game])][-count:]
        if since.size:
            found[game] = since.mean()
    return found


def latest(scores: np.ndarray) -> np.ndarray:
    """[G]: every game's last evaluation."""
    return np.array([_first(line[~np.isnan(line)][::-1]) for line in scores])


def forgetting(scores: np.ndarray, frames: np.ndarray, visits: Visits, count: int = 3) -> np.ndarray:
    """[G]: learned - retained; below 0 where other games have helped."""
    return learned(scores, frames, visits) - retained(scores, frames, visits, count)


def backward_transfer(normalised: np.ndarray, frames: np.ndarray, visits: Visits) -> np.ndarray:
    """[G]: R_T,i - R_i,i (Lopez-Paz and Ranzato 2017): what later visits have done to a game.

    R_T,i is the score at the game's last evaluation and R_i,i is `learned`. The game of the last visit has no number,
    since nothing came after it. With one visit per game the mean over games is the paper's number.
    """
    if not visits:
        return np.full(len(normalised), np.nan)
    change = latest(normalised) - learned(normalised, frames, visits)
    change[visits[-1][0]] = np.nan
    return change


def forward_transfer(normalised: np.ndarray, frames: np.ndarray, visits: Visits, baseline: np.ndarray) -> np.ndarray:
    """[G]: R_i-1,i - b_i (Lopez-Paz and Ranzato 2017): what a game gains before its first visit.

    R_i-1,i is the score at the game's last evaluation at or before the start of its first visit, but not at the run's
    start, before anything was learned; `baseline` [G] is the random agent's score in the same unit: zeros where scores
    are normalised. The game of the first visit has no number, since nothing came before it. With one visit per game the
    mean over games is the paper's number.
    """
    gain = np.full(len(normalised), np.nan)
    for game, start, _ in reversed(visits):  # earlier visits overwrite
        before = normalised[game, (np.asarray(frames) > visits[0][1]) & (np.asarray(frames) <= start)]
        gain[game] = _first(before[~np.isnan(before)][::-1]) - baseline[game]
    if visits:
        gain[visits[0][0]] = np.nan
    return gain


def fraction(scores: np.ndarray, random: np.ndarray, single_game: np.ndarray) -> np.ndarray:
    """(score - random) / (single_game - random), clipped to `FRACTIONS`: how much of what an agent for this game alone
    reaches was learned, or is there in the end."""
    return np.clip(_over(scores - random, single_game - random), *FRACTIONS)


# -- many seeds -----------------------------------------------------------------------------------------------------


def mean_over_seeds(scores: np.ndarray) -> np.ndarray:
    """[S, ...] -> [...]: the mean over the seeds that have a number."""
    return _mean(scores, axis=0)


def iqm(scores: np.ndarray) -> float:
    """Interquartile mean of all numbers in [S, G] together (Agarwal et al. 2021): the n // 4 smallest and as many of
    the largest are left out."""
    values = np.sort(scores[~np.isnan(scores)])
    cut = len(values) // 4
    return float(_mean(values[cut : len(values) - cut], axis=0))


def resampled(
    scores: np.ndarray,
    statistic: Statistic,
    rng: np.random.Generator,
    count: int = 2000,
    strata: Sequence[int] | None = None,
) -> np.ndarray:
    """`statistic` of `count` resamples of [S, G, ...], stacked as [R, ...].

    Stratified (Agarwal et al. 2021): within every stratum as many runs are drawn, with repeats, as it has. `strata`
    numbers the stratum of every game; the games of one stratum were played by the same runs, which are drawn whole,
    for what one run has in several games is not independent. None: all are of one stratum. A seed with a NaN in a
    game does not count there, and the rows it leaves empty are NaN in every resample. One seed says nothing about
    others: a game with fewer than two is NaN altogether.
    """
    scores = np.asarray(scores, np.float64)
    present = ~np.isnan(scores).any(axis=tuple(range(2, scores.ndim)))  # [S, G]
    counts = present.sum(0)
    order = np.argsort(~present, axis=0, kind="stable")  # the seeds that count first
    numbers = np.zeros(present.shape[1], np.int64) if strata is None else np.asarray(strata, np.int64)
    share = rng.random((count, len(scores), int(numbers.max(initial=0)) + 1))[:, :, numbers]
    drawn = (share * np.maximum(counts, 1)).astype(np.int64)
    absent = (np.arange(len(scores))[:, None] >= counts) | (counts < 2)
    games = np.arange(present.shape[1])
    found = []
    for places in drawn:
        sample = scores[order[places, games], games]
        sample[absent] = np.nan
        found.append(statistic(sample))
    return np.asarray(found, np.float64)


def percentile_interval(values: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """(low, high), each [...], that hold the middle `level` of [R, ...]; NaN where any value is."""
    edges = (0.5 - level / 2, 0.5 + level / 2)
    low, high = np.quantile(values, edges, axis=0)
    return low, high


def stratified_bootstrap(
    scores: np.ndarray,
    statistic: Statistic,
    rng: np.random.Generator,
    count: int = 2000,
    level: float = 0.95,
    strata: Sequence[int] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval (low, high) of a statistic of [S, G, ...], runs resampled within every stratum."""
    return percentile_interval(resampled(scores, statistic, rng, count, strata), level)


def whole_iqm(scores: np.ndarray) -> float:
    """`iqm`, but NaN if a game has no number: so that an interval is of the games that the estimate is of."""
    return float("nan") if np.isnan(scores).all(0).any() else iqm(scores)


def grand_mean(scores: np.ndarray) -> np.ndarray:
    """[S, G, ...] -> [...]: the mean over seeds within every game, then over games."""
    return _mean(mean_over_seeds(scores), axis=0, skip=False)


def difference_interval(
    one: np.ndarray,
    other: np.ndarray,
    rng: np.random.Generator,
    statistic: Statistic = grand_mean,
    count: int = 2000,
    level: float = 0.95,
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of statistic(one) - statistic(other), of means as a rule. one: [S, G, ...], other:
    [S', G, ...], resampled independently of each other."""
    first, second = (resampled(each, statistic, rng, count) for each in (one, other))
    return percentile_interval(first - second, level)


def ratio_interval(
    one: np.ndarray, other: np.ndarray, rng: np.random.Generator, count: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of mean(one) / mean(other), both resampled. one: [S], other: [S'], without NaN; of a single
    seed on either side there is none."""
    means = [resampled(each[:, None], mean_over_seeds, rng, count) for each in (one, other)]
    low, high = percentile_interval(_over(*means), level)
    return float(low[0]), float(high[0])


def welch_interval(one: np.ndarray, other: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Student's interval of mean(one) - mean(other), with Welch's degrees of freedom. one: [S], other: [S'], numbers of
    independent runs. NaN of a single seed. A bootstrap of three seeds is too narrow, which this one is not if the
    numbers are about normal."""
    if min(len(one), len(other)) < 2:
        return float("nan"), float("nan")
    centre = float(np.mean(one) - np.mean(other))
    variances = [float(np.var(each, ddof=1)) / len(each) for each in (one, other)]
    total = sum(variances)
    if total == 0:
        return centre, centre
    freedom = total**2 / sum(v**2 / (len(each) - 1) for v, each in zip(variances, (one, other), strict=True))
    reach = student_quantile(0.5 + level / 2, freedom) * math.sqrt(total)
    return centre - reach, centre + reach


def student_quantile(probability: float, freedom: float) -> float:
    """Where Student's distribution function with `freedom` > 0 degrees of freedom is `probability` in (1/2, 1).

    With t = sqrt(freedom) tan(a) its density becomes cos(a)^(freedom - 1) up to a factor; that is integrated.
    """
    angles = np.linspace(0.0, math.pi / 2, 200_001)[:-1]
    density = np.cos(angles) ** (freedom - 1)
    below = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)]) * (angles[1] - angles[0])
    half = math.sqrt(math.pi) / 2 * math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom + 1) / 2))
    return math.sqrt(freedom) * math.tan(float(np.interp((probability - 0.5) * 2 * half, below, angles)))


def _first(values: np.ndarray) -> float:
    """NaN if there is none."""
    return float(values[0]) if values.size else float("nan")


def _over(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """The quotient; NaN over 0."""
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, np.float64), np.asarray(denominator, np.float64))
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator != 0)


def _mean(values: np.ndarray, axis: int, skip: bool = True) -> np.ndarray:
    """The mean along `axis`, without NaN if `skip`; NaN where there is nothing, and no warning."""
    there = ~np.isnan(values) if skip else np.ones(values.shape, bool)
    return _over(np.where(there, values, 0.0).sum(axis), there.sum(axis))
