"""What is told of a sweep, against numbers by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.report.data import ReportError
from sweeps.node import place
from sweeps.plan import Sweep, Trial, trials
from sweeps.report import _missing, agent_name, profile_rows, score_tables, summary_rows, write_report
from tests.experiments.report.test_command import GAMES, make_run, read_run
from tracking.run_directory import RunDirectory

NAN = float("nan")
TABLES = {
    "one": {"set0": np.array([[0.5, 2.0], [1.0, 1.0]]), "set1": np.array([[0.0], [0.2]])},
    "two": {"set0": np.array([[0.5, 3.0], [0.0, 0.5]])},
}


def chosen(rows: list[dict], **asked: object) -> dict:
    (row,) = (row for row in rows if all(row[name] == value for name, value in asked.items()))
    return row


def test_totals_and_interquartile_means_by_hand() -> None:
    rows = summary_rows(TABLES, "one")
    # Totals of set0: 0.5 + 1 and 1 + 1; of set1: 0 and 0.2.
    assert chosen(rows, agent="one", measure="total")["mean"] == pytest.approx((1.75 + 0.1) / 2)
    assert chosen(rows, agent="two", measure="total")["mean"] == pytest.approx((1.5 + 0.5) / 2)
    assert chosen(rows, agent="one", measure="iqm")["mean"] == pytest.approx((0.2 + 0.5 + 1 + 1) / 4)
    total = chosen(rows, agent="two", measure="total")
    assert (total["low"], total["high"]) == pytest.approx((0.5, 1.5))


def test_improvement_is_over_the_sweeps_first_agent_in_the_sets_of_both() -> None:
    rows = summary_rows(TABLES, "one")
    # First game: 0.5 ties with 0.5, the other three pairs are lost; second: 3 beats 2 and 1, 0.5 neither.
    assert chosen(rows, agent="two", measure="improvement")["mean"] == pytest.approx((0.5 / 4 + 2 / 4) / 2)
    assert not [row for row in rows if row["agent"] == "one" and row["measure"] == "improvement"]
    assert chosen(summary_rows(TABLES, "two"), agent="one", measure="improvement")["mean"] == pytest.approx(
        1 - (0.5 / 4 + 2 / 4) / 2
    )
    unfinished = summary_rows(TABLES, "three")
    assert not [row for row in unfinished if row["measure"] == "improvement"]


def test_it_is_said_if_agents_are_of_different_runs() -> None:
    every = [Trial(f"{a}{s}", "set0", a, s, (), ()) for a in ("one", "two") for s in (0, 1)]
    assert _missing(every, every) == _missing(every, [t for t in every if t.seed == 0]) == []
    (told,) = _missing(every, every[:3])
    assert "of 2 each (one 2, two 1)" in told
    assert "(one 2, two 0)" in _missing(every, every[:2])[0]


def test_a_profile_is_the_share_of_runs_above_a_score() -> None:
    rows = profile_rows({"one": {"set0": TABLES["one"]["set0"]}})
    assert rows[0]["threshold"] == 0 and rows[0]["share"] == 1 and rows[-1]["threshold"] == 2
    assert chosen(rows, threshold=pytest.approx(1.02))["share"] == pytest.approx(1 / 4)
    assert rows[-1]["share"] == 0


def test_scores_lie_in_the_row_of_their_seed_and_the_column_of_their_game(tmp_path: Path) -> None:
    sweep = Sweep("some", "config", seeds=(3, 1))
    trial = Trial("a", "", "ewc_inferred", 1, (), ())
    runs = {
        "a": read_run(make_run(tmp_path / "a-1", 1, [[1, 2, 3, 4], [2, 4, 6, 8]])),
        "b": read_run(make_run(tmp_path / "b-1", 1, [[0, 0, 3, 3], [0, 0, 0, 0]], games=GAMES[::-1])),
    }
    other = replace(trial, name="b", point=(("learner.n_step", 3),))
    tables = score_tables(sweep, [trial, other], runs)
    assert list(tables) == [agent_name(trial), agent_name(other)] == ["ewc_inferred", "ewc_inferred, n_step 3"]
    (name,) = tables["ewc_inferred"]
    # Of toy_avoid, played last, two evaluations count, of toy_catch three; seed 3 is not done.
    np.testing.assert_allclose(tables["ewc_inferred"][name], [[NAN, NAN], [0.7, 0.3]])
    np.testing.assert_allclose(tables["ewc_inferred, n_step 3"][name], [[NAN, NAN], [0.3, 0.0]])


def test_a_damaged_run_is_left_out_by_name_and_the_others_are_told(tmp_path: Path) -> None:
    sweep = Sweep("some", "configs/presets/three_games.yaml", agents=("ewc_inferred",), seeds=(0, 1))
    for trial in trials(sweep):
        path = place(tmp_path, trial.name).run.path
        path.parent.mkdir(parents=True, exist_ok=True)
        make_run(path, trial.seed, [[1, 2, 3, 4], [2, 4, 6, 8]])
        RunDirectory(path).write_status("finished", 200, trial.config().frames)
    damaged, whole = (place(tmp_path, trial.name).run for trial in trials(sweep))
    damaged.metrics.write_text("{\n")
    said = list(write_report(sweep, tmp_path))
    assert said[0].startswith(f"left out: {damaged.metrics} is damaged")
    assert (tmp_path / "report" / "sweep.html").is_file() and "1 of 2 runs" in (
        tmp_path / "report" / "sweep.html"
    ).read_text()
    whole.evaluations.write_text("")
    with pytest.raises(ReportError, match="no run"):
        list(write_report(sweep, tmp_path))
