"""The Q-network's forward and backward pass, written out: what acting and learning spend their time in.

`agent.networks.QNetwork.forward` and autograd compute the same, and the tests hold this against them. Written out,
parameters are converted once and used by every pass until they change, states and successors go through the online
network together, feature maps lie in the layout that convolutions like, and no graph is built. That layout is channels
last, but for the pixels and the first convolution, which are fastest as they are; only the backward pass of the first
convolution prefers channels last in float32 (measured in both number types, all networks). In float32 on a CPU,
convolutions whose stride is their kernel's side are products with patches (see `agent.fast.unfold`).

Axes: N observations, S stacked frames, H x W pixels, A actions, U units (feature maps or neurons) of a layer,
P patches of a map with K values each.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from agent.fast.unfold import fold, unfold
from agent.networks import QNetwork

_AT_ONCE = 8  # observations whose patches are multiplied at a time: they and their products stay in the cache
_CONVOLUTION = ([0, 0], [1, 1], False, [0, 0], 1)  # no padding, no dilation, not transposed, one group


@dataclass(frozen=True)
class Activations:
    """What a backward pass needs: every layer's input, patches [N, P, K] where it computes with them, and the linear
    layers' products before the gain."""

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


class FastNetwork:
    """Forward and backward passes of one network, on converted copies of its parameters.

    A copy is made anew when a parameter was changed in place or another task is asked for, and always in the same
    memory. Convolutions have their gains and the scale of the pixels folded in: (W x + b) g = (g W) x + g b. Linear
    layers' weights are copied only into another type.

    In a network with gates only what joins the task's open units is copied and computed with.
    """

    def __init__(self, network: QNetwork) -> None:
        self.network = network
        self._gates = _Gates(network) if network.gated else None
        sides = [weight.shape[-1] for weight in network.weights]
        plain = network.compute_dtype == torch.float32 and network.weights[0].device.type == "cpu"
        self._patched = {layer for layer, s in enumerate(network.strides) if plain and sides[layer] == s}
        self._made: tuple[int | None, int] | None = None  # of which task, and of which versions of the parameters
        self._linear: list[int] = []  # of which versions the copies of the linear layers' weights are
        self._parameters: dict[int | None, list[Tensor]] = {}  # that the copies for a task are made from
        self._weights: list[Tensor] = []  # in the network's type, the last one float32; convolutions' times gain
        self._biases: list[Tensor] = []  # likewise
        self._gains: list[Tensor] = []

    @property
    def pixels(self) -> torch.dtype:
        """The type of `prepared` pixels that spares `forward` a conversion."""
        return self.network.pixel_dtype if 0 in self._patched else self.network.compute_dtype

    def prepared(self, observation: Tensor, task: int | None) -> Tensor:
        """Pixels [N, S, H, W] in the order in which the first layer takes them."""
        pixels = self.network.seen(observation, task)
        return unfold(pixels, self.network.strides[0]) if 0 in self._patched else pixels

    @torch.no_grad()
    def forward(self, observation: Tensor, task: int | None) -> tuple[Tensor, Activations]:
        """Pixels uint8 [N, S, H, W], those that the network has `seen` in any type, or `prepared` ones, and task (None:
        one never met) -> values float32 [N, A], and what `backward` needs."""
        self.convert(task)
        strides, last = self.network.strides, len(self._weights) - 1
        x = self.prepared(observation, task) if observation.dim() == 4 else observation
        activations = Activations([], [])
        for layer, (weight, bias) in enumerate(zip(self._weights, self._biases, strict=True)):
            if layer >= len(strides):
                x = x.flatten(1)
            elif layer in self._patched and layer > 0:
                x = unfold(x, strides[layer])
            x = x if layer in self._patched else x.to(weight.dtype)
            activations.inputs.append(x)
            if layer >= len(strides):
                activations.products.append(functional.linear(x, weight, bias))
                x = activations.products[-1] * self._gains[layer]
            elif layer in self._patched:
                side, product = math.isqrt(x.shape[1]), weight.new_empty(*x.shape[:2], len(weight))
                for part, result in zip(x.split(_AT_ONCE), product.split(_AT_ONCE), strict=True):
                    torch.addmm(bias, part.flatten(0, 1).to(weight.dtype), _rows(weight).T, out=result.flatten(0, 1))
                x = product.unflatten(1, (side, side)).permute(0, 3, 1, 2)
            else:
                x = functional.conv2d(x, weight, bias, stride=strides[layer])
            if layer < last:
                x = x.relu_()
            if layer == 0:
                x = x.contiguous(memory_format=torch.channels_last)
        return x, activations

    @torch.no_grad()
    def backward(self, activations: Activations, q_gradient: Tensor, task: int) -> Gradients:
        """Gradients from those of the values, float32 [N, A]; `activations` is of this task and of these parameters."""
        self.convert(task)
        strides, own = self.network.strides, self.network.of_task(task)
        found = Gradients([], [], [])
        x = q_gradient
        for layer in reversed(range(len(self._weights))):
            weight, before = self._weights[layer], activations.inputs[layer]
            if layer + 1 < len(self._weights):
                after = activations.inputs[layer + 1]
                x = torch.ops.aten.threshold_backward(x.to(after.dtype), after, 0)  # through the ReLU
            if layer >= len(strides):
                product = activations.products[layer - len(strides)]
                found.gains.append((x * product).sum(0, dtype=torch.float32))
                x = x.to(weight.dtype) * self._gains[layer]
                found.biases.append(x.sum(0, dtype=torch.float32))
                found.weights.append(x.T @ before)
                x = x @ weight
                continue
            x, kernels, offsets = self._convolution_backward(x, before, layer)
            kernels, offsets = kernels.float() / (1 if layer else self.network.pixel_max), offsets.float()
            bias, gain, shared = own.biases[layer], own.gains[layer], self.network.weights[layer]
            if self._gates:
                bias, gain, shared = self._gates.part(bias, gain, shared, layer)
            found.gains.append((kernels * shared).sum((1, 2, 3)) + bias * offsets)
            found.biases.append(gain * offsets)
            found.weights.append(kernels * gain[:, None, None, None])
        whole = Gradients(found.weights[::-1], found.biases[::-1], found.gains[::-1])
        return self._gates.spread(whole) if self._gates else whole

    def _convolution_backward(self, x: Tensor, before: Tensor, layer: int) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of the layer's input, kernels and offsets, from `x`, those of its product in any shape; the pixels
        need none."""
        weight, stride = self._weights[layer], self.network.strides[layer]
        units, patched = len(weight), layer in self._patched
        side = math.isqrt(before.shape[1]) if patched else (before.shape[-1] - weight.shape[-1]) // stride + 1
        if layer + 1 in self._patched:
            x = fold(x, units, side, side)
        x = x.reshape(len(x), units, side, side)
        if patched:
            slopes, rows = x.permute(0, 2, 3, 1).flatten(0, 2), _rows(weight)
            kernels = torch.zeros_like(rows)
            for part, slope in zip(before.split(_AT_ONCE), slopes.split(_AT_ONCE * before.shape[1]), strict=True):
                kernels.addmm_(slope.T, part.flatten(0, 1).to(rows.dtype))
            kernels = kernels.view_as(weight.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            return (slopes @ rows).view_as(before) if layer else x, kernels, slopes.sum(0)
        if layer > 0:
            x = x.contiguous(memory_format=torch.channels_last)
        elif before.dtype == torch.float32:
            before, weight = _channels_last(before), weight.contiguous(memory_format=torch.channels_last)
        else:
            x = x.contiguous()
        wanted = [layer > 0, True, True]
        return torch.ops.aten.convolution_backward(x, before, weight, [units], [stride] * 2, *_CONVOLUTION, wanted)

    @torch.no_grad()
    def convert(self, task: int | None, always: bool = False) -> None:
        """Make the copies anew, if the parameters are not those that they are of."""
        network = self.network
        if task not in self._parameters:
            tuned = [] if task is None else [*network.task_parameters[task].parameters()]
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
            first = torch.channels_last if 0 in self._patched else torch.contiguous_format
            layouts = [first] + [torch.channels_last] * (len(strides) - 1)
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
                scale = gain if layer else gain / network.pixel_max
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


def _rows(kernels: Tensor) -> Tensor:
    """[U, C, side, side] in the channels-last layout -> [U, K], in the order of patches; a view."""
    return kernels.permute(0, 2, 3, 1).flatten(1)


def _channels_last(x: Tensor) -> Tensor:
    """The same in that layout; torch's own conversion of few channels takes twice the time."""
    n, channels, height, width = x.shape
    return x.reshape(n, channels, -1).transpose(1, 2).contiguous().view(n, height, width, channels).permute(0, 3, 1, 2)
