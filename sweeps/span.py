"""What a setting may be in a search: a range of numbers or a list of choices, checked as the file gives it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, get_type_hints

from configs.checks import ConfigError
from configs.schema import Config
from sweeps.fields import refuse_unknown
from tracking.numbers import shown

_FIELDS = ("low", "high", "log", "step", "choices")
_SCALARS = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Span:
    """From `low` to `high`, both included: on a logarithmic scale, or in steps from `low` on; or one of `choices`.

    whole  numbers are whole, as the setting asks for
    """

    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None
    choices: tuple[Any, ...] = ()
    whole: bool = False

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values that are checked before anything runs: both ends, or all choices."""
        return self.choices or (self.low, self.high)

    @property
    def points(self) -> tuple[Any, ...]:
        """All values in order; none where there is no number of them."""
        if self.choices:
            return self.choices
        if self.log or (self.step is None and not self.whole):
            return ()
        step = self.step or 1
        values = (self.low + k * step for k in range(int((self.high - self.low) / step + 1e-9) + 1))
        return tuple(int(value) if self.whole else float(value) for value in values)

    def as_fields(self) -> dict[str, Any]:
        """As it stands in a file."""
        if self.choices:
            return {"choices": list(self.choices)}
        step = {} if self.step is None else {"step": self.step}
        return {"low": self.low, "high": self.high, **({"log": True} if self.log else {}), **step}


def to_span(name: str, found: Any, where: str) -> Span:
    """That of the setting `name`, from what is given for it; ConfigError with one sentence for any mistake."""
    if not isinstance(found, dict):
        raise ConfigError(f"{where}: give {{low: 1, high: 9}} or {{choices: [a, b]}}, is {str(found)[:100]!r}")
    refuse_unknown(map(str, found), _FIELDS, where)
    if "choices" in found:
        if extra := [key for key in _FIELDS[:-1] if key in found]:
            raise ConfigError(f"{where}: choices have no {extra[0]}: give either a range or choices")
        return Span(choices=_choices(found["choices"], f"{where}: choices"))
    for end in ("low", "high"):
        if end not in found:
            raise ConfigError(f"{where}: {end} is missing: give {{low: 1, high: 9}} or {{choices: [a, b]}}")
    kind = _kind(name)
    if kind not in (int, float):
        raise ConfigError(f"{where}: {name} is no number: give {{choices: [a, b]}}")
    whole = kind is int
    low, high = (_number(found[end], f"{where}: {end}", whole) for end in ("low", "high"))
    step = None if found.get("step") is None else _number(found["step"], f"{where}: step", whole)
    log = found.get("log", False)
    if not isinstance(log, bool):
        raise ConfigError(f"{where}: log: must be true or false, is {str(log)[:100]!r}")
    if low >= high:
        raise ConfigError(f"{where}: low must be below high, is {shown(low)} and high {shown(high)}")
    if log and low <= 0:
        raise ConfigError(f"{where}: low must be above 0 for log: true, is {shown(low)}")
    if log and step is not None:
        raise ConfigError(f"{where}: step: a logarithmic range has no steps; leave out step or log")
    if step is not None and not 0 < step <= high - low:
        raise ConfigError(f"{where}: step: must be above 0 and at most high - low, is {shown(step)}")
    return Span(low, high, log, step, whole=whole)


def _choices(found: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(found, list) or len(found) < 2 or not all(isinstance(each, _SCALARS) for each in found):
        raise ConfigError(f"{where}: give a list of two or more words or numbers, is {str(found)[:100]!r}")
    if len(set(map(repr, found))) < len(found):
        raise ConfigError(f"{where}: give each value once, is {str(found)[:100]!r}")
    return tuple(found)


def _number(found: Any, where: str, whole: bool) -> float:
    """YAML takes 1e-4 for a word, and 4.0 for a whole number only if it is asked."""
    try:
        value = float(found) if isinstance(found, str | int | float) and not isinstance(found, bool) else float("nan")
    except (ValueError, OverflowError):
        value = float("nan")
    if not abs(value) < float("inf") or (whole and value != int(value)):
        raise ConfigError(f"{where}: must be a {'whole ' if whole else ''}number, is {str(found)[:100]!r}")
    return int(value) if whole else value


def _kind(name: str) -> Any:
    """The type of the field of this dotted name."""
    kind: Any = Config
    for part in name.split("."):
        kind = get_type_hints(kind)[part]
    return kind


def corners(spans: dict[str, Span], most: int) -> Iterable[dict[str, Any]]:
    """{setting: value} at every combination of the ends; if those are more than `most`, every end by itself."""
    found: list[dict[str, Any]] = [{}]
    for name, span in spans.items():
        found = [{**point, name: value} for point in found for value in span.ends]
        if len(found) > most:
            return [{name: value} for name, span in spans.items() for value in span.ends]
    return found
