"""Run a sweep, many runs of train.py on this machine or a Ray cluster, or a search for good settings.

    python sweep.py configs/sweeps/figure3b.yaml [--dir runs/sweeps/mine] [--address auto]
    python sweep.py configs/sweeps/figure3b.yaml --dry_run --nodes 8x16,1,128 --speed 1500     # the plan for a cluster
    python sweep.py configs/sweeps/search_small.yaml    # a search: its file has `ranges` (see sweeps/search_plan.py)
    python sweep.py --resume runs/sweeps/figure3b       # go on; what is finished is never run again
    python sweep.py --status runs/sweeps/figure3b       # one line per run
    python sweep.py --report runs/sweeps/figure3b       # what came of it, so far

Exit codes: 0 all runs finished, 75 stopped and resumable, 1 some failed, 2 bad input.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.checks import ConfigError
from experiments.report.data import ReportError
from sweeps import report as sweep_report
from sweeps import search_report, search_status
from sweeps.directory import own, read, read_directory
from sweeps.node import place
from sweeps.plan import Sweep, trials
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
from sweeps.search import run_search
from sweeps.search_plan import Search
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
from sweeps.study import Study, import_optuna
from sweeps.watch import Watch
from tracking import command
from tracking.files import quoted
from tracking.numbers import real
from tracking.run_directory import BAD_INPUT, FAILED, FINISHED, STOPPED
from tracking.tables import console, terminal_width


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = command.Parser(prog="sweep.py", description=__doc__.split("\n")[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("sweep", type=Path, nargs="?", help="the YAML file (see sweeps/plan.py, sweeps/search_plan.py)")
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
        if there := options.status or options.report:
            (_show if options.status else _report)(read_directory(there), there.absolute())
            return FINISHED
        asked = read_directory(options.resume) if options.resume else read(options.sweep)
        directory = (options.resume or options.dir or Path("runs/sweeps") / asked.name).absolute()
        speed = Speed(options.speed, measure=not options.unmeasured)
        if isinstance(asked, Search):
            if options.nodes or options.address:
                raise SweepError("a search runs on this machine alone; leave out --nodes and --address")
            return _search(asked, directory, speed, options.dry_run)
        if options.dry_run:
            return _plan(asked, directory, speed, options.nodes, options.address)
        import_ray()  # or say that it is missing, before anything is made
        with own(directory, asked) as sweep:
            return _run(sweep, directory, options.address, speed)
    except (ConfigError, SweepError, ReportError) as error:
        print(f"sweep.py: {error}", file=sys.stderr)
        return BAD_INPUT


def _show(asked: Sweep | Search, directory: Path) -> None:
    """Print how it stands."""
    width = terminal_width(sys.stdout)
    if isinstance(asked, Search):
        study = Study(directory, asked, reading=True)
        console(width).print(search_status.search_table(asked, study, directory, width=width))
        _tell(search_report.summary(asked, study))
    else:
        console(width).print(status_table(trials(asked), directory, width=width))


def _report(asked: Sweep | Search, directory: Path) -> None:
    """Write the report and print what is in it."""
    if isinstance(asked, Search):
        _tell(search_report.write_report(asked, Study(directory, asked, reading=True), directory))
    else:
        _tell(sweep_report.write_report(asked, directory))


def _tell(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


def _ended(code: int, asked: Sweep | Search, directory: Path) -> int:
    """Say what can be done now; returns the code."""
    if code == STOPPED:
        print(f"stopped; go on with: python sweep.py --resume {quoted(directory)}")
        return code
    try:
        _report(asked, directory)
    except ReportError as error:  # which changes nothing about the runs
        print(f"sweep.py: no report: {error}", file=sys.stderr)
    return code


# -- a search -------------------------------------------------------------------------------------------------------


def _search(asked: Search, directory: Path, speed: Speed, dry_run: bool) -> int:
    import_optuna()  # or say that it is missing, before anything is made
    if dry_run:
        print(search_status.describe(asked, Study(directory, asked, reading=True), directory, speed))
        return FINISHED
    with own(directory, asked) as search:
        study = Study(directory, search)
        if all(trial.state.is_finished() for trial in study.trials) and len(study.trials) >= search.trials:
            print(f"trials: {search.trials:,}, all of which have ended")
        else:
            print(search_status.describe(search, study, directory, speed), flush=True)
            search_status.check_storage(search, study, directory)

        def states() -> Mapping[str, tuple[str, str]]:
            return search_status.states(search_status.rows(search, study, directory))

        def draw(rows: int, width: int) -> Any:
            return search_status.search_table(search, study, directory, rows, width)

        with Watch(draw, states) as watch:
            code = run_search(search, directory, study, watch)
            watch.last()
        return _ended(code, search, directory)


# -- a sweep --------------------------------------------------------------------------------------------------------


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
        return _ended(STOPPED, sweep, directory)
    return FAILED if len(failed) == len(codes) else _ended(FAILED if failed else FINISHED, sweep, directory)


def _run_on_ray(sweep: Sweep, directory: Path, address: str | None, planned: SweepPlan) -> dict[str, int]:
    """Run what is not finished; {run: train.py's last exit code}."""
    runs = trials(sweep)
    known: dict[str, str] = {}

    def states() -> Mapping[str, tuple[str, str]]:
        places = {trial.name: place(directory, trial.name) for trial in runs}
        return {name: (state(it, known.get(name)), " ".join(progress(it))) for name, it in places.items()}

    def draw(rows: int, width: int) -> Any:
        return status_table(runs, directory, known, rows, width)

    def tell(now: Mapping[str, str]) -> None:
        known.clear()
        known.update(now)
        watch()

    ray = start_ray(address)
    try:
        _describe(planned, ray.nodes(), directory)
        check_storage(planned, directory)
        check_locks(ray, directory)
        with Watch(draw, states) as watch:
            return run_all(ray, runs, directory, planned.needs, Retry(sweep.retries, sweep.retry_seconds), tell)
    finally:
        ray.shutdown()


if __name__ == "__main__":
    command.run(main)
