"""Epsilon-greedy exploration with a timer per task, and if wanted an epsilon per emulator.

Axis: B emulators.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


def ladder(end: float, spread: float, count: int) -> tuple[float, ...]:
    """end^(1 + spread i / (B - 1)) for the emulators i: some go on exploring while others act as the policy does
    (Horgan et al. 2018, Ape-X, with 0.4 and 7). `spread` 0: `end` for all; a single emulator has `end`."""
    return tuple(end ** (1 + spread * i / max(1, count - 1)) for i in range(count))


@dataclass(frozen=True, slots=True)
class LinearEpsilon:
    """Epsilon of every emulator as a function of the frames played in one task.

    `start` until `hold_frames`, then linear to the emulator's own of `ends` over `decay_frames` (PAPER: 1 to 0.01 from
    50,000 to 1,050,000 agent steps, each task with a timer of its own).
    """

    start: float
    ends: tuple[float, ...]
    hold_frames: int
    decay_frames: int

    def __call__(self, task_frames: int) -> NDArray[np.float64]:
        """float64 [B]: epsilon after `task_frames` frames in the task."""
        done = min(1.0, max(0, task_frames - self.hold_frames) / max(1, self.decay_frames))
        return self.start + (np.array(self.ends) - self.start) * done


def epsilon_greedy(values: Tensor, epsilon: float | NDArray[np.float64], rng: np.random.Generator) -> np.ndarray:
    """float32 [B, A] values, epsilon of all or [B] -> int64 [B] actions; each emulator flips a coin of its own.

    The same number of draws whatever epsilon is, so that a schedule never shifts the generator.
    """
    greedy = values.argmax(1).cpu().numpy()
    explore = rng.random(len(greedy)) < epsilon
    return np.where(explore, rng.integers(values.shape[1], size=len(greedy)), greedy)
