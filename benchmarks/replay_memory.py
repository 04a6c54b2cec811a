"""How much memory a stored transition takes and how long a minibatch of 32 does, raw and compressed.

    python -m benchmarks.replay_memory --games krull,boxing,pong --transitions 50000 --json

Real frames under a random policy; both forms are filled from the same stream. With --json the last line is
one JSON object whose `bytes_per_transition` and `us_per_minibatch` (median) are means over the games.
"""

from __future__ import annotations

import argparse
from time import perf_counter

import numpy as np
import torch

from configs.checks import check
from configs.ranges import argument
from configs.schema import Config, EmulatorConfig, LearnerConfig, ReplayConfig, StreamConfig
from envs.atari import AtariBatch, AtariSettings
from envs.games import canonical
from envs.timestep import ACTIONS, TimeStep
from replay.buffer import ReplayBuffer
from tracking import command
from tracking.console import print_json
from tracking.numbers import whole

FORMS = {"raw": False, "lz4": True}
BATCH = 32
METRICS = ("bytes_per_transition", "us_per_minibatch", "us_per_minibatch_p95", "us_per_added_transition")
Result = dict[str, dict[str, float]]  # metric, form → value


def measure(game: str, transitions: int, emulators: int, n_step: int, minibatches: int, seed: int) -> Result:
    """Fill a ring of each form with `game` and sample from it."""
    rings = {form: ReplayBuffer(transitions, n_step=n_step, compress=compress) for form, compress in FORMS.items()}
    adding = dict.fromkeys(FORMS, 0.0)
    rng = np.random.default_rng(seed)
    batch = AtariBatch(game, emulators, seed, AtariSettings())
    now = batch.reset()
    for time in range(transitions // emulators):
        action = rng.integers(0, ACTIONS, emulators)
        step = batch.step(action)
        following = TimeStep(step.observation, np.clip(step.reward, -1, 1), step.discount, step.first)
        for form, ring in rings.items():
            began = perf_counter()
            ring.add(time, now, action, following)
            adding[form] += perf_counter() - began
        now = following
    batch.close()

    result: Result = {metric: {} for metric in METRICS}
    for form, ring in rings.items():
        durations = sorted(_sampling_times(ring, minibatches, np.random.default_rng(seed)))
        result["bytes_per_transition"][form] = ring.nbytes / len(ring)
        result["us_per_minibatch"][form] = 1e6 * durations[len(durations) // 2]
        result["us_per_minibatch_p95"][form] = 1e6 * durations[len(durations) * 95 // 100]
        result["us_per_added_transition"][form] = 1e6 * adding[form] / len(ring)
    return result


def _sampling_times(ring: ReplayBuffer, minibatches: int, rng: np.random.Generator) -> list[float]:
    for _ in range(20):
        ring.sample(BATCH, rng)
    durations = []
    for _ in range(minibatches):
        began = perf_counter()
        ring.sample(BATCH, rng)
        durations.append(perf_counter() - began)
    return durations


def main() -> None:
    """Measure, print a table, and with --json the means."""
    raw_help = argparse.RawDescriptionHelpFormatter
    parser = command.Parser(description=__doc__, formatter_class=raw_help)
    parser.add_argument("--games", default="krull,boxing,pong", help="names, separated by commas")
    parser.add_argument("--transitions", type=whole(1000, 10**6), default=50_000, help="stored per game")
    parser.add_argument("--emulators", type=argument("emulators.num_envs"), default=8)
    parser.add_argument("--n_step", type=argument("learner.n_step"), default=1)
    parser.add_argument("--minibatches", type=whole(2, 10**7), default=1000, help="timed per game and form")
    parser.add_argument("--seed", type=argument("seed"), default=0)
    parser.add_argument("--json", action="store_true", help="print the means as a last line of JSON")
    args = parser.parse_args()
    torch.set_num_threads(1)

    games = [canonical(name.strip()) for name in args.games.split(",")]
    check(
        Config(
            stream=StreamConfig(games=games),
            emulators=EmulatorConfig(num_envs=args.emulators),
            learner=LearnerConfig(n_step=args.n_step, batch_size=BATCH),
            replay=ReplayConfig(capacity=args.transitions, min_history=args.transitions),
        )
    )
    print(f"{'game':<16}{'form':<6}{'B/transition':>14}{'us/minibatch':>14}{'p95':>8}{'us/added':>10}")
    results: dict[str, Result] = {}
    for game in games:
        results[game] = measure(game, args.transitions, args.emulators, args.n_step, args.minibatches, args.seed)
        for form in FORMS:
            size, median, p95, added = (results[game][metric][form] for metric in METRICS)
            print(f"{game:<16}{form:<6}{size:>14.0f}{median:>14.0f}{p95:>8.0f}{added:>10.1f}", flush=True)
    if args.json:
        means = {
            metric: {form: float(np.mean([results[game][metric][form] for game in games])) for form in FORMS}
            for metric in METRICS
        }
        print_json({**means, "per_game": results, "settings": vars(args)})


if __name__ == "__main__":
    command.run(main)
