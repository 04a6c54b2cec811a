"""Pixel models against counting in dictionaries, closed forms, and laws that hold whatever is seen."""

from __future__ import annotations

import copy
import itertools
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from taskid.pixels import PIXELS, PixelModels, Window, images
from tests.conformance.alike import assert_alike

BASES = ("uniform", "pooled")


def screens(seed: int, count: int) -> np.ndarray:
    """uint8 [B, 4, 84, 84]: coarse random images, so that emulators often agree about a pixel."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (21, 21)).repeat(4, 0).repeat(4, 1)
    noise = rng.integers(0, 256, (count, 4, 84, 84))
    return np.where(rng.random((count, 4, 84, 84)) < 0.3, noise, coarse).astype(np.uint8)


def random_images(rng: np.random.Generator, count: int, pixels: int, levels: int) -> np.ndarray:
    """intp [B, P], sorted along B as `images` returns them."""
    return np.sort(rng.integers(0, levels, (count, pixels)), axis=0)


def grown(
    pixels: int, levels: int, base: Any, max_effective_count: float = 0.0, concentration: float = 0.7
) -> PixelModels:
    """Three models that have seen 4, 6 and 3 images."""
    rng = np.random.default_rng(levels)
    models = PixelModels(levels, concentration, base, max_effective_count, pixels)
    for number, count in enumerate((4, 6, 3)):
        window = Window(levels, pixels)
        models.read(window, random_images(rng, count, pixels, levels))
        models.keep(number, window)
    return models


# -- images ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [2, 7, 16, 256])
def test_images_are_the_means_of_two_by_two_in_levels(levels: int) -> None:
    observation = screens(levels, 3)
    observation[0, -1, :4, :4] = 255  # the largest sum must fit
    slow = [
        sorted((int(each[-1, y : y + 2, x : x + 2].astype(int).sum()) // 4 * levels) // 256 for each in observation)
        for y in range(0, 84, 2)
        for x in range(0, 84, 2)
    ]
    found = images(observation, levels)
    assert found.shape == (3, PIXELS) and found.min() >= 0 and found.max() == levels - 1
    assert found.T.tolist() == slow


def test_only_the_newest_frame_is_looked_at() -> None:
    observation = screens(0, 2)
    before = images(observation, 16)
    observation[:, :3] = 77
    assert np.array_equal(images(observation, 16), before)


# -- reading, against a slow twin ----------------------------------------------------------------------------


@dataclass
class SlowModels:
    """Counts in dictionaries, one image after another; `pasts` are the models', without the hold-out."""

    levels: int
    concentration: float
    pooled: bool
    pixels: int
    pasts: list[list[list[int]]]  # [K][N][P]
    window: list[list[int]] = field(default_factory=list)  # [N][P]

    def base(self) -> list[float]:
        shares = [[1 / self.levels] * self.levels]
        if self.pooled:
            for past in self.pasts:
                seen = Counter(level for image in past for level in image)
                shares.append([seen[v] / seen.total() for v in range(self.levels)])
        return [sum(share[v] for share in shares) / len(shares) for v in range(self.levels)]

    def read(self, batch: list[list[int]]) -> list[float]:
        answers, base = [], self.base()
        for past in [*self.pasts, []]:
            seen = Counter((p, v) for image in [*past, *self.window] for p, v in enumerate(image))
            total, log = len(past) + len(self.window), 0.0
            for image in batch:
                for p, v in enumerate(image):
                    expected = seen[p, v] + self.concentration * base[v]
                    log += math.log(expected / (total + self.concentration))
                for p, v in enumerate(image):
                    seen[p, v] += 1
                total += 1
            answers.append(log)
        self.window += batch
        return answers


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(("levels", "concentration"), [(3, 0.1), (5, 1.0), (256, 1.0), (2, 30.0)])
def test_reading_counts_as_a_slow_twin_does(base: Any, levels: int, concentration: float) -> None:
    rng, pixels = np.random.default_rng(levels), 6
    models = PixelModels(levels, concentration, base, 0.0, pixels)
    slow = SlowModels(levels, concentration, base == "pooled", pixels, [])
    window = Window(levels, pixels)
    for winner in (0, 1, 0, 2, 1):  # the number of the models grows, and each keeps several windows
        for count in (1, 4, 2, 1):  # observations of one window, by so many emulators
            batch = random_images(rng, count, pixels, levels)
            assert models.read(window, batch) == pytest.approx(slow.read(batch.tolist()), rel=1e-12)
            assert models.base_measure == pytest.approx(slow.base(), rel=1e-12)
        models.keep(winner, window)
        window.clear()
        if winner == len(slow.pasts):
            slow.pasts.append([])
        slow.pasts[winner] += slow.window
        slow.window = []
    assert models.count == 3 and models.seen.tolist() == [16, 16, 8]


@pytest.mark.parametrize("base", BASES)
def test_several_pictures_have_the_closed_form(base: Any) -> None:
    """Per pixel: Gamma(a) / Gamma(a + n) times the product over levels of Gamma(a_v + n_v) / Gamma(a_v)."""
    pixels, levels = 6, 4
    models = grown(pixels, levels, base)
    batch = random_images(np.random.default_rng(1), 5, pixels, levels)
    prior = models.concentration * models.base_measure
    pasts = np.concatenate([models.counts, np.zeros((pixels * levels, 1))], axis=1).reshape(pixels, levels, 4)
    read = models.read(Window(levels, pixels), batch)
    for k in range(4):
        log = 0.0
        for p in range(pixels):
            alpha = prior + pasts[p, :, k]
            counts = np.bincount(batch[:, p], minlength=levels)
            log += math.lgamma(alpha.sum()) - math.lgamma(alpha.sum() + len(batch))
            log += sum(math.lgamma(a + n) - math.lgamma(a) for a, n in zip(alpha, counts, strict=True))
        assert read[k] == pytest.approx(log, rel=1e-10)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("count", [1, 2])
def test_probabilities_of_all_pictures_sum_to_one(base: Any, count: int) -> None:
    pixels, levels = 2, 3
    models, window = grown(pixels, levels, base), Window(levels, pixels)
    models.read(window, random_images(np.random.default_rng(2), 2, pixels, levels))
    total = np.zeros(4)
    for flat in itertools.product(range(levels), repeat=count * pixels):
        batch = np.sort(np.array(flat).reshape(count, pixels), axis=0)
        total += np.exp(models.read(copy.deepcopy(window), batch))
    assert total == pytest.approx(np.ones(4), rel=1e-12)


# -- order ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", BASES)
def test_the_order_of_the_emulators_changes_no_bit(base: Any) -> None:
    models = grown(PIXELS, 16, base)
    seen, shuffled, rng = Window(16), Window(16), np.random.default_rng(3)
    for seed in range(3):
        observation = screens(seed, 7)
        answer = models.read(seen, images(observation, 16))
        other = models.read(shuffled, images(observation[rng.permutation(7)], 16))
        assert_alike(answer, other)
    assert_alike(seen.state_dict(), shuffled.state_dict())


@pytest.mark.parametrize("base", BASES)
def test_the_order_over_time_changes_only_roundings(base: Any) -> None:
    models, rng = grown(6, 4, base), np.random.default_rng(4)
    batches = [random_images(rng, count, 6, 4) for count in (1, 3, 2)]
    totals = []
    for order in itertools.permutations(batches):
        window = Window(4, 6)
        totals.append(np.sum([models.read(window, batch) for batch in order], axis=0))
    assert np.ptp(totals, axis=0) == pytest.approx(np.zeros(4), abs=1e-12)
    at_once = models.read(Window(4, 6), np.sort(np.concatenate(batches), axis=0))
    assert at_once == pytest.approx(totals[0], rel=1e-12)


# -- keeping -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("winner", [0, 1, 2, 3])
def test_keeping_gives_the_windows_counts_to_one_model_alone(winner: int) -> None:
    models, window = grown(6, 4, "pooled"), Window(4, 6)
    batch = random_images(np.random.default_rng(5), 5, 6, 4)
    models.read(window, batch)
    for p in range(6):
        assert window.counts.reshape(6, 4)[p].tolist() == np.bincount(batch[:, p], minlength=4).tolist()
    counts, seen = models.counts.copy(), models.seen.copy()
    models.keep(winner, window)
    assert models.count == max(3, winner + 1)
    before = counts[:, winner] if winner < 3 else np.zeros(24)
    assert_alike(models.counts[:, winner].copy(), before + window.counts)
    assert models.seen[winner] == (seen[winner] if winner < 3 else 0) + 5
    others = [k for k in range(3) if k != winner]
    assert_alike(models.counts[:, others], counts[:, others])
    assert_alike(models.seen[others], seen[others])


def test_reading_changes_no_model() -> None:
    models = grown(6, 4, "pooled")
    before = models.state_dict()
    models.read(Window(4, 6), random_images(np.random.default_rng(6), 5, 6, 4))
    assert_alike(models.state_dict(), before)


def test_a_memory_bounds_what_was_seen_and_keeps_its_proportions() -> None:
    bounded, free = grown(6, 4, "pooled", max_effective_count=5.0), grown(6, 4, "pooled")
    assert bounded.seen.tolist() == [4, 5, 3]
    assert bounded.counts[:, 1] == pytest.approx(free.counts[:, 1] * 5 / 6, rel=1e-12)
    assert_alike(bounded.counts[:, [0, 2]], free.counts[:, [0, 2]])
    window = Window(4, 6)
    bounded.read(window, random_images(np.random.default_rng(7), 20, 6, 4))
    expected = (bounded.counts[:, 1] + window.counts) * 5 / 25
    bounded.keep(1, window)
    assert bounded.seen[1] == 5 and bounded.counts[:, 1] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("memory", [0.0, 4.0, 5.5])
def test_every_pixel_has_been_seen_as_often_as_the_model_has_seen_images(memory: float) -> None:
    models, rng = grown(6, 4, "pooled", memory), np.random.default_rng(8)
    for winner in (0, 3, 2, 3, 4, 1):
        window = Window(4, 6)
        for count in (3, 1):
            models.read(window, random_images(rng, count, 6, 4))
        models.keep(winner, window)
        assert models.counts.sum(0) == pytest.approx(6 * models.seen, rel=1e-12)
        per_pixel = models.counts.reshape(6, 4, -1).sum(1)
        assert per_pixel == pytest.approx(np.broadcast_to(models.seen, per_pixel.shape), rel=1e-12)


# -- the base measure ----------------------------------------------------------------------------------------


def test_the_pooled_base_is_the_mean_share_of_levels_and_one_uniform_share() -> None:
    models = PixelModels(4, 1.0, "pooled", 0.0, pixels=2)
    assert models.base_measure.tolist() == [0.25] * 4
    for number, batch in enumerate(([[0, 1], [0, 2]], [[3, 3]])):
        window = Window(4, 2)
        models.read(window, np.array(batch))
        models.keep(number, window)
    # Levels shown by the first model, whatever the pixel: 0 twice, 1 and 2 once; by the second: 3 twice.
    shares = [[1 / 4] * 4, [2 / 4, 1 / 4, 1 / 4, 0], [0, 0, 0, 1]]
    assert models.base_measure == pytest.approx(np.mean(shares, axis=0), rel=1e-15)


@pytest.mark.parametrize("memory", [0.0, 2.5])
def test_a_base_measure_sums_to_one(memory: float) -> None:
    assert grown(6, 4, "pooled", memory).base_measure.sum() == pytest.approx(1, rel=1e-14)
    assert grown(6, 4, "uniform", memory).base_measure.tolist() == [0.25] * 4


# -- what a black screen would do ----------------------------------------------------------------------------


def test_a_game_as_black_as_one_that_was_met_is_new_only_with_the_pooled_base() -> None:
    """Why the pooled base exists: two games, each with its own few pixels lit on the same black."""
    levels, pixels = 16, 400
    answers = {}
    for base in BASES:
        models, window = PixelModels(levels, 0.1, base, 0.0, pixels), Window(levels, pixels)
        lit = np.zeros((4, pixels), np.intp)
        lit[:, :20] = 9
        models.read(window, lit)
        models.keep(0, window)
        answers[base] = models.read(Window(levels, pixels), np.roll(lit, 200, axis=1))
    assert answers["uniform"][0] > answers["uniform"][1]  # taken for the one that was met
    assert answers["pooled"][0] < answers["pooled"][1]
