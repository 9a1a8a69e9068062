"""What becomes of runs and entries as a journey comes from one state into another."""

from __future__ import annotations

from typing import Any

import pytest

from parcours.core.effects import What
from parcours.core.gate import Happened
from parcours.definitions.load import dump, load_data
from parcours.testing.snapshot import replay, snapshot
from tests.core.invariants import check_invariants
from tests.core.world import END, World, email, journey, send, wait, wait_for

STEPS = {"w": wait("1d", next="s"), "s": send("a", next="l"), "l": wait("1d", next="e"), "e": END}


def a_world(**more: Any) -> World:
    world = World(journey(STEPS, **more), email("a", purpose="transactional"))
    for who in ("ann", "bob"):
        world.knows(who)
    return world


def turn(world: World, **changes: Any) -> None:
    world.publish(dump(world.run.engine.plan.workspace.journeys["j"]) | changes)
    check_invariants(snapshot(world.store), world.run.engine.plan)


def versions(world: World, name: str = "j") -> list[int]:
    return sorted(world.run.engine.plan.journeys[name])


def state(world: World, name: str = "j") -> str:
    return world.run.engine.plan.states[name]


def assert_replays(world: World) -> None:
    """What happened is what the log comes to when it is folded anew."""
    found = snapshot(world.store)
    again = snapshot(replay(found.records, world.now))
    assert again.contacts == found.contacts
    assert again.traces == found.traces
    assert again.statistics == found.statistics


# --- versions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "paused"},
        {"starts": "2026-01-01T00:00:00Z"},
        {"title": "t", "description": "d"},
        {"test": {"waits": "1s"}},
        {"on_pause": "discard"},
    ],
)
def test_words_state_times_and_tests_make_no_version(changes: dict[str, Any]):
    world = a_world()
    turn(world, **changes)
    assert versions(world) == [1]
    definition = world.run.engine.plan.newest["j"].definition
    assert {name: dump(definition)[name] for name in changes} == changes | (
        {"test": {"waits": "1s"}} if "test" in changes else {}
    )


def test_what_is_walked_makes_one_and_runs_stay_on_theirs():
    world = a_world()
    world.did("ann", "Go")
    turn(world, steps={"w": wait("1h", next="e"), "e": END})
    assert versions(world) == [1, 2]
    world.did("bob", "Go")
    assert [run.version for run in world.runs("ann") + world.runs("bob")] == [1, 2]


# --- pause ------------------------------------------------------------------------------------------------------------


def test_while_paused_nothing_moves_and_what_came_due_fires_when_it_is_over():
    world = a_world()
    world.did("ann", "Go")
    world.after("1h")
    turn(world, state="paused")
    world.after("3d")
    assert world.sent("ann") == []
    assert world.contact("ann").timers == []
    turn(world, state="live")
    assert world.sent("ann") == ["a"]
    assert world.messages("ann")[0].decided_at == world.now
    assert world.reasons("ann", What.BRANCHED) == ["waited"]
    assert len(world.trace("ann", What.PAUSED, What.RESUMED)) == 2
    assert_replays(world)


def test_what_is_not_due_when_the_pause_ends_keeps_its_instant():
    world = a_world()
    world.did("ann", "Go")
    turn(world, state="paused")
    world.after("12h")
    turn(world, state="live")
    world.after("12h-1s")
    assert world.sent("ann") == []
    world.after("1s")
    assert world.sent("ann") == ["a"]


def test_what_came_due_during_the_pause_fires_in_the_order_in_which_it_would_have():
    first = {"w": wait("2d", next="s"), "s": send("a")}
    second = {"w": wait("1d", next="s"), "s": send("b")}
    third = {"w": wait("1d", next="s"), "s": send("c")}
    world = World(
        *(email(name, purpose="transactional") for name in "abc"),
        journey(first, name="one"),
        journey(second, name="two"),
        journey(third, name="three"),
    )
    world.knows("ann")
    world.did("ann", "Go")

    def all_are(state: str) -> None:
        world.publish(*(dump(one) | {"state": state} for one in world.run.engine.plan.workspace.journeys.values()))

    all_are("paused")
    world.after("5d")
    all_are("live")
    assert world.sent("ann") == ["b", "c", "a"]
    assert_replays(world)


def test_events_during_a_pause_move_nothing():
    steps = {"w": wait_for("Paid", next="e", after="2d"), "e": END}
    world = World(journey(steps))
    world.did("ann", "Go")
    turn(world, state="paused")
    world.did("ann", "Paid")
    turn(world, state="live")
    assert len(world.runs("ann")) == 1
    world.did("ann", "Paid")
    assert world.runs("ann") == []


def test_a_run_whose_time_was_up_during_a_pause_ends_when_it_is_over():
    world = a_world(max_duration="1d12h")
    world.did("ann", "Go")
    turn(world, state="paused")
    world.after("9d")
    assert len(world.runs("ann")) == 1
    turn(world, state="live")
    # Its wait was over first: it sent, and then its own time was up.
    assert world.sent("ann") == ["a"]
    assert world.reasons("ann", What.ENDED) == ["max_duration"]


def test_entries_are_held_during_a_pause_and_enter_in_order_when_it_is_over():
    world = a_world(entry={"key": "n"}, re_entry="after_end")
    turn(world, state="paused")
    for number in (2, 1, 2):
        world.did("ann", "Go", n=number)
        world.after("1h")
    assert world.runs("ann") == []
    assert world.reasons("ann", What.HELD) == ["paused"] * 3
    turn(world, state="live")
    assert [run.key for run in world.runs("ann")] == ["2", "1"]
    assert world.reasons("ann", What.REFUSED) == ["under_way"]
    assert {run.started_at for run in world.runs("ann")} == {world.now}
    assert_replays(world)


def test_a_held_entry_comes_after_the_timers_that_came_due():
    world = a_world(re_entry="after_end", max_duration="2d")
    world.did("ann", "Go")
    turn(world, state="paused")
    world.after("5d")
    world.did("ann", "Go")
    turn(world, state="live")
    # The first run is over by then, so the held one may enter.
    assert [run.started_at for run in world.runs("ann")] == [world.now]


def test_entries_may_be_discarded_during_a_pause():
    world = a_world(on_pause="discard")
    turn(world, state="paused")
    world.did("ann", "Go")
    turn(world, state="live")
    assert world.runs("ann") == []
    assert world.reasons("ann", What.REFUSED) == ["paused"]


@pytest.mark.parametrize("end", ["closed", "stopped", "draft"])
def test_held_entries_are_refused_when_a_pause_ends_otherwise(end: str):
    world = a_world()
    turn(world, state="paused")
    world.did("ann", "Go")
    turn(world, state=end)
    assert world.contact("ann").held == []
    assert world.reasons("ann", What.REFUSED) == [end]
    assert_replays(world)


def test_who_becomes_a_member_during_a_pause_enters_when_it_is_over():
    entry = {"type": "segment", "segment": "locals", "on": "entered"}
    locals_ = {"kind": "segment", "name": "locals", "condition": {"contact": "city", "is": "Boston"}}
    world = World(locals_, journey(STEPS) | {"entry": entry}, email("a"))
    world.knows("ann")
    turn(world, state="paused")
    world.knows("ann", city="Boston")
    turn(world, state="live")
    assert len(world.runs("ann")) == 1


def test_pauses_may_follow_each_other_and_a_contact_goes_through_each():
    world = a_world()
    world.did("ann", "Go")
    for state_ in ("paused", "live", "paused", "closed"):
        world.run.engine.publish([dump(world.run.engine.plan.workspace.journeys["j"]) | {"state": state_}])
        world.run.clock.set(world.now + 3_600_000)  # nobody has looked at her in between
    world.run.advance(world.now)
    assert [entry.what for entry in world.trace("ann") if entry.what in {What.PAUSED, What.RESUMED}] == [
        What.PAUSED, What.RESUMED, What.PAUSED, What.RESUMED,
    ]  # fmt: skip
    assert_replays(world)


# --- close and stop ---------------------------------------------------------------------------------------------------


def test_closed_nobody_enters_and_runs_finish():
    world = a_world()
    world.did("ann", "Go")
    turn(world, state="closed")
    world.did("bob", "Go")
    world.after("3d")
    assert world.sent("ann") == ["a"]
    assert world.trace("bob", What.ENTERED) == []


@pytest.mark.parametrize("before", ["live", "paused"])
def test_stopped_runs_end_and_what_is_pending_is_cancelled(before: str):
    world = a_world()
    for who in ("ann", "bob"):
        world.did(who, "Go")
    world.after("1d")
    assert world.sent("ann") == ["a"]
    turn(world, state=before)
    turn(world, state="stopped")
    for who in ("ann", "bob"):
        assert world.runs(who) == []
        assert world.contact(who).timers == world.contact(who).shelf == []
        assert world.reasons(who, What.ENDED) == world.reasons(who, What.DROPPED) == ["stopped"]
        assert [(entry.reason, entry.step) for entry in world.trace(who, What.CANCELLED)] == [("stopped", "s")]
        assert world.sent(who) == []
    assert world.store.outbox_counts()["email", "a", "cancelled"] == 2
    world.after("9d")
    assert world.sent("ann") == []
    assert_replays(world)


def test_a_stopped_journey_may_be_live_again_and_sends_again():
    world = a_world()
    turn(world, state="stopped")
    turn(world, state="live")
    world.did("ann", "Go")
    world.after("1d")
    assert world.sent("ann") == ["a"]


def test_messages_of_other_journeys_are_sent_on():
    world = a_world()
    world.publish(journey({"s": send("a")}, name="other"))
    world.did("ann", "Go")
    world.after("1d")
    turn(world, state="stopped")
    assert [message.journey for message in world.messages("ann")] == ["other"]


# --- times ------------------------------------------------------------------------------------------------------------


def test_it_is_scheduled_until_it_starts_and_closed_when_it_ends():
    world = a_world(starts="2026-03-03T09:00:00Z", ends="2026-03-05T09:00:00Z")
    assert state(world) == "scheduled"
    world.did("ann", "Go")
    assert world.runs("ann") == []
    world.at("2026-03-03T08:59:59Z")
    assert state(world) == "scheduled"
    world.at("2026-03-03T09:00:00Z")
    assert state(world) == "live"
    world.did("ann", "Go")
    assert len(world.runs("ann")) == 1
    world.at("2026-03-05T09:00:00Z")
    assert state(world) == "closed"
    world.did("bob", "Go")
    assert world.runs("bob") == []
    world.after("9d")
    assert versions(world) == [1]
    assert_replays(world)


def test_an_input_that_comes_late_finds_the_state_of_its_instant():
    """Nobody looked at the clock between: what is received after the start enters, what is received before does not."""
    world = a_world(starts="2026-03-03T09:00:00Z")
    world.run.clock.set(world.now + 2 * 86_400_000)
    world.run.engine.accept([world.arrival("ann", Happened("Go", {}))])
    assert len(world.runs("ann")) == 1
    assert_replays(world)


def test_members_enter_when_a_journey_starts():
    entry = {"type": "segment", "segment": "locals", "on": "entered", "existing": True}
    read = {"type": "segment", "segment": "locals"}
    locals_ = {"kind": "segment", "name": "locals", "condition": {"contact": "city", "is": "Boston"}}
    starts = {"starts": "2026-03-03T09:00:00Z"}
    world = World(
        locals_,
        email("a"),
        journey(STEPS, name="e", **starts) | {"entry": entry},
        journey(STEPS, name="r", **starts) | {"entry": read},
    )
    world.knows("ann", city="Boston")
    assert world.trace("ann", What.ENTERED) == []
    world.at("2026-03-03T09:00:00Z")
    assert sorted(entry.journey for entry in world.trace("ann", What.ENTERED)) == ["e", "r"]
    assert {entry.at for entry in world.trace("ann", What.ENTERED)} == {world.now}


# --- tests ------------------------------------------------------------------------------------------------------------

TEST = {"contacts": [{"user_id": "ann"}], "waits": "10s", "recipients": {"email": "qa@parcours.dev"}}


def test_only_testers_enter_waits_are_short_and_sends_go_to_the_recipients():
    world = a_world(state="test", test=TEST)
    for who in ("ann", "bob"):
        world.did(who, "Go")
    assert world.runs("bob") == []
    world.after("10s")
    assert [message.address for message in world.messages("ann")] == ["qa@parcours.dev"]
    world.after("10s")
    assert world.runs("ann") == []
    assert not any(place[0] == "j" for place in world.store.statistics())
    assert world.contact("ann").past == {}
    assert_replays(world)


def test_a_test_sends_nothing_without_a_recipient_or_without_consent():
    world = World(
        journey({"s": send("a", "b")}, state="test", test=TEST | {"recipients": {"push": "x"}}),
        email("a", purpose="transactional"),
        email("b"),
    )
    world.knows("ann", consent={})
    world.did("ann", "Go")
    assert world.reasons("ann", What.SUPPRESSED) == ["no_test_recipient", "no_consent"]


def test_tests_end_when_the_journey_goes_live_and_do_not_count_as_entries():
    world = a_world(state="test", test=TEST, re_entry="never")
    world.did("ann", "Go")
    turn(world, state="live")
    assert world.reasons("ann", What.ENDED) == ["test_over"]
    world.did("ann", "Go")
    assert [run.test for run in world.runs("ann")] == [False]
    assert_replays(world)


@pytest.mark.parametrize("in_state", ["draft", "live", "closed"])
def test_a_test_may_be_begun_by_hand_in_any_state(in_state: str):
    world = a_world(
        state=in_state, test=TEST, entry={"where": {"interaction": "total", "more_than": 5}}, re_entry="never"
    )
    engine, ann = world.run.engine, world.id_of("ann")
    first = engine.try_out("j", [ann], {"total": 1})
    again = engine.try_out("j", [ann], {"total": 1})
    assert first[ann] != again[ann]
    assert [run.id for run in world.runs("ann")] == [again[ann]]
    assert world.reasons("ann", What.ENDED) == ["tested_again"]
    world.after("20s")
    assert [message.address for message in world.messages("ann")] == ["qa@parcours.dev"]
    assert world.runs("ann") == []
    assert not any(place[0] == "j" for place in world.store.statistics())
    assert_replays(world)


# --- what is wrong with it --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes, pointer",
    [
        ({"starts": "2026-02-30T09:00:00Z"}, "/starts"),
        ({"starts": "2026-03-03T09:00:00Z", "ends": "2026-03-03T09:00:00Z"}, "/ends"),
        ({"starts": "tomorrow"}, "/starts"),
        ({"state": "test"}, "/test"),
        ({"test": {"contacts": [{}]}}, "/test/contacts/0"),
        ({"test": {"recipients": {"fax": "1"}}}, "/test/recipients/fax"),
        ({"test": {"recipients": {"email": "nobody"}}}, "/test/recipients/email"),
        ({"test": {"recipients": {"email": "a@b.example", "sms": "06 12"}}}, "/test/recipients/sms"),
        ({"test": {"recipients": {"push": " "}}}, "/test/recipients/push"),
        ({"archived": True}, "/archived"),
        ({"archived": True, "state": "paused"}, "/archived"),
    ],
)
def test_what_is_wrong_with_a_life_is_said(changes: dict[str, Any], pointer: str):
    _, errors, _ = load_data([journey(STEPS) | changes, email("a")])
    assert [error.pointer for error in errors] == [f"/definitions/0{pointer}"]
