"""Other people's policies in our tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from configs.build import numpy_generator
from envs.timestep import TimeStep
from envs.toy import CatchBatch
from evaluation import table
from evaluation.play import game_seed
from evaluation.policy import evaluate_policy
from taskid.source import FixedTask
from tests.evaluation.test_play import CONFIG, evaluated, trained

ASKED = {"episodes": 5, "emulators": 3, "max_episode_frames": 400, "seed": 1}


def test_an_agent_of_ours_as_a_function_scores_what_its_evaluation_scores() -> None:
    agent = trained()
    players = {
        game: agent.player(0.3, numpy_generator(1, f"evaluation of {game}")) for game in ("toy_catch", "toy_avoid")
    }
    results = [
        evaluate_policy(lambda seen, game=game: players[game].act(seen, 0), [game], CONFIG, **ASKED)[0]
        for game in players
    ]
    assert results == evaluated(agent, recogniser=lambda game: FixedTask(0))


def catching(observation: np.ndarray) -> list[int]:
    """The best play of toy_catch, by looking at the newest picture alone: the ball is white, the paddle grey."""
    actions = []
    for picture in observation[:, -1]:
        ball, paddle = (np.flatnonzero((picture == grey).any(axis=0)).min() // 14 for grey in (255, 200))
        actions.append(3 if ball > paddle + 1 else 4 if ball < paddle else 0)
    return actions


def test_it_can_be_any_function_of_uint8_observations_and_is_called_by_any_name_of_the_game() -> None:
    shapes = set()

    def policy(observation: np.ndarray) -> list[int]:
        shapes.add((observation.dtype.name, observation.shape))
        return catching(observation)

    (result,) = evaluate_policy(policy, ["ToyCatch"], **ASKED)
    assert result.game == "toy_catch" and result.mean == 5.0 == max(result.returns) and result.human_normalised == 1.0
    assert result.lengths == (100,) * 5 and shapes == {("uint8", (3, 4, 84, 84))}
    rows = table.rows(0, [result])
    assert (rows[0]["task"], rows[0]["mean"], rows[0]["human_normalised"]) == (0, 5.0, 1.0)
    assert table.report(0, rows, [result])["clipped_total"] == 1.0


def test_every_policy_meets_the_same_emulators() -> None:
    def seen_by(action: int) -> list[bytes]:
        seen: list[bytes] = []

        def policy(observation: np.ndarray) -> np.ndarray:
            seen.append(observation.tobytes())
            return np.full(len(observation), action)

        evaluate_policy(policy, ["toy_catch"], **ASKED)
        return seen

    right, left = seen_by(3), seen_by(4)
    begun: TimeStep = CatchBatch("toy_catch", 3, game_seed(1, "toy_catch")).reset()
    assert right[0] == left[0] == begun.observation.tobytes() and right[1:] != left[1:]


def test_atari_games_are_filmed_where_a_folder_is_given(tmp_path: Path) -> None:
    more = {"episodes": 1, "emulators": 1, "max_episode_frames": 100, "video_dir": tmp_path}
    (result,) = evaluate_policy(lambda seen: np.zeros(len(seen), np.int64), ["pong"], **more)
    assert result.lengths == (100,) and [path.suffix for path in tmp_path.iterdir()] == [".mp4"]


@pytest.mark.parametrize(
    ("policy", "games", "told"),
    [
        (lambda seen: [0, 0], ["toy_catch"], "one per emulator"),
        (lambda seen: np.zeros(len(seen)), ["toy_catch"], "integers"),
        (lambda seen: np.full(len(seen), 18), ["toy_catch"], r"0\.\.17"),
        (lambda seen: np.zeros(len(seen), np.int64), ["toy_cacht"], "did you mean toy_catch"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(policy: object, games: list[str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        evaluate_policy(policy, games, **ASKED)


@pytest.mark.parametrize("few", [{"episodes": 0}, {"emulators": 0}])
def test_no_episodes_are_refused(few: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        evaluate_policy(lambda seen: np.zeros(len(seen), np.int64), ["toy_catch"], CONFIG, **{**ASKED, **few})
