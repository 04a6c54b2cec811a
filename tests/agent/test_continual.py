"""The agent's book-keeping, with a scripted source of tasks and a learner that only counts."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from agent.continual import ContinualAgent
from agent.exploration import LinearEpsilon


@dataclass(frozen=True)
class Step:
    observation: np.ndarray
    reward: np.ndarray
    discount: np.ndarray
    first: np.ndarray


class Script:
    """Tasks as scripted, one per step."""

    def __init__(self, tasks):
        self.script, self.tasks = iter(tasks), 0

    def infer(self, now):
        task = next(self.script)
        self.tasks = max(self.tasks, task + 1)
        return task


class Memory:
    def __init__(self):
        self.rows, self.sampled = [], []

    def add(self, task, time, now, action, following):
        self.rows.append((task, time, following.reward.tolist()))

    def size(self, task):
        return sum(len(reward) for t, _, reward in self.rows if t == task)

    def sample(self, task, size, rng):
        self.sampled.append((task, size))


class Learner:
    def __init__(self):
        self.tasks, self.learned, self.syncs = 0, [], 0

    def add_task(self):
        self.tasks += 1

    def q_values(self, observation, task):
        return torch.zeros(len(observation), 18)

    def learn(self, batch, task):
        self.learned.append(task)
        return {}

    def sync_target(self):
        self.syncs += 1


def run(tasks, emulators=1, reward=0.0, **changes):
    settings = {
        "batch_size": 32,
        "samples_per_step": 8.0,
        "min_history_frames": 4,
        "target_frames": 1000,
        "reward_clip": 1.0,
        **changes,
    }
    agent = ContinualAgent(
        Script(tasks),
        Memory(),
        Learner(),
        LinearEpsilon(1.0, 0.0, 0, 400),
        actions=18,
        frames_per_step=4 * emulators,
        exploration_rng=np.random.default_rng(0),
        replay_rng=np.random.default_rng(1),
        **settings,
    )
    step = Step(
        np.zeros((emulators, 4, 84, 84), np.uint8),
        np.full(emulators, reward, np.float32),
        np.ones(emulators, np.float32),
        np.zeros(emulators, bool),
    )
    for _ in range(len(tasks)):
        agent.observe(step, agent.act(step), step)
    return agent


@pytest.mark.parametrize("emulators", [1, 2, 4, 8])
def test_samples_per_step_do_not_depend_on_the_number_of_emulators(emulators):
    agent = run([0] * (320 // emulators), emulators)
    assert len(agent.learner.learned) == 320 * 8 / 32


def test_a_fractional_ratio_is_kept_on_average():
    agent = run([0] * 1000, 1, samples_per_step=0.7, batch_size=32)
    assert len(agent.learner.learned) == int(1000 * 0.7 / 32)


def test_each_task_waits_for_its_own_history_and_only_once():
    agent = run([0] * 30 + [1] * 30 + [0] * 30, 1, min_history_frames=80, samples_per_step=32.0)
    assert agent.learner.learned == [0] * 11 + [1] * 11 + [0] * 30


def test_epsilon_has_a_timer_for_every_task():
    agent = run([0] * 60 + [1] * 10)
    assert agent.task_frames == {0: 240, 1: 40}
    assert agent.epsilon(agent.task_frames[0]) == pytest.approx(0.4)
    assert agent.epsilon(agent.task_frames[1]) == pytest.approx(0.9)


def test_rows_go_to_the_task_that_was_inferred_with_the_runs_time():
    agent = run([0, 0, 1, 0])
    assert [(task, time) for task, time, _ in agent.memory.rows] == [(0, 0), (0, 1), (1, 2), (0, 3)]


@pytest.mark.parametrize(("clip", "stored"), [(1.0, 1.0), (0.0, 7.0)])
def test_rewards_are_clipped_for_learning_only_where_asked(clip, stored):
    agent = run([0], 1, reward=7.0, reward_clip=clip)
    assert agent.memory.rows[0][2] == [stored]


def test_the_target_is_synced_once_per_period_of_learning_frames():
    agent = run([0] * 1000, 1, min_history_frames=2004, target_frames=400)
    assert agent.learning_frames == 500 * 4
    assert agent.learner.syncs == 5
