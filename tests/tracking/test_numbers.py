"""Numbers on command lines: in their range, or one line that says the range."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import pytest

from tracking.numbers import Range, real, shown, whole, whole_list

GOOD: list[tuple[Callable[[str], Any], str, Any]] = [
    (whole(1, 10), "1", 1),
    (whole(1, 10), "10", 10),
    (whole(1, 10_000), "1_000", 1000),
    (whole(1, 10**7), "1e6", 10**6),
    (real(0.0, 1.0), "0", 0.0),
    (real(0.0, 1.0), "1", 1.0),
    (real(0.0, 1.0), "5e-1", 0.5),
    (whole_list(0, 20), "0, 12", [0, 12]),
]
BAD: list[tuple[Callable[[str], Any], str, str]] = [
    (whole(1, 10), "0", "must lie between 1 and 10, is 0"),
    (whole(1, 10), "11", "must lie between 1 and 10, is 11"),
    (whole(1, 10), "1" + 26 * "0", "must lie between 1 and 10, is about 10^26"),
    (whole(1, 10), 5000 * "9", "give a whole number from 1 to 10, is "),
    (whole(1, 10), "1.5", "give a whole number from 1 to 10, is '1.5'"),
    (whole(0, 10**6), "", "give a whole number from 0 to 1,000,000, is ''"),
    (real(0.0, 1.0), "nan", "must lie between 0 and 1, is nan"),
    (real(0.0, 1.0), "inf", "must lie between 0 and 1, is inf"),
    (real(0.0, 1.0), "-1e-300", "must lie between 0 and 1, is -1e-300"),
    (real(0.0, 1.0), "a half", "give a number from 0 to 1, is 'a half'"),
    (whole_list(0, 20), "1,2,1", "give each number once, is '1,2,1'"),
    (whole_list(0, 20), "1,21", "must lie between 0 and 20, is 21"),
    *((whole_list(0, 20), text, "give whole numbers such as 0,1,2 from 0 to 20") for text in ("", "x", "1,", "1.5")),
]


@pytest.mark.parametrize(("kind", "text", "value"), GOOD)
def test_what_lies_in_the_range_is_read(kind: Callable[[str], Any], text: str, value: Any) -> None:
    assert kind(text) == value and type(kind(text)) is type(value)


@pytest.mark.parametrize(("kind", "text", "told"), BAD)
def test_what_does_not_is_told_with_the_range(kind: Callable[[str], Any], text: str, told: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        kind(text)
    assert str(caught.value).startswith(told) and len(str(caught.value)) < 200


def test_numbers_are_shown_as_people_write_them() -> None:
    assert [shown(n) for n in (4_000_000, -3, 10**18, -(10**400))] == [
        "4,000,000",
        "-3",
        "1,000,000,000,000,000,000",
        "about -10^400",
    ]
    assert [shown(n) for n in (0.25, 1e12, float("inf"), 1234567.5)] == ["0.25", "1e+12", "inf", "1.23457e+06"]
    assert str(Range(1, 10**9)) == "1 to 1,000,000,000"
