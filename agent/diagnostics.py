"""What consolidation does to learning, in numbers: measured on one minibatch, changing nothing.

Weights, gradients and Gaussians come layer by layer. The scale is that of a loss summed over the minibatch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from agent.dqn import bootstrapped
from agent.gaussian import DiagonalGaussian
from agent.networks import QNetwork, hidden_activations
from agent.objective import DOUBLE_Q, Objective
from agent.roles import Optimizer
from replay.transition import Transition

DORMANT = 0.025  # of the layer's mean activity (Sokar et al. 2023)
_QUANTILES = (0.1, 0.5, 0.9, 0.99)


def loss_gradients(
    network: QNetwork, target: QNetwork, batch: Transition, task: int, objective: Objective = DOUBLE_Q
) -> tuple[list[Tensor], list[Tensor]]:
    """The summed loss's gradients of the shared weights, and the activations [N, U, L] at L positions of the hidden
    layers' units that the task uses; in float32 on the minibatch as it is."""
    values, taps = network.with_taps(batch.observation, task)
    chosen = values.gather(1, batch.action[:, None]).squeeze(1)
    loss = objective.loss(chosen - bootstrapped(network, target, batch, task, objective.td_target), values)
    gradients = torch.autograd.grad(loss, list(network.weights))
    used = network.active_units(task)
    activations = hidden_activations(network, taps)
    return list(gradients), [a[:, units] for a, units in zip(activations, used, strict=False)]


def curvature(optimizer: Optimizer, weights: Sequence[Tensor]) -> list[Tensor] | None:
    """The running mean of the squared gradients of `weights`; None before the first update."""
    names = ("square", "exp_avg_sq")  # as the optimizers call it
    states = [optimizer.state.get(w, {}) for w in weights]
    found = [state[name] for state in states for name in names if name in state]
    return found if len(found) == len(states) else None


@torch.no_grad()
def pull_against_loss(
    weights: Sequence[Tensor], gradients: Sequence[Tensor], merged: DiagonalGaussian, ewc_lambda: float
) -> dict[str, float]:
    """The penalty's gradient e = ewc_lambda P (theta - mu) beside the loss's gradient g:

    ratio       |e| / |g|, overall and per layer
    cancelled   -<g, e> / |g|^2: the share of the loss's gradient that the penalty takes away. Near 1 the weights
                stand where both balance, and the game on screen cannot be learned any further
    """
    pulls = [ewc_lambda * p * (w - m) for w, m, p in zip(weights, merged.mean, merged.precision, strict=True)]
    found = {}
    for layer, (e, g) in enumerate(zip(pulls, gradients, strict=True)):
        found[f"ratio_layer{layer}"] = _over(float(e.norm()), float(g.norm()))
    inner = sum(float((e.double() * g).sum()) for e, g in zip(pulls, gradients, strict=True))
    square = sum(float(g.double().square().sum()) for g in gradients)
    found["ratio"] = _over(sum(float(e.double().square().sum()) for e in pulls) ** 0.5, square**0.5)
    found["cancelled"] = _over(-inner, square)
    return found


@torch.no_grad()
def stiffness(merged: DiagonalGaussian, curvature: Sequence[Tensor] | None, ewc_lambda: float) -> dict[str, float]:
    """How stiff the weights are: quantiles of log10(ewc_lambda P) over all weights that have a precision, the share
    that has one, and the share whose ewc_lambda P exceeds the loss's `curvature` (its squared gradients' running
    mean, layer by layer; None before the first update)."""
    precisions = [ewc_lambda * p for p in merged.precision]
    count = sum(p.numel() for p in precisions)
    held = torch.cat([p[p > 0].flatten() for p in precisions])
    found = {"held_share": held.numel() / count}
    if held.numel():
        ordered = held.log10().sort().values
        for q in _QUANTILES:
            place = min(ordered.numel() - 1, int(q * ordered.numel()))
            found[f"log10_stiffness_q{round(100 * q)}"] = float(ordered[place])
    if curvature is not None:
        stiff = sum(int((p > c).sum()) for p, c in zip(precisions, curvature, strict=True))
        found["stiff_share"] = stiff / count
    return found


@torch.no_grad()
def dormant_shares(activations: Sequence[Tensor]) -> dict[str, float]:
    """Per hidden layer, the share of units whose mean activity is at most `DORMANT` of the layer's mean.

    activations: float [N, U, ...] after the ReLU.
    """
    found = {}
    for layer, activation in enumerate(activations):
        activity = activation.abs().mean(dim=[d for d in range(activation.dim()) if d != 1])
        found[f"dormant_layer{layer}"] = float((activity <= DORMANT * activity.mean()).float().mean())
    return found


class PlasticityMonitor:
    """Tells when the agent can no longer learn the game on screen: when, for `patience` examinations in a row, the
    penalty has cancelled more than `limit` of the loss's gradient."""

    def __init__(self, limit: float = 0.8, patience: int = 10) -> None:
        self.limit = limit
        self.patience = patience
        self.task = -1
        self.count = 0

    def __call__(self, task: int, found: Mapping[str, float]) -> str | None:
        """A warning, once per stretch, from what `diagnostics` found in `task`."""
        held = found.get("cancelled", 0.0) > self.limit
        self.count = self.count + 1 if held and task == self.task else int(held)
        self.task = task
        if self.count != self.patience:
            return None
        return (
            f"task {task} can hardly be learned any more: consolidation cancels {found['cancelled']:.0%} of the "
            f"loss's gradient (|penalty's| / |loss's| = {found['ratio']:.2f}, "
            f"{found.get('stiff_share', 0.0):.0%} of the weights are stiffer than the loss is curved); "
            "a smaller consolidation.ewc_lambda would let go"
        )

    def state_dict(self) -> dict[str, int]:
        """The task that is played and how far its present stretch is."""
        return {"task": self.task, "count": self.count}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Restore what `state_dict` returned."""
        self.task, self.count = state["task"], state["count"]


def _over(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else 0.0
