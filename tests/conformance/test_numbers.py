"""Every number that a command takes is held to a range by its parser, before anything starts."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracking import command

ROOT = Path(__file__).resolve().parents[2]
OWN_CHECKS = ("benchmarks.soak", "benchmarks.side_by_side")  # after parsing, with tests of their own
SENSELESS = [
    "nan",
    "inf",
    "-1e300",
    "1e300",
    "-1",
    "1" + 30 * "0",
    5000 * "9",
    "x",
    "",
    "1,x",
    "\x00",
    "٣٣٣٣٣٣٣٣٣٣٣٣٣٣٣٣٣٣٣",
]


def commands() -> Iterator[str]:
    """The modules that make a parser of ours."""
    for path in sorted(
        [*ROOT.glob("*.py"), *(p for name in ("benchmarks", "experiments") for p in (ROOT / name).glob("*.py"))]
    ):
        if re.search(r"command\.Parser\(", path.read_text()):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts)


class Captured(Exception):
    """A parser on the point of reading its arguments."""


@pytest.fixture
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> command.Parser:
    """That of the command of this name."""

    def capture(self: command.Parser, *arguments: object, **more: object) -> None:
        raise Captured(self)

    with monkeypatch.context() as patched:
        patched.setattr(command.Parser, "parse_args", capture)
        patched.setattr(command.Parser, "parse_known_args", capture)
        patched.setattr("sys.argv", ["it"])
        with pytest.raises(Captured) as caught:
            importlib.import_module(request.param).main()
    found = caught.value.args[0]
    assert isinstance(found, command.Parser)
    return found


def test_there_are_commands() -> None:
    assert len([*commands()]) > 12 and "evaluate" in commands()


@pytest.mark.parametrize("parser", [name for name in commands() if name not in OWN_CHECKS], indirect=True)
def test_every_number_has_a_range_and_what_lies_outside_is_one_line(
    parser: command.Parser,
) -> None:
    for action in parser._actions:
        assert action.type not in (int, float), f"{action.option_strings} has no range"
        if getattr(action.type, "__module__", "") != "tracking.numbers":
            continue
        for value in SENSELESS:
            try:
                found = action.type(value)  # type: ignore[operator, misc]
            except argparse.ArgumentTypeError as error:
                assert len(str(error)) < 200 and "\n" not in str(error)
            else:
                raise AssertionError(f"{action.option_strings} takes {value!r} for {found}")
