"""The page of a report: HTML that needs nothing but itself, with its figures inside. Its templates are in templates/.

Names come from files and folders. The templates escape every value, and show a question mark for letters that cannot be
shown.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from tracking.files import printable


def _shown(value: Any) -> Any:
    """What a template shows of a value, before it is escaped; HTML as it is."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    finalize=_shown,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters["whole_intervals"] = lambda text: escape(printable(text)).replace(", ", Markup(",&nbsp;"))
"""A line breaks before an interval, not inside it."""


_NOTHING = Markup()


def _rendered(template: str, **values: Any) -> Markup:
    return Markup(_TEMPLATES.get_template(template).render(values))


@dataclass(frozen=True)
class Picture:
    """A figure on the page: its files are called `name`.svg, .png and .csv; `svg` is the first one's content."""

    name: str
    svg: bytes
    caption: str


@dataclass(frozen=True)
class Made:
    """By what a page was made: the day, this program's commit (None where unknown), and the command as it was typed."""

    date: str
    commit: str | None
    command: str

    @property
    def short_commit(self) -> str:
        """Enough of it to find it, and whether tracked files differed from it."""
        name, plus, changes = (self.commit or "").partition("+")
        return f"{name[:10]}{plus}{changes}"


def page(
    title: str, sections: Sequence[tuple[str, Markup]], opening: Markup = _NOTHING, made: Made | None = None
) -> str:
    """The whole document; `opening` (HTML) stands above the contents; every section is a heading (words) and its body
    (HTML)."""
    return _rendered("page.html", title=title, opening=opening, sections=sections, made=made)


def verdict(sentences: Sequence[tuple[str, str]]) -> Markup:
    """A sentence per agent; see `experiments.report.verdict`."""
    return _rendered("verdict.html", sentences=sentences)


def definitions() -> Markup:
    """What the words and numbers mean."""
    return _rendered("definitions.html")


def picture(its: Picture) -> Markup:
    """The figure with its caption and the names of its files."""
    return _rendered("picture.html", data=base64.b64encode(its.svg).decode(), caption=its.caption, name=its.name)


def note(text: str) -> Markup:
    """A paragraph of plain words."""
    return Markup('<p class="note">{}</p>').format(printable(text))


def links(pages: Mapping[str, Path]) -> Markup:
    """A list of links, {words: where to}; the ways are relative."""
    return _rendered("links.html", links=[(quote(way.as_posix()), words) for words, way in pages.items()])


def table(head: Sequence[str], lines: Sequence[Sequence[str]], names: int = 1) -> Markup:
    """A table of words; the first `names` columns are not numbers."""
    return _rendered("table.html", head=head, lines=lines, names=names)


def number(value: float, digits: int = 2) -> str:
    """With a true minus sign; a dash where there is none."""
    if math.isnan(value):
        return "–"
    return f"{round(value, digits) + 0.0:,.{digits}f}".replace("-", "−")


def with_interval(row: Mapping[str, Any]) -> str:
    """mean [low, high], or the mean alone."""
    if math.isnan(row["low"]) or math.isnan(row["mean"]):
        return number(row["mean"])
    return f"{number(row['mean'])} [{number(row['low'])}, {number(row['high'])}]"
