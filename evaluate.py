"""Play any kept moment of a run on every game, without learning: tables, files, videos.

    python evaluate.py RUN_OR_SNAPSHOT [--games krull,boxing] [--at FRAMES|all] [--episodes 30] [--video]
                       [--task_source inferred|true]
    python evaluate.py RUN_OR_SNAPSHOT --watch [--games krull]      in the terminal

Needs neither the replay nor the run's process: it reads the weights-only snapshots that a run keeps at every
switch and evaluation, also while the run goes on. The same seed gives the same numbers. Every game is kept as soon as
it is played, in the folder of the results: the same command goes on after an interruption.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from agent.continual import ContinualAgent
from configs.build import build_schedule
from configs.ranges import argument
from configs.schema import Config
from envs.games import game as find_game
from evaluation import kept, table
from evaluation.evaluator import evaluate_games, load_agent
from evaluation.kept import Kept
from evaluation.play import GameResult
from evaluation.plots import save
from evaluation.recognition import AgentTask, InferredTask, OracleTask, Recognition
from evaluation.score_figure import draw_scores
from evaluation.story import Records
from evaluation.video import Show, film, watch
from tracking import command
from tracking.checkpoints import CheckpointError
from tracking.files import numbered, write_text
from tracking.run_directory import BAD_INPUT, RunDirectory, run_of
from tracking.snapshots import intact_snapshots, kept_snapshots, newest_intact
from tracking.tables import console, terminal_width
from tracking.task_log import known_tasks, read_changes
from training.launch import load_run

_PLAYS = "plays.jsonl"  # in the folder of the results: every game as it was played

Moments = dict[int, list[dict[str, Any]]]
"""{frames: rows of its games}."""


def choose_snapshots(path: Path, at: str) -> tuple[Path, list[Path]]:
    """The run directory and the snapshots that PATH and --at name; of the latest, or of all, those that are intact, the
    others being named on stderr. ValueError with one sentence if there are none."""
    if path.is_file():
        if at != "latest":
            raise ValueError(f"--at {at}: {path} is one moment; give the run's directory")
        return run_of(path), [path]
    available = kept_snapshots(path / "snapshots")
    if not available:
        raise ValueError(f"{path} holds no snapshots; give a run directory or a file of its snapshots folder")
    if at in ("all", "latest"):
        newest = newest_intact(path / "snapshots", _warn) if at == "latest" else None
        found = intact_snapshots(available, _warn) if at == "all" else [newest] if newest else []
        if not found:
            raise ValueError(f"none of the {len(available)} snapshots in {path} is intact")
        return path, found
    moments = {int(p.stem): p for p in available}
    digits = at.replace("_", "")
    if not digits.isdecimal() or int(digits) not in moments:
        kept = ", ".join(f"{m}" for m in moments)
        raise ValueError(f"--at {at}: this run kept snapshots at frames {kept}; give one of them, latest or all")
    return path, [moments[int(digits)]]


def choose_recognition(
    tasks: str | None, config: Config, agent: ContinualAgent, snapshot: Mapping[str, Any], run_dir: Path
) -> Recognition:
    """What --task_source means for the agent of a snapshot; None: as the run was configured. In which tasks the games
    were played the snapshot says, or of an older run its other files. ValueError with one sentence for what the run
    cannot do or does not tell."""
    if config.task_source != "inferred":
        if tasks == "inferred":
            raise ValueError(
                f"--task_source inferred: this run (task_source: {config.task_source}) has not learned to tell games "
                "apart"
            )
        return AgentTask(agent.task_source.recogniser)
    own, run = snapshot["own_tasks"], RunDirectory(run_dir)
    if not own:
        with suppress(OSError, KeyError, ValueError, TypeError):
            own = known_tasks(run, snapshot["frames"])
    if not own:
        by = f"by {snapshot['frames']:,} frames"
        raise ValueError(
            f"neither the snapshot nor {run.task_changes} tells which task this run gave to each game {by}"
        )
    return OracleTask(own) if tasks == "true" else InferredTask(agent.task_source.recogniser, own)


def choose_output(named: Path | None, run_dir: Path, settings: dict[str, Any], weights: Sequence[str]) -> Path:
    """The folder for the results of these settings and snapshots (their digests): the one named or the run's
    evaluation, evaluation-2, ..., whichever holds none of others."""
    if named is not None:
        if not _free_for(named, settings, weights):
            raise ValueError(f"--output: {named} holds the results of other settings or weights; name another folder")
        return named
    return next(folder for folder in numbered(run_dir / "evaluation") if _free_for(folder, settings, weights))


def _warn(line: str) -> None:
    print(f"warning: {line}", file=sys.stderr)


def _free_for(folder: Path, settings: dict[str, Any], weights: Sequence[str]) -> bool:
    plays = folder / _PLAYS
    if plays.exists():
        return kept.is_free(plays, _question(settings, weights))
    try:
        return bool(json.loads((folder / "scores.json").read_text())["settings"] == settings)
    except FileNotFoundError:
        return True
    except (OSError, ValueError, KeyError):
        return False


def _question(settings: dict[str, Any], weights: Sequence[str]) -> dict[str, Any]:
    return {"settings": settings, "weights": list(weights)}


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    if options.watch and not sys.stdout.isatty():
        print("note: there is no terminal to watch it in; films are written instead", file=sys.stderr)
        options.watch, options.video = False, True
    options.episodes = options.episodes or (1 if options.watch else 10)
    try:
        return _run(options)
    except (ValueError, FileNotFoundError, CheckpointError) as error:
        print(f"evaluate.py: {error}", file=sys.stderr)
        return BAD_INPUT


def _run(options: argparse.Namespace) -> int:
    run_dir, snapshots = choose_snapshots(options.path, options.at)
    if not (run_dir / "config.yaml").is_file():
        raise ValueError(f"{run_dir} has no config.yaml; a snapshot belongs in the snapshots folder of its run")
    config = load_run(RunDirectory(run_dir))
    settings = _settings(options, config, snapshots)
    weights = [sha256(path.read_bytes()).hexdigest() for path in snapshots]
    output = choose_output(options.output, run_dir, settings, weights)
    command.check_writable(output)
    plays = Kept(output / _PLAYS, _question(settings, weights))
    moments = [_Moment(options, config, run_dir, path, output) for path in snapshots]
    if options.watch:
        return _watch(moments[-1], settings["games"])
    try:
        reports, rows = _play(moments, settings["games"], plays, options.video)
    except KeyboardInterrupt:
        print(f"evaluate.py: interrupted; the games played are kept, and the same command goes on: {plays.path}")
        return command.INTERRUPTED
    every = [row for lines in rows.values() for row in lines]
    output.mkdir(parents=True, exist_ok=True)
    write_text(output / "scores.json", json.dumps({"settings": settings, "moments": reports}, indent=1))
    write_text(output / "scores.csv", _csv(every))
    written = [output / "scores.json", output / "scores.csv"]
    if len(rows) > 1:
        written.append(output / "scores.png")
        save(draw_scores([Records("this run", every, _changes(run_dir))]), written[-1])
    if options.video:
        written.append(output / "videos")
    _show(rows)
    print(f"written: {', '.join(map(str, written))}")
    return 0


def _settings(options: argparse.Namespace, config: Config, snapshots: Sequence[Path]) -> dict[str, Any]:
    """What the scores depend on beside the weights; ValueError for a game that there is not."""
    games = options.games.split(",") if options.games else list(build_schedule(config).games)
    settings = {k: getattr(options, k) for k in ("episodes", "emulators", "epsilon", "max_episode_frames", "seed")}
    settings["task_source"] = options.task_source or config.task_source
    settings["games"] = list(dict.fromkeys(find_game(name.strip()).name for name in games))
    settings["moments"] = [path.stem for path in snapshots]
    return settings


def _play(
    moments: Sequence[_Moment], games: Sequence[str], plays: Kept, video: bool
) -> tuple[list[dict[str, Any]], Moments]:
    """Every game at every moment, each kept as soon as it is played; all as reports and as rows. What is kept already
    is not played again, unless it is to be filmed and was not."""
    reports, lines, before = [], {}, 0
    pairs = [(moment, game) for moment in moments for game in games]
    answers: dict[str, Any] = {}
    shown = {"console": Console(stderr=True), "transient": True, "disable": not sys.stderr.isatty()}
    for moment, game in track(pairs, "playing", **shown):  # type: ignore[arg-type]
        name = f"{moment.path.stem}/{game}"
        answer = plays.get(name)
        before += answer is not None and answer["filmed"] >= video
        if answer is None or answer["filmed"] < video:
            answer = {**moment.play(game, moment.film()), "filmed": video}
            plays.put(name, answer)
        answers[name] = answer
    for moment in moments:
        played = [answers[f"{moment.path.stem}/{game}"] for game in games]
        frames, results = played[0]["frames"], [GameResult.of(answer["result"]) for answer in played]
        recognised = [answer["recognition"] for answer in played]
        rows = [{**row, **more} for row, more in zip(table.rows(frames, results), recognised, strict=True)]
        reports.append(table.report(frames, rows, results))
        lines[frames] = rows
    if before:
        print(f"of {len(moments) * len(games)} games {before} had been played before: {plays.path}")
    return reports, lines


def _watch(moment: _Moment, games: Sequence[str]) -> int:
    """Every game in the terminal, until Ctrl-C; nothing is written."""
    try:
        for game in games:
            result = GameResult.of(moment.play(game, watch(sys.stdout))["result"])
            print(f"{game}: {result.mean:,.1f} (human-normalised {result.human_normalised:.2f})")
    except KeyboardInterrupt:
        return command.INTERRUPTED
    return 0


def _show(moments: Moments) -> None:
    """One table: of the games, or of the games and moments."""
    width = terminal_width(sys.stdout)
    one = table.console_table(*next(iter(moments.items())), width) if len(moments) == 1 else None
    console(width).print(one or table.moments_table(moments, width))


def _changes(run_dir: Path) -> list[dict[str, Any]]:
    """Of task, as far as the run's files tell them."""
    try:
        return read_changes(RunDirectory(run_dir).task_changes)
    except (OSError, KeyError, ValueError, TypeError):
        return []


class _Moment:
    """A snapshot, loaded when the first game of it is played."""

    def __init__(self, options: argparse.Namespace, config: Config, run_dir: Path, path: Path, output: Path) -> None:
        self.path = path
        self._options, self._config, self._run_dir, self._output = options, config, run_dir, output

    @cached_property
    def _agent(self) -> tuple[int, ContinualAgent, Recognition]:
        """With the moment's frames."""
        agent, snapshot = load_agent(self._config, self.path)
        recognition = choose_recognition(self._options.task_source, self._config, agent, snapshot, self._run_dir)
        return snapshot["frames"], agent, recognition

    def film(self) -> Show | None:
        """Films into the folder of the results, if they are asked for."""
        return film(self._output / "videos" / self.path.stem) if self._options.video else None

    def play(self, game: str, show: Show | None = None) -> dict[str, Any]:
        """The game's result and how it was recognised, as JSON can hold them; `show` is given its median episode."""
        frames, agent, recognition = self._agent
        o = self._options
        (result,) = evaluate_games(
            self._config,
            agent,
            [game],
            episodes=o.episodes,
            emulators=o.emulators,
            epsilon=o.epsilon,
            max_episode_frames=o.max_episode_frames,
            seed=o.seed,
            recogniser=recognition.recogniser,
            show=show,
        )
        return {"frames": frames, "result": asdict(result), "recognition": recognition.report(game)}


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _parser() -> argparse.ArgumentParser:
    parser = command.Parser(prog="evaluate.py", description=__doc__.split("\n")[0])
    parser.add_argument("path", type=Path, help="a run directory, or a file of its snapshots folder")
    parser.add_argument("--games", help="comma-separated ROM ids (default: every game of the run's schedule)")
    parser.add_argument("--at", default="latest", help="a kept moment in frames, latest, or all (default: latest)")
    parser.add_argument(
        "--episodes", type=argument("evaluation.episodes"), help="episodes per game (default: 10; 1 with --watch)"
    )
    parser.add_argument(
        "--emulators", type=argument("evaluation.emulators"), default=10, help="emulators in parallel (default: 10)"
    )
    parser.add_argument(
        "--epsilon", type=argument("evaluation.epsilon"), default=0.01, help="exploration while playing (default: 0.01)"
    )
    parser.add_argument(
        "--max_episode_frames",
        type=argument("evaluation.max_episode_frames"),
        default=27_000,
        help="an episode is cut off after this many frames (default: 27,000 = 7.5 minutes; the full game: 108,000)",
    )
    parser.add_argument(
        "--seed", type=argument("seed"), default=1, help="seed of emulators and exploration (default: 1)"
    )
    parser.add_argument(
        "--task_source",
        choices=("inferred", "true"),
        help="inferred: the agent recognises each game, and the table tells how often; true: each game is played in "
        "the task that the run gave it most often, so that what it lacks was forgotten (default: as the run was "
        "configured)",
    )
    parser.add_argument("--video", action="store_true", help="write an mp4 of the median episode of each game")
    parser.add_argument(
        "--watch",
        action="store_true",
        help="show it in the terminal, and write nothing; films where there is no terminal",
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="folder for the results (default: RUN/evaluation, or if that holds others RUN/evaluation-2, ...)",
    )
    return parser


if __name__ == "__main__":
    command.run(main)
