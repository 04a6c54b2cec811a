"""The Q-network: weights shared by all tasks, biases and gains of each task's own.

Axes: N observations, S stacked frames, H x W pixels, A actions, U units (feature maps or neurons) of a layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from agent.background import FOREGROUND_MAX, foreground
from agent.taps import ConvolutionTap, LinearTap, Tap

PIXEL_MAX = 255.0


@dataclass(frozen=True, slots=True)
class Architecture:
    """Convolutions as (feature maps, kernel side, stride), then one hidden layer of `hidden` units.

    pool: pictures are averaged over squares of so many pixels a side before the first layer sees them.
    share: of all hidden units, the part that a task is meant to use; its weights are at first as large as those of a
    network of its own, of so many units.
    """

    convolutions: tuple[tuple[int, int, int], ...]
    hidden: int
    share: float = 1.0
    pool: int = 1


class TaskParameters(nn.Module):
    """One task's bias b and gain g for every unit of every layer: biases start at 0, gains at 1, those of hidden layers
    at `initial_gain`.

    `gated`, `closed`: the share and the numbers of the units of each hidden layer whose gains start at 0. They stay
    there, since ReLU passes nothing back at 0. Where a layer's inputs are gated its gains start larger, by
    sqrt(share / (1 - gated)), which makes up for the inputs that are missing where weights do not (`Architecture`).

    `side`: of the task's `background`, uint8 [side, side], which is 0 until it is known; 0: it has none.
    """

    def __init__(
        self,
        units: list[int],
        gated: float = 0.0,
        closed: Sequence[Tensor] = (),
        share: float = 1.0,
        initial_gain: float = 1.0,
        side: int = 0,
    ) -> None:
        super().__init__()
        self.background: Tensor | None
        self.register_buffer("background", torch.zeros(side, side, dtype=torch.uint8) if side else None)
        self.biases = nn.ParameterList([nn.Parameter(torch.zeros(u)) for u in units])
        self.gains = nn.ParameterList([nn.Parameter(torch.ones(u)) for u in units])
        for gain in list(self.gains)[:-1]:
            gain.data *= initial_gain
        for gain in list(self.gains)[1:]:
            gain.data /= math.sqrt((1 - gated) / share)
        for gain, numbers in zip(self.gains, closed, strict=False):
            gain.data[numbers] = 0.0


class QNetwork(nn.Module):
    """Action values of every task: y_i = (sum_j W_ij x_j + b_i) g_i, ReLU between the layers.

    Only W is shared; b and g are the task's (PAPER: task-specific biases and gains). Weights are drawn from
    U(-1/sqrt(fan_in), 1/sqrt(fan_in)), with the fan-in that a task is meant to use; every ReLU layer then divides what
    passes it by about sqrt(6), which `initial_gain` can undo (He et al. 2015). Parameters are float32;
    `compute_dtype` (float32 or bfloat16) is the type that layers are computed in, except the last, whose values are
    float32.

    `gated`: a task does without this share of every hidden layer's units (Masse et al. 2018, context-dependent gating):
    what one task learns in a unit, a second changes only if both use it. It does without those that most earlier tasks
    use, which of equals is drawn from `gate_seed` and the task's number.

    `subtract_background`: what always stands on a task's screen is taken off what the first layer sees (see
    `agent.background`).
    """

    def __init__(
        self,
        architecture: Architecture,
        actions: int,
        stack: int,
        side: int,
        generator: torch.Generator,
        compute_dtype: torch.dtype = torch.float32,
        gated: float = 0.0,
        gate_seed: int = 0,
        initial_gain: float = 1.0,
        subtract_background: bool = False,
    ) -> None:
        super().__init__()
        self.initial_gain = initial_gain
        self.subtract_background = subtract_background
        self.pixel_max = FOREGROUND_MAX if subtract_background else PIXEL_MAX
        self.pixel_dtype = torch.int8 if subtract_background else torch.uint8  # of what is `seen`
        self.gated = gated
        self.gate_seed = gate_seed
        self.share = architecture.share
        self.interface = actions, stack, side
        self.compute_dtype = compute_dtype
        self.strides = [stride for _, _, stride in architecture.convolutions]
        self.sides: list[int] = []  # of the maps that they make
        shapes: list[tuple[int, ...]] = []
        self.pool = architecture.pool
        channels, pixels = stack, side // self.pool
        for maps, kernel, stride in architecture.convolutions:
            shapes.append((maps, channels, kernel, kernel))
            channels, pixels = maps, (pixels - kernel) // stride + 1
            self.sides.append(pixels)
        shapes.append((architecture.hidden, channels * pixels * pixels))
        shapes.append((actions, architecture.hidden))
        shares = [1.0] + [architecture.share] * (len(shapes) - 1)  # pixels are never left out
        drawn = [_uniform(shape, share, generator) for shape, share in zip(shapes, shares, strict=True)]
        self.weights = nn.ParameterList([nn.Parameter(weight) for weight in drawn])
        self.task_parameters = nn.ModuleList()

    @property
    def units(self) -> list[int]:
        """Units of each layer, in order."""
        return [weight.shape[0] for weight in self.weights]

    def add_task(self) -> TaskParameters:
        """Append the parameters of one more task and return them."""
        closed = self._closed(len(self.task_parameters))
        side = self.interface[-1] if self.subtract_background else 0
        created = TaskParameters(self.units, self.gated, closed, self.share, self.initial_gain, side)
        created.to(self.weights[0].device)
        self.task_parameters.append(created)
        return created

    def of_task(self, task: int | None) -> TaskParameters:
        """A task's own parameters; of one never met (None): those of a new one, without gates."""
        if task is None:
            fresh = TaskParameters(self.units, share=self.share, initial_gain=self.initial_gain)
            return fresh.to(self.weights[0].device)
        own = self.task_parameters[task]
        assert isinstance(own, TaskParameters)
        return own

    def _closed(self, task: int) -> list[Tensor]:
        """The units of each hidden layer that a new `task` does without: those that most others use. One that has not
        been learned, whose biases are all 0 as at first, uses none: it may be an error of the inference."""
        learned = [t for t in range(task) if any(bool(bias.any()) for bias in self.of_task(t).biases)]
        generator = torch.Generator().manual_seed(self.gate_seed + task)
        found = []
        for layer, units in enumerate(self.units[:-1]):
            order = torch.randperm(units, generator=generator)
            users = torch.zeros(units)
            for other in learned:
                users += self.of_task(other).gains[layer].detach().cpu() != 0
            order = order[users[order].argsort(descending=True, stable=True)]
            found.append(order[: round(self.gated * units)])
        return found

    def active_units(self, task: int) -> list[Tensor]:
        """Which units of every layer `task` uses, bool [U]."""
        return [gain.detach() != 0 for gain in self.of_task(task).gains]

    def forward(self, observation: Tensor, task: int | None) -> Tensor:
        """uint8 [N, S, H, W], task -> float32 [N, A]. `None` is a task never met: as a new one without gates."""
        own = self.of_task(task)
        x = self.seen(observation, task).to(self.compute_dtype)
        last = len(self.weights) - 1
        for layer, weight in enumerate(self.weights):
            if layer == last:
                x = x.float()  # bfloat16 would round the values of different actions to ties
            bias, gain = own.biases[layer], own.gains[layer]
            if layer < len(self.strides):
                # (W x + b) g = (g W) x + g b: scaling a few kernels is cheaper than scaling the feature maps.
                scale = gain / self.pixel_max if layer == 0 else gain
                kernel = (weight * scale[:, None, None, None]).to(x.dtype)
                x = functional.conv2d(x, kernel, (bias * gain).to(x.dtype), stride=self.strides[layer])
            else:
                x = functional.linear(x.flatten(1), weight.to(x.dtype), bias.to(x.dtype)) * gain.to(x.dtype)
            if layer < last:
                x = functional.relu(x)
        return x

    def foreground(self, observation: Tensor, task: int | None) -> Tensor:
        """Pixels uint8 [N, S, H, W] without the task's background, int8, if it is to be subtracted. What is of another
        type is so already; a task that has no background yet, or was never met (None), has one of zeros."""
        if not self.subtract_background or observation.dtype != torch.uint8:
            return observation
        background = None if task is None else self.of_task(task).background
        return foreground(observation, observation.new_zeros(()) if background is None else background)

    def seen(self, observation: Tensor, task: int | None) -> Tensor:
        """Pixels uint8 [N, S, H, W] as the first layer sees them: the `foreground`, and of this means over squares of
        `pool` by `pool`, rounded, of the same type. Pixels that are so already stay as they are."""
        observation = self.foreground(observation, task)
        if self.pool == 1 or observation.shape[-1] != self.interface[-1]:
            return observation
        return (functional.avg_pool2d(observation.float(), self.pool) + 0.5).floor_().to(observation.dtype)

    def with_taps(self, observation: Tensor, task: int) -> tuple[Tensor, list[Tap]]:
        """The values float32 [N, A] and every layer's product with its shared weights, for `agent.taps`.

        Computed in float32 throughout and in the order of the equation, gain after bias.
        """
        own = self.of_task(task)
        x = self.seen(observation, task).float() / self.pixel_max
        taps: list[Tap] = []
        for layer, weight in enumerate(self.weights):
            bias, gain = own.biases[layer], own.gains[layer]
            if layer < len(self.strides):
                stride = self.strides[layer]
                z = functional.conv2d(x, weight, stride=stride)
                taps.append(ConvolutionTap(x, z, weight.shape[-1], stride))
                bias, gain = bias[:, None, None], gain[:, None, None]
            else:
                x = x.flatten(1)
                z = functional.linear(x, weight)
                taps.append(LinearTap(x, z))
            x = (z + bias) * gain
            if layer < len(self.weights) - 1:
                x = functional.relu(x)
        return x, taps


def _uniform(shape: tuple[int, ...], share: float, generator: torch.Generator) -> Tensor:
    bound = 1.0 / math.sqrt(math.prod(shape[1:]) * share)
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


def hidden_activations(network: QNetwork, taps: Sequence[Tap]) -> list[Tensor]:
    """The hidden layers' activations [N, U, L] at L positions, from what `with_taps` returned."""
    return [tap.input.detach().flatten(1).unflatten(1, (network.units[i], -1)) for i, tap in enumerate(taps[1:])]


def joined_weights(shapes: Sequence[torch.Size], active_units: Sequence[Tensor]) -> list[Tensor]:
    """Which weights join active units: bool, in the weights' shapes, from bool [U] for every layer. Inputs come unit by
    unit, some of each; the first layer's are pixels, which are always active."""
    found = []
    for layer, shape in enumerate(shapes):
        mask = active_units[layer].reshape(-1, *[1] * (len(shape) - 1)).expand(shape)
        if layer > 0:
            before = active_units[layer - 1]
            inputs = before.repeat_interleave(shape[1] // len(before))
            mask = mask & inputs.reshape(1, -1, *[1] * (len(shape) - 2))
        found.append(mask)
    return found
