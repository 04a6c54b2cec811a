"""The batch against ALE's single emulator and Gymnasium's wrapper."""

import os
from pathlib import Path

import ale_py
import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import AtariPreprocessing

from envs.atari import AtariBatch, AtariSettings
from tests.envs.helpers import assert_same, random_actions, raw_games

PLAIN = AtariSettings(noop_max=0)


def play(game, count, seed, settings, actions):
    """The first time step, and one for each row of `actions`."""
    batch = AtariBatch(game, count, seed, settings)
    steps = [batch.reset(), *(batch.step(row) for row in actions)]
    batch.close()
    return steps


# Without no-ops and sticky actions both are deterministic whatever their seeds, so that they can be compared.
@pytest.mark.parametrize(
    ("game", "gym_id"),
    [
        ("breakout", "Breakout"),
        ("skiing", "Skiing"),
        pytest.param("pong", "Pong", marks=pytest.mark.slow),
        pytest.param("road_runner", "RoadRunner", marks=pytest.mark.slow),
    ],
)
def test_pixels_equal_gymnasiums_preprocessing(game, gym_id):
    pytest.importorskip("cv2", reason="Gymnasium's preprocessing needs OpenCV")
    gymnasium.register_envs(ale_py)
    raw = gymnasium.make(f"ALE/{gym_id}-v5", frameskip=1, repeat_action_probability=0.0, full_action_space=True)
    ale = raw.unwrapped.ale
    own = [each.value for each in ale.getLegalActionSet()]
    reference = AtariPreprocessing(raw, noop_max=0, frame_skip=4, screen_size=84, grayscale_obs=True)
    batch = AtariBatch(game, 1, 0, PLAIN)
    stack = np.zeros((4, 84, 84), dtype=np.uint8)
    stack[-1], _ = reference.reset(seed=3)
    assert np.array_equal(batch.reset().observation[0], stack)
    ends = 0
    for action in random_actions(0, 300, 1):
        picture, reward, over, _, _ = reference.step(own.index(action[0]) if action[0] in own else 0)
        if over:
            ends += 1
            picture, _ = reference.reset()
            stack = np.zeros_like(stack)
        stack = np.concatenate([stack[1:], picture[None]])
        step = batch.step(action)
        assert np.array_equal(step.observation[0], stack)
        assert step.reward[0] == reward and step.first[0] == over
    assert ends or game != "breakout"
    batch.close()


# boxing and pong have no lives; in atlantis, bank_heist and wizard_of_wor a game goes on with none left;
# skiing has nine actions of its own.
@pytest.mark.parametrize(
    ("game", "length", "has_lives"),
    [
        ("breakout", 400, True),
        ("skiing", 400, False),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("krull", 1600, True),
                ("space_invaders", 700, True),
                ("road_runner", 400, True),
                ("bank_heist", 700, True),
                ("pong", 1000, False),
                ("boxing", 500, False),
            )
        ),
    ],
)
@pytest.mark.parametrize("sticky", [0.0, 0.25])
def test_rewards_ends_and_life_losses_equal_the_single_emulators(game, length, has_lives, sticky):
    if sticky and game in ("krull", "pong"):
        length //= 4
    actions = random_actions(1, length, 1)
    batch = AtariBatch(game, 1, 11, AtariSettings(noop_max=0, sticky_actions=sticky))
    batch.reset()
    losses = 0
    for action, (reward, over, lost) in zip(actions, raw_games(game, 11, actions[:, 0], sticky), strict=True):
        step = batch.step(action)
        assert step.reward[0] == reward
        assert step.first[0] == over
        assert step.discount[0] == (0.0 if over or lost else 1.0)
        assert not step.interrupted[0]
        losses += lost
    batch.close()
    if has_lives and not sticky:
        assert losses > 0


def test_a_life_loss_ends_nothing_but_the_discount():
    actions = random_actions(2, 150, 2)
    told = play("breakout", 2, 0, AtariSettings(), actions)
    untold = play("breakout", 2, 0, AtariSettings(life_loss_terminal=False), actions)
    losses = 0
    for a, b in zip(told, untold, strict=True):
        assert np.array_equal(a.observation, b.observation) and np.array_equal(a.first, b.first)
        lost = (a.discount == 0) & ~a.first
        losses += lost.sum()
        assert (b.discount[lost] == 1).all() and a.observation[lost, 0].any(axis=(1, 2)).all()
    assert losses > 0


def test_records_and_the_first_time_step():
    now = play("pong", 3, 0, AtariSettings(), [])[0]
    assert now.observation.shape == (3, 4, 84, 84) and now.observation.dtype == np.uint8
    assert now.reward.dtype == np.float32 and now.discount.dtype == np.float32 and now.first.dtype == np.bool_
    assert now.first.all() and (now.discount == 1).all() and not now.reward.any() and now.interrupted.all()
    assert not now.observation[:, :3].any() and now.observation[:, 3].any()


def test_the_frame_cap_interrupts_and_does_not_end():
    steps = play("pong", 2, 0, AtariSettings(max_episode_frames=40), np.zeros((25, 2), dtype=np.int64))
    assert [t for t, step in enumerate(steps) if step.first.all()] == [0, 10, 20]
    assert all((step.discount == 1).all() for step in steps)
    assert steps[10].interrupted.all() and not steps[9].interrupted.any()
    assert not steps[10].observation[:, :3].any()  # a new episode's stack


def test_an_end_on_the_frame_of_the_cap_is_an_end():
    actions = random_actions(3, 400, 1)
    end = next(t for t, (_, over, _) in enumerate(raw_games("breakout", 0, actions[:, 0])) if over)
    outcomes = []
    for cap in range(4 * end - 1, 4 * end + 5):  # the end falls on one of the frames 4 * end + 1 .. 4 * end + 4
        step = play("breakout", 1, 0, AtariSettings(noop_max=0, max_episode_frames=cap), actions[: end + 1])[-1]
        outcomes.append((bool(step.first[0]), float(step.discount[0])))
    assert outcomes[-1] == (True, 0.0)
    assert outcomes[0] == outcomes[1] == (False, 1.0)  # capped at the step before
    cut = outcomes.index((True, 0.0))
    assert all(each == (True, 1.0) for each in outcomes[2:cut]) and all(e == (True, 0.0) for e in outcomes[cut:])


def test_noop_max_is_included():
    """The same actions after 0, 1 or 2 no-ops lead to three different pictures, and never to a fourth."""
    actions = np.repeat(random_actions(8, 40, 1), 6, axis=1)
    for noop_max in (0, 2):
        last = play("space_invaders", 6, 0, AtariSettings(noop_max=noop_max), actions)[-1]
        assert len({picture.tobytes() for picture in last.observation}) == noop_max + 1


def test_the_seed_decides_everything():
    actions = random_actions(4, 60, 2)
    settings = AtariSettings(sticky_actions=0.25)
    for a, b in zip(*(play("gopher", 2, 7, settings, actions) for _ in range(2)), strict=True):
        assert_same(a, b)
    other = play("gopher", 2, 8, settings, actions)
    assert not np.array_equal(a.observation, other[-1].observation)
    # Emulator b has seed + b.
    assert np.array_equal(play("gopher", 1, 8, settings, actions[:, 1:])[-1].observation[0], a.observation[1])


def test_sticky_actions_make_emulators_differ():
    actions = np.repeat(random_actions(5, 60, 1), 2, axis=1)
    same = play("boxing", 2, 0, PLAIN, actions)[-1].observation
    sticky = play("boxing", 2, 0, AtariSettings(noop_max=0, sticky_actions=0.25), actions)[-1].observation
    assert np.array_equal(same[0], same[1]) and not np.array_equal(sticky[0], sticky[1])


def test_the_number_of_threads_changes_nothing():
    actions = random_actions(6, 120, 3)
    one, two = (
        play("breakout", 3, 1, AtariSettings(sticky_actions=0.25, threads=threads), actions) for threads in (1, 2)
    )
    for a, b in zip(one, two, strict=True):
        assert_same(a, b)


def test_a_time_step_does_not_change_afterwards():
    batch = AtariBatch("boxing", 2, 0, AtariSettings())
    now = batch.reset()
    before = now.observation.copy()
    batch.step(np.array([3, 4]))
    batch.send(np.array([3, 4]))
    assert np.array_equal(now.observation, before)
    batch.close()


@pytest.mark.parametrize(
    ("action", "complaint"),
    [
        (np.array([0, 18]), r"0\.\.17"),
        (np.array([-1, 0]), r"0\.\.17"),
        (np.array([0]), "shape"),
        (np.array([[0, 1]]), "shape"),
        (np.array([0.0, 1.0]), "integers"),
        ([0, 1], "integers"),
    ],
)
def test_wrong_actions_are_refused_and_do_no_harm(action, complaint):
    batch = AtariBatch("pong", 2, 0, AtariSettings())
    batch.reset()
    with pytest.raises(ValueError, match=complaint):
        batch.send(action)
    assert len(batch.state_dict()["actions"]) == 0
    batch.step(np.array([0, 17], dtype=np.uint8))
    batch.close()


def test_verbs_out_of_turn_are_refused():
    batch = AtariBatch("pong", 1, 0, AtariSettings())
    for verb in (lambda: batch.send(np.array([0])), batch.receive, batch.state_dict, lambda: batch.now):
        with pytest.raises(RuntimeError, match="not been started"):
            verb()
    batch.reset()
    with pytest.raises(RuntimeError, match="no step is under way"):
        batch.receive()
    batch.send(np.array([0]))
    with pytest.raises(RuntimeError, match="under way"):
        batch.send(np.array([0]))
    with pytest.raises(RuntimeError, match="under way"):
        batch.state_dict()
    batch.receive()
    batch.state_dict()
    batch.close()


@pytest.mark.parametrize(
    "wrong",
    [{"sticky_actions": 1.0}, {"sticky_actions": -0.1}, {"noop_max": -1}, {"frame_skip": 0}, {"threads": -1}],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AtariSettings(**wrong)


def test_close_leaves_no_threads():
    if not Path("/proc/self/task").exists():
        pytest.skip("threads are counted in /proc, which this system lacks")
    batch = AtariBatch("pong", 3, 0, AtariSettings(threads=2))
    before = len(os.listdir("/proc/self/task"))
    batch.reset()
    assert len(os.listdir("/proc/self/task")) > before
    batch.send(np.zeros(3, dtype=np.int64))
    batch.close()
    batch.close()
    assert len(os.listdir("/proc/self/task")) == before


class InterruptedOnce:
    """Emulators during whose next step somebody presses Ctrl-C: Python tells of it when `recv` returns."""

    def __init__(self, emulators):
        self._emulators = emulators
        self.steps = 0

    def recv(self):
        self.steps += 1
        assert self.steps == 1, "waits for a step that nobody has begun, and Ctrl-C does not end that"
        self._emulators.recv()
        raise KeyboardInterrupt


def test_an_interrupt_while_the_emulators_work_leaves_nothing_to_wait_for():
    batch = AtariBatch("pong", 1, 0, AtariSettings())
    batch.reset()
    batch.send(np.zeros(1, dtype=np.int64))
    batch._emulators = InterruptedOnce(batch._emulators)
    with pytest.raises(KeyboardInterrupt):
        batch.receive()
    batch.close()
