"""How a penalty on the weights is felt in an update: solved for, or added to the gradient."""

from __future__ import annotations

import torch

from agent.gaussian import DiagonalGaussian
from agent.roles import Optimizer, Rates, Weights


class PenaltyGradient:
    """The paper's way: lambda P (theta - mu) is added to the loss's gradient, and the optimizer does the rest.

    Diverges where the optimizer's rate times lambda P exceeds 2 (PAPER, stability); the bound on the gradient's
    norm hides that and scales the loss's gradient away.
    """

    adds_to_gradients = True

    @torch.no_grad()
    def before_step(self, weights: Weights, merged: DiagonalGaussian, ewc_lambda: float) -> None:
        """Add to every `.grad`."""
        for w, m, p in zip(weights, merged.mean, merged.precision, strict=True):
            gradient = (w - m).mul_(p)
            if w.grad is None:
                w.grad = gradient.mul_(ewc_lambda)
            else:
                w.grad.add_(gradient, alpha=ewc_lambda)

    def step(self, optimizer: Optimizer, merged: DiagonalGaussian, ewc_lambda: float) -> None:
        """With the gradient of both."""
        optimizer.step()

    def after_step(self, weights: Weights, merged: DiagonalGaussian, ewc_lambda: float, rates: Rates) -> None:
        """Nothing is left to do."""


class ProximalStep:
    """The penalty's share of a step, solved for instead of extrapolated.

    theta <- (theta' + eta lambda P mu) / (1 + eta lambda P), theta' the weights after the loss's own step with the
    rates eta. At the fixed point eta (g + lambda P (theta - mu)) = 0, as for the plain gradient; but the distance
    to the anchor shrinks by 1 / (1 + eta lambda P), so that no lambda and no P can overshoot.
    """

    adds_to_gradients = False

    def before_step(self, weights: Weights, merged: DiagonalGaussian, ewc_lambda: float) -> None:
        """The optimizer sees the loss alone."""

    def step(self, optimizer: Optimizer, merged: DiagonalGaussian, ewc_lambda: float) -> None:
        """Both at once, in one pass over memory."""
        optimizer.step_towards(merged, ewc_lambda)

    @torch.no_grad()
    def after_step(self, weights: Weights, merged: DiagonalGaussian, ewc_lambda: float, rates: Rates) -> None:
        """Move every weight towards its mean."""
        for w, m, p, eta in zip(weights, merged.mean, merged.precision, rates(), strict=True):
            stiffness = (eta * p).mul_(ewc_lambda).clamp_(max=1e30)  # infinity over infinity is no number
            w.lerp_(m, stiffness / (1 + stiffness))
