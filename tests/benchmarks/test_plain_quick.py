"""The plain recipe of quick does the work that it stands for: windows and targets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import plain_quick
from configs.parse import load

SHAPE = (4, 8, 8)


def picture(value: int) -> np.ndarray:
    return np.full(SHAPE, value, np.uint8)


def test_windows_end_after_five_steps_at_a_terminal_or_where_an_episode_is_cut() -> None:
    replay = plain_quick.NStepReplay(100, SHAPE, np.random.default_rng(0))
    for step in range(7):
        replay.step(picture(step), step, 1.0, False, picture(step + 1))
    g = plain_quick.DISCOUNT
    assert replay.added == 3 and replay.actions[:3].tolist() == [0, 1, 2]
    assert replay.rewards[:3] == pytest.approx([sum(g**k for k in range(5))] * 3)
    assert replay.discounts[:3] == pytest.approx([g**5] * 3)
    assert replay.next_observations[:3, 0, 0, 0].tolist() == [5, 6, 7]
    replay.step(picture(7), 7, -1.0, True, picture(99))
    assert replay.added == 8 and not replay.window and (replay.discounts[3:8] == 0).all()
    assert replay.rewards[7] == -1.0
    replay.step(picture(50), 50, 2.0, False, picture(51))
    replay.flush(picture(51), False)
    assert replay.discounts[8] == pytest.approx(g) and replay.next_observations[8, 0, 0, 0] == 51


def test_the_constants_are_those_of_the_preset() -> None:
    c = load("configs/presets/quick.yaml", []).learner
    ours = (c.discount, c.n_step, c.samples_per_step, c.target_frames // 4, c.batch_size)
    assert ours == (
        plain_quick.DISCOUNT,
        plain_quick.N_STEP,
        plain_quick.SAMPLES_PER_STEP,
        plain_quick.TARGET_PERIOD,
        plain_quick.BATCH,
    )
    assert c.shift_pixels == 0
    assert (c.learning_rate, c.optimizer_epsilon, c.max_gradient_norm) == (
        plain_quick.LEARNING_RATE,
        plain_quick.EPSILON,
        plain_quick.MAX_NORM,
    )


def test_it_learns_the_double_q_target() -> None:
    learner = plain_quick.Learner(3)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in learner.target.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    pictures, following = torch.randint(256, (2, 6, 4, 84, 84), dtype=torch.uint8)
    reward, discount = torch.arange(6.0) / 10, torch.tensor([0.9, 0.0, 0.9, 0.9, 0.0, 0.9])
    action = torch.tensor([0, 1, 2, 0, 1, 2])
    with torch.no_grad():
        best = learner.online(following).argmax(1, keepdim=True)
        goal = reward + discount * learner.target(following).gather(1, best)[:, 0]
        error = learner.online(pictures).gather(1, action[:, None])[:, 0] - goal
    expected = torch.where(error.abs() <= 1, error**2 / 2, error.abs() - 0.5).sum()
    found = learner.learn([pictures, action, reward, discount, following])
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)
