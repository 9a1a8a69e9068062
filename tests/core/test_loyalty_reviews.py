"""Awards that are put aside until somebody approves or refuses them."""

from __future__ import annotations

from typing import Any

import pytest

from parcours.core.effects import What
from parcours.core.gate import Asked
from parcours.core.loyalty.review import in_review
from parcours.runtimes.engine import Refused
from tests.core.test_loyalty_rules import Definition, club, programme, refused, rule

OFTEN = {"did": "Bought", "times": {"at_least": 3}, "within": "1h"}
PER_EURO = {"points": 2, "of": "total"}


def held(**more: Any) -> Definition:
    return rule(**{"points": PER_EURO, "hold_if": OFTEN, **more})


def suspicious(**more: Any) -> Any:
    """Ann bought three times within an hour: the third is put aside."""
    rules = more.pop("rules", [held(**more.pop("rule", {}))])
    world = club(*rules, **more)
    for order in ("a", "b", "c"):
        world.after("1m")
        world.did("ann", "Bought", total=10, order=order)
    return world


def test_an_award_is_put_aside_and_its_points_wait():
    world = suspicious()
    assert world.booked("ann") == [("earned", 20, 0), ("earned", 20, 0), ("pending", 0, 20)]
    (lot,) = in_review(world.member("ann"))
    entry = world.ledger("ann")[-1]
    assert (entry.reason, entry.rule, entry.id) == ("review", "purchases", lot.id)
    assert world.reasons("ann", What.WITHHELD) == ["review"]
    world.after("1000d")
    assert (world.member("ann").balance, world.member("ann").held) == (40, 20)
    assert world.asks("ann", "spend", points=41) == "not_enough_points"


def test_what_is_approved_can_be_spent_and_the_ledger_says_who_approved():
    world = suspicious()
    (lot,) = in_review(world.member("ann"))
    assert world.asks("ann", "review", reference=lot.id, approved=True, reason="known", author="eve") == ""
    entry = world.ledger("ann")[-1]
    assert (entry.kind, entry.amount, entry.held, entry.lot) == ("earned", 20, -20, lot.id)
    assert (entry.reason, entry.author) == ("known", "eve")
    assert world.reasons("ann", What.REVIEWED) == ["approved"]
    assert world.asks("ann", "review", reference=lot.id, approved=False, author="eve") == "no_review"
    assert world.member("ann").balance == 60


def test_what_is_refused_is_gone():
    world = suspicious()
    assert world.asks("ann", "review", approved=False, reason="shared card", author="eve") == ""
    entry = world.ledger("ann")[-1]
    assert (entry.kind, entry.held, entry.reason, entry.author) == ("reversed", -20, "shared card", "eve")
    member = world.member("ann")
    assert (member.balance, member.held, member.lifetime, in_review(member)) == (40, 0, 40, [])
    assert world.asks("ann", "refund", reference="c", approved=False) in {"", "unknown_order"}
    assert world.member("ann").balance == 40


def test_a_repeated_decision_is_one():
    world = suspicious()
    arrival = world.arrival("ann", Asked(action="review", programme="club", approved=True, author="eve"), id_="r1")
    world.accept(arrival)
    world.send(world.arrival("ann", Asked(action="review", programme="club", approved=True, author="eve"), id_="r1"))
    assert [kind for kind, _, _ in world.booked("ann")] == ["earned", "earned", "pending", "earned"]


def test_what_is_approved_early_is_held_as_long_as_it_would_have_been():
    world = suspicious(holding="1d")
    world.asks("ann", "review", approved=True, author="eve")
    world.after("23h")
    assert world.member("ann").held == 60
    world.after("1h")
    assert (world.member("ann").balance, world.member("ann").held) == (60, 0)


def test_what_is_approved_after_it_would_have_expired_expires_at_once():
    world = suspicious(expiry={"type": "rolling", "days": 10})
    world.after("20d")
    world.asks("ann", "review", approved=True, author="eve")
    assert world.booked("ann")[-2:] == [("earned", 20, -20), ("expired", -20, 0)]


def test_a_refund_takes_back_what_is_in_review():
    world = suspicious(
        rule={"reference": "order"},
        refunds=[{"interaction": "Refunded", "reference": "order"}],
    )
    world.did("ann", "Refunded", order="c", total=4)
    assert world.member("ann").held == 12
    world.asks("ann", "review", approved=True, author="eve")
    assert world.member("ann").balance == 52
    world.did("ann", "Refunded", order="c")
    assert world.member("ann").balance == 40


TIERS = {"levels": [{"name": "bronze", "at": 0}, {"name": "silver", "at": 50}, {"name": "gold", "at": 900}]}


def test_points_in_review_count_towards_no_tier_until_they_are_approved():
    world = suspicious(tiers=TIERS)
    assert world.member("ann").tier == "bronze"
    world.asks("ann", "review", approved=True, author="eve")
    assert world.member("ann").tier == "silver"


def test_what_is_refused_never_counts_towards_a_tier():
    world = suspicious(tiers=TIERS)
    world.asks("ann", "review", approved=False, author="eve")
    world.did("ann", "Bought", total=1)
    world.asks("ann", "review", approved=True, author="eve")
    assert world.member("ann").tier == "bronze"


def test_a_tier_that_a_rule_gives_waits_for_the_approval_too():
    world = suspicious(rule={"tier": "gold", "hold_if": {"all": []}}, tiers=TIERS)
    assert world.member("ann").tier == "bronze"
    world.asks("ann", "review", approved=True, author="eve")
    assert world.member("ann").tier == "gold"


def test_limits_count_what_is_in_review():
    world = suspicious(rule={"limits": [{"per": "day", "times": 3}]})
    world.did("ann", "Bought", total=10)
    assert world.reasons("ann", What.WITHHELD) == ["review", "limit"]


def test_a_review_has_an_author_and_something_to_decide():
    world = club(held())
    (outcome,) = world.send(world.arrival("ann", Asked(action="review", programme="club", approved=True)))
    assert isinstance(outcome, Refused)
    assert (outcome.problem.code, outcome.problem.pointer) == ("missing_key", "/author")
    assert world.asks("ann", "review", approved=True, author="eve") == "no_review"


@pytest.mark.parametrize(
    "more, said",
    [
        ({"points": 1, "hold_if": {"segment": "nobody"}}, "/hold_if"),
        ({"multiply": 2, "hold_if": OFTEN}, "/hold_if"),
    ],
)
def test_what_is_wrong_with_it_is_told(more: dict[str, Any], said: str):
    (problem,) = refused(programme(), rule(**more))
    assert said in problem
