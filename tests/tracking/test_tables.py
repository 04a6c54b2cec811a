"""A row is a line, whatever the terminal; columns leave in the order of their importance."""

import io

import pytest

from tracking.tables import Column, fitted, table, terminal_width, text

COLUMNS = [
    Column("game", ["montezuma_revenge", "[red]pong", "clipped total"], left=True),  # 9 + 17 = 20 wide with its border
    Column("random", ["12.0", "0.0", ""], leaves=2),  # 9
    Column("human", ["7,845.0", "0.0", ""], leaves=1),  # 10
    Column("score", ["5,450.0", "1.0", "2.5"]),  # 10
]


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (None, ["game", "random", "human", "score"]),
        (50, ["game", "random", "human", "score"]),
        (49, ["game", "human", "score"]),
        (40, ["game", "score"]),
        (10, ["game", "score"]),
    ],
)
def test_columns_leave_in_order(width: int | None, shown: list[str]) -> None:
    assert [column.title for column in fitted(COLUMNS, width)] == shown


@pytest.mark.parametrize("width", [None, 200, 80, 50, 49, 41, 40, 31])
def test_every_row_is_one_line_that_fits_and_no_name_is_cut(width: int | None) -> None:
    lines = text(table(COLUMNS, width, "Scores", "a caption " * 9, total=True), width).splitlines()
    assert all(len(line) <= (width or 1000) for line in lines)
    for name in COLUMNS[0].cells:
        assert sum(name in line for line in lines) == 1
    rows = [line for line in lines if line.startswith("│")]
    assert len(rows) == 3  # and above them the head, which has another border


def test_what_has_no_room_at_all_is_cut_on_a_terminal() -> None:
    rows = [line for line in text(table(COLUMNS, 25, "Scores"), 25).splitlines() if line.startswith("│")]
    assert len(rows) == 3 and "…" in rows[0]


def test_a_stream_that_is_no_terminal_has_no_width(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "77")
    assert terminal_width(io.StringIO()) is None and terminal_width(Terminal()) == 77
