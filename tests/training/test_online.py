"""Our agent on raw frames equals, step for step, a run of ours with one emulator."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ale_py import ALEInterface

from configs.build import build
from configs.checks import ConfigError, check
from configs.parse import load
from configs.schema import (
    Config,
    ConsolidationConfig,
    EmulatorConfig,
    ExplorationConfig,
    LearnerConfig,
    ReplayConfig,
    StreamConfig,
    Visit,
)
from envs.roms import find_rom
from envs.stream import emulator_seed
from tests.conformance.alike import assert_alike
from tracking.run_directory import RunDirectoryError
from training.interact import interact
from training.online import ONLINE, OnlineAgent, online_agent

CAP = 720
VISITS = [("breakout", 200), ("pong", 190)]  # agent steps
RESEED = 185
STEPS = sum(steps for _, steps in VISITS) + 10

CONFIG = Config(
    seed=9,  # with which breakout ends before the cap, and not only by it
    frames=10_000,
    threads=1,
    task_source="inferred",
    stream=StreamConfig(
        games=[],
        order="listed",
        visits=[Visit(game, 4 * steps) for game, steps in VISITS],
        reseed_frames=4 * RESEED,
    ),
    emulators=EmulatorConfig(
        num_envs=1,
        threads=1,
        noop_max=0,
        sticky_actions=0.25,
        life_loss_terminal=False,
        max_episode_frames=CAP,
    ),
    learner=LearnerConfig(network="small", optimizer="adam", batch_size=4, samples_per_step=1, n_step=2),
    consolidation=ConsolidationConfig(start_frames=0, min_visit_frames=0, fisher_batches=3, recall_states=16),
    exploration=ExplorationConfig(end=0.7, hold_frames=100, decay_frames=400),
    replay=ReplayConfig(capacity=1000, min_history=40),
)


@dataclass
class Harness:
    """A world of somebody else's, made of ALE's single emulator: the games of VISITS, raw frames, no word of a switch.

    It gives the next game's first frame with the truncation, as it gives the next episode's with an end. Its visits
    last as many agent steps as those of CONFIG, and its emulators have the same seeds.
    """

    ale: ALEInterface = field(init=False)
    visit: int = 0
    reseed: int = 0
    steps: int = 0  # agent steps in the visit
    held: int = 0
    episode: int = 0  # frames
    told: dict[str, int] = field(default_factory=lambda: {"over": 0, "cap": 0, "reseed": 0, "switch": 0})

    def begin(self) -> np.ndarray:
        game = VISITS[self.visit % len(VISITS)][0]
        self.ale = ALEInterface()
        self.ale.setFloat("repeat_action_probability", 0.25)
        self.ale.setInt("random_seed", emulator_seed(CONFIG.seed, self.visit, self.reseed))
        self.ale.loadROM(find_rom(game))
        self.ale.reset_game()
        self.held = self.episode = 0
        return self.ale.getScreenRGB()

    def frame(self, action: int) -> tuple[np.ndarray, float, bool, bool]:
        reward = float(self.ale.act(action))
        self.held, self.episode = self.held + 1, self.episode + 1
        over, capped = self.ale.game_over(), self.episode >= CAP
        if not (over or capped or self.held == 4):
            return self.ale.getScreenRGB(), reward, False, False
        self.held, self.steps = 0, self.steps + 1
        switch = self.steps == VISITS[self.visit % len(VISITS)][1]
        if switch:
            self.visit, self.reseed, self.steps = self.visit + 1, 0, 0
        elif self.steps % RESEED == 0:
            self.reseed += 1
        elif over or capped:
            self.told["over" if over else "cap"] += 1
            self.ale.reset_game()
            self.episode = 0
            return self.ale.getScreenRGB(), reward, over, not over
        else:
            return self.ale.getScreenRGB(), reward, False, False
        self.told["switch" if switch else "reseed"] += 1
        return self.begin(), reward, over, not over


@pytest.fixture
def online(tmp_path: Path) -> Iterator[OnlineAgent]:
    with online_agent(CONFIG, tmp_path / "agent") as made:
        yield made


def test_it_equals_a_run_with_one_emulator_step_for_step(online: OnlineAgent) -> None:
    parts = build(CONFIG)
    parts.stream.start()
    world = Harness()
    action = online.act(world.begin(), 0.0, False, False)
    tasks, updates = set(), 0
    for step in islice(interact(parts.stream, parts.agent), STEPS):
        assert action == step.action[0] and online.task == step.task
        assert_alike(online.raw.now, step.now)
        assert_alike(online.metrics, step.updates)
        following = None
        while following is online.raw.now or following is None:
            following = online.raw.now
            next_action = online.act(*world.frame(action))
        assert_alike(online.raw.now, step.following)
        action = next_action
        tasks.add(step.task)
        updates += len(step.updates)
    assert len(tasks) == 2 and updates > 50 and online.agent.consolidator.state_dict()["segments"]
    assert all(world.told.values()), world.told
    parts.agent.act(parts.stream.now), parts.agent.learn()  # as the online agent has by now
    assert_alike(online.agent.state_dict(), parts.agent.state_dict())
    assert_alike(online.agent.replay.state_dict(), parts.memory.state_dict())
    assert_alike(online.agent.consolidator.state_dict(), parts.agent.consolidator.state_dict())
    parts.stream.close()


def frames(seed: int, count: int) -> list[tuple[np.ndarray, float, bool, bool]]:
    """A world that does not listen: breakout at random, cut now and then."""
    world, rng = Harness(), np.random.default_rng(seed)
    first = world.begin()
    return [(first, 0.0, False, False), *(world.frame(int(rng.integers(18))) for _ in range(count))]


@pytest.mark.parametrize("at", [0, 1, 299, 302])  # before the first frame; amid the four of a step
def test_a_saved_one_goes_on_as_if_nothing_had_been(tmp_path: Path, at: int) -> None:
    shown = frames(0, at + 150)
    with online_agent(CONFIG, tmp_path / "whole") as whole, online_agent(CONFIG, tmp_path / "saved") as saved:
        for each in shown[:at]:
            assert whole.act(*each) == saved.act(*each)
        saved.save()
        for each in shown[at : at + 10]:  # what comes after the checkpoint is lost
            saved.act(*each)
        saved.close()
        with online_agent(replace(CONFIG, threads=0), tmp_path / "saved") as resumed:
            assert resumed.frames == at
            for each in shown[at:]:
                assert resumed.act(*each) == whole.act(*each)
            assert resumed.stateful.keys() == {"agent", "memory", "consolidation", "online", "recall"}
            for name in resumed.stateful:
                assert_alike(resumed.stateful[name].state_dict(), whole.stateful[name].state_dict())
        assert at < 299 or whole.agent.updates > 5


def test_a_switch_of_games_is_stored_as_a_cut_and_no_end(online: OnlineAgent) -> None:
    grey = np.full((210, 160, 3), 90, np.uint8)
    rows: list[Any] = []
    store = online.agent.replay.defer
    online.agent.replay.defer = lambda *row: (rows.append(row), store(*row))  # type: ignore[method-assign]
    for over in ((False, False), (False, True), (True, False)):
        online.act(grey, 1.0, *over)
        for _ in range(4):
            online.act(grey, 1.0, False, False)
    told = [(bool(after.first[0]), float(after.discount[0]), float(after.reward[0])) for _, _, after in rows]
    step = (False, 1.0, 4.0)
    assert told == [step, (True, 1.0, 1.0), step, (True, 0.0, 1.0), step]
    assert [bool(after.interrupted[0]) for _, _, after in rows] == [False, True, False, False, False]


def test_an_action_is_held_for_four_frames_and_fewer_at_an_end(online: OnlineAgent) -> None:
    actions = iter(range(18))
    online.agent.act = lambda now: np.array([next(actions)])  # type: ignore[method-assign, assignment, misc]
    grey = np.full((210, 160, 3), 90, np.uint8)
    ends = [False] * 6 + [True] + [False] * 5
    assert [online.act(grey, 0.0, end, False) for end in ends] == [0, 0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"emulators": EmulatorConfig(num_envs=4, life_loss_terminal=False)}, "emulators.num_envs: .* give 1, not 4"),
        ({"emulators": EmulatorConfig(num_envs=1)}, "emulators.life_loss_terminal: .* give false"),
        ({"task_source": "true_labels"}, "task_source: nobody tells .* true_labels needs; give inferred"),
    ],
)
def test_settings_that_cannot_be_are_refused_with_a_sentence(tmp_path: Path, changes: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        online_agent(replace(CONFIG, **changes), tmp_path / "agent")
    assert not (tmp_path / "agent").exists()


def test_another_agent_does_not_go_on_with_it(tmp_path: Path) -> None:
    with online_agent(CONFIG, tmp_path / "agent") as first:
        with pytest.raises(RunDirectoryError, match="another process"):
            online_agent(CONFIG, tmp_path / "agent")
        first.save()
    another = replace(CONFIG, learner=replace(CONFIG.learner, n_step=3))
    with pytest.raises(ConfigError, match=r"learner\.n_step: 2 in the run, 3 asked for"):
        online_agent(another, tmp_path / "agent")
    elsewhere = replace(CONFIG, stream=replace(CONFIG.stream, reseed_frames=700))  # is not looked at
    online_agent(elsewhere, tmp_path / "agent").close()


@pytest.mark.parametrize("preset", ["quick", "three_games", "ten_games_cpu", "ten_games"])
def test_presets_suit_it_with_the_options_that_are_named(preset: str) -> None:
    config = load(f"configs/presets/{preset}.yaml", [*ONLINE, "--task_source=inferred"])
    check(copy.deepcopy(config))
    assert config.emulators.num_envs == 1 and not config.emulators.life_loss_terminal
    assert (config.exploration.end, config.exploration.spread) == (0.01, 0.0)  # no ladder, whose first rung explores
