"""What the memory reads of a time step; anything of this form will do.

Axes: B emulators in lockstep, S stacked frames (newest last), H × W pixels.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Step(Protocol):
    """One time step of B emulators: the outcome of the previous action and the state that it led to. An
    episode's end and the next one's first observation are one step."""

    @property
    def observation(self) -> np.ndarray:
        """uint8 [B, S, H, W]."""

    @property
    def reward(self) -> np.ndarray:
        """float32 [B], as it is to be learned: clipping is the caller's."""

    @property
    def discount(self) -> np.ndarray:
        """float32 [B]: 0 where an episode or a life just ended, else 1."""

    @property
    def interrupted(self) -> np.ndarray:
        """bool [B]: the previous observation was cut off (frame cap, game replaced), so that this step is not
        the outcome of its action."""
