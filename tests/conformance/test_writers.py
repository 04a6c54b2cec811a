"""What every writer holds to: what was written after a checkpoint is forgotten by a resume, all else is there once."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from tests.conformance.alike import through_a_file
from tracking.tensorboard import TensorBoardWriter
from tracking.wandb_writer import WandbWriter
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


class Server:
    """What W&B does with runs and their steps, in a file: a step that is not new is left out."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "server.json"

    def init(self, *, id: str, resume: str, **_: object) -> Server:
        self.id = id
        assert resume == "allow"
        return self

    def define_metric(self, name: str, step_metric: str) -> None:
        assert (name, step_metric) == ("*", "frame")

    def log(self, content: dict[str, float], step: int) -> None:
        runs = self.runs()
        lines = runs.setdefault(self.id, [])
        if step >= len(lines):
            lines.append(content["frame"])
        self.file.write_text(json.dumps(runs))

    def runs(self) -> dict[str, list[int]]:
        return json.loads(self.file.read_text()) if self.file.exists() else {}

    def finish(self) -> None:
        pass


def wandb(folder: Path) -> WandbWriter:
    sys.modules["wandb"] = Server(folder)  # type: ignore[assignment]
    return WandbWriter("atari", "run", folder, {})


@pytest.fixture(autouse=True)
def no_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)


CASES = {
    "wandb": Case(
        wandb, lambda w, frame: w.write(frame, {"x": 0.5}), lambda folder: [*Server(folder).runs().values()][-1]
    ),
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
