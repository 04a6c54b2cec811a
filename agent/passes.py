"""The Q-network's forward and backward pass, written out: what acting and learning spend their time in.

`agent.networks.QNetwork.forward` and autograd compute the same, and the tests hold this against them. Written out,
parameters are converted once and used by every pass until they change, states and successors go through the online
network together, feature maps lie in the layout that convolutions like, and no graph is built. That layout is channels
last, but for the pixels and the first convolution, which are fastest as they are; only the backward pass of the first
convolution prefers channels last in float32 (measured in both number types, all networks).

Axes: N observations, S stacked frames, H x W pixels, A actions, U units (feature maps or neurons) of a layer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from agent.networks import PIXEL_MAX, QNetwork

_CONVOLUTION = ([0, 0], [1, 1], False, [0, 0], 1)  # no padding, no dilation, not transposed, one group


@dataclass(frozen=True)
class Activations:
    """What a backward pass needs: every layer's input, and the linear layers' products before the gain."""

    inputs: list[Tensor]
    products: list[Tensor]

    def first(self, count: int) -> Activations:
        """Those of the first `count` observations."""
        return Activations([x[:count] for x in self.inputs], [z[:count] for z in self.products])


@dataclass(frozen=True)
class Gradients:
    """In the parameters' shapes, layer by layer; weights of linear layers in the network's type, the rest float32."""

    weights: list[Tensor]
    biases: list[Tensor]
    gains: list[Tensor]


class Passes:
    """Forward and backward passes of one network, on converted copies of its parameters.

    A copy is made anew when a parameter was changed in place or another task is asked for, and always in the same
    memory. Convolutions have their gains and the scale of the pixels folded in: (W x + b) g = (g W) x + g b. Linear
    layers' weights are copied only into another type.

    In a network with gates only what joins the task's open units is copied and computed with.
    """

    def __init__(self, network: QNetwork) -> None:
        self.network = network
        self._gates = _Gates(network) if network.gated else None
        self._made: tuple[int | None, int] | None = None  # of which task, and of which versions of the parameters
        self._linear: list[int] = []  # of which versions the copies of the linear layers' weights are
        self._parameters: dict[int | None, list[Tensor]] = {}  # that the copies for a task are made from
        self._weights: list[Tensor] = []  # in the network's type, the last one float32; convolutions' times gain
        self._biases: list[Tensor] = []  # likewise
        self._gains: list[Tensor] = []

    @torch.no_grad()
    def forward(self, observation: Tensor, task: int | None) -> tuple[Tensor, Activations]:
        """Pixels [N, S, H, W] of 0 to 255 in any type, task (None: one never met) -> values float32 [N, A], and what
        `backward` needs."""
        self.convert(task)
        strides, last = self.network.strides, len(self._weights) - 1
        x = observation.to(self.network.compute_dtype)
        seen = Activations([], [])
        for layer, (weight, bias) in enumerate(zip(self._weights, self._biases, strict=True)):
            x = x.flatten(1) if layer >= len(strides) else x
            x = x.to(weight.dtype)
            seen.inputs.append(x)
            if layer < len(strides):
                x = functional.conv2d(x, weight, bias, stride=strides[layer])
            else:
                seen.products.append(functional.linear(x, weight, bias))
                x = seen.products[-1] * self._gains[layer]
            if layer < last:
                x = x.relu_()
            if layer == 0:
                x = x.contiguous(memory_format=torch.channels_last)
        return x, seen

    @torch.no_grad()
    def backward(self, seen: Activations, slope: Tensor, task: int) -> Gradients:
        """Gradients from those of the values, float32 [N, A]; `seen` is of this task and of these parameters."""
        self.convert(task)
        strides, own = self.network.strides, self.network.of_task(task)
        found = Gradients([], [], [])
        x = slope
        for layer in reversed(range(len(self._weights))):
            weight, before = self._weights[layer], seen.inputs[layer]
            if layer + 1 < len(self._weights):
                after = seen.inputs[layer + 1]
                x = torch.ops.aten.threshold_backward(x.to(after.dtype), after, 0)  # through the ReLU
            if layer >= len(strides):
                product = seen.products[layer - len(strides)]
                found.gains.append((x * product).sum(0, dtype=torch.float32))
                x = x.to(weight.dtype) * self._gains[layer]
                found.biases.append(x.sum(0, dtype=torch.float32))
                found.weights.append(x.T @ before)
                x = x @ weight
                continue
            side = (before.shape[-1] - weight.shape[-1]) // strides[layer] + 1
            x = x.reshape(len(x), len(weight), side, side)
            if layer > 0:
                x = x.contiguous(memory_format=torch.channels_last)
            elif before.dtype == torch.float32:
                before, weight = _channels_last(before), weight.contiguous(memory_format=torch.channels_last)
            else:
                x = x.contiguous()
            stride, wanted = [strides[layer]] * 2, [layer > 0, True, True]  # the pixels need no gradient
            x, kernels, offsets = torch.ops.aten.convolution_backward(
                x, before, weight, [len(weight)], stride, *_CONVOLUTION, wanted
            )
            kernels, offsets = kernels.float() / (1 if layer else PIXEL_MAX), offsets.float()
            bias, gain, shared = own.biases[layer], own.gains[layer], self.network.weights[layer]
            if self._gates:
                bias, gain, shared = self._gates.part(bias, gain, shared, layer)
            found.gains.append((kernels * shared).sum((1, 2, 3)) + bias * offsets)
            found.biases.append(gain * offsets)
            found.weights.append(kernels * gain[:, None, None, None])
        whole = Gradients(found.weights[::-1], found.biases[::-1], found.gains[::-1])
        return self._gates.spread(whole) if self._gates else whole

    @torch.no_grad()
    def convert(self, task: int | None, always: bool = False) -> None:
        """Make the copies anew, if the parameters are not those that they are of."""
        network = self.network
        if task not in self._parameters:
            tuned = [] if task is None else [*network.tasks[task].parameters()]
            self._parameters[task] = [*network.weights, *tuned]
        made = task, sum(p._version for p in self._parameters[task])  # versions only grow
        if made == self._made and not always:
            return
        own = network.of_task(task)
        strides = network.strides
        if self._gates and self._gates.open(task):
            self._weights = []
        if not self._weights:
            types = [network.compute_dtype] * (len(network.weights) - 1) + [torch.float32]
            layouts = [torch.contiguous_format] + [torch.channels_last] * (len(strides) - 1)
            layouts += [torch.contiguous_format] * (len(types) - len(layouts))  # fastest on the processors at hand
            self._weights = [
                w.detach()
                if layer >= len(strides) and w.dtype == dtype and not self._gates
                else torch.empty_like(w, dtype=dtype, memory_format=layout, requires_grad=False)
                for layer, (w, dtype, layout) in enumerate(zip(self._shapes(), types, layouts, strict=True))
            ]
            self._biases = [w.new_empty(len(w)) for w in self._weights]
            self._gains = [w.new_empty(len(w)) for w in self._weights]
            self._linear = [-1] * len(network.weights)
        for layer, weight in enumerate(network.weights):
            bias, gain = own.biases[layer], own.gains[layer]
            version = weight._version
            if self._gates:
                bias, gain, weight = self._gates.part(bias, gain, weight, layer)
            if layer < len(strides):
                scale = gain if layer else gain / PIXEL_MAX
                self._weights[layer].copy_(weight * scale[:, None, None, None])
                bias = bias * gain
            elif always or self._linear[layer] != version:
                if self._weights[layer].dtype != weight.dtype or self._gates:
                    self._weights[layer].copy_(weight)
                self._linear[layer] = version
            self._biases[layer].copy_(bias)
            self._gains[layer].copy_(gain)
        self._made = made

    def _shapes(self) -> list[Tensor]:
        """Weights in the shapes that are computed with."""
        weights = list(self.network.weights)
        return [self._gates.joined(w, layer) for layer, w in enumerate(weights)] if self._gates else weights

    def copies(self) -> dict[int, Tensor]:
        """The copies of linear layers' weights in another type, by layer. Who changes such a weight may write its
        copy as well, and then calls `renewed`. None where copies are of parts."""
        if self._gates:
            return {}
        weights = enumerate(zip(self._weights, self.network.weights, strict=True))
        return {i: copy for i, (copy, w) in weights if i >= len(self.network.strides) and copy.dtype != w.dtype}

    def renewed(self, layers: Iterable[int]) -> None:
        """The copies of these layers are those of the weights as they are now."""
        for layer in layers:
            self._linear[layer] = self.network.weights[layer]._version


class _Gates:
    """The open units of a task, and the parts of parameters that join them."""

    def __init__(self, network: QNetwork) -> None:
        self._network = network
        self._open: list[Tensor] = []  # int64, the open units of each layer

    def open(self, task: int | None) -> bool:
        """Look at the gates of this task; whether they are others than before."""
        found = [gain.detach().nonzero().squeeze(1) for gain in self._network.of_task(task).gains]
        found[-1] = torch.arange(len(self._network.weights[-1]), device=found[-1].device)  # values are never left out
        same = len(self._open) == len(found) and all(map(torch.equal, found, self._open))
        self._open = found
        return not same

    def joined(self, weight: Tensor, layer: int) -> Tensor:
        """The part of a layer's weights between open units."""
        rows = weight.index_select(0, self._open[layer])
        if layer == 0:
            return rows
        units, inputs = len(self._network.weights[layer - 1]), self._open[layer - 1]
        return rows.unflatten(1, (units, -1)).index_select(1, inputs).flatten(1, 2)

    def part(self, bias: Tensor, gain: Tensor, weight: Tensor, layer: int) -> tuple[Tensor, Tensor, Tensor]:
        """Those of a layer's open units."""
        units = self._open[layer]
        return bias.index_select(0, units), gain.index_select(0, units), self.joined(weight, layer)

    def spread(self, found: Gradients) -> Gradients:
        """Gradients of the parts as those of the whole: zero elsewhere."""
        whole = Gradients([], [], [])
        for layer, weight in enumerate(self._network.weights):
            rows, part = self._open[layer], found.weights[layer]
            gradient = part.new_zeros(weight.shape)
            if layer == 0:
                gradient[rows] = part
            else:
                units, inputs = len(self._network.weights[layer - 1]), self._open[layer - 1]
                grouped = gradient.unflatten(1, (units, -1))
                grouped[rows[:, None], inputs] = part.unflatten(1, (len(inputs), -1))
            whole.weights.append(gradient)
            for target, source in ((whole.biases, found.biases), (whole.gains, found.gains)):
                target.append(source[layer].new_zeros(len(weight)).index_copy(0, rows, source[layer]))
        return whole


def _channels_last(x: Tensor) -> Tensor:
    """The same in that layout; torch's own conversion of few channels takes twice the time."""
    n, channels, height, width = x.shape
    return x.reshape(n, channels, -1).transpose(1, 2).contiguous().view(n, height, width, channels).permute(0, 3, 1, 2)
