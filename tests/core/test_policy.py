"""Caps, quiet hours and priorities: what keeps messages from becoming too many, or from coming at the wrong time."""

from __future__ import annotations

from typing import Any

import pytest

from parcours.core.effects import What
from parcours.core.gate import Happened, Learned
from parcours.definitions.load import load_data
from tests.core.world import END, START, Definition, World, email, instant, journey, push, send, wait, wait_for


def policy(*caps: dict[str, Any], zone: str = "", **more: Any) -> Definition:
    return {"kind": "workspace", "zone": zone, "policy": {"caps": list(caps), **more}}


def sending(*definitions: Definition, on: str = "Go", **more: Any) -> World:
    usual = [email("m"), journey({"s": send("m")}, on=on, **more)]
    given = {definition.get("name") for definition in definitions}
    world = World(*(definition for definition in usual if definition["name"] not in given), *definitions)
    world.knows("ann")
    return world


def count(world: World, who: str = "ann") -> tuple[int, int]:
    """How many messages were sent and how many were not."""
    return len(world.sent(who)), len(world.trace(who, What.SUPPRESSED))


# --- caps -------------------------------------------------------------------------------------------------------------


def test_a_rolling_window_has_no_more_places_than_it_says_and_they_become_free_one_by_one():
    world = sending(policy({"limit": 2, "per": "48h"}))
    world.did("ann", "Go")
    world.after("24h")
    world.did("ann", "Go")
    world.after("1h")
    world.did("ann", "Go")
    assert count(world) == (2, 1)
    assert world.trace("ann", What.SUPPRESSED)[0].reason == "frequency_cap"
    assert world.trace("ann", What.SUPPRESSED)[0].detail == {"message": "m", "cap": "2 in 48h"}
    world.after("23h-1s")  # a second before 48 h have passed since the first
    world.did("ann", "Go")
    assert count(world) == (2, 2)
    world.after("1s")  # the window is half open: the first is no longer in it
    world.did("ann", "Go")
    assert count(world) == (3, 2)
    world.did("ann", "Go")
    assert count(world) == (3, 3)


def test_a_message_that_was_not_sent_takes_no_place():
    world = sending(policy({"limit": 1, "per": "7d"}))
    world.knows("ann", consent={"email": {"": "opted_out"}})
    world.did("ann", "Go")
    world.after("1s")
    world.knows("ann")
    world.did("ann", "Go")
    assert world.sent("ann") == ["m"]


def test_a_day_is_that_of_the_contacts_clock():
    world = sending(policy({"limit": 1, "per_day": True}, zone="Europe/Amsterdam"))
    world.knows("bob", timezone="America/New_York")
    world.knows("cyd", timezone="Nowhere/At_All")  # no zone: the workspace's
    for who in ("ann", "bob", "cyd"):
        world.did(who, "Go")
    world.at("2026-03-02T22:59:59Z")
    for who in ("ann", "bob", "cyd"):
        world.did(who, "Go")
    assert [count(world, who) for who in ("ann", "bob", "cyd")] == [(1, 1)] * 3
    world.at("2026-03-02T23:00:00Z")  # midnight in Amsterdam
    for who in ("ann", "bob", "cyd"):
        world.did(who, "Go")
    assert [count(world, who) for who in ("ann", "bob", "cyd")] == [(2, 1), (1, 2), (2, 1)]
    world.at("2026-03-03T05:00:00Z")  # midnight in New York
    world.did("bob", "Go")
    assert count(world, "bob") == (2, 2)


def test_days_have_the_length_that_clocks_give_them():
    world = World(
        email("m"),
        journey({"s": send("m")}),
        policy({"limit": 1, "per_day": True}, zone="Europe/Amsterdam"),
        start=instant("2026-03-28T23:30:00Z"),
    )
    world.knows("ann")
    world.did("ann", "Go")  # 00:30 on a day of 23 hours
    world.at("2026-03-29T21:59:59Z")
    world.did("ann", "Go")
    assert count(world) == (1, 1)
    world.at("2026-03-29T22:00:00Z")
    world.did("ann", "Go")
    assert count(world) == (2, 1)


def test_caps_are_for_a_channel_or_a_topic_or_all():
    world = World(
        email("mail"), email("news", topic="news"), push("ping"),
        journey({"a": send("mail", next="b"), "b": send("news", next="c"), "c": send("ping")}),
        policy({"limit": 1, "per": "7d", "channel": "email"}, {"limit": 2, "per": "7d"}),
    )  # fmt: skip
    world.knows("ann")
    world.did("ann", "Go")
    assert world.sent("ann") == ["mail", "ping"]
    world.did("ann", "Go")
    assert world.sent("ann") == ["mail", "ping"]
    world.publish(policy({"limit": 1, "per": "7d", "topic": "news"}))
    world.did("ann", "Go")
    world.did("ann", "Go")
    assert world.sent("ann") == ["mail", "ping", "mail", "news", "ping", "mail", "ping"]


def test_transactional_and_exempt_messages_are_neither_counted_nor_held_to_a_cap():
    world = World(
        email("m"), email("receipt", purpose="transactional"), email("alert", exempt=True),
        journey({"s": send("receipt", "alert", "m")}),
        policy({"limit": 1, "per": "7d"}),
    )  # fmt: skip
    world.knows("ann")
    world.did("ann", "Go")
    world.did("ann", "Go")
    assert world.sent("ann") == ["receipt", "alert", "m", "receipt", "alert"]


def test_a_cap_may_be_for_transactional_messages_too():
    world = World(
        email("m"), email("receipt", purpose="transactional"), email("alert", exempt=True, purpose="transactional"),
        journey({"s": send("receipt", "alert", "m")}),
        policy({"limit": 1, "per": "7d", "transactional": True}),
    )  # fmt: skip
    world.knows("ann")
    world.did("ann", "Go")
    world.did("ann", "Go")
    assert world.sent("ann") == ["receipt", "alert", "alert"]


def test_two_journeys_cannot_both_take_the_last_place():
    world = World(
        email("one"), email("two"),
        journey({"s": send("one")}, name="a"), journey({"s": send("two", suppressed="no"), "no": END}, name="b"),
        policy({"limit": 1, "per": "7d"}),
    )  # fmt: skip
    world.knows("ann")
    world.did("ann", "Go")
    assert world.sent("ann") == ["one"]
    assert world.path("ann") == ["s", "s", "no"]


def test_places_are_taken_by_what_was_sent_before_the_cap_was_published():
    world = sending()
    world.did("ann", "Go")
    world.after("1h")
    world.did("ann", "Go")
    world.publish(policy({"limit": 3, "per": "2h"}))
    world.did("ann", "Go")
    world.did("ann", "Go")
    assert count(world) == (3, 1)
    world.after("1h")  # the first is two hours old
    world.did("ann", "Go")
    assert count(world) == (4, 1)
    world.publish(policy({"limit": 5, "per": "3h"}))  # wider: more of the past counts
    world.did("ann", "Go")
    world.did("ann", "Go")
    assert count(world) == (5, 2)


def test_a_contact_remembers_no_more_than_its_caps_ask_for():
    world = sending(policy({"limit": 2, "per": "1h"}, {"limit": 3, "per_day": True}))
    for _ in range(5):
        for _ in range(3):
            world.did("ann", "Go")
        world.after("2h")
    assert [len(times) for times in world.contact("ann").capped.values()] == [3]


def test_who_become_one_have_taken_the_places_of_both():
    world = World(email("m"), journey({"s": send("m")}), policy({"limit": 3, "per": "7d"}))
    world.knows("ann")
    device = (("anonymous_id", "x"),)
    consent = {"email": {"": "opted_in"}}
    arrival = world.arrival("ann", Learned({"email": "ann@parcours.dev"}, {"email": "ann@parcours.dev"}, consent))
    arrival.identities = device
    world.accept(arrival)
    for _ in range(2):
        world.did("ann", "Go")
        arrival = world.arrival("ann", Happened("Go", {}))
        arrival.identities = device
        world.accept(arrival)
    assert len(world.run.messages()) == 4
    arrival = world.arrival("ann", Learned({}))
    arrival.identities = (("user_id", "ann"), *device)
    world.accept(arrival)
    world.did("ann", "Go")
    assert len(world.run.messages()) == 4
    assert world.reasons("ann", What.SUPPRESSED) == ["frequency_cap"]


# --- quiet hours ------------------------------------------------------------------------------------------------------

NIGHT = {"from": "21:00", "to": "08:00"}


def at_night(at: str = "2026-03-02T22:00:00Z", *more: Definition, zone: str = "", **quiet: Any) -> World:
    world = sending(policy(quiet_hours=NIGHT | quiet, zone=zone), *more)
    world.at(at)
    return world


def test_a_message_is_held_until_quiet_hours_are_over():
    world = at_night()
    world.did("ann", "Go")
    assert world.sent("ann") == []
    (held,) = world.trace("ann", What.HELD)
    assert (held.reason, held.step, held.detail and held.detail["until"]) == ("m", "s", instant("2026-03-03T08:00:00Z"))
    assert world.trace("ann", What.ENDED)  # the run did not wait for it
    world.at("2026-03-03T07:59:59.999Z")
    assert world.sent("ann") == []
    world.at("2026-03-03T08:00:00Z")
    (message,) = world.messages("ann")
    assert message.decided_at == instant("2026-03-03T08:00:00Z")
    assert message.held_since == instant("2026-03-02T22:00:00Z")
    (sent,) = world.trace("ann", What.SENT)
    assert (sent.step, sent.run, sent.detail) == (held.step, held.run, {"message_id": message.id})
    assert world.contact("ann").delayed == []


@pytest.mark.parametrize(
    "at, held",
    [
        ("2026-03-02T20:59:59.999Z", False), ("2026-03-02T21:00:00Z", True), ("2026-03-03T00:00:00Z", True),
        ("2026-03-03T07:59:59.999Z", True), ("2026-03-03T08:00:00Z", False),
    ],
)  # fmt: skip
def test_quiet_hours_last_from_their_first_instant_to_just_before_their_last(at: str, held: bool):
    world = at_night(at)
    world.did("ann", "Go")
    assert bool(world.trace("ann", What.HELD)) == held
    assert bool(world.sent("ann")) != held


def test_quiet_hours_go_by_the_contacts_clock_then_the_journeys_then_the_workspaces():
    world = sending(
        policy(quiet_hours=NIGHT, zone="Asia/Tokyo"),
        journey({"s": send("m")}, name="k", on="Come", zone="America/New_York"),
    )
    world.knows("bob", timezone="Europe/Amsterdam")
    world.at("2026-03-02T22:00:00Z")  # 07:00 in Tokyo, 17:00 in New York, 23:00 in Amsterdam
    for who in ("ann", "bob"):
        world.did(who, "Go")
        world.did(who, "Come")
    held = [[entry.detail["until"] for entry in world.trace(who, What.HELD) if entry.detail] for who in ("ann", "bob")]
    tokyo, amsterdam = instant("2026-03-02T23:00:00Z"), instant("2026-03-03T07:00:00Z")
    assert held == [[tokyo], [amsterdam, amsterdam]]


def test_quiet_hours_may_begin_on_some_days_and_last_a_whole_day():
    # 2026-03-07 is a Saturday.
    world = at_night("2026-03-07T10:00:00Z", **{"from": "00:00", "to": "00:00", "days": ["sat", "sun"]})
    world.did("ann", "Go")
    (held,) = world.trace("ann", What.HELD)
    assert held.detail
    assert held.detail["until"] == instant("2026-03-09T00:00:00Z")
    world.at("2026-03-09T00:00:00Z")
    world.did("ann", "Go")
    assert len(world.sent("ann")) == 2


def test_an_end_that_the_clock_passes_over_is_the_first_instant_after_it():
    world = at_night("2026-03-28T23:00:00Z", zone="Europe/Amsterdam", **{"from": "22:00", "to": "02:30"})
    world.did("ann", "Go")
    (held,) = world.trace("ann", What.HELD)
    assert held.detail
    assert held.detail["until"] == instant("2026-03-29T01:00:00Z")


def test_an_end_that_comes_twice_is_the_first():
    world = at_night("2026-10-24T23:00:00Z", zone="Europe/Amsterdam", **{"from": "22:00", "to": "02:30"})
    world.did("ann", "Go")
    (held,) = world.trace("ann", What.HELD)
    assert held.detail
    assert held.detail["until"] == instant("2026-10-25T00:30:00Z")


def test_a_message_may_be_dropped_instead_and_takes_no_place_then():
    world = at_night("2026-03-02T22:00:00Z", mode="drop")
    world.publish(policy({"limit": 1, "per": "7d"}, quiet_hours=NIGHT | {"mode": "drop"}))
    world.did("ann", "Go")
    assert world.reasons("ann", What.SUPPRESSED) == ["quiet_hours"]
    world.at("2026-03-03T08:00:00Z")
    world.did("ann", "Go")
    assert world.sent("ann") == ["m"]


def test_transactional_exempt_and_other_channels_are_not_held():
    mails = [email("receipt", purpose="transactional"), email("alert", exempt=True), push("ping")]
    all_four = journey({"s": send("m", "receipt", "alert", "ping")})
    world = at_night("2026-03-02T22:00:00Z", *mails, all_four, channels=["email"])
    world.did("ann", "Go")
    assert world.sent("ann") == ["receipt", "alert", "ping"]
    world.publish(policy(quiet_hours=NIGHT | {"transactional": True}))
    world.did("ann", "Go")
    assert world.sent("ann") == ["receipt", "alert", "ping", "alert"]


def test_what_was_held_is_not_sent_when_consent_was_withdrawn_meanwhile():
    world = at_night()
    world.did("ann", "Go")
    world.after("1h")
    world.knows("ann", consent={"email": {"": "opted_out"}})
    world.at("2026-03-03T09:00:00Z")
    assert world.sent("ann") == []
    (dropped,) = world.trace("ann", What.SUPPRESSED)
    assert (dropped.reason, dropped.step, dropped.at) == ("opted_out", "s", instant("2026-03-03T08:00:00Z"))


def test_what_was_held_goes_to_the_address_of_the_morning_and_says_what_was_decided():
    world = at_night()
    world.did("ann", "Go")
    world.knows("ann", email="new@parcours.dev")
    world.at("2026-03-03T08:00:00Z")
    (message,) = world.messages("ann")
    assert message.address == "new@parcours.dev"
    assert message.attributes["email"] == "ann@parcours.dev"


def test_what_is_held_has_taken_its_place_at_the_decision():
    world = sending(policy({"limit": 1, "per_day": True}, quiet_hours=NIGHT))
    world.at("2026-03-02T22:00:00Z")
    world.did("ann", "Go")
    world.did("ann", "Go")
    assert world.reasons("ann", What.SUPPRESSED) == ["frequency_cap"]
    world.at("2026-03-03T08:00:00Z")
    world.did("ann", "Go")  # another day: the place that was taken was yesterday's
    assert world.sent("ann") == ["m", "m"]


def test_erasure_and_merging_reach_what_is_held():
    world = at_night()
    world.knows("bob")
    for who in ("ann", "bob"):
        world.did(who, "Go")
    world.run.engine.erase(world.id_of("bob"))
    world.at("2026-03-03T08:00:00Z")
    assert [message.contact for message in world.run.messages()] == [world.id_of("ann")]


def test_reactions_to_what_is_held_move_the_run_once_it_was_sent():
    opened = {"type": "reaction", "reaction": "opened", "message": "m", "next": "yes"}
    loop = journey({"s": send("m", next="w"), "w": wait_for(opened, after="3d"), "yes": END})
    world = at_night("2026-03-02T22:00:00Z", loop)
    world.did("ann", "Go")
    world.at("2026-03-03T08:00:00Z")
    world.reacts(world.messages("ann")[0], "opened")
    assert world.path("ann") == ["s", "w", "yes"]


def test_a_condition_that_asks_for_messages_counts_what_was_held_when_it_leaves():
    asks = {"messages": "sent", "of": "m", "within": "1h"}
    steps = {"s": send("m", next="w"), "w": wait("10h", next="d"), "d": {"type": "decision", "if": asks, "then": "yes"}}
    world = at_night("2026-03-02T22:00:00Z", journey(steps | {"yes": END}))
    world.did("ann", "Go")
    world.at("2026-03-03T08:30:00Z")
    assert world.path("ann")[-1] == "yes"


# --- priorities -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first, second, wins", [(0, 0, "one"), (0, 1, "two"), (1, 0, "one"), (-1, 0, "two")])
def test_at_one_input_the_journey_of_the_higher_priority_takes_the_last_place(first: int, second: int, wins: str):
    world = World(
        email("one"), email("two"),
        journey({"s": send("one")}, name="a", priority=first),
        journey({"s": send("two")}, name="b", priority=second),
        policy({"limit": 1, "per": "7d"}),
    )  # fmt: skip
    world.knows("ann")
    world.did("ann", "Go")
    assert world.sent("ann") == [wins]


def test_runs_that_wait_are_moved_in_the_order_of_priority():
    world = World(
        email("one"), email("two"),
        journey({"w": wait_for("Come", next="s"), "s": send("one")}, name="a"),
        journey({"w": wait_for("Come", next="s"), "s": send("two")}, name="b", priority=5),
        policy({"limit": 1, "per": "7d"}),
    )  # fmt: skip
    world.knows("ann")
    world.did("ann", "Go")
    world.did("ann", "Come")
    assert world.sent("ann") == ["two"]


def test_of_one_step_the_message_of_the_higher_priority_goes_first():
    world = World(
        email("one"), email("two", priority=1), email("three", priority=-1),
        journey({"s": send("three", "one", "two")}),
        policy({"limit": 2, "per": "7d"}),
    )  # fmt: skip
    world.knows("ann")
    world.did("ann", "Go")
    assert world.sent("ann") == ["two", "one"]
    assert [message.priority for message in world.messages("ann")] == [1, 0]


def test_a_message_has_the_priority_of_its_journey_unless_it_has_its_own():
    world = World(email("one"), email("two", priority=0), journey({"s": send("one", "two")}, priority=3))
    world.knows("ann")
    world.did("ann", "Go")
    assert {message.message: message.priority for message in world.messages("ann")} == {"one": 3, "two": 0}


# --- definitions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given, pointer, said",
    [
        ({"zone": "Europe/Amsterdm"}, "/0/zone", "Europe/Amsterdam"),
        ({"policy": {"caps": [{"limit": 1}]}}, "/0/policy/caps/0", "per_day"),
        ({"policy": {"caps": [{"limit": 1, "per": "7d", "per_day": True}]}}, "/0/policy/caps/0", "either"),
        ({"policy": {"caps": [{"limit": 0, "per": "7d"}]}}, "/0/policy/caps/0/limit", ""),
        ({"policy": {"caps": [{"limit": 1, "per": "7d", "channel": "emial"}]}}, "/0/policy/caps/0/channel", "email"),
        ({"policy": {"quiet_hours": {"from": "9:00", "to": "08:00"}}}, "/0/policy/quiet_hours/from", "00:00"),
        ({"policy": {"quiet_hours": {"from": "09:00", "to": "09:00"}}}, "/0/policy/quiet_hours/to", "never end"),
        (
            {"policy": {"quiet_hours": {"from": "21:00", "to": "08:00", "channels": ["e-mail"]}}},
            "/0/policy/quiet_hours/channels/0", "email",
        ),
        ({"policy": {"quiet_hours": {"from": "21:00", "to": "08:00", "days": ["monday"]}}}, "/0/policy/quiet_hours/days/0", "mon"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_policy_is_said(given: dict[str, Any], pointer: str, said: str):
    _, errors, _ = load_data([{"kind": "workspace", **given}])
    assert [error.pointer.removeprefix("/definitions") for error in errors] == [pointer]
    assert said in f"{errors[0].message} {errors[0].hint}"


def test_a_world_begins_on_a_monday_morning():
    assert instant("2026-03-02T09:00:00Z") == START
