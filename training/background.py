"""Evaluations in a process of their own, the worker, while training goes on."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from evaluation.play import Abandoned, GameResult
from tracking.stop import STOPPING

_ROOT = Path(__file__).resolve().parents[1]
_LOOK_MS = 100  # how often a wait looks whether the run was asked to stop


class WorkerFailed(Exception):
    """Why the worker will not answer, in a sentence."""


class EvaluationWorker:
    """Plays snapshots, one at a time, in a process that the first of them starts (see `training.worker`).

    config  the run's config.yaml, which says what is played
    log     a file for what the worker prints: warnings, and the traceback of a crash

    The worker ends when its standard input does, hence with this process, however that ends. It is deaf to the signals
    that ask to stop, which may reach all processes of a run at once, and holds nothing that must be saved, so `close`
    kills it.
    """

    def __init__(self, config: Path, log: Path) -> None:
        self.config, self.log = config, log
        self._process: subprocess.Popen[bytes] | None = None
        self._reply = bytearray()

    def start(self, snapshot: Path, last: bool, game: str | None) -> None:
        """Begin to play `snapshot`, with the episodes of the run's end if it is the `last`; one game, or None: all.
        Returns at once."""
        process = self._process = self._process or self._launched()
        self._reply.clear()
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended; `ready` says why
            request = {"snapshot": str(snapshot), "last": last, "game": game}
            process.stdin.write(json.dumps(request).encode() + b"\n")

    def ready(self, wait_ms: int = 0) -> bool:
        """Whether the results are there, after `wait_ms` at most; False if nothing was started. WorkerFailed if the
        worker has ended without them."""
        if self._process is None:
            return False
        assert self._process.stdout is not None
        answers = select.poll()
        answers.register(self._process.stdout, select.POLLIN)
        while not self._reply.endswith(b"\n"):
            if not answers.poll(wait_ms):
                return False
            part = os.read(self._process.stdout.fileno(), 1 << 16)
            if not part:
                raise WorkerFailed(self._cause_of_death(self._process.wait()))
            self._reply += part
        return True

    def results(self, stopped: Callable[[], bool] = lambda: False) -> list[GameResult]:
        """What `start` began, waited for; may be asked for again. Raises `Abandoned` soon after `stopped()` becomes
        true, and WorkerFailed as `ready` does."""
        while not self.ready(_LOOK_MS):
            if stopped():
                raise Abandoned
        return [GameResult.of(fields) for fields in json.loads(self._reply)]

    def close(self) -> None:
        """End the worker, whatever it is doing; closing twice is harmless."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def __enter__(self) -> EvaluationWorker:
        return self

    def __exit__(self, _: type[BaseException] | None, __: object, ___: TracebackType | None) -> None:
        self.close()

    def _launched(self) -> subprocess.Popen[bytes]:
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        with open(self.log, "wb") as log, _unheard(*STOPPING):  # the run is asked to stop, not it
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "training.worker", str(self.config)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                env={**os.environ, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""},  # accelerators are for learning
            )

    def _cause_of_death(self, code: int) -> str:
        if code < 0:
            return f"the evaluation's worker was killed by {signal.Signals(-code).name}"
        said = self.log.read_text(errors="replace").split("\n")
        reason = next((line.strip() for line in reversed(said) if line.strip()), f"exit code {code}")
        return f"the evaluation's worker failed: {reason} (more in {self.log})"


@contextlib.contextmanager
def _unheard(*numbers: signal.Signals) -> Iterator[None]:
    """These signals wait until afterwards, and for ever in a process that is started meanwhile."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
