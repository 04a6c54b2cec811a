"""Commands run in this process."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tracking import command

ROOT = Path(__file__).resolve().parents[1]


class Captured(Exception):
    """A parser on the point of reading its arguments."""


@functools.cache
def parser_of(module: str) -> command.Parser:
    """That of the command `python -m MODULE`, taken when it is about to read its arguments."""

    def capture(self: command.Parser, *arguments: object, **more: object) -> None:
        raise Captured(self)

    if (ROOT / module.replace(".", "/") / "__main__.py").is_file():
        module += ".command"  # where a package with a __main__ has its parser
    main = importlib.import_module(module).main
    reading = {"parse_args": capture, "parse_known_args": capture}
    with patch.multiple(command.Parser, **reading), patch("sys.argv", ["it"]):
        try:
            main()
        except Captured as caught:
            parser = caught.args[0]
    assert isinstance(parser, command.Parser)
    return parser


def code_of(main: Callable[[list[str]], Any], arguments: Sequence[object]) -> int:
    """The exit code of a command, whether its `main` returns it or its parser exits with it."""
    try:
        return main([str(argument) for argument in arguments]) or 0
    except SystemExit as ended:
        assert isinstance(ended.code, int)
        return ended.code
