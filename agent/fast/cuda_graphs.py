"""Updates recorded as CUDA graphs: one launch instead of some hundred.

On a fast accelerator a small network's update costs more to launch, kernel by kernel, than to compute. A graph
replays the same kernels on the same memory: whatever it reads or writes must never move.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

_WARM_UP = 3  # calls before recording, in which libraries choose their kernels and optimizers make their state


class CudaGraphs:
    """Calls a function as it is at first and from a recording afterwards, one for every key.

    `function` takes tensors of the same shapes at every call and returns one tensor; all else that it touches must
    lie where it lay. `holding()` gives the tensors that it uses and that something else might free.
    """

    def __init__(self, function: Callable[..., Tensor], holding: Callable[[], Any]) -> None:
        self._function = function
        self._holding = holding
        self._calls: dict[Hashable, int] = {}
        self._recorded: dict[Hashable, tuple[torch.cuda.CUDAGraph, list[Tensor], Tensor, Any]] = {}

    def __call__(self, key: Hashable, inputs: Sequence[Tensor], *others: Any) -> Tensor:
        """`function(*inputs, *others)`; `others` are those of the first call with this key."""
        if key not in self._recorded:
            self._calls[key] = self._calls.get(key, 0) + 1
            if self._calls[key] <= _WARM_UP:
                return self._function(*inputs, *others)
            torch.cuda.synchronize()
            room = [each.clone() for each in inputs]
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                result = self._function(*room, *others)
            self._recorded[key] = graph, room, result, self._holding()
        graph, room, result, _ = self._recorded[key]
        for place, value in zip(room, inputs, strict=True):
            place.copy_(value, non_blocking=True)
        graph.replay()
        return result.clone()
