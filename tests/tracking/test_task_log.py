"""How tasks and games are drawn."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from envs.game_sets import game_set
from envs.games import all_games
from evaluation.plots import add_legend, bars, line, looks, pixels, words
from evaluation.timeline import draw_timeline
from tracking.task_log import row

ATARI = [name for name, each in all_games().items() if not each.is_toy]


@pytest.mark.parametrize("games", [game_set("pool"), ATARI])
def test_no_two_games_look_alike_as_bars_or_as_lines(games: list[str]) -> None:
    found = looks(games)
    axes = Figure().subplots()
    for y, look in enumerate(found.values()):
        bars(axes, [(y, 2.0, 3.0), (y, 7.0, 1.0)], look)
    drawn = [(tuple(each.get_facecolor()[0]), each.get_hatch()) for each in axes.collections]
    assert len(set(drawn)) == len(set(found.values())) == len(games) in (19, 57)
    assert len({tuple(line(look).values()) for look in found.values()}) == len(games)


@pytest.mark.parametrize(("count", "width"), [(1, 5.8), (3, 5.8), (10, 8.0), (19, 8.0), (57, 5.8), (57, 11.0)])
def test_a_legend_is_whole_and_leaves_the_panel_its_height(count: int, width: float) -> None:
    figure = Figure(figsize=(width, 4.0), layout="constrained")
    panel = figure.subplots()
    entries = {name: panel.plot([0, 1], [0, 1])[0] for name in sorted(ATARI, key=len)[-count:]}
    add_legend(figure, entries, size=9)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    box, whole = figure.legends[0].get_window_extent(), figure.bbox
    assert whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 and box.y1 <= whole.y1
    assert panel.get_window_extent().y1 <= box.y0
    assert panel.get_window_extent().height > 0.75 * 4.0 * figure.dpi
    texts = [each.get_window_extent() for each in figure.legends[0].get_texts()]
    assert len(texts) == count and not any(a.overlaps(b) for i, a in enumerate(texts) for b in texts[:i])


@pytest.mark.parametrize("name", ["_none", r"$\frac{", "a$b$", "<img>", "\ud800 \x00\n", "50%_\\alpha^2"])
def test_names_from_files_are_drawn_letter_by_letter(name: str) -> None:
    figure = Figure(layout="constrained")
    panel = figure.subplots()
    panel.set_title(words(name))
    add_legend(figure, {words(name): panel.plot([0, 1])[0], "other": panel.plot([1, 0])[0]})
    FigureCanvasAgg(figure).draw()
    assert [each.get_text() for each in figure.legends[0].get_texts()] == [words(name), "other"]


@pytest.mark.parametrize(("games", "tasks"), [(1, 1), (57, 57), (3, 3000)])
def test_a_timeline_of_any_number_of_games_and_tasks_is_a_picture(games: int, tasks: int) -> None:
    changes = [row(100 * i, ATARI[i % games], i % tasks, 1.0) for i in range(max(games, tasks))]
    picture = pixels(draw_timeline(changes, 100 * len(changes)), dpi=50)
    assert picture.shape[1] == 8 * 50 and 2 * 50 <= picture.shape[0] <= 40 * 50
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 3
