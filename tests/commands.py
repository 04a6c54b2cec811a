"""Commands run in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def code_of(main: Callable[[list[str]], Any], arguments: Sequence[object]) -> int:
    """The exit code of a command, whether its `main` returns it or its parser exits with it."""
    try:
        return main([str(argument) for argument in arguments]) or 0
    except SystemExit as ended:
        assert isinstance(ended.code, int)
        return ended.code
