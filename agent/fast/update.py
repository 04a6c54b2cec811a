"""The update of `agent.dqn.PlainUpdate` with passes written out, in the number type of the network.

Axes: N transitions of a minibatch, A actions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from agent.augmentation import Offsets, augmented
from agent.dqn import clip_norm, measured
from agent.fast.cuda_graphs import CudaGraphs
from agent.fast.network import FastNetwork, Gradients
from agent.fast.optimizers import Adam, CentredRMSProp
from agent.networks import QNetwork
from agent.objective import DOUBLE_Q, Objective
from agent.recall import Recalled
from agent.roles import Consolidator
from replay.transition import FrameBatch, Transition


class FastUpdate:
    """For a `QNetwork` and an optimizer of `agent.fast.optimizers`, on any device.

    On a CPU, gradients of large layers may stay in bfloat16 and go into the optimizer's step as they are. With
    `cuda_graphs` an update is recorded once for every task and replayed from then on.
    """

    def __init__(
        self,
        network: QNetwork,
        target: QNetwork,
        optimizer: CentredRMSProp | Adam,
        max_gradient_norm: float,
        objective: Objective = DOUBLE_Q,
        cuda_graphs: bool = False,
    ) -> None:
        self.objective = objective
        self.network = network
        self.optimizer = optimizer
        self.max_gradient_norm = max_gradient_norm
        self._online, self._target = FastNetwork(network), FastNetwork(target)
        self._learned: int | None = None  # the task of the latest update
        self._acting: dict[int | None, FastNetwork] = {}  # for other tasks, where each has copies of its own
        self._states: Tensor | None = None
        gradients = lambda: [p.grad for p in network.parameters()]  # noqa: E731
        self._graphs = CudaGraphs(self._update, gradients) if cuda_graphs else None

    def q_values(self, observation: Tensor, task: int | None) -> Tensor:
        """uint8 [N, S, H, W], task (None: one never met) -> float32 [N, A] of the online network."""
        if not self.network.gated or task == self._learned:
            return self._online.forward(observation, task)[0]
        if task not in self._acting:
            self._acting[task] = FastNetwork(self.network)
        return self._acting[task].forward(observation, task)[0]

    def prepare(
        self, batch: Transition | FrameBatch, offsets: Offsets, task: int, recalled: Recalled | None = None
    ) -> Transition:
        """The minibatch with shifted observations, where the network is; it recalls nothing."""
        assert recalled is None
        return augmented(batch, offsets, self.network, task)

    def __call__(self, prepared: Transition, task: int, consolidator: Consolidator) -> Tensor:
        """Learn from one minibatch; float32 [5] in the order of METRICS."""
        self._learned = task
        states = self._together(prepared.observation, prepared.next_observation, task)
        inputs = states, prepared.action, prepared.reward, prepared.discount
        self._target.convert(task)
        if self._graphs is None:
            return self._update(*inputs, task, consolidator)
        numbers = self._graphs(task, inputs, task, consolidator)
        # A recording changes parameters without telling them so.
        torch.autograd.graph.increment_version(
            [*self.network.weights, *self.network.task_parameters[task].parameters()]
        )
        return numbers

    def flush(self) -> None:
        """Nothing is kept elsewhere."""

    @torch.no_grad()
    def _update(
        self, states: Tensor, action: Tensor, reward: Tensor, discount: Tensor, task: int, consolidator: Consolidator
    ) -> Tensor:
        """On states now and following, 2 N of them, prepared or not."""
        count = len(action)
        self._online.convert(task, always=self._graphs is not None)
        values, activations = self._online.forward(states, task)
        next_target, _ = self._target.forward(states[count:], task)
        goal = self.objective.td_target(reward, discount, values[count:], next_target)
        values = values[:count]
        chosen = values.gather(1, action[:, None]).squeeze(1)
        error = chosen - goal
        q_gradient = self.objective.gradient(error, values, action)
        gradients = self._online.backward(activations.first(count), q_gradient, task)
        whole = consolidator.adds_to_gradients or self._graphs is not None
        half = [] if whole else self._stay_in_half(gradients)
        self._set_gradients(gradients, task, half)
        consolidator.before_step(list(self.network.weights))
        norm = clip_norm(self._gradients(task) + [gradients.weights[i] for i in half], self.max_gradient_norm)
        consolidator.step(self.optimizer)
        if half:
            self._online.renewed(half)
        return measured(error, values, chosen, norm)

    def _together(self, now: Tensor, following: Tensor, task: int) -> Tensor:
        """Both, one after the other, as the first layer sees them; on a processor already prepared for the passes, and
        always in the same memory, since what is new to a process is slow."""
        if now.device.type != "cpu":
            return self.network.seen(torch.cat([now, following]), task)
        states = [self._online.prepared(each, task) for each in (now, following)]
        shape = 2 * len(now), *states[0].shape[1:]
        if self._states is None or self._states.shape != shape:
            self._states = torch.empty(shape, dtype=self._online.pixels)
        self._states[: len(now)], self._states[len(now) :] = states
        return self._states

    def _stay_in_half(self, gradients: Gradients) -> list[int]:
        """Layers whose gradients the optimizer takes as they are, and whose copies in the passes it writes."""
        if not isinstance(self.optimizer, CentredRMSProp):
            return []
        copies = self._online.copies()
        for layer, half in copies.items():
            self.optimizer.half[self.network.weights[layer]] = gradients.weights[layer], half
        return list(copies)

    def _set_gradients(self, gradients: Gradients, task: int, without: Sequence[int]) -> None:
        """As a backward pass by autograd would; none for the parameters of other tasks, nor for the weights of the
        layers `without`."""
        for number, others in enumerate(self.network.task_parameters):
            if number != task:
                for p in others.parameters():
                    p.grad = None
        own = self.network.of_task(task)
        parameters = (*self.network.weights, *own.biases, *own.gains)
        found = (*gradients.weights, *gradients.biases, *gradients.gains)
        for i, (p, gradient) in enumerate(zip(parameters, found, strict=True)):
            if i in without:
                p.grad = None
            elif self._graphs is None and gradient.dtype == p.dtype:
                p.grad = gradient.contiguous()
            else:
                if p.grad is None:
                    p.grad = torch.empty_like(p)
                p.grad.copy_(gradient)  # recordings want it where it was

    def _gradients(self, task: int) -> list[Tensor]:
        """Those of the shared weights and of the task's own parameters."""
        parameters = (*self.network.weights, *self.network.task_parameters[task].parameters())
        return [p.grad for p in parameters if p.grad is not None]
