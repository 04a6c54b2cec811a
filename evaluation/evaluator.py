"""Plays every game with an agent's weights, without learning: in a run, or on what it has kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from agent.continual import ContinualAgent
from configs.build import build_agent, build_memory, build_schedule, numpy_generator
from configs.schema import Config
from evaluation.play import GameResult, TaskRecogniser
from evaluation.policy import play_games
from evaluation.video import Show
from tracking.checkpoints import CheckpointError
from tracking.run_directory import run_of
from tracking.shortage import passing
from tracking.snapshots import read_snapshot

SEED = 10_000
"""Of the emulators and generators of every evaluation during a run."""
_TOGETHER = 2  # games, of which one acts while the other's emulators work; a third one would not be sooner on two cores


def evaluate_games(
    config: Config,
    agent: ContinualAgent,
    games: Sequence[str],
    *,
    episodes: int,
    emulators: int,
    epsilon: float,
    max_episode_frames: int,
    seed: int,
    recogniser: Callable[[str], TaskRecogniser] | None = None,
    stopped: Callable[[], bool] = lambda: False,
    show: Show | None = None,
) -> Iterator[GameResult]:
    """Play every game with the agent's current weights, on emulators and generators of the evaluation's own.

    `recogniser` makes what tells a game's task (default: the agent's own, as it was configured). The rest is that of
    `evaluation.policy.play_games`.
    """
    return play_games(
        config,
        games,
        lambda game: agent.player(epsilon, numpy_generator(seed, f"evaluation of {game}")),
        recogniser or agent.task_source.recogniser,
        episodes=episodes,
        emulators=emulators,
        max_episode_frames=max_episode_frames,
        seed=seed,
        together=_TOGETHER,
        stopped=stopped,
        show=show,
    )


def scheduled_evaluation(
    config: Config,
    agent: ContinualAgent,
    last: bool,
    game: str | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> list[GameResult]:
    """The evaluation that a run makes under way or, if it is the `last`, at its end: every game of the schedule, or one
    `game`, which is then played as it is among all."""
    e = config.evaluation
    games = [game] if game else list(build_schedule(config).games)
    results = evaluate_games(
        config,
        agent,
        games,
        episodes=e.final_episodes if last else e.episodes,
        emulators=e.emulators,
        epsilon=e.epsilon,
        max_episode_frames=e.max_episode_frames,
        seed=SEED,
        stopped=stopped,
    )
    return sorted(results, key=lambda result: games.index(result.game))


def evaluate_snapshot(
    config: Config,
    path: Path,
    last: bool,
    game: str | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> list[GameResult]:
    """The same with the agent of a snapshot; sets torch's number of threads."""
    return scheduled_evaluation(config, load_agent(config, path)[0], last, game, stopped)


def load_agent(config: Config, path: Path) -> tuple[ContinualAgent, dict[str, Any]]:
    """The agent of a snapshot, without replay, and the whole snapshot; computes as training does.

    CheckpointError with one sentence if the file is damaged or is a snapshot of another kind of run.
    """
    torch.set_flush_denormal(True)
    torch.set_num_threads(config.threads or torch.get_num_threads())
    snapshot = read_snapshot(path)
    agent = build_agent(config, build_memory(config), label=lambda: snapshot["label"])
    try:
        agent.load_snapshot(snapshot["agent"])
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        if passing(error):
            raise
        raise CheckpointError(f"{path} is not a snapshot of the run in {run_of(path)}") from None
    return agent, snapshot
