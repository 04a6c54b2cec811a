"""A schedule of visits as people write it: a CSV file with the columns game and frames, from any spreadsheet."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from envs.games import game
from envs.schedule import Listed, Visit

_LONGEST = 20_000_000  # bytes
_MOST = 100_000  # visits; a year of the shortest that make sense


def load_schedule_csv(path: str | Path) -> Listed:
    """The visits in a CSV file, whatever its separator, byte order mark and spelling of numbers; ValueError names the
    file, the first wrong line and what would be right."""
    try:
        with open(path, "rb") as file:
            content = file.read(_LONGEST + 1)
        if len(content) > _LONGEST:  # as is a device that never ends
            raise ValueError(f"{path} has more than {_LONGEST:,} bytes; it should have lines such as krull,4000000")
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text; save it as CSV (UTF-8)") from None
    visits: list[Visit] = []
    for line, row in _rows(text, path):
        try:
            if len(visits) == _MOST:
                raise ValueError(f"at most {_MOST:,} visits; the list begins again after its end")
            visits.append(Visit(game(row["game"]).name, _whole(row["frames"])))
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: {error}") from None
    if not visits:
        raise ValueError(f"{path} has no visits; below game,frames it needs lines such as krull,4000000")
    return Listed(tuple(visits))


def _rows(text: str, path: str | Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, {column: cell}) of every line that is not blank, below the first one, which names the columns."""
    head = text.partition("\n")[0]
    reader = csv.reader(text.splitlines(), delimiter=max(",;\t", key=head.count), strict=True)
    columns: list[str] | None = None
    try:
        for cells in reader:
            row = [cell.strip() for cell in cells]
            while row and not row[-1]:
                row.pop()
            if columns is None:
                columns = [cell.lower() for cell in row]
                if max(map(columns.count, ("game", "frames"))) > 1:
                    raise ValueError(f"{path} must have each of its columns once in its first line, not {head[:80]!r}")
                if not {"game", "frames"} <= {*columns}:
                    raise ValueError(
                        f"{path} must have the columns game and frames in its first line, not {head[:80]!r}"
                    )
            elif row and len(row) != len(columns):
                raise ValueError(
                    f"{path}, line {reader.line_num}: {len(row)} cells where the first line has {len(columns)}; "
                    "a line is a game and a whole number of frames, such as krull,4000000"
                )
            elif row:
                yield reader.line_num, dict(zip(columns, row, strict=True))
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: no CSV: {error}") from None


def _whole(text: str) -> int:
    """4000 of "4000", "4_000", "4,000", "4 000" or "4000.0"; a point before three digits could mean either."""
    plain = re.sub(r"(?<=\d)[,_ \u00a0\u202f'](?=\d{3}(\D|$))", "", text)
    if match := re.fullmatch(r"\+?(\d{1,18})(\.0{1,2})?", plain):
        return int(match[1])
    raise ValueError(f"frames must be a whole number such as 4000000, is {text[:40]!r}")
