"""Names from files and folders are shown letter by letter, lead to no other place, and break no report."""

from __future__ import annotations

import json
import os
from html import unescape
from pathlib import Path

import pytest
from markupsafe import escape
from matplotlib.backends.backend_agg import FigureCanvasAgg

from envs.games import all_games
from experiments.report import figures
from experiments.report import page as html
from experiments.report.command import main, write_picture
from tests.experiments.report.test_command import METRICS, make_run
from tracking.files import file_name, printable

HOSTILE = ("../../away", "<img src=x onerror=alert(1)>", '"><script>x</script>', r"_$\frac{", "a\nb\x00c", "x" * 300)
ATARI = [name for name, each in all_games().items() if not each.is_toy]


@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize("name", [*HOSTILE[:2], *(pytest.param(name, marks=pytest.mark.slow) for name in HOSTILE[2:])])
def test_a_games_name_from_a_file_is_neither_html_nor_a_path(name: str, tmp_path: Path) -> None:
    point = {"kind": "uniform", "scale": 0.1, "share": 0.5, "low": 0.4, "high": 0.6, "returns": [1.0]}
    point |= {"divergence": 0.01, "expected": 0.02, "changed": 0.25}
    audit = {"game": name, "frames": 1000, "points": [point], "settings": {"estimator": name}}
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "perturbation.json").write_text(json.dumps({**audit, "fisher": {"origin": "replay"}}))
    run = make_run(tmp_path / "ewc-1", 1, [[2, 8, 7, 6], [0, 1, 3, 9]], metrics=METRICS)
    out = tmp_path / "page" / "out"
    before = {path for path in tmp_path.rglob("*") if out not in path.parents}
    assert main([str(run), "--out", str(out), "--perturbation", str(tmp_path / "audit")]) == 0
    page = (out / "report.html").read_text()
    assert "<img src=x" not in page and "<script" not in page and page.count("<img ") == page.count('src="data:')
    assert printable(name) in unescape(page)
    assert {path for path in tmp_path.rglob("*") if out not in path.parents} - before == {tmp_path / "page", out}
    assert len([*out.glob("figure_3c_*")]) == 3


@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize(
    "name", ["<b>&", *(pytest.param(n, marks=pytest.mark.slow) for n in (r"_$\frac{", "{x}", os.fsdecode(b"\xff\xfe")))]
)
def test_an_agents_name_from_its_folder_is_shown_letter_by_letter(name: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / f"{name}-1", 1, [[2, 8, 7, 6], [0, 1, 3, 9]], metrics=METRICS)
    told = make_run(tmp_path / "told-1", 1, [[1, 9, 1, 1], [0, 0, 2, 4]], learner={"n_step": 3})
    assert main([str(run), str(told), "--out", str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<b>&amp;" not in page and f'<th scope="col">{escape(printable(name))} (1 seed)</th>' in page


def test_links_lead_where_they_say() -> None:
    assert '<a href="a%20b/%231/report.html">&lt;a&gt;</a>' in html.links({"<a>": Path("a b/#1/report.html")})


@pytest.mark.parametrize("name", HOSTILE)
def test_file_names_stay_in_their_folder_and_differ(name: str, tmp_path: Path) -> None:
    made = file_name(name)
    assert Path(made).name == made and not made.startswith(".") and len(made) <= 120 and made.isascii()
    (tmp_path / made).touch()
    assert made not in {file_name(other) for other in HOSTILE if other != name}
    assert file_name(made) == made


def test_names_that_are_good_are_kept() -> None:
    assert [file_name(name) for name in ("krull", "figure3b", "a-b_c=1.5+2")] == ["krull", "figure3b", "a-b_c=1.5+2"]
    assert file_name("..") != ".." and file_name(".hidden") != ".hidden"


@pytest.mark.parametrize("count", [3, 10, pytest.param(57, marks=pytest.mark.slow)])
def test_names_of_games_do_not_run_into_each_other_under_overlaps(count: int) -> None:
    games = ATARI[:count]
    rows = [
        {"agent": agent, "game": game, "other": other, "layer": layer, "overlap": 0.5}
        for agent in ("ewc", "online")
        for layer in (1, 2, 3, 4)
        for game, other in ((games[0], games[1]), (games[1], games[0]))
    ]
    figure = figures.draw_overlaps(rows, games)
    FigureCanvasAgg(figure).draw()
    for panel in figure.axes[:-1]:
        places = [label.get_window_extent() for label in panel.get_yticklabels() if label.get_text()]
        assert not any(a.overlaps(b) for i, a in enumerate(places) for b in places[:i])
        centres = [label.get_window_extent() for label in panel.get_xticklabels()]
        if count > 6:  # upright; those of fewer games lean
            assert not any(a.overlaps(b) for i, a in enumerate(centres) for b in centres[:i])


def test_a_legend_of_twenty_agents_leaves_the_panel_its_room(tmp_path: Path) -> None:
    rows = [
        {
            "agent": f"agent {i} with learning_rate 0.00{i}",
            "seeds": 1,
            "frames": at,
            "total": 1.0,
            "low": 1.0,
            "high": 1.0,
        }
        for i in range(20)
        for at in (0, 100_000)
    ]
    figure = figures.draw_totals(rows, 3)
    FigureCanvasAgg(figure).draw()
    (legend,), (panel,) = figure.legends, figure.axes
    assert len(legend.get_texts()) == 20 and panel.get_window_extent().y1 <= legend.get_window_extent().y0
    assert panel.get_window_extent().height > 3.0 * figure.dpi
    write_picture(tmp_path, "totals", rows, lambda: figure, "words")
    assert (tmp_path / "totals.png").is_file()
