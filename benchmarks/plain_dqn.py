"""A plain DQN in one file, to compare speeds with: one Gymnasium emulator, stacked replay, float32, one CPU.

    python -m benchmarks.plain_dqn --game breakout --network nature --seconds 30 --samples_per_step 8 --json

Deep Q-learning (Mnih et al. 2015) with Adam, as single-file implementations write it. It does learn; but learning
starts and exploration ends after 1,000 steps, so that what is measured is what most of a long training consists of.
The clock starts after the first 20 updates. With --json the last line is one JSON object.

Axes: N transitions of a minibatch, S stacked frames, H x W pixels, A actions.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Protocol

import ale_py
import gymnasium
import numpy as np
import torch
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation, RecordEpisodeStatistics
from torch import Tensor, nn
from torch.nn import functional

# Convolutions as (feature maps, kernel side, stride), and units of the hidden layer.
NETWORKS = {
    "nature": (((32, 8, 4), (64, 4, 2), (64, 3, 1)), 512),
    "paper": (((32, 8, 4), (64, 4, 2), (128, 3, 1)), 1024),
    "small": (((32, 5, 5), (64, 5, 5)), 256),
    "tiled": (((32, 7, 7), (64, 4, 4)), 256),
}
BATCH = 32
CAPACITY = 20_000
DISCOUNT = 0.99
TARGET_PERIOD = 1_000  # agent steps
WARM_UPDATES = 20


def make_env(game: str, seed: int) -> Any:
    """The game with all 18 actions, no sticky ones; observations uint8 [S, H, W]."""
    gymnasium.register_envs(ale_py)
    name = "".join(word.capitalize() for word in game.split("_"))
    env = gymnasium.make(
        f"ALE/{name}-v5", frameskip=1, repeat_action_probability=0.0, full_action_space=True, obs_type="grayscale"
    )
    env = RecordEpisodeStatistics(env)
    env = FrameStackObservation(AtariPreprocessing(env, noop_max=30, frame_skip=4, screen_size=84), stack_size=4)
    env.action_space.seed(seed)
    return env


class QNetwork(nn.Module):
    """uint8 [N, S, H, W] -> float32 [N, A]."""

    def __init__(self, name: str, actions: int) -> None:
        super().__init__()
        convolutions, hidden = NETWORKS[name]
        layers: list[nn.Module] = []
        channels, side = 4, 84
        for maps, kernel, stride in convolutions:
            layers += [nn.Conv2d(channels, maps, kernel, stride), nn.ReLU()]
            channels, side = maps, (side - kernel) // stride + 1
        layers += [nn.Flatten(), nn.Linear(channels * side * side, hidden), nn.ReLU(), nn.Linear(hidden, actions)]
        self.layers = nn.Sequential(*layers)

    def forward(self, observation: Tensor) -> Tensor:
        """Action values."""
        return self.layers(observation / 255.0)


class StackedReplay:
    """The latest `capacity` transitions, each with both of its stacks in full."""

    def __init__(self, capacity: int, shape: tuple[int, ...], rng: np.random.Generator) -> None:
        self.observations = np.empty((capacity, *shape), np.uint8)
        self.next_observations = np.empty((capacity, *shape), np.uint8)
        self.actions = np.empty(capacity, np.int64)
        self.rewards = np.empty(capacity, np.float32)
        self.terminals = np.empty(capacity, np.float32)
        self.rng = rng
        self.added = 0

    def add(self, observation: np.ndarray, action: int, reward: float, terminal: bool, following: np.ndarray) -> None:
        """Store one transition over the oldest."""
        i = self.added % len(self.actions)
        self.observations[i], self.next_observations[i] = observation, following
        self.actions[i], self.rewards[i], self.terminals[i] = action, reward, terminal
        self.added += 1

    def step(self, observation: np.ndarray, action: int, reward: float, terminal: bool, following: np.ndarray) -> None:
        """One more step of the emulator."""
        self.add(observation, action, reward, terminal, following)

    def cut(self, following: np.ndarray) -> None:
        """An episode ended at `following`, whether in a terminal or not."""

    def sample(self, size: int) -> list[Tensor]:
        """Observations, actions, rewards, terminals, next observations, drawn uniformly with replacement."""
        chosen = self.rng.integers(min(self.added, len(self.actions)), size=size)
        columns = (self.observations, self.actions, self.rewards, self.terminals, self.next_observations)
        return [torch.from_numpy(column[chosen]) for column in columns]


def td_target(reward: Tensor, terminal: Tensor, next_values: Tensor) -> Tensor:
    """float32 [N]: r + gamma max_a Q_target(s', a), without the second term where s' is terminal (1, else 0)."""
    return reward + DISCOUNT * (1.0 - terminal) * next_values.max(dim=1).values


class Learner:
    """Online and target network, and one update from a minibatch."""

    def __init__(self, network: str, actions: int) -> None:
        self.online = QNetwork(network, actions)
        self.target = copy.deepcopy(self.online).requires_grad_(False)
        self.optimizer = torch.optim.Adam(self.online.parameters(), lr=1e-4, foreach=False, fused=False)

    @torch.inference_mode()
    def greedy(self, observation: np.ndarray) -> int:
        """The best action for uint8 [S, H, W]."""
        return int(self.online(torch.from_numpy(observation)[None]).argmax())

    def learn(self, batch: Sequence[Tensor]) -> Tensor:
        """One step on the mean Huber loss, which is returned."""
        observation, action, reward, terminal, following = batch
        with torch.no_grad():
            target = td_target(reward, terminal, self.target(following))
        value = self.online(observation).gather(1, action[:, None]).squeeze(1)
        loss = functional.smooth_l1_loss(value, target)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def sync_target(self) -> None:
        """Copy the online network into the target network."""
        self.target.load_state_dict(self.online.state_dict())


class Learns(Protocol):
    """What `measured` trains."""

    def greedy(self, observation: np.ndarray) -> int:
        """The best action for uint8 [S, H, W]."""

    def learn(self, batch: list[Tensor]) -> object:
        """One step on a minibatch."""

    def sync_target(self) -> None:
        """Copy the online network into the target network."""


def train(
    game: str, network: str, seconds: float, samples_per_step: float, seed: int, learning_starts: int = 1_000
) -> dict[str, Any]:
    """Play and learn; after the warm-up measure whole numbers of updates for at least `seconds`."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    env = make_env(game, seed)
    learner = Learner(network, int(env.action_space.n))
    replay = StackedReplay(CAPACITY, env.observation_space.shape, rng)
    return measured(env, learner, replay, rng, seed, seconds, samples_per_step, learning_starts)


def measured(
    env: Any,
    learner: Learns,
    replay: StackedReplay,
    rng: np.random.Generator,
    seed: int,
    seconds: float,
    samples_per_step: float,
    learning_starts: int,
    target_period: int = TARGET_PERIOD,
    warm_updates: int = WARM_UPDATES,
    when_learning_starts: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Play and learn, and close the emulator; the rates after `warm_updates`, and the mean score of late episodes."""
    updates, owed, scores = 0, 0.0, []
    first: tuple[float, int, int] | None = None  # time, step and updates when the measurement began
    observation, info = env.reset(seed=seed)
    for step in itertools.count(1):
        epsilon = max(0.01, 1.0 - step / learning_starts)
        action = int(env.action_space.sample()) if rng.random() < epsilon else learner.greedy(observation)
        lives = info["lives"]
        following, reward, terminated, truncated, info = env.step(action)
        terminal = terminated or info["lives"] < lives  # a lost life ends the bootstrapping, not the episode
        replay.step(observation, action, float(np.sign(reward)), terminal, following)
        observation = following
        if terminated or truncated:
            replay.cut(following)
            scores.append(float(info["episode"]["r"]))
            observation, info = env.reset()
        if step % target_period == 0:
            learner.sync_target()
        if step == learning_starts:
            when_learning_starts()
        owed += samples_per_step / BATCH if step > learning_starts else 0.0
        if owed < 1.0:
            continue
        while owed >= 1.0:
            learner.learn(replay.sample(BATCH))
            owed -= 1.0
            updates += 1
        now = time.perf_counter()
        if first is None and updates >= warm_updates:
            first = now, step, updates
        elif first is not None and now - first[0] >= seconds:
            break
    assert first is not None
    env.close()
    return {
        "agent_steps_per_s": (step - first[1]) / (now - first[0]),
        "updates_per_s": (updates - first[2]) / (now - first[0]),
        "mean_score": float(np.mean(scores[-20:])) if scores else None,
    }


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def add_options(parser: argparse.ArgumentParser, seconds: float) -> None:
    """What this command shares with `benchmarks.side_by_side`."""
    parser.add_argument("--game", default="breakout", help="ROM id such as space_invaders (default: breakout)")
    parser.add_argument("--network", choices=tuple(NETWORKS), default="nature")
    parser.add_argument("--seconds", type=float, default=seconds, help=f"measured (default: {seconds:g})")
    parser.add_argument("--samples_per_step", type=float, default=8.0, help="replayed per agent step (default: 8)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")


def check_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse numbers that cannot work."""
    if not (math.isfinite(options.seconds) and options.seconds > 0):
        parser.error(f"--seconds must be a finite number greater than 0, is {options.seconds}")
    if not 0.1 <= options.samples_per_step <= 1024:
        parser.error(f"--samples_per_step must lie between 0.1 and 1024, is {options.samples_per_step}")
    if not 0 <= options.seed < 2**31:
        parser.error(f"--seed must lie between 0 and 2147483647, is {options.seed}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = OneLineParser(prog="plain_dqn", description=__doc__.split("\n")[0])
    add_options(parser, seconds=30.0)
    options = parser.parse_args(arguments)
    check_options(parser, options)
    try:
        rates = train(options.game, options.network, options.seconds, options.samples_per_step, options.seed)
    except gymnasium.error.Error as error:
        parser.error(f"--game {options.game}: {error}")
    result = {**rates, **vars(options), "threads": torch.get_num_threads()}
    del result["json"]
    print(
        f"{options.network}: {rates['agent_steps_per_s']:,.1f} agent steps/s, {rates['updates_per_s']:,.2f} updates/s"
    )
    if options.json:
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
