"""The paper's audit of the Fisher information (figure 3C) on any agent that a run kept: its weights under three noises.

    python -m experiments.perturbation runs/ten-1 --game breakout                    the newest checkpoint
    python -m experiments.perturbation runs/ten-1/snapshots/000004000000.pt --game krull --episodes 30 --json

Noise is added to the shared weights, drawn anew at every vector step of the play: uniform, shaped by the inverse of the
diagonal Fisher information, or only in its null space, all of the same expected norm (see `experiments.noise`). The last
two move what F calls unimportant. The paper found that from some scale on it is not.

F is measured on the task's replay where the checkpoint holds one, else on play of the policy itself. By default it is that
of the policy softmax(Q), since the argument is about what the agent does: to second order the noise changes that policy
by KL = 1/2 noise^T F noise. Beside the scores, and free of their luck, stand that divergence as it is and as F expects it,
and the share of changed greedy actions, both on fixed observations of the policy's play.

The same seed and number of threads give the same numbers, and the weights are left as they were.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from agent.dqn import FISHERS, QLearner
from agent.pending import Remembered
from configs.run import build_memory, emulator_maker, for_evaluation, numpy_generator, torch_generator
from envs.games import game as find_game
from envs.timestep import TimeStep
from evaluation.play import GameResult, Plays, Recognises, game_seed, play_game
from experiments import perturbation_report as report
from experiments.kept_agent import KeptAgent, load_kept
from experiments.noise import KINDS, changed, deviations, divergence, draw, expected_increase, least_informative, perturbed
from replay.per_task import PerTaskReplay
from taskid.source import FixedTask
from tracking.checkpoints import CheckpointError
from tracking.run_directory import BAD_INPUT

SCALES = [0.001 * 2**k for k in range(10)]
STATES = 256  # observations that divergence and changed actions are means over
DRAWS = 8  # of noise, likewise


@dataclass(frozen=True)
class Settings:
    """Everything that is free."""

    scales: Sequence[float]  # root mean square of the noise over all shared weights
    episodes: int
    emulators: int
    epsilon: float  # exploration while playing
    max_episode_frames: int
    estimator: str  # of the Fisher information
    fisher_batches: int  # minibatches it is measured on
    null_quantile: float  # of F: what is not above it counts as the null space
    seed: int


class NoisyPlayer:
    """A player whose weights are perturbed anew at every step; between the steps they are what they were."""

    def __init__(
        self, player: Plays, learner: QLearner, spread: Sequence[Tensor], scale: float, generator: torch.Generator
    ) -> None:
        """spread: every weight's deviation at scale 1."""
        self.player, self.weights = player, learner.weights
        self.spread, self.scale, self.generator = spread, scale, generator

    def act(self, observation: np.ndarray, task: int | None) -> np.ndarray:
        """uint8 [B, S, H, W] -> int64 [B]; all emulators meet the same noise."""
        with perturbed(self.weights, draw(self.spread, self.scale, self.generator)):
            return self.player.act(observation, task)


class Recording:
    """Keeps what is played as transitions of task 0, from the second step on; rewards are clipped as in training."""

    def __init__(self, memory: PerTaskReplay, clip: float) -> None:
        self.memory, self.clip = memory, clip
        self.before: Remembered | None = None
        self.time = 0

    def __call__(self, action: np.ndarray, now: TimeStep) -> None:
        """To be called after every step."""
        reward = np.clip(now.reward, -self.clip, self.clip) if self.clip else now.reward
        after = Remembered(now.observation, reward, now.discount, now.interrupted)
        if self.before is not None:
            self.memory.add(0, self.time, self.before, action, after)
        self.before, self.time = after, self.time + 1


@dataclass(frozen=True)
class Audit:
    """One agent in one game."""

    kept: KeptAgent
    game: str
    settings: Settings
    tell: Callable[[str], None]

    def run(self) -> dict[str, Any]:
        """Everything measured, as JSON can hold it; `tell` is given a line after every play."""
        s, learner = self.settings, self.kept.agent.learner
        recording = Recording(build_memory(self.kept.config), self.kept.config.learner.reward_clip)
        recogniser = self.kept.agent.tasks.recogniser(self.game)
        met = self.play(self.player(), recogniser, "observed", recording)
        if met.task is None:
            raise ValueError(f"{self.kept.path} has never met {self.game}")
        fisher, origin = self.fisher(met.task, recording.memory)
        least = least_informative(fisher, s.null_quantile)
        spreads = {kind: deviations(fisher, kind, least) for kind in KINDS}
        states = recording.memory.sample(0, STATES, numpy_generator(s.seed, "states")).observation
        unperturbed = self.play(self.player(), FixedTask(met.task), "scored")
        self.tell(f"unperturbed: {unperturbed.mean:,.1f} ± {unperturbed.standard_error:,.1f}; F from {origin}")
        random, rng, rows, returns = find_game(self.game).random, numpy_generator(s.seed, "bootstrap"), [], []
        for kind, spread in spreads.items():
            for scale in s.scales:
                begin = time.perf_counter()
                generator = torch_generator(s.seed, f"{kind} noise of {scale}")
                player = NoisyPlayer(self.player(), learner, spread, scale, generator)
                result = self.play(player, FixedTask(met.task), "scored")
                measures: dict[str, float | None] = dict(self.measures(states, met.task, kind, spread, scale))
                measures["expected"] = expected_increase(fisher, spread, scale) if s.estimator == "policy" else None
                rows.append(report.row(kind, scale, result, unperturbed, random, rng, measures))
                returns.append(list(result.returns))
                self.tell(f"{kind} {scale:g}: {result.mean:,.1f} ({time.perf_counter() - begin:.0f} s)")
        weights = sum(f.numel() for f in fisher)
        return {
            "game": self.game,
            "frames": self.kept.frames,
            "task": met.task,
            "fisher": {
                "estimator": s.estimator,
                "origin": origin,
                "samples": s.fisher_batches * self.kept.config.learner.batch_size,
                "least": least,
                "null_share": sum(int((f < least).sum()) for f in fisher) / weights,
                "zero_share": sum(int((f == 0).sum()) for f in fisher) / weights,
            },
            "weights": weights,
            "rms_of_weights": (sum(float(w.detach().double().square().sum()) for w in learner.weights) / weights) ** 0.5,
            "unperturbed": {"mean": unperturbed.mean, "returns": list(unperturbed.returns)},
            "random": random,
            "half_scale": report.halves(rows),
            "paper_half_scale": {kind: report.half_scale(curve) for kind, curve in report.paper().items()},
            "points": [{**row, "returns": each} for row, each in zip(rows, returns, strict=True)],
            "settings": asdict(s),
        }

    def player(self) -> Plays:
        """The unperturbed policy; every player explores alike."""
        s = self.settings
        return self.kept.agent.player(s.epsilon, numpy_generator(s.seed, f"exploration in {self.game}"))

    def play(
        self,
        player: Plays,
        recogniser: Recognises,
        purpose: str,
        on_step: Callable[[np.ndarray, TimeStep], None] = lambda action, now: None,
    ) -> GameResult:
        """Whole episodes on emulators of their own, seeded alike for one purpose."""
        s = self.settings
        playing = for_evaluation(self.kept.config, min(s.emulators, s.episodes), s.max_episode_frames)
        batch = emulator_maker(playing)(self.game, game_seed(s.seed, f"{self.game}, {purpose}"))
        try:
            return play_game(self.game, player, recogniser, batch, s.episodes, on_step=on_step)
        finally:
            batch.close()

    def fisher(self, task: int, played: PerTaskReplay) -> tuple[list[Tensor], str]:
        """The Fisher information of `task`, and what it was measured on: "replay" or "play"."""
        s, replay = self.settings, self.kept.replay(task)
        rng = numpy_generator(s.seed, "fisher")
        sample = partial(played.sample, 0) if replay is None else partial(replay.sample, task)
        size = self.kept.config.learner.batch_size
        batches = (sample(size, rng) for _ in range(s.fisher_batches))
        actions = torch_generator(s.seed, "actions of the fisher")
        fisher = self.kept.agent.learner.fisher(batches, task, s.estimator, actions)
        return fisher, "play" if replay is None else "replay"

    def measures(
        self, states: Tensor, task: int, kind: str, spread: Sequence[Tensor], scale: float
    ) -> dict[str, float]:
        """divergence [nats] and changed greedy actions [share], means over `states` uint8 [N, S, H, W] and draws."""
        learner = self.kept.agent.learner
        generator = torch_generator(self.settings.seed, f"{kind} noise of {scale} on states")
        before = learner.q_values(states, task).clone()
        found = []
        for _ in range(DRAWS):
            with perturbed(learner.weights, draw(spread, scale, generator)):
                after = learner.q_values(states, task)
                found.append((divergence(before, after), changed(before, after)))
        both = np.mean(found, axis=0)
        return {"divergence": float(both[0]), "changed": float(both[1])}


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    console = Console(width=120)
    begin = time.perf_counter()
    try:
        settings = chosen_settings(options)
        game = find_game(options.game).name
        tell = partial(console.print, style="dim", highlight=False, soft_wrap=True)
        result = Audit(load_kept(options.checkpoint, game), game, settings, tell).run()
    except (ValueError, CheckpointError) as error:
        print(f"experiments.perturbation: {error}", file=sys.stderr)
        return BAD_INPUT
    result["seconds"] = round(time.perf_counter() - begin)
    rows = [{name: value for name, value in point.items() if name != "returns"} for point in result["points"]]
    title = f"{game} at {result['frames']:,} frames, Fisher information ({settings.estimator}) from {result['fisher']['origin']}"
    console.print(report.table(rows, title))
    for kind, half in result["half_scale"].items():
        found = "not within these scales" if half is None else f"at {half:.2g}"
        console.print(f"{report.NAMES[kind]} noise halves the score {found} (paper: {result['paper_half_scale'][kind]:.2g})")
    if not any(row["share"] is not None for row in rows):
        console.print("The unperturbed policy cannot be told from a random player: its scores say nothing.")
    out = options.out or Path("runs") / f"perturbation_{game}"
    out.mkdir(parents=True, exist_ok=True)
    pictures = [out / "perturbation.png", out / "perturbation.svg"]
    report.draw(rows, title, pictures)
    report.write_csv(rows, out / "perturbation.csv")
    (out / "perturbation.json").write_text(json.dumps(result) + "\n")
    console.print(f"{result['seconds']} s; written: {out}/perturbation.png, .svg, .csv, .json", soft_wrap=True)
    if options.json:
        print(json.dumps(result))
    return 0


def chosen_settings(options: argparse.Namespace) -> Settings:
    """The settings of the command line; ValueError says what cannot be."""
    for name in ("episodes", "emulators", "max_episode_frames", "fisher_batches"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name} must be at least 1, is {getattr(options, name)}")
    if options.seed < 0:
        raise ValueError(f"--seed must be at least 0, is {options.seed}")
    if not 0 <= options.epsilon <= 1:
        raise ValueError(f"--epsilon must lie between 0 and 1, is {options.epsilon}")
    if not 0 <= options.null_quantile < 1:
        raise ValueError(f"--null_quantile must be at least 0 and below 1, is {options.null_quantile}")
    for scale in options.scales:
        if not 0 <= scale < inf:
            raise ValueError(f"--scales must be at least 0 and finite, one is {scale}")
    return Settings(**{name: getattr(options, name) for name in Settings.__dataclass_fields__})


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """A mistake is one line."""
        self.exit(BAD_INPUT, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m experiments.perturbation", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("checkpoint", type=Path, help="a run directory, one of its checkpoints or a file of its snapshots folder")
    add("--game", required=True, help="ROM id of the game to play, such as breakout")
    add("--scales", type=float, nargs="+", default=SCALES, help="root mean squares of the noise (default: 0.001 to 0.512)")
    add("--episodes", type=int, default=10, help="per kind and scale (default: 10)")
    add("--emulators", type=int, default=10, help="in parallel (default: 10)")
    add("--epsilon", type=float, default=0.01, help="exploration while playing (default: 0.01)")
    add("--max_episode_frames", type=int, default=27_000, help="an episode is cut off after so many (default: 27,000)")
    add("--estimator", choices=FISHERS, default="policy", help="of the Fisher information (default: policy)")
    add("--fisher_batches", type=int, default=100, help="minibatches it is measured on (default: 100)")
    add("--null_quantile", type=float, default=0.01, help="of F, up to which it counts as none (default: 0.01)")
    add("--seed", type=int, default=0, help="of emulators, exploration, samples and noise (default: 0)")
    add("--out", type=Path, help="folder for the results (default: runs/perturbation_GAME)")
    add("--json", action="store_true", help="print the result as JSON, on the last line")
    return parser


if __name__ == "__main__":
    sys.exit(main())
