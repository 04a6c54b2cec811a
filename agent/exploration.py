"""Epsilon-greedy exploration with a timer per task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(frozen=True, slots=True)
class LinearEpsilon:
    """Epsilon as a function of the frames played in one task.

    `start` until `hold_frames`, then linear to `end` over `decay_frames` (PAPER: 1 to 0.01 from 50,000 to
    1,050,000 agent steps, each task with a timer of its own).
    """

    start: float
    end: float
    hold_frames: int
    decay_frames: int

    def __call__(self, task_frames: int) -> float:
        """Epsilon after `task_frames` frames in the task."""
        if task_frames <= self.hold_frames:
            return self.start
        done = min(1.0, (task_frames - self.hold_frames) / max(1, self.decay_frames))
        return self.start + (self.end - self.start) * done


def epsilon_greedy(values: Tensor, epsilon: float, rng: np.random.Generator) -> np.ndarray:
    """float32 [B, A] values -> int64 [B] actions; each emulator flips a coin of its own.

    The same number of draws whatever epsilon is, so that a schedule never shifts the generator.
    """
    greedy = values.argmax(1).cpu().numpy()
    explore = rng.random(len(greedy)) < epsilon
    return np.where(explore, rng.integers(values.shape[1], size=len(greedy)), greedy)
