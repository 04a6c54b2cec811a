"""Background subtraction: what is left of a screen, and that a shift moves what is left and nothing else."""

import numpy as np
import torch

from agent.augmentation import augmented
from agent.background import FOREGROUND_MAX, foreground, median_frame
from agent.networks import Architecture, QNetwork
from configs.build import build
from configs.schema import Config, EmulatorConfig, LearnerConfig, ReplayConfig, StreamConfig, Visit
from replay.transition import Transition

SIDE = 12


def pictures(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 1, SIDE, SIDE), generator=generator, dtype=torch.uint8)


def make_network(subtract=True, pool=1):
    layers = Architecture(((4, 3, 3),), 6, pool=pool)
    network = QNetwork(layers, 5, 1, SIDE, torch.Generator().manual_seed(0), subtract_background=subtract)
    network.add_task()
    return network


def test_the_median_is_the_screen_without_what_moves_over_it():
    screen = pictures(1)[0, 0]
    frames = screen.repeat(9, 1, 1)
    for i in range(9):
        frames[i, i, :] = 255 - screen[i]
    assert torch.equal(median_frame(frames), screen.clamp(min=1))
    assert int(median_frame(torch.zeros(3, 4, 4, dtype=torch.uint8)).min()) == 1  # 0 would say that it is not known


def test_what_is_left_is_half_the_difference_and_exactly_nothing_where_the_screen_is_as_always():
    frames, screen = pictures(20)[:, 0], pictures(1, 1)[0, 0]
    left = foreground(frames, screen)
    half = (frames.double() - screen.double()) / 2
    assert left.dtype == torch.int8 and float((left - half).abs().max()) <= 0.5
    assert not foreground(screen, screen).any()
    extremes = torch.tensor([[0, 255]], dtype=torch.uint8)
    assert foreground(extremes, extremes.flip(1)).tolist() == [[-127, 127]]


def test_the_network_sees_the_difference_at_its_own_scale():
    """As one without a background sees a picture that is this difference."""
    network, plain = make_network(), make_network(subtract=False)
    observation = pictures(4)
    screen = pictures(1, 1)[0, 0]
    network.of_task(0).background.copy_(screen)
    seen = foreground(observation, screen).float() / FOREGROUND_MAX
    with torch.no_grad():
        plain.weights[0].mul_(plain.pixel_max)  # that pixels are divided by
        assert not torch.equal(network(observation, 0), network(observation, None))
        for values in (network(observation, 0), network.with_taps(observation, 0)[0]):
            torch.testing.assert_close(values, plain(seen, 0))


def test_pooling_rounds_differences_as_it_rounds_pixels():
    """Towards the same side below 0 as above."""
    network, plain = make_network(pool=2), make_network(subtract=False, pool=2)
    grey = pictures(4) // 2 * 2
    network.of_task(0).background.fill_(128)
    assert torch.equal(network.seen(grey, 0).int() + 64, plain.seen(grey // 2, 0).int())


def test_only_what_is_left_is_shifted():
    """A screen as always, but for one bright pixel: shifted, it is the same screen with the pixel elsewhere."""
    network, screen = make_network(), pictures(1)[0, 0].clamp(min=1, max=200)
    network.of_task(0).background.copy_(screen)
    observation = screen.repeat(1, 1, 1, 1)
    observation[0, 0, 6, 6] = 250
    batch = Transition(observation, torch.zeros(1, dtype=torch.int64), torch.zeros(1), torch.ones(1), observation)
    offsets = torch.tensor([[2, -1]]), torch.tensor([[0, 0]])
    shifted = augmented(batch, offsets, network, 0)
    assert shifted.observation.nonzero().tolist() == [[0, 0, 4, 7]]
    assert shifted.next_observation.nonzero().tolist() == [[0, 0, 6, 6]]
    moved = screen.repeat(1, 1, 1, 1)
    moved[0, 0, 4, 7] = screen[4, 7] + (250 - screen[6, 6]) // 2 * 2  # halves are rounded
    torch.testing.assert_close(network(shifted.observation, 0), network(moved, 0), rtol=0.02, atol=1e-3)


def test_an_agent_finds_the_background_of_a_task_when_learning_begins_and_keeps_it():
    """Of every task its own, from its own frames; both networks have it."""
    config = Config(
        threads=1,
        task_source="true_labels",
        stream=StreamConfig(order="listed", visits=[Visit("toy_rise", 2_000), Visit("toy_mirror", 2_000)]),
        emulators=EmulatorConfig(num_envs=4),
        learner=LearnerConfig(network="tiled", optimizer="adam", subtract_background=True, samples_per_step=8.0),
        replay=ReplayConfig(capacity=1_000, min_history=100),
    )
    parts = build(config)
    now, found = parts.stream.start(), {}
    for frame in range(0, 4_000, 16):
        action = parts.agent.act(now)
        following = parts.stream.step(action)
        parts.agent.observe(now, action, following)
        parts.agent.learn()
        now = following
        for task, own in enumerate(parts.agent.learner.network.task_parameters):
            known = own.background.any().item()
            assert known == (frame >= 2_000 * task + 400 - 16), (task, frame)
            if known:
                assert torch.equal(found.setdefault(task, own.background.clone()), own.background)
                assert torch.equal(parts.agent.learner.target.of_task(task).background, own.background)
    assert len(found) == 2
    frame = now.observation[0, -1]
    whole, left = np.hsplit(parts.agent.screen(frame), 2)
    assert (whole == frame).all() and (left != 128).any()
    assert (left.astype(int) - 128 == frame.astype(int) // 2 - found[1].numpy() // 2).all()
    first = parts.memory.buffer(0).transitions(parts.memory.buffer(0).sampleable()).stacked().observation[:100, -1]
    assert (median_frame(first) == found[0]).float().mean() > 0.99
