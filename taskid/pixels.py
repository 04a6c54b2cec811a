"""Images as independent pixels: Dirichlet-multinomial models of grey levels (PAPER, section on inference).

Axes: B images (one per emulator), P = 42 x 42 pixels, L grey levels, K models.

A model has seen N images, n[p, v] of which showed level v at pixel p. With a base measure h over levels and
the total concentration A it expects the next image x with

    p(x | model) = prod over p of (n[p, x_p] + A h[x_p]) / (N + A),

the Dirichlet-multinomial's rule, which also gives the probability of several images: one after the other,
each counted before the next is read. The order does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

PIXELS = 42 * 42


def images(observation: NDArray[np.uint8], levels: int) -> NDArray[np.intp]:
    """uint8 [B, S, 84, 84] -> intp [B, P] in [0, levels): the newest frames at half size, as grey levels.

    A pixel is the mean of 2 x 2. Each pixel's levels are sorted along B, so that nothing that is computed from
    them depends on the order of the emulators, not even by a rounding.
    """
    newest = observation[:, -1].astype(np.uint16)
    halved = (newest[:, ::2, ::2] + newest[:, 1::2, ::2] + newest[:, ::2, 1::2] + newest[:, 1::2, 1::2]) // 4
    return np.sort((halved.astype(np.intp) * levels >> 8).reshape(len(observation), -1), axis=0)


class Window:
    """What has been read since a window began: the update that every model makes and all but one revert.

    Since all models count the same images, one table serves them all: keeping adds it to one model,
    reverting forgets it.
    """

    def __init__(self, levels: int, pixels: int = PIXELS) -> None:
        self.levels, self.pixels = levels, pixels
        self.counts = np.zeros(pixels * levels)  # row p * L + v, as in PixelModels.counts
        self.images = 0

    def clear(self) -> None:
        """Forget all pictures seen so far."""
        self.counts[:] = 0
        self.images = 0

    def add(self, rows: NDArray[np.intp]) -> None:
        """Count images given as row numbers intp [B, P]."""
        for each in rows:  # within one image no row comes twice
            self.counts[each] += 1
        self.images += len(rows)

    def state_dict(self) -> dict[str, Any]:
        """The counts, and of how many pictures they are."""
        return {"counts": torch.from_numpy(self.counts.copy()), "images": self.images}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.counts = state["counts"].numpy().copy()
        self.images = state["images"]


class PixelModels:
    """K models that grow in number, and one that has seen nothing yet: the hold-out.

    levels         L, grey levels told apart
    concentration  A, total over the levels; small: a model trusts what it has seen after a single image
    base           h. uniform: 1/L. pooled: the mean of the models' own shares of levels over all pixels, and of
                   the uniform one as if it were one more model: what screens look like in general
    max_effective_count  a model that has seen more images than this fades evenly to it, so that the distant past
                   and the sheer length of a visit weigh no more than this; 0: no bound
    """

    def __init__(
        self,
        levels: int,
        concentration: float,
        base: Literal["uniform", "pooled"],
        max_effective_count: float,
        pixels: int = PIXELS,
    ) -> None:
        self.levels = levels
        self.concentration = concentration
        self.base = base
        self.max_effective_count = max_effective_count
        self.pixels = pixels
        self.counts = np.zeros((pixels * levels, 0))  # [P * L, K]: n[p, v] of all models side by side
        self.seen = np.zeros(0)  # [K]: N
        self.base_measure = self._base_measure()  # h, float64 [L]

    @property
    def count(self) -> int:
        """K, without the hold-out."""
        return len(self.seen)

    @property
    def nbytes(self) -> int:
        """Bytes of all models."""
        return self.counts.nbytes + self.seen.nbytes

    def read(self, window: Window, levels: NDArray[np.intp]) -> NDArray[np.float64]:
        """Log-probabilities float64 [K + 1] of the images intp [B, P], each pixel sorted along B as `images`
        gives them, the hold-out's last; then `window` counts them.

        Each model expects them after its own past, what the window has seen, and those before them here.
        """
        rows = np.arange(self.pixels) * self.levels + levels
        repeats = np.zeros(rows.shape)  # images before this one, in this call, with the same level there
        for b in range(1, len(rows)):
            repeats[b] = np.where(rows[b] == rows[b - 1], repeats[b - 1] + 1, 0)
        known = window.counts[rows] + repeats + self.concentration * self.base_measure[levels]
        past = window.images + np.arange(len(rows)) + self.concentration
        seen = np.append(self.seen, 0.0)
        numerator = np.append(np.log(self.counts[rows.ravel()] + known.reshape(-1, 1)).sum(0), np.log(known).sum())
        window.add(rows)
        return np.asarray(numerator - self.pixels * np.log(past[:, None] + seen).sum(0))

    def keep(self, model: int, window: Window) -> None:
        """Model number `model` keeps what the window saw; the number K makes the hold-out a model of its own.

        The caller clears the window: every other model is then as it was before.
        """
        if model == self.count:
            self.counts = np.ascontiguousarray(np.pad(self.counts, ((0, 0), (0, 1))))
            self.seen = np.append(self.seen, 0.0)
        self.counts[:, model] += window.counts
        self.seen[model] += window.images
        if 0 < self.max_effective_count < self.seen[model]:
            self.counts[:, model] *= self.max_effective_count / self.seen[model]
            self.seen[model] = self.max_effective_count
        self.base_measure = self._base_measure()

    def state_dict(self) -> dict[str, Any]:
        """The counts of all models."""
        return {"counts": torch.from_numpy(self.counts.copy()), "seen": torch.from_numpy(self.seen.copy())}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.counts, self.seen = state["counts"].numpy().copy(), state["seen"].numpy().copy()
        self.base_measure = self._base_measure()

    def _base_measure(self) -> NDArray[np.float64]:
        uniform = np.full(self.levels, 1 / self.levels)
        if self.base == "uniform" or not self.count:
            return uniform
        shares = self.counts.reshape(self.pixels, self.levels, self.count).sum(0) / (self.pixels * self.seen)
        return np.asarray((uniform + shares.sum(1)) / (self.count + 1))
