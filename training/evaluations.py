"""The evaluations that a run makes: when, where and with what of it recorded."""

from __future__ import annotations

from collections.abc import Sequence

from configs.build import Parts
from configs.schema import Config
from evaluation.evaluator import evaluate_snapshot, scheduled_evaluation
from evaluation.play import Abandoned, GameResult
from tracking.progress import Progress
from tracking.stop import StopSignal
from training.background import EvaluationWorker
from training.failures import check_weights
from training.logs import Logs
from training.milestones import Milestones, due
from training.snapshots import Snapshots


class Evaluations:
    """Plays every game every `evaluation.period` frames, at the run's end and, if asked to, at its start and at the
    ends of visits.

    An evaluation is made by the run itself, which waits for it, or in the background. Then its results are *pending*:
    they are recorded `evaluation.report_after` frames later, or before the next evaluation, or at the run's end. That
    is a question of frames and not of time, so that the files do not depend on the worker's speed; only the console
    tells as soon as they are there. What was made and what is pending are `milestones`, which a checkpoint holds.

    Each evaluation leaves a snapshot. One that a stop cuts short is done again on resume.
    """

    def __init__(
        self,
        config: Config,
        parts: Parts,
        milestones: Milestones,
        snapshots: Snapshots,
        logs: Logs,
        progress: Progress,
        worker: EvaluationWorker,
        stop: StopSignal,
    ) -> None:
        self.config = config
        self.parts = parts
        self.milestones = milestones
        self.snapshots = snapshots
        self.logs = logs
        self.progress = progress
        self.worker = worker
        self.stop = stop
        self._announced = -1

    def resume(self) -> None:
        """Begin anew what was pending when the run ended. If its snapshot is lost, the weights are taken from the run
        if it has not gone on since; else the evaluation is left out, and the console told so."""
        if self.milestones.pending is None:
            return
        frames, last = self.milestones.pending
        if problem := self.snapshots.problem(frames):
            if frames != self.parts.stream.frames:
                self.progress.event(f"{problem}; the evaluation at {frames:,} frames is left out")
                self.milestones.pending = None
                return
            self.snapshots.save(self.parts.stream.label)
        if self.config.evaluation.background:
            self.worker.start(self.snapshots.file(frames), last)

    def due(self) -> bool:
        """Whether there is something to do at the present frame: to evaluate, or to record what is pending."""
        return self._evaluation_due() or self._record_due()

    def make(self) -> None:
        """Do what is due; given up soon after the run is asked to stop."""
        evaluating = self._evaluation_due()
        try:
            if self.milestones.pending and (evaluating or self._record_due()):
                self._record_pending()
            if evaluating:
                check_weights(self.parts.agent.learner.network)  # before anything is played or kept
                self._begin() if self.config.evaluation.background else self._evaluate()
            if self._record_due():  # the run's last evaluation is waited for at once
                self._record_pending()
        except Abandoned:
            self.progress.event("evaluation abandoned; it will be done again on resume")

    def announce(self) -> None:
        """Tell the console of results that are there but not to be recorded yet, once."""
        pending = self.milestones.pending
        if pending and pending[0] > self._announced and self.worker.ready():
            self._tell(pending[0], self.worker.results())

    def _evaluation_due(self) -> bool:
        e, frames, evaluated = self.config.evaluation, self.parts.stream.frames, self.milestones.evaluated
        visit_ended = e.at_visit_ends and frames == self.parts.stream.visit_start
        return (
            evaluated < 0 or (frames > evaluated and (visit_ended or self._last())) or due(e.period, evaluated, frames)
        )

    def _record_due(self) -> bool:
        if self.milestones.pending is None:
            return False
        moment = self.milestones.pending[0] + self.config.evaluation.report_after
        return self.parts.stream.frames >= min(moment, self.config.frames)

    def _last(self) -> bool:
        return self.parts.stream.frames >= self.config.frames

    def _evaluate(self) -> None:
        frames = self.parts.stream.frames
        results = scheduled_evaluation(self.config, self.parts.agent, self._last(), lambda: self.stop.requested)
        self.milestones.evaluated = frames
        self.logs.evaluation(frames, results)
        self._tell(frames, results)
        self.snapshots.save(self.parts.stream.label)

    def _begin(self) -> None:
        frames, last = self.parts.stream.frames, self._last()
        snapshot = self.snapshots.save(self.parts.stream.label)
        self.milestones.evaluated, self.milestones.pending = frames, (frames, last)
        self.worker.start(snapshot, last)

    def _record_pending(self) -> None:
        assert self.milestones.pending is not None
        frames, last = self.milestones.pending
        results = self._pending_results(frames, last)
        self.logs.evaluation(frames, results)
        self.milestones.pending = None
        if frames > self._announced:
            self._tell(frames, results)

    def _pending_results(self, frames: int, last: bool) -> list[GameResult]:
        if not self.config.evaluation.background:  # any more: a resume changed it
            return evaluate_snapshot(self.config, self.snapshots.file(frames), last, lambda: self.stop.requested)
        if not self.worker.ready():
            self.progress.event(f"waiting for the evaluation at {frames:,} frames")
        return self.worker.results(lambda: self.stop.requested)

    def _tell(self, frames: int, results: Sequence[GameResult]) -> None:
        shown = ", ".join(f"{r.game} {r.mean:,.1f} ({r.human_normalised:.2f})" for r in results)
        self.progress.event(f"{frames:,}: evaluation: {shown}")
        self._announced = frames
