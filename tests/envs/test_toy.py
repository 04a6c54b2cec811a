import numpy as np
import pytest

from envs.games import all_games, game
from envs.toy import BALLS, STEPS, VARIANTS, CatchBatch, background
from tests.envs.helpers import assert_same, random_actions, through_disk

LEFT, NOOP, RIGHT = 4, 0, 3


def optimal(batch):
    """Move towards where the ball will be, or out of its way."""
    variant = batch._variant
    column, paddle = batch.ball[:, 1], batch.paddle
    if variant.meet:
        move = np.where(column < paddle, -1, np.where(column >= paddle + variant.width, 1, 0))
    else:
        hit = (column >= paddle) & (column < paddle + variant.width)
        move = np.where(hit, np.where(column < 6 - variant.width, 1, -1), 0)
    return np.array([LEFT, NOOP, RIGHT])[move * variant.right + 1]


def returns_of(batch, episodes, policy):
    batch.reset()
    returns = np.zeros((episodes, batch.num_envs))
    for e in range(episodes):
        for t in range(BALLS * STEPS):
            step = batch.step(policy(batch))
            returns[e] += step.reward
            assert step.first.all() == (t == BALLS * STEPS - 1) and step.first.any() == step.first.all()
            assert ((step.discount == 0) == step.first).all() and not step.interrupted.any()
    return returns


def test_the_toys_are_registered():
    assert set(VARIANTS) == {each.name for each in all_games().values() if each.is_toy}
    with pytest.raises(ValueError, match="toy_catch"):
        CatchBatch("pong", 1, 0)


@pytest.mark.parametrize("name", VARIANTS)
def test_optimal_play_gets_the_human_score_in_every_episode(name):
    assert (returns_of(CatchBatch(name, 64, 0), 4, optimal) == game(name).human).all()


@pytest.mark.parametrize("name", VARIANTS)
def test_random_play_gets_the_random_score(name):
    rng = np.random.default_rng(0)
    returns = returns_of(CatchBatch(name, 1000, 1), 4, lambda batch: rng.integers(0, 18, batch.num_envs))
    # 20 000 balls worth +-1, somewhat correlated within an episode; 4 standard errors.
    assert returns.mean() == pytest.approx(game(name).random, abs=4 * returns.std() / np.sqrt(returns.size / 4))


@pytest.mark.parametrize("name", VARIANTS)
def test_records(name):
    batch = CatchBatch(name, 3, 0)
    now = batch.reset()
    assert batch.frames_per_step == 12 and batch.actions == 18 and batch.num_envs == 3
    assert now.observation.shape == (3, 4, 84, 84) and now.observation.dtype == np.uint8
    assert now.reward.dtype == np.float32 and now.discount.dtype == np.float32 and now.first.dtype == np.bool_
    assert now.first.all() and now.interrupted.all() and not now.observation[:, :3].any()
    before = now.observation.copy()
    after = batch.step(np.array([LEFT, NOOP, RIGHT]))
    assert np.array_equal(now.observation, before)
    assert np.array_equal(after.observation[:, 2], before[:, 3])  # newest last


def test_liveries_look_and_play_differently():
    grounds = [background(name).tobytes() for name in VARIANTS]
    assert len(set(grounds)) == len(grounds)
    for name, end in (("toy_catch", 4), ("toy_mirror", 0)):  # always to the right
        batch = CatchBatch(name, 1, 0)
        batch.reset()
        for _ in range(STEPS):
            batch.step(np.array([RIGHT]))
        assert batch.paddle[0] == end
    avoider = CatchBatch("toy_avoid", 200, 0)  # catching loses where avoiding is asked for
    avoider.reset()
    total = 0.0
    for _ in range(STEPS):
        column, paddle = avoider.ball[:, 1], avoider.paddle
        total += avoider.step(np.where(column < paddle, LEFT, np.where(column > paddle + 2, RIGHT, NOOP))).reward.sum()
    assert total == -200


def test_only_horizontal_actions_move():
    for action, move in [(a, 0) for a in (0, 1, 2, 5, 10, 13)] + [(a, 1) for a in (3, 6, 8, 11, 14, 16)]:
        batch = CatchBatch("toy_catch", 50, 0)
        batch.reset()
        before = batch.paddle
        batch.step(np.full(50, action))
        assert np.array_equal(batch.paddle, np.minimum(before + move, 4)), action


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("steps", [0, 3, 25, 37])
def test_twins_stay_alike(name, steps):
    actions = random_actions(0, steps + 60, 5)
    a, b = CatchBatch(name, 5, 1), CatchBatch(name, 5, 2)
    a.reset()
    for row in actions[:steps]:
        a.step(row)
    b.load_state_dict(through_disk(a.state_dict()))
    assert_same(a.now, b.now)
    for row in actions[steps:]:
        assert_same(a.step(row), b.step(row))


def test_the_seed_decides_everything():
    a, b, c = (CatchBatch("toy_catch", 20, seed) for seed in (0, 0, 1))
    first = a.reset()
    assert_same(first, b.reset())
    assert not np.array_equal(first.observation, c.reset().observation)
    a.step(random_actions(0, 1, 20)[0])
    assert_same(a.reset(), first)


def test_mistakes_are_refused():
    batch = CatchBatch("toy_catch", 2, 0)
    with pytest.raises(RuntimeError):
        batch.send(np.array([0, 0]))
    batch.reset()
    with pytest.raises(ValueError, match=r"0\.\.17"):
        batch.send(np.array([0, 18]))
    batch.send(np.array([0, 0]))
    with pytest.raises(RuntimeError, match="under way"):
        batch.state_dict()
    batch.receive()
    with pytest.raises(ValueError, match="num_envs 2"):
        CatchBatch("toy_catch", 3, 0).load_state_dict(batch.state_dict())
