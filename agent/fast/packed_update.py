"""Adam on one task's packed network: all that an update touches lies in a few pieces of memory.

On a CPU in float32. It computes what `agent.dqn.PlainUpdate` does, but that weights which the task does not use stand
still: neither old averages nor the penalty move them.

Axes: N transitions of a minibatch, S stacked frames, P patches of K pixels, A actions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agent.anchors.anchored import AnchoredConsolidator
from agent.anchors.steps import PenaltyGradient, ProximalStep
from agent.augmentation import Offsets
from agent.consolidators.none import NoConsolidation
from agent.dqn import measured
from agent.fast.kernels import AdamStep, PixelPatches, adam, cut_patches_of
from agent.fast.lane import Lane
from agent.fast.optimizers import Adam
from agent.fast.packed import Pack
from agent.fast.patchwise import Layers, Passes
from agent.fast.recalled_task import RecalledTask
from agent.networks import QNetwork
from agent.objective import DOUBLE_Q, Objective
from agent.recall import Recalled
from agent.roles import Consolidator
from replay.transition import FrameBatch, Transition

Frames = NDArray[np.uint8] | NDArray[np.int8]


@dataclass(slots=True)
class Prepared:
    """A minibatch as patches: pixels [N P, K] of its observations, uint8 or int8, and how to cut those of the next."""

    task: int
    pixels: Tensor
    cut_following: Callable[[], Tensor]
    action: Tensor
    reward: Tensor
    discount: Tensor
    ahead: Future[tuple[Tensor, Tensor]] | None = None  # pixels of the next observations, the target network's values
    recalled: Recalled | None = None


class PackedUpdate:
    """The update of one task at a time, packed anew when another task or another network is to be learned.

    Its consolidator must be one of those that `serves` knows. `beside`: the passes over the next observations are made
    in a second thread, with the same results. The target network's, which does not wait for the online weights, is made
    while the minibatch before is learned, the online network's beside that over the observations.
    """

    def __init__(
        self,
        network: QNetwork,
        target: QNetwork,
        optimizer: Adam,
        max_gradient_norm: float,
        objective: Objective = DOUBLE_Q,
        beside: bool = False,
    ) -> None:
        self.objective = objective
        self.network = network
        self.target = target
        self.optimizer = optimizer
        self.max_gradient_norm = max_gradient_norm
        self._patches_of_pixels = PixelPatches(network.weights[0].shape[-1], network.strides[0], network.pool)
        self._cut = cut_patches_of(self._patches_of_pixels)
        self._lane = Lane(beside)
        self._learned: PackedTask | None = None
        self._acted: dict[int | None, PackedTask] = {}  # of other tasks than the one that is learned
        self._coming: Prepared | None = None  # the latest one, if it is not learned yet
        self._free: dict[int, list[Tensor]] = {}  # memory for pixels by its size, to be used again by either thread

    @staticmethod
    def serves(consolidator: Consolidator) -> bool:
        """Whether `step` of a packed task computes its penalty: exactly these classes, since any other may do more."""
        if type(consolidator) is AnchoredConsolidator:
            return type(consolidator.penalty_step) in (ProximalStep, PenaltyGradient)
        return type(consolidator) is NoConsolidation

    def prepare(
        self, batch: Transition | FrameBatch, offsets: Offsets, task: int, recalled: Recalled | None = None
    ) -> Prepared:
        """The observations, shifted, as patches; the next ones are looked at in the lane, at once if nothing else waits
        to be learned."""
        ends = zip(self._ends(batch, task), offsets, strict=True)
        now, following = (partial(self._patches, *end, o.numpy()) for end, o in ends)
        prepared = Prepared(task, now(), following, batch.action, batch.reward, batch.discount, recalled=recalled)
        if self._coming is None:
            packed = self._task_to_learn(task, len(batch))
            prepared.ahead = self._lane.submit(packed.look_ahead, following)
        self._coming = prepared
        return prepared

    @torch.no_grad()
    def __call__(self, prepared: Prepared, task: int, consolidator: Consolidator) -> Tensor:
        """Learn from one minibatch; float32 [5] in the order of METRICS."""
        packed, lane = self._task_to_learn(task, len(prepared.action)), self._lane
        ahead = prepared.ahead or lane.submit(packed.look_ahead, prepared.cut_following)
        next_values = lane.submit(packed.value_next, ahead)
        coming = self._coming = None if self._coming is prepared else self._coming
        if coming is not None and coming.task == task and coming.ahead is None:
            coming.ahead = lane.submit(packed.look_ahead, coming.cut_following)
        recalling = lane.submit(self._recall, packed, prepared.recalled) if prepared.recalled else None
        values = packed.online.forward(prepared.pixels)
        next_online, next_target = next_values.result()
        goal = self.objective.td_target(prepared.reward, prepared.discount, next_online, next_target)
        chosen = values.gather(1, prepared.action[:, None]).squeeze(1)
        error = chosen - goal
        q_gradient = self.objective.gradient(error, values, prepared.action)
        packed.online.backward(q_gradient, packed.gradient, packed.pack)
        if recalling is not None:
            packed.gradient.index_add_(0, *recalling.result())
        norm = packed.step(consolidator, self.optimizer.param_groups[0], self.max_gradient_norm)
        self._give_back(prepared.pixels)
        self._give_back(ahead.result()[0])
        return measured(error, values, chosen, norm)

    @torch.no_grad()
    def q_values(self, observation: Tensor, task: int | None) -> Tensor:
        """uint8 [N, S, H, W], task (None: one never met) -> float32 [N, A] of the online network."""
        packed = self._learned
        if packed is None or packed.task != task or packed.outdated() or packed.count < len(observation):
            self.flush()
            packed = self._task_to_act_in(task, len(observation))
        pixels = self._patches(*self._frames(observation, task), _unshifted(observation))
        values = packed.online.forward(pixels).clone()
        self._give_back(pixels)
        return values

    def flush(self) -> None:
        """Write what was learned back into the network and the optimizer."""
        if self._learned is not None:
            self._learned.write_back()

    def _recall(self, packed: PackedTask, recalled: Recalled) -> tuple[Tensor, Tensor]:
        """Places in the packed gradient, and what recalling adds there."""
        other = packed.recalled(recalled.task, len(recalled.values))
        frames = self._frames(recalled.observation, recalled.task)
        pixels = self._patches(*frames, _unshifted(recalled.observation))
        gradient = other.gradient(packed.pack.flat, pixels, recalled.values, recalled.strength)
        self._give_back(pixels)
        return other.places, gradient

    def _task_to_act_in(self, task: int | None, count: int) -> PackedTask:
        packed = self._acted.get(task)
        if packed is None or packed.outdated() or packed.count < count:
            self._acted = {other: there for other, there in self._acted.items() if not there.outdated()}
            packed = self._acted[task] = PackedTask(self.network, self.target, None, task, count)
        return packed

    def _task_to_learn(self, task: int, count: int) -> PackedTask:
        packed = self._learned
        if packed is None or packed.task != task or packed.outdated() or packed.count < count:
            self.flush()
            packed = self._learned = PackedTask(self.network, self.target, self.optimizer, task, count)
        packed.follow_target()
        return packed

    def _ends(self, batch: Transition | FrameBatch, task: int) -> list[tuple[Frames, NDArray[np.int64]]]:
        """Frames and stacks of both ends of a minibatch, the frames as `_foreground` makes them."""
        if isinstance(batch, FrameBatch):
            frames = self._foreground(batch.frames, task)
            return [(frames, batch.now), (frames, batch.following)]
        return [self._frames(batch.observation, task), self._frames(batch.next_observation, task)]

    def _frames(self, observation: Tensor, task: int | None) -> tuple[Frames, NDArray[np.int64]]:
        """uint8 [N, S, H, W] as frames [F, H, W], as `_foreground` makes them, and stacks int64 [N, S]."""
        n, depth = observation.shape[:2]
        frames = self._foreground(observation.flatten(0, 1).numpy(), task)
        return frames, np.arange(n * depth).reshape(n, depth)

    def _foreground(self, frames: NDArray[np.uint8], task: int | None) -> Frames:
        """Frames uint8 [F, H, W] without the task's background, int8, if it is to be subtracted."""
        return self.network.foreground(torch.from_numpy(frames), task).numpy()

    def _patches(self, frames: Frames, stacks: NDArray[np.int64], offsets: NDArray[np.int64]) -> Tensor:
        """[N P, K] of the frames' type: see `agent.fast.kernels`."""
        (count, depth), cut = stacks.shape, self._patches_of_pixels
        pixels = self._room((count, self.network.sides[0] ** 2, depth * cut.kernel**2))
        self._cut(frames, stacks, offsets, pixels.numpy())
        return pixels.flatten(0, 1)

    def _room(self, shape: tuple[int, int, int]) -> Tensor:
        """Memory of earlier patches, if any has this size: what is new to a process is slow."""
        size = shape[0] * shape[1] * shape[2]
        with suppress(KeyError, IndexError):
            return self._free[size].pop().view(shape)
        return torch.empty(shape, dtype=self.network.pixel_dtype)

    def _give_back(self, pixels: Tensor) -> None:
        self._free.setdefault(pixels.numel(), []).append(pixels)


class PackedTask:
    """A task's part of the networks, of Adam's averages and of the merged anchor, for up to `count` observations.

    Without an optimizer nothing can be learned.
    """

    def __init__(
        self, network: QNetwork, target: QNetwork, optimizer: Adam | None, task: int | None, count: int
    ) -> None:
        self.network, self.target, self.optimizer, self.task, self.count = network, target, optimizer, task, count
        self.pack = Pack.of(network, task)
        sides, strides = network.sides, network.strides
        self._layers = Layers(self.pack, self.pack.flat, len(strides), network.pixel_max)
        self.online = Passes(self._layers, sides, strides, count)
        self._own = network.of_task(task)
        self._read = _versions(self._parameters)
        self._changed = False
        if optimizer is None:
            return
        self._behind = self.pack.flat.clone()
        self._layers_behind = Layers(self.pack, self._behind, len(strides), network.pixel_max)
        self._following = Passes(self._layers, sides, strides, count)
        self._target = Passes(self._layers_behind, sides, strides, count)
        self._target_read = -1
        self.gradient, self._mean, self._square = (torch.zeros_like(self.pack.flat) for _ in range(3))
        self._steps = [0.0, 0.0]  # of the shared weights and of the task's own parameters
        self._read_averages(optimizer)
        self._anchor_read: tuple[int, int] | None = None
        self._recalled: dict[int, RecalledTask] = {}
        self._centre, self._precision = (torch.zeros(self.pack.shared) for _ in range(2))

    @property
    def _parameters(self) -> list[Tensor]:
        return [*self.network.weights, *self._own.biases, *self._own.gains]

    def outdated(self) -> bool:
        """Whether something else has changed the network since it was read or written."""
        return self._read != _versions(self._parameters)

    def follow_target(self) -> None:
        """Read the target network, if it was changed."""
        own = self.target.of_task(self.task)
        version = _versions([*self.target.weights, *own.biases, *own.gains])
        if version != self._target_read:
            self.pack.gather(self._behind, self.target.weights, own.biases, own.gains)
            self._layers_behind.renew()
            self._target_read = version

    @torch.no_grad()
    def look_ahead(self, cut: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
        """The pixels [N P, K] of the next observations and the target network's values [N, A] of them."""
        pixels = cut()
        return pixels, self._target.forward(pixels).clone()

    @torch.no_grad()
    def value_next(self, ahead: Future[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """The values [N, A] of the next observations by the online network, and by the target network."""
        pixels, next_target = ahead.result()
        return self._following.forward(pixels), next_target

    def recalled(self, task: int, count: int) -> RecalledTask:
        """The network of another task, beside this one."""
        found = self._recalled.get(task)
        if found is None or found.count < count:
            found = self._recalled[task] = RecalledTask(self.network, self.pack, task, count)
        return found

    @torch.no_grad()
    def step(self, consolidator: Consolidator, group: dict[str, Any], max_gradient_norm: float) -> Tensor:
        """One step of Adam from `gradient`, bounded, the penalty included; returns the norm before the bound."""
        flat, gradient, shared = self.pack.flat, self.gradient, self.pack.shared
        pulled = 0.0
        if isinstance(consolidator, AnchoredConsolidator):
            self._read_anchor(consolidator)
            if consolidator.adds_to_gradients:
                towards = flat[:shared] - self._centre
                gradient[:shared].addcmul_(towards, self._precision, value=consolidator.ewc_lambda)
            else:
                pulled = consolidator.ewc_lambda
        norm = torch.linalg.vector_norm(gradient)
        scale = max_gradient_norm / (norm + 1e-6)
        if scale < 1:
            gradient.mul_(scale)
        beta1, beta2 = group["betas"]
        for number, (part, strength) in enumerate(((slice(0, shared), pulled), (slice(shared, None), 0.0))):
            self._steps[number] += 1
            correction1, correction2 = (1 - beta ** self._steps[number] for beta in (beta1, beta2))
            step = AdamStep(
                group["lr"] / correction1, (beta1, beta2), correction2, group["eps"], strength * group["lr"]
            )
            w, g, mean, square = (each[part].numpy() for each in (flat, gradient, self._mean, self._square))
            adam(w, g, mean, square, self._centre.numpy(), self._precision.numpy(), step)
        self._layers.renew()
        self._changed = True
        return norm

    def _read_anchor(self, consolidator: AnchoredConsolidator) -> None:
        merged = consolidator.merged
        version = id(merged), _versions([*merged.mean, *merged.precision])
        if version != self._anchor_read:
            self.pack.gather_weights(self._centre, merged.mean)
            self.pack.gather_weights(self._precision, merged.precision)
            self._anchor_read = version

    def _read_averages(self, optimizer: Adam) -> None:
        for name, flat in (("exp_avg", self._mean), ("exp_avg_sq", self._square)):
            states = [(p, optimizer.state.get(p)) for p in self._parameters]
            wholes = [state[name] if state else torch.zeros_like(p) for p, state in states]
            self.pack.gather(flat, *_by_kind(wholes, len(self.network.weights)))
        for number, first in enumerate((self.network.weights[0], self._own.biases[0])):
            state = optimizer.state.get(first)
            self._steps[number] = float(state["step"]) if state else 0.0

    @torch.no_grad()
    def write_back(self) -> None:
        """Scatter what was learned since it was read."""
        if not self._changed:
            return
        assert self.optimizer is not None and not self.outdated(), "the network was changed behind a packed task"
        layers = len(self.network.weights)
        self.pack.scatter(self.pack.flat, *_by_kind([p.detach() for p in self._parameters], layers))
        for i, p in enumerate(self._parameters):
            state = self.optimizer.state[p]
            if not state:
                state.update(step=torch.zeros(()), exp_avg=torch.zeros_like(p), exp_avg_sq=torch.zeros_like(p))
            state["step"].fill_(self._steps[0 if i < layers else 1])
        for name, flat in (("exp_avg", self._mean), ("exp_avg_sq", self._square)):
            wholes = [self.optimizer.state[p][name] for p in self._parameters]
            self.pack.scatter(flat, *_by_kind(wholes, layers))
        torch.autograd.graph.increment_version(self._parameters)
        self._read, self._changed = _versions(self._parameters), False


def _by_kind(tensors: Sequence[Tensor], layers: int) -> tuple[Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]]:
    """Those of weights, of biases and of gains."""
    return tensors[:layers], tensors[layers : 2 * layers], tensors[2 * layers :]


def _versions(tensors: Iterable[Tensor]) -> int:
    """A number that grows with every change of any of them in place."""
    return sum(t._version for t in tensors)


def _unshifted(observation: Tensor) -> NDArray[np.int64]:
    """Offsets of 0, int64 [N, 2]."""
    return np.zeros((len(observation), 2), np.int64)
