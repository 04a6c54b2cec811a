"""The stream for other people's agents: what our own run sees, and what Gymnasium's checkers ask for."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils import env_checker, passive_env_checker
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import vector as wrappers

import envs.gymnasium
from configs.build import build_agent, build_memory, build_stream
from configs.checks import ConfigError
from configs.gymnasium import continual_atari
from configs.schema import Config, EmulatorConfig, LearnerConfig, ReplayConfig, StreamConfig, Visit
from envs.gymnasium import ContinualAtari
from tests.envs.helpers import random_actions
from training.interact import interact

ROOT = Path(__file__).resolve().parents[2]
B = 2
STEP = 4 * B  # environment frames


def config_of(*visits: tuple[str, int], reseed: int = 70, **emulators: Any) -> Config:
    """Visits of so many steps each, seeded anew every `reseed` of them."""
    listed = [Visit(game, steps * STEP) for game, steps in visits]
    return Config(
        seed=3,
        frames=10_000,
        stream=StreamConfig(games=[], order="listed", visits=listed, reseed_frames=reseed * STEP),
        emulators=EmulatorConfig(num_envs=B, threads=1, **emulators),
        learner=LearnerConfig(network="small", batch_size=4, samples_per_step=1),
        replay=ReplayConfig(capacity=1000, min_history=32),
    )


TOYS = config_of(("toy_catch", 90), ("toy_avoid", 40))
ATARI = config_of(("breakout", 140), ("pong", 40), reseed=135, max_episode_frames=520, sticky_actions=0.25)


@pytest.fixture
def make() -> Iterator[Any]:
    made: list[ContinualAtari] = []

    def one(config: Config, **more: Any) -> ContinualAtari:
        made.append(continual_atari(config, **more))
        return made[-1]

    yield one
    for each in made:
        each.close()
        each.close()


@pytest.mark.parametrize(("config", "steps"), [(TOYS, 200), (ATARI, 150)])
def test_it_shows_what_our_own_run_sees_over_switches_of_games_and_reseeds(
    make: Any, config: Config, steps: int
) -> None:
    stream = build_stream(config)
    stream.start()
    agent = build_agent(config, build_memory(config), label=lambda: stream.label)
    env = make(config)
    observation, _ = env.reset()
    ends, cuts, games = 0, 0, set()
    for step in islice(interact(stream, agent), steps):
        assert np.array_equal(observation, step.now.observation)
        observation, reward, terminated, truncated, info = env.step(step.action)
        following = step.following
        assert np.array_equal(observation, following.observation) and reward.dtype == np.float32
        assert np.array_equal(reward, following.reward)
        assert np.array_equal(terminated | truncated, following.first) and not (terminated & truncated).any()
        assert np.array_equal(truncated, following.interrupted)
        assert np.array_equal(terminated | info["life_lost"], following.discount == 0)
        assert env.frames == step.frames
        assert not step.cut or (terminated | truncated).all()
        ends, cuts = ends + (terminated | info["life_lost"]).sum(), cuts + truncated.sum()
        games.add(step.label)
    assert agent.updates and ends and cuts and len(games) == 2
    stream.close()


def test_at_every_end_the_last_observation_of_the_episode_is_told(make: Any) -> None:
    """It continues the stack that was acted on; the observation is the next episode's."""
    env = make(ATARI)
    before, _ = env.reset()
    told = {"game over": 0, "frame cap": 0, "another game": 0}
    for action in random_actions(0, 180, B):
        observation, _, terminated, truncated, info = env.step(action)
        over = terminated | truncated
        assert ("final_obs" in info) == bool(over.any())
        for b in np.flatnonzero(over):
            final = info["final_obs"][b]
            assert final.dtype == np.uint8 and np.array_equal(final[:3], before[b, 1:])
            assert not observation[b, :3].any() and observation[b, 3].any()
            why = "game over" if terminated[b] else "another game" if env.stream.cut else "frame cap"
            told[why] += 1
        if over.any():
            assert np.array_equal(info["_final_obs"], over)
            assert all(row is None for row in info["final_obs"][~over])
        before = observation
    assert all(told.values()), told


def test_a_toys_last_observation_has_the_ball_at_the_paddle(make: Any) -> None:
    env = make(config_of(("toy_catch", 100)))
    env.reset()
    for _ in range(25):
        _, _, terminated, _, info = env.step(np.zeros(B, np.int64))
    assert terminated.all()
    last = info["final_obs"][0]
    assert (last[-2, :70] == 255).any() and not (last[-1, :70] == 255).any() and (last[-1, 70:] == 255).any()


def test_nothing_tells_the_game_unless_it_is_asked_for(make: Any) -> None:
    silent, told = make(TOYS), make(TOYS, labels=True)
    assert silent.reset()[1].keys() == {"life_lost", "_life_lost"}
    assert list(told.reset()[1]["game"]) == ["toy_catch"] * B
    seen: set[str] = set()
    for action in random_actions(1, 100, B):
        *_, info = silent.step(action)
        seen |= info.keys()
        *_, over, info = told.step(action)
        if told.frames == 90 * STEP:
            assert over.all() and list(info["game"]) == ["toy_avoid"] * B
            assert list(info["final_info"]["game"]) == ["toy_catch"] * B
    assert seen == {"life_lost", "_life_lost", "final_obs", "_final_obs"}
    assert list(info["game"]) == ["toy_avoid"] * B


def test_lost_lives_end_no_episode_and_are_told(make: Any) -> None:
    told, untold = make(ATARI), make(replace(ATARI, emulators=replace(ATARI.emulators, life_loss_terminal=False)))
    lost = {told: 0, untold: 0}
    for env in lost:
        env.reset()
        for action in random_actions(2, 90, B):
            _, _, terminated, truncated, info = env.step(action)
            assert not (info["life_lost"] & (terminated | truncated)).any()
            lost[env] += info["life_lost"].sum()
    assert lost[told] and not lost[untold]


# -- Gymnasium's own checkers ----------------------------------------------------------------------------------------


class One(gymnasium.Env[Any, Any]):
    """A vector environment of one emulator without its axis, since `check_env` takes no others."""

    def __init__(self, env: ContinualAtari) -> None:
        self.env = env
        self.observation_space, self.action_space = env.single_observation_space, env.single_action_space
        self.metadata = env.metadata

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        observation, info = self.env.reset(seed=seed, options=options)
        return observation[0], info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(np.array([action]))
        return observation[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), info


@pytest.mark.parametrize("config", [TOYS, ATARI])
def test_check_env_finds_nothing(make: Any, config: Config) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*alternative render modes")  # there are none
        env_checker.check_env(One(make(config, num_envs=1)))


def test_those_checks_that_hold_for_vector_environments_find_nothing_either(make: Any) -> None:
    env = make(TOYS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        passive_env_checker.check_observation_space(env.observation_space)
        passive_env_checker.check_action_space(env.action_space)
        env_checker.check_reset_return_type(env)
        env_checker.check_reset_seed_determinism(env)
        env_checker.check_reset_options(env)
        env_checker.check_returned_data_not_reused(make(TOYS, num_envs=1))
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP


def test_gymnasiums_wrappers_for_vector_environments_work_on_it(make: Any) -> None:
    env = make(TOYS)
    listed = wrappers.DictInfoToList(wrappers.RecordEpisodeStatistics(wrappers.ClipReward(env, -0.5, 0.5)))
    listed.reset()
    for action in random_actions(4, 50, B):
        _, reward, *_, infos = listed.step(action)
    assert set(reward.tolist()) <= {-0.5, 0.5}  # a ball has arrived
    assert [info["episode"]["l"] for info in infos] == [25] * B  # five balls of five steps
    assert all(info["final_obs"].shape == (4, 84, 84) for info in infos)


# -- making one ------------------------------------------------------------------------------------------------------


def test_make_vec_makes_it_from_a_file_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make_vec(
            envs.gymnasium.ID,
            num_envs=3,
            config=ROOT / "configs/presets/toy.yaml",
            settings=["--stream.visit_frames=1200"],
            labels=True,
        )
    assert isinstance(env, ContinualAtari) and env.spec is not None and env.spec.id == "ContinualAtari-v0"
    observation, info = env.reset(seed=5)
    assert observation in env.observation_space and observation.shape == (3, 4, 84, 84)
    first = info["game"][0]
    for _ in range(100):
        *_, info = env.step(env.action_space.sample())
    assert info["game"][0] != first and env.frames == 1200
    env.close()


def test_the_seed_decides_everything_and_a_reset_begins_again(make: Any) -> None:
    actions = random_actions(5, 150, B)

    def played(env: ContinualAtari, seed: int | None) -> list[bytes]:
        return [env.reset(seed=seed)[0].tobytes(), *(env.step(action)[0].tobytes() for action in actions)]

    env = make(TOYS)
    own = played(env, None)
    assert played(env, None) == own == played(make(TOYS), 3) and played(env, 4) != own
    assert played(env, None) == played(make(TOYS, seed=4), None)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda env: env.step(np.zeros(B, np.int64)), "call reset"),
        (lambda env: (env.reset(), env.step(np.array([0, 18]))), r"0\.\.17"),
        (lambda env: (env.reset(), env.step([0])), "one per emulator"),
        (lambda env: env.reset(options={"reset_mask": np.array([True, False])}), "reset_mask"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_sentence(make: Any, wrong: Any, told: str) -> None:
    with pytest.raises((RuntimeError, ValueError), match=told):
        wrong(make(TOYS))


def test_what_cannot_be_made_is_refused_with_a_sentence() -> None:
    with pytest.raises(ConfigError, match=r"emulators.num_envs: must lie between 1"):
        continual_atari(TOYS, num_envs=0)
    with pytest.raises(ConfigError, match=r"nothing\.yaml"):
        continual_atari("nothing.yaml")


def test_the_id_is_registered_without_torch() -> None:
    code = (
        "import sys, gymnasium, envs.gymnasium, envs.atari, envs.toy, envs.episodes; "
        "assert 'ContinualAtari-v0' in gymnasium.registry; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
