"""What a rule gives for the past, once it is asked to."""

from __future__ import annotations

from typing import Any

from parcours.core.gate import Asked
from parcours.core.member import IN_REVIEW, Lot
from parcours.runtimes.engine import Refused
from tests.core.test_loyalty_rules import club, rule
from tests.core.world import World


def gives(world: World, *, ago: str = "30d", points: int = 10, author: str = "eve", **more: Any) -> str:
    lot = Lot("", more.pop("rule", "purchases"), 0, points, points, **more)
    return world.asks("ann", "award", ago=ago, lot=lot, author=author)


def test_it_is_given_as_of_when_it_occurred():
    world = club(rule(points=10), holding="40d")
    world.after("60d")
    assert gives(world, ago="50d") == ""
    assert gives(world, ago="30d") == ""
    entries = world.ledger("ann")
    assert [(entry.kind, entry.amount, entry.held) for entry in entries] == [("earned", 10, 0), ("pending", 0, 10)]
    assert {(entry.rule, entry.reason, entry.author) for entry in entries} == {("purchases", "retroactive", "eve")}
    assert [world.now - entry.occurred_at for entry in entries] == [50 * 86_400_000, 30 * 86_400_000]
    world.after("10d")
    assert world.member("ann").balance == 20


def test_what_would_have_expired_expires_at_once():
    world = club(rule(points=10), expiry={"type": "rolling", "days": 20})
    world.after("60d")
    assert gives(world) == ""
    assert world.booked("ann") == [("earned", 10, 0), ("expired", -10, 0)]


def test_limits_of_the_period_in_which_it_occurred_hold():
    world = club(rule(points=10, limits=[{"per": "month", "points": 25}]))
    world.did("ann", "Bought")
    world.after("60d")
    assert [gives(world, ago="59d"), gives(world, ago="58d"), gives(world, ago="57d")] == ["", "", "limit"]
    assert [amount for _, amount, _ in world.booked("ann")] == [10, 10, 5]
    assert gives(world, ago="1d") == ""


def test_what_is_to_be_reviewed_is():
    world = club(rule(points=10, hold_if={"all": []}))
    world.after("60d")
    assert gives(world, due=IN_REVIEW) == ""
    assert world.booked("ann") == [("pending", 0, 10)]
    assert world.asks("ann", "review", approved=True, author="eve") == ""
    assert world.member("ann").balance == 10


def test_it_counts_towards_tiers_by_when_it_occurred():
    tiers = {"period": {"type": "rolling", "days": 10}, "levels": [{"name": "silver", "at": 10}]}
    world = club(rule(points=10), tiers=tiers)
    world.after("60d")
    gives(world, ago="30d", qualifying=10)
    assert world.member("ann").tier == ""
    gives(world, ago="5d", qualifying=10)
    assert world.member("ann").tier == "silver"


def test_it_names_a_live_rule_and_an_author():
    world = club(rule(points=10))
    assert gives(world, rule="nothing") == "no_rule"
    lot = Lot("", "purchases", 0, 1, 1)
    (outcome,) = world.send(world.arrival("ann", Asked(action="award", programme="club", lot=lot)))
    assert isinstance(outcome, Refused)
    assert outcome.problem.pointer == "/author"
