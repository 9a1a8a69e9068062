"""Rewards: issued, checked, reserved, redeemed once; stock, pools and codes."""

from __future__ import annotations

from typing import Any

import pytest

from parcours.channels.render import Renderer
from parcours.core.coupon import Coupon
from parcours.core.effects import What
from parcours.core.gate import Arrival, Asked, Learned
from parcours.runtimes.engine import Accepted, Engine, Refused
from parcours.runtimes.engine.rewards import ALPHABET, identity_of
from parcours.runtimes.facts import facts_of
from tests.core.test_loyalty_rules import programme, rule
from tests.core.world import Definition, World, email, journey, send


def reward(**more: Any) -> Definition:
    return {"kind": "reward", "name": "ten", "percent": 10, "valid_for": "30d", **more}


def coupons(world: World, who: str) -> list[Coupon]:
    return list(world.contact(who).coupons.values())


def states(world: World, who: str) -> list[str]:
    return [coupon.state for coupon in coupons(world, who)]


def use(world: World, code: str, action: str, by: str = "", *, id_: str = "", **more: Any) -> str:
    """Ask something of a coupon; return why it was declined or refused, empty when it was done."""
    presented = world.id_of(by) if by else ""
    asked = Asked(action=action, code=code, presented=presented, **more)
    number = id_ or f"use{world.store.last_position()}"
    outcome = world.send(Arrival("till", number, (identity_of(code),), asked))[0]
    if isinstance(outcome, Refused):
        return outcome.problem.code
    assert isinstance(outcome, Accepted), outcome
    told = [
        entry.reason
        for position, entries in world.store.trace(outcome.contact)
        for entry in entries
        if position == outcome.position and entry.what == What.DECLINED
    ]
    return told[0] if told else ""


def issue(world: World, who: str, **more: Any) -> str:
    return world.asks(who, "issue", "", reward="ten", **more)


def one(world: World, who: str) -> str:
    assert issue(world, who) == ""
    return coupons(world, who)[-1].code


def test_a_rule_issues_a_coupon_after_five_reviews_and_it_is_valid_for_thirty_days():
    world = World(programme(), reward(), rule(points=None, on=["Reviewed"], every=5, reward="ten"))
    world.asks("ann", "enrol")
    for _ in range(4):
        world.did("ann", "Reviewed")
    assert coupons(world, "ann") == []
    world.did("ann", "Reviewed")
    (coupon,) = coupons(world, "ann")
    assert (coupon.state, coupon.until - coupon.issued_at) == ("issued", 30 * 86_400_000)
    assert len(coupon.code) == 10
    assert set(coupon.code) <= set(ALPHABET)
    world.after("30d")
    assert states(world, "ann") == ["expired"]
    assert use(world, coupon.code, "redeem", "ann") == "expired"


def test_a_coupon_is_redeemed_once():
    world = World(reward())
    code = one(world, "ann")
    assert use(world, code, "redeem", "ann", reference="o1", id_="r1") == ""
    assert use(world, code, "redeem", "ann", reference="o2") == "redeemed"
    assert (states(world, "ann"), coupons(world, "ann")[0].order) == (["redeemed"], "o1")


def test_a_personal_coupon_is_refused_to_others_and_to_whoever_is_unknown():
    world = World(reward())
    world.did("bob", "Go")
    code = one(world, "ann")
    assert use(world, code, "redeem", "bob") == "not_yours"
    assert use(world, code, "redeem") == "identity_needed"
    assert use(world, code, "redeem", "ann") == ""


def test_what_is_not_personal_is_anybodys():
    world = World(reward(personal=False))
    world.did("bob", "Go")
    assert use(world, one(world, "ann"), "redeem", "bob") == ""
    assert use(world, one(world, "ann"), "redeem") == ""


def test_the_basket_has_to_come_to_the_minimum():
    world = World(reward(minimum=50))
    code = one(world, "ann")
    assert use(world, code, "redeem", "ann", basket=49.99) == "below_minimum"
    assert use(world, code, "redeem", "ann") == "below_minimum"
    assert use(world, code, "redeem", "ann", basket=50) == ""


def test_a_reservation_keeps_a_coupon_for_its_order_until_its_time_is_over():
    world = World(reward(reserved_for="10m"))
    code = one(world, "ann")
    assert use(world, code, "reserve", "ann", reference="o1") == ""
    assert use(world, code, "redeem", "ann", reference="o2") == "reserved"
    assert use(world, code, "release", reference="o2") == "reserved"
    assert use(world, code, "release", reference="o1") == ""
    assert use(world, code, "release", reference="o1") == "not_reserved"
    assert use(world, code, "reserve", "ann", reference="o1") == ""
    world.after("10m")
    assert states(world, "ann") == ["issued"]
    assert use(world, code, "reserve", "ann", reference="o2") == ""
    assert use(world, code, "redeem", "ann", reference="o2") == ""
    assert states(world, "ann") == ["redeemed"]


def test_what_is_cancelled_is_of_no_use():
    world = World(reward())
    code = one(world, "ann")
    assert use(world, code, "cancel") == ""
    assert use(world, code, "redeem", "ann") == "cancelled"
    assert use(world, code, "cancel") == "cancelled"
    assert use(world, "NOBODYS", "redeem", "ann") == "unknown_code"


def test_no_more_is_issued_than_there_is_in_stock():
    world = World(reward(stock=2))
    arrivals = [world.arrival(who, Asked(action="issue", reward="ten")) for who in ("ann", "bob", "cid")]
    world.send(*arrivals)
    assert [len(coupons(world, who)) for who in ("ann", "bob", "cid")] == [1, 1, 0]
    assert world.reasons("cid", What.DECLINED) == ["out_of_stock"]


def test_a_code_of_somebody_who_was_erased_is_given_to_nobody_else():
    world = World(reward(codes={"type": "pool"}), reward(name="other", codes={"type": "pool"}))
    engine = world.run.engine
    assert engine.fill("ten", ["A-1"]) == 1
    assert one(world, "ann") == "A-1"
    engine.erase(world.id_of("ann"))
    # In the same pool, in that of another reward, however it is written, and after a start.
    assert engine.fill("ten", [" a-1", "A-2"]) == 1
    assert engine.fill("other", ["A-1"]) == 0
    assert Engine(world.store, world.run.clock).fill("ten", ["A-1"]) == 0
    assert one(world, "bob") == "A-2"
    assert issue(world, "cid") == "pool_empty"
    assert use(world, "A-1", "redeem", "bob") == "unknown_code"


def test_a_code_that_lay_in_two_pools_is_not_given_after_an_erasure():
    world = World(reward(codes={"type": "pool"}), reward(name="other", codes={"type": "pool"}))
    engine = world.run.engine
    engine.fill("ten", ["A-1"])
    engine.fill("other", ["A-1", "A-2"])
    assert one(world, "ann") == "A-1"
    engine.erase(world.id_of("ann"))
    assert world.asks("bob", "issue", "", reward="other") == ""
    assert [coupon.code for coupon in coupons(world, "bob")] == ["A-2"]


def test_a_code_of_long_ago_is_remembered_by_an_erasure(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("parcours.core.loyalty.coupons.MOST_KEPT", 1)
    world = World(reward(codes={"type": "pool"}))
    engine = world.run.engine
    engine.fill("ten", ["A-1", "A-2"])
    for _ in range(2):
        use(world, one(world, "ann"), "cancel")
    assert [coupon.code for coupon in coupons(world, "ann")] == ["A-2"]
    engine.erase(world.id_of("ann"))
    assert engine.fill("ten", ["A-1", "A-2", "A-3"]) == 1


def test_codes_of_a_pool_are_given_once_each():
    world = World(reward(codes={"type": "pool"}))
    assert issue(world, "ann") == "pool_empty"
    engine = world.run.engine
    assert engine.fill("ten", ["b-2", "A-1", "a-1"]) == 2
    assert engine.fill("ten", ["A-1", "C-3"]) == 1
    world.send(*[world.arrival(who, Asked(action="issue", reward="ten")) for who in ("ann", "bob")])
    assert [coupons(world, who)[0].code for who in ("ann", "bob")] == ["A-1", "B-2"]
    assert engine.fill("ten", ["A-1"]) == 0
    assert one(world, "cid") == "C-3"
    assert issue(world, "cid") == "pool_empty"


def test_a_contact_gets_no_more_than_its_limit():
    world = World(reward(limit=1))
    one(world, "ann")
    assert issue(world, "ann") == "limit"
    one(world, "bob")


def test_a_reward_is_claimed_with_points_all_of_them_or_not_at_all():
    world = World(programme(), reward(programme="club", points=100), rule(points=120))
    assert issue(world, "ann", pay=True) == "no_member"
    world.asks("ann", "enrol")
    assert issue(world, "ann", pay=True) == "not_enough_points"
    world.did("ann", "Bought")
    assert issue(world, "ann", pay=True) == ""
    assert [(entry.kind, entry.amount) for entry in world.ledger("ann")] == [("earned", 120), ("spent", -100)]
    assert issue(world, "ann", pay=True) == "not_enough_points"
    assert issue(world, "ann") == ""


def test_a_journey_gives_a_reward_or_goes_another_way():
    steps = {
        "give": {"type": "give", "reward": "ten", "next": "yes", "unavailable": "no"},
        "yes": send("yes"),
        "no": send("no"),
    }
    world = World(reward(stock=1), email("yes"), email("no"), journey(steps))
    for who in ("ann", "bob"):
        world.knows(who)
        world.did(who, "Go")
    assert (world.sent("ann"), world.sent("bob")) == (["yes"], ["no"])


def test_what_happens_to_coupons_starts_journeys():
    world = World(
        reward(),
        email("hi"),
        email("thanks"),
        journey({"s": send("hi")}, on="Reward Issued", name="i"),
        journey({"s": send("thanks")}, on="Reward Redeemed", name="r"),
    )
    world.knows("ann")
    use(world, one(world, "ann"), "redeem", "ann")
    assert world.sent("ann") == ["hi", "thanks"]


def test_conditions_ask_for_coupons_and_time_alone_changes_the_answer():
    def segment(name: str, **more: Any) -> Definition:
        return {"kind": "segment", "name": name, "condition": {"reward": "ten", **more}, "live": True}

    world = World(
        reward(valid_for="10d"), segment("recent", within="2d"), segment("open", **{"is": "open"}), segment("ever"),
        segment("used", **{"is": "redeemed", "within": "1d"}),
    )  # fmt: skip

    def members() -> list[str]:
        return sorted(name for name, known in world.contact("ann").segments.items() if known.member)

    code = one(world, "ann")
    assert members() == ["ever", "open", "recent"]
    world.after("2d")
    assert members() == ["ever", "open"]
    use(world, code, "redeem", "ann")
    assert members() == ["ever", "used"]
    world.after("1d")
    assert members() == ["ever"]
    one(world, "ann")
    world.after("10d-1s")
    assert members() == ["ever", "open"]
    world.after("1s")
    assert members() == ["ever"]


def test_templates_see_the_latest_coupon():
    text = "{{ contact.rewards.ten.code }} {{ contact.rewards['ten'].percent }} {{ interaction.code }}"
    mail = email("hi", content={"subject": "s", "text": text})
    world = World(reward(), mail, journey({"s": send("hi")}, on="Reward Issued"))
    world.knows("ann")
    code = one(world, "ann")
    (message,) = world.messages("ann")
    plan = world.run.engine.plan
    content = Renderer().render(plan.texts["hi", 1], facts_of(world.store, plan, message))
    assert content["text"] == f"{code} 10 {code}"


def test_two_contacts_that_become_one_have_the_coupons_of_both_and_their_timers():
    world = World(reward(limit=1))
    first = one(world, "ann")
    anonymous = Arrival("test", "a1", (("anonymous_id", "x"),), Asked(action="issue", reward="ten"))
    world.accept(anonymous)
    together = Arrival("test", "a2", (("user_id", "ann"), ("anonymous_id", "x")), Learned({}))
    world.accept(together)
    both = coupons(world, "ann")
    assert len(both) == 2
    second = next(coupon.code for coupon in both if coupon.code != first)
    assert use(world, second, "redeem", "ann") == ""
    assert issue(world, "ann") == "limit"
    world.after("30d")
    assert sorted(states(world, "ann")) == ["expired", "redeemed"]


def test_the_codes_of_an_erased_contact_are_nobodys():
    world = World(reward())
    code = one(world, "ann")
    id_ = world.id_of("ann")
    world.run.engine.erase(id_)
    assert use(world, code, "redeem") == "unknown_code"
    assert code not in repr([record.input() for record in world.store.log()])
    assert code not in repr(world.store.contacts([id_]))


def test_terms_stay_as_they_were_when_a_coupon_was_issued():
    world = World(reward())
    one(world, "ann")
    world.publish(reward(percent=50, minimum=100))
    assert [(coupon.percent, coupon.minimum) for coupon in coupons(world, "ann")] == [(10, 0)]
    world.publish(reward(archived=True))
    assert use(world, coupons(world, "ann")[0].code, "redeem", "ann") == ""


@pytest.mark.parametrize(
    "more, pointer",
    [
        ({"value": 5, "currency": "EUR"}, "/value"),
        ({"percent": None}, ""),
        ({"percent": 101}, "/percent"),
        ({"percent": 0, "gift": "a cup"}, "/percent"),
        ({"percent": None, "value": 5}, "/currency"),
        ({"minimum": -1}, "/minimum"),
        ({"points": 5}, "/programme"),
        ({"programme": "clob"}, "/programme"),
        ({"until": "2026-02-30"}, "/until"),
        ({"codes": {"type": "generated", "length": 4}}, "/codes/length"),
        ({"codes": {"type": "generated", "prefix": "no"}}, "/codes/prefix"),
    ],
)
def test_what_is_wrong_with_a_reward_is_said_where_it_is(more: dict[str, Any], pointer: str):
    errors, _ = World(programme()).run.engine.check([reward(**more)])
    assert [error.pointer for error in errors] == [f"/definitions/0{pointer}"]


@pytest.mark.parametrize(
    "definition, pointer",
    [
        (rule(points=None, reward="tin"), "/reward"),
        (rule(points=None, reward="others"), "/reward"),
        (journey({"give": {"type": "give", "reward": "tin"}}), "/steps/give/reward"),
        ({"kind": "segment", "name": "s", "condition": {"reward": "tin"}}, "/condition/reward"),
        ({"kind": "segment", "name": "s", "condition": {"reward": "ten", "is": "gone"}}, "/condition/is"),
    ],
)
def test_what_names_a_reward_names_one_that_is_there(definition: Definition, pointer: str):
    other = {"kind": "programme", "name": "other"}
    world = World(programme(), other, reward(), reward(name="others", programme="other"))
    errors, _ = world.run.engine.check([definition])
    assert [error.pointer for error in errors] == [f"/definitions/0{pointer}"]
