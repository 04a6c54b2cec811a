"""The plain DQN that ours is compared with does the same work: loss, networks, ratio of updates, frames."""

from __future__ import annotations

import itertools
from argparse import Namespace

import numpy as np
import pytest
import torch
from gymnasium import spaces

from agent.networks import QNetwork as OurNetwork
from benchmarks import plain_dqn
from configs.choices import NETWORKS

SHAPE = (4, 84, 84)


def picture(value: int) -> np.ndarray:
    return np.full(SHAPE, value, np.uint8)


def test_td_target_by_hand() -> None:
    reward, terminal = torch.tensor([1.0, -1.0, 0.0]), torch.tensor([0.0, 1.0, 0.0])
    next_values = torch.tensor([[2.0, 4.0], [100.0, 50.0], [-3.0, -2.0]])
    expected = [1.0 + 0.99 * 4.0, -1.0, 0.99 * -2.0]
    assert plain_dqn.td_target(reward, terminal, next_values).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("name", ["nature", "paper", "small", "tiled"])
def test_the_networks_are_those_that_ours_is_compared_on(name: str) -> None:
    plain = plain_dqn.QNetwork(name, 18)
    ours = OurNetwork(NETWORKS[name].make(), 18, 4, 84, torch.Generator())
    assert [p.shape for p in plain.parameters() if p.ndim > 1] == [w.shape for w in ours.weights]
    strides = [layer.stride[0] for layer in plain.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert strides == ours.strides
    white = torch.full((2, *SHAPE), 255, dtype=torch.uint8)
    assert torch.equal(plain(white), plain.layers(torch.ones(2, *SHAPE))) and plain(white).shape == (2, 18)


class Script:
    """An environment whose five steps are: plain, a life is lost, cut off, plain, the game is over."""

    action_space = spaces.Discrete(18)
    observation_space = spaces.Box(0, 255, SHAPE, np.uint8)

    def reset(self, seed: int | None = None) -> tuple[np.ndarray, dict]:
        self.steps = getattr(self, "steps", -1)
        return picture(100 + self.steps + 1), {"lives": 2}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.steps = (self.steps + 1) % 5
        lives = (2, 1, 1, 2, 0)[self.steps]
        info = {"lives": lives, "episode": {"r": 1.0}}
        return picture(self.steps), 5.0 - 2 * self.steps, self.steps == 4, self.steps == 2, info

    def close(self) -> None: ...


class NoLearner:
    """Acts and learns in no time; counts the updates."""

    def __init__(self, network: str, actions: int) -> None:
        self.updates = 0

    def greedy(self, observation: np.ndarray) -> int:
        return 0

    def learn(self, batch: list[torch.Tensor]) -> None:
        self.updates += 1

    def sync_target(self) -> None: ...


@pytest.mark.parametrize("samples_per_step", [8.0, 96.0])
def test_the_loop_stores_ends_as_they_are_and_learns_at_the_ratio(
    samples_per_step: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[tuple[int, float, bool, int]] = []

    class Spy(plain_dqn.StackedReplay):
        def add(
            self, observation: np.ndarray, action: int, reward: float, terminal: bool, following: np.ndarray
        ) -> None:
            stored.append((int(observation[0, 0, 0]), reward, bool(terminal), int(following[0, 0, 0])))
            super().add(observation, action, reward, terminal, following)

    ticks = itertools.count()
    monkeypatch.setattr(plain_dqn, "time", Namespace(perf_counter=lambda: next(ticks) / 100))
    monkeypatch.setattr(plain_dqn, "make_env", lambda game, seed: Script())
    monkeypatch.setattr(plain_dqn, "Learner", NoLearner)
    monkeypatch.setattr(plain_dqn, "StackedReplay", Spy)
    rates = plain_dqn.train("", "nature", 1.0, samples_per_step, seed=0, learning_starts=8)
    # Observation, sign of the reward, whether nothing is bootstrapped, the last observation even at an end.
    assert stored[:5] == [
        (100, 1.0, False, 0),
        (0, 1.0, True, 1),
        (1, 1.0, False, 2),
        (103, -1.0, False, 3),
        (3, -1.0, True, 4),
    ]
    assert 32 * rates["updates_per_s"] == pytest.approx(samples_per_step * rates["agent_steps_per_s"])
    # The clock is read once after every step that learned.
    assert rates["updates_per_s"] == pytest.approx(100 * max(1, samples_per_step / 32))


def test_the_game_is_shown_as_it_should_be() -> None:
    env = plain_dqn.make_env("breakout", seed=0)
    observation, info = env.reset(seed=0)
    assert observation.shape == SHAPE and observation.dtype == np.uint8 and info["lives"] == 5
    assert env.action_space.n == 18
    before = info["episode_frame_number"]
    assert env.step(1)[4]["episode_frame_number"] == before + 4
    env.close()
