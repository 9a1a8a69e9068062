"""Instants: milliseconds since 1970 began in UTC. All that counts time counts so, and writes it as here.

Floating-point numbers are kept out of it: `datetime.timestamp() * 1000` is off by one for one time in a hundred.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
MICROSECOND = timedelta(microseconds=1)


def moment_of(instant: int) -> datetime:
    """Return an instant as a datetime in UTC.

    Raises:
        OverflowError: It is beyond the calendar.
    """
    return EPOCH + timedelta(milliseconds=instant)


def milliseconds(moment: datetime) -> int:
    """Return the instant of an aware datetime: the last that is not after it."""
    return (moment - EPOCH) // MILLISECOND


def first_milliseconds(moment: datetime) -> int:
    """Return the first instant that is not before an aware datetime."""
    return -((EPOCH - moment) // MILLISECOND)


def microseconds(moment: datetime) -> int:
    """Return an aware datetime as microseconds since the epoch."""
    return (moment - EPOCH) // MICROSECOND


def iso(instant: int, timespec: str = "milliseconds") -> str:
    """Return an instant as ISO 8601 in UTC, with a Z. `timespec` says how exactly, as `datetime.isoformat` has it.

    Raises:
        OverflowError: It is beyond the calendar.
    """
    return moment_of(instant).isoformat(timespec=timespec).replace("+00:00", "Z")


def brief(instant: int) -> str:
    """Return an instant as ISO 8601 in UTC, with milliseconds only where there are any.

    Raises:
        OverflowError: It is beyond the calendar.
    """
    return iso(instant, "milliseconds" if instant % 1_000 else "seconds")
