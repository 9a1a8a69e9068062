"""Entries by a date of the contact, held against a naive search of the calendar."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcours.core.effects import What
from parcours.core.gate import Happened, Learned
from parcours.definitions.load import load_data
from parcours.runtimes.engine import Engine
from tests.core.world import START, World, email, instant, journey, ms, send, wait
from tests.profiles import examples

MAIL = email("mail", purpose="transactional")


def on_date(**entry: Any) -> dict[str, Any]:
    steps = entry.pop("steps", {"w": wait("1s")})
    more = {"re_entry": entry.pop("re_entry", "after_end"), **entry.pop("more", {})}
    return {**journey(steps, **more), "entry": {"type": "date", "attribute": "born", **entry}}


def learns(world: World, who: str = "ann", **attributes: Any) -> None:
    world.accept(world.arrival(who, Learned(attributes)))


def entered(world: World, who: str = "ann") -> list[str]:
    times = (entry.at for entry in world.trace(who, What.ENTERED))
    return [f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%dT%H:%M}" for at in times]


def test_a_birthday_is_kept_every_year_at_a_time_of_day_in_the_contacts_zone():
    world = World(MAIL, on_date(yearly=True, at="08:30", steps={"s": send("mail")}))
    world.knows("ann", born="1990-07-01", timezone="Europe/Berlin")
    world.knows("bob", born="1990-12-24", timezone="America/New_York")
    world.at("2028-01-01T00:00Z")
    assert entered(world) == ["2026-07-01T06:30", "2027-07-01T06:30"]
    assert entered(world, "bob") == ["2026-12-24T13:30", "2027-12-24T13:30"]
    assert world.sent("ann") == ["mail", "mail"]


@pytest.mark.parametrize(
    "offset, expected",
    [
        ({"before": "3d"}, ["2026-06-28T09:00", "2027-06-28T09:00"]),
        ({"after": "1w"}, ["2026-07-08T09:00", "2027-07-08T09:00"]),
    ],
)
def test_days_before_and_after(offset: dict[str, str], expected: list[str]):
    world = World(on_date(yearly=True, **offset))
    learns(world, born="1990-07-01")
    world.at("2028-01-01T00:00Z")
    assert entered(world) == expected


def test_days_before_go_by_the_calendar_across_a_change_of_the_clock():
    world = World(on_date(before="2d", at="09:00", more={"zone": "Europe/Berlin"}))
    learns(world, born="2026-03-30")
    world.at("2027-01-01T00:00Z")
    assert entered(world) == ["2026-03-28T08:00"]  # nine in winter, a day before the clocks are put forward


def test_a_date_that_is_not_yearly_comes_once():
    world = World(on_date())
    learns(world, born="2026-05-01")
    world.at("2029-01-01T00:00Z")
    assert entered(world) == ["2026-05-01T09:00"]


def test_what_is_past_never_fires():
    world = World(on_date())
    learns(world, born="2026-03-01")
    learns(world, "bob", born="2026-03-02")  # today at nine, which is now
    world.after("52w")
    assert entered(world) == entered(world, "bob") == []


def test_a_leap_day_is_kept_on_the_28th_in_common_years():
    world = World(on_date(yearly=True))
    learns(world, born="2000-02-29")
    world.at("2028-12-31T00:00Z")
    assert entered(world) == ["2027-02-28T09:00", "2028-02-29T09:00"]


def test_a_yearly_date_that_lies_ahead_begins_with_itself():
    world = World(on_date(yearly=True))
    learns(world, born="2027-05-01")
    world.at("2029-01-01T00:00Z")
    assert entered(world) == ["2027-05-01T09:00", "2028-05-01T09:00"]


def test_everybody_gets_a_timer_when_the_journey_goes_live_and_loses_it_when_it_is_closed():
    world = World()
    for number in range(5):
        learns(world, f"p{number}", born="1990-03-03")
    definition = on_date(yearly=True)
    world.publish(definition)
    assert len(list(world.store.due_times())) == 5
    world.publish({**definition, "state": "draft"})
    assert list(world.store.due_times()) == []
    world.after("2d")
    world.publish(definition)
    world.after("52w")
    assert entered(world, "p3") == ["2027-03-03T09:00"] * (world.now >= instant("2027-03-03T09:00Z"))


def test_another_date_zone_or_time_of_day_moves_the_timer():
    world = World(on_date(yearly=True))
    learns(world, born="1990-05-01")
    learns(world, born="1990-06-01")
    world.at("2026-05-30T00:00Z")
    learns(world, timezone="America/New_York")
    world.at("2026-06-02T00:00Z")
    learns(world, born=None)
    assert world.contact("ann").timers == []
    learns(world, born="1990-07-01")
    world.publish(on_date(yearly=True, at="20:00"))
    world.at("2026-08-01T00:00Z")
    assert entered(world) == ["2026-06-01T13:00", "2026-07-02T00:00"]


def test_the_condition_is_asked_at_the_moment_itself():
    world = World(on_date(where={"contact": "city", "is": "Bonn"}))
    learns(world, born="2026-05-01", city="Bonn")
    learns(world, "bob", born="2026-05-01")
    world.at("2026-04-01T00:00Z")
    learns(world, city="Ulm")
    learns(world, "bob", city="Bonn")
    world.at("2027-01-01T00:00Z")
    assert entered(world) == []
    assert entered(world, "bob") == ["2026-05-01T09:00"]


@pytest.mark.parametrize(
    "value, expected",
    [
        ("2026-05-01T23:30:00Z", ["2026-05-02T07:00"]),  # in Berlin it is the next day
        ("2026-05-01T00:00:00Z", ["2026-05-01T07:00"]),  # nobody said at what time
        ("nonsense", []),
        (20260501, []),
        ("9999-12-31", []),
    ],
)
def test_what_counts_as_a_date(value: Any, expected: list[str]):
    world = World(on_date(more={"zone": "Europe/Berlin"}))
    learns(world, born=value)
    world.at("2027-01-01T00:00Z")
    assert entered(world) == expected


def test_a_moment_that_two_who_become_one_have_comes_once():
    world = World(on_date())
    learns(world, born="2026-05-01")
    arrival = world.arrival("", Learned({"born": "2026-06-01"}))
    arrival.identities = (("anonymous_id", "x"),)
    world.accept(arrival)
    both = world.arrival("ann", Learned({}))
    both.identities = (("user_id", "ann"), ("anonymous_id", "x"))
    world.accept(both)
    world.at("2027-01-01T00:00Z")
    assert entered(world) == ["2026-05-01T09:00"]  # what was told at the same instant stays as it was


def test_a_timer_outlives_a_restart_and_is_not_in_the_way_of_anything_else():
    world = World(on_date(yearly=True))
    learns(world, born="1990-05-01")
    world.accept(world.arrival("ann", Happened("Go", {})))
    world.run.engine = Engine(world.store, world.run.clock)
    world.at("2026-05-02T00:00Z")
    assert entered(world) == ["2026-05-01T09:00"]
    assert world.contact("ann").dates == {"j": instant("2027-05-01T09:00Z")}


def test_what_cannot_be_meant_is_refused_and_what_is_likely_not_is_warned_of():
    wrong = on_date(before="1d", after="12h")
    _, errors, warnings = load_data([wrong, {**on_date(yearly=True, re_entry="never"), "name": "k"}])
    assert [(problem.code, problem.pointer) for problem in errors] == [
        ("invalid_value", "/definitions/0/entry/after"),
        ("invalid_value", "/definitions/0/entry/after"),
    ]
    assert ("enters_once", "/definitions/1/re_entry") in [(problem.code, problem.pointer) for problem in warnings]


ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Pacific/Auckland", "America/Sao_Paulo")
_days = st.dates(date(2023, 1, 1), date(2028, 12, 31)) | st.sampled_from(
    [date(2024, 2, 29), date(2026, 3, 29), date(2026, 10, 25), date(2026, 12, 31)]
)
_changes = st.lists(
    st.tuples(
        st.sampled_from(["6h", "1d", "20d", "150d", "400d"]),
        st.fixed_dictionaries({}, optional={"born": _days.map(str) | st.none(), "timezone": st.sampled_from(ZONES)}),
    ),
    max_size=6,
)


def naive(entry: dict[str, Any], attributes: dict[str, Any], after: int, upto: int) -> list[int]:
    """Every moment in `(after, upto]`, found by trying each day."""
    born = attributes.get("born")
    if born is None:
        return []
    day, zone = date.fromisoformat(born), ZoneInfo(attributes.get("timezone", "UTC"))
    offset = timedelta(milliseconds=ms(entry.get("after", "1d")) if "after" in entry else 0)
    offset -= timedelta(milliseconds=ms(entry["before"])) if "before" in entry else timedelta()
    hour, minute = map(int, entry["at"].split(":"))
    found = []
    for number in range(-800, (upto - START) // 86_400_000 + 400):
        of = datetime.fromtimestamp(START / 1000, UTC).date() + timedelta(days=number)
        leap = (day.month, day.day) == (2, 29) and (of.month, of.day) == (2, 28) and (of + timedelta(days=1)).day == 1
        yearly = entry["yearly"] and of.year >= day.year and ((of.month, of.day) == (day.month, day.day) or leap)
        if of != day and not yearly:
            continue
        shown = datetime.combine(of + offset, datetime.min.time()).replace(hour=hour, minute=minute, tzinfo=zone)
        found.append(int(shown.timestamp() * 1000))
    return [at for at in found if after < at <= upto]


@examples(120)
@given(
    st.fixed_dictionaries(
        {"yearly": st.booleans(), "at": st.sampled_from(["00:00", "09:00", "23:59"])},
        optional={"before": st.sampled_from(["1d", "30d"])},
    )
    | st.fixed_dictionaries(
        {"yearly": st.booleans(), "at": st.just("12:00"), "after": st.sampled_from(["1d", "366d"])}
    ),
    _changes,
    st.booleans(),
)
def test_the_moments_are_those_that_a_search_of_the_calendar_finds(
    entry: dict[str, Any], changes: list[tuple[str, dict[str, Any]]], late: bool
):
    """Whether the clock goes by in one go, or stops in between."""
    world = World(on_date(**entry))
    known: dict[str, Any] = {}
    expected: list[int] = []
    for pause, told in [*changes, ("800d", {})]:
        before = world.now
        if late:
            world.run.clock.set(before + ms(pause))
        else:
            for _ in range(7):
                world.run.advance(world.now + ms(pause) // 7)
            world.run.advance(before + ms(pause))
        expected += naive(entry, known, before, world.now)
        learns(world, **told)
        known |= told
    world.run.advance(world.now)
    assert [found.at for found in world.trace("ann", What.ENTERED)] == expected
