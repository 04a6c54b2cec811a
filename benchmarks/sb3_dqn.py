r"""The DQN of stable-baselines3 from its package, to compare speeds with; runs in an environment of its own.

    python -m venv benchmarks/.sb3
    benchmarks/.sb3/bin/pip install -c constraints.txt torch==2.13.0 stable-baselines3==2.9.2 ale-py \
        opencv-python-headless
    benchmarks/.sb3/bin/python benchmarks/sb3_dqn.py --game breakout --network nature --seconds 30 --json

One emulator, all 18 actions, no sticky ones, the package's defaults but for what is compared (minibatches of 32 at
--samples_per_step) and for a short warm-up: learning starts and exploration ends after 1,000 steps, the clock starts
after the first 20 updates. With --json the last line is one JSON object. Imports nothing of this project.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from fractions import Fraction
from importlib.metadata import version
from typing import Any, NoReturn

try:
    import ale_py
    import gymnasium
    import torch
    from stable_baselines3 import DQN
    from stable_baselines3.common.atari_wrappers import cv2
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_atari_env
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
    from stable_baselines3.common.vec_env import VecFrameStack
except ImportError as problem:
    sys.exit(f"sb3_dqn: {problem}")
if cv2 is None:
    sys.exit("sb3_dqn: the Atari wrappers of stable-baselines3 need opencv-python-headless")

BATCH = 32
CAPACITY = 20_000
WARM_STEPS = 1_000
WARM_UPDATES = 20
_ENDLESS = 10**9  # agent steps


# Convolutions as (feature maps, kernel side, stride), units of the hidden layer and its inputs; None: NatureCNN.
NETWORKS: dict[str, tuple[tuple[tuple[int, int, int], ...], int, int] | None] = {
    "nature": None,
    "paper": (((32, 8, 4), (64, 4, 2), (128, 3, 1)), 1024, 128 * 7 * 7),
    "small": (((32, 5, 5), (64, 5, 5)), 256, 64 * 3 * 3),
    "tiled": (((32, 7, 7), (64, 4, 4)), 256, 64 * 3 * 3),
}


class OtherCNN(BaseFeaturesExtractor):
    """One of NETWORKS below the last layer, in the place of the package's NatureCNN."""

    def __init__(self, observation_space: Any, network: str) -> None:
        found = NETWORKS[network]
        assert found is not None
        convolutions, hidden, inputs = found
        super().__init__(observation_space, features_dim=hidden)
        layers: list[torch.nn.Module] = []
        channels = observation_space.shape[0]
        for maps, kernel, stride in convolutions:
            layers += [torch.nn.Conv2d(channels, maps, kernel, stride), torch.nn.ReLU()]
            channels = maps
        layers += [torch.nn.Flatten(), torch.nn.Linear(inputs, hidden), torch.nn.ReLU()]
        self.layers = torch.nn.Sequential(*layers)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """float32 [N, S, H, W] in [0, 1] -> float32 [N, hidden]."""
        return self.layers(observations)


class Clock(BaseCallback):
    """Measures whole rounds of playing and updating for at least `seconds`, then ends the training."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.start: tuple[float, int, int] | None = None  # time, steps and updates
        self.elapsed, self.steps, self.updates = 0.0, 0, 0

    def _on_rollout_start(self) -> None:
        now, updates = time.perf_counter(), self.model._n_updates
        if self.start is not None:
            self.elapsed = now - self.start[0]
            self.steps, self.updates = self.num_timesteps - self.start[1], updates - self.start[2]
        elif updates >= WARM_UPDATES:
            self.start = now, self.num_timesteps, updates

    def _on_step(self) -> bool:
        return self.elapsed < self.seconds


def measure(game: str, network: str, seconds: float, samples_per_step: float, seed: int) -> dict[str, Any]:
    """Play and learn; the rates in steady state."""
    gymnasium.register_envs(ale_py)
    name = "".join(word.capitalize() for word in game.split("_"))
    emulation = {"frameskip": 1, "repeat_action_probability": 0.0, "full_action_space": True}
    env = VecFrameStack(make_atari_env(f"ALE/{name}-v5", seed=seed, env_kwargs=emulation), n_stack=4)
    updates_per_step = Fraction(samples_per_step).limit_denominator(1000) / BATCH
    own = {
        "features_extractor_class": OtherCNN,
        "features_extractor_kwargs": {"network": network},
        "net_arch": [],
    }
    model = DQN(
        "CnnPolicy",
        env,
        batch_size=BATCH,
        train_freq=updates_per_step.denominator,
        gradient_steps=updates_per_step.numerator,
        buffer_size=CAPACITY,
        learning_starts=WARM_STEPS,
        exploration_fraction=WARM_STEPS / _ENDLESS,
        exploration_final_eps=0.01,
        policy_kwargs=own if NETWORKS[network] else None,
        device="cpu",
        seed=seed,
    )
    clock = Clock(seconds)
    model.learn(_ENDLESS, callback=clock)
    env.close()
    return {"agent_steps_per_s": clock.steps / clock.elapsed, "updates_per_s": clock.updates / clock.elapsed}


def versions() -> dict[str, str]:
    """Of what is compared."""
    return {name: version(name) for name in ("stable_baselines3", "torch", "gymnasium", "ale_py", "numpy")}


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def main() -> int:
    """The command line; returns the exit code."""
    parser = OneLineParser(prog="sb3_dqn", description=__doc__.split("\n")[0])
    parser.add_argument("--game", default="breakout", help="ROM id such as space_invaders (default: breakout)")
    parser.add_argument("--network", choices=tuple(NETWORKS), default="nature")
    parser.add_argument("--seconds", type=float, default=30.0, help="measured (default: 30)")
    parser.add_argument("--samples_per_step", type=float, default=8.0, help="replayed per agent step (default: 8)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--versions", action="store_true", help="only print the packages' versions, as JSON")
    options = parser.parse_args()
    if options.versions:
        print(json.dumps(versions()))
        return 0
    if not (math.isfinite(options.seconds) and options.seconds > 0):
        parser.error(f"--seconds must be a finite number greater than 0, is {options.seconds}")
    if not 0.1 <= options.samples_per_step <= 1024:
        parser.error(f"--samples_per_step must lie between 0.1 and 1024, is {options.samples_per_step}")
    if not 0 <= options.seed < 2**31:
        parser.error(f"--seed must lie between 0 and 2147483647, is {options.seed}")
    try:
        rates = measure(options.game, options.network, options.seconds, options.samples_per_step, options.seed)
    except gymnasium.error.Error as problem:
        parser.error(f"--game {options.game}: {problem}")
    print(
        f"{options.network}: {rates['agent_steps_per_s']:,.1f} agent steps/s, {rates['updates_per_s']:,.2f} updates/s"
    )
    if options.json:
        settings = {name: value for name, value in vars(options).items() if name not in ("json", "versions")}
        print(json.dumps({**rates, **settings, "threads": torch.get_num_threads(), "versions": versions()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
