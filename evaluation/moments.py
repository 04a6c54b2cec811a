"""Plays one kept moment of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from agent.continual import ContinualAgent
from evaluation.evaluator import evaluate_games, load_agent
from evaluation.play import GameResult
from evaluation.playable import Playable, own_tasks
from evaluation.recognition import Recognition, choose_recognition
from evaluation.video import Show


@dataclass(frozen=True, slots=True)
class Asked:
    """What the scores depend on beside the weights, as scores.json tells it.

    task_source  inferred or true; of a run that was configured otherwise, that
    moments      the names of the snapshots
    """

    episodes: int
    emulators: int
    epsilon: float
    max_episode_frames: int
    seed: int
    task_source: str
    games: list[str]
    moments: list[str]


class Moment:
    """A snapshot, loaded when the first game of it is played."""

    def __init__(self, asked: Asked, playable: Playable, path: Path) -> None:
        self.path = path
        self._asked, self._playable = asked, playable

    @cached_property
    def _agent(self) -> tuple[int, ContinualAgent, Recognition]:
        """With the moment's frames."""
        config = self._playable.config
        agent, snapshot = load_agent(config, self.path)
        own = own_tasks(snapshot, self._playable.run_dir)
        return snapshot["frames"], agent, choose_recognition(self._asked.task_source, config, agent, snapshot, own)

    def play(self, games: Sequence[str], show: Show | None = None) -> Iterator[tuple[GameResult, dict[str, Any]]]:
        """The games' results as they end, and the same with how each was recognised, as JSON can hold them; `show` is
        given every game's median episode."""
        frames, agent, recognition = self._agent
        a = self._asked
        for result in evaluate_games(
            self._playable.config,
            agent,
            games,
            episodes=a.episodes,
            emulators=a.emulators,
            epsilon=a.epsilon,
            max_episode_frames=a.max_episode_frames,
            seed=a.seed,
            recogniser=recognition.recogniser,
            show=show,
        ):
            told = recognition.report(result.game)
            yield result, {"frames": frames, "result": asdict(result), "recognition": told}
