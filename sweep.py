"""Run a sweep: many runs of train.py, on this machine or on a Ray cluster.

    python sweep.py configs/sweeps/figure3b.yaml [--dir runs/sweeps/mine] [--address auto]
    python sweep.py configs/sweeps/figure3b.yaml --dry_run --nodes 8x16,1,128 --speed 1500     # the plan for a cluster
    python sweep.py --resume runs/sweeps/figure3b       # go on; what is finished is never run again
    python sweep.py --status runs/sweeps/figure3b       # one line per run
    python sweep.py --report runs/sweeps/figure3b       # what came of it, so far

Exit codes: 0 all runs finished, 75 stopped and resumable, 1 some failed, 2 bad input.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from configs.checks import ConfigError
from experiments.report.data import ReportError
from sweeps import report as sweep_report
from sweeps.node import place
from sweeps.plan import Sweep, Trial, as_yaml, frozen, read_sweep, trials
from sweeps.runs import (
    Retry,
    SweepError,
    check_locks,
    import_ray,
    read_nodes,
    run_all,
    runs_at_once,
    start_ray,
)
from sweeps.status import (
    Speed,
    SweepPlan,
    begun,
    check_storage,
    describe,
    plan_sweep,
    progress,
    state,
    status_table,
)
from tracking import command
from tracking.files import quoted, write_text
from tracking.numbers import real
from tracking.run_directory import BAD_INPUT, FAILED, FINISHED, STOPPED
from tracking.tables import console, terminal_width

_SECONDS = 5.0  # between two pictures on a terminal
_PROGRESS_SECONDS = 600.0  # between two lines on a run's progress where there is no terminal


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = command.Parser(prog="sweep.py", description=__doc__.split("\n")[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("sweep", type=Path, nargs="?", help="the sweep's YAML file (see sweeps/plan.py)")
    what.add_argument("--resume", type=Path, metavar="DIR", help="go on with the sweep in this directory")
    what.add_argument("--status", type=Path, metavar="DIR", help="how it stands: one line per run")
    what.add_argument("--report", type=Path, metavar="DIR", help="write the report on its finished runs")
    parser.add_argument("--dir", type=Path, help="the directory of a new sweep (default: runs/sweeps/NAME)")
    parser.add_argument("--address", help="of a Ray cluster, 'auto' for the one on this machine (default: none)")
    parser.add_argument("--dry_run", action="store_true", help="show the plan and stop")
    parser.add_argument("--unmeasured", action="store_true", help="plan without measuring the speed, which takes 15 s")
    parser.add_argument("--speed", type=real(1.0, 10**9), metavar="FRAMES/S", help="of a run, instead of measuring it")
    parser.add_argument(
        "--nodes",
        metavar="NxCPUS,GPUS,GIB",
        help="with --dry_run: plan for so many nodes of so many cores, GPUs and GiB of memory, such as 8x16,1,128",
    )
    options = parser.parse_args(arguments)
    if options.nodes and not options.dry_run:
        parser.error("--nodes is for --dry_run; what a sweep runs on is what Ray finds")
    if options.dir and not options.sweep:
        parser.error("--dir is for a new sweep; this one has its directory")
    try:
        if options.status:
            width = terminal_width(sys.stdout)
            console(width).print(status_table(trials(_in(options.status)), options.status.absolute(), width=width))
            return FINISHED
        if options.report:
            return _report(_in(options.report), options.report.absolute())
        sweep = _in(options.resume) if options.resume else read_sweep(options.sweep)
        directory = (options.resume or options.dir or Path("runs/sweeps") / sweep.name).absolute()
        speed = Speed(options.speed, measure=not options.unmeasured)
        if options.dry_run:
            return _plan(sweep, directory, speed, options.nodes, options.address)
        import_ray()  # or say that it is missing, before anything is made
        with _own(directory, sweep) as own:
            return _run(own, directory, options.address, speed)
    except (ConfigError, SweepError, ReportError) as error:
        print(f"sweep.py: {error}", file=sys.stderr)
        return BAD_INPUT


def _in(directory: Path) -> Sweep:
    """The sweep that a directory is of."""
    file = directory / "sweep.yaml"
    if not file.is_file():
        raise SweepError(f"there is no sweep in {directory}: it has no sweep.yaml")
    return read_sweep(file)


@contextmanager
def _own(directory: Path, sweep: Sweep) -> Iterator[Sweep]:
    """Make the directory this sweep's, and keep other drivers out of it; yields the sweep with the copy of its
    configuration that lies there, so that later changes of the original change none of its runs."""
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SweepError(f"another sweep.py is working in {directory}") from None
        except OSError as error:
            raise SweepError(
                f"{directory} cannot be locked ({error.strerror}): choose a --dir on storage with file locks"
            ) from None
        file, base = directory / "sweep.yaml", directory / "config.yaml"
        text = frozen(Path(sweep.config))
        own = replace(sweep, config=str(base))
        if not file.is_file():
            write_text(base, text)
        elif trials(read_sweep(file)) != trials(own):
            raise SweepError(f"{directory} holds another sweep: choose another --dir, or --resume {quoted(directory)}")
        elif frozen(base) != text:
            raise SweepError(
                f"{sweep.config} has changed since the sweep in {directory} began: choose another --dir, or go on with "
                f"the configuration that it began with, --resume {quoted(directory)}"
            )
        write_text(file, as_yaml(replace(own, config=base.name)))  # what a run takes and its retries may have changed
        yield own
    finally:
        os.close(descriptor)


def _plan(sweep: Sweep, directory: Path, speed: Speed, nodes: str | None, address: str | None) -> int:
    """Show the plan on these nodes, or on what Ray finds."""
    planned = _planned(sweep, directory, speed)
    if nodes:
        print(describe(planned, runs_at_once(planned.needs, read_nodes(nodes)), None))
        return FINISHED
    ray = start_ray(address)
    try:
        _describe(planned, ray.nodes(), directory)
    finally:
        ray.shutdown()
    return FINISHED


def _planned(sweep: Sweep, directory: Path, speed: Speed) -> SweepPlan:
    runs = trials(sweep)
    return plan_sweep(sweep, runs, {run.name: begun(place(directory, run.name)) for run in runs}, speed)


def _describe(planned: SweepPlan, nodes: Sequence[Mapping[str, Any]], directory: Path) -> None:
    """Print the plan; SweepError after it if no run has room."""
    try:
        at_once = runs_at_once(planned.needs, nodes)
    except SweepError:
        print(describe(planned, 0, directory), flush=True)
        raise
    print(describe(planned, at_once, directory), flush=True)


def _run(sweep: Sweep, directory: Path, address: str | None, speed: Speed) -> int:
    planned = _planned(sweep, directory, speed)
    if planned.finished < planned.runs:
        codes = _run_on_ray(sweep, directory, address, planned)
    else:
        print(f"runs: {planned.runs:,}, all of which are finished")
        codes = {trial.name: FINISHED for trial in trials(sweep)}
    failed = [name for name, code in codes.items() if code not in (FINISHED, STOPPED)]
    for name in failed:
        print(f"{name}: failed, see {place(directory, name).log}", file=sys.stderr)
    if STOPPED in codes.values():
        print(f"stopped; go on with: python sweep.py --resume {quoted(directory)}")
        return STOPPED
    if any(code == FINISHED for code in codes.values()):
        try:
            _report(sweep, directory)
        except ReportError as error:  # which changes nothing about the runs
            print(f"sweep.py: no report: {error}", file=sys.stderr)
    return FAILED if failed else FINISHED


def _run_on_ray(sweep: Sweep, directory: Path, address: str | None, planned: SweepPlan) -> dict[str, int]:
    """Run what is not finished; {run: train.py's last exit code}."""
    runs = trials(sweep)
    ray = start_ray(address)
    try:
        _describe(planned, ray.nodes(), directory)
        check_storage(planned, directory)
        check_locks(ray, directory)
        with _Watch(runs, directory) as watch:
            return run_all(ray, runs, directory, planned.needs, Retry(sweep.retries, sweep.retry_seconds), watch)
    finally:
        ray.shutdown()


def _report(sweep: Sweep, directory: Path) -> int:
    for line in sweep_report.write_report(sweep, directory):
        print(line)
    return FINISHED


class _Watch:
    """Shows how the runs stand: a table that redraws itself, or where there is no terminal a line for every change."""

    def __init__(self, runs: Sequence[Trial], directory: Path) -> None:
        self.runs = runs
        self.directory = directory
        self.console = Console()
        self.live = Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None
        self.known: Mapping[str, str] = {}
        self.shown: dict[str, str] = {}
        self.moment = time.monotonic()

    def __enter__(self) -> _Watch:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            with suppress(OSError, ValueError):  # as in run_all: what cannot be shown ends nothing
                self._draw(self.live)
            self.live.stop()

    def _draw(self, live: Live) -> None:
        rows = self.console.height - 6
        table = status_table(self.runs, self.directory, self.known, rows, self.console.width)
        live.update(table, refresh=True)
        self.moment = time.monotonic()

    def __call__(self, known: Mapping[str, str]) -> None:
        """Once a second or so."""
        self.known = known
        if self.live:
            if time.monotonic() - self.moment > _SECONDS:
                self._draw(self.live)
            return
        tell = time.monotonic() - self.moment > _PROGRESS_SECONDS
        for trial in self.runs:
            where = place(self.directory, trial.name)
            now = state(where, known.get(trial.name))
            if now != self.shown.get(trial.name, "waiting") or (tell and now == "running"):
                print(f"{trial.name}: {' '.join([now, *progress(where)])}", flush=True)
                self.shown[trial.name] = now
        if tell:
            self.moment = time.monotonic()


if __name__ == "__main__":
    command.run(main)
