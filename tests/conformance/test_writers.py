"""What every writer holds to: what was written after a checkpoint is forgotten by a resume, all else is there once."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from tests.conformance.alike import through_a_file
from tracking.tensorboard import TensorBoardWriter
from tracking.writers import CsvWriter, JsonLinesWriter


@dataclass(frozen=True)
class Case:
    """A writer below a folder, a line of it, and the frames of the lines that a reader finds there."""

    make: Callable[[Path], Any]
    write: Callable[[Any, int], None]
    read: Callable[[Path], list[int]]


def events(folder: Path) -> list[int]:
    """Restarts are told to TensorBoard, which drops what lies at later steps; here by hand."""
    found: list[int] = []
    for path in sorted((folder / "board").glob("events.*")):
        for event in EventFileLoader(str(path)).Load():
            if event.HasField("session_log"):
                found = [step for step in found if step < event.step]
            if event.HasField("summary"):
                found.append(event.step)
    return found


CASES = {
    "tensorboard": Case(
        lambda folder: TensorBoardWriter(folder / "board"), lambda w, frame: w.write(frame, {"x": 0.5}), events
    ),
    "json lines": Case(
        lambda folder: JsonLinesWriter(folder / "lines.jsonl"),
        lambda w, frame: w.write(frame, {"x": 0.5}),
        lambda folder: [json.loads(line)["frame"] for line in (folder / "lines.jsonl").read_text().splitlines()],
    ),
    "csv": Case(
        lambda folder: CsvWriter(folder / "rows.csv", ["frame", "x"]),
        lambda w, frame: w.write({"frame": frame, "x": 0.5}),
        lambda folder: [int(row["frame"]) for row in csv.DictReader((folder / "rows.csv").open(newline=""))],
    ),
}
every_writer = pytest.mark.parametrize("kind", CASES)


@every_writer
def test_what_is_written_is_there_in_order_after_a_flush(kind: str, tmp_path: Path) -> None:
    case = CASES[kind]
    writer = case.make(tmp_path)
    for frame in (10, 20, 30):
        case.write(writer, frame)
    writer.flush()
    assert case.read(tmp_path) == [10, 20, 30]
    writer.close()
    assert case.read(tmp_path) == [10, 20, 30]


@every_writer
def test_a_resume_forgets_what_came_after_its_checkpoint(kind: str, tmp_path: Path) -> None:
    case = CASES[kind]
    writer = case.make(tmp_path)
    for frame in (10, 20):
        case.write(writer, frame)
    state = through_a_file(writer.state_dict())
    case.write(writer, 30)
    writer.close()
    resumed = case.make(tmp_path)
    resumed.load_state_dict(state)
    for frame in (30, 40):
        case.write(resumed, frame)
    resumed.close()
    assert case.read(tmp_path) == [10, 20, 30, 40]


@every_writer
def test_a_cleared_writer_begins_anew(kind: str, tmp_path: Path) -> None:
    case = CASES[kind]
    writer = case.make(tmp_path)
    case.write(writer, 10)
    writer.close()
    anew = case.make(tmp_path)
    anew.clear()
    case.write(anew, 5)
    anew.close()
    assert case.read(tmp_path) == [5]
