"""Speed of the training loop: agent steps, frames and updates per second, and milliseconds per phase.

    python -m benchmarks.throughput --network {paper,nature,small,tiled} --emulators 8 --seconds 60 --json

Runs act, emulate and learn on one real game in steady state, without logging, evaluation or checkpoints. With
--json the last line is one JSON object.
"""

from __future__ import annotations

from configs.checks import check
from configs.ranges import argument
from configs.schema import Config, EmulatorConfig, LearnerConfig, ReplayConfig, StreamConfig
from envs.games import canonical
from envs.timestep import FRAME_SKIP
from tracking import command
from tracking.console import print_json
from tracking.numbers import real
from training.machine import resolve
from training.resources import measure_rates


def main() -> None:
    """The command line."""
    parser = command.Parser(description=__doc__.split("\n")[0])
    parser.add_argument("--network", choices=("paper", "nature", "small", "tiled"), default="paper")
    parser.add_argument("--emulators", type=argument("emulators.num_envs"), default=8)
    parser.add_argument("--seconds", type=real(0.1, 86_400), default=60.0, help="measured in steady state")
    parser.add_argument("--samples_per_step", type=argument("learner.samples_per_step"), default=8.0)
    parser.add_argument("--game", type=canonical, default="breakout")
    parser.add_argument("--threads", type=argument("threads"), default=0, help="0: one per core")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args()

    config = Config(
        threads=options.threads,
        stream=StreamConfig(games=[options.game]),
        emulators=EmulatorConfig(num_envs=options.emulators),
        learner=LearnerConfig(
            network=options.network, samples_per_step=options.samples_per_step, precision=options.precision
        ),
        replay=ReplayConfig(capacity=20_000, min_history=2_000),
    )
    check(config)
    config = resolve(config)
    rates = measure_rates(config, options.seconds)
    result = {
        "agent_steps_per_s": round(rates.agent_steps_per_s, 1),
        "frames_per_s": round(rates.agent_steps_per_s * FRAME_SKIP, 1),
        "updates_per_s": round(rates.updates_per_s, 2),
        "samples_per_step": options.samples_per_step,
        "ms_per_phase": {name: round(ms, 3) for name, ms in rates.ms_per_phase.items()},
        "network": options.network,
        "emulators": options.emulators,
        "game": options.game,
        "threads": config.threads,
        "precision": config.learner.precision,
    }
    print(f"{options.network}: {result['agent_steps_per_s']:,} agent steps/s, {result['frames_per_s']:,} frames/s")
    print("milliseconds per vector step: ", result["ms_per_phase"])
    if options.json:
        print_json(result)


if __name__ == "__main__":
    command.run(main)
