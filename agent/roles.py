"""The roles in consolidation: who keeps what tasks leave, who makes it felt, and what an update sees of both.

Weights are the shared ones only, a sequence of tensors, layer by layer; a task's own biases and gains are never held.
The strength lambda is quoted at the scale of a loss that is summed over the minibatch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from agent.gaussian import DiagonalGaussian

Weights = Sequence[Tensor]
Measured = Callable[[], list[Tensor]]
"""Tensors that are worth computing only if somebody asks."""
Rates = Callable[[], Sequence[Tensor]]
"""An optimizer's rate eta for every weight."""


class Optimizer(Protocol):
    """A step of the weights, from their gradients alone or with an implicit step on a penalty as well."""

    @property
    def state(self) -> Any:
        """The running averages of every parameter, as torch keeps them."""

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""

    def add_param_group(self, group: dict[str, Any]) -> None:
        """More parameters to step, such as those of a new task."""

    def step(self) -> Any:
        """One step of all parameters that have a gradient."""

    def step_towards(self, anchor: DiagonalGaussian, ewc_lambda: float) -> None:
        """`step`, in which the penalty around `anchor` on the first group's weights is solved for."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Consolidator(Protocol):
    """What earlier tasks have to say about a step of the shared weights.

    It is told of tasks, not of frames: `enter` once before the first step, and then `leave`, where the visit was long
    enough to count, and `enter` at every change. Of every update it sees `before_step` and then `step` or `after_step`.
    """

    @property
    def adds_to_gradients(self) -> bool:
        """Whether `before_step` needs and changes every weight's `.grad`."""

    def enter(self, task: int) -> None:
        """`task` is played from now on."""

    def leave(
        self, task: int, weights: Weights, fisher: Measured, active_units: Measured | None = None
    ) -> dict[str, float]:
        """`task` is left at `weights`; returns what is worth logging. `fisher` measures its Fisher information, in the
        weights' shapes; after it `active_units` tells the units of every layer that the task uses, bool [U] (None:
        all)."""

    def before_step(self, weights: Weights) -> None:
        """Between the loss's backward pass and the optimizer's step."""

    def step(self, optimizer: Optimizer) -> None:
        """The optimizer's step, the penalty included."""

    def after_step(self, weights: Weights, rates: Rates) -> None:
        """Instead of `step`, after one that something else has made with these rates."""

    def diagnostics(self, weights: Weights, gradients: Weights, curvature: Weights | None) -> dict[str, float]:
        """What consolidation does to learning, from the loss's gradients and the running mean of their squares."""

    def state_dict(self) -> dict[str, Any]:
        """Everything; what never changes once written is under `segments`, whose names promise their content."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class AnchorStore(Protocol):
    """Keeps what tasks leave behind: one variant a file. Asked for `factors` whenever a task begins, not between."""

    def leave(self, task: int, weights: Weights, fisher: Weights, active_units: Weights | None) -> None:
        """`task` was left at `weights` with this Fisher information; copies are kept."""

    def factors(self, active: int) -> Iterable[DiagonalGaussian]:
        """The Gaussians whose product speaks for the others while task `active` is played."""

    @property
    def anchors(self) -> Mapping[int, DiagonalGaussian]:
        """By task, the centre and the stiffness that are kept for it, undamped; only tasks that have their own."""

    @property
    def fishers(self) -> Mapping[int, Weights]:
        """By task, what is kept of its Fisher information, up to a factor; only tasks that have their own."""

    def state_dict(self) -> dict[str, Any]:
        """Everything; what tasks left is under `segments`, a name standing for the same content for ever."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class PenaltyStep(Protocol):
    """Makes the penalty (ewc_lambda / 2) sum P (theta - mu)^2 felt in an update of the weights."""

    adds_to_gradients: bool
    """Whether `before_step` does."""

    def before_step(self, weights: Weights, merged: DiagonalGaussian, ewc_lambda: float) -> None:
        """Between the loss's backward pass and the optimizer's step."""

    def step(self, optimizer: Optimizer, merged: DiagonalGaussian, ewc_lambda: float) -> None:
        """The optimizer's step, with the penalty's share where the optimizer takes it."""

    def after_step(self, weights: Weights, merged: DiagonalGaussian, ewc_lambda: float, rates: Rates) -> None:
        """Instead of `step`, after one that something else has made; `rates()` are its rates."""
