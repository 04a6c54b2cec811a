"""Laws of composition, on emulators: what consolidation cannot change, and what the inferring agent cannot know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import pytest
import torch

from agent.continual import ContinualAgent
from configs.run import build_agent, build_memory, build_stream
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
from tests.conformance.alike import assert_alike, difference

B = 2
VISIT = 60  # vector steps
GAMES = {"atari": ("boxing", "pong"), "toys": ("toy_catch", "toy_mirror")}


def config_of(games: tuple[str, str], tasks: str, **consolidation: Any) -> Config:
    visits = [Visit(game, VISIT * 4 * B) for game in (games[0], games[1], games[0])]
    settings = {"start_frames": 0, "min_visit_frames": 0, "fisher_batches": 2, **consolidation}
    return Config(
        tasks=tasks,
        stream=StreamConfig(order="listed", visits=visits),
        emulators=EmulatorConfig(count=B, threads=1),
        learner=LearnerConfig(
            network="small", precision="float32", optimiser="adam", learning_rate=1e-3, batch_size=8, samples_per_step=2
        ),
        exploration=ExplorationConfig(hold_frames=0, decay_frames=400),
        consolidation=ConsolidationConfig(**settings),
        replay=ReplayConfig(capacity=200, min_history=20),
    )


def play(config: Config, label: Callable[[], str] | None = None) -> tuple[ContinualAgent, list[Any], list[int]]:
    """Three visits and some steps: the agent, actions and updates of every step, and the steps of departures that
    left an anchor."""
    stream, memory = build_stream(config), build_memory(config)
    agent = build_agent(config, memory, label or (lambda: stream.label))
    stream.start()
    trace, left = [], []
    for step in range(3 * VISIT - 20):
        now = stream.now
        action = agent.act(now)
        stream.send(action)
        updates = agent.learn()
        following = stream.receive()
        agent.observe(now, action, following)
        trace.append((action, agent.task, [each for each in updates if "loss" in each]))
        left += [step for each in updates if "fisher_mean" in each]
    stream.close()
    return agent, trace, left


def without_fisher_draws(agent: ContinualAgent) -> dict[str, Any]:
    return {name: value for name, value in agent.state_dict().items() if name != "fisher_rng"}


@pytest.mark.parametrize("games", GAMES.values(), ids=GAMES)
@pytest.mark.parametrize("tasks", ["true_labels", "inferred"])
def test_ewc_without_strength_is_the_agent_without_penalty(games: tuple[str, str], tasks: str) -> None:
    plain, trace, none = play(config_of(games, tasks, kind="none"))
    agent, its, left = play(config_of(games, tasks, strength=0.0))
    assert not none and len(left) >= 2 and plain.updates > 40
    assert_alike(its, trace)
    assert_alike(without_fisher_draws(agent), without_fisher_draws(plain))


@pytest.mark.parametrize("games", GAMES.values(), ids=GAMES)
def test_with_true_labels_ewc_is_the_agent_without_penalty_until_the_first_switch(games: tuple[str, str]) -> None:
    _, trace, _ = play(config_of(games, "true_labels", kind="none"))
    _, its, left = play(config_of(games, "true_labels", strength=1e4))
    assert left[0] == VISIT
    assert_alike(its[:VISIT], trace[:VISIT])
    assert difference(its[VISIT:], trace[VISIT:])


@pytest.mark.parametrize("games", GAMES.values(), ids=GAMES)
def test_no_label_reaches_the_agent_that_infers(games: tuple[str, str]) -> None:
    def forbidden() -> NoReturn:
        raise AssertionError("the agent asked for the label")

    agent, trace, left = play(config_of(games, "inferred"), forbidden)
    assert sorted({task for _, task, _ in trace}) == [0, 1] and len(left) >= 2
    assert all(torch.isfinite(w).all() for w in agent.learner.weights)
    with pytest.raises(AssertionError, match="asked"):
        play(config_of(games, "true_labels"), forbidden)
