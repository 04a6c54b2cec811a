"""Deep Q-learning: the temporal-difference maths as pure functions, and the learner that applies it.

Axes: N transitions of a minibatch, A actions, S stacked frames, H x W pixels.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from agent.augmentation import random_shift
from agent.networks import QNetwork
from agent.optimisers import make_optimiser
from replay.transition import Transition


def double_q_target(reward: Tensor, discount: Tensor, next_online: Tensor, next_target: Tensor) -> Tensor:
    """float32 [N]: r + discount * Q_target(s', argmax_a Q_online(s', a)) (van Hasselt et al. 2016).

    `reward` and `discount` [N] belong to the n-step window; `next_online`, `next_target` are [N, A].
    """
    best = next_online.argmax(dim=1, keepdim=True)
    return reward + discount * next_target.gather(1, best).squeeze(1)


def huber(error: Tensor) -> Tensor:
    """Elementwise e^2/2 within |e| <= 1, |e| - 1/2 beyond: its slope is the TD error clipped to [-1, 1]."""
    size = error.abs()
    return torch.where(size <= 1.0, 0.5 * error * error, size - 0.5)


class QLearner:
    """Online and target network, optimiser, and one update from a minibatch.

    The loss is the Huber loss *summed* over the minibatch: every constant (learning rate, epsilon of the
    optimiser, gradient-norm bound, later the strength of the consolidation) is quoted at that scale.
    """

    def __init__(
        self,
        network: QNetwork,
        *,
        optimiser: str,
        learning_rate: float,
        optimiser_epsilon: float,
        decay: float,
        max_gradient_norm: float,
        shift_pixels: int,
        generator: torch.Generator,
    ) -> None:
        self.network = network
        self.target = copy.deepcopy(network).requires_grad_(False)
        self.optimiser = make_optimiser(
            optimiser,
            network.weights.parameters(),
            learning_rate=learning_rate,
            epsilon=optimiser_epsilon,
            decay=decay,
        )
        self.max_gradient_norm = max_gradient_norm
        self.shift_pixels = shift_pixels
        self.generator = generator

    @property
    def tasks(self) -> int:
        """How many tasks have parameters."""
        return len(self.network.tasks)

    def add_task(self) -> None:
        """Create one more task's biases and gains, in both networks and in the optimiser."""
        created = self.network.add_task()
        self.target.add_task().requires_grad_(False)
        self.optimiser.add_param_group({"params": list(created.parameters())})

    @torch.inference_mode()
    def q_values(self, observation: Tensor, task: int | None) -> Tensor:
        """uint8 [N, S, H, W], task -> float32 [N, A] of the online network."""
        return self.network(observation, task)

    def learn(self, batch: Transition, task: int) -> dict[str, Tensor]:
        """One update of the shared weights and of the task's biases and gains.

        Returns 0-d tensors: loss (mean over the minibatch), q (mean value of the replayed actions), q_max (the
        largest value of any action), td_error (mean absolute), gradient_norm (before clipping).
        """
        now = random_shift(batch.observation, self.shift_pixels, self.generator)
        following = random_shift(batch.next_observation, self.shift_pixels, self.generator)
        following = following.to(self.network.compute_dtype)  # once for both networks
        with torch.no_grad():
            target = double_q_target(
                batch.reward, batch.discount, self.network(following, task), self.target(following, task)
            )
        values = self.network(now, task)
        chosen = values.gather(1, batch.action[:, None]).squeeze(1)
        error = chosen - target
        loss = huber(error).sum()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self._active_parameters(task), self.max_gradient_norm)
        self.optimiser.step()
        return {
            "loss": loss.detach() / len(chosen),
            "q": chosen.detach().mean(),
            "q_max": values.detach().max(),
            "td_error": error.detach().abs().mean(),
            "gradient_norm": norm,
        }

    def sync_target(self) -> None:
        """Copy the online network into the target network."""
        with torch.no_grad():
            for kept, latest in zip(self.target.parameters(), self.network.parameters(), strict=True):
                kept.copy_(latest)

    def _active_parameters(self, task: int) -> Iterable[Tensor]:
        yield from self.network.weights.parameters()
        yield from self.network.tasks[task].parameters()

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimiser and generator; copies, so that learning on does not change them."""
        return {
            "tasks": self.tasks,
            "network": copy.deepcopy(self.network.state_dict()),
            "target": copy.deepcopy(self.target.state_dict()),
            "optimiser": copy.deepcopy(self.optimiser.state_dict()),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, creating tasks as needed."""
        while self.tasks < state["tasks"]:
            self.add_task()
        self.network.load_state_dict(state["network"])
        self.target.load_state_dict(state["target"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"])

    def load_weights(self, network: Mapping[str, Any], tasks: int) -> None:
        """Begin from another run's online network; the optimiser starts afresh."""
        while self.tasks < tasks:
            self.add_task()
        self.network.load_state_dict(network)
        self.sync_target()
