"""The continual agent: infer the task, act, remember, learn.

Axes: B emulators in lockstep playing one game, S stacked frames, H x W pixels.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from agent.departure import Departure, Stopped, never
from agent.diagnostics import dormant_shares
from agent.dqn import Consolidates, QLearner
from agent.exploration import LinearEpsilon, epsilon_greedy
from replay.pending import PendingRows, Remembered, Row
from replay.transition import Transition

_AT_ONCE = 16  # minibatches sampled together


class Observed(Protocol):
    """The part of a time step that the agent needs (see `envs.timestep.TimeStep`)."""

    @property
    def observation(self) -> np.ndarray: ...

    @property
    def reward(self) -> np.ndarray: ...

    @property
    def discount(self) -> np.ndarray: ...

    @property
    def interrupted(self) -> np.ndarray: ...


class Inferred(Protocol):
    """The task to act in, and the tasks of the oldest unsettled steps (see `taskid.source.Inference`)."""

    @property
    def task(self) -> int: ...

    @property
    def settled(self) -> tuple[int, ...]: ...


class Tasks(Protocol):
    """Task inference (see `taskid.source.TaskSource`)."""

    @property
    def tasks(self) -> int: ...

    @property
    def posterior(self) -> float: ...

    def infer(self, now: Any) -> Inferred: ...

    def restart(self) -> None: ...

    def recogniser(self, label: str) -> Any: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class Memory(Protocol):
    """Replay per task (see `replay.per_task.PerTaskReplay`)."""

    def add(self, task: int, time: int, now: Any, action: np.ndarray, following: Any) -> None: ...

    def can_sample(self, task: int) -> bool: ...

    def sample(self, task: int, size: int, rng: np.random.Generator) -> Transition: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class Consolidator(Consolidates, Protocol):
    """What earlier tasks have to say (see `agent.consolidators.consolidation`)."""

    def enter(self, task: int) -> None: ...

    def leave(
        self,
        task: int,
        weights: Sequence[Tensor],
        fisher: Callable[[], list[Tensor]],
        joined: Callable[[], list[Tensor]],
    ) -> dict[str, float]: ...

    def examine(
        self, weights: Sequence[Tensor], gradients: Sequence[Tensor], curvature: Sequence[Tensor] | None
    ) -> dict[str, float]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class Player:
    """An epsilon-greedy policy of the current network for evaluations; learns and changes nothing."""

    def __init__(self, learner: QLearner, actions: int, epsilon: float, rng: np.random.Generator) -> None:
        self.learner = learner
        self.actions = actions
        self.epsilon = epsilon
        self.rng = rng

    def act(self, observation: np.ndarray, task: int | None) -> np.ndarray:
        """uint8 [B, S, H, W], the recognised task (None: never met) -> int64 [B]. A task that was found but not begun
        is one never met."""
        begun = task if task is not None and task < self.learner.tasks else None
        values = self.learner.q_values(torch.from_numpy(observation), begun)
        return epsilon_greedy(values.argmax(1).cpu().numpy(), self.epsilon, self.actions, self.rng)


class ContinualAgent:
    """Composition of inference, replay per task, Q-learning and exploration.

    `samples_per_step` is how many transitions are replayed per agent step (one action of one emulator),
    whatever B is. Learning in a task starts after `min_history_frames` frames in it, once for ever, and pauses
    while its replay holds nothing that can be sampled. The target network is copied every `target_frames` frames of
    learning. `reward_clip` bounds |reward| (0: no bound).

    What is seen while the task is in doubt is held back until it is settled, and goes to the task it is settled
    for; nothing is learned meanwhile, and what was owed is caught up afterwards. With `hold_back` off every row
    goes at once to the task that was acted in.

    One time step is `act`, then `learn` (while the emulators carry the actions out), then `observe`: learning is one
    step behind what is seen.

    When the task changes, the one that is left is consolidated from its own replay (`fisher_batches` minibatches, for
    the Fisher information `fisher_estimator`): at the weights as they were at the first sign of a change, since nothing
    is learned in doubt. With `close_silent`, and whatever the consolidation, the gains of units that this replay never
    activates are set to 0 before. A task that was played for less than `start_frames` is left as it is, and so is one
    after a visit of less than `min_visit_frames`: it may be an error of the inference, and the weights then are those
    of another task, whose anchor they would replace.

    `rehearsal` is the share of updates that replay another task instead, the others in turn: an upper bound to what
    can be remembered, at the same amount of learning.
    """

    def __init__(
        self,
        tasks: Tasks,
        memory: Memory,
        learner: QLearner,
        consolidation: Consolidator,
        epsilon: LinearEpsilon,
        *,
        actions: int,
        frames_per_step: int,
        batch_size: int,
        samples_per_step: float,
        min_history_frames: int,
        target_frames: int,
        reward_clip: float,
        hold_back: bool = True,
        fisher_estimator: str = "q",
        fisher_batches: int = 100,
        close_silent: bool = False,
        start_frames: int = 0,
        min_visit_frames: int = 0,
        rehearsal: float = 0.0,
        exploration_rng: np.random.Generator,
        replay_rng: np.random.Generator,
        fisher_rng: np.random.Generator,
    ) -> None:
        self.tasks = tasks
        self.memory = memory
        self.learner = learner
        self.consolidation = consolidation
        self.epsilon = epsilon
        self.actions = actions
        self.frames_per_step = frames_per_step
        self.batch_size = batch_size
        self.samples_per_step = samples_per_step
        self.min_history_frames = min_history_frames
        self.target_frames = target_frames
        self.reward_clip = reward_clip
        self.hold_back = hold_back
        self.fisher_estimator = fisher_estimator
        self.fisher_batches = fisher_batches
        self.close_silent = close_silent
        self.start_frames = start_frames
        self.min_visit_frames = min_visit_frames
        self.rehearsal = rehearsal
        self.exploration_rng = exploration_rng
        self.replay_rng = replay_rng
        self.fisher_rng = fisher_rng
        self.task = -1
        self.time = 0
        self.settled: tuple[int, ...] = ()
        self.reports: list[dict[str, Tensor]] = []  # of updates and departures, until `learn` returns them
        self.departure: Departure | None = None  # that was given up
        self.pending = PendingRows()
        self.task_frames: dict[int, int] = {}
        self.visit_frames = 0  # in the present task since it was entered
        self.short_visits = 0  # of tasks that were learned: those too short to leave an anchor
        self.samples_owed = 0.0
        self.frames_owed = 0  # of learning in the present task
        self.learning_frames = 0
        self.updates = 0

    def act(self, now: Observed, stopped: Stopped = never) -> np.ndarray:
        """Actions int64 [B] for `now`, after inferring its task; to be called once per time step.

        Raises `agent.departure.Abandoned` soon after `stopped()` becomes true while a task that is left is measured.
        The same call again, also by an agent with this one's state, ends as if it had not been given up.
        """
        inferred = self.departure or self.tasks.infer(now)
        if inferred.task != self.task:
            if self.departure is None:
                updates = self.learn()  # what the task that is left still owes
                self.departure = Departure(inferred.task, tuple(inferred.settled), self._departure_seed(), updates)
            self._change_task(self.departure, stopped)
        self.settled = inferred.settled if self.hold_back else (inferred.task,)
        while self.learner.tasks < self.tasks.tasks:
            self.learner.add_task()
        frames = self.task_frames.setdefault(self.task, 0)
        values = self.learner.q_values(torch.from_numpy(now.observation), self.task)
        greedy = values.argmax(1).cpu().numpy()
        return epsilon_greedy(greedy, self.epsilon(frames), self.actions, self.exploration_rng)

    def observe(self, now: Observed, action: np.ndarray, following: Observed) -> None:
        """Remember one step of all emulators; what it makes due is learned by the next `learn`."""
        self.pending.append(Row(self.time, self._remembered(now), action, self._remembered(following)))
        self.time += 1
        for task in self.settled:
            row = self.pending.pop()
            self.memory.add(task, row.time, row.before, row.action, row.after)
            self.task_frames[task] = self.task_frames.get(task, 0) + self.frames_per_step
            self.visit_frames += self.frames_per_step if task == self.task else 0
            if task == self.task and self._learned(task):
                self.samples_owed += len(action) * self.samples_per_step
                self.frames_owed += self.frames_per_step

    def learn(self) -> list[dict[str, Tensor]]:
        """Learn what is due; the metrics of each update, and of a departure if there was one. On an accelerator, where
        keeping them costs as much as an update, those of the last update only."""
        due = int(self.samples_owed // self.batch_size) if self.frames_owed and self._learned(self.task) else 0
        self.samples_owed -= due * self.batch_size
        updates = []
        for task, count in self._replayed(due):
            samples = self.memory.sample(task, count * self.batch_size, self.replay_rng).to(self.learner.device)
            for batch in samples.split(self.batch_size):
                updates.append(self.learner.learn(batch, task, self.consolidation))
        self.reports += updates if self.learner.device.type == "cpu" else updates[-1:]
        self.updates += due
        before = self.learning_frames // self.target_frames
        self.learning_frames += self.frames_owed
        self.frames_owed = 0
        if self.learning_frames // self.target_frames > before:
            self.learner.sync_target()
        reports, self.reports = self.reports, []
        return reports

    def _replayed(self, due: int) -> Iterator[tuple[int, int]]:
        """The tasks of the next `due` updates and how many of each, some at once."""
        others = [t for t in sorted(self.task_frames) if t != self.task and self._learned(t)]
        own = 0
        for update in range(self.updates, self.updates + due):
            turn = int(update * self.rehearsal)
            if others and int((update + 1) * self.rehearsal) > turn:
                yield others[turn % len(others)], 1
            else:
                own += 1
            if own == _AT_ONCE:
                yield self.task, own
                own = 0
        if own:
            yield self.task, own

    def _learned(self, task: int) -> bool:
        """Whether the task has the frames that learning waits for, and something to learn from."""
        return self.task_frames.get(task, 0) >= self.min_history_frames and self.memory.can_sample(task)

    def _departure_seed(self) -> int | None:
        """One draw of `fisher_rng`, whatever is measured; None if the present task, if any, leaves nothing."""
        if not self._learned(self.task):
            return None
        if self.visit_frames < self.min_visit_frames:
            self.short_visits += 1
            return None
        return int(self.fisher_rng.integers(2**62)) if self.task_frames[self.task] >= self.start_frames else None

    def _change_task(self, departure: Departure, stopped: Stopped) -> None:
        """Consolidate the task that is left, if any, and let the others speak in the one that begins."""
        self.reports = list(departure.reports)
        if departure.seed is not None:
            report = self._leave(departure, stopped)
            self.reports.append({name: torch.tensor(value) for name, value in report.items()})
        self.consolidation.enter(departure.task)
        self.task, self.visit_frames, self.departure = departure.task, 0, None

    def _leave(self, departure: Departure, stopped: Stopped) -> dict[str, float]:
        """Close the silent units of the present task and consolidate it."""
        task, learner = self.task, self.learner

        def batches(use: int) -> Iterator[Transition]:
            sample = partial(self.memory.sample, task, self.batch_size)
            return departure.batches(use, self.fisher_batches, sample, stopped)

        def fisher() -> list[Tensor]:
            generator = torch.Generator().manual_seed(departure.seed or 0)
            return learner.fisher(batches(1), task, self.fisher_estimator, generator)

        if self.close_silent and not departure.closed:
            learner.close_units(task, learner.silent_units(batches(0), task))
            departure.closed = True
        report = self.consolidation.leave(task, learner.weights, fisher, lambda: learner.network.connections(task))
        return {**report, "units_used": learner.used_share(task)}

    def _remembered(self, step: Observed) -> Remembered:
        reward = step.reward if self.reward_clip == 0 else np.clip(step.reward, -self.reward_clip, self.reward_clip)
        return Remembered(step.observation, reward, step.discount, step.interrupted)

    def examine(self) -> dict[str, float]:
        """Instruments of plasticity, from one minibatch of the current task: what consolidation does (see its own
        `examine`) and the share of dormant units per layer. Empty before learning in the task has begun.

        The minibatch is a function of the number of updates: no generator that learning uses is touched.
        """
        if not self._learned(self.task):
            return {}
        rng = np.random.default_rng([self.updates, self.task])
        batch = self.memory.sample(self.task, 4 * self.batch_size, rng)
        gradients, activations = self.learner.loss_gradients(batch, self.task)
        gradients = [g / 4 for g in gradients]  # at the scale of one minibatch
        found = self.consolidation.examine(self.learner.weights, gradients, self.learner.curvature())
        return {**found, **dormant_shares(activations)}

    def player(self, epsilon: float, rng: np.random.Generator) -> Player:
        """A frozen player of the current weights, with a generator of its own."""
        return Player(self.learner, self.actions, epsilon, rng)

    def snapshot(self) -> dict[str, Any]:
        """Weights and task models without replay: enough to evaluate or to start a new run from."""
        return {
            "network": {name: value.clone() for name, value in self.learner.network.state_dict().items()},
            "network_tasks": self.learner.tasks,
            "tasks": self.tasks.state_dict(),
        }

    def load_snapshot(self, snapshot: Mapping[str, Any]) -> None:
        """Take the weights and task models of `snapshot`; replay, timers and optimiser stay empty."""
        self.learner.load_weights(snapshot["network"], snapshot["network_tasks"])
        self.tasks.load_state_dict(snapshot["tasks"])
        self.tasks.restart()

    def state_dict(self) -> dict[str, Any]:
        """Everything of the agent but its memory and its consolidation, which have states of their own."""
        return {
            "tasks": self.tasks.state_dict(),
            "learner": self.learner.state_dict(),
            "task": self.task,
            "time": self.time,
            "pending": self.pending.state_dict(),
            "task_frames": dict(self.task_frames),
            "visit_frames": self.visit_frames,
            "short_visits": self.short_visits,
            "samples_owed": self.samples_owed,
            "frames_owed": self.frames_owed,
            "learning_frames": self.learning_frames,
            "updates": self.updates,
            **({"departure": self.departure.state_dict()} if self.departure else {}),
            "exploration_rng": generator_state(self.exploration_rng),
            "replay_rng": generator_state(self.replay_rng),
            "fisher_rng": generator_state(self.fisher_rng),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.tasks.load_state_dict(state["tasks"])
        self.learner.load_state_dict(state["learner"])
        self.task, self.time = state["task"], state["time"]
        self.pending.load_state_dict(state["pending"])
        self.task_frames = dict(state["task_frames"])
        self.visit_frames, self.short_visits = state["visit_frames"], state["short_visits"]
        self.samples_owed, self.frames_owed = state["samples_owed"], state["frames_owed"]
        self.learning_frames, self.updates = state["learning_frames"], state["updates"]
        self.departure = Departure.from_state(state["departure"]) if "departure" in state else None
        set_generator_state(self.exploration_rng, state["exploration_rng"])
        set_generator_state(self.replay_rng, state["replay_rng"])
        set_generator_state(self.fisher_rng, state["fisher_rng"])


def generator_state(rng: np.random.Generator) -> str:
    """A numpy generator's state as JSON text (its integers exceed 64 bits)."""
    return json.dumps(rng.bit_generator.state)


def set_generator_state(rng: np.random.Generator, state: str) -> None:
    """Restore what `generator_state` returned."""
    rng.bit_generator.state = json.loads(state)
