"""When a moment comes: times of day, weekdays and dates in a time zone. Pure, as everything here.

| asked                               | answer                                                                          |
|-------------------------------------|---------------------------------------------------------------------------------|
| a time of day, weekdays             | the first such moment after now: at nine sharp, the next `09:00` is tomorrow's  |
| a date, or an attribute that is one | that day in the zone, at `time`, else at its beginning                          |
| a date and time                     | that instant; with `time`, that time on its day in the zone                     |
| `before`, `after`                   | whole days go by the calendar where a date or a `time` is meant, else elapsed   |
| `weekdays` besides                  | then the first of these days from there on, at the same time of day             |
| `hours`                             | at once inside of them, else when they next begin                               |

A wall time that does not exist moves forward to the first instant that does; one that exists twice means the first.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, timedelta
from datetime import time as clock_time
from zoneinfo import ZoneInfo

import msgspec

from parcours.conditions.durations import UNITS, parse_duration
from parcours.conditions.instants import MILLISECOND, milliseconds
from parcours.conditions.operators import is_date, to_instant
from parcours.core import dates
from parcours.definitions.waits import WEEKDAYS, Hours, Until

DAY = UNITS["d"]

_ONE_DAY = timedelta(days=1)
_LONGEST_CLOSED = 15
"""Days that may pass until hours begin: more than a week, for a change of the clock may swallow some."""


class Open(msgspec.Struct, frozen=True):
    """Hours, ready to be asked: milliseconds since midnight, and days as `date.weekday` counts them."""

    start: int
    end: int
    days: frozenset[int]


class Moment(msgspec.Struct, frozen=True):
    """A moment to wait for, ready to be asked."""

    time: int | None
    """Milliseconds since midnight."""
    weekdays: frozenset[int]
    date: str
    contact: str
    interaction: str
    offset: int
    hours: Open | None
    zone: str
    anchored: bool


def moment(until: Until) -> Moment:
    """Return a moment, ready to be asked."""
    offset = parse_duration(until.after) if until.after is not None else 0
    if until.before is not None:
        offset = -parse_duration(until.before)
    return Moment(
        time=clock(until.time) if until.time is not None else None,
        weekdays=frozenset(map(WEEKDAYS.index, until.weekdays or ())),
        date=until.date or "",
        contact=until.contact or "",
        interaction=until.interaction or "",
        offset=offset,
        hours=hours(until.hours) if until.hours is not None else None,
        zone=until.zone,
        anchored=until.anchored,
    )


def hours(written: Hours) -> Open:
    """Return hours, ready to be asked."""
    return Open(clock(written.start), clock(written.end), frozenset(map(WEEKDAYS.index, written.days)))


def clock(text: str) -> int:
    """Return a time of day (`09:00`, `23:59:59`, `24:00`) in milliseconds since midnight."""
    hour, minute, *second = map(int, text.split(":"))
    return hour * UNITS["h"] + minute * UNITS["m"] + (second[0] * UNITS["s"] if second else 0)


def due(asked: Moment, value: object, now: int, zone: ZoneInfo) -> int | None:
    """Return the instant of a moment; of one that has a date, `value` is that date.

    What is counted from now lies after it, or with `hours` at it; a date may lie before it. None when the value is no
    date. What is beyond the calendar is at its end, or its beginning: who writes 9999-12-31 means never.
    """
    if not asked.anchored:
        if asked.hours is not None:
            return opening(zone, now, asked.hours)
        return following(zone, now, asked.time or 0, asked.weekdays or _ANY_DAY)
    instant = to_instant(value)
    if instant is None:
        return None
    try:
        return min(max(_anchored(asked, value, instant, zone), dates.FIRST), dates.LAST)
    except OverflowError:
        return dates.LAST if milliseconds(instant) > now else dates.FIRST


def _anchored(asked: Moment, value: object, instant: datetime, zone: ZoneInfo) -> int:
    whole, rest = divmod(asked.offset, DAY)
    of_day = isinstance(value, str) and is_date(value)
    if of_day:
        day = instant.date()
        at = wall(zone, day, 0)
    else:
        at = milliseconds(instant)
        day = local(zone, at).date()
    if not rest and (of_day or asked.time is not None):
        day += whole * _ONE_DAY
        at = wall(zone, day, asked.time or 0)
    else:
        at += asked.offset
        if asked.time is not None:
            at = wall(zone, local(zone, at).date(), asked.time)
    if asked.weekdays:
        at = _on_weekday(zone, at, asked)
    return opening(zone, at, asked.hours) if asked.hours is not None else at


def _on_weekday(zone: ZoneInfo, at: int, asked: Moment) -> int:
    here = local(zone, at)
    if here.weekday() in asked.weekdays:
        return at
    time = asked.time if asked.time is not None else since_midnight(here)
    day = here.date()
    while day.weekday() not in asked.weekdays:
        day += _ONE_DAY
    return wall(zone, day, time)


def following(zone: ZoneInfo, now: int, time: int, weekdays: Collection[int]) -> int:
    """Return the first instant after now that is a time of day on one of some weekdays (as `date.weekday` counts)."""
    # From the day before on: where a clock is put back at midnight, a day begins twice.
    day = local(zone, now).date() - _ONE_DAY
    while True:
        if day.weekday() in weekdays:
            at = wall(zone, day, time)
            if at > now:
                return at
        day += _ONE_DAY


def opening(zone: ZoneInfo, at: int, asked: Open) -> int:
    """Return the first instant at or after one that is within hours; those that pass midnight are of the day they begin."""
    overnight = _ONE_DAY if asked.end <= asked.start else timedelta()
    day = local(zone, at).date() - _ONE_DAY  # what began the day before may still go on
    for _ in range(_LONGEST_CLOSED):
        if day.weekday() in asked.days and at < (end := wall(zone, day + overnight, asked.end)):
            start = wall(zone, day, asked.start)
            if start < end:
                return max(at, start)
        day += _ONE_DAY
    return at


def local(zone: ZoneInfo, at: int) -> datetime:
    """Return an instant as the clocks of a zone show it."""
    return dates.local(at, zone)


def since_midnight(here: datetime) -> int:
    """Return the time of day that a clock shows, in milliseconds since midnight."""
    return ((here.hour * 60 + here.minute) * 60 + here.second) * 1_000 + here.microsecond // 1_000


def wall(zone: ZoneInfo, day: date, time: int) -> int:
    """Return the instant at which the clocks of a zone show a time of a day (milliseconds since midnight)."""
    return dates.instant_of(datetime.combine(day, _MIDNIGHT) + time * MILLISECOND, zone)


_ANY_DAY = frozenset(range(7))
_MIDNIGHT = clock_time.min
