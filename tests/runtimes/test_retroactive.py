"""Rules applied to the past: all that they give, once, and with what is left over counted on."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from parcours.core.gate import Arrival, Asked, Learned
from parcours.core.loyalty.review import in_review
from parcours.definitions.load import dump
from parcours.runtimes.backtest.backtest import Backtest
from parcours.runtimes.backtest.job import Job, PastAward
from parcours.runtimes.backtest.person import run
from parcours.runtimes.engine import Accepted, Duplicate, budgets
from parcours.runtimes.loyalty.retroactive import SOURCE, Came, Trial, in_turn, told, was_given
from parcours.stores.memory import MemoryStore
from parcours.stores.past import StorePast
from parcours.testing.snapshot import replay, snapshot
from tests.core.test_properties import assert_same
from tests.core.world import START, World
from tests.profiles import examples

PEOPLE = ("ann", "bob")
HOUR = 3_600_000
CUP = {"kind": "reward", "name": "cup", "gift": "A cup", "valid_for": "30d"}
TIERS = {"levels": [{"name": "blue", "at": 0}, {"name": "gold", "at": 900}]}


def rule(name: str = "r", **more: Any) -> dict[str, Any]:
    return {"kind": "rule", "name": name, "programme": "club", "on": ["Bought"], **more}


def started(*definitions: dict[str, Any], **more: Any) -> World:
    world = World({"kind": "programme", "name": "club", **more}, *definitions)
    for who in PEOPLE:
        assert world.asks(who, "enrol") == ""
    world.after("1h")
    return world


def buys(world: World, who: str, times: int = 1, **attributes: Any) -> None:
    for _ in range(times):
        world.after("1h")
        world.did(who, "Bought", **attributes)


def publishes(world: World, definition: dict[str, Any]) -> None:
    world.after("1m")
    world.publish(definition)


def turn_out_to_be_one(world: World) -> None:
    world.after("1h")
    says = world.arrival("ann", Learned(same=True))
    says.identities = (("user_id", "ann"), ("user_id", "bob"))
    world.accept(says)


def found(world: World, since: int = START, name: str = "r") -> list[PastAward]:
    plan = world.run.engine.plan
    job = Job(
        definitions=[dump(plan.workspace.rules[name])],
        start=since,
        end=world.now,
        retroactive=name,
        before=plan.loyalty.live[name],
    )
    past = StorePast(world.store)
    counts = run(Backtest(job, past.publications()), past.people(0, 1))
    return in_turn(counts.past, plan, plan.loyalty.rules[name])


def tried(world: World, awards: list[PastAward], name: str = "r") -> list[Came]:
    plan = world.run.engine.plan
    trial = Trial(world.store, plan, world.now)
    return [
        trial.give(world.store.contacts([award.contact])[award.contact], award, plan.loyalty.rules[name])
        for award in awards
        if not was_given(world.store, award)
    ]


def applied(world: World, awards: list[PastAward], name: str = "r") -> list[Came]:
    """Give them; return what came of those that were not given before."""
    came = []
    for award in awards:
        if was_given(world.store, award):
            continue
        contact = world.store.contacts([award.contact])[award.contact]
        asked = Asked(action="award", programme="club", lot=award.lot, author="eve", counted=award.counted)
        (outcome,) = world.send(Arrival(SOURCE, award.key, tuple(contact.identities[:1]), asked, award.at))
        if outcome == Duplicate():
            continue
        assert isinstance(outcome, Accepted), outcome
        came.append(told(world.store, outcome.contact, outcome.position, world.run.engine.plan.loyalty.rules[name]))
    return came


def plain(came: list[Came]) -> list[Any]:
    return [
        (
            one.declined,
            one.carried,
            one.points,
            one.rewards,
            one.refused,
            one.tiers,
            one.recorded,
            [(entry.kind, entry.amount, entry.held, entry.rule, entry.reason) for entry in one.entries],
        )
        for one in came
    ]


def whole(world: World, since: int = START, name: str = "r") -> Counter[str]:
    """Apply a rule to the past, and hold what was shown before against what came; return how often what came."""
    awards = found(world, since, name)
    shown = plain(tried(world, awards, name))
    came = applied(world, awards, name)
    assert plain(came) == shown
    return Counter(one.declined or ("carried" if one.carried is not None else "given") for one in came)


def test_all_that_a_rule_gives_is_given():
    world = started(CUP, tiers=TIERS)
    buys(world, "ann", 2, total=10)
    everything = {
        "points": 7,
        "reward": "cup",
        "tier": "gold",
        "record": {"interaction": "Told", "attributes": {"x": 1}},
    }
    publishes(world, rule(**everything))
    awards = found(world)
    shown = tried(world, awards)
    assert [(one.points, one.rewards, one.tiers, one.recorded) for one in shown] == [
        (7, {"cup": 1}, ["gold"], {"Told": 1}),
        (7, {"cup": 1}, [], {"Told": 1}),
    ]
    assert world.contact("ann").coupons == {}
    assert plain(applied(world, awards)) == plain(shown)
    member, coupons = world.member("ann"), world.contact("ann").coupons.values()
    assert (member.balance, member.tier, [coupon.issued_at for coupon in coupons]) == (14, "gold", [world.now] * 2)
    recorded = [item for record in world.store.log() if getattr(item := record.input(), "name", "") == "told"]
    assert [item.attributes["retroactive"] for item in recorded] == [True, True]
    assert whole(world) == {}


def test_a_rule_that_gives_no_points_is_applied_too_and_once():
    world = started(CUP)
    buys(world, "ann", 2)
    publishes(world, rule(reward="cup"))
    buys(world, "ann")
    assert len(world.contact("ann").coupons) == 1
    assert whole(world) == {"given": 2}
    assert len(world.contact("ann").coupons) == 3
    assert whole(world) == {}


def test_what_it_gave_when_it_was_live_before_is_not_given_again():
    world = started(CUP)
    buys(world, "ann")
    publishes(world, rule(reward="cup"))
    buys(world, "ann")
    publishes(world, rule(reward="cup", state="draft"))
    buys(world, "ann")
    publishes(world, rule(reward="cup"))
    assert whole(world) == {"given": 2}
    assert len(world.contact("ann").coupons) == 3


def test_what_is_left_over_is_counted_on_from():
    world = started(CUP)
    buys(world, "ann", 3)
    buys(world, "bob", 7)
    publishes(world, rule(reward="cup", every=5))
    assert whole(world) == {"carried": 2, "given": 1}
    assert [len(world.contact(who).coupons) for who in PEOPLE] == [0, 1]
    buys(world, "ann", 2)
    buys(world, "bob", 2)
    assert [len(world.contact(who).coupons) for who in PEOPLE] == [1, 1]
    buys(world, "bob")
    assert [len(world.contact(who).coupons) for who in PEOPLE] == [1, 2]


def test_an_award_is_due_at_once_where_past_and_present_come_to_it_together():
    world = started()
    buys(world, "ann", 3)
    publishes(world, rule(points=10, every=5))
    buys(world, "ann", 3)
    assert world.member("ann").balance == 0
    assert whole(world) == {"carried": 1, "given": 1}
    assert world.member("ann").balance == 10
    buys(world, "ann", 4)
    assert world.member("ann").balance == 20


def test_it_is_applied_to_more_and_more_of_the_past():
    world = started()
    buys(world, "ann", 4)
    later = world.now
    buys(world, "ann", 3)
    publishes(world, rule(points=10, every=5))
    assert whole(world, later) == {"carried": 1}
    assert whole(world) == {"carried": 1, "given": 1}
    assert whole(world, later) == {}
    buys(world, "ann", 3)
    assert world.member("ann").balance == 20


def test_it_is_applied_to_one_part_of_the_past_after_the_other():
    world = started()
    buys(world, "ann", 3)
    publishes(world, rule(points=10, every=5))
    assert whole(world) == {"carried": 1}
    publishes(world, rule(points=10, every=5, state="draft"))
    later = world.now
    buys(world, "ann", 2)
    publishes(world, rule(points=10, every=5))
    assert whole(world, later) == {"carried": 1, "given": 1}
    assert whole(world) == {}
    assert world.member("ann").balance == 10


def test_what_was_added_to_two_who_turn_out_to_be_one_is_added_up():
    world = started()
    buys(world, "ann", 4)
    later = world.now
    buys(world, "ann", 3)
    buys(world, "bob", 3)
    publishes(world, rule(points=10, every=5))
    assert whole(world, later) == {"carried": 2}
    turn_out_to_be_one(world)
    assert world.member("ann").counts["r"] == 6
    assert whole(world, later) == {"every": 1}  # the fifth of both, but none is due
    assert whole(world) == {"carried": 1, "given": 1, "every": 1}
    assert whole(world) == {}
    assert (world.member("ann").balance, world.member("ann").counts["r"]) == (10, 10)


def test_runs_that_did_not_know_of_each_other_add_nothing_twice():
    world = started()
    buys(world, "ann", 4)
    later = world.now
    buys(world, "ann", 3)
    publishes(world, rule(points=10, every=5))
    short, long = found(world, later), found(world)
    applied(world, short)
    applied(world, long)
    assert (world.member("ann").balance, world.member("ann").counts["r"]) == (10, 7)


def test_what_it_counted_when_it_was_live_before_is_not_counted_again():
    world = started()
    buys(world, "ann", 2)
    publishes(world, rule(points=10, every=5))
    buys(world, "ann", 2)
    publishes(world, rule(points=10, every=5, state="draft"))
    buys(world, "ann", 1)
    publishes(world, rule(points=10, every=5))
    # Two were counted when it was live; of the past there are three more.
    assert whole(world) == {"carried": 1, "given": 1}
    assert world.member("ann").counts["r"] == 5
    buys(world, "ann", 5)
    assert world.member("ann").balance == 20


def test_the_budget_goes_to_what_occurred_first_and_counts_what_was_given_since():
    world = started()
    for who in ("bob", "ann", "bob", "ann"):
        buys(world, who)
    publishes(world, rule(points=10, budget=[{"points": 35}]))
    buys(world, "ann")
    assert whole(world) == {"given": 2, "budget": 1}  # the backtest lets three have it
    assert [world.member(who).balance for who in PEOPLE] == [20, 10]


def test_of_a_reward_in_stock_what_occurred_first_comes_first_and_the_rest_is_told():
    world = started(CUP | {"stock": 2})
    for who in ("bob", "ann", "bob"):
        buys(world, who)
    publishes(world, rule(reward="cup"))
    shown = tried(world, found(world))
    assert [(one.rewards, one.refused) for one in shown] == [
        ({"cup": 1}, {}),
        ({"cup": 1}, {}),
        ({}, {"out_of_stock": 1}),
    ]
    assert whole(world) == {"given": 3}
    assert [len(world.contact(who).coupons) for who in PEOPLE] == [1, 1]


def test_what_is_to_be_reviewed_waits_with_all_of_it():
    world = started(CUP)
    buys(world, "ann")
    publishes(world, rule(reward="cup", hold_if={"all": []}))
    assert whole(world) == {"given": 1}
    assert world.contact("ann").coupons == {}
    assert len(in_review(world.member("ann"))) == 1
    assert world.asks("ann", "review", approved=True, author="eve") == ""
    assert len(world.contact("ann").coupons) == 1


def test_of_an_order_that_came_back_nothing_is_given():
    world = started(CUP, refunds=[{"interaction": "Refunded", "reference": "order"}])
    buys(world, "ann", order="a")
    buys(world, "ann", order="b")
    world.did("ann", "Refunded", order="a")
    publishes(world, rule(points=5, reward="cup", reference="order"))
    assert whole(world) == {"given": 1}
    assert (world.member("ann").balance, len(world.contact("ann").coupons)) == (5, 1)


def test_an_order_that_comes_back_later_gives_back_to_the_budget_and_counts_no_more_towards_tiers():
    world = started(refunds=[{"interaction": "Refunded", "reference": "order"}], tiers=TIERS)
    buys(world, "ann", order="a", total=60)
    formula = {"points": 1, "of": "total"}
    limits = [{"per": "ever", "points": 50}]
    publishes(world, rule(points=formula, reference="order", limits=limits, budget=[{"points": 100}]))
    buys(world, "ann", order="b", total=30)
    assert whole(world) == {"given": 1}  # what the limit leaves

    def figures() -> tuple[int, ...]:
        member = world.member("ann")
        (state,) = budgets.states(world.store, world.run.engine.plan.loyalty, "club", world.now)
        return state.given_times, state.given_points, member.balance, member.qualifying(world.now)

    assert figures() == (2, 50, 50, 50)
    world.did("ann", "Refunded", order="a")
    assert figures() == (1, 30, 30, 30)


_moves = st.lists(
    st.tuples(st.sampled_from(PEOPLE), st.integers(1, 4)) | st.sampled_from(["live", "draft", "apply", "apply all"]),
    min_size=4,
    max_size=14,
)


@examples(80)
@given(_moves, st.integers(1, 4), st.booleans(), st.sampled_from(["apply", "apply all"]))
def test_live_and_past_come_to_what_the_rule_would_have_given_from_the_beginning(
    moves: list[Any], every: int, limited: bool, last: str
):
    """Whenever the rule is live or not, and however often and to how much of the past it is applied."""
    more: dict[str, Any] = {"points": 10, "reward": "cup", "every": every}
    if limited:
        more["budget"] = [{"times": 3}]
    world = started(CUP)
    bought: Counter[str] = Counter()
    middle = START
    for move in [*moves, "live", last]:
        match move:
            case "live" | "draft":
                publishes(world, rule(**more, state=move))
                world.after("1m")
            case "apply" | "apply all":
                world.after("1m")
                if "r" in world.run.engine.plan.loyalty.live:
                    whole(world, START if move == "apply all" else middle)
                    middle = world.now
            case (who, times):
                buys(world, who, times)
                bought[who] += times
    awards = {who: bought[who] // every for who in PEOPLE}
    balances = {who: world.member(who).balance // 10 for who in PEOPLE}
    coupons = {who: len(world.contact(who).coupons) for who in PEOPLE}
    assert coupons == balances
    if limited:
        assert sum(balances.values()) <= 3
        if every == 1:
            assert sum(balances.values()) == min(3, sum(awards.values()))
    else:
        assert balances == awards
        for who in PEOPLE:  # and from here on live
            buys(world, who, every)
            assert world.member(who).balance // 10 == (bought[who] + every) // every
    live = snapshot(world.store)
    assert_same(snapshot(replay(live.records, world.now)), live)


def test_the_memory_store_is_what_these_worlds_live_in():
    assert isinstance(started().store, MemoryStore)
