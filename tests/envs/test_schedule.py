import csv
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from envs.game_sets import game_set
from envs.schedule import Listed, Rounds, UniformDraw, Visit, count_visits, timetable
from envs.visits_csv import load_schedule_csv

ROOT = Path(__file__).parents[2]
DIGITISED = ROOT.parent / "shared" / "data" / "paper" / "fig3a_schedule.csv"
GAMES = ("alien", "boxing", "krull", "pong")


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(5))
def test_rounds_play_every_game_once_and_none_twice_running(count, seed):
    games = GAMES[:count]
    schedule = Rounds(games, 100, seed)
    names = [schedule.visit(i).game for i in range(200 * count)]
    for start in range(0, len(names), count):
        assert sorted(names[start : start + count]) == sorted(games)
    if count > 1:
        assert all(a != b for a, b in pairwise(names))


def test_rounds_are_in_random_order_and_depend_on_the_seed():
    rounds = [tuple(Rounds(GAMES, 1, 0).visit(4 * r + i).game for i in range(4)) for r in range(300)]
    assert len(set(rounds)) == 24  # every order comes up
    # Each game comes first equally often: 75 expected of 300, standard deviation 7.5.
    assert all(45 <= count <= 105 for count in Counter(each[0] for each in rounds).values())
    assert [Rounds(GAMES, 1, 1).visit(i).game for i in range(40)] != [g for each in rounds[:10] for g in each]


def test_visits_are_a_pure_function_of_the_index():
    for make in (Rounds, UniformDraw):
        forwards = [make(GAMES, 7, 3).visit(i) for i in range(30)]
        one = make(GAMES, 7, 3)
        assert [one.visit(i) for i in reversed(range(30))] == forwards[::-1]
        assert all(each.frames == 7 for each in forwards)


def test_uniform_draw_is_uniform_and_independent():
    names = [UniformDraw(GAMES, 1, 0).visit(i).game for i in range(4000)]
    # 1000 expected each, standard deviation 27; pairs of equal neighbours likewise.
    assert all(abs(count - 1000) < 4 * 27 for count in Counter(names).values())
    assert abs(sum(a == b for a, b in pairwise(names)) - 1000) < 4 * 27


def test_listed_visits_begin_again_after_their_end():
    schedule = Listed((Visit("pong", 5), Visit("boxing", 7), Visit("pong", 9)))
    assert schedule.games == ("pong", "boxing")
    assert [schedule.visit(i).frames for i in range(5)] == [5, 7, 9, 5, 7]


def test_timetable_adds_up_and_clips_the_last_visit():
    rows = timetable(Listed((Visit("pong", 5), Visit("boxing", 7))), 20, 1)
    assert rows == [
        (0, 0, Visit("pong", 5)),
        (1, 5, Visit("boxing", 7)),
        (2, 12, Visit("pong", 5)),
        (3, 17, Visit("boxing", 3)),
    ]
    assert timetable(Listed((Visit("pong", 5),)), 5, 1) == [(0, 0, Visit("pong", 5))]


@pytest.mark.parametrize("total", [1, 5, 6, 12, 13, 17, 18, 100, 1200])
@pytest.mark.parametrize("lengths", [[5, 7], [6], [1]])
def test_visits_are_counted_as_they_are_listed(lengths, total):
    listed = timetable(Listed(tuple(Visit("pong", frames) for frames in lengths)), total, 1)
    assert count_visits(lengths, total) == len(listed)


def test_visits_are_counted_without_being_listed():
    assert count_visits([5, 7], 12 * 10**26 + 6) == 2 * 10**26 + 2


def test_the_papers_schedule():
    schedule = load_schedule_csv(ROOT / "configs" / "presets" / "paper_schedule.csv")
    assert len(schedule.visits) == 93
    assert sum(each.frames for each in schedule.visits) == 397_000_000
    assert set(schedule.games) == set(game_set("figure3"))


def test_the_papers_schedule_is_the_digitised_one():
    if not DIGITISED.exists():
        pytest.skip(f"the table to compare with is not at {DIGITISED}")
    with DIGITISED.open() as file:
        rows = list(csv.DictReader(file))
    table = timetable(load_schedule_csv(ROOT / "configs" / "presets" / "paper_schedule.csv"), 397_000_000, 4)
    for row, (index, start, visit) in zip(rows, table, strict=True):
        assert (int(row["segment"]), int(row["start_Mframes"]) * 10**6, row["game"]) == (
            index,
            start,
            visit.game,
        )


def test_mistakes_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        Visit("pong", 0)
    with pytest.raises(ValueError, match="at least one game"):
        Rounds((), 1, 0)
    with pytest.raises(ValueError, match="each game once"):
        UniformDraw(("pong", "pong"), 1, 0)
    with pytest.raises(ValueError, match="at least one"):
        Listed(())


def test_generators_of_different_purposes_differ():
    rounds = [Rounds(GAMES, 1, 0).visit(i).game for i in range(0, 400, 4)]
    draws = [UniformDraw(GAMES, 1, 0).visit(i).game for i in range(100)]
    assert np.mean([a == b for a, b in zip(rounds, draws, strict=True)]) < 0.6
