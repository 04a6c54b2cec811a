"""Launch or resume a run.

    python train.py --config configs/presets/quick.yaml [--run_dir runs/mine] [--learner.n_step 3 ...]
    python train.py --resume runs/mine [--frames N]

Exit codes: 0 finished, 75 stopped and resumable, 1 failed, 2 bad input.
"""

from __future__ import annotations

import math
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from agent.continual import ContinualAgent
from agent.diagnostics import PlasticityMonitor
from agent.task_change import Abandoned as Departing
from configs.build import Parts, build
from configs.checks import ConfigError
from configs.overview import overview
from configs.schema import Config
from envs.episodes import EpisodeReturns
from envs.games import human_normalised
from envs.stream import GameStream
from evaluation import remembered, table
from evaluation.evaluator import evaluate_snapshot, scheduled_evaluation
from evaluation.inference_score import InferenceScore
from evaluation.play import Abandoned, GameResult, clipped_total
from tracking import command, dashboard, hparams, task_log
from tracking.checkpoints import CheckpointError, Checkpoints, NoneIntactError, Stateful
from tracking.files import quoted, write_text
from tracking.metrics import MetricWindow, PhaseTimer
from tracking.progress import Progress
from tracking.run_directory import BAD_INPUT, FAILED, FINISHED, STOPPED, RunDirectory, RunDirectoryError, run_of
from tracking.shortage import shortage
from tracking.snapshots import read_snapshot, snapshot_file, write_snapshot
from tracking.stop import StopSignal
from tracking.tensorboard import TensorBoardWriter
from tracking.writers import CsvWriter, JsonLinesWriter, Writers
from training.background import EvaluationWorker, WorkerFailed
from training.ending import check_reference, final_report
from training.launch import (
    check_compare,
    check_snapshot,
    hyper_parameters,
    open_run,
    plain_dqn_beside,
    read_options,
)
from training.resources import describe, plan, refuse_if_too_large
from training.resume import after_divergence, begin_anew, meta

_EXPLODED = 1000.0  # |Q| beyond this multiple of the largest possible value is no value of a game any more


class Diverged(Exception):
    """Learning broke down: a value is not a number, or has exploded."""


@dataclass
class Milestones:
    """The frames at which the run was last evaluated and saved; and of an evaluation in the background whose results
    are not recorded yet, its frames and whether it is the run's last."""

    evaluated: int = 0
    saved: int = 0
    pending: tuple[int, bool] | None = None

    def state_dict(self) -> dict[str, Any]:
        """All of them; an evaluation only if there is one."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.evaluated, self.saved = state["evaluated"], state["saved"]
        self.pending = state.get("pending")


class Speed:
    """Frames per second of wall-clock time between calls; a clock reading, so no state."""

    def __init__(self, frames: int) -> None:
        self.frames, self.moment = frames, time.perf_counter()

    def __call__(self, frames: int) -> float:
        """The speed since the last call [frames/s]."""
        before, self.frames = self.frames, frames
        start, self.moment = self.moment, time.perf_counter()
        return (frames - before) / (self.moment - start)


def due(period: int, last: int, frames: int) -> bool:
    """Whether a multiple of `period` lies in (last, frames]; never for period 0."""
    return period > 0 and frames // period > last // period


def train(run: RunDirectory, config: Config, init_from: Path | None, stop: StopSignal) -> int:
    """Run the loop until the end or until `stop`; returns FINISHED or STOPPED."""
    parts = build(config)
    stream, agent, memory = parts.stream, parts.agent, parts.memory
    games = stream.schedule.games
    episodes = EpisodeReturns(config.emulators.num_envs)
    window, timer, milestones, watch = MetricWindow(), PhaseTimer(), Milestones(), PlasticityMonitor()
    board = TensorBoardWriter(run.tensorboard)
    writers = Writers([board, JsonLinesWriter(run.metrics)])
    scores = CsvWriter(run.evaluations, table.COLUMNS)
    inference, changes = InferenceScore(), CsvWriter(run.task_changes, task_log.COLUMNS)
    checkpoints, about = Checkpoints(run.checkpoints, keep=config.log.checkpoints_kept), meta(config)
    stateful: dict[str, Stateful] = {
        "stream": stream,
        "agent": agent,
        "memory": memory,
        "consolidation": agent.consolidator,
        "episodes": episodes,
        "window": window,
        "milestones": milestones,
        "watch": watch,
        "writers": writers,
        "scores": scores,
        "inference": inference,
        "changes": changes,
    }
    with stop.at_once():  # the emulators play again what they played, which may take a while
        restored = _restored(checkpoints, stateful)
    if not restored:
        writers.clear()
        scores.clear()
        changes.clear()
        stream.start()
        writers.text(0, "config", run.config.read_text())
        _describe(board, config, games)
        if init_from:
            _begin_with(run, agent, init_from)
        _check_weights(parts)
        checkpoints.save(0, stateful, about)  # so that a resume begins with the same weights, whatever happens
    run.write_status("running", stream.frames, config.frames)
    speed = Speed(stream.frames)

    with Progress(config.frames) as progress, EvaluationWorker(run.config, run.worker_log) as worker, checkpoints:
        progress.event(f"{run.path}: {stream.label} at {stream.frames:,} of {config.frames:,} frames")
        if init_from and config.consolidation.kind != "none":
            progress.event("a snapshot has weights and no anchors: what it has learned is held from its next visits on")
        if milestones.pending:
            _evaluate_again(run, config, milestones.pending, worker)
        recent: list[float] = []
        announced = 0
        while True:
            last = stream.frames >= config.frames
            try:
                evaluating = _evaluation_due(config, milestones.evaluated, stream)
                if milestones.pending and (evaluating or _report_due(config, milestones.pending[0], stream.frames)):
                    evaluated = milestones.pending[0]
                    results = _pending_results(run, config, milestones.pending, worker, stop, progress)
                    _record_evaluation(evaluated, results, writers, scores, changes)
                    milestones.pending = None
                    if evaluated > announced:
                        _announce(evaluated, results, progress)
                if evaluating:
                    _check_weights(parts)  # before anything is played or kept
                if evaluating and config.evaluation.background:
                    _save_snapshot(run, parts, stream.label, inference)
                    milestones.evaluated, milestones.pending = stream.frames, (stream.frames, last)
                    worker.start(snapshot_file(run.snapshots, stream.frames), last)
                    continue  # a last one is waited for at once
                if evaluating:
                    results = scheduled_evaluation(config, parts.agent, last, lambda: stop.requested)
                    milestones.evaluated = stream.frames
                    _record_evaluation(stream.frames, results, writers, scores, changes)
                    _announce(stream.frames, results, progress)
                    _save_snapshot(run, parts, stream.label, inference)
            except Abandoned:
                progress.event("evaluation abandoned; it will be done again on resume")
            stopping = stop.requested
            if last or stopping or due(config.log.checkpoint_period, milestones.saved, stream.frames):
                _check_weights(parts)
                milestones.saved = stream.frames
                checkpoints.begin(stream.frames, stateful, about)
            if last or stopping:
                checkpoints.wait()
            if stopping:
                run.write_status("stopped", stream.frames, config.frames, stop.reason)
                progress.event(f"stopped at {stream.frames:,} frames; go on with: --resume {quoted(run.path)}")
                return STOPPED
            if last:
                break

            now, label, visit, before = stream.now, stream.label, stream.visit, stream.frames
            try:
                with timer.phase("act"):
                    action = agent.act(now, lambda: stop.requested)
            except Departing:
                progress.event(f"leaving task {agent.task} abandoned; it will be done again on resume")
                continue  # to the checkpoint of the moment before
            if inference.record(label, agent.task):
                changes.write(task_log.row(before, label, agent.task, agent.task_source.posterior))
            stream.send(action)  # the emulators work while the agent learns
            with timer.phase("learn"):
                updates = agent.learn()
            with timer.phase("emulate"):
                following = stream.receive()
            with timer.phase("remember"):
                agent.observe(now, action, following)

            for update in updates:
                window.add({f"learning/{name}": value for name, value in update.items()})
            for score, length in episodes.update(following, stream.cut):
                recent = [*recent[-19:], score]
                window.add(_episode_scalars(label, score, length))
            if stream.visit != visit:
                if stream.label != label and stream.frames < config.frames:
                    progress.event(f"{stream.frames:,}: {label} gives way to {stream.label}")
                _save_snapshot(run, parts, label, inference)
                write_text(run.confusion, task_log.confusion_csv(inference.table))
                writers.text(stream.frames, "inference/confusion", task_log.confusion_markdown(inference.table))
                recent = []
            if due(config.log.period, before, stream.frames):
                examined = agent.diagnostics()
                scalars = {
                    **window.pop(),
                    **_state_scalars(parts, games, label),
                    **_inference_scalars(agent, inference),
                    **{f"consolidation/{name}": value for name, value in examined.items()},
                    **timer.pop(),
                }
                scalars["time/frames_per_second"] = speed(stream.frames)
                writers.write(stream.frames, scalars)
                writers.flush()
                _check_values(scalars, config)
                checkpoints.check()
                if warning := watch(agent.task, examined):
                    progress.event(f"{stream.frames:,}: {warning}")
                mean = f"{sum(recent) / len(recent):,.1f}" if recent else "-"
                progress.update(stream.frames, game=label, task=agent.task, score=mean)
                run.write_status("running", stream.frames, config.frames)
                if milestones.pending and milestones.pending[0] > announced and worker.ready():
                    announced = milestones.pending[0]
                    _announce(announced, worker.results(), progress)
            if due(config.log.image_period, before, stream.frames):
                writers.image(stream.frames, f"screen/{label}", now.observation[0, -1])

        board.summary(stream.frames, hparams.end())
        writers.close()
        scores.close()
        changes.close()
        stream.close()
        with stop.at_once():
            for line in final_report(run, config, task_log.confusion_csv(inference.table)):
                progress.event(line)
        run.write_status("finished", stream.frames, config.frames)
    return FINISHED


def _evaluation_due(config: Config, evaluated: int, stream: GameStream) -> bool:
    visit_ended = config.evaluation.at_visit_ends and stream.frames == stream.visit_start
    if stream.frames > evaluated and (visit_ended or stream.frames >= config.frames):
        return True
    return due(config.evaluation.period, evaluated, stream.frames)


def _report_due(config: Config, evaluated: int, frames: int) -> bool:
    """Whether results of the background are to be recorded, a question of frames and not of time."""
    return frames >= min(evaluated + config.evaluation.report_after, config.frames)


def _evaluate_again(run: RunDirectory, config: Config, pending: tuple[int, bool], worker: EvaluationWorker) -> None:
    """Begin anew what a stop cut short."""
    frames, last = pending
    snapshot = snapshot_file(run.snapshots, frames)
    if not snapshot.is_file():
        raise CheckpointError(f"the evaluation at {frames:,} frames is not done and its snapshot {snapshot} is missing")
    if config.evaluation.background:
        worker.start(snapshot, last)


def _pending_results(
    run: RunDirectory,
    config: Config,
    pending: tuple[int, bool],
    worker: EvaluationWorker,
    stop: StopSignal,
    progress: Progress,
) -> list[GameResult]:
    frames, last = pending
    if not config.evaluation.background:  # any more: a resume changed it
        return evaluate_snapshot(config, snapshot_file(run.snapshots, frames), last, lambda: stop.requested)
    if not worker.ready():
        progress.event(f"waiting for the evaluation at {frames:,} frames")
    return worker.results(lambda: stop.requested)


def _announce(frames: int, results: list[GameResult], progress: Progress) -> None:
    shown = ", ".join(f"{r.game} {r.mean:,.1f} ({r.human_normalised:.2f})" for r in results)
    progress.event(f"{frames:,}: evaluation: {shown}")


def _describe(board: TensorBoardWriter, config: Config, games: tuple[str, ...]) -> None:
    """What TensorBoard needs to tell the run's story from its first frame on."""
    pages = dashboard.pages(games, anchors=config.consolidation.kind != "none")
    for summary in (dashboard.layout(pages), *hparams.start(hyper_parameters(config))):
        board.summary(0, summary)


def _record_evaluation(
    frames: int, results: list[GameResult], writers: Writers, scores: CsvWriter, changes: CsvWriter
) -> None:
    for row in table.rows(frames, results):
        scores.write(row)
    found = remembered.scalars(table.evaluations(scores.text()), task_log.changes(changes.text()), frames)
    scalars = {"evaluation/clipped_total": clipped_total([r.human_normalised for r in results])}
    for result in results:
        scalars[f"evaluation/{result.game}/score"] = result.mean
        scalars[f"evaluation/{result.game}/human_normalised"] = result.human_normalised
    writers.write(frames, {**scalars, **{f"evaluation/{name}": value for name, value in found.items()}})


def _begin_with(run: RunDirectory, agent: ContinualAgent, path: Path) -> None:
    """Load the snapshot of another run; what is known of its games' tasks is written down, for evaluate.py."""
    snapshot = read_snapshot(path)
    agent.load_snapshot(snapshot["agent"])
    try:
        known = snapshot["own_tasks"] or task_log.known_tasks(RunDirectory(run_of(path)), snapshot["frames"])
    except (OSError, KeyError, ValueError, TypeError):
        return  # the snapshot is of an older run and lies alone
    run.write_json(run.tasks_before, known)


def _save_snapshot(run: RunDirectory, parts: Parts, label: str, inference: InferenceScore) -> None:
    _check_weights(parts)
    own_tasks = {**task_log.tasks_before(run), **inference.own_tasks()}
    write_snapshot(run.snapshots, parts.stream.frames, label, parts.agent.snapshot(), own_tasks)


def _episode_scalars(game: str, score: float, length: int) -> dict[str, float]:
    return {
        f"score/{game}/return": score,
        f"score/{game}/human_normalised": human_normalised(game, score),
        f"score/{game}/episode_frames": length,
    }


def _state_scalars(parts: Parts, games: tuple[str, ...], label: str) -> dict[str, float]:
    agent, memory = parts.agent, parts.memory
    scalars: dict[str, float] = {
        "task/game": games.index(label),
        "task/number": agent.task,
        "task/count": agent.task_source.num_tasks,
        "task/short_visits": agent.short_visits,
        "learning/updates": agent.updates,
        "replay/gib": memory.nbytes / 2**30,
    }
    for task, frames in agent.task_frames.items():
        scalars[f"exploration/epsilon_task{task}"] = agent.epsilon(frames)
        scalars[f"replay/transitions_task{task}"] = memory.size(task)
    return scalars


def _inference_scalars(agent: ContinualAgent, inference: InferenceScore) -> dict[str, float]:
    scores = inference.scalars(agent.frames_per_step)
    named = {f"inference/{name}": value for name, value in scores.items()}
    return {"task/posterior": agent.task_source.posterior, **named}


def _check_values(scalars: Mapping[str, float], config: Config) -> None:
    c = config.learner
    bounded = c.reward_clip > 0 and c.discount < 1
    limit = _EXPLODED * c.reward_clip / (1 - c.discount) if bounded else math.inf
    for name in ("learning/loss", "learning/q", "learning/q_max"):
        value = scalars.get(name, 0.0)
        if not abs(value) < limit:
            raise Diverged(f"{name} is {value:g}")


def _restored(checkpoints: Checkpoints, stateful: Mapping[str, Stateful]) -> bool:
    try:
        return checkpoints.restore_latest(stateful) is not None
    except ValueError as error:  # a part's own sentence, such as another ale-py that plays differently
        raise CheckpointError(str(error)) from error


def _check_weights(parts: Parts) -> None:
    for name, weight in parts.agent.learner.network.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise Diverged(f"the network's {name} is not finite")


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    if not given:
        print(overview())
        return BAD_INPUT
    try:
        options, config = read_options(given)
        notes = check_reference(config)
        if options.init_from:
            check_snapshot(Path(options.init_from), config)
        if options.resume and options.compare:
            check_compare(RunDirectory(options.resume), config)
        estimate = plan(config, measure=bool(options.dry_run))
        if options.dry_run:
            print(describe(config, estimate))
        refuse_if_too_large(estimate, Path(options.run_dir or "."), resumed=options.resume is not None)
        if options.dry_run:
            return FINISHED
        run, config, beginning = open_run(options, config)
    except (ConfigError, RunDirectoryError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return BAD_INPUT
    for note in [*notes, *beginning.notes]:
        print(f"note: {note}", file=sys.stderr)
    with run, StopSignal() as stop:
        try:
            code = train(run, config, beginning.init_from, stop)
            return _compare(run, config) if code == FINISHED and options.compare else code
        except KeyboardInterrupt:  # a second Ctrl-C, or any request while there was nothing to save
            run.write_status("stopped", run.frames, config.frames, f"{stop.reason}, at once")
            print(
                f"stopped at once; what came after the last checkpoint is done again by: --resume {quoted(run.path)}",
                file=sys.stderr,
            )
            return STOPPED
        except BaseException as error:
            message = _failure(error, run, config)
            _report_failure(run, config, message or f"an unexpected error: {error!r}")
            if message is None:
                raise
            print(f"train.py: {message}", file=sys.stderr)
            return FAILED


def _compare(run: RunDirectory, config: Config) -> int:
    """Run the same stream with a plain DQN, unless that is done, and tell the run's story beside it."""
    directory = run.path / "plain_dqn"
    code = main(plain_dqn_beside(run, config))
    if code == FINISHED:
        reference = replace(config.evaluation, reference=str(directory))
        for line in final_report(run, replace(config, evaluation=reference)):
            print(line)
    return code


def _failure(error: BaseException, run: RunDirectory, config: Config) -> str | None:
    """A sentence for what can happen; None for what is the program's own fault."""
    told = str(error) if isinstance(error, (Diverged, CheckpointError, WorkerFailed)) else shortage(error)
    if told is None:
        return None
    traceback.clear_frames(error.__traceback__)  # and with them files and memory, which the report may need
    if isinstance(error, NoneIntactError):
        return f"{told}; {begin_anew(run)}"
    kept = Checkpoints(run.checkpoints).available()
    resume = (
        f"the last good checkpoint is at {kept[-1]:,} frames (--resume {quoted(run.path)})"
        if kept
        else "no checkpoint was written yet"
    )
    if isinstance(error, Diverged):
        return f"learning diverged: {told}; {resume}; a resume would repeat it, so {after_divergence(run, config)}"
    return f"{told}; {resume}"


def _report_failure(run: RunDirectory, config: Config, message: str) -> None:
    try:
        run.write_status("failed", run.frames, config.frames, message)
    except OSError:
        print("train.py: the status could not be written either", file=sys.stderr)


if __name__ == "__main__":
    command.run(main)
