"""Fields of settings: a number stands beside the range in which it makes sense."""

from __future__ import annotations

from dataclasses import field
from typing import Any


def number(default: float | None, least: float, most: float) -> Any:
    """A field that makes sense from `least` to `most`, both included; None, where it may be null, is no number."""
    return field(default=default, metadata={"range": (least, most)})


def needed(least: float, most: float) -> Any:
    """The same without a default."""
    return field(metadata={"range": (least, most)})
