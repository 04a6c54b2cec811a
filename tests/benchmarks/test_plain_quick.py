"""The plain recipe of quick does the work that it stands for: windows, shifts, targets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agent.augmentation import shift
from benchmarks import plain_quick
from configs.parse import load

SHAPE = (4, 8, 8)


def picture(value: int) -> np.ndarray:
    return np.full(SHAPE, value, np.uint8)


def test_windows_end_after_ten_steps_at_a_terminal_or_where_an_episode_is_cut() -> None:
    replay = plain_quick.NStepReplay(100, SHAPE, np.random.default_rng(0))
    for step in range(12):
        replay.step(picture(step), step, 1.0, False, picture(step + 1))
    g = plain_quick.DISCOUNT
    assert replay.added == 3 and replay.actions[:3].tolist() == [0, 1, 2]
    assert replay.rewards[:3] == pytest.approx([sum(g**k for k in range(10))] * 3)
    assert replay.discounts[:3] == pytest.approx([g**10] * 3)
    assert replay.next_observations[:3, 0, 0, 0].tolist() == [10, 11, 12]
    replay.step(picture(12), 12, -1.0, True, picture(99))
    assert replay.added == 13 and not replay.window and (replay.discounts[3:13] == 0).all()
    assert replay.rewards[12] == -1.0
    replay.step(picture(50), 50, 2.0, False, picture(51))
    replay.flush(picture(51), False)
    assert replay.discounts[13] == pytest.approx(g) and replay.next_observations[13, 0, 0, 0] == 51


def test_shifts_repeat_the_edge_and_are_channels_last() -> None:
    x = torch.randint(256, (5, 4, 12, 12), dtype=torch.uint8)
    rng = np.random.default_rng(3)
    down, right = np.random.default_rng(3).integers(-4, 5, (2, 5, 1))
    found = plain_quick.shifted(x, rng)
    offsets = torch.from_numpy(np.concatenate([down, right], axis=1))
    assert torch.equal(found, shift(x, offsets))
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_the_constants_are_those_of_the_preset() -> None:
    c = load("configs/presets/quick.yaml", []).learner
    ours = (c.discount, c.n_step, c.shift_pixels, c.samples_per_step, c.target_frames // 4, c.batch_size)
    assert ours == (
        plain_quick.DISCOUNT,
        plain_quick.N_STEP,
        plain_quick.SHIFT,
        plain_quick.SAMPLES_PER_STEP,
        plain_quick.TARGET_PERIOD,
        plain_quick.BATCH,
    )
    assert (c.learning_rate, c.optimizer_epsilon, c.max_gradient_norm) == (
        plain_quick.LEARNING_RATE,
        plain_quick.EPSILON,
        plain_quick.MAX_NORM,
    )


def test_it_learns_the_double_q_target() -> None:
    learner = plain_quick.Learner(3, np.random.default_rng(0))
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in learner.target.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    pictures = torch.randint(256, (1, 4, 84, 84), dtype=torch.uint8).expand(6, -1, -1, -1)
    reward, discount = torch.arange(6.0) / 10, torch.tensor([0.9, 0.0, 0.9, 0.9, 0.0, 0.9])
    action = torch.tensor([0, 1, 2, 0, 1, 2])
    same = np.random.default_rng(1)
    learner.rng = np.random.default_rng(1)
    moved, following = plain_quick.shifted(pictures, same), plain_quick.shifted(pictures, same)
    with torch.no_grad():
        best = learner.online(following).argmax(1, keepdim=True)
        goal = reward + discount * learner.target(following).gather(1, best)[:, 0]
        error = learner.online(moved).gather(1, action[:, None])[:, 0] - goal
    expected = torch.where(error.abs() <= 1, error**2 / 2, error.abs() - 0.5).sum()
    found = learner.learn([pictures, action, reward, discount, pictures])
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)
