"""Many runs of train.py beside one another, and the small files of each that are worth keeping.

What is finished is skipped, what was stopped is resumed: a list of jobs can be started again at any time, also in a
fresh clone that has nothing but the kept files.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.checks import ConfigError
from configs.parse import load, make_parser, parse, to_config
from configs.settings import differences
from tracking.files import write_text
from tracking.run_directory import STOPPED, RunDirectory
from tracking.stop import catch, give_back

ONE_CORE = ("--threads", "1", "--emulators.threads", "1")
"""Arguments for runs beside one another."""

_MAY_DIFFER = (
    "threads",
    "learner.precision",  # which the machine once chose, as it did for the kept runs
    "emulators.threads",
    "emulators.rom_dir",
    "log.",
    "evaluation.reference",
    "evaluation.background",
    "evaluation.threads",
    "evaluation.report_after",
)
_METRICS_KEPT = 40  # at least, of the loop's lines of metrics.jsonl if there are so many; and all of departures
_DEPARTURE = "learning/active_fraction"  # a scalar that only they have
_OF_THE_LOOP = "task/count"  # a scalar that every line has but those of evaluations and departures
_DIGITS = 5
_VERSIONS = ("git_commit", "python", "torch", "numpy", "ale_py")  # kept of every start of a run


@dataclass(frozen=True)
class Job:
    """One run: `arguments` of train.py but for --run_dir, the run's directory, and where its small files go."""

    name: str
    arguments: tuple[str, ...]
    directory: Path
    kept: Path

    @property
    def done(self) -> bool:
        """Whether the kept files are those of a finished run."""
        return RunDirectory(self.kept).finished


def check_settings(jobs: Sequence[Job]) -> None:
    """Raise `ConfigError` where a run that is done, or under way, is not what its job asks for: it would be taken for
    that. Wrong arguments raise it as well."""
    parser = make_parser("train.py", "")  # without what the jobs themselves decide, such as --run_dir
    for job in jobs:
        there = next((path for path in (job.kept, job.directory) if RunDirectory(path).config.is_file()), None)
        asked = to_config(parser, parse(parser, list(job.arguments)))
        if there and (changed := differences(load(RunDirectory(there).config), asked, _MAY_DIFFER)):
            raise ConfigError(
                f"{there} is of other settings, {'; '.join(changed)}; keep both, with another --runs and --results"
            )


def check_free(overrides: Sequence[str], decided: Mapping[str, str]) -> None:
    """Raise `ConfigError` if what goes to every run says what the command decides for each, {its name: our option}."""
    for name, ours in decided.items():
        if any(given.partition("=")[0] == name for given in overrides):
            raise ConfigError(f"{name} would be that of every run; give {ours}")


class Interrupted(Exception):
    """Not everything was run; says what is left."""


def run_all(jobs: Sequence[Job], processes: int, say: Callable[[str], None] = print) -> list[str]:
    """Run all jobs that are not done, `processes` at a time, which share the cores evenly; the names of those that
    failed.

    Interrupted by Ctrl-C or another signal that asks to stop, it stops those that are under way, which save, and raises
    `Interrupted`.
    """
    waiting, failed = [job for job in jobs if not job.done], []
    cores = sorted(os.sched_getaffinity(0))
    running: dict[int, tuple[Job, subprocess.Popen[bytes]]] = {}
    try:
        with _all_interrupt():
            while waiting or running:
                for place in range(processes):
                    if place not in running and waiting:
                        job = waiting.pop(0)
                        running[place] = job, _start(job, cores[place % len(cores) :: processes])
                        say(f"{job.name}: started, {len(waiting)} waiting; its output is in {_log(job)}")
                time.sleep(1.0)
                for place, (job, process) in list(running.items()):
                    if process.poll() is None:
                        continue
                    del running[place]
                    if process.returncode == 0:
                        keep(job.directory, job.kept)
                        say(f"{job.name}: finished")
                    else:
                        failed.append(job.name)
                        stopped = process.returncode == STOPPED
                        how = "was stopped; start this again to resume it" if stopped else "failed"
                        say(f"{job.name}: {how}, see {_log(job)}")
    except KeyboardInterrupt:
        left = [job.name for job in [*(job for job, _ in running.values()), *waiting]]
        raise Interrupted(f"interrupted; start this again to go on with {', '.join(left)}") from None
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.wait()
    return failed


@contextmanager
def _all_interrupt() -> Iterator[None]:
    """Every signal that asks to stop does what Ctrl-C does."""
    before = catch(signal.default_int_handler)
    try:
        yield
    finally:
        give_back(before)


def keep(directory: Path, kept: Path) -> None:
    """Copy a run's small files, its metrics thinned out; the status last, which says that all are there."""
    run, small = RunDirectory(directory), RunDirectory(kept)
    kept.mkdir(parents=True, exist_ok=True)
    for source, target in (
        (run.config, small.config),
        (run.evaluations, small.evaluations),
        (run.task_changes, small.task_changes),
        (run.confusion, small.confusion),
        (run.report / "scores.json", small.report / "scores.json"),
    ):
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    starts = [{name: start.get(name) for name in _VERSIONS} for start in json.loads(run.versions.read_text())]
    small.write_json(small.versions, starts)
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    loop = [i for i, line in enumerate(lines) if _OF_THE_LOOP in line]  # evaluations may stand anywhere between them
    every = max(1, len(loop) // _METRICS_KEPT)
    chosen = {*loop[every - 1 :: every], *loop[-1:]}
    thinned = [line for i, line in enumerate(lines) if i in chosen or _DEPARTURE in line]
    write_text(small.metrics, "".join(json.dumps(_rounded(line)) + "\n" for line in thinned))
    shutil.copyfile(run.status, small.status)


def _rounded(line: dict[str, Any]) -> dict[str, Any]:
    return {k: float(f"{v:.{_DIGITS}g}") if isinstance(v, float) else v for k, v in line.items()}


def _start(job: Job, cores: Sequence[int]) -> subprocess.Popen[bytes]:
    arguments = ["--run_dir", str(job.directory), *job.arguments]
    if RunDirectory(job.directory).config.is_file():
        arguments = ["--resume", str(job.directory)]
    job.directory.parent.mkdir(parents=True, exist_ok=True)
    with open(_log(job), "a") as log:
        return subprocess.Popen(
            [sys.executable, "train.py", *arguments],
            stdout=log,
            stderr=log,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )


def _log(job: Job) -> Path:
    return job.directory.with_name(f"{job.directory.name}.log")
