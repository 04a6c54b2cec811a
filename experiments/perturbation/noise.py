"""Gaussian noise on weights, shaped by their Fisher information F, and what it does to a policy (PAPER, figure 3C).

    uniform          the same variance on every weight
    inverse_fisher   variance proportional to 1 / max(F, least)
    null_space       the same variance on every weight with F < least, none on the others

All kinds have a mean variance of scale^2 over all weights that the task uses: the expected squared norm of the noise on
n weights is n scale^2 whatever its shape, and of the uniform noise `scale` is the standard deviation, the axis of the
paper's figure. Weights between units that are closed to the task are in none of this: nothing is computed with them.

`least` is the smallest informative value: the smallest F above a given quantile of F over these weights, hence always
above zero. A weight below it got its F from next to no sample, or from none: 1 / F would be infinite there, or the
noise of the estimate. It counts as `least` in the inverse, and is in the null space. Where more weights than the
quantile have no F at all, `least` is next to nothing and the inverse's noise nearly all in the null space, as in the
paper's figure, whose two curves coincide; a larger quantile tells them apart. (The paper adds an unnamed lambda to F
instead.)

A play draws at every step; the deviations are computed once.

`fisher` and `used` are lists of tensors in the weights' shapes, F and whether the task uses the weight (bool).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

KINDS = ("uniform", "inverse_fisher", "null_space")


def least_informative(fisher: Sequence[Tensor], used: Sequence[Tensor], quantile: float) -> float:
    """The smallest F above the `quantile` (in [0, 1)) of F over the used weights; ValueError if there is none."""
    flat = torch.cat([f[here] for f, here in zip(fisher, used, strict=True)])
    rank = int(quantile * flat.numel())
    bound = max(float(flat.kthvalue(rank).values), 0.0) if rank else 0.0
    informative = flat[flat > bound]
    if not informative.numel():
        raise ValueError(f"no weight has a Fisher information above {bound:g}: nothing tells the weights apart")
    return float(informative.min())


def deviations(fisher: Sequence[Tensor], used: Sequence[Tensor], kind: str, least: float) -> list[Tensor]:
    """float32, like `fisher`: every weight's standard deviation at scale 1; 0 where it is not used, and of the others
    the mean square is 1.

    ValueError if the null space is empty.
    """
    if kind == "uniform":
        variances = [torch.ones_like(f, dtype=torch.float64) for f in fisher]
    elif kind == "inverse_fisher":
        variances = [1 / f.double().clamp_min(least) for f in fisher]
    elif kind == "null_space":
        variances = [(f < least).double() for f in fisher]
    else:
        raise ValueError(f"unknown kind of noise {kind!r}: choose one of {', '.join(KINDS)}")
    variances = [v * here for v, here in zip(variances, used, strict=True)]
    mean = sum(float(v.sum()) for v in variances) / sum(int(here.sum()) for here in used)
    if mean == 0:
        raise ValueError("every weight is informative: the null space is empty; --null_quantile widens it")
    return [(v / mean).sqrt().float() for v in variances]


def draw(deviations: Sequence[Tensor], scale: float, generator: torch.Generator) -> list[Tensor]:
    """One draw of noise, independent N(0, (scale d)^2); `generator` is the host's, whatever the device of d."""
    return [scale * d * torch.randn(d.shape, generator=generator).to(d.device) for d in deviations]


def expected_increase(fisher: Sequence[Tensor], deviations: Sequence[Tensor], scale: float) -> float:
    """What the Fisher information expects the noise to cost: scale^2/2 sum F d^2.

    Exact for the loss of a linear model with Gaussian noise of unit variance. If F is that of softmax(Q), it is the
    mean divergence between the policies before and after the noise, to second order: independent noise only meets F's
    diagonal, so what it comes to beyond this is of higher order, or an error of the estimate of F.
    """
    total = sum(float((f.double() * d.double().square()).sum()) for f, d in zip(fisher, deviations, strict=True))
    return scale**2 / 2 * total


@contextmanager
def perturbed(weights: Sequence[Tensor], noise: Sequence[Tensor]) -> Iterator[None]:
    """Add the noise to the weights in place; afterwards they are what they were, bit for bit, whatever happens."""
    kept = [w.detach().clone() for w in weights]
    try:
        with torch.no_grad():
            for weight, each in zip(weights, noise, strict=True):
                weight.add_(each)
        yield
    finally:
        with torch.no_grad():
            for weight, before in zip(weights, kept, strict=True):
                weight.copy_(before)


def divergence(before: Tensor, after: Tensor) -> float:
    """Mean over N of KL(softmax(before) || softmax(after)) [nats]; both float32 [N, A]."""
    old, new = before.double().log_softmax(1), after.double().log_softmax(1)
    return float((old.exp() * (old - new)).sum(1).mean())


def changed(before: Tensor, after: Tensor) -> float:
    """The share of the N rows whose largest entry has changed its place; both [N, A]."""
    return float((before.argmax(1) != after.argmax(1)).double().mean())
