"""Whole episodes of several games, by whoever acts: an agent of ours, or any function of the observation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from configs.build import emulator_maker, for_evaluation
from configs.schema import Config
from envs.games import game as find_game
from evaluation import table
from evaluation.play import GameResult, Playing, Policy, game_seed, in_turns, play_game
from evaluation.video import Recorder, Show, film
from taskid.source import FixedTask, TaskRecogniser


def play_games(
    config: Config,
    games: Sequence[str],
    policy: Callable[[str], Policy],
    recogniser: Callable[[str], TaskRecogniser],
    *,
    episodes: int,
    emulators: int,
    max_episode_frames: int,
    seed: int,
    together: int = 1,
    stopped: Callable[[], bool] = lambda: False,
    show: Show | None = None,
) -> Iterator[GameResult]:
    """Play every game with its `policy` and its `recogniser`, on emulators as in `config.emulators` but for their
    number, the frame cap, and lost lives, which end nothing. The emulators' seeds follow from `seed` and the game.

    So many games are played `together`, and the results come as the games end (see `evaluation.play.in_turns`).
    `show` is given the pictures of every game's median episode. Raises `evaluation.play.Abandoned` soon after
    `stopped()` becomes true.
    """
    playing = for_evaluation(config, min(emulators, episodes), max_episode_frames)

    def play(game: str) -> Playing:
        seeds = game_seed(seed, game)
        batch = emulator_maker(playing)(game, seeds)
        noted = Recorder(policy(game)) if show else None
        more = {"on_step": noted.on_step} if noted else {}
        who = noted or policy(game)
        try:
            result = yield from play_game(game, who, recogniser(game), batch, episodes, stopped=stopped, **more)
        finally:
            batch.close()
        if show and noted:
            show(game, noted.pictures(playing, game, seeds, episodes))
        return result

    return in_turns(map(play, games), together)


def evaluate_policy(
    policy: Callable[[NDArray[np.uint8]], Any],
    games: Sequence[str],
    config: Config | None = None,
    *,
    episodes: int = 10,
    emulators: int = 10,
    max_episode_frames: int = 27_000,
    seed: int = 1,
    video_dir: Path | None = None,
) -> list[GameResult]:
    """Whole episodes of every game with any function of the observation, as `evaluate.py` plays them by default.

    `policy` maps uint8 [N, 4, 84, 84] to N actions, integers in 0..17; N is `emulators`, or fewer. With the same
    arguments every policy plays on the same emulators: in `config`, `emulators` says how these play. The results go
    into `evaluation.table`, `evaluation.retention` and `evaluation.aggregates` like those of a run; their task is 0.
    ValueError with one sentence for a game that there is not, or for no episodes or emulators.
    """
    if episodes < 1 or emulators < 1:
        raise ValueError(f"episodes and emulators must be at least 1, are {episodes} and {emulators}")
    names = [find_game(name).name for name in games]
    results = play_games(
        config or Config(),
        names,
        lambda game: _OfObservations(policy),
        lambda game: FixedTask(0),
        episodes=episodes,
        emulators=emulators,
        max_episode_frames=max_episode_frames,
        seed=seed,
        show=film(video_dir) if video_dir else None,
    )
    return list(results)


def print_scores(results: Sequence[GameResult], frames: int = 0) -> None:
    """Print the table that `evaluate.py` prints, in as many columns as there are; `frames` is the moment it names."""
    console = Console()
    console.print(table.console_table(frames, table.rows(frames, results), console.width))


class _OfObservations:
    """A policy that is a function of the observation alone."""

    def __init__(self, policy: Callable[[NDArray[np.uint8]], Any]) -> None:
        self._policy = policy

    def act(self, observation: np.ndarray, task: int | None) -> np.ndarray:
        return np.asarray(self._policy(observation))
