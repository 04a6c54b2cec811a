"""Durations as a person reads them: the two largest units, and whole days from ten days on."""

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400  # in seconds


def spoken(seconds: float) -> str:
    """Such as "45 s", "3 min 20 s", "12 min", "3 h 12 min", "1 day 3 h" or "557 days"; `seconds` is at least 0."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    if seconds < 10 * _MINUTE - 0.5:
        return _two(round(seconds), _MINUTE, "min", "s")
    if seconds < _HOUR - _MINUTE / 2:
        return f"{seconds / _MINUTE:.0f} min"
    if seconds < _DAY - _MINUTE / 2:
        return _two(round(seconds / _MINUTE), 60, "h", "min")
    if seconds < 10 * _DAY - _HOUR / 2:
        hours = round(seconds / _HOUR)
        return _two(hours, 24, "day" if hours < 48 else "days", "h")
    return f"{seconds / _DAY:,.0f} days"


def _two(total: int, size: int, large: str, small: str) -> str:
    whole, left = divmod(total, size)
    return f"{whole} {large} {left} {small}" if left else f"{whole} {large}"
