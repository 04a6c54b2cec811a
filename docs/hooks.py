"""What `mkdocs build` does beside its own: files outside docs/ that a page shows or links become part of the site.

On GitHub a page says ../results/quick/scores.png. The site holds that file as results/quick/scores.png, and the link is
changed to it, so that one link works in both places and no picture lies in the repository twice.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

_ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r"(\]\()([^)\s#]+)")
_FENCE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


def _outside(page: str, target: str) -> str | None:
    """Where in the repository the link `target` of docs/`page` leads if that is outside docs/; None if it is not."""
    if "://" in target:
        return None
    place = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), target))
    return None if place.startswith(("docs/", "../")) else place


def _links(markdown: str) -> list[str]:
    """The targets of all links and pictures outside code."""
    return [match[2] for part in _FENCE.split(markdown)[::2] for match in _LINK.finditer(part)]


def on_files(files: Files, config: Any) -> Files:
    """Add what the pages link to outside docs/; a folder or a file that is not there is left to be complained of."""
    files.append(File.generated(config, "CHANGELOG.md", abs_src_path=str(_ROOT / "CHANGELOG.md")))
    for page in [*files.documentation_pages()]:
        for target in _links(page.content_string):
            place = _outside(page.src_uri, target)
            if place and (_ROOT / place).is_file() and files.get_file_from_path(place) is None:
                files.append(File.generated(config, place, abs_src_path=str(_ROOT / place)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links to them as the site has them."""
    here = page.file.src_uri

    def moved(match: re.Match[str]) -> str:
        place = _outside(here, match[2])
        if place is None or files.get_file_from_path(place) is None:
            return match[0]
        return match[1] + posixpath.relpath(place, posixpath.dirname(here) or ".")

    parts = _FENCE.split(markdown)
    return "".join(part if index % 2 else _LINK.sub(moved, part) for index, part in enumerate(parts))
