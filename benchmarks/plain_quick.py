"""The recipe of configs/presets/quick.yaml for one task, written plainly in one file, to compare speeds with.

    python -m benchmarks.plain_quick --game breakout --seconds 30 --json

Double DQN (van Hasselt et al. 2016) with five-step returns, Adam and 16 samples per step on the tiled network, as a
careful user of PyTorch would write it: channels_last, fused Adam, and as many threads as make its updates fastest. The
preset's ten steps at first, its average of the weights and its ladder of exploration are left out. Emulator, replay and
what is measured are those of `benchmarks.plain_dqn`. With --json the last line is one JSON object.

Axes: S stacked frames, H x W pixels.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.plain_dqn import (
    BATCH,
    CAPACITY,
    OneLineParser,
    QNetwork,
    StackedReplay,
    check_options,
    make_env,
    measured,
)

DISCOUNT = 0.99
N_STEP = 5
SAMPLES_PER_STEP = 16
TARGET_PERIOD = 2_000  # agent steps
LEARNING_RATE = 2e-4
EPSILON = 1e-5  # Adam's
MAX_NORM = 320.0
WARM_UPDATES = 40


class NStepReplay(StackedReplay):
    """Transitions over up to N_STEP steps, stored as those of one step are, with a discount of their own."""

    def __init__(self, capacity: int, shape: tuple[int, ...], rng: np.random.Generator) -> None:
        super().__init__(capacity, shape, rng)
        self.discounts = self.terminals  # float32: gamma^m, 0 where the window ends in a terminal
        self.window: deque[tuple[np.ndarray, int, float]] = deque()

    def step(self, observation: np.ndarray, action: int, reward: float, terminal: bool, following: np.ndarray) -> None:
        """One more step; stores the window that it completes, and all open ones where nothing is bootstrapped."""
        self.window.append((observation, action, reward))
        if terminal:
            self.flush(following, terminal)
        elif len(self.window) == N_STEP:
            self._store(following, False)

    def cut(self, following: np.ndarray) -> None:
        """Bootstrap the windows that are still open from where the episode ended."""
        self.flush(following, False)

    def flush(self, following: np.ndarray, terminal: bool) -> None:
        """Store every window that is open."""
        while self.window:
            self._store(following, terminal)

    def _store(self, following: np.ndarray, terminal: bool) -> None:
        total = sum(DISCOUNT**k * reward for k, (_, _, reward) in enumerate(self.window))
        observation, action, _ = self.window[0]
        self.add(observation, action, total, False, following)
        self.discounts[(self.added - 1) % len(self.discounts)] = 0.0 if terminal else DISCOUNT ** len(self.window)
        self.window.popleft()


class Learner:
    """Online and target network, and one update from a minibatch."""

    def __init__(self, actions: int) -> None:
        self.online: QNetwork = QNetwork("tiled", actions).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.target = copy.deepcopy(self.online).requires_grad_(False)
        self.optimizer = torch.optim.Adam(self.online.parameters(), lr=LEARNING_RATE, eps=EPSILON, fused=True)

    @torch.inference_mode()
    def greedy(self, observation: np.ndarray) -> int:
        """The best action for uint8 [S, H, W]."""
        return int(self.online(torch.from_numpy(observation)[None]).argmax())

    def learn(self, batch: Sequence[Tensor]) -> Tensor:
        """One step on the Huber loss, summed over the minibatch, which is returned."""
        observation, action, reward, discount, following = batch
        both = torch.cat([observation, following]).to(memory_format=torch.channels_last)
        values, next_online = self.online(both).chunk(2)
        with torch.no_grad():
            best = next_online.argmax(1, keepdim=True)
            goal = reward + discount * self.target(both[len(action) :]).gather(1, best).squeeze(1)
        loss = functional.smooth_l1_loss(values.gather(1, action[:, None]).squeeze(1), goal, reduction="sum")
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.online.parameters(), MAX_NORM)
        self.optimizer.step()
        return loss.detach()

    def sync_target(self) -> None:
        """Copy the online network into the target network."""
        self.target.load_state_dict(self.online.state_dict())


def fastest_threads(work: Callable[[], object], most: int) -> int:
    """1 or `most`, with whichever `work` takes less."""
    seconds = {}
    for threads in {1, most}:
        torch.set_num_threads(threads)
        times = []
        for _ in range(15):
            begin = time.perf_counter()
            work()
            times.append(time.perf_counter() - begin)
        seconds[threads] = sorted(times)[5]
    return min(seconds, key=lambda threads: seconds[threads])


def train(
    game: str, seconds: float, samples_per_step: float, seed: int, learning_starts: int = 1_000
) -> dict[str, Any]:
    """Play and learn; after the warm-up measure whole numbers of updates for at least `seconds`."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    env = make_env(game, seed)
    learner = Learner(int(env.action_space.n))
    replay = NStepReplay(CAPACITY, env.observation_space.shape, rng)

    def choose_threads() -> None:
        torch.set_num_threads(fastest_threads(lambda: learner.learn(replay.sample(BATCH)), torch.get_num_threads()))

    rates = (seconds, samples_per_step, learning_starts, TARGET_PERIOD, WARM_UPDATES)
    return measured(env, learner, replay, rng, seed, *rates, choose_threads)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser: argparse.ArgumentParser = OneLineParser(prog="plain_quick", description=__doc__.split("\n")[0])
    parser.add_argument("--game", default="breakout", help="ROM id such as space_invaders (default: breakout)")
    parser.add_argument("--seconds", type=float, default=30.0, help="measured (default: 30)")
    parser.add_argument("--samples_per_step", type=float, default=SAMPLES_PER_STEP, help="(default: 16)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args(arguments)
    check_options(parser, options)
    try:
        rates = train(options.game, options.seconds, options.samples_per_step, options.seed)
    except gymnasium.error.Error as error:
        parser.error(f"--game {options.game}: {error}")
    result = {**rates, **vars(options), "threads": torch.get_num_threads()}
    del result["json"]
    print(f"{rates['agent_steps_per_s']:,.1f} agent steps/s, {rates['updates_per_s']:,.2f} updates/s")
    if options.json:
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
