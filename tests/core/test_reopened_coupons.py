"""Coupons that can be redeemed again, for the order comes back that they were redeemed with."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from parcours.core.coupon import Coupon
from parcours.core.effects import What
from parcours.core.gate import Happened
from parcours.core.loyalty.coupons import MOST_REOPENED
from tests.core.test_loyalty_rules import PER_EURO, programme, rule
from tests.core.test_rewards import coupons, one, reward, states, use
from tests.core.world import World, email, journey, send

REFUNDS = [
    {"interaction": "Refunded", "reference": "order"},
    {"interaction": "Cancelled", "reference": "order", "whole": True},
]


def shop(*more: Any, member: bool = True, **of_reward: Any) -> World:
    """Ann redeemed a coupon with order `a`."""
    world = World(programme(refunds=REFUNDS), reward(**{"reopen_at_refund": True, **of_reward}), *more)
    if member:
        assert world.asks("ann", "enrol") == ""
    code = one(world, "ann")
    assert use(world, code, "redeem", "ann", reference="a", basket=50) == ""
    return world


def names(world: World, who: str) -> list[str]:
    items = [record.input() for record in world.store.log() if record.contact == world.id_of(who)]
    return [name for item in items if (name := getattr(item, "spelling", "") or getattr(item, "name", ""))]


def test_it_is_reopened_once_and_its_validity_stays():
    world = shop()
    until = coupons(world, "ann")[0].until
    world.after("3d")
    world.did("ann", "Refunded", order="a")
    (coupon,) = coupons(world, "ann")
    assert (coupon.state, coupon.at, coupon.order, coupon.until) == ("issued", world.now, "", until)
    assert world.reasons("ann", What.REOPENED) == ["ten"]
    world.did("ann", "Cancelled", order="a")
    assert world.reasons("ann", What.REOPENED) == ["ten"]
    world.at("2026-04-01T09:00:00Z")
    assert states(world, "ann") == ["expired"]


def test_it_is_redeemed_again_and_an_order_that_comes_back_twice_reopens_it_once():
    world = shop()
    world.did("ann", "Refunded", order="a")
    code = coupons(world, "ann")[0].code
    assert use(world, code, "redeem", "ann", reference="a") == ""
    world.did("ann", "Refunded", order="a")
    assert states(world, "ann") == ["redeemed"]
    assert world.reasons("ann", What.DECLINED)[-2:] == ["reopened", "unknown_order"]
    assert use(world, code, "reopen", reference="a") == ""
    assert use(world, code, "redeem", "ann", reference="b") == ""
    world.did("ann", "Cancelled", order="b")
    assert states(world, "ann") == ["issued"]
    records = [record for record in world.store.log() if record.contact]
    assert len({record.key for record in records}) == len(records)
    told = [name for name in names(world, "ann") if name.casefold().startswith("reward re")]
    assert len(told) == 3 + 3  # each redemption, each reopening


def test_for_one_order_it_is_reopened_once_whatever_orders_come_between():
    world = shop()
    code = coupons(world, "ann")[0].code
    world.did("ann", "Refunded", order="a")
    for order in ("b", "c"):
        assert use(world, code, "redeem", "ann", reference=order) == ""
        world.did("ann", "Refunded", order=order)
    for order in ("a", "b", "c"):
        assert use(world, code, "redeem", "ann", reference=order) == ""
        world.did("ann", "Refunded", order=order)
        assert states(world, "ann") == ["redeemed"]
        assert "reopened" in world.reasons("ann", What.DECLINED)[-2:]
        assert use(world, code, "reopen", reference=order) == ""  # by hand it is
    assert world.reasons("ann", What.REOPENED) == ["ten"] * 6


def test_after_many_orders_it_is_reopened_by_hand_only():
    world = shop()
    code = coupons(world, "ann")[0].code
    world.did("ann", "Refunded", order="a")
    for number in range(1, MOST_REOPENED):
        assert use(world, code, "redeem", "ann", reference=f"o{number}") == ""
        world.did("ann", "Refunded", order=f"o{number}")
        assert states(world, "ann") == ["issued"]
    assert use(world, code, "redeem", "ann", reference="late") == ""
    world.did("ann", "Refunded", order="late")
    assert states(world, "ann") == ["redeemed"]
    assert world.reasons("ann", What.DECLINED)[-2:] == ["too_often", "unknown_order"]
    for order in ("late", "later"):
        assert use(world, code, "reopen", reference=order) == ""
        assert use(world, code, "redeem", "ann", reference="later") == ""
    world.did("ann", "Refunded", order="later")
    (coupon,) = coupons(world, "ann")
    assert (coupon.state, len(coupon.earlier)) == ("redeemed", MOST_REOPENED - 1)


def test_a_coupon_kept_before_orders_were_remembered_knows_its_last():
    old = msgspec.structs.astuple(Coupon("C", "ten", 1, reopens=True, reopened="a", reopenings=1))[:-1]
    coupon = msgspec.msgpack.decode(msgspec.msgpack.encode(old), type=Coupon)
    assert (coupon.reopened, coupon.earlier) == ("a", ())


def test_a_repeated_refund_is_one():
    world = shop()
    world.did("ann", "Refunded", order="a", id_="r1")
    world.send(world.arrival("ann", Happened("Refunded", {"order": "a"}), id_="r1"))
    assert world.reasons("ann", What.REOPENED) == ["ten"]


def test_without_the_setting_it_stays_redeemed_whatever_the_reward_says_later():
    world = shop(reopen_at_refund=False)
    world.publish(reward(reopen_at_refund=True))
    world.did("ann", "Refunded", order="a")
    assert states(world, "ann") == ["redeemed"]


def test_what_is_not_valid_any_more_stays_redeemed_and_the_trace_says_why():
    world = shop()
    world.after("30d")
    world.did("ann", "Refunded", order="a")
    assert states(world, "ann") == ["redeemed"]
    assert "expired" in world.reasons("ann", What.DECLINED)
    code = coupons(world, "ann")[0].code
    assert use(world, code, "reopen", reference="a") == "expired"


def test_just_before_its_time_is_over_it_is_reopened_and_then_expires():
    world = shop()
    world.after("30d-1ms")
    world.did("ann", "Refunded", order="a")
    assert states(world, "ann") == ["issued"]
    world.after("1ms")
    assert states(world, "ann") == ["expired"]


def test_another_order_reopens_nothing():
    world = shop()
    world.did("ann", "Refunded", order="b")
    assert states(world, "ann") == ["redeemed"]


def test_parts_of_an_order_reopen_it_once_all_is_back():
    world = shop(rule(points=PER_EURO, reference="order"))
    world.did("ann", "Bought", order="a", total=50)
    world.did("ann", "Refunded", order="a", total=20)
    assert states(world, "ann") == ["redeemed"]
    world.did("ann", "Refunded", order="a", total=30)
    assert states(world, "ann") == ["issued"]
    world.did("ann", "Refunded", order="a", total=1)
    assert world.reasons("ann", What.REOPENED) == ["ten"]


def test_who_is_no_member_has_it_reopened_too():
    world = shop(member=False)
    world.did("ann", "Refunded", order="a")
    assert states(world, "ann") == ["issued"]


@pytest.mark.parametrize("member", [True, False])
def test_a_refund_that_is_asked_for_reopens_it(member: bool):
    world = shop(member=member)
    assert world.asks("ann", "refund", reference="a") == ""
    assert states(world, "ann") == ["issued"]
    assert world.asks("ann", "refund", reference="a") == ("unknown_order" if member else "no_member")


def test_somebody_may_reopen_it_by_hand_with_its_order():
    world = shop(reopen_at_refund=False, personal=False)
    code = coupons(world, "ann")[0].code
    assert use(world, code, "reopen", reference="b") == "other_order"
    assert use(world, code, "reopen", reference="a", author="eve") == ""
    assert use(world, code, "reopen", reference="a") == "issued"
    assert use(world, code, "cancel") == ""
    assert use(world, code, "reopen", reference="a") == "cancelled"


def test_what_is_reopened_starts_journeys_and_no_more_stock_is_taken():
    started = journey(
        {"tell": send("hello")}, on="Reward Reopened", entry={"where": {"interaction": "order", "is": "a"}}
    )
    world = shop(email("hello"), started, stock=1)
    world.knows("ann")
    world.did("ann", "Refunded", order="a")
    assert world.sent("ann") == ["hello"]
    assert world.store.marks()["reward:ten"] == "1"
    assert world.asks("bob", "issue", "", reward="ten") == "out_of_stock"


def watched(world: World) -> list[str]:
    return sorted(name for name, known in world.contact("ann").segments.items() if known.member)


def test_conditions_see_what_it_is_now():
    open_ = {"kind": "segment", "name": "open", "live": True, "condition": {"reward": "ten", "is": "open"}}
    used = {"kind": "segment", "name": "used", "live": True, "condition": {"reward": "ten", "is": "redeemed"}}
    world = shop(open_, used)
    assert watched(world) == ["used"]
    world.did("ann", "Refunded", order="a")
    assert watched(world) == ["open"]
