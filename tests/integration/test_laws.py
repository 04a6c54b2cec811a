"""Laws of composition, on emulators: what consolidation cannot change, and what the inferring agent cannot know."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

import pytest
import torch

from agent.continual import ContinualAgent
from configs.build import build_agent, build_memory, build_stream
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
from taskid.source import Inference, TaskSource
from tests.conformance.alike import assert_alike, difference
from training.interact import interact

B = 2
VISIT = 60  # vector steps
GAMES = {"atari": ("boxing", "pong"), "toys": ("toy_catch", "toy_mirror")}
TOYS_FIRST = [  # real games are slow tests of the same laws
    pytest.param(GAMES["toys"], id="toys"),
    pytest.param(GAMES["atari"], id="atari", marks=pytest.mark.slow),
]


SHIPPED = {"gated": 0.5, "prune_inactive": True, "fisher_damping": 0.3}  # what the CPU presets add to the paper's agent


def config_of(games: tuple[str, str], tasks: str, gated: float = 0.0, **consolidation: Any) -> Config:
    visits = [Visit(game, VISIT * 4 * B) for game in (games[0], games[1], games[0])]
    settings = {"start_frames": 0, "min_visit_frames": 0, "fisher_batches": 2, **consolidation}
    return Config(
        task_source=tasks,
        stream=StreamConfig(order="listed", visits=visits),
        emulators=EmulatorConfig(num_envs=B, threads=1),
        learner=LearnerConfig(
            network="small",
            gated=gated,
            precision="float32",
            optimizer="adam",
            learning_rate=1e-3,
            batch_size=8,
            samples_per_step=2,
        ),
        exploration=ExplorationConfig(hold_frames=0, decay_frames=400),
        consolidation=ConsolidationConfig(**settings),
        replay=ReplayConfig(capacity=200, min_history=20),
    )


def play(
    config: Config,
    label: Callable[[], str] | None = None,
    source: Callable[[TaskSource], TaskSource] = lambda tasks: tasks,
    watch: Callable[[ContinualAgent], None] = lambda agent: None,
) -> tuple[ContinualAgent, list[Any], list[int]]:
    """Three visits and some steps: the agent, actions and updates of every step, and the steps of departures that
    left an anchor. `source` may wrap the agent's source of tasks; `watch` is called after every step."""
    stream, memory = build_stream(config), build_memory(config)
    agent = build_agent(config, memory, label or (lambda: stream.label))
    agent.task_source = source(agent.task_source)
    stream.start()
    trace, left = [], []
    for number, step in enumerate(itertools.islice(interact(stream, agent), 3 * VISIT - 20)):
        trace.append((step.action, step.task, [each for each in step.updates if "loss" in each]))
        left += [number for each in step.updates if "fisher_mean" in each]
        watch(agent)
    stream.close()
    return agent, trace, left


class Alternating:
    """A source that takes every other step from `since` on for another task, and assigns it to that."""

    def __init__(self, tasks: TaskSource, since: int) -> None:
        self.inner, self.since, self.step = tasks, since, 0

    def infer(self, now: Any) -> Inference:
        self.step += 1
        found = self.inner.infer(now)
        if self.step <= self.since or self.step % 2:
            return found
        return Inference(1 - found.task, (1 - found.task,))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.mark.parametrize("games", GAMES.values(), ids=GAMES)
@pytest.mark.parametrize(("tasks", "more"), [("true_labels", {}), ("inferred", SHIPPED)], ids=["paper", "shipped"])
def test_ewc_without_strength_is_the_agent_without_penalty(
    games: tuple[str, str], tasks: str, more: dict[str, Any]
) -> None:
    plain, trace, none = play(config_of(games, tasks, kind="none", **more))
    agent, its, left = play(config_of(games, tasks, ewc_lambda=0.0, **more))
    assert not none and len(left) >= 2 and plain.updates > 40
    assert_alike(its, trace)
    assert_alike(agent.state_dict(), plain.state_dict())


@pytest.mark.parametrize("games", TOYS_FIRST)
def test_with_true_labels_ewc_is_the_agent_without_penalty_until_the_first_switch(games: tuple[str, str]) -> None:
    shared = {**SHIPPED, "gated": 0.25}  # with a half, two tasks need have no unit in common
    _, trace, _ = play(config_of(games, "true_labels", kind="none", **shared))
    _, its, left = play(config_of(games, "true_labels", ewc_lambda=1e4, **shared))
    assert left[0] == VISIT
    assert_alike(its[:VISIT], trace[:VISIT])
    assert difference(its[VISIT:], trace[VISIT:])


@pytest.mark.parametrize("games", TOYS_FIRST)
def test_a_source_that_alternates_measures_no_fisher_and_touches_no_anchor(games: tuple[str, str]) -> None:
    """Two honest visits leave an anchor each; from the middle of the third on the source flips at every step."""
    since = 2 * VISIT + 10
    kept: list[Any] = []
    steps = itertools.count()

    def remember(agent: ContinualAgent) -> None:
        if next(steps) == since + 1:  # after the first departure of the third visit, which was long enough
            kept.append(copy.deepcopy(agent.consolidator.state_dict()["segments"]))

    config = config_of(games, "true_labels", ewc_lambda=1e4, **SHIPPED)
    config = replace(config, consolidation=replace(config.consolidation, min_visit_frames=10 * 4 * B))
    agent, trace, left = play(config, source=lambda tasks: Alternating(tasks, since), watch=remember)
    assert len(left) == 3 and max(left) <= since + 1
    assert len({task for _, task, _ in trace[-2:]}) == 2 and agent.short_visits >= 25
    assert sum(len(updates) for *_, updates in trace[since + 2 :]) > 10  # it goes on learning meanwhile
    assert_alike(agent.consolidator.state_dict()["segments"], kept[0])


@pytest.mark.parametrize("games", TOYS_FIRST)
def test_no_label_reaches_the_agent_that_infers(games: tuple[str, str]) -> None:
    def forbidden() -> NoReturn:
        raise AssertionError("the agent asked for the label")

    agent, trace, left = play(config_of(games, "inferred"), forbidden)
    tasks = {task for _, task, _ in trace}
    assert (tasks == {0, 1} or (games == GAMES["toys"] and tasks == {0, 1, 2})) and len(left) >= 2
    assert all(torch.isfinite(w).all() for w in agent.learner.weights)
    with pytest.raises(AssertionError, match="asked"):
        play(config_of(games, "true_labels"), forbidden)
