"""TensorBoard's event files, written record by record.

Directly rather than through a SummaryWriter: all scalars of a call share one event, nothing waits in a
thread, and a flushed file ends at the border of a record, so that it can be cut there.
"""

import io
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader  # type: ignore[import-untyped]
from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata  # type: ignore[import-untyped]
from tensorboard.compat.proto.tensor_pb2 import TensorProto  # type: ignore[import-untyped]
from tensorboard.compat.proto.types_pb2 import DT_STRING  # type: ignore[import-untyped]
from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]

from tracking.append_file import AppendFile

_PREFIX = "events.out.tfevents."


def event_files(directory: Path) -> list[Path]:
    """Its files, in the order of writing."""
    return sorted(directory.glob(f"{_PREFIX}*"))


def last_step(file: Path) -> int:
    """The last frame in a file of events, as far as it can be read; 0 if there is nothing."""
    last = 0
    with suppress(Exception):  # whatever the loader says of a file that is damaged
        for event in EventFileLoader(str(file)).Load():
            last = max(last, event.step)
    return last


class TensorBoardWriter:
    """A `writers.Writer` for TensorBoard. The directory's event files belong to it: those that a loaded state
    does not know are removed. Every process writes files of its own, made at the first write.

    A file begins with the start of a session, at the frame after the last that was written before. A TensorBoard that
    has read what a kill undid lets go of everything from that frame on.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory)
        self._file: AppendFile | None = None
        self._latest: int | None = -1  # frame of what is in the files; None: unknown

    def write(self, frame: int, scalars: Mapping[str, float]) -> None:
        """All scalars in one event; float32 in the file."""
        values = [Summary.Value(tag=name, simple_value=float(value)) for name, value in scalars.items()]
        self._add(frame, Summary(value=values))

    def image(self, frame: int, name: str, image: np.ndarray) -> None:
        """`image`: uint8 [H, W] or [H, W, 3]."""
        png = io.BytesIO()
        Image.fromarray(image).save(png, format="PNG")
        picture = Summary.Image(
            height=image.shape[0],
            width=image.shape[1],
            colorspace=1 if image.ndim == 2 else 3,
            encoded_image_string=png.getvalue(),
        )
        self._add(frame, Summary(value=[Summary.Value(tag=name, image=picture)]))

    def text(self, frame: int, name: str, text: str) -> None:
        metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode()])
        tensor.tensor_shape.dim.add(size=1)
        self._add(frame, Summary(value=[Summary.Value(tag=name, metadata=metadata, tensor=tensor)]))

    def summary(self, frame: int, summary: Summary) -> None:
        """What one of TensorBoard's plugins reads (see `tracking.dashboard` and `tracking.hparams`)."""
        self._add(frame, summary)

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def clear(self) -> None:
        self.load_state_dict({"files": {}, "latest": -1})

    def state_dict(self) -> dict[str, Any]:
        """{"files": {name: durable bytes}, "latest": the largest frame in them, None if it is not known}"""
        if self._file is not None:
            self._file.size()
        return {
            "files": {path.name: path.stat().st_size for path in event_files(self.directory)},
            "latest": self._latest,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.close()
        for path in event_files(self.directory):
            AppendFile(path).truncate(state["files"].get(path.name, 0))
        self._latest = state.get("latest")  # states of former versions lack it

    def _add(self, frame: int, summary: Summary) -> None:
        if self._file is None:
            self._file = AppendFile(self.directory / self._new_name())
            self._record(Event(wall_time=time.time(), file_version="brain.Event:2"))
            if self._latest is not None:
                start = SessionLog(status=SessionLog.START)
                self._record(Event(wall_time=time.time(), step=self._latest + 1, session_log=start))
        if self._latest is not None:
            self._latest = max(self._latest, frame)
        self._record(Event(wall_time=time.time(), step=frame, summary=summary))

    def _record(self, event: Event) -> None:
        RecordWriter(self._file).write(event.SerializeToString())

    def _new_name(self) -> str:
        """Names sort in the order of writing, whatever the clock says: TensorBoard reads files in that
        order."""
        stamps = [int(path.name.removeprefix(_PREFIX).split(".")[0]) for path in event_files(self.directory)]
        stamp = max([int(time.time()), *(latest + 1 for latest in stamps)])
        return f"{_PREFIX}{stamp:010d}.{socket.gethostname()}.{os.getpid()}"
