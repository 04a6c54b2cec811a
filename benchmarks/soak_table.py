"""The samples of a soak as a table: what was there in every half hour, and how fast each quantity grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

_HALF_HOUR = 30.0  # minutes
_SETTLING = 5.0  # minutes of a launch that its own slope leaves out: caches fill


def table(samples: Sequence[Mapping[str, float]]) -> list[str]:
    """Lines of markdown. Rows are the last sample of each half hour, but the mean of frames_per_s; then the slope per
    hour over the second half, and that within launches, which a restart does not hide."""
    if not samples:
        return ["no sample was taken"]
    names = [name for name in samples[0] if name not in ("minutes", "launch")]
    groups: dict[int, list[Mapping[str, float]]] = {}
    for sample in samples:
        groups.setdefault(int(np.ceil(sample["minutes"] / _HALF_HOUR)), []).append(sample)
    lines = ["| hours | launches | " + " | ".join(names) + " |", "|---" * (len(names) + 2) + "|"]
    for group, rows in groups.items():
        values = [rows[-1][name] for name in names]
        values[names.index("frames_per_s")] = float(np.mean([row["frames_per_s"] for row in rows]))
        hours = min(group * _HALF_HOUR, rows[-1]["minutes"]) / 60
        lines.append(f"| {hours:.2f} | {rows[-1]['launch']:.0f} | " + " | ".join(map(_shown, values)) + " |")
    second = [row for row in samples if row["minutes"] > samples[-1]["minutes"] / 2]
    for title, slopes in (
        ("per hour, second half", [slope(second, name) for name in names]),
        ("the same within launches", [slope_within(second, name) for name in names]),
    ):
        lines.append(f"| {title} | | " + " | ".join(map(_shown, slopes)) + " |")
    return lines


def slope(samples: Sequence[Mapping[str, float]], name: str) -> float:
    """Of a straight line through all samples, per hour; NaN for fewer than two."""
    return _fit([[(sample["minutes"] / 60, sample[name]) for sample in samples]])


def slope_within(samples: Sequence[Mapping[str, float]], name: str) -> float:
    """Of parallel lines, one through the samples of each launch without its first minutes, per hour."""
    launches: dict[float, list[tuple[float, float]]] = {}
    began: dict[float, float] = {}
    for sample in samples:
        first = began.setdefault(sample["launch"], sample["minutes"])
        if sample["minutes"] - first >= _SETTLING:
            launches.setdefault(sample["launch"], []).append((sample["minutes"] / 60, sample[name]))
    return _fit(list(launches.values()))


def _fit(lines: Sequence[Sequence[tuple[float, float]]]) -> float:
    """The common slope of least squares of several lines, each with a height of its own."""
    centred = [np.array(line) - np.mean(line, axis=0) for line in lines if line]
    if not centred:
        return float("nan")
    x, y = np.concatenate(centred).T
    return float(x @ y / (x @ x)) if x.any() else float("nan")


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or float(value).is_integer() else f"{value:,.2f}"
