"""After b.load_state_dict(a.state_dict()), b behaves like a, bit for bit."""

import pytest

from envs.atari import AtariBatch, AtariSettings
from tests.envs.helpers import assert_same, random_actions, through_disk

STICKY = AtariSettings(sticky_actions=0.25)


@pytest.mark.parametrize(("game", "steps"), [("breakout", 260), ("qbert", 150), ("space_invaders", 150), ("pong", 0)])
def test_twins_stay_alike_through_life_losses_and_ends(game, steps):
    actions = random_actions(0, steps + 100, 2)
    a = AtariBatch(game, 2, 21, STICKY)
    a.reset()
    ends = sum(a.step(row).first.any() for row in actions[:steps])
    assert ends or game != "breakout"
    # Another seed and number of threads: the state brings its own seed, and threads change nothing.
    b = AtariBatch(game, 2, 99, AtariSettings(sticky_actions=0.25, threads=1))
    b.load_state_dict(through_disk(a.state_dict()))
    assert_same(a.now, b.now)
    for row in actions[steps:]:
        assert_same(a.step(row), b.step(row))
    left, right = a.state_dict(), b.state_dict()
    assert left.pop("actions").equal(right.pop("actions"))
    assert left == right
    a.close()
    b.close()


def test_a_life_lost_on_the_last_step_before_the_snapshot_is_restored():
    a = AtariBatch("breakout", 1, 3, STICKY)
    now = a.reset()
    while now.discount[0] == 1:
        now = a.step(random_actions(len(a.state_dict()["actions"]), 1, 1)[0])
    assert not now.first[0]
    b = AtariBatch("breakout", 1, 0, STICKY)
    b.load_state_dict(a.state_dict())
    assert_same(a.now, b.now)
    a.close()
    b.close()


def test_saving_and_resetting_do_not_disturb():
    actions = random_actions(1, 40, 1)
    a = AtariBatch("gopher", 1, 3, STICKY)
    first = a.reset()
    played = []
    for row in actions:
        played.append(a.step(row))
        a.state_dict()
    assert_same(a.reset(), first)
    for row, once in zip(actions, played, strict=True):
        assert_same(a.step(row), once)
    a.close()


def test_a_replay_that_comes_out_differently_is_refused_naming_the_version():
    a = AtariBatch("pong", 1, 3, STICKY)
    a.reset()
    for row in random_actions(0, 30, 1):
        a.step(row)
    state = a.state_dict()
    a.close()
    b = AtariBatch("pong", 1, 3, STICKY)
    with pytest.raises(ValueError, match=r"ale-py 0\.0\.1"):
        b.load_state_dict({**state, "digest": "0" * 32, "ale_py": "0.0.1"})
    b.close()


def test_another_game_count_or_setting_is_refused():
    a = AtariBatch("pong", 1, 3, STICKY)
    a.reset()
    state = a.state_dict()
    a.close()
    for other in (
        AtariBatch("boxing", 1, 3, STICKY),
        AtariBatch("pong", 2, 3, STICKY),
        AtariBatch("pong", 1, 3, AtariSettings()),
    ):
        with pytest.raises(ValueError, match="the saved emulators have"):
            other.load_state_dict(state)
