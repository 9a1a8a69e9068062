"""Conditions about points, tiers and membership: asked now, watched, and looked at by journeys."""

from __future__ import annotations

from typing import Any

import pytest

from parcours.conditions.parse import parse_condition
from parcours.conditions.text import describe
from parcours.conditions.to_python import compile_condition
from parcours.core.effects import What
from parcours.definitions.load import load_data
from tests.core.test_loyalty_rules import PER_EURO, TIERS, club, programme, rule
from tests.core.world import World, email, journey, send


def segment(condition: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"kind": "segment", "name": "s", "condition": condition, "live": True, **more}


def entered_and_left(world: World) -> list[str]:
    return [entry.what for entry in world.trace("ann", What.JOINED, What.LEFT) if entry.reason == "s"]


@pytest.mark.parametrize(
    "condition, expected",
    [
        ({"points": "club", "at_least": 120}, True),
        ({"points": "club", "more_than": 120}, False),
        ({"points": "club", "kind": "held", "exactly": 10}, True),
        ({"points": "club", "kind": "lifetime", "exactly": 130}, True),
        ({"points": "club", "kind": "qualifying", "exactly": 130}, True),
        ({"points": "other", "less_than": 5}, False),
        ({"tier": "club", "is": "silver"}, True),
        ({"tier": "club", "in": ["bronze", "gold"]}, False),
        ({"tier": "club", "at_least": "bronze"}, True),
        ({"tier": "club", "at_least": "gold"}, False),
        ({"member": "club"}, True),
        ({"member": "other"}, False),
    ],
)
def test_what_somebody_has(condition: dict[str, Any], expected: bool):
    world = club(rule(points=PER_EURO), rule("held", on=["Held"], points=10, holding="9d"), tiers=TIERS)
    world.did("ann", "Bought", total=60)
    world.did("ann", "Held")
    node, problems = parse_condition(condition)
    assert problems == []
    assert node is not None
    assert compile_condition(node)(world.contact("ann"), {}, world.now) is expected
    assert describe(node)


def test_who_left_has_no_tier_and_is_no_member():
    world = club(segment({"any": [{"member": "club"}, {"tier": "club", "is": "bronze"}]}), tiers=TIERS)
    assert entered_and_left(world) == ["joined"]
    world.asks("ann", "leave")
    assert entered_and_left(world) == ["joined", "left"]
    world.asks("ann", "enrol")
    assert entered_and_left(world) == ["joined", "left", "joined"]


def test_a_watched_segment_follows_balances_and_time():
    world = club(
        rule(points=10, holding="1d"),
        segment({"points": "club", "at_least": 10}),
        expiry={"type": "rolling", "days": 3},
    )
    world.did("ann", "Bought")
    assert entered_and_left(world) == []
    world.after("1d")
    assert entered_and_left(world) == ["joined"]
    world.after("2d-1s")
    assert entered_and_left(world) == ["joined"]
    world.after("1s")
    assert entered_and_left(world) == ["joined", "left"]


def test_what_counts_towards_tiers_leaves_a_rolling_period_by_itself():
    tiers = TIERS | {"period": {"type": "rolling", "days": 10}}
    world = club(rule(points=10), segment({"points": "club", "kind": "qualifying", "at_least": 10}), tiers=tiers)
    world.did("ann", "Bought")
    world.after("10d-1s")
    assert entered_and_left(world) == ["joined"]
    world.after("1s")
    assert entered_and_left(world) == ["joined", "left"]


def test_a_tier_starts_a_journey_and_a_spend_ends_it():
    vips = journey(
        {"hi": send("hi", next="w"), "w": {"type": "wait", "for": "1d", "next": "bye"}, "bye": send("bye")},
        exit=[{"if": {"points": "club", "less_than": 100}}],
        entry={"type": "segment", "segment": "s", "on": "entered"},
    )
    vips["entry"].pop("interaction", None)
    world = club(
        rule(points=PER_EURO), email("hi"), email("bye"), segment({"tier": "club", "is": "silver"}), vips, tiers=TIERS
    )
    world.knows("ann")
    world.did("ann", "Bought", total=60)
    assert world.sent("ann") == ["hi"]
    world.asks("ann", "spend", points=50)
    world.after("2d")
    assert world.sent("ann") == ["hi"]


def test_rules_may_ask_for_tiers_and_points():
    world = club(
        rule(points=PER_EURO),
        rule("more", on=["Rated"], points=5, where={"tier": "club", "at_least": "silver"}),
        tiers=TIERS,
    )
    world.did("ann", "Rated")
    assert world.booked("ann") == []
    world.did("ann", "Bought", total=60)
    world.did("ann", "Rated")
    assert world.booked("ann") == [("earned", 120, 0), ("earned", 5, 0)]


def test_a_programme_that_changes_reaches_its_members_at_once():
    world = club(rule(points=PER_EURO))
    world.did("ann", "Bought", total=60)
    assert world.member("ann").tier == ""
    world.publish(programme(tiers=TIERS), segment({"tier": "club", "at_least": "silver"}))
    assert world.member("ann").tier == "bronze"  # what was earned before there were tiers does not count
    world.did("ann", "Bought", total=30)
    lower = [level | {"at": level["at"] // 2} for level in TIERS["levels"]]
    world.publish(programme(tiers=TIERS | {"levels": lower}))
    assert world.member("ann").tier == "silver"
    assert entered_and_left(world) == ["joined"]


def test_expiry_that_a_programme_gets_is_heeded_by_members_who_do_nothing():
    world = club(rule(points=10))
    world.did("ann", "Bought")
    world.publish(programme(expiry={"type": "inactivity", "days": 5}))
    world.after("5d")
    assert world.booked("ann")[1:] == [("expired", -10, 0)]


@pytest.mark.parametrize(
    "condition, pointer, hint",
    [
        ({"points": "clib", "at_least": 1}, "/points", "did you mean 'club'?"),
        ({"tier": "club", "is": "golf"}, "/is", "did you mean 'gold'?"),
        ({"tier": "club", "in": ["gold", "x"]}, "/in/1", "its tiers are bronze, silver, gold"),
        ({"points": "club", "atleast": 1}, "", "did you mean 'at_least'?"),
        ({"points": "club", "at_least": 1.5}, "/at_least", ""),
        ({"points": "club", "at_least": 1, "kind": "x"}, "/kind", ""),
        ({"tier": "club", "at_most": "gold"}, "", "did you mean 'at_least'?"),
    ],
)
def test_mistakes(condition: dict[str, Any], pointer: str, hint: str):
    _, errors, _ = load_data([programme(tiers=TIERS), segment(condition)])
    (problem,) = errors
    assert problem.pointer == f"/definitions/1/condition{pointer}"
    assert problem.hint == hint


def test_messages_are_forgotten_once_no_rule_asks_for_them_any_more():
    asks = rule(points=PER_EURO, where={"messages": "opened"})
    world = club(asks, email("hi"), journey({"s": send("hi")}))
    world.knows("ann")
    world.did("ann", "Go")
    assert len(world.contact("ann").messages) == 1
    world.publish(rule(points=PER_EURO))
    assert world.contact("ann").messages == {}
    world.publish(asks)
    assert len(world.contact("ann").messages) == 1


def test_times_are_forgotten_once_no_rule_counts_as_far_any_more():
    def counts(most: int) -> dict[str, Any]:
        return rule(points=PER_EURO, where={"did": "Bought", "times": {"at_least": most}})

    world = club(counts(3))
    for _ in range(4):
        world.did("ann", "Bought", total=1)
    assert [len(times) for times in world.contact("ann").counters.values()] == [4]
    world.publish(counts(2))
    assert [len(times) for times in world.contact("ann").counters.values()] == [3]
    world.publish(counts(3))
    assert [len(times) for times in world.contact("ann").counters.values()] == [4]
