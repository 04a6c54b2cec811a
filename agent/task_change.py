"""Leaving a task for the next: what is measured of it can take minutes, and can be given up and done again.

Until it is done nothing has changed but that the weights have settled and inactive units are pruned, neither of which
is done twice, and its draws follow from one seed. So an agent that was asked to stop keeps the change in its state, and
after a resume measures again what it would have measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor

from replay.transition import Transition

Stopped = Callable[[], bool]


class Abandoned(Exception):
    """Leaving a task was given up, for `act` to be called again."""


def never() -> bool:
    """Nobody asks to stop."""
    return False


@dataclass
class TaskChange:
    """A change of task under way.

    task      the task that begins
    assigned  the tasks of the steps that were assigned with it (see `taskid.source.Inference`)
    seed      of what is drawn to measure the task that is left; None: it leaves nothing
    reports   of the updates before it
    pruned    whether the inactive units of the task that is left are gated off already
    """

    task: int
    assigned: tuple[int, ...]
    seed: int | None
    reports: list[dict[str, Tensor]]
    pruned: bool = False

    def batches(
        self, use: int, count: int, sample: Callable[[np.random.Generator], Transition], stopped: Stopped
    ) -> Iterator[Transition]:
        """`count` minibatches for one use; raises `Abandoned` when it is asked for one after `stopped()` is true."""
        assert self.seed is not None
        rng = np.random.default_rng([self.seed, use])
        for _ in range(count):
            if stopped():
                raise Abandoned
            yield sample(rng)

    def state_dict(self) -> dict[str, Any]:
        """Every field, in plain dictionaries."""
        return {**asdict(self), "reports": [dict(report) for report in self.reports]}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> TaskChange:
        """What `state_dict` was taken from."""
        return cls(**state)
