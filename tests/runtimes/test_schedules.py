"""When schedules come round, in a time zone."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from parcours.definitions.entries import Schedule
from parcours.runtimes.schedules import instants_after, next_after, problem_of
from tests.core.world import instant

BERLIN = ZoneInfo("Europe/Berlin")
UTC_ZONE = ZoneInfo("UTC")


def times(schedule: Schedule, zone: ZoneInfo, after: str, count: int) -> list[str]:
    at: int | None = instant(after)
    found = []
    for _ in range(count):
        assert at is not None
        at = next_after(schedule, zone, at)
        found.append(None if at is None else f"{datetime.fromtimestamp(at / 1000, UTC):%m-%dT%H:%M}")
        if at is None:
            break
    return [one for one in found if one] + ["never"] * (found[-1] is None)


def test_cron_is_wall_time_in_its_zone():
    nine = Schedule(cron="0 9 * * *")
    assert times(nine, UTC_ZONE, "2026-03-28T00:00Z", 2) == ["03-28T09:00", "03-29T09:00"]
    # The clocks are put forward in the night to the 29th: nine in winter is eight, in summer seven.
    assert times(nine, BERLIN, "2026-03-28T00:00Z", 2) == ["03-28T08:00", "03-29T07:00"]
    assert times(Schedule(cron="30 6 * * mon"), UTC_ZONE, "2026-03-02T06:30Z", 1) == ["03-09T06:30"]


def test_a_rule_is_wall_time_in_its_zone_and_begins_with_its_start():
    weekly = Schedule(rrule="FREQ=WEEKLY;BYDAY=SU;BYHOUR=9;BYMINUTE=0;BYSECOND=0")
    assert times(weekly, BERLIN, "2026-03-22T08:00Z", 2) == ["03-29T07:00", "04-05T07:00"]
    fortnight = Schedule(rrule="FREQ=WEEKLY;INTERVAL=2", start="2026-03-02T09:00")
    assert times(fortnight, UTC_ZONE, "2026-02-01T00:00Z", 3) == ["03-02T09:00", "03-16T09:00", "03-30T09:00"]
    last = Schedule(rrule="FREQ=MONTHLY;BYMONTHDAY=-1;BYHOUR=18", start="2026-01-01")
    assert times(last, UTC_ZONE, "2026-01-31T18:00Z", 2) == ["02-28T18:00", "03-31T18:00"]
    assert times(Schedule(rrule="FREQ=DAILY;COUNT=2", start="2026-03-02"), UTC_ZONE, "2026-03-02T00:00Z", 3) == [
        "03-03T00:00",
        "never",
    ]


def test_a_rule_may_end_at_an_instant_in_utc_as_calendars_write_it():
    summer = Schedule(rrule="FREQ=DAILY;UNTIL=20260703T070000Z", start="2026-07-01T09:00")
    assert times(summer, BERLIN, "2026-07-01T07:00Z", 3) == ["07-02T07:00", "07-03T07:00", "never"]
    assert problem_of(summer, BERLIN, "") is None


def test_a_rule_that_came_round_long_ago_still_does():
    leap = Schedule(rrule="FREQ=YEARLY;INTERVAL=4;BYMONTH=2;BYMONTHDAY=29;BYDAY=SU", start="1976-01-01")
    assert times(leap, UTC_ZONE, "2027-01-01T00:00Z", 1) == ["02-29T00:00"]  # 2032


def test_an_hour_that_does_not_exist_or_exists_twice():
    at_half = Schedule(rrule="FREQ=DAILY;BYHOUR=2;BYMINUTE=30", start="2026-01-01")
    assert times(at_half, BERLIN, "2026-03-28T12:00Z", 2) == ["03-29T01:00", "03-30T00:30"]
    assert times(at_half, BERLIN, "2026-10-24T12:00Z", 2) == ["10-25T00:30", "10-26T01:30"]


@pytest.mark.parametrize(
    "schedule, says",
    [
        (Schedule(cron="nonsense"), "it cannot be read"),
        (Schedule(cron="0 25 * * *"), "it cannot be read"),
        (Schedule(cron="0 0 30 2 *"), "it cannot be read"),
        (Schedule(rrule="FREQ=SOMETIMES"), "it cannot be read"),
        (Schedule(rrule=""), "it cannot be read"),
        (Schedule(rrule="FREQ=DAILY;UNTIL=20250101T000000", start="2026-01-01"), "it never comes round"),
        (Schedule(rrule="FREQ=HOURLY"), "more often than daily"),
        (Schedule(rrule="DTSTART:20260101T000000\nRRULE:FREQ=DAILY"), "more than one rule"),
        (Schedule(rrule="FREQ=DAILY", start="soon"), "it is no date"),
        (Schedule(rrule="FREQ=DAILY", start="0001-01-01"), "before 1970"),
        (Schedule(rrule="FREQ=DAILY;INTERVAL=0"), "INTERVAL is 0"),
        (Schedule(rrule="FREQ=DAILY;INTERVAL=-1"), "INTERVAL is -1"),
        (Schedule(rrule="FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"), "it never comes round"),
        (Schedule(rrule="FREQ=DAILY;COUNT=3;BYMONTH=2;BYMONTHDAY=30"), "it never comes round"),
        (Schedule(rrule="FREQ=DAILY;BYEASTER=400"), "it cannot be read"),
        (Schedule(rrule=f"FREQ=DAILY;BYMINUTE={','.join(map(str, range(60)))}"), "60 times a day"),
    ],
)
def test_what_cannot_be_read_says_why(schedule: Schedule, says: str):
    started = time.monotonic()
    problem = problem_of(schedule, UTC_ZONE, "/entry/schedule")
    assert time.monotonic() - started < 3, "whoever publishes it would hold the service up"
    assert problem is not None
    assert says in problem.message
    assert problem.code == "invalid_schedule"


@pytest.mark.parametrize("schedule", [Schedule(cron="0 9 * * mon-fri"), Schedule(rrule="FREQ=YEARLY;BYMONTH=12")])
def test_what_can_be_read_is_no_problem(schedule: Schedule):
    assert problem_of(schedule, BERLIN, "") is None


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(cron="30 2 * * *"),
        Schedule(rrule="FREQ=DAILY;BYHOUR=2;BYMINUTE=30;BYSECOND=0"),
        Schedule(rrule="FREQ=DAILY;BYHOUR=2,3;BYMINUTE=0,30;BYSECOND=0"),
        Schedule(rrule="FREQ=WEEKLY;COUNT=5", start="2026-03-28T02:30:00"),
    ],
)
def test_all_instants_are_those_that_come_one_after_the_other(schedule: Schedule):
    zone, at = ZoneInfo("Europe/Berlin"), 1_774_569_600_000  # two days before the clock is changed
    expected = []
    for _ in range(12):
        found = next_after(schedule, zone, expected[-1] if expected else at)
        if found is None:
            break
        expected.append(found)
    assert list(islice(instants_after(schedule, zone, at), 12)) == expected
    assert len(expected) >= 5


def test_twenty_years_of_days_are_gone_through_once():
    schedule = Schedule(rrule="FREQ=DAILY;BYHOUR=12;BYMINUTE=0;BYSECOND=0")
    started = time.monotonic()
    found = list(islice(instants_after(schedule, ZoneInfo("UTC"), 1_774_569_600_000), 7_300))
    assert found[-1] - found[0] == 7_299 * 86_400_000
    assert time.monotonic() - started < 20, "one by one they take minutes"


def test_a_schedule_is_over_with_the_calendar():
    leap = Schedule(cron="0 12 29 2 *")
    assert next_after(leap, ZoneInfo("UTC"), 253_300_000_000_000) is None
