"""The driver of a search: each trial once, the hopeless ones stopped, and the same search whatever stops it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

import sweep
from experiments.report.data import ReportError
from sweeps import search as driver
from sweeps import search_report, search_status
from sweeps.directory import read
from sweeps.node import Place, place, read_attempts
from sweeps.search import run_search
from sweeps.search_plan import Search, as_yaml, to_search
from sweeps.study import Study
from tests.commands import code_of
from tests.integration.runs import TOY, assert_same_run, launch, write_config
from tests.sweeps.drivers import finish, refused, start, wait_for
from tracking.run_directory import BAD_INPUT, FAILED, FINISHED, STOPPED

pytest.importorskip("optuna", reason="Optuna is not installed (make sweep installs it)")

# What train.py does to a run's directory, without learning: four evaluations on the way to a value that depends on the
# learning rate, the best of which is 0.001, from where it was stopped. It makes the next one when the driver has had a
# whole look at the one before.
RUN = """
import json, math, pathlib, signal, sys, time
folder, rate, looks = pathlib.Path(sys.argv[1]), float(sys.argv[2]), pathlib.Path(sys.argv[3])
folder.mkdir(parents=True, exist_ok=True)
(folder / "config.yaml").touch()
table, status, asked = folder / "evaluations.csv", folder / "status.json", []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
def say(state, frames):
    told = {"state": state, "frames": frames, "total_frames": 4000, "message": "", "pid": 1, "updated": ""}
    (folder / "new").write_text(json.dumps(told))
    (folder / "new").rename(status)
if not table.exists():
    table.write_text("frames,game,human_normalised\\n")
made = len(table.read_text().splitlines()) - 1
while made < 4:
    before = looks.stat().st_size
    while looks.stat().st_size < before + 2 and not asked:
        time.sleep(0.01)
    if asked:
        say("stopped", 1000 * made)
        sys.exit(75)
    made += 1
    value = -abs(math.log10(rate) + 3) * made / 4
    with table.open("a") as file:
        file.write(f"{1000 * made},krull,{value}\\n")
    say("running", 1000 * made)
say("finished", 4000)
"""


@pytest.fixture
def search() -> Search:
    fields = {
        "config": "configs/presets/single_game.yaml",
        "agent": "plain_dqn",
        "settings": {"frames": 4_000, "evaluation.period": 1_000, "stream.games": ["krull"]},
        "ranges": {"learner.learning_rate": {"low": 1e-5, "high": 1e-1, "log": True}},
        "trials": 6,
        "startup_trials": 2,
    }
    return to_search(fields, "mine", "mine.yaml")


@pytest.fixture
def look(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """What watches the driver, whose looks the runs count."""
    looks = tmp_path_factory.mktemp("looks") / "looks"
    looks.touch()

    def watch() -> None:
        with open(looks, "a") as file:
            file.write(".")

    def begin(where: Place, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        rate = arguments[arguments.index("--learner.learning_rate") + 1]
        return subprocess.Popen([sys.executable, "-c", RUN, where.run.path, rate, looks])

    monkeypatch.setattr(driver, "launch", begin)
    monkeypatch.setattr(driver, "_STEP_SECONDS", 0.02)
    return watch


def told(study: Study) -> list[tuple[object, ...]]:
    return [(trial.params, trial.state.name, trial.value, trial.intermediate_values) for trial in study.trials]


def quietly() -> None:
    """Nobody watches."""


def test_hopeless_trials_are_stopped_and_the_best_is_the_best_that_was_tried(
    search: Search, look: Callable[[], None], tmp_path: Path
) -> None:
    study = Study(tmp_path, search)
    assert run_search(search, tmp_path, study, look) == FINISHED
    states = [trial.state.name for trial in study.trials]
    assert len(states) == 6 and {*states} == {"COMPLETE", "PRUNED"} and states[:2] == ["COMPLETE"] * 2
    for row in search_status.rows(search, study, tmp_path):
        run = place(tmp_path, row.name).run
        if row.state == "pruned":
            assert run.read_status()["state"] == "stopped" and run.frames < 4000  # type: ignore[index]
        else:
            assert run.finished and row.value == study.trials[row.number].value == row.values[-1]
        assert row.starts == 1
    done = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    assert study.best.value == max(trial.value for trial in done)


def test_a_stopped_search_goes_on_and_tries_the_same(search: Search, look: Callable[[], None], tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "stopped").mkdir()
    whole, study = Study(tmp_path / "whole", search), Study(tmp_path / "stopped", search)
    assert run_search(search, tmp_path / "whole", whole, look) == FINISHED

    def watch() -> None:
        look()
        if len(study.trials) > 1:
            os.kill(os.getpid(), signal.SIGTERM)

    assert run_search(search, tmp_path / "stopped", study, watch) == STOPPED
    (going,) = study.running
    assert not place(tmp_path / "stopped", f"trial{going:03d}").run.finished
    again = Study(tmp_path / "stopped", search)
    assert run_search(search, tmp_path / "stopped", again, look) == FINISHED
    assert told(again) == told(whole)
    starts = [row.starts for row in search_status.rows(search, again, tmp_path / "stopped")]
    assert starts[going] == 2 and sum(starts) == 7


def test_two_at_a_time(search: Search, look: Callable[[], None], tmp_path: Path) -> None:
    study, most = Study(tmp_path, two := replace(search, parallel=2, prune="none")), []

    def watch() -> None:
        look()
        most.append(len(study.running))

    assert run_search(two, tmp_path, study, watch) == FINISHED
    assert max(most) == 2 and [trial.state.name for trial in study.trials] == ["COMPLETE"] * 6


def failing(code: int, monkeypatch: pytest.MonkeyPatch) -> list[Place]:
    """Runs that only exit with this code; the starts."""
    starts: list[Place] = []

    def begin(where: Place, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        starts.append(where)
        return subprocess.Popen([sys.executable, "-c", f"raise SystemExit({code})"])

    monkeypatch.setattr(driver, "launch", begin)
    monkeypatch.setattr(driver, "_STEP_SECONDS", 0.02)
    return starts


@pytest.mark.parametrize(("code", "times"), [(FAILED, 2), (-9, 2), (BAD_INPUT, 1)])
def test_a_run_that_fails_is_tried_again_and_three_in_a_row_end_it(
    code: int,
    times: int,
    search: Search,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    starts = failing(code, monkeypatch)
    study = Study(tmp_path, search)
    assert run_search(search, tmp_path, study, quietly) == FAILED
    assert [trial.state.name for trial in study.trials] == ["FAIL"] * 3 and len(starts) == 3 * times
    assert "3 trials in a row have failed" in capsys.readouterr().err


def test_a_trial_that_was_pruned_has_not_failed(search: Search, tmp_path: Path) -> None:
    pruned: list[int] = []
    study: Any = SimpleNamespace(report=lambda number, values: True, prune=pruned.append)
    one = driver._Driver(search, tmp_path, study)
    one.failures = 2
    one.runs[0] = cast(Any, SimpleNamespace(number=0, under_way=False, where=place(tmp_path, "trial-0")))
    one.follow()
    assert pruned == [0] and not one.runs and one.failures == 0


def test_status_and_report_name_the_best_and_how_to_repeat_it(
    search: Search, look: Callable[[], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sweep.yaml").write_text(as_yaml(search))
    study = Study(tmp_path, search)
    run_search(search, tmp_path, study, look)
    capsys.readouterr()
    assert sweep.main(["--status", str(tmp_path)]) == FINISHED
    shown = capsys.readouterr().out
    best = search.trial(study.best.number, study.best.params)
    assert f"best: {best.name}" in shown and shown.count("pruned") == sum(
        t.state.name == "PRUNED" for t in study.trials
    )
    command = next(line for line in shown.splitlines() if line.startswith("to repeat it: "))
    assert all(word in command for word in best.arguments if word[0] != "[")
    assert sweep.main(["--report", str(tmp_path)]) == FINISHED
    report = tmp_path / "report"
    page = (report / "search.html").read_text()
    assert "--learner.learning_rate" in page and {"values.png", "slices.png", "curves.png"} <= {
        path.name for path in report.iterdir()
    }
    lines = (report / "trials.csv").read_text().splitlines()
    assert lines[0] == "trial,state,value,evaluated_at,learner.learning_rate" and len(lines) == 7
    stopped = [line.split(",") for line in lines if ",pruned," in line]
    assert stopped and all(float(value) == study.trials[int(number)].value for number, _, value, *_ in stopped)


def test_a_search_without_values_has_no_report(search: Search, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"no trial in .* has been evaluated yet"):
        list(search_report.write_report(search, Study(tmp_path, search), tmp_path))


def test_a_search_runs_on_this_machine_alone(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "configs/sweeps/search_small.yaml", "--address", "auto")
    assert "a search runs on this machine alone" in said


def test_the_plan_names_the_ranges_and_the_longest_it_can_take(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("configs/sweeps/search_small.yaml", "--dir", tmp_path / "none", "--dry_run", "--speed", "100")
    assert code_of(sweep.main, arguments) == FINISHED
    said = capsys.readouterr().out
    found = read(Path("configs/sweeps/search_small.yaml"))
    assert isinstance(found, Search) and f"trials: {found.trials}" in said and "2e-05 to 0.002, logarithmic" in said
    assert "duration: at most about" in said and not (tmp_path / "none").exists()


@pytest.mark.slow
def test_a_real_search_survives_the_death_of_its_driver(tmp_path: Path) -> None:
    """Three trials of a toy; the driver is killed in the second, which then goes on from its checkpoint."""
    config = write_config(tmp_path / "toy.yaml", {**TOY, "frames": 2400})
    fields = {
        "config": str(config),
        "agent": "plain_dqn",
        "ranges": {"learner.learning_rate": {"low": 1.0e-4, "high": 1.0e-2, "log": True}},
        "trials": 3,
        "prune": "none",
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(fields))
    directory = tmp_path / "search"
    second = place(directory, "trial001")
    first = start(tmp_path / "mine.yaml", "--dir", directory)
    wait_for(lambda: second.kept_frames > 0, first)
    first.kill()
    first.wait()
    code, out, err = finish(start("--resume", directory))
    assert code == FINISHED, err
    starts = [read_attempts(place(directory, f"trial{k:03d}").attempts) for k in range(3)]
    assert [len(each) for each in starts] == [1, 2, 1] and starts[1][1]["frames"] > 0
    asked = read(directory / "sweep.yaml")
    assert isinstance(asked, Search)
    study = Study(directory, asked, reading=True)
    trial = asked.trial(1, study.trials[1].params)
    assert launch(*trial.arguments, "--run_dir", tmp_path / "bare").code == 0
    assert_same_run(second.run.path, tmp_path / "bare")
    assert f"best: trial{study.best.number:03d}" in out and f"{study.best.value:.3f}" in out
    assert (directory / "report" / "search.html").is_file()
