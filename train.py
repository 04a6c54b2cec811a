"""Launch or resume a run.

    python train.py                                     lists the presets; --help lists the options
    python train.py --config quick [--run_dir runs/mine] [--learner.n_step 3 ...]
    python train.py --resume runs/mine [--frames N]

Exit codes: 0 finished, 75 stopped and resumable, 1 failed, 2 bad input.
"""

from __future__ import annotations

import sys

from tracking import command
from training.options import answer, read_options

if __name__ == "__main__":  # help, the list of presets and mistakes need nothing of what is imported below
    command.answer(lambda: answer(sys.argv[1:]))

from pathlib import Path

from configs.build import build
from configs.checks import ConfigError
from configs.choices import idle_settings
from configs.schema import Config
from tracking.files import quoted
from tracking.metrics import PhaseTimer
from tracking.progress import Progress
from tracking.run_directory import BAD_INPUT, FAILED, FINISHED, STOPPED, RunDirectory, RunDirectoryError
from tracking.stop import StopSignal
from tracking.task_log import confusion_csv
from training.background import EvaluationWorker
from training.ending import check_reference, final_report
from training.evaluations import Evaluations
from training.failures import check_values, failure, report_failure
from training.interact import interact
from training.launch import check_snapshot, open_run
from training.logs import check_writers
from training.milestones import due
from training.resources import describe, plan, refuse_if_too_large
from training.scalars import Speed
from training.snapshots import Snapshots
from training.state import RunState


def train(run: RunDirectory, config: Config, init_from: Path | None, stop: StopSignal) -> int:
    """Begin the run or take it up, and play until its end or until `stop`; returns FINISHED or STOPPED."""
    state = RunState(run, config, build(config))
    with stop.at_once():
        restored = state.restore()
    if not restored:
        state.begin(init_from)
    stream = state.parts.stream
    run.write_status("running", stream.frames, config.frames)
    with (
        Progress(config.frames) as progress,
        EvaluationWorker(run.config, run.worker_log) as worker,
        state.checkpoints as checkpoints,
    ):
        progress.event(f"{run.path}: {stream.label} at {stream.frames:,} of {config.frames:,} frames")
        if restored and stream.frames >= config.frames:
            progress.event("this run has finished; its report is written anew, and --frames N would take it further")
        if init_from and (config.consolidation.kind != "none" or config.consolidation.recall_states):
            progress.event("a snapshot has weights and no anchors: what it has learned is held from its next visits on")
        _play(state, progress, worker, stop)
        progress.arrive(stream.frames)
        state.save()
        checkpoints.wait()
        if stop.requested:
            run.write_status("stopped", stream.frames, config.frames, stop.reason)
            progress.event(f"stopped at {stream.frames:,} frames; go on with: --resume {quoted(run.path)}")
            return STOPPED
        state.logs.end(stream.frames)
        stream.close()
        with stop.at_once():
            for line in final_report(run, config, confusion_csv(state.inference.table), progress.width):
                progress.event(line)
        run.write_status("finished", stream.frames, config.frames)
    return FINISHED


def _play(state: RunState, progress: Progress, worker: EvaluationWorker, stop: StopSignal) -> None:
    """The loop: the agent plays and learns; what becomes of it is logged, evaluated and saved."""
    config, stream, agent = state.config, state.parts.stream, state.parts.agent
    scalars, logs, inference = state.scalars, state.logs, state.inference
    snapshots = Snapshots(state.run, state.parts, inference)
    evaluations = Evaluations(config, state.parts, state.milestones, snapshots, logs, progress, worker, stop)
    timer, speed = PhaseTimer(), Speed(stream.frames, config.frames)

    def ended() -> bool:
        return stop.requested or stream.frames >= config.frames

    evaluations.resume()
    if evaluations.due():  # at the run's start, or one that a stop cut short
        evaluations.make()

    for step in interact(stream, agent, timer, ended):
        scalars.add(step)
        if inference.record(step.label, step.task):
            logs.task_changed(step.before, step.label, step.task, agent.task_source.posterior)
        if step.visit_ended:
            if stream.label != step.label and step.frames < config.frames:
                progress.event(f"{step.frames:,}: {step.label} gives way to {stream.label}")
            snapshots.save()
            logs.confusion(step.frames, inference.table)
        if due(config.log.period, step.before, step.frames):
            diagnostics = agent.diagnostics()
            values = scalars.pop(step.label, diagnostics)
            logs.write(step.frames, {**values, **timer.pop(), **speed.scalars(step.frames)})
            check_values(values, config)
            state.checkpoints.check()
            if warning := state.watch(step.task, diagnostics):
                progress.event(f"{step.frames:,}: {warning}")
            progress.update(step.frames, game=step.label, task=step.task, score=scalars.recent_mean)
            state.run.write_status("running", step.frames, config.frames)
            evaluations.announce()
        if due(config.log.image_period, step.before, step.frames):
            logs.image(step.frames, f"screen/{step.label}", agent.screen(step.now.observation[0, -1]))
        if evaluations.due():
            evaluations.make()
        if due(config.log.checkpoint_period, step.before, step.frames) and not ended():
            state.save()

    if agent.change:
        progress.event(f"leaving task {agent.task} abandoned; it will be done again on resume")


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    if (code := answer(given)) is not None:
        return code
    try:
        options, config = read_options(given)
        check_writers(config)
        notes = [*check_reference(config), *idle_settings(config)]
        if options.init_from:
            check_snapshot(Path(options.init_from), config)
        estimate = plan(config, measure=bool(options.dry_run))
        if options.dry_run:
            print(describe(config, estimate))
        refuse_if_too_large(estimate, Path(options.run_dir or "."), resumed=options.resume is not None)
        if options.dry_run:
            for note in notes:
                print(f"note: {note}", file=sys.stderr)
            return FINISHED
        run, config, beginning = open_run(options, config)
    except (ConfigError, RunDirectoryError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return BAD_INPUT
    for note in [*notes, *beginning.notes]:
        print(f"note: {note}", file=sys.stderr)
    with run, StopSignal() as stop:
        try:
            return train(run, config, beginning.init_from, stop)
        except KeyboardInterrupt:  # a second Ctrl-C, or any request while there was nothing to save
            run.write_status("stopped", run.frames, config.frames, f"{stop.reason}, at once")
            print(
                f"stopped at once; what came after the last checkpoint is done again by: --resume {quoted(run.path)}",
                file=sys.stderr,
            )
            return STOPPED
        except BaseException as error:
            message = failure(error, run, config)
            report_failure(run, config, message or f"an unexpected error: {error!r}")
            if message is None:
                raise
            print(f"train.py: {message}", file=sys.stderr)
            return FAILED


if __name__ == "__main__":
    command.run(main)
