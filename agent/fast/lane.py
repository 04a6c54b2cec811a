"""A second thread, for calculations that let go of the interpreter while they compute."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")


class Lane:
    """Calculations that are handed over, one after the other: `beside` the caller's, or else at once. Each computes in
    one thread, so that the results are the same to the bit."""

    def __init__(self, beside: bool) -> None:
        self._pool = ThreadPoolExecutor(1, "lane", torch.set_num_threads, (1,)) if beside else None

    def submit(self, work: Callable[..., T], *arguments: object) -> Future[T]:
        """The result of `work(*arguments)`, sooner or later; what it raises is raised where the result is taken."""
        if self._pool is not None:
            return self._pool.submit(work, *arguments)
        done: Future[T] = Future()
        done.set_result(work(*arguments))
        return done
