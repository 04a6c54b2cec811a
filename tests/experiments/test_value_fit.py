"""What is held out is never learned from, and what can be predicted is."""

import numpy as np
import pytest
import torch

from agent.consolidators.none import NoConsolidation
from configs.build import build_learner, build_memory, build_network
from configs.schema import Config, LearnerConfig, ReplayConfig
from envs.timestep import TimeStep
from experiments.value_fit import MARGIN, STRETCH, Fit, explained, main, split
from tests.conformance.alike import assert_alike


def test_held_out_transitions_lie_between_and_away_from_those_that_are_learned():
    numbers = np.delete(np.arange(12 * STRETCH), np.arange(50, 12 * STRETCH, 7))  # some cannot be sampled
    learned, held_out = split(numbers)
    assert len(held_out) and len(learned) > 3 * len(held_out)
    gaps = np.abs(held_out[:, None] - learned[None, np.searchsorted(learned, [0, 999, 5_000, 5_999, 10_999])])
    assert gaps.min() >= MARGIN
    assert not np.isin(held_out, learned).any() and np.isin(np.concatenate([learned, held_out]), numbers).all()


def test_what_is_explained_by_hand():
    goals = torch.tensor([1.0, 2.0, 3.0])
    assert explained(goals, goals) == 1.0
    assert explained(goals, torch.full((3,), 2.0)) == 0.0
    assert explained(goals, torch.tensor([1.0, 2.0, 4.0])) == pytest.approx(1 - (1 / 3) / (2 / 3))


def bright_or_dark(rows, batch=2, seed=0):
    """A replay of pictures that are bright or dark, where whoever acts in a bright one earns 1, and ends."""
    learner = LearnerConfig(network="small", optimizer="adam", learning_rate=1e-3, optimizer_epsilon=1e-5)
    config = Config(learner=learner, replay=ReplayConfig(capacity=20_000))
    memory, rng = build_memory(config), np.random.default_rng(seed)

    def step(last):
        bright = rng.random(batch) < 0.5
        pixels = np.where(bright, 200, 20).astype(np.uint8)[:, None, None, None]
        seen = np.broadcast_to(pixels, (batch, 4, 84, 84)).copy()
        return bright, TimeStep(
            observation=seen,
            reward=np.zeros(batch, np.float32) if last is None else last.astype(np.float32),
            discount=np.zeros(batch, np.float32),
            first=np.ones(batch, bool),
        )

    bright, now = step(None)
    for time in range(rows):
        after, following = step(bright)
        memory.add(0, time, now, rng.integers(18, size=batch), following)
        bright, now = after, following
    return config, memory


def test_what_a_picture_tells_is_learned_and_every_run_of_it_is_the_same():
    config, memory = bright_or_dark(5 * STRETCH // 2)

    def errors():
        learner = build_learner(config, build_network(config), NoConsolidation())
        learner.add_task()
        teacher = build_network(config)
        teacher.add_task()
        fit = Fit(learner, teacher, memory.buffer(0), config)
        return [{name: value for name, value in at.items() if name != "milliseconds"} for at in fit.run(60)]

    once = errors()
    assert [at["updates"] for at in once] == [6, 12, 24, 42, 60]
    assert once[-1]["explained"] > 0.9 > once[0]["explained"]
    assert_alike(errors(), once)


def test_a_run_without_a_replay_is_refused_in_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path / "nothing")])
    assert "there is no" in capsys.readouterr().err.splitlines()[-1]
