"""Durations as people write them: `90s`, `15m`, `24h`, `1d`, `2w`, `1d12h`."""

from __future__ import annotations

import re

UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
"""Milliseconds in a unit. A day is 24 hours of elapsed time, also across a clock change."""

PATTERN = r"^([0-9]{1,9}(ms|s|m|h|d|w))+$"
"""The JSON Schema pattern of a duration."""

LONGEST = 100 * 366 * UNITS["d"]

_PART = re.compile(r"([0-9]{1,9})(ms|s|m|h|d|w)")


def parse_duration(text: str) -> int:
    """Return a duration in milliseconds.

    Raises:
        ValueError: The text is not a duration, is zero, or is longer than 100 years.
    """
    if not re.fullmatch(PATTERN, text):
        raise ValueError(f"{text[:40]!r} is not a duration: write for example 30s, 15m, 24h, 7d or 1d12h")
    total = sum(int(number) * UNITS[unit] for number, unit in _PART.findall(text))
    if not 0 < total <= LONGEST:
        raise ValueError(f"{text[:40]!r} is out of range: a duration is more than 0 and at most 100 years")
    return total


def format_duration(milliseconds: int) -> str:
    """Return the shortest text that `parse_duration` reads back to the same number."""
    parts = []
    rest = milliseconds
    for unit in ("d", "h", "m", "s", "ms"):
        number, rest = divmod(rest, UNITS[unit])
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0ms"
