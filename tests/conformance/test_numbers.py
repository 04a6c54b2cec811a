"""Every number that a command takes is held to a range by its parser, before anything starts."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import parser_of

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
    yield "evaluate"  # whose parser is in evaluation/options.py
    for path in sorted(
        [*ROOT.glob("*.py"), *(p for name in ("benchmarks", "experiments") for p in (ROOT / name).glob("*.py"))]
    ):
        if re.search(r"command\.Parser\(", path.read_text()):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts)


def test_there_are_commands() -> None:
    assert len([*commands()]) > 12 and "evaluate" in commands()


@pytest.mark.parametrize("name", [name for name in commands() if name not in OWN_CHECKS])
def test_every_number_has_a_range_and_what_lies_outside_is_one_line(name: str) -> None:
    for action in parser_of(name)._actions:
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
