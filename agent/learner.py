"""The learner: online and target network, optimizer, and the update that moves them.

Axes: N transitions of a minibatch, A actions, S stacked frames, H x W pixels.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from agent.augmentation import random_offsets
from agent.averaging import WeightAverage
from agent.background import median_frame
from agent.dqn import METRICS, Update
from agent.networks import QNetwork
from agent.objective import Objective
from agent.recall import Recalled
from agent.roles import Consolidator, Optimizer
from replay.transition import FrameBatch, Transition


class QLearner:
    """Online and target network, optimizer, and the update that moves them.

    The loss is *summed* over the minibatch: every constant (learning rate, epsilon of the optimizer, bound on the
    gradients' norm, strength of the consolidation) is quoted at that scale.

    network, target   of the same shapes; the target is a copy that follows every `target_frames` frames of learning
    optimizer         of the network's shared weights; a task's own parameters are added to it as the task is met
    update            one step of both
    shift_pixels      replayed observations are shifted at random by up to so many pixels, drawn from `generator`
    average           of the weights, for evaluations and for what stays of a task; None: the weights themselves
    """

    def __init__(
        self,
        network: QNetwork,
        target: QNetwork,
        optimizer: Optimizer,
        update: Update,
        *,
        target_frames: int,
        shift_pixels: int,
        generator: torch.Generator,
        average: WeightAverage | None = None,
    ) -> None:
        self.update = update
        self._network = network
        self._target = target
        self._optimizer = optimizer
        self.target_frames = target_frames
        self.shift_pixels = shift_pixels
        self.generator = generator
        self.average = average
        self.learned_frames = 0
        self._with_background: set[int] = set()

    # Whoever looks at these sees them as they are after the latest update.

    @property
    def network(self) -> QNetwork:
        """The online network, after the latest update."""
        self.update.flush()
        return self._network

    @property
    def target(self) -> QNetwork:
        """The network that bootstraps, a copy of an earlier online network."""
        return self._target

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer, after the latest update."""
        self.update.flush()
        return self._optimizer

    @property
    def objective(self) -> Objective:
        """What an update minimises."""
        return self.update.objective

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self._network.weights[0].device

    @property
    def num_tasks(self) -> int:
        """How many tasks have parameters."""
        return len(self._network.task_parameters)

    @property
    def weights(self) -> list[Tensor]:
        """The shared weights, layer by layer: all that consolidation is about."""
        return list(self.network.weights)

    def add_task(self) -> None:
        """Create one more task's biases and gains, in both networks and in the optimizer."""
        created = self.network.add_task()
        behind = self.target.add_task().requires_grad_(False)
        behind.load_state_dict(created.state_dict())  # the same gates, however far behind the target is
        self.optimizer.add_param_group({"params": list(created.parameters())})

    def wants_background(self, task: int) -> bool:
        """Whether the network subtracts the task's background and does not know it yet."""
        return self._network.subtract_background and task not in self._with_background

    def set_background(self, task: int, frames: Tensor) -> None:
        """Subtract what always stands in `frames`, uint8 [F, H, W] of this task, from its observations from now on."""
        background = median_frame(frames)
        for network in (self.network, self.target):
            kept = network.of_task(task).background
            assert kept is not None
            kept.copy_(background)
        self._with_background.add(task)

    def q_values(self, observation: Tensor, task: int | None) -> Tensor:
        """uint8 [N, S, H, W], task (None: one never met) -> float32 [N, A] of the online network."""
        return self.update.q_values(observation.to(self.device, non_blocking=True), task)

    def learn(self, batch: Transition | FrameBatch, task: int, consolidator: Consolidator) -> dict[str, Tensor]:
        """One update of the shared weights and of the task's biases and gains; METRICS as 0-d tensors."""
        return self.learn_prepared(self.prepare(batch, task), task, consolidator)

    def prepare(self, batch: Transition | FrameBatch, task: int, recalled: Recalled | None = None) -> Any:
        """The part of `learn` that draws from the generator and needs no online weights. The next minibatch may be
        prepared before one is learned; between the two nothing but `learn_prepared` may change the networks.
        `recalled`: states of another task whose values the update also holds."""
        offsets = random_offsets(len(batch), self.shift_pixels, self.generator)
        return self.update.prepare(batch, offsets, task, recalled)

    def learn_prepared(self, prepared: Any, task: int, consolidator: Consolidator) -> dict[str, Tensor]:
        """The rest of `learn`."""
        metrics = self.update(prepared, task, consolidator)
        if self.average is not None:
            self.average.follow(lambda: self.network, task)
        return dict(zip(METRICS, metrics, strict=True))

    def enter(self, task: int) -> None:
        """`task` is played from now on."""
        if self.average is not None:
            self.average.enter(task)

    def settle(self) -> None:
        """Learning has ended for now: the network becomes its average, if there is one."""
        if self.average is not None and self.average.begun:
            self.average.write(self.network)
            self.average.enter(self.average.task)

    def played_state_dict(self) -> dict[str, Tensor]:
        """The network that plays in evaluations: the average where there is one; copies."""
        network = copy.deepcopy(self.network)
        if self.average is not None:
            self.average.write(network)
        return network.state_dict()

    def count_frames(self, frames: int) -> None:
        """So many frames more were learned; the target follows where a multiple of its period was passed."""
        before = self.learned_frames // self.target_frames
        self.learned_frames += frames
        if self.learned_frames // self.target_frames > before:
            self.sync_target()

    @torch.no_grad()
    def sync_target(self) -> None:
        """Copy the online network into the target network."""
        for kept, latest in zip(self.target.parameters(), self.network.parameters(), strict=True):
            kept.copy_(latest)

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimizer, generator and the target's timer; copies, so that learning on does not change them."""
        return {
            "num_tasks": self.num_tasks,
            "network": copy.deepcopy(self.network.state_dict()),
            "target": copy.deepcopy(self.target.state_dict()),
            "optimizer": copy.deepcopy(self.optimizer.state_dict()),
            "generator": self.generator.get_state(),
            "learned_frames": self.learned_frames,
            **({"average": self.average.state_dict()} if self.average else {}),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, creating tasks as needed."""
        while self.num_tasks < state["num_tasks"]:
            self.add_task()
        try:
            self.network.load_state_dict(state["network"])
        except RuntimeError:  # torch's complaint is a line for every weight
            shapes = {name: tuple(weight.shape) for name, weight in self.network.state_dict().items()}
            other = next((n for n, w in state["network"].items() if shapes.get(n) != tuple(w.shape)), "layers")
            raise ValueError(
                f"what was saved is of another network, in its {other}; put its file back as it was"
            ) from None
        self._find_backgrounds()
        self.target.load_state_dict(state["target"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.learned_frames = state["learned_frames"]
        if self.average is not None:
            average = state["average"]
            self.average.load_state_dict({**average, "mean": [each.to(self.device) for each in average["mean"]]})

    def load_weights(self, network: Mapping[str, Any], tasks: int) -> None:
        """Begin from another run's online network; the optimizer starts afresh."""
        while self.num_tasks < tasks:
            self.add_task()
        self.network.load_state_dict(network)
        self._find_backgrounds()
        self.target.load_state_dict(network)

    def _find_backgrounds(self) -> None:
        backgrounds = [self._network.of_task(task).background for task in range(self.num_tasks)]
        self._with_background = {t for t, known in enumerate(backgrounds) if known is not None and bool(known.any())}
