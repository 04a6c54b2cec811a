"""Optimisers: the original DQN's centred RMSProp, and Adam.

Both are quoted at one loss scale, the sum over the minibatch, as the paper's constants are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


class CentredRMSProp(torch.optim.Optimizer):
    """w <- w - lr g / sqrt(E[g^2] - E[g]^2 + epsilon), the averages decayed by `decay`.

    The root holds epsilon, unlike torch's own RMSprop (Graves 2013; Mnih et al. 2015's Torch code, with
    epsilon 0.01 and gradients summed over the minibatch). Parameters without a gradient are left alone.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, decay: float, epsilon: float) -> None:
        # torch adds "differentiable" to the defaults on loading: without it, groups added later would differ.
        defaults = {"lr": lr, "decay": decay, "epsilon": epsilon, "differentiable": False}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Apply one update from the parameters' `.grad`."""
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            gradients = [p.grad for p in params]
            for p in params:
                if p not in self.state:
                    self.state[p] = {"mean": torch.zeros_like(p), "square": torch.zeros_like(p)}
            means = [self.state[p]["mean"] for p in params]
            squares = [self.state[p]["square"] for p in params]
            decay = group["decay"]
            torch._foreach_lerp_(means, gradients, 1.0 - decay)
            torch._foreach_mul_(squares, decay)
            torch._foreach_addcmul_(squares, gradients, gradients, 1.0 - decay)
            roots = torch._foreach_addcmul(squares, means, means, -1.0)
            torch._foreach_add_(roots, group["epsilon"])
            torch._foreach_sqrt_(roots)
            torch._foreach_addcdiv_(params, gradients, roots, -group["lr"])


@torch.no_grad()
def step_rates(optimiser: torch.optim.Optimizer, weights: Sequence[Tensor]) -> list[Tensor]:
    """The rate eta of every weight in the latest step: the step was -eta times the gradient (for Adam, times its
    averaged gradient). `weights` are the optimiser's first group and have been stepped."""
    group = optimiser.param_groups[0]
    rates = []
    for w in weights:
        state = optimiser.state[w]
        if isinstance(optimiser, CentredRMSProp):
            root = torch.addcmul(state["square"], state["mean"], state["mean"], value=-1.0).add_(group["epsilon"]).sqrt_()
        else:
            root = (state["exp_avg_sq"] / (1 - group["betas"][1] ** float(state["step"]))).sqrt_().add_(group["eps"])
        rates.append(root.reciprocal_().mul_(group["lr"]))
    return rates


def make_optimiser(
    name: str, params: Iterable[Tensor], *, learning_rate: float, epsilon: float, decay: float
) -> torch.optim.Optimizer:
    """`rmsprop` (decay used) or `adam` (fused; decay unused), over `params`."""
    if name == "rmsprop":
        return CentredRMSProp(params, lr=learning_rate, decay=decay, epsilon=epsilon)
    if name == "adam":
        return torch.optim.Adam(params, lr=learning_rate, eps=epsilon, fused=True)
    raise ValueError(f"unknown optimiser {name!r}: choose rmsprop or adam")
