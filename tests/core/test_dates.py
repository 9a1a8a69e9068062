"""Calendar arithmetic, at the edges of zones and months."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcours.core import dates
from tests.core.world import instant

BERLIN, NEW_YORK, UTC = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"), ZoneInfo("UTC")


@pytest.mark.parametrize(
    "start, months, days, end",
    [
        ("2026-01-31T09:00:00+01:00", 1, 0, "2026-02-28T09:00:00+01:00"),
        ("2027-12-31T09:00:00+01:00", 2, 0, "2028-02-29T09:00:00+01:00"),
        ("2026-01-31T09:00:00+01:00", 1, 1, "2026-03-01T09:00:00+01:00"),
        ("2026-02-28T12:00:00+01:00", 1, 1, "2026-03-29T12:00:00+02:00"),  # across the change of the clocks
        ("2026-02-28T02:30:00+01:00", 0, 29, "2026-03-29T03:00:00+02:00"),  # what does not exist: the first that does
        ("2026-09-25T02:30:00+02:00", 1, 0, "2026-10-25T02:30:00+02:00"),  # what exists twice: the first
    ],
)
def test_months_and_days_later(start: str, months: int, days: int, end: str):
    assert dates.add(instant(start), months, days, BERLIN) == instant(end)


@pytest.mark.parametrize(
    "unit, start, end",
    [
        ("day", "2026-11-29T00:00:00-05:00", "2026-11-30T00:00:00-05:00"),
        ("week", "2026-11-23T00:00:00-05:00", "2026-11-30T00:00:00-05:00"),
        ("month", "2026-11-01T00:00:00-04:00", "2026-12-01T00:00:00-05:00"),
        ("quarter", "2026-10-01T00:00:00-04:00", "2027-01-01T00:00:00-05:00"),
        ("year", "2026-01-01T00:00:00-05:00", "2027-01-01T00:00:00-05:00"),
    ],
)
def test_periods_of_the_calendar(unit: str, start: str, end: str):
    now = instant("2026-11-29T23:59:59-05:00")
    assert dates.start_of(unit, now, NEW_YORK) == instant(start)
    assert dates.end_of(unit, now, NEW_YORK) == instant(end)
    assert dates.start_of(unit, instant(start), NEW_YORK) == instant(start)


@given(
    st.integers(0, 2_500_000_000_000),
    st.sampled_from(["Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns", "Africa/Monrovia"]),
)
def test_the_number_of_a_day(at: int, name: str):
    zone = ZoneInfo(name)
    day = dates.local(at, zone).date()
    assert dates.day_number(at, zone) == int(day.strftime("%Y%m%d"))


def test_beyond_the_calendar_there_is_an_end():
    assert dates.add(instant("2026-01-01T00:00:00Z"), 12 * 10_000, 0, UTC) > instant("9990-01-01T00:00:00Z")
