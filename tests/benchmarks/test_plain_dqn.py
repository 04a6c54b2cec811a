"""The plain DQN learns what it should, and side_by_side compares neighbouring turns."""

from __future__ import annotations

import itertools
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces

from agent.networks import QNetwork as OurNetwork
from benchmarks import plain_dqn, side_by_side
from configs.choices import NETWORKS

SHAPE = (4, 84, 84)


def picture(value: int) -> np.ndarray:
    return np.full(SHAPE, value, np.uint8)


def test_td_target_by_hand() -> None:
    reward, terminal = torch.tensor([1.0, -1.0, 0.0]), torch.tensor([0.0, 1.0, 0.0])
    next_values = torch.tensor([[2.0, 4.0], [100.0, 50.0], [-3.0, -2.0]])
    expected = [1.0 + 0.99 * 4.0, -1.0, 0.99 * -2.0]
    assert plain_dqn.td_target(reward, terminal, next_values).tolist() == pytest.approx(expected)


def test_replay_returns_what_was_stored_and_forgets_the_oldest() -> None:
    replay = plain_dqn.StackedReplay(3, (2, 2), np.random.default_rng(0))
    for i in range(5):
        replay.add(np.full((2, 2), i), i, i / 2, i % 2 == 1, np.full((2, 2), 10 + i))
    observation, action, reward, terminal, following = replay.sample(200)
    assert observation.dtype == following.dtype == torch.uint8 and action.dtype == torch.int64
    assert sorted(set(action.tolist())) == [2, 3, 4]
    for stored in (observation, following - 10):
        assert (stored == action[:, None, None]).all()
    assert reward.tolist() == (action / 2).tolist() and terminal.tolist() == (action % 2).tolist()


def test_replay_draws_only_what_was_stored() -> None:
    replay = plain_dqn.StackedReplay(100, (1,), np.random.default_rng(0))
    for i in (7, 8):
        replay.add(np.array([i]), i, 0.0, False, np.array([i]))
    assert set(replay.sample(50)[1].tolist()) == {7, 8}


@pytest.mark.parametrize("name", ["nature", "paper"])
def test_the_networks_are_those_that_ours_is_compared_on(name: str) -> None:
    plain = plain_dqn.QNetwork(name, 18)
    ours = OurNetwork(NETWORKS[name].make(), 18, 4, 84, torch.Generator())
    assert [p.shape for p in plain.parameters() if p.ndim > 1] == [w.shape for w in ours.weights]
    strides = [layer.stride[0] for layer in plain.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert strides == ours.strides
    white = torch.full((2, *SHAPE), 255, dtype=torch.uint8)
    assert torch.equal(plain(white), plain.layers(torch.ones(2, *SHAPE))) and plain(white).shape == (2, 18)


def test_updates_move_the_values_towards_the_target_and_leave_the_target_network() -> None:
    torch.manual_seed(0)
    learner = plain_dqn.Learner("nature", 18)
    observation = torch.randint(256, (4, *SHAPE), dtype=torch.uint8)
    terminal, reward = torch.ones(4), torch.tensor([1.0, -1.0, 0.5, 0.0])
    batch = [observation, torch.tensor([0, 5, 9, 17]), reward, terminal, observation]
    kept = [p.clone() for p in learner.target.parameters()]
    losses = [float(learner.learn(batch)) for _ in range(10)]
    assert losses[-1] < 0.6 * losses[0]
    assert all(torch.equal(a, b) for a, b in zip(kept, learner.target.parameters(), strict=True))
    learner.sync_target()
    assert torch.equal(learner.target(observation), learner.online(observation))
    best = learner.online(observation[:1]).argmax()
    assert learner.greedy(observation[0].numpy()) == int(best)


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


def test_summary_is_of_pairs_and_their_medians() -> None:
    rounds = [
        {"ours": 100.0, "plain": 50.0, "sb3": 25.0},
        {"ours": 10.0, "plain": 10.0, "sb3": 2.0},
        {"ours": 90.0, "plain": 30.0, "sb3": 10.0},
    ]
    report = side_by_side.summary(rounds)
    assert (report["ours"], report["plain"], report["sb3"]) == (90.0, 30.0, 10.0)
    # The medians of 2, 1, 3 and of 4, 5, 9; not the ratios of the medians, which are 3 and 9.
    assert (report["ratio_plain"], report["ratio_plain_range"]) == (2.0, [1.0, 3.0])
    assert (report["ratio_sb3"], report["ratio_sb3_range"]) == (5.0, [4.0, 9.0])


def test_summary_without_stable_baselines3() -> None:
    report = side_by_side.summary([{"ours": 30.0, "plain": 20.0}, {"ours": 10.0, "plain": 4.0}])
    assert report["ratio_plain"] == 2.0
    assert report["sb3"] is report["ratio_sb3"] is report["ratio_sb3_range"] is None


def test_ours_always_runs_next_to_both_others() -> None:
    took: list[str] = []
    turns = {
        name: lambda name=name: took.append(name) or {"agent_steps_per_s": 1.0} for name in ("plain", "ours", "sb3")
    }
    rounds = side_by_side.take_turns(turns, 3)
    assert took == ["plain", "ours", "sb3", "sb3", "ours", "plain", "plain", "ours", "sb3"]
    assert [sorted(each) for each in rounds] == [["ours", "plain", "sb3"]] * 3


@pytest.mark.parametrize(
    ("command", "arguments", "named"),
    [
        (plain_dqn.main, ["--game", "brekout"], "Breakout"),
        (plain_dqn.main, ["--seconds", "-1"], "--seconds"),
        (plain_dqn.main, ["--samples_per_step", "0"], "--samples_per_step"),
        (side_by_side.main, ["--network", "small"], "small"),
        (side_by_side.main, ["--game", "brekout"], "breakout"),
        (side_by_side.main, ["--game", "toy_catch"], "toy_catch"),
        (side_by_side.main, ["--pairs", "0"], "--pairs"),
        (side_by_side.main, ["--seconds", "nan"], "--seconds"),
        (side_by_side.main, ["--sb3_python", "no/such/python"], "no/such/python"),
    ],
)
def test_bad_input_is_one_line(
    command: Callable[[list[str]], int], arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command(arguments)
    said = capsys.readouterr().err
    assert ended.value.code == 2 and said.count("\n") == 1 and named in said


def test_it_goes_on_without_stable_baselines3_and_says_how_to_have_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[object] = []

    def compare(options: Namespace, sb3: Path, versions: object) -> dict:
        seen.append(versions)
        return side_by_side.summary([{"ours": 3.0, "plain": 2.0}])

    monkeypatch.setattr(side_by_side, "_HERE", tmp_path)
    monkeypatch.setattr(side_by_side, "compare", compare)
    assert side_by_side.main(["--json"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert seen == [None] and "pip install" in said[0] and said[-1].startswith('{"ours": 3.0')
