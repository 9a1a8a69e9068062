"""Quiet hours: when they are over, by the clocks where a contact lives.

They begin on the days that are named and end on the same day, or on the next when their end is not after their
beginning. They last from their first instant to just before their last: `21:00` is within, `08:00` is not. A time that
a clock passes over is the first one after it; a time that comes twice is the first of both.
"""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import msgspec

from parcours.core.waits import clock, local, wall
from parcours.definitions.message import MessageDefinition
from parcours.definitions.policy import QuietHours
from parcours.definitions.waits import WEEKDAYS

_ONE_DAY = timedelta(days=1)
_MOST_IN_A_ROW = 8
"""How many quiet hours may follow on one another: those of a week."""


class Quiet(msgspec.Struct, frozen=True):
    """Quiet hours, ready to be asked: milliseconds since midnight, and days as `date.weekday` counts them."""

    start: int
    end: int
    days: frozenset[int]
    channels: frozenset[str]
    transactional: bool
    drop: bool

    def is_for(self, message: MessageDefinition) -> bool:
        """Return whether a message is held to them."""
        return (
            not message.exempt
            and (self.transactional or message.purpose == "marketing")
            and (not self.channels or message.channel in self.channels)
        )

    def over(self, zone: ZoneInfo, now: int) -> int | None:
        """Return when it is no longer quiet, or None when it is not quiet now."""
        found = None
        for _ in range(_MOST_IN_A_ROW):
            end = self._end(zone, now if found is None else found)
            if end is None:
                break
            found = end
        return found

    def _end(self, zone: ZoneInfo, now: int) -> int | None:
        today = local(zone, now).date()
        for day in (today - _ONE_DAY, today):
            if day.weekday() not in self.days:
                continue
            end = wall(zone, day + _ONE_DAY if self.end <= self.start else day, self.end)
            if wall(zone, day, self.start) <= now < end:
                return end
        return None


def compile_quiet(hours: QuietHours) -> Quiet:
    """Return quiet hours, ready to be asked."""
    return Quiet(
        clock(hours.start),
        clock(hours.end),
        frozenset(WEEKDAYS.index(day) for day in hours.days),
        frozenset(hours.channels),
        hours.transactional,
        hours.mode == "drop",
    )


def midnight(zone: ZoneInfo, at: int) -> int:
    """Return the instant at which the day of an instant began in a zone."""
    return wall(zone, local(zone, at).date(), 0)
