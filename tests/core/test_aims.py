"""Exits and goals: what ends runs early, and what they are for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from parcours.core.effects import Trace, What
from parcours.core.gate import Happened, Learned
from parcours.definitions.load import load_data
from parcours.runtimes.simulation import Simulation
from parcours.stores.memory import MemoryStore
from parcours.testing.strategies import START as BEGINS
from parcours.testing.strategies import Scenario, perform, play, scenarios
from tests.core.invariants import _no_aim_is_met
from tests.core.world import START, World, email, journey, ms, send, to_reaction, wait, wait_for
from tests.profiles import examples

MAIL = email("mail", purpose="transactional")
LATER = {"w": wait("10d", next="s"), "s": send("mail")}


def exits(*found: dict[str, Any], steps: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return journey(steps or LATER, exit=list(found), **more)


def goals(*found: dict[str, Any], steps: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    named = [{"name": f"g{number}", **goal} for number, goal in enumerate(found)]
    return journey(steps or LATER, goals=named, **more)


def ended(world: World, who: str = "ann") -> list[tuple[str, int]]:
    return [(entry.reason, entry.at - START) for entry in world.trace(who, What.ENDED)]


def reached(world: World, who: str = "ann") -> list[tuple[str, int]]:
    return [(entry.reason, entry.at - START) for entry in world.trace(who, What.GOAL)]


# --- exits ------------------------------------------------------------------------------------------------------------


def test_an_interaction_ends_a_run_in_the_middle_of_a_wait():
    world = World(MAIL, exits({"interaction": ["Order Completed", "Account Closed"]}))
    world.knows("ann")
    world.did("ann", "Go")
    world.after("1d")
    world.did("ann", "account closed")
    assert ended(world) == [("exited", ms("1d"))]
    (entry,) = world.trace("ann", What.ENDED)
    assert entry.detail == {"exit": "order completed or account closed"}
    assert world.contact("ann").timers == []
    world.after("20d")
    assert world.sent("ann") == []


def test_only_what_fits_the_filter_ends_it():
    world = World(MAIL, exits({"interaction": "Order", "where": {"interaction": "total", "more_than": 10}}))
    world.did("ann", "Go")
    world.did("ann", "Order", total=10)
    assert ended(world) == []
    world.did("ann", "Order", total=11)
    assert len(ended(world)) == 1


def test_an_exit_with_a_key_ends_the_run_of_that_key_alone():
    world = World(MAIL, exits({"interaction": "Order", "key": "basket"}, entry={"key": "basket"}))
    for basket in ("a", "b"):
        world.did("ann", "Go", basket=basket)
    world.did("ann", "Order", basket="b")
    world.did("ann", "Order")
    assert [run.key for run in world.runs("ann")] == ["a"]


def test_an_exit_comes_before_the_move_that_the_same_interaction_would_make():
    steps = {"listen": wait_for("Order", next="s"), "s": send("mail")}
    world = World(MAIL, exits({"interaction": "Order"}, steps=steps))
    world.knows("ann")
    world.did("ann", "Go")
    world.did("ann", "Order")
    assert world.sent("ann") == []
    assert world.path("ann") == ["listen"]


def test_what_ends_a_run_may_start_the_next():
    world = World(MAIL, exits({"interaction": "Go"}, re_entry="after_end"))
    world.did("ann", "Go")
    world.did("ann", "Go")
    assert [reason for reason, _ in ended(world)] == ["exited"]
    assert len(world.runs("ann")) == 1


@pytest.mark.parametrize(
    "condition, what",
    [
        ({"contact": "city", "is": "Bonn"}, Learned({"city": "Bonn"})),
        ({"list": "vip"}, Learned(lists={"vip": True})),
        ({"consent": "email", "is": "opted_out"}, Learned(consent={"email": {"": "opted_out"}})),
        ({"did": "Order", "times": {"at_least": 1}}, Happened("Order", {})),
        ({"did": "Order", "times": {"at_least": 1}, "since": "entry"}, Happened("Order", {})),
        ({"segment": "locals"}, Learned({"city": "Bonn"})),
    ],
)
def test_a_condition_ends_a_run_when_something_makes_it_true(condition: dict[str, Any], what: Happened | Learned):
    segment = {"kind": "segment", "name": "locals", "condition": {"contact": "city", "is": "Bonn"}}
    world = World({"kind": "list", "name": "vip"}, segment, MAIL, exits({"if": condition}))
    world.did("ann", "Go")
    world.after("1h")
    world.did("ann", "Seen")
    assert ended(world) == []
    world.accept(world.arrival("ann", what))
    assert ended(world) == [("exited", ms("1h"))]


def test_a_message_of_the_run_itself_may_end_it():
    steps = {"w": wait("1h", next="s"), "s": send("mail", next="v"), "v": wait("1d", next="t"), "t": send("mail")}
    world = World(MAIL, exits({"if": {"messages": "sent", "times": {"at_least": 1}, "since": "entry"}}, steps=steps))
    world.knows("ann")
    world.did("ann", "Go")
    world.after("5d")
    assert world.sent("ann") == ["mail"]
    assert ended(world) == [("exited", ms("1h"))]


def test_a_reaction_may_end_a_run_before_it_moves_it():
    steps = {"s": send("mail", next="l"), "l": wait_for(to_reaction("opened"), next="t"), "t": send("mail")}
    world = World(MAIL, exits({"if": {"messages": "opened"}}, steps=steps))
    world.knows("ann")
    world.did("ann", "Go")
    world.reacts(world.messages("ann")[0], "opened")
    assert world.sent("ann") == ["mail"]
    assert [reason for reason, _ in ended(world)] == ["exited"]


def test_time_alone_ends_a_run_at_its_own_instant_however_late_it_is_looked_at():
    world = World(MAIL, exits({"if": {"did": "Seen", "times": {"at_most": 0}, "within": "2d"}}))
    world.did("ann", "Seen")
    world.did("ann", "Go")
    world.after("1d")
    world.did("ann", "Seen")
    world.after("9d")
    assert ended(world) == [("exited", ms("3d"))]


def test_a_date_of_what_started_the_run_may_end_it():
    world = World(MAIL, exits({"if": {"interaction": "until", "within_last": "52w"}}))
    world.did("ann", "Go", until="2026-03-04T09:00:00Z")
    world.after("9d")
    assert ended(world) == [("exited", ms("2d"))]


def test_who_meets_the_condition_of_an_exit_does_not_enter():
    world = World(MAIL, exits({"if": {"contact": "city", "is": "Bonn"}}))
    world.knows("ann", city="Bonn")
    world.did("ann", "Go")
    (entry,) = world.trace("ann", What.REFUSED)
    assert (entry.reason, entry.detail) == ("exit_met", {"exit": 'city is "Bonn"'})
    assert world.trace("ann", What.ENTERED) == []


def test_what_is_too_old_ends_no_run():
    world = World(MAIL, exits({"interaction": "Order"}))
    world.did("ann", "Go")
    world.after("1d")
    world.did("ann", "Order", ago="7h")
    assert ended(world) == []
    assert len(world.trace("ann", What.LATE)) == 1


def test_history_ends_no_run_until_something_else_happens():
    world = World(MAIL, exits({"if": {"contact": "city", "is": "Bonn"}}))
    world.did("ann", "Go")
    arrival = world.arrival("ann", Learned({"city": "Bonn"}))
    arrival.backfill = True
    world.accept(arrival)
    assert ended(world) == []
    world.knows("ann", city="Bonn")
    assert len(ended(world)) == 1


def test_a_segment_that_means_something_else_ends_runs_when_it_is_published():
    segment = {"kind": "segment", "name": "locals", "condition": {"contact": "city", "is": "Bonn"}}
    world = World(segment, MAIL, exits({"if": {"segment": "locals"}}))
    for who, city in (("ann", "Ulm"), ("bob", "Bonn"), ("cyd", "Kiel")):
        world.knows(who, city=city)
        world.did(who, "Go")
    world.after("1h")
    world.publish({**segment, "condition": {"contact": "city", "is": "Ulm"}})
    assert ended(world) == [("exited", ms("1h"))]
    assert [len(world.runs(who)) for who in ("bob", "cyd")] == [0, 1]


def test_runs_of_two_who_are_found_to_be_one_are_looked_at():
    world = World(MAIL, exits({"if": {"contact": "city", "is": "Bonn"}}))
    world.knows("ann", city="Bonn")
    arrival = world.arrival("", Happened("Go", {}))
    arrival.identities = (("anonymous_id", "x"),)
    world.accept(arrival)
    both = world.arrival("ann", Learned({}))
    both.identities = (("user_id", "ann"), ("anonymous_id", "x"))
    world.accept(both)
    assert [reason for reason, _ in ended(world)] == ["exited"]


# --- goals ------------------------------------------------------------------------------------------------------------


def test_a_goal_is_reached_once_and_the_run_goes_on():
    world = World(MAIL, goals({"interaction": "Order"}))
    world.knows("ann")
    world.did("ann", "Go")
    world.after("1d")
    world.did("ann", "Order")
    world.did("ann", "Order")
    assert reached(world) == [("g0", ms("1d"))]
    (entry,) = world.trace("ann", What.GOAL)
    assert entry.detail == {"by": "order"}
    world.after("20d")
    assert world.sent("ann") == ["mail"]


def test_a_goal_that_ends_ends_the_run_before_exits_are_looked_at():
    definition = goals({"interaction": "Order", "ends": True}, {"interaction": "Order"})
    world = World(MAIL, definition | {"exit": [{"interaction": "Order"}]})
    world.did("ann", "Go")
    world.did("ann", "Order")
    assert reached(world) == [("g0", 0)]  # the second one is no goal of a run that has ended
    assert [reason for reason, _ in ended(world)] == ["goal"]


@pytest.mark.parametrize("after, hit", [("7d-1s", True), ("7d", False)])
@pytest.mark.parametrize("steps", [LATER, {"s": send("mail")}])
def test_a_goal_counts_for_so_long_after_the_entry_also_when_the_run_has_ended(
    after: str, hit: bool, steps: dict[str, Any]
):
    world = World(MAIL, goals({"interaction": "Order", "within": "7d"}, steps=steps))
    world.knows("ann")
    world.did("ann", "Go")
    world.after(after)
    world.did("ann", "Order")
    assert bool(reached(world)) is hit


def test_a_goal_without_a_window_ends_with_the_run():
    world = World(MAIL, goals({"interaction": "Order"}, steps={"s": send("mail")}))
    world.knows("ann")
    world.did("ann", "Go")
    world.did("ann", "Order")
    assert reached(world) == []
    assert world.contact("ann").over == {}


def test_a_run_that_has_ended_is_forgotten_when_its_goals_are_reached_or_too_late():
    definition = goals({"interaction": "Order", "within": "2d"}, steps={"s": send("mail")}, entry={"key": "basket"})
    world = World(MAIL, definition)
    world.knows("ann")
    world.did("ann", "Go", basket="a")
    world.after("1d")
    world.did("ann", "Go", basket="b")
    assert [run.key for run in world.contact("ann").over["j"].values()] == ["a", "b"]
    world.after("1d")
    world.did("ann", "Go", basket="c")
    assert [run.key for run in world.contact("ann").over["j"].values()] == ["b", "c"]
    world.did("ann", "Order")
    assert world.contact("ann").over == {}
    assert len(reached(world)) == 2


def test_what_is_too_old_to_move_still_reaches_goals_by_when_it_occurred():
    world = World(MAIL, goals({"interaction": "Order", "within": "1d", "ends": True}))
    world.did("ann", "Go")
    world.after("30h")
    world.did("ann", "Order", ago="7h")
    world.did("ann", "Order", ago="29h")
    assert [reason for reason, _ in reached(world)] == ["g0"]
    assert ended(world) == []


def test_what_occurred_before_the_entry_reaches_no_goal():
    world = World(MAIL, goals({"interaction": "Order"}))
    world.did("ann", "Go")
    world.after("1h")
    world.did("ann", "Order", ago="2h")
    assert reached(world) == []


def test_a_condition_that_is_true_at_the_entry_must_have_been_false_before_it_is_reached():
    world = World(MAIL, goals({"if": {"contact": "plan", "is": "premium"}}))
    world.knows("ann", plan="premium")
    world.did("ann", "Go")
    world.knows("ann", plan="premium")
    world.did("ann", "Seen")
    assert reached(world) == []
    world.knows("ann", plan="free")
    world.after("1d")
    world.knows("ann", plan="premium")
    assert reached(world) == [("g0", ms("1d"))]


@pytest.mark.parametrize("steps", [LATER, {"s": send("mail")}])
def test_time_alone_reaches_a_goal_also_when_the_run_has_ended(steps: dict[str, Any]):
    world = World(
        MAIL,
        goals(
            {"if": {"did": "Complained", "times": {"at_most": 0}, "within": "3d"}, "within": "9d"},
            {"if": {"did": "Complained", "times": {"at_most": 0}, "within": "3d"}, "within": "2d"},
            steps=steps,
        ),
    )
    world.knows("ann")
    world.did("ann", "Complained")
    world.did("ann", "Go")
    world.after("8d")
    assert reached(world) == [("g0", ms("3d"))]
    contact = world.contact("ann")
    assert contact.over == {}
    assert {timer.token for timer in contact.timers} <= {0, 1}


def test_goals_of_a_run_go_with_it_when_two_are_found_to_be_one():
    world = World(MAIL, goals({"interaction": "Order", "within": "9d"}, steps={"s": send("mail")}))
    arrival = world.arrival("", Happened("Go", {}))
    arrival.identities = (("anonymous_id", "x"),)
    world.knows("ann")
    world.accept(arrival)
    both = world.arrival("ann", Learned({}))
    both.identities = (("user_id", "ann"), ("anonymous_id", "x"))
    world.accept(both)
    world.did("ann", "Order")
    assert reached(world) == [("g0", 0)]


# --- both -------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("short_chains")
@examples(60)
@given(scenarios(publishing=False))
def test_at_any_instant_no_run_stays_whose_exit_is_met(scenario: Scenario):
    """Asked of every run at the present instant, not only when something happened to its contact."""
    simulation = Simulation(MemoryStore(), BEGINS)
    script = play(simulation, scenario)
    again = Simulation(MemoryStore(), BEGINS)
    backfilled = {arrival.message_id for step in script for arrival in step.arrivals if arrival.backfill}
    if backfilled:
        return
    for step in script:
        perform(again, [step])
        plan = again.engine.plan
        for contact in again.store.scan(limit=1_000):
            for runs in (contact.runs, contact.over):
                for run in [run for of_journey in runs.values() for run in of_journey.values()]:
                    contact.time = again.clock.now()
                    _no_aim_is_met(contact, run, plan)


def test_what_cannot_be_meant_is_refused():
    wrong = {
        "exit": [{}, {"interaction": "Go", "if": {"contact": "a", "is": 1}}, {"interaction": "Go", "key": "order"}],
        "goals": [
            {"name": "g", "if": {"contact": "a", "is": 1}, "where": {"contact": "a", "is": 1}},
            {"name": "g", "interaction": "Go"},
        ],
    }
    _, errors, _ = load_data([MAIL, journey(LATER, **wrong)])
    assert [(problem.code, problem.pointer) for problem in errors] == [
        ("invalid_value", "/definitions/1/exit/0"),
        ("invalid_value", "/definitions/1/exit/1"),
        ("no_key", "/definitions/1/exit/2/key"),
        ("invalid_value", "/definitions/1/goals/0/where"),
        ("name_twice", "/definitions/1/goals/1/name"),
    ]


def test_a_trace_entry_names_the_run_and_the_version():
    world = World(MAIL, goals({"interaction": "Order"}))
    world.did("ann", "Go")
    (run,) = world.runs("ann")
    world.did("ann", "Order")
    assert world.trace("ann", What.GOAL) == [
        Trace(world.now, What.GOAL, "j", 1, run.id, "", "g0", {"by": "order"}),
    ]
