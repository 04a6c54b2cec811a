"""Deep Q-learning: the temporal-difference maths as pure functions, and the learner that applies it.

Axes: N transitions of a minibatch, A actions, S stacked frames, H x W pixels.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from agent.augmentation import random_shift
from agent.fast.graphs import Recorder
from agent.fast.optimisers import Adam, CentredRMSProp, make_optimiser
from agent.fast.passes import Gradients, Passes
from agent.fisher import Tap, all_outputs_squares, mean_over, sampled_log_likelihood, squared_gradients
from agent.networks import QNetwork
from replay.transition import Transition

FISHERS = ("td", "q", "q_all", "policy")
_METRICS = ("loss", "q", "q_max", "td_error", "gradient_norm")


class Consolidates(Protocol):
    """The part of a consolidator that an update needs (see `agent.consolidators.consolidation`)."""

    @property
    def adds_to_gradients(self) -> bool: ...

    def before_step(self, weights: Sequence[Tensor]) -> None: ...

    def step(self, optimiser: CentredRMSProp | Adam) -> None: ...


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


def clip_norm(gradients: Sequence[Tensor], bound: float) -> Tensor:
    """Scale all gradients together in place so that their norm does not exceed `bound`; returns the norm before."""
    norms = [torch.linalg.vector_norm(each).float() for each in gradients]  # summed up in float32 whatever the type
    norm = torch.linalg.vector_norm(torch.stack(norms))
    scale = bound / (norm + 1e-6)
    if norm.device.type != "cpu" or scale < 1:  # to look at it would make an accelerator wait
        torch._foreach_mul_(list(gradients), scale.clamp(max=1.0))
    return norm


class QLearner:
    """Online and target network, optimiser, and one update from a minibatch.

    The loss is the Huber loss *summed* over the minibatch: every constant (learning rate, epsilon of the
    optimiser, gradient-norm bound, strength of the consolidation) is quoted at that scale.
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
        compiled: bool = False,
        recorded: bool = False,
    ) -> None:
        """The network says on which device; `compiled`: see `CentredRMSProp`; `recorded`: updates are CUDA graphs."""
        self.network = network
        self.target = copy.deepcopy(network).requires_grad_(False)
        self._online, self._behind = Passes(network), Passes(self.target)
        self.optimiser = make_optimiser(
            optimiser,
            network.weights.parameters(),
            learning_rate=learning_rate,
            epsilon=optimiser_epsilon,
            decay=decay,
            compiled=compiled,
        )
        self.max_gradient_norm = max_gradient_norm
        self.shift_pixels = shift_pixels
        self.generator = generator
        self._states: Tensor | None = None
        self._recorder = Recorder(self._update, lambda: [p.grad for p in network.parameters()]) if recorded else None

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.network.weights[0].device

    @property
    def tasks(self) -> int:
        """How many tasks have parameters."""
        return len(self.network.tasks)

    def add_task(self) -> None:
        """Create one more task's biases and gains, in both networks and in the optimiser."""
        created = self.network.add_task()
        behind = self.target.add_task().requires_grad_(False)
        behind.load_state_dict(created.state_dict())  # the same gates, however far behind it is
        self.optimiser.add_param_group({"params": list(created.parameters())})

    def q_values(self, observation: Tensor, task: int | None) -> Tensor:
        """uint8 [N, S, H, W], task -> float32 [N, A] of the online network."""
        return self._online.forward(observation.to(self.device, non_blocking=True), task)[0]

    @property
    def weights(self) -> list[Tensor]:
        """The shared weights, layer by layer: all that consolidation is about."""
        return list(self.network.weights)

    def learn(self, batch: Transition, task: int, consolidation: Consolidates) -> dict[str, Tensor]:
        """One update of the shared weights and of the task's biases and gains.

        Returns 0-d tensors: loss (mean over the minibatch), q (mean value of the replayed actions), q_max (the
        largest value of any action), td_error (mean absolute), gradient_norm (before clipping).
        """
        batch = batch.to(self.device)
        now = random_shift(batch.observation, self.shift_pixels, self.generator)
        following = random_shift(batch.next_observation, self.shift_pixels, self.generator)
        inputs = self._together(now, following), batch.action, batch.reward, batch.discount
        self._behind.convert(task)
        if self._recorder is None:
            measured = self._update(*inputs, task, consolidation)
        else:
            measured = self._recorder(task, inputs, task, consolidation)
            self._tell_changed(task)
        return dict(zip(_METRICS, measured, strict=True))

    @torch.no_grad()
    def _update(
        self, states: Tensor, action: Tensor, reward: Tensor, discount: Tensor, task: int, consolidation: Consolidates
    ) -> Tensor:
        """`learn` on states now and following, 2 N of them, prepared or not; float32 [5], in the order of _METRICS."""
        count = len(action)
        self._online.convert(task, always=self._recorder is not None)
        values, seen = self._online.forward(states, task)
        after, _ = self._behind.forward(states[count:], task)
        target = double_q_target(reward, discount, values[count:], after)
        values = values[:count]
        chosen = values.gather(1, action[:, None]).squeeze(1)
        error = chosen - target
        slope = torch.zeros_like(values).scatter_(1, action[:, None], error.clamp(-1.0, 1.0)[:, None])
        found = self._online.backward(seen.first(count), slope, task)
        half = [] if consolidation.adds_to_gradients or self._recorder is not None else self._halves(found)
        self._set_gradients(found, task, half)
        consolidation.before_step(self.weights)
        norm = clip_norm(self._gradients(task) + [found.weights[layer] for layer in half], self.max_gradient_norm)
        consolidation.step(self.optimiser)
        if half:
            self._online.renewed(half)
        return torch.stack([huber(error).mean(), chosen.mean(), values.max(), error.abs().mean(), norm])

    def _together(self, now: Tensor, following: Tensor) -> Tensor:
        """Both, one after the other; on a processor already prepared for the passes, and always in the same memory,
        since what is new to a process is slow."""
        if self.device.type != "cpu":
            return torch.cat([now, following])
        states = [self._online.prepared(each) for each in (now, following)]
        shape = 2 * len(now), *states[0].shape[1:]
        if self._states is None or self._states.shape != shape:
            self._states = torch.empty(shape, dtype=self._online.pixels)
        self._states[: len(now)], self._states[len(now) :] = states
        return self._states

    def _tell_changed(self, task: int) -> None:
        """A recording changes parameters without telling them so."""
        torch.autograd.graph.increment_version([*self.network.weights, *self.network.tasks[task].parameters()])

    def fisher(
        self,
        batches: Iterable[Transition],
        task: int,
        estimator: str,
        generator: torch.Generator,
    ) -> list[Tensor]:
        """The Fisher information of the shared weights for `task`, the mean of squared per-sample gradients:

        td      of the Huber loss of the TD error: vanishes as a game is learned
        q       of Q(s, a), a as replayed: that of a Gaussian likelihood of Q with unit variance
        q_all   the same, averaged over all actions: as many backward passes
        policy  of log softmax(Q)[a], a drawn from it with `generator`
        """
        return mean_over((self._squares(batch, task, estimator, generator), len(batch.action)) for batch in batches)

    @torch.no_grad()
    def silent_units(self, batches: Iterable[Transition], task: int) -> list[Tensor]:
        """Which units of each hidden layer no observation in `batches` activates, bool [U]."""
        silent = [torch.ones(u, dtype=torch.bool, device=self.device) for u in self.network.units[:-1]]
        for batch in batches:
            _, taps = self.network.with_taps(batch.observation.to(self.device), task)
            for mask, activation in zip(silent, self._hidden(taps), strict=True):
                mask &= (activation <= 0).all(2).all(0)
        return silent

    @torch.no_grad()
    def close_units(self, task: int, units: Sequence[Tensor]) -> None:
        """Set the task's gains of these units (bool [U] for each hidden layer) to 0, where they stay: whatever other
        tasks make of the units' weights, in this task they are silent for good. A layer that would have none left,
        through which the task could never learn again, stays as it is."""
        gains = self.network.of_task(task).gains
        units = [mask & bool(((gain != 0) & ~mask).any()) for gain, mask in zip(gains, units, strict=False)]
        for network in (self.network, self.target):
            for gain, mask in zip(network.of_task(task).gains, units, strict=False):
                gain.masked_fill_(mask, 0.0)
        for gain, mask in zip(self.network.of_task(task).gains, units, strict=False):
            momentum = self.optimiser.state.get(gain, {}).get("exp_avg")
            if momentum is not None:
                momentum.masked_fill_(mask, 0.0)

    def used_share(self, task: int) -> float:
        """The share of all hidden units that the task uses."""
        gains = torch.cat([gain.detach() for gain in self.network.of_task(task).gains][:-1])
        return float((gains != 0).float().mean())

    def loss_gradients(self, batch: Transition, task: int) -> tuple[list[Tensor], list[Tensor]]:
        """The summed loss's gradients of the shared weights, and the activations [N, U, L] at L positions of the hidden
        layers' units that the task uses, in float32 on the minibatch as it is; nothing is changed."""
        batch = batch.to(self.device)
        values, taps = self.network.with_taps(batch.observation, task)
        loss = huber(self._error(values, batch, task)).sum()
        gradients = torch.autograd.grad(loss, self.weights)
        gains = self.network.of_task(task).gains
        used = [activation[:, gain != 0] for activation, gain in zip(self._hidden(taps), gains, strict=False)]
        return list(gradients), used

    def _hidden(self, taps: Sequence[Tap]) -> list[Tensor]:
        """The hidden layers' activations [N, U, L] at L positions."""
        units = self.network.units
        return [tap.input.detach().flatten(1).unflatten(1, (units[i], -1)) for i, tap in enumerate(taps[1:])]

    def curvature(self) -> list[Tensor] | None:
        """The running mean of the squared gradients of the shared weights; None before the first update."""
        names = ("square", "exp_avg_sq")  # as the optimisers call it
        states = [self.optimiser.state.get(w, {}) for w in self.weights]
        found = [state[name] for state in states for name in names if name in state]
        return found if len(found) == len(states) else None

    def _error(self, values: Tensor, batch: Transition, task: int) -> Tensor:
        """TD errors [N] of `values` [N, A]."""
        following = batch.next_observation
        with torch.no_grad():
            target = double_q_target(
                batch.reward, batch.discount, self.network(following, task), self.target(following, task)
            )
        return values.gather(1, batch.action[:, None]).squeeze(1) - target

    def _squares(self, batch: Transition, task: int, estimator: str, generator: torch.Generator) -> list[Tensor]:
        batch = batch.to(self.device)
        values, taps = self.network.with_taps(batch.observation, task)
        if estimator == "q_all":
            return all_outputs_squares(values, taps)
        if estimator == "policy":
            return squared_gradients(sampled_log_likelihood(values, generator), taps)
        if estimator == "q":
            return squared_gradients(values.gather(1, batch.action[:, None]).squeeze(1), taps)
        if estimator == "td":
            return squared_gradients(huber(self._error(values, batch, task)), taps)
        raise ValueError(f"unknown Fisher estimator {estimator!r}: choose one of {', '.join(FISHERS)}")

    def sync_target(self) -> None:
        """Copy the online network into the target network."""
        with torch.no_grad():
            for kept, latest in zip(self.target.parameters(), self.network.parameters(), strict=True):
                kept.copy_(latest)

    def _halves(self, found: Gradients) -> list[int]:
        """Layers whose gradients the optimiser takes as they are, and whose copies in the passes it writes."""
        if not isinstance(self.optimiser, CentredRMSProp):
            return []
        copies = self._online.copies()
        for layer, half in copies.items():
            self.optimiser.half[self.network.weights[layer]] = found.weights[layer], half
        return list(copies)

    def _set_gradients(self, found: Gradients, task: int, without: Sequence[int]) -> None:
        """As a backward pass by autograd would; none for the parameters of other tasks, nor for the weights of the
        layers `without`."""
        for number, others in enumerate(self.network.tasks):
            if number != task:
                for p in others.parameters():
                    p.grad = None
        own = self.network.of_task(task)
        parameters = (*self.network.weights, *own.biases, *own.gains)
        for i, (p, gradient) in enumerate(zip(parameters, (*found.weights, *found.biases, *found.gains), strict=True)):
            if i in without:
                p.grad = None
            elif self._recorder is None and gradient.dtype == p.dtype:
                p.grad = gradient.contiguous()
            else:
                if p.grad is None:
                    p.grad = torch.empty_like(p)
                p.grad.copy_(gradient)  # recordings want it where it was

    def _gradients(self, task: int) -> list[Tensor]:
        """Those of the shared weights and of the task's own parameters."""
        parameters = (*self.network.weights, *self.network.tasks[task].parameters())
        return [p.grad for p in parameters if p.grad is not None]

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
