"""Tables for a person: no row ever breaks in two. Columns leave in the order of their importance instead."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

_UNBOUNDED = 100_000  # columns
_BORDERS = 3  # columns for each of a table's columns


@dataclass(frozen=True)
class Column:
    """A title, which may have several lines, and a cell for every row.

    leaves   0: never. Where there is no room for all, the column with the highest number leaves first
    """

    title: str
    cells: Sequence[str]
    leaves: int = 0
    left: bool = False


def fitted(columns: Iterable[Column], width: int | None) -> list[Column]:
    """The columns that fit into `width` together, in their order; None: all."""
    found = list(columns)
    while width is not None and _width(found) > width and any(column.leaves for column in found):
        found.remove(max(reversed(found), key=lambda column: column.leaves))
    return found


def table(
    columns: Iterable[Column], width: int | None, title: str, caption: str | None = None, total: bool = False
) -> Table:
    """Those that fit, as a table; `total`: the last row is set apart. On a terminal that is too narrow for those that
    never leave, cells are cut."""
    shown = fitted(columns, width)
    made = Table(title=title, caption=caption)
    for column in shown:
        justify = "left" if column.left else "right"
        made.add_column(column.title, justify=justify, no_wrap=True, overflow="ellipsis")  # type: ignore[arg-type]
    rows = list(zip(*(column.cells for column in shown), strict=True))
    for number, row in enumerate(rows):
        if total and number == len(rows) - 1:
            made.add_section()
        made.add_row(*row)
    return made


def terminal_width(stream: TextIO) -> int | None:
    """Columns of the terminal that `stream` is; None if it is none, where lines may be of any length."""
    return Console(file=stream).width if stream.isatty() else None


def console(width: int | None, stream: TextIO | None = None) -> Console:
    """Prints to a stream, the standard output if None, whose lines have so many columns; None: any number. Names from
    files are no markup."""
    return Console(file=stream, width=width or _UNBOUNDED, markup=False, emoji=False, highlight=False)


def text(shown: Table, width: int | None) -> str:
    """A table as plain lines."""
    lines = io.StringIO()
    console(width, lines).print(shown)
    return "\n".join(line.rstrip() for line in lines.getvalue().splitlines())


def _width(columns: Sequence[Column]) -> int:
    return 1 + sum(_BORDERS + max(map(cell_len, [*column.title.split("\n"), *column.cells])) for column in columns)
