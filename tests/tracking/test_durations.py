"""A person reads days, hours and minutes, never 13375.7 hours."""

import pytest

from tracking.durations import spoken

DAY = 86_400


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (599.6, "10 min"),
        (725, "12 min"),
        (3599, "1 h"),
        (3 * 3600 + 12 * 60, "3 h 12 min"),
        (DAY - 1, "1 day"),
        (DAY + 3 * 3600, "1 day 3 h"),
        (6 * DAY + 3 * 3600 + 1700, "6 days 3 h"),
        (10 * DAY - 1, "10 days"),
        (13375.7 * 3600, "557 days"),
    ],
)
def test_the_two_largest_units(seconds: float, told: str) -> None:
    assert spoken(seconds) == told
