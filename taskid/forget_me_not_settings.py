"""The settings of task inference by forget-me-not (`taskid.forget_me_not`, which says what the two sets are for)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from variants.settings import number


@dataclass(frozen=True, slots=True)
class ForgetMeNotSettings:
    """Everything that the model leaves open.

    levels, concentration, base, max_effective_count   of the pixel models, see `taskid.pixels.PixelModels`
    episode_start_only           the task can change only where all emulators begin an episode at once
    period              vector steps between observations
    window              observations in a window, at least
    window_images     images in a window, at least: fewer emulators take longer windows
    switch_probability  alpha, that the task changes where it can change; 0: alpha = 1/t at observation t (PAPER)
    max_contexts        when so many have been met there is no hold-out any more: a new game is then given to
                        the context that explains it best, and nothing that was learned is thrown away
    defer_storage           what is seen in an undecided window waits for the decision; else it is the present task's
    """

    levels: int = number(16, 2, 256)
    concentration: float = number(0.1, 1e-9, 1e6)
    base: Literal["uniform", "pooled"] = "pooled"
    max_effective_count: float = number(32.0, 0.0, 1e9)
    episode_start_only: bool = True
    period: int = number(1, 1, 10_000)
    window: int = number(4, 1, 1000)
    window_images: int = number(12, 0, 10_000)
    switch_probability: float = number(0.1, 0.0, 0.999)
    max_contexts: int = number(100, 0, 1000)
    defer_storage: bool = True


DEFAULT = ForgetMeNotSettings()
PAPER = ForgetMeNotSettings(
    levels=256,
    concentration=1.0,
    base="uniform",
    max_effective_count=0.0,
    episode_start_only=False,
    period=4,
    window=4,
    window_images=0,
    switch_probability=0.0,
    max_contexts=100,
)
