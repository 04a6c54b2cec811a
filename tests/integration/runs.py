"""Runs of train.py in processes of their own, stopped and broken at chosen frames, and their comparison.

The processes are forked from a server that has imported train.py, which saves seconds each; a few tests start
`python train.py` itself. A *hook* is called in the new process before train.py's `main` and bends it.
"""

from __future__ import annotations

import csv
import errno
import importlib
import json
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from tests.conformance.alike import assert_alike
from tracking.checkpoints import Checkpoints, load_file
from tracking.metrics import CLOCKS
from tracking.run_directory import RunDirectory
from tracking.stop import STOPPING

ROOT = Path(__file__).resolve().parents[2]
Hook = Callable[[], None]

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.integration.warm", "tests.integration.runs"])

# Two toys; three visits, with re-seeds within them; 300 steps of two emulators and some 140 updates.
TOY: dict[str, Any] = {
    "seed": 3,
    "frames": 2400,
    "threads": 1,
    "stream": {"games": ["toy_catch", "toy_avoid"], "visit_frames": 800, "reseed_frames": 500},
    "emulators": {"num_envs": 2, "threads": 1},
    "learner": {
        "network": "small",
        "precision": "float32",
        "optimizer": "adam",
        "learning_rate": 0.001,
        "batch_size": 8,
        "samples_per_step": 2.1,
        "n_step": 2,
        "target_frames": 200,
        "discount": 0.9,
        "shift_pixels": 2,
    },
    "exploration": {"hold_frames": 200, "decay_frames": 800, "end": 0.1},
    "replay": {"capacity": 300, "min_history": 40},
    "evaluation": {"period": 600, "episodes": 2, "final_episodes": 3, "emulators": 2},
    "log": {"period": 100, "image_period": 500, "checkpoint_period": 350},
}
SWITCH = 800  # frames


def write_config(path: Path, base: dict[str, Any], **changes: Any) -> Path:
    """A preset in YAML; `changes` replace whole top-level entries."""
    path.write_text(yaml.safe_dump({**base, **changes}))
    return path


# -- launching -----------------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What a process left behind; a negative code is the signal that killed it."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line that a refusal or a failure consists of, below what was told in progress."""
        assert "Traceback" not in self.err, self.err
        lines = [line for line in self.err.splitlines() if line.startswith("train.py: ")]
        assert len(lines) == 1, self.err
        return lines[0]


def launch(*arguments: object, hook: Hook | None = None, timeout: float = 300) -> Outcome:
    """Run `train.py ARGUMENTS` to its end."""
    return start(*arguments, hook=hook).outcome(timeout)


def start(*arguments: object, hook: Hook | None = None) -> Running:
    """Begin `train.py ARGUMENTS`."""
    directory = tempfile.TemporaryDirectory()
    target = (tuple(str(a) for a in arguments), hook, directory.name)
    process = _CONTEXT.Process(target=_child, args=target)
    process.start()
    return Running(process, directory)


@dataclass
class Running:
    """A process under way."""

    process: Any
    directory: tempfile.TemporaryDirectory[str]

    def outcome(self, timeout: float = 300) -> Outcome:
        """Wait for its end."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            raise TimeoutError((Path(self.directory.name) / "err").read_text())
        out, err = ((Path(self.directory.name) / name).read_text() for name in ("out", "err"))
        self.directory.cleanup()
        return Outcome(self.process.exitcode, out, err)


def _child(arguments: tuple[str, ...], hook: Hook | None, directory: str) -> None:
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{directory}/{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    import train
    from tracking import command

    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # however the tests were started
    if hook is not None:
        hook()
    command.run(lambda: train.main(list(arguments)))


# -- hooks: give them with functools.partial ---------------------------------------------------------------


def signal_at(frames: int, number: int = signal.SIGTERM) -> None:
    """Send oneself a signal with the step that reaches `frames`."""
    from envs.stream import GameStream

    receive = GameStream.receive

    def stepping(self: Any) -> Any:
        before = self.frames
        following = receive(self)
        if before < frames <= self.frames:
            _raise(number)
        return following

    GameStream.receive = stepping  # type: ignore[method-assign]


def signal_in_evaluation(steps: int, log: Path) -> None:
    """SIGTERM at the given step of the first evaluation; every later step of it adds a byte to `log`."""
    from agent.continual import Player

    act, taken = Player.act, 0

    def acting(self: Any, *given: Any) -> Any:
        nonlocal taken
        taken += 1
        if taken == steps:
            _raise(signal.SIGTERM)
        elif taken > steps:
            with open(log, "ab") as file:
                file.write(b".")
        return act(self, *given)

    Player.act = acting  # type: ignore[method-assign]


def signal_in_departure(batch: int, log: Path) -> None:
    """SIGTERM with this minibatch of the first task that is left; every later one of it adds a byte to `log`."""
    from agent.task_change import TaskChange

    batches, taken = TaskChange.batches, 0

    def sampling(self: Any, use: int, count: int, sample: Any, stopped: Any) -> Any:
        def counted(rng: Any) -> Any:
            nonlocal taken
            taken += 1
            if taken == batch:
                _raise(signal.SIGTERM)
            elif taken > batch:
                with open(log, "ab") as file:
                    file.write(b".")
            return sample(rng)

        return batches(self, use, count, counted, stopped)

    TaskChange.batches = sampling  # type: ignore[method-assign]


def signal_in(module: str, function: str) -> None:
    """SIGTERM when this function of a module, or method as Class.method, begins."""
    *owner, name = function.split(".")
    where: Any = importlib.import_module(module)
    for part in owner:
        where = getattr(where, part)
    works = getattr(where, name)

    def signalling(*given: Any, **named: Any) -> Any:
        _raise(signal.SIGTERM)
        return works(*given, **named)

    setattr(where, name, signalling)


def kill_in_save(frames: int) -> None:
    """SIGKILL when the checkpoint of `frames` or later is written but has not got its name yet."""
    publish = Checkpoints._publish

    def publishing(self: Any, temporary: Path, target: Path) -> None:
        if int(target.name) >= frames:
            _raise(signal.SIGKILL)
        publish(self, temporary, target)

    Checkpoints._publish = publishing  # type: ignore[method-assign]


def poison(frames: int) -> None:
    """A weight becomes NaN with the first update after `frames`."""
    from agent.continual import ContinualAgent

    observe = ContinualAgent.observe

    def observing(self: Any, *given: Any) -> Any:
        if self.replay.time * self.frames_per_step == frames:
            with torch.no_grad():
                self.learner.network.weights[0][0, 0, 0, 0] = float("nan")
        return observe(self, *given)

    ContinualAgent.observe = observing  # type: ignore[method-assign]


def full_disk(function: str, frames: int) -> None:
    """Writing (checkpoints: "write_tree"; snapshots: "write_packed"; logs: "write") finds no room once a stream has
    reached `frames`; for the checkpoint of an earlier frame, which may still be under way, there is room."""
    import tracking.checkpoints
    from envs.stream import GameStream
    from tracking.append_file import AppendFile

    where: Any = AppendFile if function == "write" else tracking.checkpoints
    works, receive, reached = getattr(where, function), GameStream.receive, False

    def stepping(self: Any) -> Any:
        nonlocal reached
        following = receive(self)
        reached = reached or self.frames >= frames
        return following

    def writing(*given: Any) -> Any:
        name = given[0].parent.name.removeprefix(".tmp-") if function == "write_tree" else ""
        if int(name) >= frames if name.isdigit() else reached:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return works(*given)

    setattr(where, function, writing)
    GameStream.receive = stepping  # type: ignore[method-assign]


def fail_at(frames: int, error: Exception) -> None:
    """Emulating raises `error` with the step that reaches `frames`."""
    from envs.stream import GameStream

    receive = GameStream.receive

    def stepping(self: Any) -> Any:
        following = receive(self)
        if self.frames >= frames:
            raise error
        return following

    GameStream.receive = stepping  # type: ignore[method-assign]


def lose_console() -> None:
    """Nobody reads what the process prints, as after the end of `head` or `tee`."""
    reader, writer = os.pipe()
    os.close(reader)
    for number in (1, 2):
        os.dup2(writer, number)


def both(one: Hook, other: Hook) -> None:
    """Two hooks."""
    one()
    other()


def quick_worker() -> None:
    """An evaluation in the background is done before the next step. The worker is sent the signals that a terminal or
    a batch system sends to all processes of a run, and does not mind."""

    def started(worker: Any) -> None:
        for number in STOPPING:
            os.kill(worker._process.pid, number)
        while not worker.ready(1000):
            pass

    _bend_worker(started=started)


def slow_worker(interrupted_wait: int = 0) -> None:
    """The worker stands still until it is waited for; the wait of this number brings SIGTERM instead."""
    waits = 0

    def started(worker: Any) -> None:
        os.kill(worker._process.pid, signal.SIGSTOP)

    def awaited(worker: Any) -> None:
        nonlocal waits
        waits += 1
        if waits == interrupted_wait:
            _raise(signal.SIGTERM)
        else:
            os.kill(worker._process.pid, signal.SIGCONT)

    _bend_worker(started=started, awaited=awaited)


def killed_worker(waiting: bool) -> None:
    """SIGKILL for the worker, at once or when it is waited for."""

    def kill(worker: Any) -> None:
        os.kill(worker._process.pid, signal.SIGKILL)

    def stop(worker: Any) -> None:
        os.kill(worker._process.pid, signal.SIGSTOP)

    if waiting:
        _bend_worker(started=stop, awaited=kill)
    else:
        _bend_worker(started=kill)


def kill_in_endless_evaluation(pid_file: Path) -> None:
    """The worker makes the first evaluation at once and the second with the number of episodes of the run's last.
    SIGKILL for the run when it waits for that; the worker's process is noted. Every checkpoint is complete before the
    run goes on, however slow the disk is."""
    from training.background import EvaluationWorker

    start, begin = EvaluationWorker.start, Checkpoints.begin

    def beginning(self: Any, *given: Any) -> None:
        begin(self, *given)
        self.wait()

    def starting(self: Any, snapshot: Path, last: bool, game: str | None) -> None:
        second = self._process is not None
        start(self, snapshot, second, game)
        while not second and not self.ready(1000):
            pass

    def awaited(worker: Any) -> None:
        pid_file.write_text(str(worker._process.pid))
        _raise(signal.SIGKILL)

    Checkpoints.begin = beginning  # type: ignore[method-assign]
    EvaluationWorker.start = starting  # type: ignore[method-assign]
    _bend_worker(awaited=awaited)


def spoiled_snapshot() -> None:
    """The worker finds garbage in place of the snapshot."""
    from training.snapshots import Snapshots

    save = Snapshots.save

    def saving(self: Any) -> Path:
        path = save(self)
        path.write_bytes(b"no weights")
        return path

    Snapshots.save = saving  # type: ignore[method-assign]


def _bend_worker(
    started: Callable[[Any], None] = lambda worker: None, awaited: Callable[[Any], None] = lambda worker: None
) -> None:
    """`started` is called with the worker after each start, and `awaited` before its results are waited for."""
    from training.background import EvaluationWorker

    start, results = EvaluationWorker.start, EvaluationWorker.results

    def starting(self: Any, *given: Any) -> None:
        start(self, *given)
        started(self)

    def awaiting(self: Any, *given: Any) -> Any:
        if not self.ready():
            awaited(self)
        return results(self, *given)

    EvaluationWorker.start = starting  # type: ignore[method-assign]
    EvaluationWorker.results = awaiting  # type: ignore[method-assign]


def _raise(number: int) -> None:
    if number == signal.SIGKILL:
        os.kill(os.getpid(), number)
    signal.raise_signal(number)  # handled before the next line


def alive(pid: int) -> bool:
    """Whether a process still runs; one that has ended and that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


# -- comparison ----------------------------------------------------------------------------------------------


def status(run: Path) -> dict[str, Any]:
    """The run's status.json."""
    return json.loads((run / "status.json").read_text())


def metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without clock readings."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if not name.startswith(CLOCKS)} for line in lines]


def evaluations(run: Path) -> list[dict[str, str]]:
    """The rows of evaluations.csv."""
    with open(run / "evaluations.csv", newline="") as file:
        return list(csv.DictReader(file))


def points(run: Path) -> dict[tuple[int, str], bytes]:
    """{(step, tag): the value as stored} of all event files, without clock readings; each point once."""
    found: dict[tuple[int, str], bytes] = {}
    for path in sorted(run.glob("events.out.tfevents.*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                key = (event.step, value.tag)
                assert key not in found, f"{key} is there twice"
                if not value.tag.startswith(CLOCKS):
                    found[key] = value.SerializeToString(deterministic=True)
    return found


def snapshots(run: Path) -> dict[str, Any]:
    """All weights-only snapshots by name."""
    return {path.name: load_file(path) for path in sorted((run / "snapshots").iterdir())}


class _Keeper:
    def load_state_dict(self, state: Any) -> None:
        self.state = state

    def state_dict(self) -> Any:
        return self.state


# The writers' state names files and their lengths; what they hold is compared point by point.
PARTS = ("stream", "agent", "memory", "consolidation", "episodes", "window", "milestones", "scores")


def checkpoint(run: Path, parts: tuple[str, ...] = PARTS) -> tuple[int, dict[str, Any]]:
    """(frames, {part: state}) of the newest checkpoint."""
    keepers = {part: _Keeper() for part in parts}
    frames = Checkpoints(RunDirectory(run).checkpoints).restore_latest(keepers)
    assert frames is not None
    return frames, {part: keeper.state for part, keeper in keepers.items()}


def assert_same_run(a: Path, b: Path) -> None:
    """All that two finished runs left behind is equal: the final checkpoint with parameters, optimizer, replay
    and generators, every logged number, the evaluations, TensorBoard's points, the snapshots, the tasks' log."""
    assert status(a)["state"] == status(b)["state"] == "finished"
    assert_alike(metrics(a), metrics(b))
    assert_alike(evaluations(a), evaluations(b))
    assert_alike(checkpoint(a), checkpoint(b))
    assert_alike(points(a), points(b))
    assert_alike(snapshots(a), snapshots(b))
    for name in ("task_changes.csv", "confusion.csv"):
        assert (a / name).read_text() == (b / name).read_text()
