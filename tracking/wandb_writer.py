"""The same numbers, pictures and words for Weights & Biases; the package is the optional extra `wandb`."""

from __future__ import annotations

import html
import importlib
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


class WandbWriter:
    """A `writers.Writer` for one W&B run of `project`, which a resumed run continues.

    Its steps are the numbers of the records, and the axis of every chart is the scalar `frame`. What a kill undid is
    written again under the same steps, which W&B leaves out, as they are not new. Nothing is begun before the first
    record. `name` is what the run is called, `settings` its hyper-parameters; files lie in `directory`/wandb until they
    are sent. The environment's WANDB_MODE=offline keeps them there, for `wandb sync`.
    """

    def __init__(self, project: str, name: str, directory: Path, settings: Mapping[str, Any]) -> None:
        self.project = project
        self.name = name
        self.directory = Path(directory)
        self.settings = dict(settings)
        self._id = ""  # of the run; "": not begun
        self._count = 0  # records so far
        self._run: Any = None

    def write(self, frame: int, scalars: Mapping[str, float]) -> None:
        """{name: number} at environment frame `frame`."""
        self._record({name: float(value) for name, value in scalars.items()}, frame)

    def image(self, frame: int, name: str, image: np.ndarray) -> None:
        """`image`: uint8 [H, W] or [H, W, 3]."""
        self._record({name: _wandb().Image(image)}, frame)

    def text(self, frame: int, name: str, text: str) -> None:
        """`text` is Markdown; shown as it is."""
        self._record({name: _wandb().Html(f"<pre>{html.escape(text)}</pre>")}, frame)

    def flush(self) -> None:
        """W&B sends in a process of its own."""

    def close(self) -> None:
        """End the process that sends; writing begins another, of the same run."""
        if self._run is not None:
            self._run.finish()
            self._run = None

    def clear(self) -> None:
        """Begin another run: W&B keeps what it was given."""
        self.close()
        self._id, self._count = "", 0

    def state_dict(self) -> dict[str, Any]:
        """{"id": the W&B run's, "records": how many it was given}"""
        return {"id": self._id, "records": self._count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with that run."""
        self.close()
        self._id, self._count = state["id"], state["records"]

    def _record(self, content: Mapping[str, Any], frame: int) -> None:
        if self._run is None:
            self._id = self._id or secrets.token_hex(4)
            self._run = _wandb().init(
                project=self.project,
                id=self._id,
                resume="allow",
                name=self.name,
                dir=str(self.directory),
                config=self.settings,
            )
            self._run.define_metric("*", step_metric="frame")
        self._run.log({"frame": frame, **content}, step=self._count)
        self._count += 1


def _wandb() -> Any:
    return importlib.import_module("wandb")
