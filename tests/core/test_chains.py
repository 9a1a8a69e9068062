"""Chains of inputs that follow from one another: in which order they happen, and how one without end is cut off."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from structlog.testing import capture_logs

from parcours.core.chains import MOST_MADE
from parcours.core.effects import What
from parcours.core.figures import figures
from parcours.core.inputs import Interaction
from parcours.definitions.journey import MOST_RUNS
from parcours.runtimes.explain import explain, past_of
from parcours.testing.snapshot import EVERYTHING, replay, snapshot
from tests.core.invariants import check_invariants
from tests.core.world import END, START, World, email, journey, ms, send, wait, wait_for

HOUR = ms("1h")
LAST = {"did": "Ping", "times": {"exactly": MOST_MADE + 1}}


def record(name: str, to: str = "end", **attributes: Any) -> dict[str, Any]:
    return {"type": "record", "interaction": name, "attributes": attributes, "next": to}


def adds(amount: Any = 1, to: str = "end", name: str = "x") -> dict[str, Any]:
    return {"type": "update", "set": {name: {"add": amount}}, "next": to}


def records(world: World, who: str = "ann") -> list[Any]:
    return [item.input() for item in reversed(world.store.history(world.id_of(who), EVERYTHING))]


def names(world: World) -> Counter[str]:
    return Counter(item.name for item in records(world) if isinstance(item, Interaction))


def holds(world: World) -> None:
    """Everything that must hold at any time, and a replay of the log comes to the same."""
    found = snapshot(world.store)
    check_invariants(found, world.run.engine.plan)
    assert snapshot(replay(found.records, world.now)) == found


# --- without end ------------------------------------------------------------------------------------------------------


def test_a_step_that_sets_itself_off_for_ever_fails_and_its_run_ends():
    world = World(journey({"note": record("Go"), "end": END}))
    with capture_logs() as logs:
        world.did("ann", "Go")
    assert names(world) == {"go": 1 + MOST_MADE}
    assert Counter(world.reasons("ann", What.ENDED)) == {"finished": MOST_MADE, "endless_chain": 1}
    (failed,) = world.trace("ann", What.FAILED)
    assert (failed.journey, failed.step, failed.reason, failed.detail) == (
        "j",
        "note",
        "endless_chain",
        {"times": MOST_MADE},
    )
    assert world.runs("ann") == []
    assert [(line["event"], line["log_level"], line["steps"]) for line in logs] == [
        ("endless_chain", "error", ["j/note"])
    ]
    assert world.run.engine.cut == 1
    holds(world)
    found = figures(world.run.engine.plan.journeys["j"].values(), world.store.statistics())
    assert (found.running, found.ended, found.steps[0].failed) == (
        0,
        {"finished": MOST_MADE, "endless_chain": 1},
        {"endless_chain": 1},
    )
    explained = explain(past_of(world.store, world.id_of("ann")), world.run.engine.plan, "j", world.now)
    (said,) = [said for said in explained.because if "failed" in said]
    assert "'note' failed, and the run ended: endless_chain (it made the same happen 100 times" in said
    # The next input begins a chain of its own.
    world.did("ann", "Go")
    assert world.reasons("ann", What.FAILED) == ["endless_chain"] * 2


def test_others_of_the_same_chain_come_to_their_end():
    """What began the chain, and whoever was moved by it, is not cut off with the one that goes round."""
    outer = journey({"note": record("Go", "after"), "after": send("news")}, on="Paid", name="outer")
    world = World(email("news"), outer, journey({"note": record("Go"), "end": END}))
    world.knows("ann")
    world.did("ann", "Paid")
    assert world.sent("ann") == ["news"]
    assert world.trace("ann", What.FAILED)[0].journey == "j"
    holds(world)


PING_PONG = [
    journey({"note": record("Pong"), "end": END}, on="Ping", name="a", re_entry="after_end"),
    journey({"note": record("Ping"), "end": END}, on="Pong", name="b", re_entry="after_end"),
]
LISTENING = [
    journey({"w": wait_for("Ping", next="note"), "note": record("Pong", "w")}, name="a"),
    journey({"w": wait_for("Pong", next="note"), "note": record("Ping", "w")}, name="b"),
]
TWO_AT_ONCE = [journey({"note": record("Ping", "more"), "more": record("Ping"), "end": END}, on="Ping")]
KEYED = [
    journey(
        {"note": record("Ping", order={"now": True}, n={"from": "interaction", "attribute": "n"}), "end": END},
        on="Ping",
        entry={"key": "order"},
        re_entry="always",
    )
]
SEGMENTS = [
    {"kind": "segment", "name": "high", "condition": {"contact": "x", "at_least": 1}},
    journey(
        {"down": {"type": "update", "set": {"x": 0}}},
        name="a",
        entry={"type": "segment", "segment": "high", "on": "entered"} | {"interaction": None},
        re_entry="always",
    ),
    journey({"up": {"type": "update", "set": {"x": 1}}}, on="Ping", name="c"),
    journey(
        {"up": {"type": "update", "set": {"x": 1}}},
        name="b",
        entry={"type": "segment", "segment": "high", "on": "left"} | {"interaction": None},
        re_entry="always",
    ),
]
for _definition in SEGMENTS:
    if "entry" in _definition and _definition["entry"].get("interaction", "") is None:
        del _definition["entry"]["interaction"]
STARTS = [
    journey({"go": {"type": "start", "journey": "s"}}, on="Ping"),
    {
        "kind": "journey",
        "name": "s",
        "entry": {"type": "journey"},
        "re_entry": "always",
        "start": "go",
        "steps": {"go": {"type": "start", "journey": "s"}},
    },
]
REWARDED = [
    {"kind": "programme", "name": "club"},
    {
        "kind": "rule",
        "name": "more",
        "programme": "club",
        "on": ["Ping"],
        "points": 1,
        "record": {"interaction": "Points Given"},
    },
    journey(
        {"in": {"type": "enrol", "programme": "club", "next": "note"}, "note": record("Ping"), "end": END}, name="first"
    ),
    journey({"note": record("Ping"), "end": END}, on="Points Given", name="again"),
]


@pytest.mark.parametrize(
    "definitions",
    [PING_PONG, LISTENING, TWO_AT_ONCE, KEYED, SEGMENTS, STARTS, REWARDED],
    ids=["ping-pong", "listening", "two at once", "keyed", "segments", "starts", "rewarded"],
)
def test_nothing_goes_on_for_ever(definitions: list[dict[str, Any]]):
    world = World(*definitions)
    _, warnings = world.run.engine.check(definitions)
    assert "endless_chain" in [problem.code for problem in warnings], "it can be seen beforehand"
    world.did("ann", "Go")
    world.did("ann", "Ping")
    world.did("ann", "Ping", order="a")
    assert "endless_chain" in world.reasons("ann", What.FAILED)
    assert len(records(world)) < 10 * MOST_MADE
    assert all(run.tokens[0].step == "w" for run in world.runs("ann", "a"))
    holds(world)


def test_a_long_way_round_is_no_recursion():
    count = 12
    ring = [
        journey({"note": record(f"Go{(number + 1) % count}"), "end": END}, on=f"Go{number}", name=f"j{number}")
        for number in range(count)
    ]
    world = World(*ring)
    world.did("ann", "Go0")
    assert len(records(world)) == 1 + count * MOST_MADE
    assert world.reasons("ann", What.FAILED) == ["endless_chain"]


def test_all_runs_of_a_journey_may_act_on_one_input():
    steps = {"w": wait_for("Paid", next="add"), "add": adds(), "end": END}
    world = World(journey(steps))
    for _ in range(MOST_RUNS):
        world.did("ann", "Go")
    world.did("ann", "Paid")
    assert world.contact("ann").attributes["x"] == MOST_RUNS
    assert not world.trace("ann", What.FAILED)


def test_what_else_a_run_that_fails_has_goes_with_it():
    """It is in several places: one waits for time, one for the very input that moves another, and that one fails."""
    steps = {
        "ways": {"type": "fork", "branches": ["long", "listen", "other"]},
        "long": wait("1d", next="end"),
        "listen": wait_for("Ping", next="note"),
        "note": record("Ping", "listen"),
        "other": wait_for({"type": "interaction", "interaction": "Ping", "where": LAST}, next="mail"),
        "mail": send("news", next="end"),
        "end": END,
    }
    world = World(email("news"), journey(steps))
    world.knows("ann")
    for _ in range(2):
        world.did("ann", "Go")
    world.did("ann", "Ping")
    (end,) = world.trace("ann", What.ENDED)
    assert end.reason == "endless_chain"
    dropped = [(entry.run, entry.step, entry.reason) for entry in world.trace("ann", What.DROPPED)]
    assert dropped == [(end.run, step, "endless_chain") for step in ("long", "note", "other")]
    assert len(world.messages("ann")) == 1, "the one that failed is not moved on any more by what let it fail"
    assert [run.id for run in world.runs("ann")] != [end.run]
    holds(world)


def test_a_run_that_fails_while_it_begins_leaves_no_timer():
    steps = {
        "ways": {"type": "fork", "branches": ["long", "note", "late"]},
        "long": wait("1d", next="end"),
        "note": record("Ping", "listen"),
        "listen": wait_for("Ping", next="note"),
        "late": wait("2d", next="end"),
        "end": END,
    }
    outer = {"one": record("Go", "two"), "two": record("Go", "three"), "three": record("Go"), "end": END}
    world = World(journey(outer, on="Paid", name="outer"), journey(steps))
    world.did("ann", "Paid")
    entered = world.trace("ann", What.ENTERED)[-1].run
    told = [(entry.what, entry.step) for entry in world.run.trace(world.id_of("ann")) if entry.run == entered]
    assert told == [
        ("entered", ""),
        ("arrived", "ways"),
        *(("branched", "ways") for _ in range(3)),
        ("arrived", "long"),
        ("arrived", "note"),
        ("failed", "note"),
        ("dropped", "long"),
        ("dropped", "note"),
        ("ended", ""),
    ]
    holds(world)


# --- the order --------------------------------------------------------------------------------------------------------


def test_what_follows_from_a_timer_comes_before_the_next_timer_of_the_same_instant():
    first = journey({"w": wait("1h", next="note"), "note": record("Woke"), "end": END}, name="a")
    second = journey({"w": wait_for("Woke", after="1h", next="end"), "end": END}, name="b")
    for late in (HOUR, 3 * HOUR):
        world = World(first, second)
        world.did("ann", "Go")
        world.run.clock.set(START + late)
        world.run.advance(START + late)
        assert [entry.reason for entry in world.trace("ann", What.BRANCHED) if entry.journey == "b"] == ["woke"]
        holds(world)


def test_an_input_from_elsewhere_comes_after_the_timers_of_its_instant_and_what_follows_from_them():
    first = journey({"w": wait("1h", next="note"), "note": record("Woke"), "end": END}, name="a")
    second = journey({"w": wait_for("Paid", after="1h", next="end"), "end": END}, name="b")
    world = World(first, second)
    world.did("ann", "Go")
    world.run.clock.set(START + HOUR)
    world.did("ann", "Paid")
    assert [item.name for item in records(world)] == ["go", "woke", "paid"]
    assert [entry.reason for entry in world.trace("ann", What.BRANCHED) if entry.journey == "b"] == ["timeout"]
    holds(world)


def test_what_follows_from_one_comes_before_the_next():
    first = journey({"one": record("One", "two"), "two": record("Two"), "end": END})
    second = journey({"other": record("Other"), "end": END}, name="k")
    third = journey({"of": record("Of one"), "end": END}, on="One", name="l")
    world = World(first, second, third)
    world.did("ann", "Go")
    assert [item.name for item in records(world)] == ["go", "one", "of one", "two", "other"]
    holds(world)


# --- sums -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "definitions",
    [
        [journey({"add": adds(), "end": END}), journey({"add": adds(2), "end": END}, name="k")],
        [
            journey({"w": wait("1h", next="add"), "add": adds(), "end": END}),
            journey({"w": wait("1h", next="add"), "add": adds(2), "end": END}, name="k"),
        ],
        [
            journey(
                {
                    "ways": {"type": "fork", "branches": ["a", "b"]},
                    "a": adds(),
                    "b": adds({"from": "interaction", "attribute": "two"}),
                    "end": END,
                }
            )
        ],
    ],
    ids=["two journeys", "two timers", "a fork"],
)
def test_of_two_that_add_to_one_number_neither_loses_the_others_sum(definitions: list[dict[str, Any]]):
    world = World(*definitions)
    world.did("ann", "Go", two=2)
    world.after("1h")
    assert world.contact("ann").attributes["x"] == 3
    assert [item.attributes["x"] for item in records(world)[1:]] == [1, 3]
    holds(world)


def test_of_two_that_add_to_one_list_neither_loses_the_others():
    world = World(journey({"add": adds("a"), "end": END}), journey({"add": adds(["b"]), "end": END}, name="k"))
    world.did("ann", "Go")
    assert world.contact("ann").attributes["x"] == ["a", "b"]


def test_a_sum_adds_to_what_is_there_though_its_run_has_ended():
    world = World(
        journey({"add": adds(), "end": END}),
        journey({"add": adds(2), "end": END}, name="k", exit=[{"if": {"contact": "x", "at_least": 1}}]),
    )
    world.did("ann", "Go")
    assert Counter(world.reasons("ann", What.ENDED)) == {"finished": 1, "exited": 1}
    assert world.contact("ann").attributes["x"] == 3


def test_a_sum_to_what_is_no_number_any_more_is_not_set():
    world = World(
        journey({"set": {"type": "update", "set": {"x": "text"}}}),
        journey({"add": adds(), "end": END}, name="k"),
    )
    world.did("ann", "Go")
    assert world.contact("ann").attributes["x"] == "text"
    holds(world)
