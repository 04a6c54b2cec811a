"""What is written for TensorBoard's plugins can be read by them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as custom_metadata
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import metadata as hparams_metadata

from envs.game_sets import game_set
from tests.training import made_up
from tracking import hparams
from tracking.dashboard import LEFT_OUT, MOST, layout, pages, shown
from tracking.tensorboard import TensorBoardWriter

VALUES = {"learner.learning_rate": 0.5, "seed": 3, "learner.cuda_graphs": False, "task_source": "inferred"}


def accumulated(directory: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(directory))
    accumulator.Reload()
    return accumulator


def test_the_layout_is_read_back(tmp_path: Path) -> None:
    writer = TensorBoardWriter(tmp_path)
    writer.summary(0, layout(pages(["krull", "boxing"])))
    writer.close()
    accumulator = accumulated(tmp_path)
    tag = custom_metadata.CONFIG_SUMMARY_TAG
    assert accumulator.SummaryMetadata(tag).plugin_data.plugin_name == custom_metadata.PLUGIN_NAME
    (event,) = accumulator.Tensors(tag)
    assert event.step == 0 and not event.tensor_proto.tensor_shape.dim
    read = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    found = {
        category.title: {chart.title: tuple(chart.multiline.tag) for chart in category.chart}
        for category in read.category
    }
    assert found == pages(["krull", "boxing"])
    assert list(found) == ["Overview", "Games", "Memory", "Learning", "Anchors", "Tasks", "Speed"]


def test_runs_of_other_games_share_all_charts_but_theirs() -> None:
    one, other = pages(["krull", "boxing"]), pages(["boxing", "pong"])
    for page, titles in (("Games", {"krull"}), ("Memory", {"krull: kept fraction"})):
        assert {title for title in one[page] if title not in other[page]} == titles
        assert all(charts == other[page][title] for title, charts in one[page].items() if title not in titles)
    shared = [
        {page: charts for page, charts in each.items() if page not in ("Games", "Memory")} for each in (one, other)
    ]
    assert shared[0] == shared[1]


@pytest.fixture(scope="module")
def ten_games(tmp_path_factory: pytest.TempPathFactory) -> EventAccumulator:
    """A run of ten games that has met them all, as TensorBoard reads it."""
    path = tmp_path_factory.mktemp("runs") / "ten"
    made_up.make(path, game_set("figure3"), visits=30, log=2_000_000, evaluate=40_000_000).writers.close()
    return accumulated(path)


def test_no_chart_has_more_than_four_lines_at_ten_games(ten_games: EventAccumulator) -> None:
    tags = ten_games.Tags()["scalars"]
    games = game_set("figure3")
    charts = {title: patterns for page in pages(games).values() for title, patterns in page.items()}
    lines = {title: shown(patterns, tags) for title, patterns in charts.items()}
    assert max(map(len, lines.values())) == MOST == 4
    assert all(len([game for game in games if f"/{game}/" in "".join(tags)]) <= 1 for tags in lines.values())
    assert len(lines["krull"]) == 2
    assert {len(lines[f"{game}: kept fraction"]) for game in games} == {0, 1}  # of those that were learned and left


def test_charts_come_first_and_games_have_names(ten_games: EventAccumulator) -> None:
    tags = ten_games.Tags()
    assert {tag.split("/")[0] for tag in sorted(tags["scalars"])[:5]} == {"charts"}
    assert tags["images"] == ["charts/scores", "charts/heatmap", "charts/tasks"]
    text = ten_games.Tensors("charts/games")[-1].tensor_proto.string_val[0].decode()
    assert all(f"| {game} |" in text for game in game_set("figure3"))
    assert not [tag for tag in tags["scalars"] if tag.endswith("/game")]


def test_without_anchors_there_is_nothing_to_show_of_them() -> None:
    without = pages(["krull", "boxing"], anchors=False)
    patterns = [pattern for charts in without.values() for each in charts.values() for pattern in each]
    assert shown(patterns, ["consolidation/penalty", "consolidation/ratio", "learning/fisher_mean"]) == []
    assert shown(patterns, ["evaluation/kept/krull"]) == ["evaluation/kept/krull"]


def test_agreement_has_a_chart_where_it_is_measured() -> None:
    tags = ["learning/agreement_mean", "learning/agreement_least", "learning/agreement_task0"]
    shown_by = [[*charts.values()] for charts in (pages(["krull", "pong"], states=s)["Memory"] for s in (True, False))]
    assert [[tag for patterns in charts for tag in shown(patterns, tags)] for charts in shown_by] == [tags[:2], []]


def test_of_a_single_game_nothing_is_kept_and_no_chart_is_empty_for_it() -> None:
    alone = pages(["krull"])
    patterns = [pattern for charts in alone.values() for each in charts.values() for pattern in each]
    assert shown(patterns, ["charts/kept_fraction", "evaluation/kept/krull"]) == [] and "Memory" not in alone
    assert shown(patterns, ["charts/all_games_total", "evaluation/krull/score"])


def test_patterns_match_from_the_start_of_a_name() -> None:
    tags = ["learning/q", "learning/q_max", "old/learning/q", "score/krull/return", "score/pong/return"]
    assert shown(["learning/q$"], tags) == ["learning/q"]
    assert shown(["score/krull/return$", "learning/q"], tags) == [tags[0], tags[1], tags[3]]
    left_out = ["learning/updates", "exploration/epsilon_task10", "learning/fisher_overlap_task2_layer0"]
    assert shown(LEFT_OUT, [*left_out, "exploration/epsilon", "task/count"]) == left_out


def test_hyper_parameters_and_the_end_are_read_back(tmp_path: Path) -> None:
    writer = TensorBoardWriter(tmp_path)
    for summary in hparams.start(VALUES, {"evaluation/clipped_total": "total"}):
        writer.summary(0, summary)
    writer.summary(80, hparams.end())
    writer.close()
    accumulator = accumulated(tmp_path)
    content = {tag: accumulator.SummaryMetadata(tag).plugin_data for tag in accumulator.Tags()["tensors"]}
    assert {data.plugin_name for data in content.values()} == {"hparams"}
    columns = hparams_metadata.parse_experiment_plugin_data(content[hparams_metadata.EXPERIMENT_TAG].content)
    assert [(each.name, each.type) for each in columns.hparam_infos] == [
        ("learner.learning_rate", api_pb2.DATA_TYPE_FLOAT64),
        ("seed", api_pb2.DATA_TYPE_FLOAT64),
        ("learner.cuda_graphs", api_pb2.DATA_TYPE_BOOL),
        ("task_source", api_pb2.DATA_TYPE_STRING),
    ]
    assert [(each.name.tag, each.display_name) for each in columns.metric_infos] == [
        ("evaluation/clipped_total", "total")
    ]
    start = hparams_metadata.parse_session_start_info_plugin_data(
        content[hparams_metadata.SESSION_START_INFO_TAG].content
    )
    read = {name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()}
    assert read == VALUES and start.group_name == ""
    end = hparams_metadata.parse_session_end_info_plugin_data(content[hparams_metadata.SESSION_END_INFO_TAG].content)
    assert end.status == api_pb2.STATUS_SUCCESS


def test_the_same_settings_are_the_same_bytes() -> None:
    """Whenever they are written."""
    one, two = ([summary.SerializeToString(deterministic=True) for summary in hparams.start(VALUES)] for _ in range(2))
    assert one == two
    turned = dict(reversed(VALUES.items()))
    assert hparams.start(turned)[1] == hparams.start(VALUES)[1]
