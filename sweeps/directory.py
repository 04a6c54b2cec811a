"""The directory of a sweep or a search: its file, a copy of its configuration, and one driver at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from configs.layers import layer
from sweeps import plan, search_plan
from sweeps.plan import Sweep, frozen, read_fields, to_sweep
from sweeps.runs import SweepError
from sweeps.search_plan import Search, to_search
from tracking.files import quoted, write_text

Plan = TypeVar("Plan", Sweep, Search)


def read(path: Path) -> Sweep | Search:
    """What a YAML file asks for, a search if it has `ranges`; ConfigError with one sentence for any mistake in it."""
    found = read_fields(path)
    return (to_search if "ranges" in found else to_sweep)(found, path.stem, str(path))


def read_directory(directory: Path) -> Sweep | Search:
    """The sweep or search that a directory is of."""
    file = directory / "sweep.yaml"
    if not file.is_file():
        raise SweepError(f"there is no sweep in {directory}: it has no sweep.yaml")
    return read(file)


@contextmanager
def own(directory: Path, asked: Plan) -> Iterator[Plan]:
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
        text = frozen(layer(asked.config))
        mine = replace(asked, config=str(base))
        if not file.is_file():
            write_text(base, text)
        elif not _same_runs(read(file), mine):
            raise SweepError(f"{directory} holds another sweep: choose another --dir, or --resume {quoted(directory)}")
        elif frozen(base) != text:
            raise SweepError(
                f"{asked.config} has changed since the sweep in {directory} began: choose another --dir, or go on with "
                f"the configuration that it began with, --resume {quoted(directory)}"
            )
        write_text(file, _as_yaml(replace(mine, config=base.name)))  # what a run takes and its retries may have changed
        yield mine
    finally:
        os.close(descriptor)


def _same_runs(one: Sweep | Search, other: Sweep | Search) -> bool:
    if isinstance(one, Search):
        return one.same_trials(other)
    return isinstance(other, Sweep) and plan.trials(one) == plan.trials(other)


def _as_yaml(asked: Sweep | Search) -> str:
    return search_plan.as_yaml(asked) if isinstance(asked, Search) else plan.as_yaml(asked)
