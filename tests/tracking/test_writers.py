"""Logs have every point once, wherever the run was stopped or killed."""

import json
import math
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.compat.proto.event_pb2 import SessionLog

from tracking.writers import CsvWriter, JsonLinesWriter, NullWriter, TensorBoardWriter, Writer, Writers


def both(directory: Path) -> Writers:
    return Writers([TensorBoardWriter(directory / "tb"), JsonLinesWriter(directory / "metrics.jsonl"), NullWriter()])


def drive(writer: Writer, start: int, stop: int) -> None:
    for frame in range(start, stop, 4):
        writer.write(frame, {"learn/loss": frame / 3, "act/epsilon": 0.1, "count": frame})
        if frame % 40 == 0:
            writer.text(frame, "task", f"switch at {frame} é")
            writer.image(frame, "screen", np.full((5, 7), frame % 256, np.uint8))


def events(directory: Path) -> list[Any]:
    """Every event in the order in which TensorBoard reads them; a file that is cut inside a record raises."""
    return [event for path in sorted(directory.glob("*")) for event in LegacyEventFileLoader(str(path)).Load()]


def points(directory: Path) -> list[tuple[int, str]]:
    return [(event.step, value.tag) for event in events(directory) for value in event.summary.value]


def test_stopped_killed_and_resumed_is_as_uninterrupted(tmp_path: Path) -> None:
    whole = both(tmp_path / "whole")
    drive(whole, 0, 400)
    whole.close()

    parts = tmp_path / "parts"
    first = both(parts)
    drive(first, 0, 100)
    state = first.state_dict()
    drive(first, 100, 160)
    first.flush()  # killed: never closed, and half a record has come to the disk
    for path in [parts / "metrics.jsonl", *(parts / "tb").iterdir()]:
        with open(path, "ab") as file:
            file.write(b'{"frame": 16')

    lost = both(parts)
    lost.load_state_dict(state)
    drive(lost, 100, 200)
    lost.flush()  # killed before its first checkpoint
    second = both(parts)
    second.load_state_dict(state)
    drive(second, 100, 300)
    state = second.state_dict()
    drive(second, 300, 320)
    second.load_state_dict(state)  # the same object may go back, too
    drive(second, 300, 400)
    second.close()

    assert (parts / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()
    expected = points(tmp_path / "whole" / "tb")
    assert points(parts / "tb") == expected and max(Counter(expected).values()) == 1
    assert len(expected) == 3 * 100 + 2 * 10
    accumulator = EventAccumulator(str(parts / "tb"), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    accumulator.Reload()
    assert [point.step for point in accumulator.Scalars("learn/loss")] == list(range(0, 400, 4))
    assert [point.value for point in accumulator.Scalars("count")] == list(range(0, 400, 4))
    assert [point.step for point in accumulator.Images("screen")] == list(range(0, 400, 40))
    first.close()
    lost.close()


@pytest.mark.parametrize("checkpoint", [None, 0, 100])
def test_an_open_tensorboard_forgets_what_a_kill_undid(tmp_path: Path, checkpoint: int | None) -> None:
    """TensorBoard's own reader, which goes on from where it was; None: killed before the first checkpoint."""
    accumulator = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    first = TensorBoardWriter(tmp_path)
    if checkpoint is not None:
        drive(first, 0, checkpoint + 4)
        state = first.state_dict()
    drive(first, 0 if checkpoint is None else checkpoint + 4, 160)
    first.flush()
    accumulator.Reload()
    assert [point.step for point in accumulator.Scalars("count")] == list(range(0, 160, 4))
    second = TensorBoardWriter(tmp_path)
    if checkpoint is None:
        second.clear()
    else:
        second.load_state_dict(state)
    drive(second, 0 if checkpoint is None else checkpoint + 4, 200)
    second.close()
    for reader in (accumulator, EventAccumulator(str(tmp_path), size_guidance={"scalars": 0, "images": 0})):
        reader.Reload()
        assert [point.step for point in reader.Scalars("count")] == list(range(0, 200, 4))
        assert [point.step for point in reader.Images("screen")] == list(range(0, 200, 40))
    first.close()


def test_a_state_of_a_former_version_makes_tensorboard_forget_nothing(tmp_path: Path) -> None:
    first = TensorBoardWriter(tmp_path)
    drive(first, 0, 100)
    files = {"files": first.state_dict()["files"]}
    second = TensorBoardWriter(tmp_path)
    second.load_state_dict(files)
    drive(second, 100, 200)
    second.close()
    accumulator = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0})
    accumulator.Reload()
    assert [point.step for point in accumulator.Scalars("count")] == list(range(0, 200, 4))
    first.close()


def test_all_scalars_of_a_call_are_one_event(tmp_path: Path) -> None:
    writer = TensorBoardWriter(tmp_path)
    writer.write(8, {"a": 1.0, "b": torch.tensor(2.5), "c": math.nan})
    writer.close()
    header, start, event = events(tmp_path)
    assert start.session_log.status == SessionLog.START and start.step == 0
    assert header.file_version == "brain.Event:2"
    assert event.step == 8 and [value.tag for value in event.summary.value] == ["a", "b", "c"]
    assert event.summary.value[1].simple_value == 2.5


def test_pictures_and_words_arrive(tmp_path: Path) -> None:
    writer = TensorBoardWriter(tmp_path)
    colour = np.zeros((3, 4, 3), np.uint8)
    writer.image(1, "colour", colour)
    writer.text(2, "words", "**é**")
    writer.close()
    accumulator = EventAccumulator(str(tmp_path))
    accumulator.Reload()
    picture = accumulator.Images("colour")[0]
    assert (picture.height, picture.width) == (3, 4) and picture.encoded_image_string.startswith(b"\x89PNG")
    assert accumulator.Tensors("words")[0].tensor_proto.string_val[0].decode() == "**é**"
    assert accumulator.SummaryMetadata("words").plugin_data.plugin_name == "text"


def test_a_writer_that_writes_nothing_makes_no_file(tmp_path: Path) -> None:
    writer = both(tmp_path)
    CsvWriter(tmp_path / "e.csv", ["a"]).close()
    writer.load_state_dict(writer.state_dict())
    writer.flush()
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_event_files_never_collide_and_sort_in_the_order_of_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 1_000_000.0)  # a clock that stands still, one process
    for frame in range(12):
        writer = TensorBoardWriter(tmp_path)
        writer.write(frame, {"a": 1.0})
        writer.close()
    assert len(list(tmp_path.iterdir())) == 12
    assert [step for step, _ in points(tmp_path)] == list(range(12))


def test_without_a_checkpoint_the_logs_start_again(tmp_path: Path) -> None:
    first = both(tmp_path)
    drive(first, 0, 40)
    first.close()
    second = both(tmp_path)
    second.clear()
    drive(second, 0, 4)
    second.close()
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2
    assert len(points(tmp_path / "tb")) == 5


def test_an_existing_file_is_appended_to(tmp_path: Path) -> None:
    for frame in range(3):
        writer = JsonLinesWriter(tmp_path / "m.jsonl")
        writer.write(frame, {"x": 1})
        writer.close()
    assert [json.loads(line)["frame"] for line in (tmp_path / "m.jsonl").read_text().splitlines()] == [
        0,
        1,
        2,
    ]


def test_every_line_is_json(tmp_path: Path) -> None:
    def reject(word: str) -> None:
        raise AssertionError(word)

    writer = JsonLinesWriter(tmp_path / "m.jsonl")
    values = {
        "nan": math.nan,
        "inf": math.inf,
        "down": -math.inf,
        "n": 3,
        "np": np.float32(0.5),
        "t": torch.tensor(2.0),
    }
    writer.write(4, values)
    writer.close()
    line = json.loads((tmp_path / "m.jsonl").read_text(), parse_constant=reject)
    assert line == {"frame": 4, "nan": None, "inf": None, "down": None, "n": 3, "np": 0.5, "t": 2.0}


DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "gone": lambda _: None,
    "empty": lambda _: b"",
    "zeroed": lambda data: bytes(len(data)),
    "cut": lambda data: data[: len(data) - 30],
    "one bit": lambda data: data[:15] + bytes([data[15] ^ 1]) + data[16:],
    "garbage": lambda data: bytes(range(256)) * 3,
}


def damage(path: Path, how: str) -> bytes | None:
    """Damage a file; what is in it afterwards, None if there is none."""
    content = DAMAGES[how](path.read_bytes())
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    return content


@pytest.mark.parametrize("how", DAMAGES)
def test_metrics_that_were_altered_are_kept_beside_and_the_lines_that_can_be_read_go_on(
    tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.jsonl"
    writer = JsonLinesWriter(path)
    drive(writer, 0, 40)
    state = writer.state_dict()
    whole = path.read_bytes().splitlines()
    wreck = damage(path, how)
    resumed = JsonLinesWriter(path)
    resumed.load_state_dict(state)
    told = capsys.readouterr().err
    assert str(path) in told and len(told.splitlines()) == 1
    beside = tmp_path / "m.jsonl.damaged"
    assert (beside.read_bytes() if beside.exists() else None) == wreck
    resumed.write(40, {"x": 1})
    again = resumed.state_dict()
    lines = path.read_bytes().splitlines()
    assert json.loads(lines.pop()) == {"frame": 40, "x": 1}
    # The bit is in a word, so that its line can still be read.
    assert len(lines) == {"cut": len(whole) - 1, "one bit": len(whole)}.get(how, 0)
    assert sum(line not in whole for line in lines) == (how == "one bit")
    JsonLinesWriter(path).load_state_dict(again)  # and is as it was left
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("how", DAMAGES)
def test_a_table_that_was_altered_is_kept_beside_and_written_again(
    tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "evaluations.csv"
    table = CsvWriter(path, ["frame", "game"])
    for frame in range(20):
        table.write({"frame": frame, "game": "pong"})
    state, content = table.state_dict(), path.read_bytes()
    wreck = damage(path, how)
    resumed = CsvWriter(path, ["frame", "game"])
    resumed.load_state_dict(state)
    told = capsys.readouterr().err
    assert str(path) in told and len(told.splitlines()) == 1
    assert path.read_bytes() == content
    beside = tmp_path / "evaluations.csv.damaged"
    assert (beside.read_bytes() if beside.exists() else None) == wreck
    damage(path, how)  # during the run
    assert resumed.text() == content.decode()


def test_events_someone_shortened_are_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer = TensorBoardWriter(tmp_path)
    drive(writer, 0, 40)
    state = writer.state_dict()
    (path,) = tmp_path.iterdir()
    os.truncate(path, 10)
    TensorBoardWriter(tmp_path).load_state_dict(state)
    assert "part of this log is lost" in capsys.readouterr().err
    assert path.stat().st_size == 10


def test_table(tmp_path: Path) -> None:
    path = tmp_path / "evaluations.csv"
    writer = CsvWriter(path, ["frame", "game", "score"])
    writer.write({"frame": 4, "game": "pong, hard", "score": 0.1})
    state = writer.state_dict()
    writer.write({"frame": 8, "game": "pong", "score": 1})
    with pytest.raises(ValueError, match="extra"):
        writer.write({"frame": 8, "extra": 1})
    resumed = CsvWriter(path, ["frame", "game", "score"])
    resumed.load_state_dict(state)
    resumed.write({"score": 2.5, "frame": 12})
    assert path.read_text() == 'frame,game,score\n4,"pong, hard",0.1\n12,,2.5\n'
    with pytest.raises(ValueError, match="has the columns frame,game,score, not frame"):
        CsvWriter(path, ["frame"]).write({"frame": 1})
    resumed.load_state_dict({"text": ""})
    resumed.write({"frame": 1})
    assert path.read_text() == "frame,game,score\n1,,\n"


def test_a_writer_more_begins_with_what_comes_and_one_less_is_forgotten(tmp_path: Path) -> None:
    """A resume may choose other writers; the first two are always the same."""
    first = JsonLinesWriter(tmp_path / "a.jsonl")
    first.write(4, {"x": 1})
    state = Writers([first]).state_dict()
    first.write(8, {"x": 2})
    first.close()
    more = Writers([JsonLinesWriter(tmp_path / "a.jsonl"), JsonLinesWriter(tmp_path / "b.jsonl")])
    more.load_state_dict(state)
    more.write(8, {"x": 3})
    again = more.state_dict()
    more.close()
    assert [json.loads(line)["x"] for line in (tmp_path / "a.jsonl").read_text().splitlines()] == [1, 3]
    assert [json.loads(line)["x"] for line in (tmp_path / "b.jsonl").read_text().splitlines()] == [3]
    less = Writers([JsonLinesWriter(tmp_path / "a.jsonl")])
    less.load_state_dict(again)
    assert less.state_dict()["writers"] == again["writers"][:1]
