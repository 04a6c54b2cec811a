"""evaluate.py on the runs that train.py leaves behind."""

from __future__ import annotations

import contextlib
import csv
import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest

from evaluate import main
from evaluation import policy
from evaluation.results import Question, Results, choose_folder
from evaluation.video import BAND
from tests.commands import code_of
from tests.integration.runs import ROOT, TOY, launch, write_config
from tracking import command
from tracking.checkpoints import load_file, save_file
from tracking.run_directory import RunDirectory
from tracking.snapshots import kept_snapshots, read_snapshot

PLAYED = ("toy_catch", "toy_avoid")
QUICKLY = ["--episodes", "3", "--emulators", "2"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy run with snapshots at 600, 800 (a switch) and 1,000 frames."""
    directory = tmp_path_factory.mktemp("evaluate")
    config = write_config(directory / "toy.yaml", TOY, task_source="inferred")
    outcome = launch("--config", config, "--run_dir", directory / "run", "--frames", 1000)
    assert outcome.code == 0, outcome.err
    return directory / "run"


def scores(directory: Path) -> tuple[dict, list[dict[str, str]]]:
    """scores.json and the rows of scores.csv."""
    with open(directory / "scores.csv", newline="") as file:
        return json.loads((directory / "scores.json").read_text()), list(csv.DictReader(file))


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert code_of(main, arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("evaluate.py: ") and len(said.splitlines()) == 1
    return said


def test_games_are_recognised_from_the_screen(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each of the two games as the task that its steps were given in training; a third was never met."""
    with open(run / "confusion.csv", newline="") as file:
        rows = {row.pop("game"): row for row in csv.DictReader(file)}
    in_training = {game: max(row, key=lambda task: int(row[task])).split()[1] for game, row in rows.items()}
    assert sorted(in_training.values()) == ["0", "1"]
    games = ["--games", "toy_rise,toy_catch,toy_avoid"]
    assert main([str(run), *QUICKLY, *games, "--output", str(tmp_path)]) == 0
    told = {row["game"]: row["task"] for row in scores(tmp_path)[1]}
    assert told == {**in_training, "toy_rise": ""}
    assert all(float(row["posterior"]) > 0.99 for row in scores(tmp_path)[1])
    assert "never met" in next(line for line in capsys.readouterr().out.splitlines() if "toy_rise" in line)


def test_table_json_and_csv_say_the_same(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run), *QUICKLY, "--output", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    report, rows = scores(tmp_path / "out")
    settings = {"episodes": 3, "emulators": 2, "epsilon": 0.01, "max_episode_frames": 27000, "seed": 1}
    asked = {"task_source": "inferred", "games": ["toy_catch", "toy_avoid"], "moments": [f"{1000:012d}"]}
    assert report["settings"] == {**settings, **asked}
    (moment,) = report["moments"]
    assert moment["frames"] == 1000 and "Evaluation at 1,000 frames" in shown
    assert {row["game"] for row in rows} == set(moment["games"]) == {"toy_catch", "toy_avoid"}
    for row in rows:
        one = moment["games"][row["game"]]
        assert len(one["returns"]) == len(one["lengths"]) == int(row["episodes"]) == 3
        assert float(row["mean"]) == one["mean"] == pytest.approx(np.mean(one["returns"]))
        assert float(row["human_normalised"]) == one["human_normalised"]
        assert row["game"] in shown and f"{one['mean']:,.1f}" in shown
    total = sum(min(1.0, one["human_normalised"]) for one in moment["games"].values())
    assert moment["clipped_total"] == pytest.approx(total)


def test_it_tells_how_often_a_game_was_recognised(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the task that the run gave it; of a game not met yet, as one that is not known."""
    games = ["--games", "toy_catch,toy_avoid,toy_rise"]
    for arguments in ([], ["--task_source", "inferred"]):  # the default of this run: the same question, the same folder
        assert main([str(run), *QUICKLY, *games, *arguments, "--output", str(tmp_path)]) == 0
        report, rows = scores(tmp_path)
        assert report["settings"]["task_source"] == "inferred"
        told = {row["game"]: row for row in rows}
        assert told["toy_rise"]["own_task"] == "" and {told[game]["own_task"] for game in PLAYED} == {"0", "1"}
        for game, row in told.items():
            assert row["own_task"] == row["task"] and float(row["recognised"]) > 0.9
            assert report["moments"][0]["games"][game]["recognised"] == float(row["recognised"])
        assert "recognised: share of decisions" in " ".join(capsys.readouterr().out.split())
    first = run / "snapshots" / f"{600:012d}.pt"  # before the second game came
    assert main([str(first), *QUICKLY, "--output", str(tmp_path / "first")]) == 0
    assert sorted(row["own_task"] for row in scores(tmp_path / "first")[1]) == ["", "0"]


def test_true_tasks_are_those_that_the_run_gave(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a run whose record has the tasks the other way round, no game is recognised; --task_source true obeys it."""
    games = ["--games", "toy_catch,toy_avoid,toy_rise"]
    assert main([str(run), *QUICKLY, *games, "--task_source", "true", "--output", str(tmp_path / "true")]) == 0
    report, rows = scores(tmp_path / "true")
    true = {row["game"]: row["task"] for row in rows}
    assert report["settings"]["task_source"] == "true" and "recognised" not in rows[0]
    assert true["toy_rise"] == "" and {true[game] for game in PLAYED} == {"0", "1"}
    assert "never met" in next(line for line in capsys.readouterr().out.splitlines() if "toy_rise" in line)

    turned = copied(run, tmp_path / "turned")
    for path in kept_snapshots(turned / "snapshots"):
        snapshot = read_snapshot(path)
        swapped = {game: 1 - task for game, task in snapshot["own_tasks"].items()}
        save_file(path, {**snapshot, "own_tasks": swapped})
    assert main([str(turned), *QUICKLY, "--task_source", "true", "--output", str(tmp_path / "a")]) == 0
    assert {row["game"]: row["task"] for row in scores(tmp_path / "a")[1]} == {
        game: str(1 - int(true[game])) for game in PLAYED
    }
    assert main([str(turned), *QUICKLY, "--output", str(tmp_path / "b")]) == 0
    for row in scores(tmp_path / "b")[1]:
        assert row["task"] == true[row["game"]] and float(row["recognised"]) < 0.1


def copied(run: Path, folder: Path) -> Path:
    """Only what the README says that evaluate.py needs: the configuration and the snapshots."""
    shutil.copytree(run / "snapshots", folder / "snapshots")
    shutil.copy(run / "config.yaml", folder)
    return folder


@pytest.mark.parametrize("tasks", [[], ["--task_source", "inferred"], ["--task_source", "true"]])
def test_a_configuration_and_snapshots_are_all_it_needs(run: Path, tmp_path: Path, tasks: list[str]) -> None:
    bare = copied(run, tmp_path / "bare")
    for at in ("600", "1000"):
        for folder in (run, bare):
            arguments = [str(folder), "--at", at, *tasks, "--output", str(tmp_path / at / folder.name)]
            assert main([*arguments, *QUICKLY]) == 0
        assert scores(tmp_path / at / "bare") == scores(tmp_path / at / "run")


def test_an_older_run_that_does_not_tell_its_tasks_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its snapshots do not say in which tasks the games were played; task_changes.csv does."""
    bare = copied(run, tmp_path / "bare")
    for path in kept_snapshots(bare / "snapshots"):
        save_file(path, {name: part for name, part in read_snapshot(path).items() if name != "own_tasks"})
    for content in (None, "", "frames,game\n0,toy_catch\n", (run / "task_changes.csv").read_text().splitlines()[0]):
        if content is not None:
            (bare / "task_changes.csv").write_text(content)
        for tasks in ("inferred", "true"):
            said = refused(capsys, bare, *QUICKLY, "--task_source", tasks)
            assert "neither the snapshot nor the run's task_changes.csv tells" in said
    shutil.copy(run / "task_changes.csv", bare)
    assert main([str(bare), *QUICKLY, "--output", str(tmp_path / "out")]) == 0
    assert {row["own_task"] for row in scores(tmp_path / "out")[1]} == {"0", "1"}


def test_agents_that_were_told_their_tasks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """True tasks are the labels', or the only one there is; neither agent can infer."""
    for tasks, expected in (("true_labels", {"0", "1"}), ("single", {"0"})):
        told = tmp_path / tasks
        config = write_config(tmp_path / "toy.yaml", TOY, task_source=tasks)
        assert launch("--config", config, "--run_dir", told, "--frames", 1000).code == 0
        (told / "task_changes.csv").unlink()  # not needed
        found = []
        for arguments in ([], ["--task_source", "true"]):
            output = told / f"out{len(arguments)}"
            assert main([str(told), *QUICKLY, *arguments, "--output", str(output)]) == 0
            report, rows = scores(output)
            found.append(report["moments"])
            assert {row["task"] for row in rows} == expected and "recognised" not in rows[0]
            assert report["settings"]["task_source"] == ("true" if arguments else tasks)
        assert found[0] == found[1]
        assert f"task_source: {tasks}" in refused(capsys, told, *QUICKLY, "--task_source", "inferred")


@pytest.mark.slow
def test_as_a_command_while_the_run_is_locked_twice_the_same(run: Path, tmp_path: Path) -> None:
    """It needs no lock, and the same seed gives the same numbers."""
    reports = []
    with RunDirectory(run) as held:
        held.resume()
        for name in ("a", "b"):
            output = tmp_path / name
            asked = [sys.executable, "evaluate.py", run, *QUICKLY, "--output", output]
            done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True)
            assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
            reports.append(scores(output))
    assert reports[0] == reports[1]


def test_any_moment_or_all_of_them(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run), *QUICKLY, "--at", "all", "--output", str(tmp_path / "all")]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert sum("game" in line for line in shown) == 1 and [line for line in shown if "600" in line and "1,000" in line]
    assert (tmp_path / "all" / "scores.png").stat().st_size > 10_000 and "scores.png" in shown[-1]
    report, rows = scores(tmp_path / "all")
    assert [moment["frames"] for moment in report["moments"]] == [600, 800, 1000]
    assert [row["frames"] for row in rows] == ["600", "600", "800", "800", "1000", "1000"]
    assert {row["task"] for row in rows if row["frames"] == "600"} == {"0", ""}  # one game was never met yet
    for name, arguments in {
        "at": [str(run), "--at", "0_600"],
        "file": [str(run / "snapshots" / f"{600:012d}.pt")],
    }.items():
        assert main([*arguments, *QUICKLY, "--output", str(tmp_path / name)]) == 0
        assert scores(tmp_path / name)[0]["moments"] == report["moments"][:1]
    with contextlib.chdir(run / "snapshots"):
        assert main([f"{600:012d}.pt", *QUICKLY, "--output", str(tmp_path / "bare")]) == 0
    assert scores(tmp_path / "bare")[0]["moments"] == report["moments"][:1]


class CountingRecogniser:
    """Counts the games played, and ends before one with an error."""

    def __init__(self, ends_before: int | None = None, error: BaseException | None = None) -> None:
        self.played: list[str] = []
        self._play, self._ends_before, self._error = policy.play_game, ends_before, error

    def __call__(self, game: str, *given: Any, **named: Any) -> Any:
        if len(self.played) == self._ends_before:
            assert self._error is not None
            raise self._error
        self.played.append(game)
        return self._play(game, *given, **named)


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 130), (MemoryError(), 1), (OSError(errno.ENOSPC, "full", "/there"), 1)]
)
def test_what_was_played_is_kept_and_the_same_command_goes_on(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    """To the numbers that an undisturbed one has. The error comes as the fourth game begins, during the third."""
    ask = [str(run), *QUICKLY, "--at", "all", "--output"]
    assert main([*ask, str(tmp_path / "whole")]) == 0
    interrupted, resumed, again = CountingRecogniser(3, error), CountingRecogniser(), CountingRecogniser()
    monkeypatch.setattr(policy, "play_game", interrupted)
    with pytest.raises(SystemExit) as end:
        command.run(lambda: main([*ask, str(tmp_path / "out")]))
    assert end.value.code == code and not (tmp_path / "out" / "scores.json").exists()
    for playing, games in ((resumed, [*PLAYED, *PLAYED]), (again, [])):
        monkeypatch.setattr(policy, "play_game", playing)
        assert main([*ask, str(tmp_path / "out")]) == 0
        assert playing.played == games
        for name in ("scores.json", "scores.csv"):
            assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_kept_games_are_of_these_weights(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another run's snapshot of the same frame is another question; so is what cannot be read."""
    other = Path(shutil.copytree(run, tmp_path / "other", ignore=shutil.ignore_patterns("checkpoints", "evaluation*")))
    assert main([str(other), *QUICKLY]) == 0
    (other / "evaluation").rename(tmp_path / "out")
    shutil.copy(other / "snapshots" / f"{600:012d}.pt", other / "snapshots" / f"{1000:012d}.pt")
    ask = (other, *QUICKLY, "--output", tmp_path / "out")
    assert "holds the results of other settings or weights" in refused(capsys, *ask)
    question = (tmp_path / "out" / "plays.jsonl").read_text().splitlines()[0]
    for broken in ("{", question + '\n{"name": "600/toy_catch"}\n', question + "\n[]\n"):
        (tmp_path / "out" / "plays.jsonl").write_text(broken)
        assert "holds the results of other settings or weights" in refused(capsys, *ask)
    (tmp_path / "out" / "plays.jsonl").unlink()
    (tmp_path / "out" / "scores.json").write_text("[]")
    assert "holds the results of other settings or weights" in refused(capsys, *ask)


def test_a_film_asked_for_later_is_made_and_made_again_where_it_is_gone(run: Path, tmp_path: Path) -> None:
    ask = [str(run), *QUICKLY, "--games", "toy_catch", "--output", str(tmp_path)]
    film = tmp_path / "videos" / f"{1000:012d}" / "toy_catch.mp4"
    for arguments in ([], ["--video"], ["--video"]):
        film.unlink(missing_ok=True)
        assert main([*ask, *arguments]) == 0
        assert film.is_file() == bool(arguments)


def test_of_two_commands_with_one_question_none_drops_what_the_other_keeps(tmp_path: Path) -> None:
    question = Question({"games": ["krull", "pong"]}, ["a"])
    choose_folder(tmp_path, None, question)
    one, other = (Results(tmp_path, question).plays for _ in range(2))
    one.put("krull", 1)
    other.put("pong", 2)
    assert [Results(tmp_path, question).plays.get(name) for name in ("krull", "pong")] == [1, 2]


def test_it_can_be_watched_in_a_terminal_and_is_filmed_where_there_is_none(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluation.video.FRAMES_PER_SECOND", 1e6)
    ask = [str(run), "--watch", "--games", "toy_catch"]
    with monkeypatch.context() as terminal:
        terminal.setattr(sys.stdout, "isatty", lambda: True)
        assert main(ask) == 0
        for more in (["--video"], ["--output", tmp_path / "out"]):
            assert f"{more[0]}: --watch writes nothing" in refused(capsys, *ask, *more)
        assert main(ask) == 0
    shown = capsys.readouterr().out
    assert shown.count("\x1b[H") == 25 and shown.splitlines()[-1].startswith("toy_catch: ")
    assert not (tmp_path / "out").exists()
    assert main([*ask, "--output", str(tmp_path / "out"), *QUICKLY]) == 0
    told = capsys.readouterr()
    assert "no terminal to watch it in; films are written instead" in told.err and "\x1b[H" not in told.out
    assert (tmp_path / "out" / "videos" / f"{1000:012d}" / "toy_catch.mp4").is_file()


def test_results_lie_in_the_run_unless_told(run: Path) -> None:
    assert main([str(run), *QUICKLY, "--games", "toy_rise"]) == 0
    report, _ = scores(run / "evaluation")
    assert list(report["moments"][0]["games"]) == ["toy_rise"]


def test_results_of_another_question_are_not_overwritten(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = [str(run), *QUICKLY, "--games"]
    assert main([*ask, "toy_avoid"]) == main([*ask, "toy_rise, toy_rise"]) == main([*ask, "toy_avoid"]) == 0
    written = [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("written")]
    assert written[0] == written[2] != written[1]
    assert list(scores(Path(written[1]).parent)[0]["moments"][0]["games"]) == ["toy_rise"]
    assert main([*ask, "toy_rise", "--output", str(Path(written[0]).parent)]) == 2
    assert "holds the results of other settings" in capsys.readouterr().err
    assert list(scores(Path(written[0]).parent)[0]["moments"][0]["games"]) == ["toy_avoid"]


def test_two_questions_at_the_same_moment_have_a_folder_each(run: Path) -> None:
    one, other = (Question({"games": [game]}, ["a"]) for game in ("krull", "pong"))
    folders = [choose_folder(None, run, question) for question in (one, other, one, other)]
    assert folders[:2] == folders[2:] and len({*folders}) == 2
    for folder, question in zip(folders[:2], (one, other), strict=True):
        assert folder and (folder / "plays.jsonl").exists()
        nothing, other = (Results(folder, question).plays for _ in range(2))
        other.put("krull", 1)
        nothing.drop_empty()  # of the same question, which another command has begun to answer
        assert Results(folder, question).plays.get("krull") == 1
        shutil.rmtree(folder)
        assert choose_folder(folder, None, question) == folder
        Results(folder, question).plays.drop_empty()
        assert not folder.exists()


def test_where_nothing_was_played_nothing_is_left(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(policy, "play_game", CountingRecogniser(0, KeyboardInterrupt()))
    with pytest.raises(SystemExit) as end:
        command.run(lambda: main([str(run), *QUICKLY, "--output", str(tmp_path / "out")]))
    assert end.value.code == 130 and not (tmp_path / "out").exists()
    assert "kept" not in "".join(capsys.readouterr())


def test_mistakes_are_told_in_a_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, run, "--at", "700")
    assert "--at 700" in said and "600, 800, 1000" in said
    assert "600, 800, 1000" in refused(capsys, run, "--at", "yesterday")
    assert "did you mean krull" in refused(capsys, run, "--games", "krul")
    assert "there is no" in refused(capsys, tmp_path / "nowhere")
    assert "holds no snapshots" in refused(capsys, tmp_path)
    assert "--episodes" in refused(capsys, run, "--episodes", "0")
    assert "--emulators" in refused(capsys, run, "--emulators", "0")
    assert "--epsilon" in refused(capsys, run, "--epsilon", "2")
    assert "config.yaml is a file; name a folder" in refused(capsys, run, "--output", run / "config.yaml")
    assert "is one moment" in refused(capsys, run / "snapshots" / f"{600:012d}.pt", "--at", "all")
    assert "--watch shows one moment" in refused(capsys, run, "--at", "all", "--watch")
    assert "--export writes one moment" in refused(capsys, run, "--at", "all", "--export", tmp_path / "one.pt")
    for more in (["--video"], ["--watch"], ["--games", "toy_catch"], ["--output", tmp_path], ["--seed", "4"]):
        assert f"{more[0]}: --export plays nothing" in refused(capsys, run, "--export", tmp_path / "one.pt", *more)
    assert not (tmp_path / "one.pt").exists()
    stray = Path(shutil.copy(run / "snapshots" / f"{600:012d}.pt", tmp_path / "stray.pt"))
    said = refused(capsys, stray)
    assert "config.yaml" in said and "--export" in said


@pytest.mark.parametrize("what", ["garbage", "another file"])
def test_a_file_that_is_no_snapshot_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    folder = tmp_path / "run" / "snapshots"
    folder.mkdir(parents=True)
    (tmp_path / "run" / "config.yaml").write_text((run / "config.yaml").read_text())
    path = folder / f"{600:012d}.pt"
    other = run / "checkpoints" / f"{1000:012d}" / "episodes.pt"
    path.write_bytes(b"no weights" if what == "garbage" else other.read_bytes())
    assert str(path) in refused(capsys, path, *QUICKLY)


def test_nothing_is_computed_from_a_damaged_snapshot(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named; the one before is the latest then, and all are those that are left."""
    copy = Path(shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints", "evaluation*")))
    oldest, middle, newest = (copy / "snapshots" / f"{frames:012d}.pt" for frames in (600, 800, 1000))
    newest.write_bytes(newest.read_bytes()[:-30])
    data = middle.read_bytes()
    third = len(data) // 3
    middle.write_bytes(data[:third] + bytes(third) + data[2 * third :])
    assert f"{newest} is damaged" in refused(capsys, newest, *QUICKLY)
    assert f"{middle} is damaged" in refused(capsys, copy, *QUICKLY, "--at", "800")
    assert main([str(copy), *QUICKLY, "--output", str(tmp_path / "latest")]) == 0
    said = capsys.readouterr().err.splitlines()
    assert [str(path) in line for path, line in zip((newest, middle), said, strict=True)] == [True, True]
    assert main([str(copy), *QUICKLY, "--at", "all", "--output", str(tmp_path / "all")]) == 0
    assert scores(tmp_path / "latest") == scores(tmp_path / "all")
    assert [m["frames"] for m in scores(tmp_path / "all")[0]["moments"]] == [600]
    assert len(capsys.readouterr().err.splitlines()) == 2
    oldest.write_bytes(b"")
    lines = main([str(copy), *QUICKLY]), capsys.readouterr().err.splitlines()
    assert lines[0] == 2 and "none of the 3 snapshots" in lines[1][-1]


@pytest.mark.parametrize("part", ["frames", "label", "network"])
def test_a_snapshot_that_lacks_a_part_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    path = tmp_path / "run" / "snapshots" / f"{600:012d}.pt"
    content = load_file(run / "snapshots" / path.name)
    (content if part in content else content["agent"]).pop(part)
    save_file(path, content)
    shutil.copy(run / "config.yaml", tmp_path / "run")
    assert f"it lacks its part '{part}'" in refused(capsys, path, *QUICKLY)


@pytest.mark.parametrize("name", ["krull", "toy_catch"])
def test_a_film_can_be_played(run: Path, tmp_path: Path, name: str) -> None:
    """One frame for every step of the median episode, in colour where the game has any, and words below."""
    cap = ["--max_episode_frames", "200", "--epsilon", "0.5"]
    output = tmp_path / "out"
    assert main([str(run), "--games", name, "--episodes", "1", *cap, "--video", "--output", str(output)]) == 0
    path = output / "videos" / f"{1000:012d}" / f"{name}.mp4"
    reader = imageio_ffmpeg.read_frames(str(path))
    about = next(reader)
    width, height = about["size"]
    assert (width, height) == ((320, 420 + BAND) if name == "krull" else (168, 168 + BAND))
    films = [np.frombuffer(frame, np.uint8).reshape(height, width, 3).astype(int) for frame in reader]
    length = scores(output)[0]["moments"][0]["games"][name]["lengths"][0] // 4
    assert length >= 25 and abs(len(films) - length) <= 1
    assert any(np.abs(a - films[0]).max() > 60 for a in films)  # something moves
    coloured = max(np.ptp(frame, axis=2).max() for frame in films)
    assert coloured > 60 if name == "krull" else coloured < 30
