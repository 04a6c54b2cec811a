"""TensorBoard's pages tell of the scalars that runs really write, and its own plugins show them."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.custom_scalar.custom_scalars_plugin import CustomScalarsPlugin
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.list_session_groups import Handler

from configs.parse import load
from evaluation.remembered import kept, mean_kept
from evaluation.table import read_evaluations
from tests.integration.conftest import EWC
from tests.integration.runs import TOY, assert_same_run, launch, metrics, points, signal_at, write_config
from tracking.dashboard import LEFT_OUT, shown
from tracking.hparams import RESULTS
from tracking.task_log import read_changes
from training.launch import hyper_parameters

VISIT = 2000  # frames: enough to learn a toy
GAMES = ["toy_catch", "toy_avoid"]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three visits, each long enough to learn something, with evaluations in their middle and at their end."""
    changes: dict[str, Any] = {
        "frames": 3 * VISIT,
        "task_source": "inferred",
        "consolidation": EWC,
        "stream": {"games": GAMES, "visit_frames": VISIT, "reseed_frames": VISIT},
        "learner": {**TOY["learner"], "samples_per_step": 8},
        "exploration": {"hold_frames": 200, "decay_frames": 1000, "end": 0.1},
        "replay": {"capacity": 2000, "min_history": 40},
        "evaluation": {"period": VISIT // 2, "episodes": 20, "final_episodes": 20, "emulators": 20},
        "log": {"period": 200, "image_period": 0, "checkpoint_period": 1500},
    }
    return write_config(tmp_path_factory.mktemp("dashboard") / "toy.yaml", TOY, **changes)


@pytest.fixture(scope="module")
def run(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody disturbed; only to be read."""
    directory = tmp_path_factory.mktemp("runs") / "whole"
    outcome = launch("--config", config, "--run_dir", directory)
    assert outcome.code == 0, outcome.err
    return directory


@pytest.fixture(scope="module")
def board(run: Path) -> TBContext:
    """TensorBoard with that run alone."""
    multiplexer = EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(run.parent))
    multiplexer.Reload()
    return TBContext(
        data_provider=MultiplexerDataProvider(multiplexer, str(run.parent)),
        logdir=str(run.parent),
        plugin_name_to_instance={},
    )


@pytest.fixture(scope="module")
def charts(board: TBContext) -> dict[str, dict[str, list[str]]]:
    """The patterns by page and title, as the Custom Scalars tab is told them."""
    told = json.loads(CustomScalarsPlugin(board).layout_impl(RequestContext(), ""))
    return {
        page["title"]: {chart["title"]: chart["multiline"]["tag"] for chart in page["chart"]}
        for page in told["category"]
    }


def scalars_written(run: Path) -> set[str]:
    """The names in metrics.jsonl, clock readings among them."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {name for line in lines for name, value in line.items() if name != "frame" and not isinstance(value, str)}


def test_the_run_is_called_by_its_name(run: Path, board: TBContext) -> None:
    (named,) = board.data_provider.list_runs(RequestContext(), experiment_id="")
    assert named.run_name == run.name


def test_every_chart_has_something_to_show(run: Path, charts: dict[str, dict[str, list[str]]]) -> None:
    assert list(charts) == ["Overview", "Games", "Memory", "Learning", "Anchors", "Tasks", "Speed"]
    assert set(GAMES) <= set(charts["Games"])
    written = scalars_written(run)
    for page in charts.values():
        for title, patterns in page.items():
            for pattern in patterns:
                assert shown([pattern], written), f"nothing matches {pattern} of the chart {title!r}"


def test_every_scalar_is_in_a_chart_or_known_to_be_left_out(run: Path, charts: dict[str, dict[str, list[str]]]) -> None:
    written = scalars_written(run)
    patterns = [pattern for page in charts.values() for each in page.values() for pattern in each]
    assert written - {*shown(patterns, written)} == {*shown(LEFT_OUT, written)} and len(written) > 50


def test_kept_fractions_are_those_of_the_files(run: Path) -> None:
    """Logged live, they are what evaluations.csv and task_changes.csv give afterwards."""
    logged = {line["frame"]: line for line in metrics(run) if "evaluation/clipped_total" in line}
    told = 0
    for frames, line in logged.items():
        found = kept(read_evaluations(run / "evaluations.csv"), read_changes(run / "task_changes.csv"), frames)
        logged_ones = {name.split("/")[-1]: line[name] for name in line if name.startswith("evaluation/kept/")}
        assert logged_ones == {game: min(2.0, max(-1.0, fraction)) for game, fraction in found.items()}
        if found:
            assert line["charts/kept_fraction"] == line["evaluation/kept_mean"] == mean_kept([*found.values()])
        told += bool(found)
    assert told >= 2 and not any("kept" in name for name in logged[VISIT // 2])


def test_the_row_of_the_run_has_its_settings_and_its_results(run: Path, board: TBContext) -> None:
    request = api_pb2.ListSessionGroupsRequest(allowed_statuses=[api_pb2.STATUS_SUCCESS], slice_size=10)
    (group,) = Handler(RequestContext(), Context(board), "", request).run().session_groups
    shown_there = {name: getattr(value, value.WhichOneof("kind")) for name, value in group.hparams.items()}
    assert shown_there == hyper_parameters(load(run / "config.yaml"))
    (session,) = group.sessions
    results = {metric.name.tag: metric.value for metric in session.metric_values}
    assert set(results) == set(RESULTS)
    last = [line for line in metrics(run) if "evaluation/clipped_total" in line][-1]
    assert last["frame"] == 3 * VISIT
    assert results == pytest.approx({tag: last[tag] for tag in RESULTS}, rel=1e-6)


@pytest.mark.slow
def test_a_stopped_run_has_the_same_points_once(config: Path, run: Path, tmp_path: Path) -> None:
    """Also of a run that has ended: its end is told again, not twice."""
    other = tmp_path / "run"
    outcome = launch("--config", config, "--run_dir", other, hook=partial(signal_at, VISIT + 496))
    assert outcome.code == 75, outcome.err
    for _ in range(2):
        outcome = launch("--resume", other)
        assert outcome.code == 0, outcome.err
        assert_same_run(other, run)
    tags = [tag for _, tag in points(other)]
    for tag in ("custom_scalars__config__", "_hparams_/session_start_info", "_hparams_/session_end_info"):
        assert tags.count(tag) == 1
