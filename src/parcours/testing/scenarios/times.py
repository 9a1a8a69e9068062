"""Instants and lengths of time as people write them in a scenario."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from parcours.conditions.durations import parse_duration
from parcours.conditions.instants import milliseconds, moment_of

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONG = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_OF_DAY = re.compile(rf"(?:({'|'.join((*_LONG, *_DAYS))}) )?(\d\d?):(\d\d)(?::(\d\d))?", re.IGNORECASE)
_LENGTH = re.compile(r"[0-9a-z]+(-[0-9a-z]+)?")


def zone_of(name: str) -> ZoneInfo:
    """Return a zone.

    Raises:
        ValueError: There is none of this name.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"there is no time zone {name!r}: write for example Europe/Berlin") from None


def length_in(text: str) -> int:
    """Return a length of time in milliseconds: `24h`, or `1d-1s` for a second less than a day.

    Raises:
        ValueError: It is none.
    """
    if _LENGTH.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no length of time: write for example 24h, 1d12h or 1d-1s")
    longer, _, less = text.partition("-")
    length = parse_duration(longer) - (parse_duration(less) if less else 0)
    if length < 0:
        raise ValueError(f"{text!r} is less than nothing")
    return length


def is_length(text: str) -> bool:
    """Return whether a text is a length of time."""
    try:
        length_in(text)
    except ValueError:
        return False
    return True


def instant_in(text: str, now: int, zone: ZoneInfo, *, past: bool = False) -> int:
    """Return an instant in milliseconds.

    Args:
        text: With an offset, or local in the zone; a time of day is the next one, this instant included.
        now: What "next" is counted from.
        zone: The zone of times without an offset.
        past: Whether a time of day is the latest one instead, this instant included.

    Raises:
        ValueError: It is none, or one that the zone's clocks do not show.
    """
    found = _OF_DAY.fullmatch(text)
    if found is not None:
        return _closest(found, now, zone, past=past)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        hint = "write for example 2026-03-04T09:00:00Z, 2026-03-04 09:00, 09:00 or wed 09:00"
        raise ValueError(f"{text!r} is no time: {hint}") from None
    return milliseconds(time) if time.tzinfo is not None else _local(time, zone)


def _closest(found: re.Match[str], now: int, zone: ZoneInfo, *, past: bool) -> int:
    day, hour, minute, second = found.groups()
    today = moment_of(now).astimezone(zone)
    try:
        first = datetime(today.year, today.month, today.day, int(hour), int(minute), int(second or 0))  # noqa: DTZ001 (local)
    except ValueError:
        raise ValueError(f"{found[0]!r} is no time of day") from None
    for days in range(9):
        time = first - timedelta(days=days) if past else first + timedelta(days=days)
        if day is None or time.weekday() == _DAYS.index(day[:3].lower()):
            at = _local(time, zone)
            if at <= now if past else at >= now:
                return at
    raise ValueError(f"there is no {found[0]!r} to come")  # pragma: no cover (a week has every day)


def _local(time: datetime, zone: ZoneInfo) -> int:
    aware = time.replace(tzinfo=zone)
    instant = aware.astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) != time:
        raise ValueError(f"{time} does not exist in {zone.key}: the clocks are put forward; write it with an offset")
    return milliseconds(instant)


def shown(instant: int, zone: ZoneInfo) -> str:
    """Return an instant as people read it: the time of a zone, with its offset where that is not UTC."""
    time = moment_of(instant).astimezone(zone)
    text = time.strftime("%a %Y-%m-%d %H:%M:%S")
    if instant % 1000:
        text += f".{instant % 1000:03}"
    return text if zone.key == "UTC" else f"{text} {time.strftime('%z')[:3]}"
