"""The continual agent: infer the task, act, remember, learn, and consolidate what is left.

Axes: B emulators in lockstep playing one game, S stacked frames, H x W pixels.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agent import diagnostics, pruning
from agent.background import BACKGROUND_FRAMES, picture
from agent.exploration import LinearEpsilon, epsilon_greedy
from agent.fisher import fisher_information
from agent.learner import QLearner
from agent.minibatches import Plan, minibatches
from agent.recall import Recall
from agent.roles import Consolidator
from agent.task_change import Stopped, TaskChange, never
from envs.timestep import TimeStep
from replay.roles import Replay
from replay.transition import Transition
from taskid.source import TaskSource

_AT_ONCE = 16  # minibatches sampled together


@dataclass(frozen=True)
class Updates:
    """When the agent learns, and from what.

    batch_size          transitions of a minibatch
    samples_per_step    transitions replayed per agent step (one action of one emulator), whatever B is
    min_history_frames  frames in a task before learning in it starts, once for ever; it pauses while the task's replay
                        holds nothing that can be sampled
    rehearsal           share of updates that replay another task instead, the others in turn: an upper bound to what
                        can be remembered, at the same amount of learning
    """

    batch_size: int
    samples_per_step: float
    min_history_frames: int
    rehearsal: float = 0.0


@dataclass(frozen=True)
class Departure:
    """What is done when a task is left.

    fisher_estimator  of `agent.fisher.ESTIMATORS`
    fisher_batches    minibatches of its own replay that the Fisher information is measured on
    prune_inactive    gate off the units that this replay never activates, whatever the consolidator
    start_frames      a task that was played for less is left as it is
    min_visit_frames  and so is one after a shorter visit: it may be an error of the inference, and the weights then are
                      those of another task, whose anchor they would replace
    """

    fisher_estimator: str = "q"
    fisher_batches: int = 100
    prune_inactive: bool = False
    start_frames: int = 0
    min_visit_frames: int = 0


@dataclass(frozen=True)
class Generators:
    """A generator for every purpose, so that none depends on what another has drawn."""

    exploration: np.random.Generator
    replay: np.random.Generator
    fisher: np.random.Generator


class Player:
    """An epsilon-greedy policy of the current network for evaluations; learns and changes nothing."""

    def __init__(self, learner: QLearner, epsilon: float, rng: np.random.Generator) -> None:
        self.learner = learner
        self.epsilon = epsilon
        self.rng = rng

    def act(self, observation: np.ndarray, task: int | None) -> np.ndarray:
        """uint8 [B, S, H, W], the recognised task (None: never met) -> int64 [B]. A task that was found but not begun
        is one never met."""
        return epsilon_greedy(self._values(observation, task), self.epsilon, self.rng)

    def value(self, observation: np.ndarray, task: int | None) -> np.ndarray:
        """float32 [B]: what the best actions of `act` are worth, of clipped rewards."""
        return self._values(observation, task).amax(1).cpu().numpy()

    def _values(self, observation: np.ndarray, task: int | None) -> Tensor:
        begun = task if task is not None and task < self.learner.num_tasks else None
        return self.learner.q_values(torch.from_numpy(observation), begun)


class ContinualAgent:
    """Composition of task inference, replay per task, Q-learning and consolidation.

    One time step is `act`, then `learn` (while the emulators carry the actions out), then `observe`: learning is one
    step behind what is seen.

    What is seen while the task is in doubt waits in the replay until it is assigned to one; nothing is learned
    meanwhile, and what was owed is caught up afterwards. So when the task changes, the weights that are consolidated
    are those at the first sign of the change.

    recall           holds what the network said of tasks that were left
    epsilon          exploration by the frames of the task itself
    frames_per_step  environment frames that one step of all B emulators takes
    """

    def __init__(
        self,
        task_source: TaskSource,
        replay: Replay,
        learner: QLearner,
        consolidator: Consolidator,
        recall: Recall,
        epsilon: LinearEpsilon,
        updates: Updates,
        departure: Departure,
        generators: Generators,
        frames_per_step: int,
    ) -> None:
        self.task_source = task_source
        self.replay = replay
        self.learner = learner
        self.consolidator = consolidator
        self.recall = recall
        self.epsilon = epsilon
        self.when = updates
        self.departure = departure
        self.generators = generators
        self.frames_per_step = frames_per_step
        self.task = -1
        self.assigned: tuple[int, ...] = ()  # the tasks of the oldest steps in doubt, as of the last `act`
        self.reports: list[dict[str, Tensor]] = []  # of updates and departures, until `learn` returns them
        self.change: TaskChange | None = None  # that was given up
        self.task_frames: dict[int, int] = {}
        self.visit_frames = 0  # in the present task since it was entered
        self.short_visits = 0  # of tasks that were learned: those too short to leave an anchor
        self.sample_debt = 0.0
        self.frame_debt = 0  # frames of the present task whose learning is still to be counted
        self.updates = 0

    def act(self, now: TimeStep, stopped: Stopped = never) -> np.ndarray:
        """Actions int64 [B] for `now`, after inferring its task; to be called once per time step.

        Raises `agent.task_change.Abandoned` soon after `stopped()` becomes true while a task that is left is measured.
        The same call again, also by an agent with this one's state, ends as if it had not been given up.
        """
        inference = self.change or self.task_source.infer(now)
        if inference.task != self.task:
            if self.change is None:
                updates = self.learn()  # what the task that is left still owes
                self.change = TaskChange(inference.task, inference.assigned, self._departure_seed(), updates)
            self._change_task(self.change, stopped)
        self.assigned = inference.assigned
        while self.learner.num_tasks < self.task_source.num_tasks:
            self.learner.add_task()
        frames = self.task_frames.setdefault(self.task, 0)
        values = self.learner.q_values(torch.from_numpy(now.observation), self.task)
        return epsilon_greedy(values, self.epsilon(frames), self.generators.exploration)

    def observe(self, now: TimeStep, action: np.ndarray, following: TimeStep) -> None:
        """Remember one step of all emulators; what it makes due is learned by the next `learn`."""
        self.replay.defer(now, action, following)
        for task in self.assigned:
            self.replay.assign(task)
            self.task_frames[task] = self.task_frames.get(task, 0) + self.frames_per_step
            self.visit_frames += self.frames_per_step if task == self.task else 0
            if task == self.task and self._learned(task):
                self.sample_debt += len(action) * self.when.samples_per_step
                self.frame_debt += self.frames_per_step

    def learn(self) -> list[dict[str, Tensor]]:
        """Learn what is due; the metrics of each update, and of a departure if there was one. On an accelerator, where
        keeping them costs as much as an update, those of the last update only."""
        plan = self._plan()
        if plan and self.learner.wants_background(self.task):
            self._find_background()
        due = sum(count for _, count in plan)
        self.sample_debt -= due * self.when.batch_size
        metrics = [
            self.learner.learn_prepared(prepared, task, self.consolidator) for task, prepared in self._minibatches(plan)
        ]
        self.reports += metrics if self.learner.device.type == "cpu" else metrics[-1:]
        self.updates += due
        self.learner.count_frames(self.frame_debt)
        self.frame_debt = 0
        reports, self.reports = self.reports, []
        return reports

    def _minibatches(self, plan: Plan) -> Iterator[tuple[int, Any]]:
        rng, batch_size = self.generators.replay, self.when.batch_size
        return minibatches(self.replay, self.learner, plan, batch_size, rng, self.recall, self.task)

    def _plan(self) -> Plan:
        """The tasks of the updates that are due and how many of each, some at once."""
        due = int(self.sample_debt // self.when.batch_size) if self.frame_debt and self._learned(self.task) else 0
        share = self.when.rehearsal
        others = [t for t in sorted(self.task_frames) if t != self.task and self._learned(t)]
        plan, own = [], 0
        for update in range(self.updates, self.updates + due):
            turn = int(update * share)
            if others and int((update + 1) * share) > turn:
                plan.append((others[turn % len(others)], 1))
            else:
                own += 1
            if own == _AT_ONCE:
                plan.append((self.task, own))
                own = 0
        return [*plan, (self.task, own)] if own else plan

    def _find_background(self) -> None:
        """Of the present task, from what it has in its replay when learning begins."""
        sample = self.replay.sample(self.task, BACKGROUND_FRAMES, np.random.default_rng(self.task))
        self.learner.set_background(self.task, sample.observation[:, -1])

    def _learned(self, task: int) -> bool:
        """Whether the task has the frames that learning waits for, and something to learn from."""
        return self.task_frames.get(task, 0) >= self.when.min_history_frames and self.replay.can_sample(task)

    def _departure_seed(self) -> int | None:
        """One draw of the Fisher's generator, whatever is measured; None if the present task leaves nothing."""
        if not self._learned(self.task):
            return None
        if self.visit_frames < self.departure.min_visit_frames:
            self.short_visits += 1
            return None
        long_enough = self.task_frames[self.task] >= self.departure.start_frames
        return int(self.generators.fisher.integers(2**62)) if long_enough else None

    def _change_task(self, change: TaskChange, stopped: Stopped) -> None:
        """Consolidate the task that is left, if any, and let the others speak in the one that begins."""
        self.reports = list(change.reports)
        self.learner.settle()
        if change.seed is not None:
            report = self._leave(change, change.seed, stopped)
            self.reports.append({name: torch.tensor(value) for name, value in report.items()})
        self.consolidator.enter(change.task)
        self.learner.enter(change.task)
        self.task, self.visit_frames, self.change = change.task, 0, None

    def _leave(self, change: TaskChange, seed: int, stopped: Stopped) -> dict[str, float]:
        """Prune and consolidate the present task."""
        task, learner, departure = self.task, self.learner, self.departure
        network = learner.network

        def batches(use: int, count: int = departure.fisher_batches) -> Iterator[Transition]:
            sample = partial(self.replay.sample, task, self.when.batch_size)
            return change.batches(use, count, sample, stopped)

        def fisher() -> list[Tensor]:
            generator = torch.Generator().manual_seed(seed)
            estimator = departure.fisher_estimator
            return fisher_information(
                network, learner.target, batches(1), task, estimator, generator, learner.objective.td_target
            )

        if departure.prune_inactive and not change.pruned:
            pruning.prune(learner, task, pruning.inactive_units(network, batches(0), task))
            change.pruned = True
        states = (batch.observation for batch in batches(2, -(-self.recall.states // self.when.batch_size)))
        kept = self.recall.measure(task, states, learner.q_values)
        report = self.consolidator.leave(task, learner.weights, fisher, partial(network.active_units, task))
        agreements = self.recall.agreements(task, learner.q_values)
        self.recall.leave(task, kept)
        report |= {f"agreement_task{other}": value for other, value in agreements.items()}
        if agreements:
            report |= {"agreement_mean": fmean(agreements.values()), "agreement_least": min(agreements.values())}
        return {**report, "active_fraction": pruning.active_fraction(network, task)}

    def diagnostics(self) -> dict[str, float]:
        """Instruments of plasticity, from one minibatch of the current task: what consolidation does and the share of
        dormant units per layer (see `agent.diagnostics`). Empty before learning in the task has begun.

        The minibatch is a function of the number of updates: no generator that learning uses is touched.
        """
        if not self._learned(self.task):
            return {}
        rng = np.random.default_rng([self.updates, self.task])
        learner = self.learner
        batch = self.replay.sample(self.task, 4 * self.when.batch_size, rng).to(learner.device)
        gradients, activations = diagnostics.loss_gradients(
            learner.network, learner.target, batch, self.task, learner.objective
        )
        gradients = [g / 4 for g in gradients]  # at the scale of one minibatch
        curvature = diagnostics.curvature(learner.optimizer, learner.weights)
        found = self.consolidator.diagnostics(learner.weights, gradients, curvature)
        return {**found, **diagnostics.dormant_shares(activations)}

    def screen(self, frame: np.ndarray) -> np.ndarray:
        """A frame uint8 [H, W] of the present task as it is and, where its background is subtracted, what is left of it
        to the right: [H, 2 W], in which 128 is nothing."""
        seen = self.learner.network.foreground(torch.from_numpy(frame).to(self.learner.device), self.task)
        return frame if seen.dtype == torch.uint8 else np.hstack([frame, picture(seen).cpu().numpy()])

    def player(self, epsilon: float, rng: np.random.Generator) -> Player:
        """A frozen player of the current weights, with a generator of its own."""
        return Player(self.learner, epsilon, rng)

    def snapshot(self) -> dict[str, Any]:
        """Weights and task models without replay: enough to evaluate or to start a new run from."""
        return {
            "network": self.learner.played_state_dict(),
            "network_tasks": self.learner.num_tasks,
            "task_source": self.task_source.state_dict(),
        }

    def load_snapshot(self, snapshot: Mapping[str, Any]) -> None:
        """Take the weights and task models of `snapshot`; replay, timers and optimizer stay empty."""
        self.learner.load_weights(snapshot["network"], snapshot["network_tasks"])
        self.task_source.load_state_dict(snapshot["task_source"])
        self.task_source.restart()

    def state_dict(self) -> dict[str, Any]:
        """Everything of the agent but its replay and its consolidator, which have states of their own."""
        return {
            "task_source": self.task_source.state_dict(),
            "learner": self.learner.state_dict(),
            "task": self.task,
            "task_frames": dict(self.task_frames),
            "visit_frames": self.visit_frames,
            "short_visits": self.short_visits,
            "sample_debt": self.sample_debt,
            "frame_debt": self.frame_debt,
            "updates": self.updates,
            **({"change": self.change.state_dict()} if self.change else {}),
            "generators": {name: generator_state(rng) for name, rng in vars(self.generators).items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.task_source.load_state_dict(state["task_source"])
        self.learner.load_state_dict(state["learner"])
        self.task, self.task_frames = state["task"], dict(state["task_frames"])
        self.visit_frames, self.short_visits = state["visit_frames"], state["short_visits"]
        self.sample_debt, self.frame_debt = state["sample_debt"], state["frame_debt"]
        self.updates = state["updates"]
        self.change = TaskChange.from_state(state["change"]) if "change" in state else None
        for name, rng in vars(self.generators).items():
            set_generator_state(rng, state["generators"][name])


def generator_state(rng: np.random.Generator) -> str:
    """A numpy generator's state as JSON text (its integers exceed 64 bits)."""
    return json.dumps(rng.bit_generator.state)


def set_generator_state(rng: np.random.Generator, state: str) -> None:
    """Restore what `generator_state` returned."""
    rng.bit_generator.state = json.loads(state)
