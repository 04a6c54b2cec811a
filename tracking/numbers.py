"""Numbers that people give: the range in which each makes sense, and types for argparse that hold them to it."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Range:
    """From `least` to `most`, both included."""

    least: float
    most: float

    def problem(self, value: float) -> str | None:
        """What is wrong with `value`, as the end of a sentence; None if it lies within."""
        if self.least <= value <= self.most:  # false for nan
            return None
        return f"must lie between {shown(self.least)} and {shown(self.most)}, is {shown(value)}"

    def __str__(self) -> str:
        return f"{shown(self.least)} to {shown(self.most)}"


def as_whole(found: object) -> int:
    """The whole number that a value is or a text says, 1e6 and 400_000 among them; ValueError if it is none."""
    if type(found) is str:
        try:
            return int(found)
        except ValueError:
            found = float(found)
    if type(found) is float and found.is_integer():
        return int(found)
    if type(found) is not int:
        raise ValueError(f"{found} is no whole number")
    return found


def shown(value: float) -> str:
    """A number as a person would write it, however long it is."""
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e6 or not value.is_integer() else f"{value:.4g}"
    if abs(value) > 10**18:
        return f"about {'-' if value < 0 else ''}10^{math.log10(abs(value)):.0f}"
    return f"{value:,}"


def whole(least: int, most: int) -> Callable[[str], int]:
    """For `add_argument(type=...)`: a whole number in this range."""
    return lambda text: _in_range(text, int, "a whole number", Range(least, most))


def real(least: float, most: float) -> Callable[[str], float]:
    """For `add_argument(type=...)`: a number in this range."""
    return lambda text: _in_range(text, float, "a number", Range(least, most))


def whole_list(least: int, most: int) -> Callable[[str], list[int]]:
    """For `add_argument(type=...)`: [0, 1] of "0,1", each once and in this range."""

    def read(text: str) -> list[int]:
        found = [_in_range(part, int, "whole numbers such as 0,1,2", Range(least, most)) for part in text.split(",")]
        if len(set(found)) < len(found):
            raise argparse.ArgumentTypeError(f"give each number once, is {text[:100]!r}")
        return found

    return read


def _in_range(text: str, kind: type[Number], what: str, bounds: Range) -> Number:
    try:
        value = kind(text) if kind is float else kind(as_whole(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"give {what} from {bounds}, is {text[:100]!r}") from None
    if problem := bounds.problem(value):
        raise argparse.ArgumentTypeError(problem)
    return value
