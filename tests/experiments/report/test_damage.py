"""A report on runs with a damaged file: the file is named in one sentence, or what is left is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.report import figures
from experiments.report.command import main, write_picture
from experiments.report.data import ReportError, read_run
from tests.experiments.report.test_command import METRICS, make_run

_SCORES = "frames,game,mean,random,human\n"
_CHANGES = "frames,game,task,posterior\n"

REFUSED = {
    "evaluations.csv": [
        _SCORES + "100,toy_catch,1,0,10\n200,toy_avoid,1,0,10\n",
        _SCORES + "x,toy_catch,1,0,10\n",
        _SCORES + f"100,{'x' * 200_000},1,0,10\n",
        _SCORES + "100,toy_catch,1,0,10\n",
        "frames,game\n100,toy_catch\n",
        "\0" * 50,
    ],
    "task_changes.csv": ["", _CHANGES, _CHANGES + "0,krull,0,1\n", _CHANGES + "0,toy_catch,x,1\n", "\0", "frames\n0\n"],
    "confusion.csv": ["game,task x\ntoy_catch,1\n", "game,task 0\nkrull,5\n", "game,task 0\ntoy_catch,\n"],
    "metrics.jsonl": [
        *("[]\n", "3\n", "{\n", "null\n", '{"learning/q": 1}\n'),
        *('{"frame": "x", "learning/q": 1}\n', '{"frame": 1e400, "learning/q": 1}\n'),
    ],
    "config.yaml": ["", "[]", "3", "{", "seed: x\n", "seed: [1]\n", "a: &a [*a]\n", "[" * 3000, "seed: null\n"],
}
TOLD = {
    "evaluations.csv": [
        _SCORES + "100,toy_catch,nan,0,10\n100,toy_avoid,inf,0,10\n",
        _SCORES + "100,toy_catch,1,0,0\n100,toy_avoid,1,0,0\n",
    ],
    "confusion.csv": ["", "game\n", "\0", "game,task 0\ntoy_catch,0\n"],
    "metrics.jsonl": [
        '{"frame": 10, "learning/loss": Infinity, "learning/q": -1e308}\n{"frame": 20, "learning/q": 1e308}\n',
        '{"frame": 150, "learning/fisher_overlap_task0_layer0": NaN}\n',
        '{"frame": 150, "learning/fisher_overlap_task9_layer0": 0.5}\n{"frame": 160, "learning/lo',
    ],
    "status.json": ["[]", "{}", "{", '{"frames": "x"}'],
}


def cases(files: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(name, text) for name, texts in files.items() for text in texts]


def first_and_more(files: dict[str, list[str]]) -> list[Any]:
    """Of every file one case, and the others as slow tests."""
    return [
        pytest.param(name, text, marks=[pytest.mark.slow] if i else [])
        for name, texts in files.items()
        for i, text in enumerate(texts)
    ]


def damaged(folder: Path, name: str, text: str) -> Path:
    run = make_run(folder / "ewc-1", 1, [[2, 8, 7, 6], [0, 1, 3, 9]], task_source="inferred", metrics=METRICS)
    (run / "confusion.csv").write_text("game,task 0,task 1\ntoy_catch,12,0\ntoy_avoid,3,9\n")
    (run / name).write_text(text)
    return run


@pytest.mark.parametrize(("name", "text"), cases(REFUSED))
def test_a_damaged_file_is_named_in_one_sentence(name: str, text: str, tmp_path: Path) -> None:
    run = damaged(tmp_path, name, text)
    with pytest.raises(ReportError) as refused:
        read_run(run)
    said = str(refused.value)
    assert str(run) in said and len(said.splitlines()) == 1 and len(said) < 400
    assert name in said or "no moment at which" in said or "task_changes.csv names toy_avoid" in said


@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize(("name", "text"), first_and_more(TOLD))
def test_what_is_left_is_told(name: str, text: str, tmp_path: Path) -> None:
    assert main([str(damaged(tmp_path, name, text)), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "report.html").read_text().count("<section ") >= 9


def test_a_figure_that_cannot_be_drawn_is_a_sentence_and_its_numbers_are_kept(tmp_path: Path) -> None:
    rows = [
        {"agent": "a", "seeds": 1, "frames": at, "total": value, "low": np.nan, "high": np.nan}
        for at, value in ((0, -1e308), (100_000, 1e308))
    ]
    told = write_picture(tmp_path, "totals", rows, lambda: figures.draw_totals(rows, 2), "words")
    assert "cannot be drawn" in told and "<img" not in told and "totals.csv" in told
    assert (tmp_path / "totals.csv").is_file()
