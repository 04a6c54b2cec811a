"""An agent's scores in one game, and what its policy does on fixed observations, under noise on its shared weights.

`experiments.perturbation` is the command and says what for. Whatever is compared plays on emulators seeded alike and
explores with the same random numbers, so that noise of scale 0 changes nothing.

Axes: B emulators, N observations, S stacked frames, H x W pixels.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agent.fisher import fisher_information, joined_weights
from agent.learner import QLearner
from configs.build import build_memory, emulator_maker, for_evaluation, numpy_generator, torch_generator
from envs.games import game as find_game
from envs.timestep import TimeStep
from evaluation.play import GameResult, Policy, TaskRecogniser, alone, game_seed, play_game
from experiments.kept_agent import KeptAgent
from experiments.perturbation import report
from experiments.perturbation.noise import (
    KINDS,
    changed,
    deviations,
    divergence,
    draw,
    expected_increase,
    least_informative,
    perturbed,
)
from replay.per_task import PerTaskReplay
from taskid.source import FixedTask

STATES = 256  # observations that divergence and changed actions are means over
DRAWS = 8  # of noise, likewise
OWN = 0.9  # of a task's frames: a replay is a game's own where this share of its task is


@dataclass(frozen=True)
class Settings:
    """Everything that is free."""

    scales: Sequence[float]  # root mean square of the noise over the shared weights that the task uses
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
        self, player: Policy, learner: QLearner, spread: Sequence[Tensor], scale: float, generator: torch.Generator
    ) -> None:
        """spread: every weight's deviation at scale 1."""
        self.player, self.weights = player, learner.weights
        self.spread, self.scale, self.generator = spread, scale, generator

    def act(self, observation: np.ndarray, task: int | None) -> np.ndarray:
        """uint8 [B, S, H, W] -> int64 [B]; all emulators meet the same noise."""
        with perturbed(self.weights, draw(self.spread, self.scale, self.generator)):
            return self.player.act(observation, task)


class Recording:
    """Keeps what is played as transitions of task 0, from the second step on. Rewards are clipped as in training; but
    whole games are played, so that a lost life is no end here."""

    def __init__(self, memory: PerTaskReplay) -> None:
        self.memory = memory
        self.before: TimeStep | None = None

    def __call__(self, action: np.ndarray, now: TimeStep) -> None:
        """To be called after every step."""
        if self.before is not None:
            self.memory.defer(self.before, action, now)
            self.memory.assign(0)
        self.before = now


@dataclass(frozen=True)
class Audit:
    """One agent in one game."""

    kept: KeptAgent
    game: str
    settings: Settings
    tell: Callable[[str], None]
    keep: Callable[[str, Callable[[], GameResult]], GameResult] = lambda name, play: play()
    """Whole plays by name, made or remembered (see `experiments.perturbation.plays`)."""

    def identity(self) -> dict[str, Any]:
        """What every play depends on beside its own noise, as JSON can hold it."""
        digest = hashlib.sha256()
        for tensor in self.kept.agent.learner.network.state_dict().values():
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        settings = {name: value for name, value in asdict(self.settings).items() if name != "scales"}
        kept = {"kept": self.kept.path.name, "frames": self.kept.frames, "network": digest.hexdigest()}
        return {**kept, "game": self.game, "threads": torch.get_num_threads(), "settings": settings}

    def run(self) -> dict[str, Any]:
        """Everything measured, as JSON can hold it; `tell` is given a line after every play.

        ValueError with one sentence if the agent has never met the game or its weights are all alike to F.
        """
        s, random = self.settings, find_game(self.game).random
        recording = Recording(build_memory(self.kept.config))
        met = self.play(self.player(), self.kept.agent.task_source.recogniser(self.game), "observed", recording)
        if met.task is None:
            raise ValueError(f"{self.kept.path} has never met {self.game}")
        fisher, origin = self.fisher(met.task, recording.memory)
        network = self.kept.agent.learner.network
        used = joined_weights([w.shape for w in network.weights], network.active_units(met.task))
        least = least_informative(fisher, used, s.null_quantile)
        spreads = {kind: deviations(fisher, used, kind, least) for kind in KINDS}
        states = recording.memory.sample(0, STATES, numpy_generator(s.seed, "states")).observation
        unperturbed = self.keep("unperturbed", lambda: self.play(self.player(), FixedTask(met.task), "scored"))
        self.tell(f"unperturbed: {unperturbed.mean:,.1f} ± {unperturbed.standard_error:,.1f}; F from {origin}")
        rng, points = numpy_generator(s.seed, "bootstrap"), []
        for kind, spread in spreads.items():
            for scale in s.scales:
                play = partial(self.perturbed_play, kind, spread, scale, met.task)
                result = self.keep(f"{kind}, {scale!r}", play)
                measures: dict[str, float | None] = dict(self.measures(states, met.task, kind, spread, scale))
                measures["expected"] = expected_increase(fisher, spread, scale) if s.estimator == "policy" else None
                point = report.row(kind, scale, result, unperturbed, random, rng, measures)
                points.append({**point, "returns": list(result.returns)})
        return {
            "game": self.game,
            "frames": self.kept.frames,
            "task": met.task,
            "fisher": {"origin": origin, "least": least, **self.shares(fisher, used, least)},
            "root_mean_square_weight": root_mean_square(
                [w[here] for w, here in zip(self.kept.agent.learner.weights, used, strict=True)]
            ),
            "unperturbed": {"mean": unperturbed.mean, "returns": list(unperturbed.returns)},
            "random": random,
            "half_scale": report.halves(points),
            "paper_half_scale": {kind: report.half_scale(curve) for kind, curve in report.paper().items()},
            "points": points,
            "settings": asdict(s),
        }

    def perturbed_play(self, kind: str, spread: Sequence[Tensor], scale: float, task: int) -> GameResult:
        """Episodes under one kind of noise at one scale."""
        begin = time.perf_counter()
        generator = torch_generator(self.settings.seed, f"{kind} noise of {scale}")
        player = NoisyPlayer(self.player(), self.kept.agent.learner, spread, scale, generator)
        result = self.play(player, FixedTask(task), "scored")
        self.tell(f"{report.NAMES[kind]}, {scale:.3g}: {result.mean:,.1f} ({time.perf_counter() - begin:.0f} s)")
        return result

    def shares(self, fisher: Sequence[Tensor], used: Sequence[Tensor], least: float) -> dict[str, float]:
        """Numbers of samples and of weights that the task uses, and their shares in the null space and without F."""
        its = torch.cat([f[here] for f, here in zip(fisher, used, strict=True)])
        weights = its.numel()
        return {
            "samples": self.settings.fisher_batches * self.kept.config.learner.batch_size,
            "weights": weights,
            "null_share": int((its < least).sum()) / weights,
            "zero_share": int((its == 0).sum()) / weights,
        }

    def player(self) -> Policy:
        """The unperturbed policy; every player explores alike."""
        s = self.settings
        return self.kept.agent.player(s.epsilon, numpy_generator(s.seed, f"exploration in {self.game}"))

    def play(
        self,
        player: Policy,
        recogniser: TaskRecogniser,
        purpose: str,
        on_step: Callable[[np.ndarray, TimeStep], None] = lambda action, now: None,
    ) -> GameResult:
        """Whole episodes on emulators of their own, seeded alike for one purpose."""
        s = self.settings
        playing = for_evaluation(self.kept.config, min(s.emulators, s.episodes), s.max_episode_frames)
        batch = emulator_maker(playing)(self.game, game_seed(s.seed, f"{self.game}, {purpose}"))
        try:
            return alone(play_game(self.game, player, recogniser, batch, s.episodes, on_step=on_step))
        finally:
            batch.close()

    def fisher(self, task: int, played: PerTaskReplay) -> tuple[list[Tensor], str]:
        """The Fisher information of `task`, and what it was measured on: "replay" or "play"."""
        s, replay = self.settings, self.kept.replay(task)
        share = self.kept.share_of(self.game, task)
        if replay is not None and share < OWN:
            self.tell(f"{self.game} makes {100 * share:.0f} % of task {task}: its replay is of other games, not used")
            replay = None
        rng = numpy_generator(s.seed, "fisher")
        sample = partial(played.sample, 0) if replay is None else partial(replay.sample, task)
        size = self.kept.config.learner.batch_size
        batches = (sample(size, rng) for _ in range(s.fisher_batches))
        actions = torch_generator(s.seed, "actions of the fisher")
        learner = self.kept.agent.learner
        fisher = fisher_information(
            learner.network, learner.target, batches, task, s.estimator, actions, learner.objective.td_target
        )
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


def root_mean_square(tensors: Sequence[Tensor]) -> float:
    """Over all entries."""
    total = sum(float(t.detach().double().square().sum()) for t in tensors)
    return (total / sum(t.numel() for t in tensors)) ** 0.5
