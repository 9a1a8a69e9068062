"""Calendar arithmetic on instants, in a zone.

A wall time that does not exist moves forward to the first instant that does; one that exists twice means the first.

| asked                     | answer                                                                        |
|---------------------------|-------------------------------------------------------------------------------|
| a month from 31 January   | 28 February, at the same time of day                                          |
| the start of a week       | its Monday, at midnight                                                       |
| the end of a year         | the first instant of the next                                                 |
"""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache

from parcours.conditions.instants import MILLISECOND, milliseconds, moment_of

_MONTHS = 12
_QUARTER = 3
_LAST_YEAR = 9_998
"""Whatever lies beyond is at its end: no calendar goes on for ever."""

FIRST, LAST = milliseconds(datetime(2, 1, 1, tzinfo=UTC)), milliseconds(datetime(_LAST_YEAR, 12, 31, tzinfo=UTC))
"""The first and the last instant that clocks of every zone can show."""


def local(instant: int, zone: tzinfo) -> datetime:
    """Return an instant as wall time."""
    return moment_of(instant).astimezone(zone)


def instant_of(wall: datetime, zone: tzinfo) -> int:
    """Return the instant of a wall time (without a zone)."""
    aware = wall.replace(tzinfo=zone, fold=0)
    instant = aware.astimezone(UTC)
    back = instant.astimezone(zone).replace(tzinfo=None)
    if back != wall:
        # In a gap the offset from before it leads beyond it by as much as the clock jumps: back to its first instant.
        after = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
        low, high = sorted((instant, after))
        while high - low > MILLISECOND:
            middle = low + (high - low) // 2
            if middle.astimezone(zone).replace(tzinfo=None) >= wall:
                high = middle
            else:
                low = middle
        instant = high
    return milliseconds(instant)


def add(instant: int, months: int, days: int, zone: tzinfo) -> int:
    """Return the instant so many calendar months and then days later, at the same time of day."""
    wall = local(instant, zone).replace(tzinfo=None)
    whole = wall.year * _MONTHS + wall.month - 1 + months
    year, month = min(whole // _MONTHS, _LAST_YEAR), whole % _MONTHS + 1
    moved = wall.replace(year=year, month=month, day=min(wall.day, monthrange(year, month)[1]))
    days = min(days, (date(_LAST_YEAR, 12, 31) - moved.date()).days)
    return instant_of(moved + timedelta(days=days), zone)


@lru_cache(maxsize=4_096)
def start_of(unit: str, instant: int, zone: tzinfo) -> int:
    """Return the first instant of the day, week, month, quarter or year in which an instant lies."""
    return instant_of(datetime.combine(_first_day(unit, local(instant, zone).date()), datetime.min.time()), zone)


@lru_cache(maxsize=4_096)
def end_of(unit: str, instant: int, zone: tzinfo) -> int:
    """Return the first instant after the day, week, month, quarter or year in which an instant lies."""
    first = _first_day(unit, local(instant, zone).date())
    match unit:
        case "day":
            after = first + timedelta(days=1)
        case "week":
            after = first + timedelta(days=7)
        case "month":
            after = _month_after(first, 1)
        case "quarter":
            after = _month_after(first, _QUARTER)
        case _:
            after = first.replace(year=first.year + 1)
    return instant_of(datetime.combine(after, datetime.min.time()), zone)


def day_number(instant: int, zone: tzinfo) -> int:
    """Return the day of an instant as a number: 20261231."""
    return _day_of_quarter(instant // QUARTER_HOUR, zone) if instant > SETTLED else _day_number(instant, zone)


QUARTER_HOUR = 900_000
SETTLED = 473_385_600_000
"""Since 1985 every zone has been whole quarters of an hour off UTC, so that a day begins with one."""


@lru_cache(maxsize=4_096)
def _day_of_quarter(quarter: int, zone: tzinfo) -> int:
    return _day_number(quarter * QUARTER_HOUR, zone)


def _day_number(instant: int, zone: tzinfo) -> int:
    day = local(instant, zone).date()
    return day.year * 10_000 + day.month * 100 + day.day


def yearly(instant: int, month: int, day: int, years: int, zone: tzinfo) -> int:
    """Return the end of the next such day of a year, or of the one so many years after it."""
    year = local(instant, zone).year
    end = _end_of_day(year, month, day, zone)
    if end <= instant:
        year += 1
    return _end_of_day(min(year + years, _LAST_YEAR), month, day, zone)


def _end_of_day(year: int, month: int, day: int, zone: tzinfo) -> int:
    last = date(year, month, min(day, monthrange(year, month)[1]))
    return instant_of(datetime.combine(last + timedelta(days=1), datetime.min.time()), zone)


def _first_day(unit: str, day: date) -> date:
    match unit:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "quarter":
            return day.replace(month=(day.month - 1) // _QUARTER * _QUARTER + 1, day=1)
        case _:
            return day.replace(month=1, day=1)


def _month_after(first: date, months: int) -> date:
    whole = first.year * _MONTHS + first.month - 1 + months
    return date(whole // _MONTHS, whole % _MONTHS + 1, 1)
