"""The trials of a search as runs of train.py on this machine: begun, watched, stopped early, resumed.

Each is a process with an ordinary run directory, and dies with this one. What is known of a trial is in its directory
and in the study, so that any driver can go on where another one has died. Ray has no part in it: which trial is next
depends on the last one's end, and few run at a time.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from configs.build import build_schedule
from sweeps.node import SAVE_SECONDS, Place, launch, note, place
from sweeps.objective import evaluations
from sweeps.search_plan import Search
from sweeps.study import Study, settings_of
from tracking.run_directory import BAD_INPUT, FAILED, FINISHED, STOPPED
from tracking.stop import StopSignal

_STEP_SECONDS = 0.5
_FAILURES = 3  # so many trials in a row that failed are enough: it is not their settings


@dataclass
class _Run:
    """A trial under way. `failures`: how often in a row it has failed by itself, from the checkpoint at `frames`."""

    number: int
    where: Place
    arguments: tuple[str, ...]
    stopping: bool = False
    process: subprocess.Popen[bytes] | None = None
    failures: int = 0
    frames: int = -1

    @property
    def under_way(self) -> bool:
        """Whether a process works on it, this driver's or one that somebody has started by hand."""
        return (self.process is not None and self.process.poll() is None) or self.where.run.busy()

    def start(self) -> None:
        """Begin or resume it."""
        frames = self.where.kept_frames
        self.process = launch(self.where, self.arguments)
        note(self.where.attempts, {"pid": self.process.pid, "frames": frames, "node": ""})

    def stop(self) -> None:
        """Have it save and stop, if it is this driver's."""
        if self.process is not None and not self.stopping:
            self.stopping = True
            self.process.terminate()


def run_search(search: Search, directory: Path, study: Study, watch: Callable[[], None]) -> int:
    """Run what is not finished; train.py's exit codes: FAILED if a trial has failed, STOPPED if a signal of
    `tracking.stop` has had all trials save and stop. `watch` is called about twice a second."""
    driver = _Driver(search, directory, study)
    with StopSignal() as stop, driver.ending():
        while not stop.requested and driver.begin():
            driver.follow()
            with suppress(OSError, ValueError):  # what cannot be shown ends nothing
                watch()
            time.sleep(_STEP_SECONDS)
    if stop.requested and (study.running or len(study.trials) < search.trials):
        return STOPPED
    return FAILED if any(trial.state.name == "FAIL" for trial in study.trials) else FINISHED


class _Driver:
    """Keeps `parallel` trials under way until there are none left."""

    def __init__(self, search: Search, directory: Path, study: Study) -> None:
        self.search = search
        self.directory = directory
        self.study = study
        self.games = len(build_schedule(search.alike).games)
        self.runs: dict[int, _Run] = {}
        self.failures = 0  # trials in a row

    def begin(self) -> bool:
        """Begin trials while there is room, first those that another driver has left; whether any is under way."""
        for number in self.study.running:
            if number not in self.runs and len(self.runs) < self.search.parallel:
                self._add(number)
        if self.failures < _FAILURES:
            while len(self.runs) < self.search.parallel and len(self.study.trials) < self.search.trials:
                self._add(self.study.ask())
        return bool(self.runs)

    def _add(self, number: int) -> None:
        point = settings_of(self.study.trials[number], self.search)
        trial = self.search.trial(number, point)
        where = place(self.directory, trial.name)
        where.log.parent.mkdir(parents=True, exist_ok=True)
        self.runs[number] = _Run(number, where, trial.arguments)

    def follow(self) -> None:
        """Look at every trial under way once: what it has reached, and whether it has ended."""
        total = self.search.alike.frames
        for run in list(self.runs.values()):
            going = run.under_way  # first, so that what an ended run has written is all there
            finished = run.where.run.finished
            found = evaluations(run.where.run.evaluations, self.search.goal, self.games)
            last = [value for frames, value in found if frames >= total]
            if self.study.report(run.number, [value for frames, value in found if frames < total]):
                if not going:
                    self._end(run, self.study.prune)
                    self.failures = 0
                else:
                    run.stop()
            elif going:
                continue
            elif finished and last and last[0] == last[0]:
                self._end(run, lambda number, value=last[0]: self.study.finish(number, value))  # type: ignore[misc]
                self.failures = 0
            elif finished:
                self._fail(run)
            else:
                self._again(run)

    def _end(self, run: _Run, tell: Callable[[int], None]) -> None:
        tell(run.number)
        del self.runs[run.number]

    def _again(self, run: _Run) -> None:
        """Start a run that has not begun or was stopped; one that has failed by itself only so often."""
        code = run.process.poll() if run.process else STOPPED
        if code != STOPPED:
            frames = run.where.kept_frames
            run.failures = run.failures + 1 if frames == run.frames else 1
            run.frames = frames
            if code == BAD_INPUT or run.failures > self.search.retries:
                return self._fail(run)
        run.start()

    def _fail(self, run: _Run) -> None:
        print(f"{run.where.run.path.name}: failed, see {run.where.log}", file=sys.stderr, flush=True)
        self._end(run, self.study.fail)
        self.failures += 1
        if self.failures == _FAILURES:
            print(
                f"{_FAILURES} trials in a row have failed: no more are begun; mend what is wrong, then --resume",
                file=sys.stderr,
                flush=True,
            )

    @contextmanager
    def ending(self) -> Iterator[None]:
        """In the end all trials under way save and stop; one that takes too long is killed, and its last checkpoint
        stands."""
        try:
            yield
        finally:
            processes = [run.process for run in self.runs.values() if run.process and run.process.poll() is None]
            try:
                for process in processes:
                    process.terminate()
                deadline = time.monotonic() + SAVE_SECONDS
                for process in processes:
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(max(0.0, deadline - time.monotonic()))
            finally:
                for process in processes:
                    process.kill()
                    process.wait()
