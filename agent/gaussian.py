"""What a task leaves behind: a Gaussian over the weights that can be multiplied with those of other tasks.

Weights come as a sequence of tensors, one per layer. A task's anchor is N(theta_c, F_c^-1), a mean and a diagonal
precision for every weight. Remembering several tasks is the product of their densities,

    P = sum_c F_c,    mu = sum_c F_c theta_c / P    (theta_c of no opinion, F_c = 0, do not matter; 0/0 = 0),

and the sum of their quadratic penalties is one quadratic (PAPER, section on consolidation):

    sum_c F_c (theta - theta_c)^2 = P (theta - mu)^2 + rest,
    rest = sum of P_1 P_2 / (P_1 + P_2) (mu_1 - mu_2)^2 over the successive products.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class DiagonalGaussian:
    """Mean and precision of every weight, float32, layer by layer."""

    mean: tuple[Tensor, ...]
    precision: tuple[Tensor, ...]

    @classmethod
    def flat(cls, weights: Iterable[Tensor]) -> DiagonalGaussian:
        """No opinion about weights of these shapes: the identity of the product."""
        shapes = tuple(weights)
        return cls(tuple(torch.zeros_like(w) for w in shapes), tuple(torch.zeros_like(w) for w in shapes))

    @classmethod
    def of(cls, mean: Iterable[Tensor], precision: Iterable[Tensor]) -> DiagonalGaussian:
        """Copies of mean and precision in main memory."""
        return cls(
            tuple(m.detach().clone().cpu() for m in mean),
            tuple(p.detach().clone().cpu() for p in precision),
        )

    def quadratic(self, weights: Sequence[Tensor]) -> Tensor:
        """sum P (theta - mu)^2, a 0-d tensor: the squared distance from the mean in the Gaussian's own metric."""
        return torch.stack(
            [(p * (w - m).square()).sum() for w, m, p in zip(weights, self.mean, self.precision, strict=True)]
        ).sum()

    def state_dict(self) -> dict[str, Any]:
        """Mean and precision, shared."""
        return {"mean": list(self.mean), "precision": list(self.precision)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> DiagonalGaussian:
        """What `state_dict` returned; the tensors are shared, not copied."""
        return cls(tuple(state["mean"]), tuple(state["precision"]))


@torch.no_grad()
def multiply_into(product: DiagonalGaussian, factors: Iterable[DiagonalGaussian]) -> float:
    """Overwrite `product` in place with the product of `factors` (flat, if there are none); returns the rest.

    Sums are made in float64 and rounded once at the end, so that the result depends on the factors only, not on
    how often they were merged before. One factor is asked for at a time: what makes them need not hold them all.
    """
    totals = [torch.zeros(mean.shape, dtype=torch.float64) for mean in product.mean]
    centres = [torch.zeros_like(total) for total in totals]
    rests: list[list[float]] = [[] for _ in totals]
    for factor in factors:
        for layer, (mean, precision) in enumerate(zip(factor.mean, factor.precision, strict=True)):
            before, added = totals[layer], precision.double()
            totals[layer] = before + added
            share = torch.where(totals[layer] > 0, added / totals[layer], 0.0)
            apart = mean.double() - centres[layer]
            rests[layer].append(float((before * share * apart.square()).sum()))
            centres[layer] = centres[layer] + share * apart
    for layer, (mean, precision) in enumerate(zip(product.mean, product.precision, strict=True)):
        mean.copy_(centres[layer])
        precision.copy_(totals[layer])
    return sum(itertools.chain(*rests), 0.0)
