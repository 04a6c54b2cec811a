"""Minibatches in the order in which they are learned from, drawn and prepared in a thread ahead of time.

What is drawn depends on the replay as it was when `begin` was called and on the generators, never on timing: with and
without the thread the same bits are learned.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from agent.learner import QLearner
from replay.roles import Replay

Plan = list[tuple[int, int]]
"""Tasks to learn, in order, and how many minibatches of each are drawn at once."""

_READY = 4  # prepared minibatches that wait at most
_LOOK_S = 0.05  # how often the thread looks whether it is still wanted


class Minibatches:
    """Between `begin` and `take` of a plan nothing may be added to the replay or drawn from the generators.

    batch_size  transitions of a minibatch
    rng         what they are drawn with
    ahead       use a thread; else everything is drawn in `take`
    """

    def __init__(
        self, replay: Replay, learner: QLearner, batch_size: int, rng: np.random.Generator, ahead: bool
    ) -> None:
        self.replay = replay
        self.learner = learner
        self.batch_size = batch_size
        self.rng = rng
        self._threads = ThreadPoolExecutor(1, "minibatches") if ahead else None
        self._plan: Plan | None = None  # that was begun and not taken yet
        self._ready: queue.Queue[Any] = queue.Queue()
        self._work: Future[None] | None = None
        self._before: tuple[Any, Any] = (None, None)
        self._wanted = False

    def begin(self, plan: Plan) -> None:
        """Have the minibatches of `plan` drawn from now on."""
        if self._threads is None or not plan:
            return
        self.discard()
        self._before = self.rng.bit_generator.state, self.learner.generator.get_state()
        self._plan, self._ready, self._wanted = plan, queue.Queue(_READY), True
        self._work = self._threads.submit(self._fill, plan)

    def take(self, plan: Plan) -> Iterator[tuple[int, Any]]:
        """(task, prepared minibatch) of the whole plan, which must be read to its end."""
        if self._plan != plan:
            self.discard()
            yield from self._drawn(plan)
            return
        while (found := self._ready.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found
        self._plan = None

    def discard(self) -> None:
        """Forget what was begun: the generators are as if it had not been."""
        if self._plan is None:
            return
        assert self._work is not None
        self._wanted = False
        self._work.result()
        self._plan = None
        self.rng.bit_generator.state = self._before[0]
        self.learner.generator.set_state(self._before[1])

    def _fill(self, plan: Plan) -> None:
        try:
            for found in self._drawn(plan):
                if not self._put(found):
                    return
            self._put(None)
        except BaseException as error:
            self._put(error)

    def _put(self, found: Any) -> bool:
        """Whether it is still wanted."""
        while self._wanted:
            try:
                self._ready.put(found, timeout=_LOOK_S)
                return True
            except queue.Full:
                continue
        return False

    def _drawn(self, plan: Plan) -> Iterator[tuple[int, Any]]:
        on_cpu = self.learner.device.type == "cpu"
        for task, count in plan:
            size = count * self.batch_size
            draw = self.replay.sample_frames if on_cpu else self.replay.sample
            for batch in draw(task, size, self.rng).split(self.batch_size):
                yield task, self.learner.prepare(batch)
