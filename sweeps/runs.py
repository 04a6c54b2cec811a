"""The runs of a sweep on Ray (https://docs.ray.io): packed by what they need, resumed wherever they are lost.

Ray schedules, notices that a worker or a node has died, and starts what was lost elsewhere. A run itself is train.py in
a process of its own, in an ordinary run directory on storage that all nodes see. It dies with its worker, its lock with
it, and the next worker resumes it from its last checkpoint. What is known about a run is in its directory alone, so
that any driver can go on where another one has died.

All nodes must have the checkout, the environment and the sweep's directory under the same paths.
"""

from __future__ import annotations

import logging
import os
import random
import re
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeps.node import LOCKED, Place, execute, note, place, read_attempts, sees_lock
from sweeps.plan import Trial
from tracking.run_directory import FAILED, FINISHED, STOPPED
from tracking.stop import catch, give_back

_GIB = 2**30
WORKER_BYTES = int(0.1 * _GIB)  # of the process that a run is a child of, 80 MiB
_OBJECT_STORE_BYTES = 100 * 2**20  # there are hardly any objects
# Ray's watch over memory sees its workers, which the runs are children of, and would end several for one. The others
# save some of what Ray's processes compute beside the runs: nobody reads the workers' logs, asks for more nodes or for
# statistics of events.
_LOCALLY = {
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_LOG_MONITOR_MANY_FILES_THRESHOLD": "0",
    "LOG_NAME_UPDATE_INTERVAL_S": "5",
    "AUTOSCALER_UPDATE_INTERVAL_S": "60",
    "RAY_event_stats": "0",
}
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}


class SweepError(Exception):
    """What keeps a sweep from running, in a sentence for the user."""


@dataclass(frozen=True)
class Needs:
    """What every run takes of a node while it runs."""

    cpus: float
    gpus: float
    memory_bytes: int


@dataclass(frozen=True)
class Retry:
    """How often in a row a run that fails by itself is started again, and after how long: the second time after twice
    as long, and so on."""

    times: int
    seconds: float


def run_all(
    ray: Any,
    trials: Sequence[Trial],
    directory: Path,
    needs: Needs,
    retry: Retry,
    watch: Callable[[Mapping[str, str]], None],
) -> dict[str, int]:
    """Run all trials that are not finished; {name: train.py's last exit code}.

    `directory` is the sweep's, `needs` what every run takes. A run that fails by itself is started again as `retry`
    says, on another node if there is one; it counts anew where a newer checkpoint was left. One that something
    else has stopped or holds is asked for again, whatever the number. `watch` is called about once a second with {name:
    "waiting" or "failed"} of what is not finished, a run under way among those waiting (see
    `sweeps.status.state`). A signal of `tracking.stop` has all runs save and stop; their code is STOPPED.
    """
    remote = ray.remote(execute)
    asked = {"num_cpus": needs.cpus, "num_gpus": needs.gpus, "memory": needs.memory_bytes, "max_retries": -1}

    def submit(trial: Trial, **more: Any) -> Any:
        options = remote.options(name=trial.name, **asked, **more)
        return options.remote(str(directory), trial.name, trial.arguments, starts[trial.name], retry.times)

    starts = {trial.name: len(read_attempts(place(directory, trial.name).attempts)) for trial in trials}
    codes = {trial.name: FINISHED for trial in trials if place(directory, trial.name).run.finished}
    under_way = {submit(trial): trial for trial in trials if trial.name not in codes}
    failures: dict[str, tuple[int, int]] = {}  # how often in a row, and from which checkpoint
    later: list[tuple[float, Trial]] = []  # failed by themselves; when to try them again
    stopping = False
    with _interrupts() as signals:
        while under_way or later:
            if signals and not stopping:
                stopping = True
                for reference in under_way:
                    ray.cancel(reference)
                codes |= {trial.name: STOPPED for _, trial in later}
                later.clear()
            for due, trial in [each for each in later if each[0] <= time.monotonic()]:
                later.remove((due, trial))
                under_way[submit(trial, **_elsewhere(ray, needs, _last_node(directory, trial)))] = trial
            ready: list[Any] = []
            if under_way:
                ready, _ = ray.wait(list(under_way), timeout=1.0)
            else:
                time.sleep(1.0)
            for reference in ready:
                trial = under_way.pop(reference)
                code = _code(ray, reference)
                if code == FINISHED and not _finished(place(directory, trial.name)):
                    code = FAILED  # somewhere else, on a node that does not see this directory
                if code in (STOPPED, LOCKED) and not stopping:
                    under_way[submit(trial)] = trial
                    continue
                codes[trial.name] = STOPPED if code == LOCKED else code
                if code in (STOPPED, LOCKED, FINISHED) or stopping:
                    continue
                where = place(directory, trial.name)
                times, frames = failures.get(trial.name, (0, -1))
                now = frames
                with suppress(OSError):
                    now = where.kept_frames
                times = times + 1 if now == frames else 1
                failures[trial.name] = times, now
                if times <= retry.times:
                    del codes[trial.name]
                    later.append((time.monotonic() + times * retry.seconds, trial))
                else:
                    note(where.attempts, {"gave_up": code})
            with suppress(OSError, ValueError):  # a file that another node is replacing; it is looked at again
                watch(_known([*under_way.values(), *(trial for _, trial in later)], codes))
    return codes


def _finished(where: Place) -> bool:
    """Whether the run has come to its end, as far as the storage answers; one asked for again is left alone if so."""
    with suppress(OSError):
        return where.run.finished
    return False


def _last_node(directory: Path, trial: Trial) -> str:
    """Where the run was last started; empty if that is not known."""
    with suppress(OSError):
        for attempt in reversed(read_attempts(place(directory, trial.name).attempts)):
            return str(attempt["node"])
    return ""


def _elsewhere(ray: Any, needs: Needs, node: str) -> dict[str, Any]:
    """Options that send a run to another node than this one, if any is large enough for it; wherever there is room,
    should that one be full or die."""
    others = []
    with suppress(ray.exceptions.RayError):
        others = [each for each in ray.nodes() if node and each["NodeID"] != node and _on_node(needs, each)]
    if not others:
        return {}
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    other = random.choice(others)["NodeID"]
    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(other, soft=True, _spill_on_unavailable=True)}


def import_ray() -> Any:
    """The package; SweepError if it is not installed."""
    try:
        import ray
    except ImportError:
        raise SweepError("a sweep needs Ray, which is not installed: make sweep installs it") from None
    return ray


def start_ray(address: str | None) -> Any:
    """Ray, joined to the cluster at `address` or to a local one of this machine's resources; SweepError without it."""
    ray = import_ray()
    own: dict[str, Any] = {}
    if not address:
        for name, value in _LOCALLY.items():
            os.environ.setdefault(name, value)
        own = {"include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
        if (cores := len(os.sched_getaffinity(0))) < (os.cpu_count() or 1):  # of which Ray knows nothing
            own["num_cpus"] = cores
    try:
        ray.init(address=address or "local", **own, **_QUIET)
    except Exception as error:  # a bare one where Ray's processes are not up within half a minute
        reason = (str(error).splitlines() or [repr(error)])[0]
        failure = f"no Ray cluster answers at {address}" if address else "Ray did not start on this machine"
        raise SweepError(f"{failure}: {reason}") from None
    return ray


def check_locks(ray: Any, directory: Path) -> None:
    """SweepError if a node cannot run this checkout, or does not see that the sweep's directory is locked by this
    process: two nodes could then work in one run."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    remote = ray.remote(sees_lock)
    asked = []
    for node in ray.nodes():
        if node["Alive"]:
            here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            there = remote.options(num_cpus=0, scheduling_strategy=here)
            asked.append((node["NodeManagerHostname"], there.remote(str(directory))))
    for host, reference in asked:
        try:
            sees = ray.get(reference)
        except ray.exceptions.RayError as error:
            reason = (str(error).splitlines() or [repr(error)])[-1]
            raise SweepError(
                f"{host} cannot run this checkout, which must lie there as it does here: {reason}"
            ) from None
        if not sees:
            raise SweepError(
                f"{host} does not see the lock in {directory}: the directory must lie on storage that all nodes share, "
                "with locks that hold between nodes"
            )


def runs_at_once(needs: Needs, nodes: Sequence[Mapping[str, Any]]) -> int:
    """How many runs the living nodes have room for at a time; SweepError if not for one."""
    count = sum(_on_node(needs, node) for node in nodes)
    if not count:
        offered = "; ".join(described(node["Resources"]) for node in nodes if node["Alive"]) or "none"
        raise SweepError(f"a run needs {described(_asked(needs))}, which no node has (nodes: {offered})")
    return count


def _on_node(needs: Needs, node: Mapping[str, Any]) -> int:
    """How many runs a node has room for at a time; none on a dead one."""
    asked = [(node["Resources"].get(name, 0), amount) for name, amount in _asked(needs).items() if amount]
    return min(_room(has, amount) for has, amount in asked) if node["Alive"] else 0


def _asked(needs: Needs) -> dict[str, float]:
    """By Ray's names."""
    return {"CPU": needs.cpus, "GPU": needs.gpus, "memory": needs.memory_bytes}


def _room(has: float, amount: float) -> int:
    """How often `amount` is there; a fraction is of one unit: 8 GPUs have 24 times 0.3."""
    return int(has) * int(1 / amount + 1e-9) if amount < 1 else int(has / amount + 1e-9)


def read_nodes(text: str) -> list[dict[str, Any]]:
    """Nodes as Ray would tell of them, from text such as 8x16,1,128: so many of so many cores, GPUs and GiB."""
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5}),(\d{1,5}),(\d{1,6}(?:\.\d{1,6})?)", text, flags=re.ASCII)
    if not found or not int(found[1]):
        raise SweepError(f"--nodes {text[:100]}: write NODESxCORES,GPUS,GIB, such as 8x16,1,128")
    count, cores, gpus, gib = found.groups()
    resources = {"CPU": float(cores), "GPU": float(gpus), "memory": float(gib) * _GIB}
    return [{"Alive": True, "Resources": resources}] * int(count)


def described(resources: Mapping[str, float]) -> str:
    gpus = f"{resources['GPU']:g} GPUs, " if resources.get("GPU") else ""
    return f"{resources.get('CPU', 0):g} cores, {gpus}{resources.get('memory', 0) / _GIB:.1f} GiB"


def _code(ray: Any, reference: Any) -> int:
    try:
        return int(ray.get(reference))
    except (ray.exceptions.TaskCancelledError, KeyboardInterrupt):
        return STOPPED
    except ray.exceptions.RayError as error:
        print(f"sweep.py: {(str(error).splitlines() or [repr(error)])[-1]}", file=sys.stderr)
        return FAILED


def _known(under_way: Iterable[Trial], codes: Mapping[str, int]) -> dict[str, str]:
    found = {trial.name: "waiting" for trial in under_way}
    return found | {name: "failed" for name, code in codes.items() if code not in (FINISHED, STOPPED)}


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """A list that fills with the numbers of the signals that ask to stop; the second Ctrl-C interrupts at once."""
    asked: list[int] = []

    def ask(number: int, frame: Any) -> None:
        asked.append(number)
        if asked.count(signal.SIGINT) > 1:
            raise KeyboardInterrupt

    before = catch(ask)
    try:
        yield asked
    finally:
        give_back(before)
