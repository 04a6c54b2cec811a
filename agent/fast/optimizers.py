"""Optimizers: the original DQN's centred RMSProp, and Adam.

Both are quoted at one loss scale, the sum over the minibatch, as the paper's constants are.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

_CACHED = 1 << 18  # floats; a handful of such arrays fit in a processor's cache
_LARGE = 1 << 17  # floats; below, what costs time is the calls


class Anchor(Protocol):
    """Mean and precision of the first group's weights (see `agent.gaussian.DiagonalGaussian`)."""

    @property
    def mean(self) -> Sequence[Tensor]:
        """The weights that the penalty pulls towards, in their shapes."""

    @property
    def precision(self) -> Sequence[Tensor]:
        """How firmly each is pulled, in the same shapes."""


class CentredRMSProp(torch.optim.Optimizer):
    """w <- w - lr g / sqrt(E[g^2] - E[g]^2 + epsilon), the averages decayed by `decay`.

    The root holds epsilon, unlike torch's own RMSprop (Graves 2013; Mnih et al. 2015's Torch code, with
    epsilon 0.01 and gradients summed over the minibatch). Parameters without a gradient are left alone.

    Bound by memory, so a large layer is gone through once a step and not once for every operation: by one loop that
    torch compiles (`compiled`; needs a C++ compiler), or else in chunks that stay in the processor's cache. In the
    same way, `half[p] = gradient, copy` spares a parameter its `.grad`: the step takes that gradient, of any type,
    instead, and leaves the new weights in `copy`, of any type. It holds for one step.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float, decay: float, epsilon: float, compiled: bool = False
    ) -> None:
        # torch adds "differentiable" to the defaults on loading: without it, groups added later would differ.
        defaults = {"lr": lr, "decay": decay, "epsilon": epsilon, "compiled": compiled, "differentiable": False}
        super().__init__(params, defaults)
        self.half: dict[Tensor, tuple[Tensor, Tensor]] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.half = {}

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Apply one update from the parameters' `.grad`."""
        self._step(None, 0.0)

    def step_towards(self, anchor: Anchor, strength: float) -> None:
        """`step`, and an implicit step on (strength / 2) sum P (w - mu)^2 for the first group's weights: see
        `agent.anchors.steps.ProximalStep`, with eta = lr / root."""
        self._step(anchor, strength)

    @torch.no_grad()
    def _step(self, anchor: Anchor | None, strength: float) -> None:
        for number, group in enumerate(self.param_groups):
            constants = group["lr"], group["decay"], group["epsilon"], strength
            small: list[list[Tensor]] = []
            for i, p in enumerate(group["params"]):
                gradient, *copy = self.half.get(p, (p.grad,))
                if gradient is None:
                    continue
                if p not in self.state:
                    self.state[p] = {"mean": torch.zeros_like(p), "square": torch.zeros_like(p)}
                state = self.state[p]
                whole = [p.detach(), gradient, state["mean"], state["square"]]
                if number == 0 and anchor is not None:
                    whole += [anchor.mean[i], anchor.precision[i]]
                function = _rmsprop_and_copy if copy else _rmsprop
                whole = copy + whole
                if p.numel() < _LARGE and not copy:
                    small.append(whole)
                elif group["compiled"]:
                    in_one_loop(function)(*(each.view(-1) for each in whole), constants=constants)
                    torch.autograd.graph.increment_version(p)
                else:
                    for parts in _cut(whole):
                        function(*parts, constants=constants)
            if small:
                _rmsprop_of_all(*(list(each) for each in zip(*small, strict=True)), constants=constants)
        self.half = {}


def _rmsprop(
    weight: Tensor,
    gradient: Tensor,
    mean: Tensor,
    square: Tensor,
    *anchor: Tensor,
    constants: tuple[float, float, float, float],
) -> None:
    """One update of weights with the averages E[g] and E[g^2], and towards an anchor's mu with its P, if given;
    constants: learning rate, decay, epsilon, strength."""
    rate, decay, epsilon, strength = constants
    mean.lerp_(gradient, 1.0 - decay)
    square.mul_(decay).addcmul_(gradient, gradient, value=1.0 - decay)
    root = torch.addcmul(square, mean, mean, value=-1.0).add_(epsilon).sqrt_()
    weight.addcdiv_(gradient, root, value=-rate)
    if anchor:
        pull(weight, root, anchor[0], anchor[1], strength * rate)


def _rmsprop_and_copy(
    copy: Tensor, weight: Tensor, gradient: Tensor, *others: Tensor, constants: tuple[float, float, float, float]
) -> None:
    """`_rmsprop` with a gradient of any type; the new weights are copied."""
    _rmsprop(weight, gradient.float(), *others, constants=constants)
    copy.copy_(weight)


def _rmsprop_of_all(
    weights: list[Tensor],
    gradients: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
    *anchor: list[Tensor],
    constants: tuple[float, float, float, float],
) -> None:
    """`_rmsprop` of many small tensors, with fewer calls."""
    rate, decay, epsilon, strength = constants
    torch._foreach_lerp_(means, gradients, 1.0 - decay)
    torch._foreach_mul_(squares, decay)
    torch._foreach_addcmul_(squares, gradients, gradients, value=1.0 - decay)
    roots = torch._foreach_addcmul(squares, means, means, value=-1.0)
    torch._foreach_add_(roots, epsilon)
    torch._foreach_sqrt_(roots)
    torch._foreach_addcdiv_(weights, gradients, roots, value=-rate)
    for weight, root, mean, precision in zip(weights, roots, *anchor, strict=True) if anchor else ():
        pull(weight, root, mean, precision, strength * rate)


@functools.cache
def in_one_loop(function: Callable[..., None]) -> Callable[..., None]:
    """`function` of flat tensors, compiled into one pass over memory at its first call (seconds)."""
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # no pool of compiling processes that stays on
    return torch.compile(function, dynamic=True)


def pull(weight: Tensor, root: Tensor, mean: Tensor, precision: Tensor, strength: float) -> None:
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
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Apply one update from the parameters' `.grad`."""
        super().step()
        changed = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        torch.autograd.graph.increment_version(changed)  # which the fused step does not tell

    @torch.no_grad()
    def step_towards(self, anchor: Anchor, strength: float) -> None:
        """`step`, then towards `anchor` for the first group's weights."""
        self.step()
        group = self.param_groups[0]
        for p, mean, precision in zip(group["params"], anchor.mean, anchor.precision, strict=True):
            if p.grad is None:
                continue
            state = self.state[p]
            steps = state["step"] if p.device.type == "cuda" else float(state["step"])  # float64 where that is no wait
            correction = 1 - group["betas"][1] ** steps
            for weight, square, centre, stiffness in _cut([p.detach(), state["exp_avg_sq"], mean, precision]):
                # The root of 0 takes ten times as long on some processors; so little is lost when epsilon is added.
                root = (square / correction).clamp_(min=(2.0**-30 * group["eps"]) ** 2).sqrt_().add_(group["eps"])
                pull(weight, root, centre, stiffness, strength * group["lr"])


def make_optimizer(
    name: str, params: Iterable[Tensor], *, learning_rate: float, epsilon: float, decay: float, compiled: bool = False
) -> CentredRMSProp | Adam:
    """`rmsprop` (decay and compiled used) or `adam` (torch's fused; these unused), over `params`."""
    if name == "rmsprop":
        return CentredRMSProp(params, lr=learning_rate, decay=decay, epsilon=epsilon, compiled=compiled)
    if name == "adam":
        params = list(params)
        recordable = params[0].device.type == "cuda"
        return Adam(params, lr=learning_rate, eps=epsilon, fused=True, capturable=recordable)
    raise ValueError(f"unknown optimizer {name!r}: choose rmsprop or adam")
