"""How many steps of reward a window takes: n, the same throughout or falling as a task's replay grows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Horizon:
    """n falls from `first` to `last`, by the same factor for every transition, until `transitions` of the task were
    stored (Schwarzer et al. 2023, "Bigger, Better, Faster": 10 to 3). A large n carries rewards far back at once; a
    small one is less bound to what an earlier policy did afterwards.

    ValueError if n would rise or be less than 1.
    """

    first: int
    last: int
    transitions: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.last <= self.first or self.transitions < 1:
            raise ValueError(f"A horizon falls from first to last, 1 or more, over 1 or more transitions, not {self}.")

    def __call__(self, stored: int) -> int:
        """n when so many transitions of the task were ever stored."""
        return round(self.first * (self.last / self.first) ** min(1.0, stored / self.transitions))
