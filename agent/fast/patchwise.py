"""Forward and backward passes of a packed network as products with patches, always in the same memory.

What is new to a process is slow, so every intermediate result has a place of its own, kept for the next minibatch.

Axes: N observations, U units of a layer, K inputs of a unit, P positions of a map, A actions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from agent.fast.packed import Pack
from agent.fast.patches import Patches


class Layers:
    """The parameters within `flat` as the passes need them: convolutions have their gains and the scale of the pixels
    folded in, (W x + b) g = (g W) x + g b."""

    def __init__(self, pack: Pack, flat: Tensor, convolutions: int, pixel_max: float) -> None:
        self.pixel_max = pixel_max
        self.weights, self.biases, self.gains = pack.weights(flat), pack.biases(flat), pack.gains(flat)
        self.kernels = [torch.empty_like(w) for w in self.weights[:convolutions]]
        self.offsets = [torch.empty_like(b) for b in self.biases[:convolutions]]
        self.renew()

    @torch.no_grad()
    def renew(self) -> None:
        """To be called when the parameters have changed."""
        for layer, (kernel, offset) in enumerate(zip(self.kernels, self.offsets, strict=True)):
            gain = self.gains[layer]
            torch.mul(self.weights[layer], gain[:, None], out=kernel)
            torch.mul(self.biases[layer], gain, out=offset)
        self.kernels[0].div_(self.pixel_max)


class Passes:
    """The passes through some layers for up to `count` observations.

    sides, strides: of the maps that the convolutions make, and of their patches, for instance (20, 9) and (4, 2).
    """

    def __init__(self, layers: Layers, sides: Sequence[int], strides: Sequence[int], count: int) -> None:
        self.layers = layers
        self.weights, self.biases, self.gains = layers.weights, layers.biases, layers.gains
        self._kernels, self._offsets = layers.kernels, layers.offsets
        self.sides = list(sides)
        convolutions = len(strides)
        kernels = [math.isqrt(w.shape[1] // len(b)) for w, b in zip(self.weights[1:], self.weights, strict=False)]
        self._cuts = [Patches(*each) for each in zip(sides, sides[1:], kernels, strides[1:], strict=False)]
        self._patches = [
            torch.empty(count * sides[layer] ** 2, self.weights[layer].shape[1]) for layer in range(convolutions)
        ]
        self._maps = [torch.empty(count * sides[layer] ** 2, len(self.weights[layer])) for layer in range(convolutions)]
        self._products = [torch.empty(count, len(w)) for w in self.weights[convolutions:]]
        self._hidden = [torch.empty(count, len(w)) for w in self.weights[convolutions:]]
        self._joined = [
            torch.zeros(count, each.before, each.before, len(w))
            for each, w in zip(self._cuts, self.weights, strict=False)
        ]

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 or int8 [N * P, K] patches of pixels -> values float32 [N, A], a view that the next call overwrites."""
        n = len(pixels) // self.sides[0] ** 2
        patches, x = self._patches[0][: len(pixels)].copy_(pixels), self._maps[0]
        for layer, side in enumerate(self.sides):
            if layer:
                before = self.sides[layer - 1]
                patches = self._patches[layer][: n * side * side]
                self._cuts[layer - 1].cut(x.view(n, before, before, -1), patches)
            x = self._maps[layer][: n * side * side]
            torch.addmm(self._offsets[layer], patches, self._kernels[layer].T, out=x).relu_()
        x = x.view(n, -1)
        last = len(self._products) - 1
        for i, (product, hidden) in enumerate(zip(self._products, self._hidden, strict=True)):
            layer = len(self.sides) + i
            torch.addmm(self.biases[layer], x, self.weights[layer].T, out=product[:n])
            x = torch.mul(product[:n], self.gains[layer], out=hidden[:n])
            if i < last:
                x.relu_()
        return x

    @torch.no_grad()
    def backward(self, q_gradient: Tensor, gradient: Tensor, pack: Pack) -> None:
        """Gradients of all parameters into `gradient`, laid out as `pack.flat`, from those of the values, [N, A], of
        the last forward pass."""
        n, convolutions = len(q_gradient), len(self.sides)
        weights, biases, gains = pack.weights(gradient), pack.biases(gradient), pack.gains(gradient)
        x = q_gradient
        for i in reversed(range(len(self._products))):
            layer = convolutions + i
            if i < len(self._products) - 1:
                x = torch.ops.aten.threshold_backward(x, self._hidden[i][:n], 0)
            torch.sum(x * self._products[i][:n], 0, out=gains[layer])
            x = x * self.gains[layer]
            torch.sum(x, 0, out=biases[layer])
            before = self._hidden[i - 1][:n] if i else self._maps[-1][: n * self.sides[-1] ** 2].view(n, -1)
            torch.mm(x.T, before, out=weights[layer])
            x = x @ self.weights[layer]
        for layer in reversed(range(convolutions)):
            positions = n * self.sides[layer] ** 2
            activations = self._maps[layer][:positions]
            x = torch.ops.aten.threshold_backward(x.view(activations.shape), activations, 0)
            kernels = x.T @ self._patches[layer][:positions]
            if layer == 0:
                kernels.div_(self.layers.pixel_max)
            offsets = x.sum(0)
            gain, bias = self.gains[layer], self.biases[layer]
            torch.mul(kernels, gain[:, None], out=weights[layer])
            torch.mul(offsets, gain, out=biases[layer])
            torch.sum(kernels.mul_(self.weights[layer]), 1, out=gains[layer])
            gains[layer].addcmul_(bias, offsets)
            if layer:
                found = x @ self._kernels[layer]
                x = self._joined[layer - 1][:n]
                self._cuts[layer - 1].join(found, x)
