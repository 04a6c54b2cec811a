"""The agent learns: from a random player to one that catches nearly every ball, in seconds."""

from __future__ import annotations

from itertools import islice

from configs.build import build
from configs.schema import (
    Config,
    EmulatorConfig,
    EvaluationConfig,
    ExplorationConfig,
    LearnerConfig,
    ReplayConfig,
    StreamConfig,
)
from evaluation.evaluator import scheduled_evaluation
from training.interact import interact

STEPS = 350  # vector steps of eight emulators
CATCH = Config(
    seed=1,
    threads=1,
    task_source="inferred",
    stream=StreamConfig(games=["toy_catch"], visit_frames=10**6),
    emulators=EmulatorConfig(num_envs=8, threads=1),
    learner=LearnerConfig(
        network="small",
        gated=0.0,
        precision="float32",
        optimizer="adam",
        learning_rate=5e-4,
        batch_size=32,
        samples_per_step=8,
        n_step=1,  # so that a move far from the catch is learned by bootstrapping alone
        discount=0.9,
        target_frames=1000,
        shift_pixels=0,
    ),
    exploration=ExplorationConfig(hold_frames=0, decay_frames=6000, end=0.1),
    replay=ReplayConfig(capacity=4000, min_history=200),
    evaluation=EvaluationConfig(episodes=24, emulators=8),
)


def test_the_agent_learns_to_catch() -> None:
    """A random player catches one ball in three, and one that looks a single step ahead (discount 0) every other. Also
    fails if the weights stand still, rewards are negated, the target network never follows, or stored actions or
    frames are not those that were played. Discounts of 0.5 to 1 do as well here, and so do ends that are ignored."""
    parts = build(CATCH)
    stream, agent = parts.stream, parts.agent
    stream.start()
    for _ in islice(interact(stream, agent), STEPS):
        pass
    (result,) = scheduled_evaluation(CATCH, agent, last=False)
    assert result.human_normalised > 0.8, f"{result.mean:.2f} of 5; a random player has -1.67"
