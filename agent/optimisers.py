"""Optimisers: the original DQN's centred RMSProp, and Adam.

Both are quoted at one loss scale, the sum over the minibatch, as the paper's constants are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

_CACHED = 1 << 18  # floats; a handful of such arrays fit in a processor's cache


class Anchor(Protocol):
    """Mean and precision of the first group's weights (see `agent.gaussian.DiagonalGaussian`)."""

    @property
    def mean(self) -> Sequence[Tensor]: ...

    @property
    def precision(self) -> Sequence[Tensor]: ...


class CentredRMSProp(torch.optim.Optimizer):
    """w <- w - lr g / sqrt(E[g^2] - E[g]^2 + epsilon), the averages decayed by `decay`.

    The root holds epsilon, unlike torch's own RMSprop (Graves 2013; Mnih et al. 2015's Torch code, with
    epsilon 0.01 and gradients summed over the minibatch). Parameters without a gradient are left alone.

    Works through memory in chunks that stay in the processor's cache: a large layer is read and written once a step
    instead of once for every operation.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, decay: float, epsilon: float) -> None:
        # torch adds "differentiable" to the defaults on loading: without it, groups added later would differ.
        defaults = {"lr": lr, "decay": decay, "epsilon": epsilon, "differentiable": False}
        super().__init__(params, defaults)

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Apply one update from the parameters' `.grad`."""
        self._step(None, 0.0)

    def step_towards(self, anchor: Anchor, strength: float) -> None:
        """`step`, and an implicit step on (strength / 2) sum P (w - mu)^2 for the first group's weights: see
        `agent.consolidation.ImplicitPull`, with eta = lr / root."""
        self._step(anchor, strength)

    @torch.no_grad()
    def _step(self, anchor: Anchor | None, strength: float) -> None:
        for number, group in enumerate(self.param_groups):
            for i, p in enumerate(group["params"]):
                if p.grad is None:
                    continue
                if p not in self.state:
                    self.state[p] = {"mean": torch.zeros_like(p), "square": torch.zeros_like(p)}
                state = self.state[p]
                whole = [p.data, p.grad, state["mean"], state["square"]]
                if number == 0 and anchor is not None:
                    whole += [anchor.mean[i], anchor.precision[i]]
                for parts in _cut(whole):
                    _rmsprop(parts, group, strength)


def _rmsprop(parts: list[Tensor], group: dict[str, Any], strength: float) -> None:
    """One update of a flat part: w, g, E[g], E[g^2] and perhaps mu, P."""
    weight, gradient, mean, square = parts[:4]
    mean.lerp_(gradient, 1.0 - group["decay"])
    square.mul_(group["decay"]).addcmul_(gradient, gradient, value=1.0 - group["decay"])
    root = torch.addcmul(square, mean, mean, value=-1.0).add_(group["epsilon"]).sqrt_()
    weight.addcdiv_(gradient, root, value=-group["lr"])
    if len(parts) > 4:
        _pull(weight, root, parts[4], parts[5], strength * group["lr"])


def _pull(weight: Tensor, root: Tensor, mean: Tensor, precision: Tensor, strength: float) -> None:
    """weight towards mean by strength P / (root + strength P), however little that is; overwrites root."""
    stiffness = precision * strength
    weight.lerp_(mean, stiffness.div_(root.add_(stiffness)))


def _cut(whole: list[Tensor]) -> Iterator[list[Tensor]]:
    """The same flat parts of all tensors, small enough for a processor's cache; on an accelerator, and where the
    first one does not lie in memory in order, everything at once."""
    first = whole[0]
    if first.device.type != "cpu" or not first.is_contiguous():
        yield whole
        return
    flat = [each.reshape(-1) for each in whole]
    for start in range(0, first.numel(), _CACHED):
        yield [each[start : start + _CACHED] for each in flat]


class Adam(torch.optim.Adam):
    """torch's fused Adam, with the same implicit step; its rate is lr / (sqrt(v) + epsilon), v bias-corrected."""

    @torch.no_grad()
    def step_towards(self, anchor: Anchor, strength: float) -> None:
        """`step`, then towards `anchor` for the first group's weights."""
        self.step()
        group = self.param_groups[0]
        for p, mean, precision in zip(group["params"], anchor.mean, anchor.precision, strict=True):
            if p.grad is None:
                continue
            state = self.state[p]
            correction = 1 - group["betas"][1] ** float(state["step"])
            for weight, square, centre, stiffness in _cut([p.data, state["exp_avg_sq"], mean, precision]):
                root = (square / correction).sqrt_().add_(group["eps"])
                _pull(weight, root, centre, stiffness, strength * group["lr"])


def make_optimiser(
    name: str, params: Iterable[Tensor], *, learning_rate: float, epsilon: float, decay: float
) -> CentredRMSProp | Adam:
    """`rmsprop` (decay used) or `adam` (fused; decay unused), over `params`."""
    if name == "rmsprop":
        return CentredRMSProp(params, lr=learning_rate, decay=decay, epsilon=epsilon)
    if name == "adam":
        return Adam(params, lr=learning_rate, eps=epsilon, fused=True)
    raise ValueError(f"unknown optimiser {name!r}: choose rmsprop or adam")
