"""What takes long to find out, kept piece by piece: a command that was interrupted goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tracking.files import write_text


class Kept:
    """Answers by name, JSON as they are, in a file: a line with the question, then a line for each of them.

    path      the file; nothing is written if it is None
    question  all that the answers depend on, as JSON can hold it; the file must be none of another one (see `claim`)
    """

    def __init__(self, path: Path | None, question: Mapping[str, Any]) -> None:
        self.path = path
        self._question = dict(question)
        self._answers: dict[str, Any] = _answers(_lines(path)) if path and path.is_file() else {}

    def get(self, name: str) -> Any:
        """The answer of this name, or None."""
        return self._answers.get(name)

    @property
    def empty(self) -> bool:
        """Whether no answer is kept."""
        return not self._answers

    def drop_empty(self) -> None:
        """Remove the file, and its folder if nothing else is there, unless an answer is in it, be it another
        command's that asks the same."""
        if self.empty and self.path and self.path.is_file() and len(_lines(self.path)) < 2:
            self.path.unlink()
            with suppress(OSError):
                self.path.parent.rmdir()

    def put(self, name: str, answer: Any) -> None:
        """Keep an answer; durable on return."""
        self._answers[name] = answer
        if self.path is None:
            return
        if self.path.is_file():  # where another command that asks the same may have kept more meanwhile
            self._answers = _answers(_lines(self.path)) | self._answers
        lines = [self._question, *({"name": name, "answer": one} for name, one in self._answers.items())]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.path, "".join(json.dumps(line) + "\n" for line in lines))


def claim(path: Path, question: Mapping[str, Any]) -> bool:
    """Make the file this question's if there is none; whether it is this question's. Of two commands that ask different
    ones at the same moment one gets it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError), path.open("x") as file:
        file.write(json.dumps(question) + "\n")
    return is_free(path, question)


def is_free(path: Path, question: Mapping[str, Any]) -> bool:
    """Whether the file is not there, or holds whole answers to this question."""
    try:
        if not path.exists():
            return True
        lines = _lines(path)
        _answers(lines)  # whole ones
        return bool(lines[0] == json.loads(json.dumps(question)))
    except (OSError, ValueError, IndexError, KeyError, TypeError):
        return False


def _answers(lines: Sequence[Any]) -> dict[str, Any]:
    return {line["name"]: line["answer"] for line in lines[1:]}


def _lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]
