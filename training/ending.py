"""The end of a run: what its report needs is looked at when the run begins, and no report can make it fail."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from configs.build import build_schedule
from configs.checks import ConfigError
from configs.schema import Config
from evaluation.story import game_summaries, read_records
from tracking.files import quoted, write_text
from tracking.run_directory import RunDirectory
from training.final_report import write_report


def check_reference(config: Config) -> list[str]:
    """What there is to say of the run that `evaluation.reference` names: a sentence if it is not there, as a run needs
    no other; `ConfigError` if it cannot be set beside this one."""
    named = config.evaluation.reference
    if not named:
        return []
    reference = RunDirectory(Path(named))
    for file in (reference.evaluations, reference.task_changes):
        if not file.is_file():
            return [f"evaluation.reference: there is no run in {named}, it has no {file.name}; the report does without"]
    try:
        games = game_summaries(read_records(reference.path, ""))
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise ConfigError(
            f"evaluation.reference: the files of the run in {named} cannot be read ({type(error).__name__}: {error}); "
            "put them right, or set it to null"
        ) from None
    missing = [game for game in build_schedule(config).games if game not in games]
    if missing:
        lacking = ", ".join(missing)
        raise ConfigError(f"evaluation.reference: the run in {named} was not evaluated in {lacking} (null: none)")
    return []


def final_report(
    run: RunDirectory, config: Config, confusion: str | None = None, width: int | None = None
) -> Iterator[str]:
    """Write the report of a run that has come to its end, and its `confusion` as a table; yields lines for a console of
    so many columns (None: any number).

    Whatever goes wrong is a line as well: the run is complete.
    """
    try:
        if confusion is not None:
            write_text(run.confusion, confusion)
        yield from write_report(run, config, width)
    except Exception as error:
        yield (
            f"warning: the report could not be written ({type(error).__name__}: {error}); the run itself is complete, "
            f"and the report is written again by: --resume {quoted(run.path)}"
        )
