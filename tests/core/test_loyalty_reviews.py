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


CUP = {"kind": "reward", "name": "cup", "gift": "A cup", "stock": 1}


def reward_held(**more: Any) -> Any:
    """Ann and Bob bought: for each a reward is put aside."""
    others = more.pop("others", [])
    more = {"reward": "cup", "hold_if": {"all": []}, "reference": "order", **more}
    world = club(CUP, *others, rule(**more), refunds=[{"interaction": "Refunded", "reference": "order"}])
    assert world.asks("bob", "enrol") == ""
    for who in ("ann", "bob"):
        world.after("1m")
        world.did(who, "Bought", order=who, total=10)
    return world


def test_a_reward_without_points_waits_and_is_issued_once_it_is_approved():
    world = reward_held()
    (lot,) = in_review(world.member("ann"))
    assert (lot.points, world.booked("ann"), world.contact("ann").coupons) == (0, [("pending", 0, 0)], {})
    (said,) = world.trace("ann", What.WITHHELD)
    assert (said.reason, said.detail["rule"], said.detail["lot"]) == ("review", "purchases", lot.id)
    world.after("1000d")
    assert world.asks("ann", "review", reference=lot.id, approved=True, author="eve", reason="known") == ""
    assert [coupon.reward for coupon in world.contact("ann").coupons.values()] == ["cup"]
    entry = world.ledger("ann")[-1]
    assert (entry.kind, entry.amount, entry.lot, entry.author, entry.reason) == ("earned", 0, lot.id, "eve", "known")
    assert world.asks("ann", "review", reference=lot.id, approved=True, author="eve") == "no_review"
    assert len(world.contact("ann").coupons) == 1


def test_a_reward_that_is_refused_is_not_issued_and_its_stock_is_there_for_others():
    world = reward_held()
    assert world.asks("ann", "review", approved=False, author="eve") == ""
    assert world.booked("ann") == [("pending", 0, 0), ("reversed", 0, 0)]
    assert world.asks("ann", "review", approved=True, author="eve") == "no_review"
    assert world.asks("bob", "review", approved=True, author="eve") == ""
    assert (len(world.contact("ann").coupons), len(world.contact("bob").coupons)) == (0, 1)


def test_a_reward_that_is_approved_when_none_is_left_is_declined_by_its_stock():
    world = reward_held()
    for who in ("ann", "bob"):
        assert world.asks(who, "review", approved=True, author="eve") == ""
    assert world.contact("bob").coupons == {}
    assert world.reasons("bob", What.DECLINED) == ["out_of_stock"]


def test_an_order_that_comes_back_takes_the_reward_with_it_that_waits_and_a_part_of_it_does_not():
    world = reward_held(others=[rule("points", points=PER_EURO, reference="order")])
    world.did("ann", "Refunded", order="ann", total=4)
    assert len(in_review(world.member("ann"))) == 1
    world.did("ann", "Refunded", order="ann")
    assert in_review(world.member("ann")) == []
    assert world.asks("ann", "review", approved=True, author="eve") == "no_review"
    assert world.asks("bob", "refund", reference="bob") == ""
    assert in_review(world.member("bob")) == []


def test_a_tier_and_an_interaction_wait_as_a_reward_does():
    world = club(rule(tier="gold", record={"interaction": "Told"}, hold_if={"all": []}), tiers=TIERS)
    world.did("ann", "Bought")
    assert (world.member("ann").tier, len(world.contact("ann").loyalty)) == ("bronze", 1)
    assert world.asks("ann", "review", approved=True, author="eve") == ""
    assert world.member("ann").tier == "gold"
    names = [item.input().name for item in world.store.log() if hasattr(item.input(), "name")]
    assert "told" in names


def test_all_that_waits_is_approved_at_once_and_each_gives_its_own():
    world = club(
        CUP | {"stock": 9}, rule(reward="cup", record={"interaction": "Told"}, hold_if={"all": []}), tiers=TIERS
    )
    for _ in range(3):
        world.did("ann", "Bought")
    assert world.asks("ann", "review", approved=True, author="eve") == ""
    assert len(world.contact("ann").coupons) == 3
    records = [record for record in world.store.log() if record.contact]
    assert len({record.key for record in records}) == len(records)
    assert [getattr(record.input(), "name", "") for record in records].count("told") == 3


def test_what_waits_without_points_moves_with_its_contact():
    from parcours.core.gate import Arrival, Learned

    world = reward_held()
    both = (("user_id", "ann"), ("user_id", "bob"))
    world.accept(Arrival("test", "same", both, Learned({}, same=True)))
    assert len(in_review(world.member("ann"))) == 2
    assert world.asks("ann", "review", approved=True, author="eve") == ""
    assert len(world.contact("ann").coupons) == 1  # there is one


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
