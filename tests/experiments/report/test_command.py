"""The report on made-up run directories whose every number can be worked out by hand."""

import csv
import errno
import json
import os
import re
import statistics
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml

from configs.schema import Config
from envs.game_sets import game_set
from evaluation.plots import LOWEST
from evaluation.table import COLUMNS
from experiments.report import command as report
from experiments.report import figures, logs, numbers
from experiments.report.agents import differences, read_material
from experiments.report.command import main
from experiments.report.data import ReportError, read_run
from tracking import command
from tracking.run_directory import RunDirectory

GAMES = ("toy_catch", "toy_avoid")
VISITS = (("toy_catch", 0), ("toy_avoid", 100))


def make_run(path, seed, scores, *, visits=VISITS, games=GAMES, frames=(50, 100, 150, 200), metrics=(), **settings):
    """A run directory: `scores` [G][E] between 0 (random) and 10 (human)."""
    path.mkdir()
    config = {
        "seed": seed,
        "frames": 200,
        "task_source": "true_labels",
        "threads": seed,
        "stream": {"games": list(games)},
    }
    (path / "config.yaml").write_text(yaml.safe_dump({**config, **settings}))
    with open(path / "evaluations.csv", "w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        for e, at in enumerate(frames):
            for game, line in zip(games, scores, strict=True):
                row = {"frames": at, "game": game, "task": 0, "posterior": 1.0, "episodes": 3, "mean": line[e]}
                row |= {"standard_error": 0.1, "random": 0.0, "human": 10.0, "human_normalised": line[e] / 10}
                table.writerow({**row, "mean_length": 100.0})
    changes = [f"{at},{game},{games.index(game)},1.0" for game, at in visits]
    (path / "task_changes.csv").write_text("\n".join(["frames,game,task,posterior", *changes, ""]))
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
    RunDirectory(path).write_status("finished", 200, 200)
    return path


METRICS = (
    {"frame": 40, "config": "words"},
    {"frame": 80, "learning/loss": 0.5, "learning/q": None, "consolidation/cancelled": 0.0, "inference/purity": 1.0},
    {"frame": 120, "learning/loss": 0.25, "learning/fisher_overlap_task1_layer0": 0.125},
    {"frame": 121, "consolidation/cancelled": 0.5},
    {"frame": 160, "learning/loss": 0.75, "inference/purity": 0.9375, "inference/delay_median": 3, "task/count": 2},
)


@pytest.fixture
def runs(tmp_path):
    """Two seeds that infer their tasks, one that is told, and a single-game run."""
    inferred = {"task_source": "inferred", "metrics": METRICS}
    found = {
        "ewc-1": make_run(tmp_path / "ewc-1", 1, [[2, 8, 7, 6], [0, 1, 3, 9]], **inferred),
        "ewc-2": make_run(tmp_path / "ewc-2", 2, [[4, 6, 6, 6], [0, 0, 5, 12]], **inferred),
        "told-1": make_run(tmp_path / "told-1", 1, [[1, 9, 1, 1], [0, 0, 2, 4]]),
        "alone-1": make_run(tmp_path / "alone-1", 1, [[5, 10, 10, 10]], games=("toy_catch",), visits=VISITS[:1]),
    }
    for name in ("ewc-1", "ewc-2"):
        (found[name] / "confusion.csv").write_text("game,task 0,task 1\ntoy_catch,12,0\ntoy_avoid,3,9\n")
    return found


@pytest.fixture
def material(runs):
    return read_material([runs["ewc-2"], runs["ewc-1"], runs["told-1"]], [runs["alone-1"]])


def chosen(rows, **wanted):
    """The only row with these values."""
    (row,) = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    return row


def numbers_in(row):
    return pytest.approx((row["mean"], row["low"], row["high"]), nan_ok=True)


# -- reading --------------------------------------------------------------------------------------------------------


def test_a_run_is_read(runs):
    run = read_run(runs["ewc-1"])
    assert run.games == GAMES and run.frames.tolist() == [50, 100, 150, 200]
    assert run.scores.tolist() == [[2, 8, 7, 6], [0, 1, 3, 9]]
    assert run.visits == ((0, 0, 100), (1, 100, 200)) and run.end == 200
    frames, values = run.metrics["learning/loss"]
    assert frames.tolist() == [80, 120, 160] and values.tolist() == [0.5, 0.25, 0.75]
    assert "learning/q" not in run.metrics and run.settings["stream.games"] == list(GAMES)


def test_a_run_under_way_is_read_as_far_as_it_is_whole(runs):
    path = runs["told-1"]
    with open(path / "metrics.jsonl", "a") as file:
        file.write('{"frame": 180, "learning/loss": 1.0}\n{"frame": 190, "learning/lo')
    with open(path / "evaluations.csv", "a") as file:
        file.write("250,toy_catch,0,1.0,3,9.0,0.1,0.0,10.0,0.9,100.0\n")
    RunDirectory(path).write_status("running", 240, 400)
    run = read_run(path)
    assert run.frames.tolist() == [50, 100, 150, 200, 250] and run.visits[-1] == (1, 100, 250)
    assert run.whole.tolist() == [True] * 4 + [False] and run.scores[0, 4] == 9 and np.isnan(run.scores[1, 4])
    assert run.metrics["learning/loss"][0].tolist() == [180]


def test_changes_of_task_within_a_visit_do_not_end_it(runs):
    text = "frames,game,task,posterior\n0,toy_catch,0,1\n40,toy_catch,1,1\n100,toy_avoid,1,1\n108,toy_avoid,2,1\n"
    (runs["told-1"] / "task_changes.csv").write_text(text)
    assert read_run(runs["told-1"]).visits == ((0, 0, 100), (1, 100, 200))


def test_runs_are_sorted_into_agents(material):
    assert [(agent.name, [run.seed for run in agent.runs]) for agent in material.agents] == [
        ("ewc", [1, 2]),
        ("told", [1]),
    ]
    assert set(material.single) == {"toy_catch"} and material.unused == ()
    assert differences(material.agents) == {"task_source": ["inferred", "true_labels"]}


def test_settings_that_a_run_is_too_old_for_have_their_defaults(tmp_path):
    old = make_run(tmp_path / "ewc-1", 1, [[1] * 4, [1] * 4])
    new = make_run(tmp_path / "ewc-2", 2, [[1] * 4, [1] * 4], learner={"gated": Config().learner.gated})
    other = make_run(tmp_path / "gated-1", 1, [[1] * 4, [1] * 4], learner={"gated": 0.5})
    found = read_material([old, new, other], [])
    assert [[run.seed for run in agent.runs] for agent in found.agents] == [[1, 2], [1]]


def test_names_come_from_directories(tmp_path):
    scores = [[1, 2, 3, 4], [1, 2, 3, 4]]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    paths = [
        make_run(tmp_path / "quick-seed7", 7, scores, emulators={"num_envs": 1}),
        make_run(tmp_path / "x-1", 1, scores, emulators={"num_envs": 2}),
        make_run(tmp_path / "x-2", 2, scores, emulators={"num_envs": 3}),
        make_run(tmp_path / "a" / "y-1", 1, scores, emulators={"num_envs": 4}),
        make_run(tmp_path / "b" / "y-1", 1, scores, emulators={"num_envs": 5}),
    ]
    assert [agent.name for agent in read_material(paths, []).agents] == ["quick", "x-1", "x-2", "a/y-1", "b/y-1"]


def test_a_single_game_run_is_one_wherever_it_is_named(runs, tmp_path):
    other = make_run(tmp_path / "rise-1", 1, [[1, 1, 1, 1]], games=("toy_rise",), visits=(("toy_rise", 0),))
    found = read_material([runs["alone-1"], runs["ewc-1"], other], [])
    assert [run.path for run in found.single["toy_catch"]] == [runs["alone-1"]] and found.unused == (other,)


def test_games_in_another_order_are_brought_into_one(runs, tmp_path):
    turned = make_run(tmp_path / "turned-1", 1, [[0, 1, 3, 9], [2, 8, 7, 6]], games=GAMES[::-1])
    one, other = read_material([runs["ewc-1"], turned], []).agents
    assert one.runs[0].visits == other.runs[0].visits and one.runs[0].games == other.runs[0].games
    np.testing.assert_array_equal(one.runs[0].scores, other.runs[0].scores)


# -- the numbers ----------------------------------------------------------------------------------------------------


def test_what_was_learned_and_kept_of_every_game(material):
    rows = numbers.game_rows(material)
    of = {"agent": "ewc", "game": "toy_catch"}
    assert numbers_in(chosen(rows, measure="score_after_visit", **of)) == (0.7, 0.6, 0.8)
    assert numbers_in(chosen(rows, measure="final_score", **of)) == (0.65, 0.6, 0.7)
    assert numbers_in(chosen(rows, measure="forgetting", **of)) == (0.05, 0.0, 0.1)
    assert numbers_in(chosen(rows, measure="learned", **of)) == (0.7, 0.6, 0.8)
    of["game"] = "toy_avoid"
    assert numbers_in(chosen(rows, measure="score_after_visit", **of)) == (1.05, 0.9, 1.2)
    assert np.isnan(chosen(rows, measure="learned", **of)["mean"])  # it has no single-game run
    one = chosen(rows, measure="score_after_visit", agent="told", game="toy_catch")
    assert one["mean"] == pytest.approx(0.9) and np.isnan(one["low"])


def test_learned_first_is_beside_what_single_game_runs_had_learned_by_then(runs, tmp_path):
    """toy_catch is visited for 100 frames, where alone it stands at 0.5, and again; alone it ends at 1.

    What is above 1.5 counts as 1.5.
    """
    alone = make_run(tmp_path / "early-1", 1, [[2, 5, 8, 10]], games=("toy_catch",), visits=VISITS[:1])
    again = (("toy_catch", 0), ("toy_avoid", 100), ("toy_catch", 150))
    other = make_run(tmp_path / "again-1", 1, [[2, 4, 7, 9], [0, 0, 2, 4]], visits=again)
    found = read_material([runs["ewc-1"], runs["ewc-2"], other], [alone])
    rows = numbers.game_rows(found)
    assert numbers_in(chosen(rows, agent="ewc", game="toy_catch", measure="learned_first")) == (1.35, 1.2, 1.5)
    twice = {"agent": "again", "game": "toy_catch"}
    assert chosen(rows, measure="learned_first", **twice)["mean"] == pytest.approx(0.4 / 0.5)
    assert chosen(rows, measure="learned", **twice)["mean"] == pytest.approx(0.9)
    assert np.isnan(chosen(rows, agent="ewc", game="toy_avoid", measure="learned_first")["mean"])
    assert chosen(numbers.agent_rows(found), agent="again", measure="learned_first")["mean"] == pytest.approx(0.8)


def test_agents_in_single_numbers(material):
    rows = numbers.agent_rows(material)
    assert chosen(rows, agent="ewc", measure="total_clipped")["mean"] == pytest.approx(0.65 + (0.6 + 0.85) / 2)
    assert numbers_in(chosen(rows, agent="ewc", measure="backward_transfer")) == (-0.1, -0.2, 0.0)
    assert numbers_in(chosen(rows, agent="ewc", measure="forward_transfer")) == (0.05, 0.0, 0.1)
    told = (11 / 30 + 0.3) / 2  # of toy_avoid, played last, two evaluations count
    beyond = chosen(rows, agent="told", measure="final_score_mean_first_minus_this")
    assert beyond["mean"] == pytest.approx((0.65 + 0.725) / 2 - told)
    assert not [row for row in rows if row["agent"] == "ewc" and row["measure"] == "final_score_mean_first_minus_this"]


def test_fractions_of_single_game_runs_leave_out_the_game_played_last(material, runs, tmp_path):
    """toy_catch alone reaches 1; toy_avoid, alone 0.8 in human-normalised scores, is played last."""
    avoid = make_run(tmp_path / "avoid-1", 1, [[0, 4, 4, 4]], games=("toy_avoid",), visits=(("toy_avoid", 0),))
    complete = read_material([run.path for agent in material.agents for run in agent.runs], [runs["alone-1"], avoid])
    last = {agent.name: complete.games[agent.runs[0].visits[-1][0]] for agent in complete.agents}
    assert last == {"ewc": "toy_avoid", "told": "toy_avoid"}
    rows = numbers.agent_rows(complete)
    kept = chosen(rows, agent="told", measure="retained")
    beyond = chosen(rows, agent="told", measure="retained_first_minus_this")
    assert numbers_in(chosen(rows, agent="ewc", measure="retained")) == (0.65, 0.6, 0.7)
    assert kept["mean"] == pytest.approx(11 / 30) and np.isnan(kept["low"])  # one seed
    assert beyond["mean"] == pytest.approx(0.65 - 11 / 30)
    plastic = numbers.game_rows(complete)
    for agent in ("ewc", "told"):
        own = chosen(plastic, agent=agent, game="toy_avoid", measure="learned")
        assert chosen(rows, agent=agent, measure="learned_last")["mean"] == pytest.approx(own["mean"])


def test_a_game_that_is_hardly_learned_alone_has_no_fractions_and_is_named(runs, tmp_path):
    low = make_run(tmp_path / "low-1", 1, [[0, 0.9, 0.9, 0.9]], games=("toy_catch",), visits=VISITS[:1])
    avoid = make_run(tmp_path / "avoid-1", 1, [[0, 1, 1, 1]], games=("toy_avoid",), visits=(("toy_avoid", 0),))
    found = read_material([runs["ewc-1"], runs["ewc-2"]], [low, avoid])
    rows = numbers.game_rows(found)
    for game, known in (("toy_catch", False), ("toy_avoid", True)):
        for measure in ("learned", "retained"):
            assert np.isnan(chosen(rows, agent="ewc", game=game, measure=measure)["mean"]) != known
    text = report.write_report(found, tmp_path / "out", None).read_text()
    assert "below 0.1, human-normalised, have none: toy_catch (0.09)." in text


def test_runs_that_end_on_different_games_are_drawn_whole(runs, tmp_path):
    """Each leaves its own last game out: one run counts with toy_catch, the other with toy_avoid."""
    turned = (("toy_avoid", 0), ("toy_catch", 100))
    other = make_run(tmp_path / "ewc-3", 3, [[0, 0, 5, 9], [1, 4, 4, 4]], visits=turned, task_source="inferred")
    avoid = make_run(tmp_path / "avoid-1", 1, [[0, 8, 8, 8]], games=("toy_avoid",), visits=(("toy_avoid", 0),))
    found = numbers.agent_rows(read_material([runs["ewc-1"], other], [runs["alone-1"], avoid]))
    assert numbers_in(chosen(found, agent="ewc", measure="retained")) == ((0.7 + 0.5) / 2, 0.5, 0.7)


def test_few_seeds_are_also_compared_by_students_interval(runs, tmp_path):
    told = [runs["told-1"], make_run(tmp_path / "told-2", 2, [[1, 9, 1, 1], [0, 0, 2, 4]])]
    found = numbers.agent_rows(read_material([runs["ewc-1"], runs["ewc-2"], *told], [runs["alone-1"]]))
    boot, student = (chosen(found, agent="told", measure=f"retained_first_minus_this{end}") for end in ("", "_welch"))
    assert numbers_in(boot) == (0.65 - 11 / 30, 0.6 - 11 / 30, 0.7 - 11 / 30)
    reach = 12.7062 * 0.05  # of two seeds with a standard error of 0.05, and two that are equal
    assert numbers_in(student) == (0.65 - 11 / 30, 0.65 - 11 / 30 - reach, 0.65 - 11 / 30 + reach)


def test_single_game_runs_may_be_drawn_anew_too(runs, tmp_path):
    other = make_run(tmp_path / "alone-2", 2, [[5, 8, 8, 8]], games=("toy_catch",), visits=VISITS[:1])
    rows = numbers.game_rows(read_material([runs["ewc-1"], runs["ewc-2"]], [runs["alone-1"], other]))
    of = {"agent": "ewc", "game": "toy_catch"}
    assert numbers_in(chosen(rows, measure="retained", **of)) == (0.65 / 0.9, 0.6 / 0.9, 0.7 / 0.9)
    assert numbers_in(chosen(rows, measure=numbers.BOTH_DRAWN, **of)) == (0.65 / 0.9, 0.6 / 1.0, 0.7 / 0.8)


@pytest.mark.slow
@pytest.mark.usefixtures("unrendered")
def test_number_types_and_yardsticks_that_differ_are_told(runs, tmp_path):
    def told(*paths):
        assert main([*map(str, paths), "--out", str(tmp_path / "page")]) == 0
        page = (tmp_path / "page" / "report.html").read_text()
        return "one number type" in page, "counted as one agent" in page

    scores = [[2, 8, 7, 6], [0, 1, 3, 9]]
    half, full = (
        make_run(tmp_path / f"half-{i}", i, scores, learner={"precision": kind})
        for i, kind in ((1, "bfloat16"), (2, "float32"))
    )
    longer = make_run(
        tmp_path / "alone-2", 2, [[5, 8, 8, 8]], games=("toy_catch",), visits=VISITS[:1], learner={"n_step": 3}
    )
    assert told(runs["ewc-1"], runs["ewc-2"], runs["alone-1"]) == (False, False)
    assert told(half, full) == (True, False)
    assert told(runs["ewc-1"], runs["alone-1"], longer) == (False, True)


def test_the_total_over_time(material):
    rows = numbers.total_rows(material)
    assert [row["frames"] for row in rows if row["agent"] == "ewc"] == [50, 100, 150, 200]
    last = chosen(rows, agent="ewc", frames=200)
    assert (last["total"], last["low"], last["high"]) == pytest.approx((1.55, 1.5, 1.6))  # 1.2 is clipped
    assert {row["agent"] for row in rows} == {"ewc", "told"}  # one game has no single-game run


def leave_out(path, *left_out):
    """Take these (frames, game) from a run's evaluations."""
    head, *lines = (path / "evaluations.csv").read_text().splitlines()
    kept = [line for line in lines if (int(line.split(",")[0]), line.split(",")[1]) not in left_out]
    (path / "evaluations.csv").write_text("\n".join([head, *kept, ""]))


def test_evaluations_of_the_game_just_left_count_in_its_own_line_and_in_no_total(runs, tmp_path):
    """At 100 toy_catch alone, in both seeds; at 150 in the second seed toy_avoid alone."""
    leave_out(runs["ewc-1"], (100, "toy_avoid"))
    leave_out(runs["ewc-2"], (100, "toy_avoid"), (150, "toy_catch"))
    found = read_material([runs["ewc-1"], runs["ewc-2"]], [runs["alone-1"]])
    assert [run.whole.tolist() for run in found.agents[0].runs] == [
        [True, False, True, True],
        [True, False, False, True],
    ]
    totals = numbers.total_rows(found)
    assert [(row["frames"], row["total"]) for row in totals] == [(50, pytest.approx(0.3)), (200, pytest.approx(1.55))]
    lines = {game: [row["frames"] for row in numbers.score_rows(found) if row["game"] == game] for game in GAMES}
    assert lines == {"toy_catch": [50, 100, 200], "toy_avoid": [50, 150, 200]}
    assert chosen(numbers.score_rows(found), game="toy_catch", frames=100)["score"] == pytest.approx(0.7)
    own = [row for row in numbers.own_play_rows(found) if (row["agent"], row["seed"]) == ("ewc", 1)]
    assert [(row["game"], row["own_frames"], row["raw_fresh"], row["raw_left"]) for row in own] == [
        ("toy_catch", 50, 2, 2),
        ("toy_catch", 100, 8, 6),
        ("toy_avoid", 50, 3, 3),
        ("toy_avoid", 100, 9, 9),
    ]
    rows = numbers.game_rows(found)
    of = {"agent": "ewc", "game": "toy_catch"}
    assert numbers_in(chosen(rows, measure="learned", **of)) == (0.7, 0.6, 0.8)  # the evaluations at 100
    assert numbers_in(chosen(rows, measure="retained", **of)) == ((0.5 + 0.5) / 2, 0.5, 0.5)  # 2, 7, 6; and 4, 6
    assert chosen(rows, agent="ewc", game="toy_avoid", measure="score_after_visit")["mean"] == pytest.approx(1.05)
    assert np.isnan(chosen(numbers.agent_rows(found), agent="ewc", measure="forward_transfer")["mean"]) is np.False_


@pytest.mark.usefixtures("unrendered")
def test_the_page_of_such_runs_counts_their_evaluations_by_kind(runs, tmp_path):
    leave_out(runs["ewc-1"], (100, "toy_avoid"), (150, "toy_catch"))
    assert main([str(runs["ewc-1"]), "--out", str(tmp_path / "page")]) == 0
    assert "2 (+ 2 of one game)" in (tmp_path / "page" / "report.html").read_text()


def test_runs_without_an_evaluation_of_every_game_in_common_are_refused(runs):
    leave_out(runs["ewc-1"], (50, "toy_avoid"), (100, "toy_avoid"), (150, "toy_avoid"))
    leave_out(runs["ewc-2"], (200, "toy_avoid"))
    with pytest.raises(ReportError, match="no two evaluations at the same frame"):
        numbers.total_rows(read_material([runs["ewc-1"], runs["ewc-2"]], []))
    leave_out(runs["ewc-1"], (200, "toy_catch"))
    with pytest.raises(ReportError, match="no moment at which all of toy_catch, toy_avoid were evaluated"):
        read_run(runs["ewc-1"])


def test_the_total_of_single_game_runs_needs_all_of_them(material, runs, tmp_path):
    avoid = make_run(tmp_path / "avoid-1", 1, [[0, 4, 4, 4]], games=("toy_avoid",), visits=(("toy_avoid", 0),))
    complete = read_material([runs["ewc-1"]], [runs["alone-1"], avoid])
    rows = [row for row in numbers.total_rows(complete) if row["agent"] == numbers.SINGLE]
    assert [(row["frames"], row["total"]) for row in rows] == [(0, pytest.approx(1.4)), (200, pytest.approx(1.4))]


def test_own_play_and_what_was_left(material):
    rows = numbers.own_play_rows(material)
    catch = [row for row in rows if (row["agent"], row["seed"], row["game"]) == ("ewc", 1, "toy_catch")]
    assert [(r["own_frames"], r["raw_fresh"], r["raw_left"]) for r in catch] == [(50, 2, 2), (100, 8, 6)]
    single = [row for row in rows if row["agent"] == numbers.SINGLE]
    assert [(r["own_frames"], r["raw_fresh"]) for r in single] == [(50, 5), (100, 10), (150, 10), (200, 10)]


def test_scores_over_time_are_averaged_under_one_schedule_only(runs, tmp_path):
    other = make_run(tmp_path / "ewc-3", 3, [[9] * 4, [9] * 4], task_source="inferred", visits=VISITS[::-1])
    (other / "task_changes.csv").write_text("frames,game,task,posterior\n0,toy_avoid,0,1\n100,toy_catch,1,1\n")
    found = read_material([runs["ewc-1"], runs["ewc-2"], other], [])
    assert {name: [run.seed for run in its] for name, its in numbers.shown_runs(found).items()} == {"ewc": [1, 2]}
    assert chosen(numbers.score_rows(found), game="toy_catch", frames=50)["score"] == pytest.approx(0.3)
    assert chosen(numbers.total_rows(found), frames=200)["seeds"] == 3
    assert numbers.schedule_rows(found)[0] == {"game": "toy_catch", "first_frame": 0, "last_frame": 100}


def test_the_inference(runs):
    again = read_material([runs["ewc-1"], runs["told-1"]], [])
    row = chosen(logs.inference_rows(again), seed=1)
    assert (row["agent"], row["purity"], row["delay_median"], row["tasks"]) == ("ewc", 0.9375, 3, 2)
    assert np.isnan(row["delay_max"])
    assert [(row["game"], row["task"], row["steps"]) for row in logs.confusion_rows(again)] == [
        ("toy_catch", 0, 12),
        ("toy_avoid", 0, 3),
        ("toy_avoid", 1, 9),
    ]


def test_metrics_are_averaged_within_bins_and_over_seeds(runs, tmp_path):
    metrics = [{"frame": 80, "learning/loss": 1.5}, {"frame": 121, "learning/loss": 0.5}]
    metrics += [{"frame": 120, "learning/loss": 1.5}]
    third = make_run(tmp_path / "ewc-3", 3, [[1] * 4, [1] * 4], task_source="inferred", metrics=metrics)
    found = read_material([runs["ewc-1"], runs["ewc-2"], third], [])
    rows = logs.metric_rows(found, ["learning/loss", "learning/nothing"])
    # The frames fall into the bins that end at 80, 120 and 121.67; the third seed has nothing at 160.
    assert [(row["mean"], row["least"], row["most"]) for row in rows] == [
        (pytest.approx(2.5 / 3), 0.5, 1.5),
        (pytest.approx(2.0 / 3), 0.25, 1.5),
    ]
    assert [row["frames"] for row in rows] == [79, 119]


def test_seeds_that_logged_at_other_frames_are_averaged_in_wider_bins(runs, tmp_path):
    """Both every five of 200 frames, but no bin of 120 is in common: in 40 of five frames all are."""
    one, other = (
        make_run(
            tmp_path / f"shifted-{seed}",
            seed,
            [[1] * 4, [1] * 4],
            metrics=[{"frame": at + shift, "learning/loss": float(seed)} for at in range(0, 200, 5)],
        )
        for seed, shift in ((1, 1), (3, 4))
    )
    rows = logs.metric_rows(read_material([one, other], []), ["learning/loss"])
    assert len(rows) == 40 and all((row["mean"], row["least"], row["most"]) == (2.0, 1.0, 3.0) for row in rows)
    assert len(logs.metric_rows(read_material([one], []), ["learning/loss"])) == 40


def test_an_overlap_is_of_the_game_that_was_left_and_of_the_game_of_the_other_task(material):
    assert logs.overlap_rows(material) == [
        {
            "agent": "ewc",
            "game": "toy_catch",
            "other": "toy_avoid",
            "layer": 1,
            "overlap": 0.125,
            "departures": 2,
            "seeds": 2,
        }
    ]


# -- figures and files ----------------------------------------------------------------------------------------------


def drawn(axes):
    """{label: points} of the lines that have a name."""
    lines = [line for line in axes.lines if not line.get_label().startswith("_")]
    return {line.get_label(): np.stack(line.get_data(), 1).tolist() for line in lines}


def test_the_total_is_drawn_as_its_rows_say(material):
    rows = numbers.total_rows(material)
    (axes,) = figures.draw_totals(rows, 2).axes
    for agent in ("ewc", "told"):
        points = [[row["frames"] / 1e3, row["total"]] for row in rows if row["agent"] == agent]
        assert drawn(axes)[agent] == points
    assert "thousands" in axes.get_xlabel()


def test_scores_are_drawn_as_their_rows_say(material):
    schedule, rows = numbers.schedule_rows(material), numbers.score_rows(material)
    figure = figures.draw_scores(schedule, rows, GAMES)
    figure.draw_without_rendering()
    bars, *panels = figure.axes
    assert min(panel.get_window_extent().height for panel in panels) > 0.6 * figure.dpi, "what is drawn has its room"
    assert len({tuple(each.get_facecolor()[0]) for each in bars.collections}) == 1, "a colour is an agent"
    spans = [path.get_extents().intervalx * 1e3 for each in bars.collections for path in each.get_paths()]
    assert [tuple(span) for span in spans] == [(0, 100), (100, 200)]
    for panel, game in zip(panels, GAMES, strict=True):
        assert panel.get_title(loc="left") == game
        for agent, points in drawn(panel).items():
            its = [row for row in rows if (row["agent"], row["game"]) == (agent, game)]
            assert points == [[row["frames"] / 1e3, max(LOWEST, row["score"])] for row in its]


def test_own_play_is_drawn_as_its_rows_say(material):
    rows = numbers.own_play_rows(material)
    panel = figures.draw_own_play(rows, GAMES, [0, 0], [10, 10]).axes[0]
    for name, points in drawn(panel).items():
        its = [row for row in rows if (row["agent"], row["game"]) == (name, "toy_catch")]
        seeds = list(figures.by(its, "seed").values())  # two of one agent, whose line is their mean
        means = [statistics.fmean(row["raw_fresh"] for row in each) for each in zip(*seeds, strict=True)]
        assert points == [[row["own_frames"] / 1e3, mean] for row, mean in zip(seeds[0], means, strict=True)]
    assert set(drawn(panel)) == {"ewc", "told", numbers.SINGLE}
    longer = [*rows, {**rows[0], "own_frames": 10 * rows[0]["own_frames"]}]  # one seed played more: a line each
    panel = figures.draw_own_play(longer, GAMES, [0, 0], [10, 10]).axes[0]
    assert sum(line.get_label() == rows[0]["agent"] for line in panel.lines) == 2


PARTS = ("figure_3a", "figure_3b", "figure_4", "consolidation", "learning", "fisher_overlap")


class Checker(HTMLParser):
    """Notes what a page refers to, and whether its elements are closed."""

    def __init__(self):
        super().__init__()
        self.references, self.open, self.cells = [], [], []

    def handle_starttag(self, tag, attributes):
        self.references += [value for name, value in attributes if name in ("src", "href", "srcset", "data")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells.append(text.replace("\xa0", " "))


def words(page):
    """The page without its pictures, whose layout is the same only up to rounding."""
    return re.sub(r"base64,[^\"]*", "", page)


def test_the_page(runs, tmp_path, capsys):
    given = [str(runs[name]) for name in ("ewc-1", "ewc-2", "told-1")]
    out = tmp_path / "out"
    title = "A <title> & more"
    arguments = [*given, "--single", str(runs["alone-1"]), "--out", str(out), "--title", title]
    assert main(arguments) == 0 and str(out / "report.html") in capsys.readouterr().out
    page = (out / "report.html").read_text()

    checker = Checker()
    checker.feed(page)
    assert not checker.open
    pictures = [each for each in checker.references if not each.startswith("#")]
    assert len(pictures) == len(PARTS) and all(each.startswith("data:image/svg+xml;base64,") for each in pictures)
    contents = [each.removeprefix("#") for each in checker.references if each.startswith("#")]
    assert contents == re.findall(r'<section id="([^"]*)"', page) and len(contents) == 11
    assert "<b>told</b> retained 0.37 of what agents for one game alone score, 0.28 less than ewc (1 seed)." in page
    assert "its 95 % interval as a band (told: one seed, no interval)." in page
    (summary,) = re.findall(r"<h1>.*?<summary>([^\n]*)</summary>.*?<ul class=\"verdict\">", page, re.DOTALL)
    assert f"{datetime.now(UTC):%Y-%m-%d}" in summary and f"python -m experiments.report {given[0]}" in summary
    assert "prefers-color-scheme: dark" in page
    assert "://" not in page and "viewport" in page and "A &lt;title&gt; &amp; more" in page
    for cell in ("0.70 [0.60, 0.80]", "0.65 [0.60, 0.70]", "1.05 [0.90, 1.20]", "−0.10 [−0.20, 0.00]", "0.9375"):
        assert cell in checker.cells, cell
    assert "0: 3" not in checker.cells and "1: 9; 0: 3" in checker.cells

    for name in PARTS:
        assert (out / f"{name}.png").stat().st_size > 5_000
        assert b"<svg" in (out / f"{name}.svg").read_bytes()
    with open(out / "figure_3b.csv", newline="") as file:
        stored = list(csv.DictReader(file))
    rows = numbers.total_rows(read_material([runs[n] for n in ("ewc-1", "ewc-2", "told-1")], []))
    assert [{name: str(value) for name, value in row.items()} for row in rows] == stored

    files = {path.name: path.read_bytes() for path in out.glob("*.csv")}
    assert main(arguments) == 0
    assert words((out / "report.html").read_text()) == words(page)
    assert files == {path.name: path.read_bytes() for path in out.glob("*.csv")}


def test_a_report_of_little(tmp_path, capsys):
    path = make_run(tmp_path / "one-1", 1, [[5], [0]], frames=(50,))
    for name in ("metrics.jsonl", "status.json"):
        (path / name).unlink()
    (path / "task_changes.csv").write_text("frames,game,task,posterior\n0,toy_catch,0,1\n")
    assert main([str(path), "--out", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "not stand at the same frame" not in page
    assert page.count("<img") == 3 and "nan" not in words(page)
    assert "score, of one seed, which tells no interval." in page and "as a band" not in page.partition("3A")[0]


@pytest.mark.usefixtures("unrendered")
def test_runs_of_one_game_are_reported_by_their_scores(runs, tmp_path):
    assert main([str(runs["alone-1"]), "--out", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    said = "ended at 10.0 in toy_catch (random play 0.0, a human 10.0), human-normalised 1.00 (1 seed)."
    assert f"<b>alone</b> {said}" in page and "toy_catch: what was learned" in page
    assert not [word for word in ("forgetting", "Fisher", "transfer", "nan", "interval") if word in words(page)]
    with open(tmp_path / "out" / "runs.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["final"], row["best"], row["best_at"]) == ("10.0", "10.0", "100")


@pytest.mark.parametrize(("unit", "logarithmic"), [(1, True), (100, False)])
def test_the_papers_whole_curves_stand_beside_ten_of_its_games(tmp_path, unit, logarithmic):
    """They are 502 M frames long."""
    games = game_set("pool")[:10]
    visits = tuple((game, 200_000 * unit * i) for i, game in enumerate(games))
    frames = tuple(unit * at for at in (500_000, 1_000_000, 2_000_000, 2_500_000))
    ten = make_run(tmp_path / "ten-1", 1, [[1, 2, 3, 4]] * 10, games=games, visits=visits, frames=frames)
    rows = numbers.total_rows(read_material([ten], []))
    beside = [(row["frames"], row["total"]) for row in rows if row["agent"] == "paper: no penalty"]
    assert beside[:2] == [(1_020_000, -2.495), (2_010_000, -3.225)] and beside[-1] == (502_120_000, -0.038)
    (axes,) = figures.draw_totals(rows, 10).axes
    assert set(drawn(axes)) == {"ten", *numbers.PAPER}
    assert (axes.get_xscale() == "log") == logarithmic and 0 <= axes.get_xlim()[0] <= 0.5 * unit
    nine = make_run(tmp_path / "nine-1", 1, [[1, 2, 3, 4]] * 9, games=games[:9], visits=visits[:9], frames=frames)
    rows = numbers.total_rows(read_material([nine], []))
    assert {row["agent"] for row in rows} == {"nine"} and figures.draw_totals(rows, 9).axes[0].get_xscale() == "linear"


def test_the_papers_curves_are_those_of_the_shared_data():
    folder = Path(__file__).resolve().parents[4] / "shared" / "data" / "paper"
    if not folder.is_dir():
        pytest.skip("no shared data beside the checkout")
    files = ("fig3b_EWC_FMN.csv", "fig3b_EWC_oracle.csv", "fig3b_no_penalty.csv")
    for name, file in zip(numbers.PAPER, files, strict=True):
        with open(folder / file, newline="") as table:
            points = [(float(row["Mframes"]) * 1e6, float(row["total_clipped_hns"])) for row in csv.DictReader(table)]
        mine = [(row["frames"], row["total"]) for row in numbers.paper_totals() if row["agent"] == name]
        np.testing.assert_allclose(mine, points)


@pytest.mark.slow
@pytest.mark.usefixtures("unrendered")
def test_audits_of_the_fisher_information_are_shown(runs, tmp_path, capsys):
    point = {"kind": "uniform", "scale": 0.1, "share": 0.5, "low": 0.4, "high": 0.6, "returns": [1.0]}
    point |= {"divergence": 0.01, "expected": 0.02, "changed": 0.25}
    audit = {"game": "krull", "frames": 1000, "points": [point, {**point, "scale": 0.2, "share": 0.25, "low": 0.2}]}
    audit |= {"settings": {"estimator": "policy"}, "fisher": {"origin": "replay"}}
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "perturbation.json").write_text(json.dumps(audit))
    arguments = [str(runs["ewc-1"]), "--out", str(tmp_path / "out"), "--perturbation"]
    assert main([*arguments, str(tmp_path / "audit")]) == 0
    assert "Noise on the weights: krull" in (tmp_path / "out" / "report.html").read_text()
    with open(tmp_path / "out" / "figure_3c_krull.csv", newline="") as table:
        assert [(row["scale"], row["share"]) for row in csv.DictReader(table)] == [("0.1", "0.5"), ("0.2", "0.25")]
    other = {**audit, "points": [{**point, "share": 0.75, "high": 0.9}]}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "perturbation.json").write_text(json.dumps(other))
    assert main([*arguments, str(tmp_path / "audit"), str(tmp_path / "other")]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Figure 3C in krull (audit)" in page and "Figure 3C in krull (other)" in page
    for name, shares in (("krull", ["0.5", "0.25"]), ("krull_2", ["0.75"])):
        with open(tmp_path / "out" / f"figure_3c_{name}.csv", newline="") as table:
            assert [row["share"] for row in csv.DictReader(table)] == shares
    assert main([*arguments, str(tmp_path)]) == 2
    assert "experiments.perturbation did not write" in capsys.readouterr().err
    assert main([str(runs["ewc-1"]), "--out", str(tmp_path / "new"), "--perturbation", str(tmp_path)]) == 2
    assert not (tmp_path / "new").exists()  # what is wrong is said before anything is written


# -- mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["{}/nowhere"], "no directory"),
        (["{}"], "config.yaml"),
        (["{}/early-1"], "no evaluations yet"),
        (["{}/broken-1"], "is damaged, or was not written by a run"),
        (["{}/ewc-1", "{}/others-1"], "games are mixed"),
        (["{}/ewc-1", "{}/ewc-1"], "the same run"),
        (["{}/ewc-1", "--single", "{}/told-1"], "plays 2 games"),
        (["{}/alone-1", "{}/rise-1"], "they play one each: toy_catch, toy_rise"),
        (["{}/ewc-1", "{}/shifted-2"], "same frame"),
        (["{}/ewc-1", "--out", "{}/ewc-1/config.yaml"], "config.yaml"),
    ],
)
def test_mistakes_are_one_line(given, told, runs, tmp_path, capsys):
    early = make_run(tmp_path / "early-1", 1, [[1], [1]], frames=(50,))
    (early / "evaluations.csv").unlink()
    broken = make_run(tmp_path / "broken-1", 1, [[1], [1]], frames=(50,))
    (broken / "evaluations.csv").write_text("frames,game\n1,toy_catch\n")
    make_run(tmp_path / "rise-1", 1, [[1] * 4], games=("toy_rise",), visits=(("toy_rise", 0),))
    make_run(tmp_path / "others-1", 1, [[1] * 4] * 2, games=("toy_catch", "toy_rise"), visits=(("toy_catch", 0),))
    make_run(tmp_path / "shifted-2", 2, [[1] * 4] * 2, frames=(51, 101, 151, 199), task_source="inferred")
    out = [] if "--out" in given else ["--out", str(tmp_path / "out")]
    assert main([*(each.format(tmp_path) for each in given), *out]) == 2
    complaint = capsys.readouterr().err.strip()
    assert told in complaint and "\n" not in complaint and complaint.startswith("experiments.report: ")


@pytest.mark.parametrize("arguments", [[], ["x", "--nothing"]])
def test_what_the_parser_refuses_is_one_line_too(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_an_empty_list_of_changes_is_told(runs):
    (runs["ewc-1"] / "task_changes.csv").write_text("frames,game,task,posterior\n")
    with pytest.raises(ReportError, match=r"task_changes\.csv names no game"):
        read_run(runs["ewc-1"])


@pytest.mark.parametrize(
    ("number", "code", "told"), [(errno.ENOSPC, 1, "the disk is full"), (errno.EACCES, 2, "Permission denied")]
)
def test_a_page_that_cannot_be_written_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int, code: int, told: str
) -> None:
    def writing(*_: object) -> Path:
        raise OSError(number, os.strerror(number), "/there")

    monkeypatch.setattr(report, "read_material", lambda *_: None)
    monkeypatch.setattr(report, "write_report", writing)
    with pytest.raises(SystemExit) as end:
        command.run(lambda: report.main(["run"]))
    said = capsys.readouterr().err
    assert end.value.code == code and told in said and "/there" in said and len(said.splitlines()) == 1
