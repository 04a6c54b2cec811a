"""The report at a run's end: pictures of any number of games, and nothing in a run's files that can make it fail."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from configs.schema import Config, EvaluationConfig
from envs.games import all_games
from evaluation import story, table
from evaluation.play import GameResult
from evaluation.plots import LOWEST, SIZE
from tracking import task_log
from tracking.run_directory import RunDirectory
from training import final_report as figure
from training import pictures

ATARI = [name for name, each in all_games().items() if not each.is_toy]


def make_run(folder: Path, games: list[str], visits: int = 4, moments: int = 3, task: int | None = 0) -> RunDirectory:
    """A run's files: `visits` of 100 frames each, game after game, and as many evaluations."""
    folder.mkdir(parents=True, exist_ok=True)
    changes = [task_log.row(100 * i, games[i % len(games)], i % len(games), 1.0) for i in range(visits)]
    rows = []
    for k in range(1, moments + 1):
        results = [GameResult(name, (k + 1.0,), (100,), task, 1.0) for name in games]
        rows += table.rows(100 * visits * k // moments, results)
    for name, columns, lines in (
        ("task_changes.csv", task_log.COLUMNS, changes),
        ("evaluations.csv", table.COLUMNS, rows),
    ):
        with open(folder / name, "w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(lines)
    counts = {name: {i: 90, (i + 1) % len(games): 10} for i, name in enumerate(games)}
    (folder / "confusion.csv").write_text(task_log.confusion_csv(counts))
    return RunDirectory(folder)


def told(run: RunDirectory, **settings: object) -> list[str]:
    return list(figure.write_report(run, Config(frames=400, evaluation=EvaluationConfig(**settings))))  # type: ignore[arg-type]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that would be written, laid out."""
    found: list[Figure] = []

    def save(figure: Figure, path: Path, **_: object) -> None:
        path.touch()
        if path.suffix == ".png":
            figure.draw_without_rendering()
            found.append(figure)

    monkeypatch.setattr(Figure, "savefig", save)
    return found


@pytest.fixture
def unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are composed and written empty, which takes a tenth of the time."""
    monkeypatch.setattr(Figure, "savefig", lambda _, path, **__: path.touch())


@pytest.mark.parametrize("count", [3, 10, 19, pytest.param(57, marks=pytest.mark.slow)])
def test_every_game_is_named_once_whole_and_on_the_picture(count: int, tmp_path: Path, drawn: list[Figure]) -> None:
    run = make_run(tmp_path / "run", ATARI[:count])
    make_run(tmp_path / "plain_dqn", ATARI[:count])
    lines = told(run, reference=str(tmp_path / "plain_dqn"))
    assert not [line for line in lines if "warning" in line or "nothing" in line]
    scores = drawn[0]
    titles = [panel._left_title for panel in scores.axes]
    labels = [label for panel in scores.axes for label in panel.get_yticklabels()]
    for names in (titles, labels):  # of the panels, and of the timeline's rows
        shown = [name for name in names if name.get_text().strip() in ATARI]
        assert sorted(name.get_text().strip() for name in shown) == ATARI[:count]
    texts = [*titles, *labels, *scores.texts, *(text for legend in scores.legends for text in legend.get_texts())]
    boxes = [text.get_window_extent() for text in texts if text.get_text() and text.get_visible()]
    assert all(scores.bbox.x0 <= b.x0 and b.x1 <= scores.bbox.x1 for b in boxes)
    assert all(scores.bbox.y0 <= b.y0 and b.y1 <= scores.bbox.y1 for b in boxes)
    named = [text.get_window_extent() for text in titles if text.get_text()]
    assert not any(a.overlaps(b) for i, a in enumerate(named) for b in named[:i])
    assert {text.get_fontsize() for text in texts} == {SIZE}


@pytest.mark.usefixtures("unrendered")
def test_the_console_shows_every_game_and_its_tasks_at_57(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", ATARI, visits=57)
    shown = "\n".join(told(run))
    confusion = shown[shown.index("In which task each game was played") :].splitlines()
    lines = {name: next(line for line in confusion if f"│ {name} " in line) for name in ATARI}
    assert all(f"{i}: 90.0%, {(i + 1) % 57}: 10.0%" in lines[name] for i, name in enumerate(ATARI))


@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize("width", [80, 120, 200, None])
def test_every_game_is_one_line_of_every_table_and_never_cut(width: int | None, tmp_path: Path) -> None:
    """Long names and many visits; a run beside it whose name is long, too."""
    games = ["montezuma_revenge", "road_runner", "video_pinball"]
    run = make_run(tmp_path / "run", games, visits=30, moments=30, task=None)
    make_run(tmp_path / "plain_dqn_with_a_long_name", games)
    config = Config(frames=400, evaluation=EvaluationConfig(reference=str(tmp_path / "plain_dqn_with_a_long_name")))
    lines = "\n".join(figure.write_report(run, config, width)).splitlines()
    tables = [line for line in lines if line[:1] in "┏┃┡│├└"]
    assert width is None or max(map(len, tables)) <= width
    rows = [line.split("│")[1].strip() for line in tables if line.startswith("│")]
    assert sorted(rows) == sorted([*games * 3, "clipped total"])


def test_a_picture_shows_the_visits_that_were_played_and_no_other(tmp_path: Path, drawn: list[Figure]) -> None:
    """The log of the run counts, not what was planned: here the third game never had its turn."""
    run = make_run(tmp_path / "run", ATARI[:3], visits=2)
    told(run)
    timeline = drawn[0].axes[0]
    spans = [path.vertices[:, 0] for each in timeline.collections for path in each.get_paths()]
    assert [(min(span), max(span)) for span in spans] == [(0.0, 0.1), (0.1, 0.2)]  # thousands
    assert timeline.get_xlim() == (0.0, pytest.approx(0.2, rel=0.01))
    shaded = [[path.vertices[:, 0] for path in panel.collections[0].get_paths()] for panel in drawn[0].axes[1:]]
    assert [[(min(x), max(x)) for x in its] for its in shaded] == [[(0.0, 0.1)], [(0.1, 0.2)], []]


def test_a_score_far_below_random_play_does_not_take_the_axis(tmp_path: Path, drawn: list[Figure]) -> None:
    run = make_run(tmp_path / "run", ATARI[:2])
    text = run.evaluations.read_text().splitlines()
    text[-1] = f"400,{ATARI[1]},0,1.0,1,1.0,0.0,2.5,3.5,-1.5,100"
    run.evaluations.write_text("\n".join(text) + "\n")
    told(run)
    panel = drawn[0].axes[2]
    assert panel.get_ylim()[0] == LOWEST
    (triangles,) = [line for line in panel.lines if line.get_marker() == "v"]
    assert [*triangles.get_ydata()] == [LOWEST] and f"below \N{MINUS SIGN}{-LOWEST:g}" in drawn[0].texts[0].get_text()


def test_a_colour_is_a_game_or_a_run(tmp_path: Path, drawn: list[Figure]) -> None:
    run = make_run(tmp_path / "run", ATARI[:3])
    told(run)
    told(run, reference=str(make_run(tmp_path / "other", ATARI[:3]).path))
    alone, beside = ([panel.lines for panel in figure.axes[1:4]] for figure in (drawn[0], drawn[3]))
    games = [{line.get_color() for line in lines if len(line.get_xdata()) == 3} for lines in alone]
    assert [len(each) for each in games] == [1, 1, 1] and len(set.union(*games)) == 3
    runs = [{line.get_color() for line in lines if len(line.get_xdata()) == 3} for lines in beside]
    assert runs[0] == runs[1] == runs[2] and len(runs[0]) == 2


@pytest.mark.usefixtures("unrendered")
def test_never_met_is_said_of_a_game_that_was_never_met_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", ATARI[:3], visits=2, task=None)
    lines = "\n".join(told(run)).splitlines()
    said = [next(line for line in lines if f"│ {name} " in line).split("│")[2].strip() for name in ATARI[:3]]
    assert said == ["not recognised", "not recognised", "never met"]


BROKEN = {
    "evaluations.csv": ["", "frames,game\n", "frames,game,mean\n100,pong\n", "\0\0\0", "frames\nnan\n"],
    "task_changes.csv": [
        "",
        "frames,game\n",
        "frames,game,task,posterior\n0,pong\n",
        "\0",
        "frames,game,task,posterior\n",
    ],
    "confusion.csv": ["", "game\n", "game,task 0\npong,many\n", "\0", "game,task 0\npong\n"],
}


@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BROKEN.items() for text in texts])
def test_a_broken_file_of_the_run_beside_is_a_line_and_the_report_is_written(
    name: str, text: str, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", ATARI[:2])
    (make_run(tmp_path / "other", ATARI[:2]).path / name).write_text(text)
    told(run, reference=str(tmp_path / "other"))
    assert all((run.report / file).is_file() for file in ("scores.json", "scores.png", "heatmap.png", "tasks.png"))


def test_a_picture_that_fails_takes_nothing_else_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("no picture")

    run = make_run(tmp_path / "run", ATARI[:2])
    run.confusion.write_text("game,task 0\npong,many\n")
    monkeypatch.setattr(pictures, "draw_scores", fail)
    lines = told(run)
    assert "warning: scores.png could not be made: ZeroDivisionError: no picture" in lines
    assert any(line.startswith("warning: the tasks could not be made: ValueError") for line in lines)
    assert json.loads((run.report / "scores.json").read_text())["frames"] == 400
    assert (run.report / "tasks.png").is_file() and lines[-1].count("written") == 1 and "scores.png" not in lines[-1]


@pytest.mark.parametrize("mean", ["nan", "inf", "-inf", "1e308", "0"])
def test_senseless_scores_are_told_all_the_same(mean: str, tmp_path: Path, drawn: list[Figure]) -> None:
    run = make_run(tmp_path / "run", ATARI[:2])
    text = run.evaluations.read_text().splitlines()
    text[-1] = f"400,{ATARI[1]},0,1.0,1,{mean},0.0,1.0,2.0,{mean},100"
    run.evaluations.write_text("\n".join(text) + "\n")
    lines = told(run)
    assert not [line for line in lines if "warning" in line]
    assert len(drawn) == 3


def test_a_run_without_evaluations_has_its_tasks_drawn(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", ATARI[:2], moments=0)
    lines = told(run, reference=str(tmp_path / "nowhere"))
    assert (run.report / "tasks.png").is_file() and not (run.report / "scores.png").exists()
    assert lines[-1] == f"written: {run.report / 'tasks.png'}"
    assert (run.report / "tasks.svg").is_file()


@pytest.mark.parametrize("name", ["_none", "[red]$x", "50%$_{", ":smile:"])
def test_the_name_of_the_run_beside_is_shown_letter_by_letter(name: str, tmp_path: Path, drawn: list[Figure]) -> None:
    run = make_run(tmp_path / "run", ATARI[:2])
    lines = told(run, reference=str(make_run(tmp_path / name, ATARI[:2]).path))
    assert drawn and not [line for line in lines if "warning" in line]
    assert f"{story.read_records(tmp_path / name, name.replace('_', ' ')).name}:" in "\n".join(lines)
