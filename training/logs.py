"""The files into which a run writes its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec

import numpy as np

from configs.build import build_schedule
from configs.checks import ConfigError
from configs.schema import Config
from evaluation import remembered, table
from evaluation.play import GameResult
from evaluation.story import Records
from tracking import dashboard, hparams, task_log
from tracking.checkpoints import Stateful
from tracking.files import write_text
from tracking.run_directory import RunDirectory
from tracking.tensorboard import TensorBoardWriter
from tracking.wandb_writer import WandbWriter
from tracking.writers import CsvWriter, JsonLinesWriter, Writer, Writers
from training.launch import hyper_parameters
from training.pictures import LivePictures
from training.scalars import evaluation_scalars


def more_writers(run: RunDirectory, config: Config) -> list[Writer]:
    """The writers that a configuration asks for beside TensorBoard's and metrics.jsonl's."""
    if config.log.wandb is None:
        return []
    return [WandbWriter(config.log.wandb, run.path.name, run.path, hyper_parameters(config))]


def check_writers(config: Config) -> None:
    """Raise `ConfigError` if one of them cannot write here."""
    if config.log.wandb is not None and find_spec("wandb") is None:
        raise ConfigError("log.wandb: the package wandb is not installed; install it (pip install wandb), or set null")


class Logs:
    """TensorBoard's events, metrics.jsonl, evaluations.csv, task_changes.csv and confusion.csv of one run."""

    def __init__(self, run: RunDirectory, config: Config) -> None:
        self.run = run
        self.board = TensorBoardWriter(run.tensorboard)
        self.writers = Writers([self.board, JsonLinesWriter(run.metrics), *more_writers(run, config)])
        self.evaluations = CsvWriter(run.evaluations, table.COLUMNS)
        self.task_changes = CsvWriter(run.task_changes, task_log.COLUMNS)
        self.pictures = LivePictures(run.report)
        self.games = build_schedule(config).games

    @property
    def stateful(self) -> dict[str, Stateful]:
        """What a checkpoint holds of them, by its name there."""
        return {"writers": self.writers, "scores": self.evaluations, "changes": self.task_changes}

    def begin(self, config: Config) -> None:
        """Remove what an earlier beginning left behind, and describe the run to its readers."""
        for each in (self.writers, self.evaluations, self.task_changes):
            each.clear()
        self.writers.text(0, "config", self.run.config.read_text())
        left = config.consolidation
        pages = dashboard.pages(self.games, anchors=left.kind != "none", states=left.recall_states > 0)
        for summary in (dashboard.layout(pages), *hparams.start(hyper_parameters(config))):
            self.board.summary(0, summary)

    def write(self, frames: int, scalars: Mapping[str, float]) -> None:
        """A log event, which can be read at once."""
        self.writers.write(frames, scalars)
        self.writers.flush()

    def image(self, frames: int, name: str, image: np.ndarray) -> None:
        """A picture, uint8 [H, W]."""
        self.writers.image(frames, name, image)

    def task_changed(self, frames: int, game: str, task: int, posterior: float) -> None:
        """From this frame on `game` is played in `task`, of which the agent is so sure."""
        self.task_changes.write(task_log.row(frames, game, task, posterior))

    def confusion(self, frames: int, counts: Mapping[str, Mapping[int, int]]) -> None:
        """The confusion table of games and tasks so far (see `evaluation.inference_score`)."""
        write_text(self.run.confusion, task_log.confusion_csv(counts))
        self.writers.text(frames, "inference/confusion", task_log.confusion_markdown(counts))

    def evaluation(self, frames: int, results: Sequence[GameResult]) -> None:
        """The evaluation made at `frames`, whenever its results come: rows of the table, scores, how much of what a
        game had taught is retained, and the pictures of all that had been recorded by then. Totals, and the table that
        TensorBoard shows, are of evaluations of every game only."""
        for row in table.rows(frames, results):
            self.evaluations.write(row)
        rows, changes = table.evaluations(self.evaluations.text()), task_log.changes(self.task_changes.text())
        kept = remembered.kept(rows, changes, frames)
        whole = len(results) == len(self.games)
        self.writers.write(frames, evaluation_scalars(results, kept, whole))
        if whole:
            self.writers.text(frames, "charts/games", table.markdown(results, kept))
        by_then = [change for change in changes if change["frames"] < frames]
        for name, picture in self.pictures.draw(Records("this run", rows, by_then), frames):
            self.writers.image(frames, f"charts/{name}", picture)
        self.writers.flush()

    def end(self, frames: int) -> None:
        """The run is finished: nothing is written any more."""
        self.board.summary(frames, hparams.end())
        for each in (self.writers, self.evaluations, self.task_changes):
            each.close()
