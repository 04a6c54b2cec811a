"""Arrays as a state holds them: tensors, so that a checkpoint is read without executing anything.

torch is imported when the first state is taken, so that playing needs none: of the stream for other people's agents
(`envs.gymnasium`) nothing imports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch


def tensor(array: NDArray[Any]) -> torch.Tensor:
    """A tensor with a copy of `array`."""
    import torch

    return torch.from_numpy(array.copy())
