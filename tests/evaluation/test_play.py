"""Whole episodes with a frozen agent: who plays which, what is counted, and that nothing changes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch

from configs.build import build_agent, build_memory, build_stream, numpy_generator
from configs.schema import Config, EmulatorConfig, LearnerConfig, ReplayConfig, StreamConfig
from envs.atari import AtariBatch, AtariSettings
from envs.colour import ColourScreen
from envs.games import game
from envs.timestep import TimeStep
from envs.toy import CatchBatch
from evaluation.evaluator import evaluate_games
from evaluation.play import Abandoned, GameResult, Playing, alone, clipped_total, game_seed, in_turns, play_game
from taskid.source import FixedTask
from tests.conformance.alike import assert_alike
from tests.envs.helpers import random_actions
from training.interact import interact


class Drawn:
    """Plays random actions, from a generator of its own."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.tasks: list[int | None] = []

    def act(self, observation: np.ndarray, task: int | None) -> np.ndarray:
        self.tasks.append(task)
        return self.rng.integers(0, 18, len(observation))


class Scripted:
    """Emulators whose episodes have given lengths; every step is worth 1 + 10 b; odd episodes are cut off."""

    frames_per_step = 12  # of 3 emulators, 4 each
    actions = 18

    def __init__(self, lengths: list[Iterator[int]]) -> None:
        self.num_envs = len(lengths)
        self.lengths = lengths
        self.steps = 0
        self.at_work = False

    def reset(self) -> TimeStep:
        self.left = np.array([next(each) for each in self.lengths])
        self.played = np.zeros(self.num_envs, dtype=int)
        return self._show(np.zeros(self.num_envs), np.ones(self.num_envs), np.ones(self.num_envs, bool))

    def send(self, action: np.ndarray) -> None:
        assert not self.at_work
        self.at_work = True

    def receive(self) -> TimeStep:
        assert self.at_work
        self.at_work = False
        self.steps += 1
        self.left -= 1
        over = self.left == 0
        end = over & (self.played % 2 == 0)
        self.played += over
        for b in np.flatnonzero(over):
            self.left[b] = next(self.lengths[b])
        return self._show(1 + 10.0 * np.arange(self.num_envs), 1.0 - end, over)

    def _show(self, reward: np.ndarray, discount: np.ndarray, first: np.ndarray) -> TimeStep:
        blank = np.zeros((self.num_envs, 4, 84, 84), np.uint8)
        return TimeStep(blank, reward.astype(np.float32), discount.astype(np.float32), first)


def test_every_emulator_owes_a_fixed_number_of_episodes() -> None:
    """By hand. Emulator 0 plays short episodes; it must not replace the long ones of the others."""
    lengths = [iter([1] * 99), iter([5, 2, 9]), iter([3, 4, 9])]
    result = alone(play_game("toy_catch", Drawn(), FixedTask(None), Scripted(lengths), 5))  # type: ignore[arg-type]
    # 5 episodes over 3 emulators: 2, 2 and 1; cut-off ones count like ended ones.
    assert result.lengths == (4, 4, 20, 8, 12)
    assert result.returns == (1, 1, 55, 22, 63)


def test_it_ends_as_soon_as_the_last_is_through() -> None:
    emulators = Scripted([iter([3] * 9), iter([4] * 9), iter([2] * 9)])
    alone(play_game("toy_catch", Drawn(), FixedTask(None), emulators, 3))  # type: ignore[arg-type]
    assert emulators.steps == 4


def test_two_games_at_a_time_and_each_as_if_it_were_alone() -> None:
    """Of four games the first two begin; where one has ended, the next one does."""
    lengths = (4, 2, 3, 3)

    def emulators() -> list[Scripted]:
        return [Scripted([iter([length] * 9), iter([1] * 9)]) for length in lengths]

    def play(name: str, batch: Scripted) -> Playing:
        return play_game(name, Drawn(), FixedTask(None), batch, 2)  # type: ignore[arg-type]

    batches, busiest, names = emulators(), 0, [f"game {i}" for i in range(4)]

    def counted(game: Playing) -> Playing:
        nonlocal busiest
        while True:
            busiest = max(busiest, sum(batch.at_work for batch in batches))
            try:
                next(game)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            yield

    results = list(in_turns(map(counted, map(play, names, batches)), 2))
    assert [result.game for result in results] == ["game 1", "game 0", "game 2", "game 3"]
    assert {r.game: r for r in results} == {n: alone(play(n, b)) for n, b in zip(names, emulators(), strict=True)}
    assert busiest == 2


@pytest.mark.parametrize("fails", [True, False])
def test_games_under_way_are_closed(fails: bool) -> None:
    """Where one fails, and where nobody asks for the others any more."""
    closed = []

    def game(name: str, steps: int) -> Playing:
        try:
            for _ in range(steps):
                yield
            if fails:
                raise Abandoned(name)
            return GameResult(name, (0.0,), (4,), None, 1.0)
        finally:
            closed.append(name)

    results = in_turns(map(game, "abc", (5, 2, 1)), 2)
    if fails:
        with pytest.raises(Abandoned, match="b"):
            next(results)
    else:
        assert next(results).game == "b"
        results.close()
    assert closed == ["b", "a"]


def brute_force(name: str, seed: int, episodes: int) -> tuple[list[float], list[int]]:
    """The same by a plain loop over time, keeping everything: episodes are cut out afterwards."""
    count, rng = 3, np.random.default_rng(0)
    batch = CatchBatch(name, count, seed)
    batch.reset()
    steps = [batch.step(rng.integers(0, 18, count)) for _ in range(25 * (episodes // count + 1))]
    returns, lengths = [], []
    for b in range(count):
        ends = [t + 1 for t, step in enumerate(steps) if step.first[b]]
        owed = episodes // count + (b < episodes % count)
        for start, end in list(zip([0, *ends], ends, strict=False))[:owed]:
            returns.append(sum(float(step.reward[b]) for step in steps[start:end]))
            lengths.append(4 * (end - start))
    return returns, lengths


@pytest.mark.parametrize(("name", "episodes"), [("toy_catch", 7), ("toy_avoid", 3), ("toy_rise", 1)])
def test_scores_equal_those_of_a_brute_force_loop(name: str, episodes: int) -> None:
    result = alone(play_game(name, Drawn(), FixedTask(4), CatchBatch(name, 3, 11), episodes))
    returns, lengths = brute_force(name, 11, episodes)
    assert list(result.returns) == returns and list(result.lengths) == lengths
    assert len(returns) == episodes and result.task == 4
    assert result.mean == pytest.approx(sum(returns) / episodes)
    if episodes > 1:
        assert result.standard_error == pytest.approx(np.std(returns, ddof=1) / np.sqrt(episodes))
    else:
        assert result.standard_error == 0


def test_lost_lives_end_no_episode_and_a_frame_cap_does() -> None:
    """Breakout: about five lives and some hundred steps an episode at random; capped at 40 steps."""
    settings = AtariSettings(life_loss_terminal=False, threads=1)
    seen: list[TimeStep] = []
    whole = alone(
        play_game(
            "breakout",
            Drawn(),
            FixedTask(None),
            AtariBatch("breakout", 1, 3, settings),
            1,
            on_step=lambda a, n: seen.append(n),
        )
    )
    assert len(seen) * 4 == whole.lengths[0] > 200 and sum(step.first[0] for step in seen) == 1
    assert whole.returns[0] == sum(float(step.reward[0]) for step in seen)
    short = AtariSettings(max_episode_frames=160, threads=1)
    capped = alone(play_game("breakout", Drawn(), FixedTask(None), AtariBatch("breakout", 2, 3, short), 4))
    assert capped.lengths == (160, 160, 160, 160)


def test_a_request_stops_it_before_the_next_step() -> None:
    asked = iter([False] * 10 + [True] * 100)
    player = Drawn()
    with pytest.raises(Abandoned):
        alone(
            play_game("toy_catch", player, FixedTask(0), CatchBatch("toy_catch", 2, 0), 9, stopped=lambda: next(asked))
        )
    assert len(player.tasks) == 10


def test_seeds_of_games_differ_and_stay() -> None:
    assert game_seed(1, "krull") != game_seed(1, "pong") != game_seed(2, "pong")
    assert game_seed(1, "krull") == game_seed(1, "krull") and 0 <= game_seed(1, "krull") < 2**31


# -- with an agent -------------------------------------------------------------------------------------------

CONFIG = Config(
    seed=3,
    stream=StreamConfig(games=["toy_catch", "toy_avoid"]),
    emulators=EmulatorConfig(num_envs=2),
    learner=LearnerConfig(network="small", precision="float32", batch_size=4),
    replay=ReplayConfig(capacity=100, min_history=8),
)


def trained() -> Any:
    stream = build_stream(replace(CONFIG, stream=StreamConfig(games=["toy_catch"])))
    agent = build_agent(CONFIG, build_memory(CONFIG), label=lambda: "toy_catch")
    stream.start()
    for _ in islice(interact(stream, agent), 10):
        pass
    assert agent.updates
    return agent


def evaluated(agent: Any, **changes: Any) -> list[GameResult]:
    given: dict[str, Any] = {"episodes": 5, "emulators": 3, "epsilon": 0.3, "max_episode_frames": 400, "seed": 1}
    return list(evaluate_games(CONFIG, agent, ["toy_catch", "toy_avoid"], **{**given, **changes}))


def test_an_evaluation_changes_nothing_of_the_agent() -> None:
    agent, twin = trained(), trained()
    before = copy.deepcopy([agent.state_dict(), agent.replay.state_dict()])
    results = evaluated(agent)
    assert [(r.game, r.task) for r in results] == [("toy_catch", 0), ("toy_avoid", None)]
    assert_alike([agent.state_dict(), agent.replay.state_dict()], before)
    batches = [CatchBatch("toy_catch", 2, 5) for _ in range(2)]
    for each, batch in zip((agent, twin), batches, strict=True):
        now = batch.reset()
        action = each.act(now)
        each.observe(now, action, batch.step(action))
        each.learn()
    assert_alike(agent.state_dict(), twin.state_dict())


def test_the_same_seed_gives_the_same_numbers_whatever_else_is_played() -> None:
    agent = trained()
    first = evaluated(agent)
    assert evaluated(agent) == first
    assert evaluated(agent, seed=2) != first
    by_itself = evaluate_games(
        CONFIG, agent, ["toy_avoid"], episodes=5, emulators=3, epsilon=0.3, max_episode_frames=400, seed=1
    )
    assert list(by_itself) == first[1:]


def test_epsilon_one_is_random_play() -> None:
    scores = [
        r for result in evaluated(trained(), episodes=300, emulators=100, epsilon=1.0)[:1] for r in result.returns
    ]
    assert abs(np.mean(scores) - game("toy_catch").random) < 5 * np.std(scores) / np.sqrt(300)


def test_a_player_is_greedy_but_for_epsilon() -> None:
    agent = trained()
    observation = CatchBatch("toy_catch", 50, 0).reset().observation
    greedy = agent.player(0.0, numpy_generator(0, "a")).act(observation, 0)
    assert np.array_equal(greedy, agent.player(0.0, numpy_generator(1, "b")).act(observation, 0))
    rarely = agent.player(0.2, numpy_generator(0, "a")).act(observation, 0)
    assert 0 < np.sum(greedy != rarely) < 25


# -- totals and the colour screen ------------------------------------------------------------------------------


def test_clipped_total_by_hand() -> None:
    # toy_avoid: random 0, human 5. Scores of 2.5, 10 and −5 are 0.5, 2 (clipped to 1) and −1 (not clipped).
    results = [GameResult("toy_avoid", (score,), (100,), 0, 1.0) for score in (2.5, 10.0, -5.0)]
    assert [r.human_normalised for r in results] == [0.5, 2.0, -1.0]
    assert clipped_total([r.human_normalised for r in results]) == pytest.approx(0.5 + 1 - 1)
    assert clipped_total([]) == 0


@pytest.mark.parametrize("name", ["krull", "pong"])
def test_the_colour_screen_shows_the_game_that_the_batch_plays(name: str) -> None:
    settings = AtariSettings(sticky_actions=0.25, threads=1)
    batch, screen = AtariBatch(name, 2, 17, settings), ColourScreen(name, 17, settings)
    other = ColourScreen(name, 18, settings)
    grey = batch.reset().observation[0, -1]
    pictures, others = screen.reset(), other.reset()
    right, wrong = [], []
    for row in random_actions(0, 150, 2):
        right.append(_distance(grey, pictures))
        wrong.append(_distance(grey, others))
        grey = batch.step(row).observation[0, -1]
        pictures, others = screen.step(int(row[0])), other.step(int(row[0]))
    assert pictures.dtype == np.uint8 and pictures.ndim == 3 and pictures.shape[2] == 3
    assert max(right) < 60 and np.median(wrong) > 90
    for each in (batch, screen, other):
        each.close()


def _distance(grey: np.ndarray, colour: np.ndarray) -> float:
    """The largest difference of a small grey picture from a large coloured one, each pixel being an area's mean."""
    luma = torch.from_numpy(colour @ np.array([0.2989, 0.5870, 0.1140]))
    small = torch.nn.functional.adaptive_avg_pool2d(luma[None], (84, 84))[0].numpy()
    return float(np.abs(small - grey).max())
