"""The evaluations that a run makes: when, where and with what of it recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from configs.build import Parts
from configs.schema import Config
from evaluation.evaluator import evaluate_snapshot, scheduled_evaluation
from evaluation.play import Abandoned, GameResult
from tracking.progress import Progress
from tracking.stop import StopSignal
from training.background import EvaluationWorker
from training.failures import check_weights
from training.logs import Logs
from training.milestones import Milestones, Request, due
from training.snapshots import Snapshots


class Evaluations:
    """Plays every game every `evaluation.period` frames, at the run's end and, if asked to, at its start; at the ends
    of visits every game, the game just left, or none. Where both fall on one moment, every game is played.

    An evaluation is made by the run itself, which waits for it, or in the background. Then its results are *pending*:
    they are recorded `evaluation.report_after` frames later, or before the next evaluation, or at the run's end. That
    is a question of frames and not of time, so that the files do not depend on the worker's speed; only the console
    tells as soon as they are there. What was made and what is pending are `milestones`, which a checkpoint holds.

    Each evaluation leaves a snapshot, as the end of a visit does in any case. One that a stop cuts short is done again
    on resume.
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
        pending = self.milestones.pending
        if pending is None:
            return
        if problem := self.snapshots.problem(pending.frames):
            if pending.frames != self.parts.stream.frames:
                self.progress.event(f"{problem}; the evaluation at {pending.frames:,} frames is left out")
                self.milestones.pending = None
                return
            self.snapshots.save()
        if self.config.evaluation.background:
            self.worker.start(self.snapshots.file(pending.frames), pending.last, pending.game)

    def due(self) -> bool:
        """Whether there is something to do at the present frame: to evaluate, or to record what is pending."""
        return self._request() is not None or self._record_due()

    def make(self) -> None:
        """Do what is due; given up soon after the run is asked to stop."""
        request = self._request()
        try:
            if self.milestones.pending and (request or self._record_due()):
                self._record_pending()
            if request:
                check_weights(self.parts.agent.learner.network)  # before anything is played or kept
                self._begin(request) if self.config.evaluation.background else self._evaluate(request)
            if self._record_due():  # the run's last evaluation is waited for at once
                self._record_pending()
        except Abandoned:
            self.progress.event("evaluation abandoned; it will be done again on resume")

    def announce(self) -> None:
        """Tell the console of results that are there but not to be recorded yet, once."""
        pending = self.milestones.pending
        if pending and pending.frames > self._announced and self.worker.ready():
            self._tell(pending, self.worker.results())

    def _request(self) -> Request | None:
        """The evaluation that is due at the present frame, if there is one."""
        e, stream, evaluated = self.config.evaluation, self.parts.stream, self.milestones.evaluated
        if stream.frames <= evaluated:
            return None
        visit_ended = stream.frames == stream.visit_start
        if (
            evaluated < 0
            or self._last()
            or due(e.period, evaluated, stream.frames)
            or (visit_ended and e.at_visit_ends == "all")
        ):
            return Request(stream.frames, self._last())
        return Request(stream.frames, False, stream.left) if visit_ended and e.at_visit_ends == "left" else None

    def _record_due(self) -> bool:
        if self.milestones.pending is None:
            return False
        moment = self.milestones.pending.frames + self.config.evaluation.report_after
        return self.parts.stream.frames >= min(moment, self.config.frames)

    def _last(self) -> bool:
        return self.parts.stream.frames >= self.config.frames

    def _evaluate(self, request: Request) -> None:
        results = self._play(request, lambda: self.stop.requested)
        self.milestones.evaluated = request.frames
        self.logs.evaluation(request.frames, results)
        self._tell(request, results)
        if not self.config.learner.average_rate:
            self.snapshots.save()

    def _play(self, request: Request, stopped: Callable[[], bool]) -> list[GameResult]:
        if self.config.learner.average_rate:  # what plays is in snapshots only
            snapshot = self.snapshots.save()
            return evaluate_snapshot(self.config, snapshot, request.last, request.game, stopped)
        return scheduled_evaluation(self.config, self.parts.agent, request.last, request.game, stopped)

    def _begin(self, request: Request) -> None:
        snapshot = self.snapshots.save()
        self.milestones.evaluated, self.milestones.pending = request.frames, request
        self.worker.start(snapshot, request.last, request.game)

    def _record_pending(self) -> None:
        pending = self.milestones.pending
        assert pending is not None
        results = self._pending_results(pending)
        self.logs.evaluation(pending.frames, results)
        self.milestones.pending = None
        if pending.frames > self._announced:
            self._tell(pending, results)

    def _pending_results(self, pending: Request) -> list[GameResult]:
        if not self.config.evaluation.background:  # any more: a resume changed it
            snapshot = self.snapshots.file(pending.frames)
            return evaluate_snapshot(self.config, snapshot, pending.last, pending.game, lambda: self.stop.requested)
        if not self.worker.ready():
            self.progress.event(f"waiting for the evaluation at {pending.frames:,} frames")
        return self.worker.results(lambda: self.stop.requested)

    def _tell(self, request: Request, results: Sequence[GameResult]) -> None:
        shown = ", ".join(f"{r.game} {r.mean:,.1f} ({r.human_normalised:.2f})" for r in results)
        self.progress.event(f"{request.frames:,}: evaluation{' on leaving' if request.game else ''}: {shown}")
        self._announced = request.frames
