"""When a schedule comes round again: cron expressions and recurrence rules, in a time zone.

| written      | by                                                                                              |
|--------------|-------------------------------------------------------------------------------------------------|
| `cron`       | cronsim: five fields as in crontab, in wall time; as Debian's cron where the clock is changed    |
| `rrule`      | python-dateutil: RFC 5545, in wall time, from `start` on                                        |

A wall time of a recurrence rule that does not exist moves forward to the first instant that does; one that exists twice
means the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from dateutil.rrule import rrule, rrulestr

from parcours.conditions.instants import milliseconds
from parcours.core.waits import local, since_midnight, wall
from parcours.definitions.common import milliseconds_of
from parcours.definitions.entries import Schedule, SegmentEntry
from parcours.definitions.journey import JourneyDefinition
from parcours.definitions.zones import zone_of
from parcours.errors import Problem

_START = "2000-01-01"
"""When a rule begins that does not say; with this alone, only whole days are counted from there."""

_FIRST_YEAR = 1970
_LAST_YEARS = datetime(9_599, 1, 1)  # noqa: DTZ001 (wall time)
"""From here to the end of the calendar are 400 years, after which it repeats itself."""

_MOST_A_DAY = 24
_UNTIL_IN_UTC = re.compile(r"(?i)\bUNTIL=(\d{8}T\d{6})Z")

_ONE_DAY = timedelta(days=1)
_MOST_TRIED = 100
"""Occurrences that are passed over: those of the day before, and those that a change of the clock moves together."""


def zone_of_schedule(schedule: Schedule, journey: str, workspace: str) -> ZoneInfo:
    """Return the time zone of a schedule: its own, else the journey's, else the workspace's, else UTC."""
    return next((zone for name in (schedule.zone, journey, workspace) if (zone := zone_of(name))), ZoneInfo("UTC"))


def next_after(schedule: Schedule, zone: ZoneInfo, now: int) -> int | None:
    """Return the first instant after now, in milliseconds; None when there is none any more.

    Raises:
        ValueError: It cannot be read: `problem_of` says why.
    """
    if schedule.cron is not None:
        try:
            found = next(CronSim(schedule.cron, local(zone, now)), None)
        except OverflowError:
            return None  # the calendar ends before
        return None if found is None else milliseconds(found)
    here = local(zone, now).replace(tzinfo=None) - _ONE_DAY
    rule = _rule(schedule.rrule or "", schedule.start or _START, zone)
    for _ in range(_MOST_TRIED):
        here = rule.after(here)
        if here is None:
            return None
        at = wall(zone, here.date(), since_midnight(here))
        if at > now:
            return at
    return None


def instants_after(schedule: Schedule, zone: ZoneInfo, now: int) -> Iterator[int]:
    """Yield every instant after now, in milliseconds: what `next_after` returns again and again, at a cost that is linear.

    Raises:
        ValueError: It cannot be read: `problem_of` says why.
    """
    if schedule.cron is not None:
        at = next_after(schedule, zone, now)
        while at is not None:
            yield at
            at = next_after(schedule, zone, at)
        return
    # A rule that is asked for one instant begins at its start each time.
    before = local(zone, now).replace(tzinfo=None) - _ONE_DAY
    for here in _rule(schedule.rrule or "", schedule.start or _START, zone).xafter(before):
        at = wall(zone, here.date(), since_midnight(here))
        if at > now:
            yield at
            now = at


@lru_cache(maxsize=1_024)
def _rule(text: str, begins: str, zone: ZoneInfo) -> Any:
    """Return a rule in the wall time of a zone."""
    start = datetime.fromisoformat(begins)
    if start.tzinfo is not None:
        start = start.astimezone(zone).replace(tzinfo=None)
    # RFC 5545 has an end in UTC, and calendars write it so.
    text = _UNTIL_IN_UTC.sub(lambda found: f"UNTIL={_from_utc(found[1], zone):%Y%m%dT%H%M%S}", text)
    found = rrulestr(text, dtstart=start)
    if not isinstance(found, rrule):
        message = "it is more than one rule"
        raise TypeError(message)
    return found


def _from_utc(text: str, zone: ZoneInfo) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=UTC).astimezone(zone)


def _never(rule: Any) -> bool:
    """Return whether no day of the calendar fits a rule, without going through all the thousands of years that it has."""
    last = rule.replace(dtstart=_LAST_YEARS, interval=1, count=None, until=None)
    return next(iter(last), None) is None


_OFTEN = ("SECONDLY", "MINUTELY", "HOURLY")


def problem_of(schedule: Schedule, zone: ZoneInfo, pointer: str) -> Problem | None:
    """Return why a schedule cannot be read, or None."""
    field = "cron" if schedule.cron is not None else "rrule"
    text = (schedule.cron if schedule.cron is not None else schedule.rrule) or ""
    hint = "write for example '0 9 * * mon'" if field == "cron" else "write for example FREQ=WEEKLY;BYDAY=MO;BYHOUR=9"
    if schedule.start is not None:
        try:
            begins = datetime.fromisoformat(schedule.start)
        except ValueError:
            message, hint = "it is no date, and no date and time", "write for example 2026-12-01T09:00"
            return Problem(code="invalid_schedule", message=message, pointer=f"{pointer}/start", hint=hint)
        if begins.year < _FIRST_YEAR:
            message = f"it lies before {_FIRST_YEAR}"
            return Problem(code="invalid_schedule", message=message, pointer=f"{pointer}/start")
    if field == "rrule":
        if "\n" in text or "DTSTART" in text.upper():
            message = "it is more than one rule"
            return Problem(
                code="invalid_schedule",
                message=message,
                pointer=f"{pointer}/rrule",
                hint="give the first time as 'start'",
            )
        if any(f"FREQ={often}" in text.upper() for often in _OFTEN):
            message, often_hint = "it comes round more often than daily", "use 'cron' for that"
            return Problem(code="invalid_schedule", message=message, pointer=f"{pointer}/rrule", hint=often_hint)
    try:
        if field == "rrule" and (said := _refused(_rule(text, schedule.start or _START, zone))):
            return Problem(code="invalid_schedule", message=said[0], pointer=f"{pointer}/rrule", hint=said[1])
        found = next_after(schedule, zone, 0 if field == "cron" else _begin(schedule, zone))
    except (CronSimError, ValueError, TypeError, OverflowError, LookupError) as error:
        reason = str(error).strip().rstrip(".") or type(error).__name__
        message = f"it cannot be read: {reason}"
        return Problem(code="invalid_schedule", message=message, pointer=f"{pointer}/{field}", hint=hint)
    if found is None:
        return Problem(code="invalid_schedule", message="it never comes round", pointer=f"{pointer}/{field}", hint=hint)
    return None


def _refused(rule: Any) -> tuple[str, str] | None:
    """Return what a rule may not ask for, and what to write instead."""
    if rule._interval < 1:  # noqa: SLF001
        return f"its INTERVAL is {rule._interval}, so it never goes on", "write INTERVAL=1, or more"  # noqa: SLF001
    a_day = len(rule._byhour or (0,)) * len(rule._byminute or (0,)) * len(rule._bysecond or (0,))  # noqa: SLF001
    if a_day > _MOST_A_DAY:
        return f"it comes round {a_day:,} times a day; {_MOST_A_DAY} are the most", "use 'cron' for that"
    return ("it never comes round", "look at its months and days") if _never(rule) else None


def _begin(schedule: Schedule, zone: ZoneInfo) -> int:
    start = datetime.fromisoformat(schedule.start or _START)
    aware = start if start.tzinfo is not None else start.replace(tzinfo=zone)
    return milliseconds(aware) - 1


def over(
    definition: JourneyDefinition, known: JourneyDefinition | None, workspace_zone: str, now: int
) -> list[Problem]:
    """Return which times of a live journey are past when it is published, so that nothing comes of them.

    Nothing is said of what was published before: it had its time.
    """
    if definition.state != "live" or definition.archived:
        return []
    before = known if known is not None and known.state == "live" else None
    found: list[Problem] = []

    def say(message: str, pointer: str) -> None:
        found.append(Problem(code="over", message=message, pointer=pointer, hint="give a later one"))

    if definition.ends is not None and (before is None or before.ends != definition.ends):
        ends = milliseconds_of(definition.ends)
        if ends is not None and ends <= now:
            say("this is past, so the journey is closed at once", "/ends")
    entry = definition.entry
    if not isinstance(entry, SegmentEntry) or (before is not None and before.entry == entry):
        return found
    at = milliseconds_of(entry.at) if entry.at is not None else None
    if at is not None and at <= now:
        say("this moment is past, so nobody is read into the journey", "/entry/at")
    if entry.schedule is not None:
        zone = zone_of_schedule(entry.schedule, definition.zone, workspace_zone)
        if next_after(entry.schedule, zone, now) is None:
            say("it does not come round any more, so nobody is read into the journey", "/entry/schedule")
    return found


def problems_of_journey(definition: JourneyDefinition, workspace_zone: str, pointer: str = "") -> list[Problem]:
    """Return what is wrong with the schedule of a journey's entry."""
    entry = definition.entry
    if not isinstance(entry, SegmentEntry) or entry.schedule is None:
        return []
    schedule = entry.schedule
    if (schedule.cron is None) == (schedule.rrule is None):
        return []  # told with the definition
    zone = zone_of_schedule(schedule, definition.zone, workspace_zone)
    found = problem_of(schedule, zone, f"{pointer}/entry/schedule")
    return [found] if found is not None else []
