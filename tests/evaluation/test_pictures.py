"""What the heatmap shows, and how pictures come to files and to TensorBoard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from PIL import Image

from evaluation.heatmap import draw_heatmap, matrices
from evaluation.plots import DPI, LOWEST, pixels, save
from evaluation.score_figure import draw_scores
from evaluation.story import Records
from tracking import task_log


def rows(scores: dict[int, tuple[float, float]]) -> list[dict[str, object]]:
    return [
        {"frames": frames, "game": game, "human_normalised": score}
        for frames, both in scores.items()
        for game, score in zip(("pong", "krull"), both, strict=True)
    ]


def test_the_heatmap_has_scores_and_what_is_kept_of_them() -> None:
    changes = [task_log.row(0, "pong", 0, 1.0), task_log.row(100, "krull", 1, 1.0)]
    records = Records("run", rows({0: (0.0, -1.5), 100: (0.8, 0.0), 150: (0.4, 0.5)}), changes)
    moments, scores, kept = matrices(records, ["pong", "krull"])
    assert moments.tolist() == [0, 100, 150]
    assert scores.tolist() == [[0.0, 0.8, 0.4], [-1.5, 0.0, 0.5]]
    np.testing.assert_array_equal(kept, [[np.nan, np.nan, 0.5], [np.nan, np.nan, np.nan]])


def test_an_evaluation_of_one_game_has_a_cell_in_its_own_row_and_no_column() -> None:
    """pong was evaluated alone at 100 and 300; krull's cells reach from one of its own evaluations to the next."""
    changes = [task_log.row(0, "pong", 0, 1.0), task_log.row(100, "krull", 1, 1.0), task_log.row(200, "pong", 0, 1.0)]
    left = [row for row in rows({100: (0.8, 9.0), 300: (0.6, 9.0)}) if row["game"] == "pong"]
    own = sorted(rows({200: (0.4, 0.5), 400: (0.7, 0.3)}) + left, key=lambda row: row["frames"])
    records = Records("run", own, changes)  # type: ignore[arg-type]
    moments, scores, kept = matrices(records, ["pong", "krull"])
    assert moments.tolist() == [100, 200, 300, 400]
    np.testing.assert_array_equal(scores, [[0.8, 0.4, 0.6, 0.7], [np.nan, 0.5, np.nan, 0.3]])
    np.testing.assert_array_equal(kept, [[np.nan, 0.5, np.nan, np.nan], [np.nan, np.nan, np.nan, 0.6]])
    above, below = draw_heatmap(records).axes[:2]
    cells = [mesh.get_coordinates()[0, :, 0] * 1e3 for mesh in above.collections if isinstance(mesh, QuadMesh)]
    assert [each.round(6).tolist() for each in cells] == [[0, 150, 250, 350, 400], [0, 300, 400]]
    shown = [mesh.get_array() for mesh in above.collections if isinstance(mesh, QuadMesh)]
    assert not any(np.ma.getmaskarray(each).any() for each in shown), "no grey between them"
    written = [(text.get_text(), round(text.get_position()[0] * 1e3)) for text in below.texts]
    assert written == [("0.50", 200), ("0.60", 350)]


def test_the_heatmap_of_one_game_shows_scores_only() -> None:
    changes = [task_log.row(0, "pong", 0, 1.0)]
    own = [row for row in rows({0: (0.0, 0.0), 100: (0.8, 0.0)}) if row["game"] == "pong"]
    assert [axes.get_title("left") for axes in draw_heatmap(Records("run", own, changes)).axes] == [
        "human-normalised score (line: the game is on screen)",
        "",  # of the colours
    ]


def test_scores_are_cut_below_unless_nothing_would_be_left_to_see() -> None:
    told = {"standard_error": 0.0, "human": 1.0, "random": 0.0}
    own = [{**row, **told} for row in rows({0: (-2.0, -1.5), 100: (-1.0, 0.5)})]
    _, pong, krull = draw_scores([Records("run", own, [])]).axes
    assert pong.get_ylim()[0] < -2 and krull.get_ylim()[0] == LOWEST
    lines = [[list(line.get_ydata()) for line in panel.lines] for panel in (pong, krull)]
    assert [-2.0, -1.0] in lines[0] and [LOWEST, 0.5] in lines[1]


def test_a_picture_is_saved_with_its_drawing_beside_it_the_same_every_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        figure = Figure(figsize=(2, 1))
        figure.subplots().plot([0, 1])
        save(figure, tmp_path / name / "line.png")
    with Image.open(tmp_path / "a" / "line.png") as picture:
        assert picture.size == (2 * DPI, DPI)
    for file in ("line.png", "line.svg"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_pixels_are_those_of_the_figure() -> None:
    figure = Figure(figsize=(3, 2), facecolor="red")
    found = pixels(figure, dpi=10)
    assert found.shape == (20, 30, 3) and found.dtype == np.uint8 and (found == (255, 0, 0)).all()
