"""When a moment comes: against a clock that is read minute by minute, and cases that people ask for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from parcours.core.waits import Open, due, following, local, moment, opening, since_midnight, wall
from parcours.definitions.waits import Until
from tests.core.world import instant
from tests.profiles import examples

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000

CHANGES = (
    ("Europe/Berlin", "2026-03-29T01:00:00Z"),
    ("Europe/Berlin", "2026-10-25T01:00:00Z"),
    ("America/New_York", "2026-03-08T07:00:00Z"),
    ("America/New_York", "2026-11-01T06:00:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),  # half an hour
    ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
    ("America/Sao_Paulo", "2018-11-04T03:00:00Z"),  # midnight does not exist
    ("America/Sao_Paulo", "2018-02-18T02:00:00Z"),  # a day begins twice
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),  # a whole day does not exist
    ("Africa/Casablanca", "2026-02-15T02:00:00Z"),
    ("Asia/Kolkata", "2026-05-01T00:00:00Z"),
    ("UTC", "2026-05-01T00:00:00Z"),
)
"""Zones, with instants at which their clocks are changed, or not."""


@st.composite
def places(draw: st.DrawFn) -> tuple[ZoneInfo, int]:
    """A zone, and a full minute near a change of its clocks."""
    zone, change = draw(st.sampled_from(CHANGES))
    away = draw(st.integers(-3 * 24 * 60, 2 * 24 * 60) | st.integers(-180, 180))
    return ZoneInfo(zone), instant(change) + away * MINUTE


def minutes(start: int, days: int) -> Iterator[int]:
    return iter(range(start, start + days * DAY, MINUTE))


def shown(zone: ZoneInfo, at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC).astimezone(zone)


def read(zone: ZoneInfo, at: int) -> tuple[date, int]:
    here = shown(zone, at)
    return here.date(), (here.hour * 60 + here.minute) * MINUTE


def first_shown(zone: ZoneInfo, day: date, time: int) -> int:
    """The first minute at which the clock shows a time of a day or, if it never does, one that is later."""
    begin = int(datetime.combine(day, datetime.min.time(), UTC).timestamp()) * 1000 - DAY
    looked = [(at, read(zone, at)) for at in minutes(begin, 4)]
    exact = [at for at, seen in looked if seen == (day, time)]
    return exact[0] if exact else next(at for at, seen in looked if seen > (day, time))


times = st.integers(0, 24 * 60 - 1).map(lambda minute: minute * MINUTE)
near_times = times | st.integers(0, 4 * 60).map(lambda minute: minute * MINUTE)
weekdays = st.frozensets(st.integers(0, 6), min_size=1)


@examples(60)
@given(places(), near_times)
def test_a_wall_time_is_the_first_minute_that_shows_it_or_else_the_first_behind_it(
    place: tuple[ZoneInfo, int], time: int
):
    zone, at = place
    day = shown(zone, at).date()
    assert wall(zone, day, time) == first_shown(zone, day, time)


@examples(30)
@given(places(), near_times, weekdays)
def test_the_next_time_of_day_is_the_first_that_comes_after_now(
    place: tuple[ZoneInfo, int], time: int, days: frozenset[int]
):
    zone, now = place
    around = [shown(zone, now).date() + timedelta(days=away) for away in range(-2, 10)]
    expected = min(at for day in around if day.weekday() in days and (at := first_shown(zone, day, time)) > now)
    assert following(zone, now, time, days) == expected


@examples(40)
@given(places(), near_times, near_times, weekdays)
def test_hours_open_at_the_first_minute_that_is_within_them(
    place: tuple[ZoneInfo, int], one: int, other: int, days: frozenset[int]
):
    zone, now = place
    start, end = one, other
    assume((end - start) % DAY >= 2 * HOUR)  # so that no change of the clock swallows them on most days
    found = opening(zone, now, Open(start, end, days))
    dates = [shown(zone, now).date() + timedelta(days=away) for away in range(-1, 10)]
    closing = timedelta(days=end < start)  # those that pass midnight are of the day on which they begin
    spans = [(wall(zone, day, start), wall(zone, day + closing, end)) for day in dates if day.weekday() in days]
    assert found == next(at for at in minutes(now, 11) if any(a <= at < b for a, b in spans))


@examples(100)
@given(places())
def test_what_a_clock_shows_is_read_back(place: tuple[ZoneInfo, int]):
    zone, at = place
    here = local(zone, at)
    back = wall(zone, here.date(), since_midnight(here))
    assert back == at or (here.fold and back < at)


def ask(now: str, zone: str = "Europe/Berlin", value: object = None, **until: object) -> str | None:
    asked = moment(msgspec.convert(until, Until))
    found = due(asked, asked.date or value, instant(now), ZoneInfo(zone))
    return None if found is None else local(ZoneInfo(zone), found).isoformat(timespec="minutes")


WEDNESDAY_NINE = {"time": "09:00", "weekdays": ["wed"]}


@pytest.mark.parametrize(
    "now, until, expected",
    [
        ("2026-07-01T08:59:59+02:00", WEDNESDAY_NINE, "2026-07-01T09:00+02:00"),
        ("2026-07-01T09:00:00+02:00", WEDNESDAY_NINE, "2026-07-08T09:00+02:00"),
        ("2026-07-01T10:00:00+02:00", WEDNESDAY_NINE, "2026-07-08T09:00+02:00"),
        ("2026-07-02T10:00:00+02:00", {"time": "09:00"}, "2026-07-03T09:00+02:00"),
        ("2026-07-02T10:00:00+02:00", {"weekdays": ["thu"]}, "2026-07-09T00:00+02:00"),
        ("2026-03-28T10:00:00+01:00", {"time": "02:30"}, "2026-03-29T03:00+02:00"),
        ("2026-10-24T10:00:00+02:00", {"time": "02:30"}, "2026-10-25T02:30+02:00"),
        ("2026-07-01T10:00:00+02:00", {"date": "2026-12-24"}, "2026-12-24T00:00+01:00"),
        ("2026-07-01T10:00:00+02:00", {"date": "2026-12-24", "time": "18:00"}, "2026-12-24T18:00+01:00"),
        ("2026-07-01T10:00:00+02:00", {"date": "2026-12-24T09:00:00Z"}, "2026-12-24T10:00+01:00"),
        ("2026-07-01T10:00:00+02:00", {"hours": {"from": "09:00", "to": "18:00"}}, "2026-07-01T10:00+02:00"),
        ("2026-07-03T18:00:00+02:00", {"hours": {"from": "09:00", "to": "18:00"}}, "2026-07-06T09:00+02:00"),
        ("2026-07-04T01:00:00+02:00", {"hours": {"from": "18:00", "to": "02:00"}}, "2026-07-04T01:00+02:00"),  # Friday's
        ("2026-07-05T01:00:00+02:00", {"hours": {"from": "18:00", "to": "02:00"}}, "2026-07-06T18:00+02:00"),
        ("2026-07-06T02:00:00+02:00", {"hours": {"from": "18:00", "to": "02:00"}}, "2026-07-06T18:00+02:00"),
        ("2026-07-04T23:59:00+02:00", {"hours": {"from": "09:00", "to": "24:00", "days": ["sat"]}}, "2026-07-04T23:59+02:00"),
    ],
)  # fmt: skip
def test_what_people_ask_for(now: str, until: dict[str, object], expected: str):
    assert ask(now, **until) == expected


@pytest.mark.parametrize(
    "value, until, expected",
    [
        ("2026-04-01", {}, "2026-04-01T00:00+02:00"),
        ("2026-04-01", {"before": "3d"}, "2026-03-29T00:00+01:00"),  # by the calendar, across the change
        ("2026-04-01", {"before": "3d", "time": "09:00"}, "2026-03-29T09:00+02:00"),
        ("2026-03-30T09:00:00+02:00", {"before": "1d"}, "2026-03-29T09:00+02:00"),
        ("2026-03-30T00:30:00+02:00", {"before": "1d"}, "2026-03-28T23:30+01:00"),  # elapsed, as both are instants
        ("2026-03-30T00:30:00+02:00", {"before": "1d", "time": "09:00"}, "2026-03-29T09:00+02:00"),
        ("2026-04-01T09:00:00+02:00", {"after": "90m"}, "2026-04-01T10:30+02:00"),
        ("2026-04-01", {"weekdays": ["mon"], "time": "10:00"}, "2026-04-06T10:00+02:00"),
        ("2026-04-04T20:00:00Z", {"hours": {"from": "09:00", "to": "18:00"}}, "2026-04-06T09:00+02:00"),
        ("tomorrow", {}, None),
        ("2026-04-01T09:00:00", {}, None),  # of no zone
        (7, {}, None),
        (None, {}, None),
        ("9999-12-31", {"after": "30d"}, "9998-12-31T01:00+01:00"),  # beyond the calendar: its end
        ("9999-12-31T23:59:59Z", {"after": "36500d"}, "9998-12-31T01:00+01:00"),
        ("9999-12-31", {"time": "09:00", "weekdays": ["mon"]}, "9998-12-31T01:00+01:00"),
        ("0001-01-01", {"before": "30d"}, "0002-01-01T00:53+00:53:28"),
    ],
)
def test_a_date_that_is_known_of_somebody(value: object, until: dict[str, object], expected: str | None):
    assert ask("2026-01-01T00:00:00Z", value=value, contact="renewal", **until) == expected
