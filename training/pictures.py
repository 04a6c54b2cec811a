"""The pictures of a run, the same while it goes on and at its end: scores, heatmap, timeline of tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from evaluation.heatmap import draw_heatmap
from evaluation.plots import pixels
from evaluation.score_figure import draw_scores
from evaluation.story import Records
from evaluation.timeline import draw_timeline
from tracking.append_file import tell
from tracking.files import write_atomically


def pictures(own: Records, reference: Records | None, end: int) -> dict[str, Callable[[], Figure]]:
    """{name: draws it} of what there is to show by frame `end`; scores also of the run beside this one."""
    found: dict[str, Callable[[], Figure]] = {}
    order = list(dict.fromkeys(row["game"] for row in own.evaluations))
    if own.evaluations:
        found["scores"] = lambda: draw_scores([own, reference] if reference else [own])
        found["heatmap"] = lambda: draw_heatmap(own)
    if own.changes:
        found["tasks"] = lambda: draw_timeline(own.changes, max(end, own.changes[-1]["frames"]), order)
    return found


class LivePictures:
    """Draws them after an evaluation, and leaves the latest in `folder`. One that fails is told of, once each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._failed: set[str] = set()

    def draw(self, records: Records, end: int) -> Iterator[tuple[str, np.ndarray]]:
        """(name, uint8 [H, W, 3]) of each."""
        for name, make in pictures(records, None, end).items():
            try:
                picture = pixels(make())
                self.folder.mkdir(parents=True, exist_ok=True)
                write_atomically(self.folder / f"{name}.png", lambda file: Image.fromarray(picture).save(file, "PNG"))  # noqa: B023
            except Exception as error:  # the run is complete, whatever its pictures are
                if name not in self._failed:
                    tell(f"the picture {name} could not be made: {type(error).__name__}: {error}")
                self._failed.add(name)
                continue
            yield name, picture
