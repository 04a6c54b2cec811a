import numpy as np
import pytest

from envs.atari import AtariBatch, AtariSettings
from envs.schedule import Listed, Rounds, Visit, timetable
from envs.stream import GameStream, emulator_seed
from envs.toy import CatchBatch
from tests.envs.helpers import assert_same, random_actions, through_disk

B = 2
STEP = 4 * B  # environment frames
VISITS = Listed((Visit("toy_catch", 30 * STEP), Visit("toy_catch", 7 * STEP), Visit("toy_avoid", 40 * STEP - 3)))
RESEED = 13 * STEP


def toys(schedule=VISITS, seed=5, reseed_frames=RESEED):
    return GameStream(schedule, lambda game, s: CatchBatch(game, B, s), seed, reseed_frames)


def seatings(steps):
    """(visit, re-seed) of the emulators of each step: visits of 30, 7 and 40 steps, re-seeded every 13."""
    lengths = [30, 7, 40]
    rows = [(v, t // 13) for v in range(30) for t in range(lengths[v % 3])]
    return rows[:steps]


def test_frames_rewards_labels_and_cuts_are_those_of_the_batches_played_alone():
    """The conservation law: nothing is lost, doubled or moved at the seams."""
    actions = random_actions(0, 200, B)
    stream = toys()
    stream.start()
    assert stream.cut and stream.visit == 0 and stream.frames == 0 and stream.label == "toy_catch"
    alone, batch, seat = [], None, None
    for row, due in zip(actions, seatings(200), strict=True):
        if due != seat:
            seat, batch = due, CatchBatch(VISITS.visit(due[0]).game, B, emulator_seed(5, *due))
            begun = batch.reset()
        alone.append((due, begun, batch.step(row)))
    for t, row in enumerate(actions):
        due, _, expected = alone[t]
        assert (stream.visit, stream.label) == (due[0], VISITS.visit(due[0]).game)
        following = stream.step(row)
        assert following is stream.now and stream.frames == (t + 1) * STEP
        assert np.array_equal(following.reward, expected.reward)
        assert np.array_equal(following.discount, expected.discount)
        if t + 1 < len(alone) and alone[t + 1][0] != due:
            begun = alone[t + 1][1]
            assert stream.cut and following.first.all()
            assert np.array_equal(following.interrupted, expected.discount > 0)
            assert np.array_equal(following.observation, begun.observation)
        elif t + 1 < len(alone):
            assert not stream.cut
            assert_same(following, expected)


@pytest.mark.parametrize("emulators", [1, 3, 64])
def test_the_timetable_is_what_the_stream_plays(emulators):
    """Visits end with a vector step, so that 64 emulators play more than was asked for in every one of them."""
    schedule = Listed((Visit("toy_catch", 4_100), Visit("toy_avoid", 100), Visit("toy_rise", 513)))
    stream = GameStream(schedule, lambda game, s: CatchBatch(game, emulators, s), 0, 1_000)
    stream.start()
    total, begun = 20_001, [(0, 0, "toy_catch")]
    actions = np.zeros(emulators, np.int64)
    while stream.frames < total:
        stream.step(actions)
        if stream.frames == stream.visit_start:
            begun.append((stream.visit, stream.frames, stream.label))
    planned = timetable(schedule, total, 4 * emulators)
    assert [(index, start, visit.game) for index, start, visit in planned] == [b for b in begun if b[1] < stream.frames]
    assert sum(visit.frames for _, _, visit in planned) == stream.frames
    assert stream.frames - total < 4 * emulators


def test_visits_begin_where_the_last_ended():
    stream = toys()
    stream.start()
    starts = {0: 0}
    for row in random_actions(0, 160, B):
        stream.step(row)
        starts.setdefault(stream.visit, stream.visit_start)
        assert starts[stream.visit] == stream.visit_start
    # 40 * STEP - 3 frames are used up by the fortieth step.
    assert starts == {
        0: 0,
        1: 30 * STEP,
        2: 37 * STEP,
        3: 77 * STEP,
        4: 107 * STEP,
        5: 114 * STEP,
        6: 154 * STEP,
    }


def test_seeds_have_31_bits_and_are_all_different():
    seeds = {emulator_seed(s, v, r) for s in range(10) for v in range(10) for r in range(10)}
    assert len(seeds) == 1000 and all(0 <= seed < 2**31 for seed in seeds) and max(seeds) > 2**30


@pytest.mark.parametrize("steps", [0, 5, 13, 20, 30, 37, 50, 77, 90])  # 13, 50: re-seeds; 30, 37, 77: visits
def test_twins_stay_alike_across_reseeds_and_visits(steps):
    actions = random_actions(1, steps + 60, B)
    a, b = toys(), toys(seed=6)
    a.start()
    for row in actions[:steps]:
        a.step(row)
    b.load_state_dict(through_disk(a.state_dict()))
    for row in actions[steps:]:
        assert_same(a.now, b.now)
        assert (a.label, a.visit, a.frames, a.visit_start, a.cut) == (
            b.label,
            b.visit,
            b.frames,
            b.visit_start,
            b.cut,
        )
        a.step(row)
        b.send(row)
        assert b.receive() is b.now
    assert_same(a.now, b.now)


def test_atari_twins_across_a_visit_and_a_reseed():
    settings = AtariSettings(sticky_actions=0.25)
    schedule = Rounds(("breakout", "pong"), 60 * STEP, seed=0)

    def make():
        return GameStream(schedule, lambda game, s: AtariBatch(game, B, s, settings), 1, 40 * STEP)

    actions = random_actions(2, 100, B)
    for steps in (39, 60):  # the step before a re-seed; just after a game was replaced
        a, b = make(), make()
        a.start()
        for row in actions[:steps]:
            a.step(row)
        b.load_state_dict(through_disk(a.state_dict()))
        cuts = []
        for row in actions[steps:]:
            assert_same(a.now, b.now)
            assert_same(a.step(row), b.step(row))
            cuts.append(a.cut)
        assert sum(cuts) == {39: 3, 60: 1}[steps]  # at steps 40, 60 and 100; at step 100
        a.close()
        b.close()


def test_a_changed_schedule_and_verbs_out_of_turn_are_refused():
    stream = toys()
    with pytest.raises(RuntimeError, match="not been started"):
        stream.step(np.zeros(B, dtype=np.int64))
    stream.start()
    with pytest.raises(ValueError, match="resume with the schedule"):
        toys(Listed((Visit("toy_rise", 10),))).load_state_dict(stream.state_dict())
    stream.send(np.zeros(B, dtype=np.int64))
    with pytest.raises(RuntimeError, match="under way"):
        stream.state_dict()
    stream.close()
    stream.close()
    with pytest.raises(RuntimeError, match="not been started"):
        _ = stream.now


def test_starting_again_begins_again():
    stream = toys()
    first = stream.start()
    for row in random_actions(3, 50, B):
        stream.step(row)
    assert_same(stream.start(), first)
    assert (stream.frames, stream.visit) == (0, 0)
