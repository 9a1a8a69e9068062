"""Budgets of rules: what all members together get at most, whoever comes first, and whatever is taken back."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcours.core.effects import Draw, What
from parcours.core.gate import Asked, Happened
from parcours.core.loyalty import budget
from parcours.runtimes.engine import Accepted, Duplicate, Engine, Refused
from parcours.stores.memory import MemoryStore
from parcours.stores.sqlite import SqliteStore
from parcours.testing.snapshot import replay, snapshot
from tests.core.test_loyalty_rules import PER_EURO, Definition, club, programme, refused, rule
from tests.core.test_properties import assert_same
from tests.core.world import World, instant
from tests.profiles import examples

REFUNDS = [{"interaction": "Refunded", "reference": "order"}]


def members(*rules: Definition, who: tuple[str, ...] = ("ann", "bob", "cid"), **more: Any) -> World:
    world = club(*rules, refunds=REFUNDS, **more)
    for one in who[1:]:
        assert world.asks(one, "enrol") == ""
    return world


def points(world: World, *who: str) -> list[int]:
    return [world.member(one).balance for one in who or ("ann", "bob", "cid")]


def counted(world: World, key: str) -> dict[int, tuple[int, int]]:
    return budget.decoded(world.store.marks().get(budget.name_of(key), ""))


def test_all_members_together_get_no_more_than_there_is():
    world = members(rule(points=10, budget=[{"points": 20}]))
    for who in ("ann", "bob", "cid"):
        world.did(who, "Bought")
    assert points(world) == [10, 10, 0]
    (said,) = world.trace("cid", What.WITHHELD)
    assert (said.reason, said.detail) == ("budget", {"rule": "purchases", "points": 10, "left": {"ever": [-1, 0]}})


def test_of_many_in_one_batch_as_many_get_it_as_it_reaches_for():
    world = members(rule(points=10, budget=[{"times": 2}]))
    world.accept(*(world.arrival(who, Happened("Bought", {})) for who in ("ann", "bob", "cid", "ann")))
    assert points(world) == [10, 10, 0]


@pytest.mark.parametrize("part", [1, 2, 50])
def test_of_many_whose_timers_come_due_at_once_as_many_get_it_as_it_reaches_for(
    part: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Engine, "PART", part)
    steps = {
        "wait": {"type": "wait", "for": "1h", "next": "record"},
        "record": {"type": "record", "interaction": "Bought", "attributes": {"total": 10}},
    }
    entry = {"type": "interaction", "interaction": "Came"}
    patient = {"kind": "journey", "name": "patient", "entry": entry, "start": "wait", "steps": steps}
    world = members(rule(points=10, budget=[{"points": 20}]))
    world.publish(patient)
    for who in ("ann", "bob", "cid"):
        world.did(who, "Came")
    world.after("1h")
    assert sorted(points(world)) == [0, 10, 10]
    assert counted(world, "purchases/ever") == {0: (2, 20)}


class Telling(MemoryStore):
    """A store that refuses to tell all marks: there may be very many."""

    def marks(self) -> Any:
        raise AssertionError("all marks were asked for")


def test_however_many_marks_there_are_an_input_reads_only_its_own():
    cups = [{"kind": "reward", "name": "cup", "gift": "A cup", "stock": 2}, rule("cups", reward="cup")]
    rules = [*cups, rule(points=10, budget=[{"points": 20}]), rule("more", points=1, budget=[{"times": 9}])]
    world = World(programme(), *rules, start=instant("2026-03-02T09:00:00Z"), store=Telling())
    for who in ("ann", "bob", "cid"):
        assert world.asks(who, "enrol") == ""
    for who in ("ann", "bob", "cid"):
        world.did(who, "Bought")
    assert points(world) == [11, 11, 1]
    assert world.store.mark("reward:cup") == "2"


def test_an_award_that_does_not_fit_is_refused_and_a_smaller_one_may_fit():
    world = members(rule(points=PER_EURO, budget=[{"points": 30}]))
    world.did("ann", "Bought", total=10)
    world.did("bob", "Bought", total=6)
    world.did("cid", "Bought", total=5)
    assert points(world) == [20, 0, 10]


def test_with_partial_what_is_left_is_given():
    world = members(rule(points=PER_EURO, budget=[{"points": 30, "partial": True}]))
    for who in ("ann", "bob", "cid"):
        world.did(who, "Bought", total=10)
    assert points(world) == [20, 10, 0]
    assert counted(world, "purchases/ever") == {0: (2, 30)}


def test_what_limits_leave_is_what_is_asked_of_the_budget():
    world = members(rule(points=10, limits=[{"per": "day", "points": 4}], budget=[{"points": 8}]))
    for who in ("ann", "bob", "cid"):
        world.did(who, "Bought")
    assert points(world) == [4, 4, 0]
    # What a budget refused is not counted by the limit.
    assert world.member("cid").limits == {}


def test_a_period_is_one_of_the_programmes_zone_and_of_when_it_occurred():
    """The month ends at 05:00 in UTC."""
    world = members(
        rule(points=10, budget=[{"per": "month", "times": 1}]),
        timezone="America/New_York",
        start="2026-04-01T03:00:00Z",
    )
    world.at("2026-04-01T03:30:00Z")
    world.did("ann", "Bought")
    world.did("bob", "Bought")
    world.at("2026-04-01T04:30:00Z")
    world.did("cid", "Bought")
    world.did("bob", "Bought")
    assert points(world) == [10, 0, 10]
    world.did("bob", "Bought", ago="45m")  # it is of March
    assert points(world) == [10, 0, 10]


def test_several_budgets_all_hold():
    world = members(rule(points=10, budget=[{"per": "day", "times": 1}, {"per": "ever", "points": 20}]))
    for _ in range(3):
        world.did("ann", "Bought")
        world.did("bob", "Bought")
        world.after("1d")
    assert points(world) == [20, 0, 0]


def test_what_a_refund_reverses_is_there_again_and_so_is_the_award_once_all_is_back():
    world = members(rule(points=PER_EURO, reference="order", budget=[{"points": 20, "times": 2, "partial": True}]))
    world.did("ann", "Bought", total=10, order="a")
    world.did("ann", "Refunded", total=4, order="a")
    assert counted(world, "purchases/ever") == {0: (1, 12)}
    world.did("bob", "Bought", total=10, order="b")
    assert points(world) == [12, 8, 0]
    world.did("cid", "Bought", total=10, order="c")
    world.did("ann", "Refunded", order="a")
    assert counted(world, "purchases/ever") == {0: (1, 8)}
    world.did("ann", "Refunded", order="a")
    assert counted(world, "purchases/ever") == {0: (1, 8)}
    world.did("cid", "Bought", total=10, order="d")
    assert points(world) == [0, 8, 12]


def test_what_is_given_back_is_of_the_period_in_which_it_was_taken():
    world = members(rule(points=10, reference="order", budget=[{"per": "month", "times": 1}]))
    world.did("ann", "Bought", order="a")
    world.at("2026-04-02T09:00:00Z")
    world.did("ann", "Refunded", order="a")
    world.did("bob", "Bought", order="b")
    world.did("cid", "Bought", order="c")
    assert points(world) == [0, 10, 0]
    assert sorted(counted(world, "purchases/month").values()) == [(0, 0), (1, 10)]


def test_what_was_given_before_there_was_a_budget_is_not_given_back_to_it():
    world = members(rule(points=10, reference="order"))
    world.did("ann", "Bought", order="a")
    world.publish(rule(points=10, reference="order", budget=[{"points": 10}]))
    world.did("bob", "Bought", order="b")
    world.did("ann", "Refunded", order="a")
    world.did("cid", "Bought", order="c")
    assert points(world) == [0, 10, 0]


def test_points_in_review_are_taken_and_those_refused_are_there_again():
    world = members(rule(points=10, hold_if={"all": []}, budget=[{"times": 1}]))
    world.did("ann", "Bought")
    world.did("bob", "Bought")
    assert world.asks("ann", "review", approved=False, author="eve") == ""
    world.did("cid", "Bought")
    assert [world.member(who).held for who in ("ann", "bob", "cid")] == [0, 0, 10]
    assert world.asks("cid", "review", approved=True, author="eve") == ""
    assert counted(world, "purchases/ever") == {0: (1, 10)}


def test_what_expires_is_spent_or_forfeited_stays_given():
    world = members(
        rule(points=10, budget=[{"points": 30}]), expiry={"type": "rolling", "days": 1}, on_leaving="forfeit"
    )
    for who in ("ann", "bob", "cid"):
        world.did(who, "Bought")
    assert world.asks("ann", "spend", points=10) == ""
    assert world.asks("bob", "leave") == ""
    world.after("2d")
    world.did("ann", "Bought")
    assert points(world) == [0, 0, 0]
    assert counted(world, "purchases/ever") == {0: (3, 30)}


def test_a_rule_that_gives_a_reward_counts_how_often():
    given_ = rule(reward="cup", budget=[{"times": 2}])
    world = members({"kind": "reward", "name": "cup", "gift": "A cup"}, given_)
    for who in ("ann", "bob", "cid"):
        world.did(who, "Bought")
    assert [len(world.contact(who).coupons) for who in ("ann", "bob", "cid")] == [1, 1, 0]


def test_a_budget_that_is_raised_or_lowered_counts_on():
    world = members(rule(points=10, budget=[{"points": 10}]))
    world.did("ann", "Bought")
    world.publish(rule(points=10, budget=[{"points": 20}]))
    world.did("bob", "Bought")
    world.publish(rule(points=10, budget=[{"points": 10}]))
    world.did("cid", "Bought")
    assert points(world) == [10, 10, 0]


def test_periods_that_are_too_long_ago_are_not_known_and_give_nothing():
    world = members(rule(points=1, budget=[{"per": "day", "times": 1}]), start="2026-01-01T09:00:00Z")
    for _ in range(budget.KEPT_PERIODS + 1):
        world.did("ann", "Bought")
        world.after("1d")
    assert len(counted(world, "purchases/day")) == budget.KEPT_PERIODS
    world.did("ann", "Bought", ago=f"{budget.KEPT_PERIODS + 1}d")
    assert points(world)[0] == budget.KEPT_PERIODS + 1
    assert world.reasons("ann", What.WITHHELD) == ["budget"]


def test_nothing_is_given_back_to_a_period_that_is_not_known_any_more():
    world = members(
        rule(points=1, reference="order", budget=[{"per": "day", "times": 1}]), start="2026-01-01T09:00:00Z"
    )
    for number in range(budget.KEPT_PERIODS + 1):
        world.did("ann", "Bought", order=f"o{number}")
        world.after("1d")
    known = counted(world, "purchases/day")
    world.did("ann", "Refunded", order="o0")
    assert counted(world, "purchases/day") == known
    world.did("ann", "Refunded", order="o1")
    assert counted(world, "purchases/day") == known | {min(known): (0, 0)}


def test_a_period_that_was_never_taken_from_gets_nothing_back():
    """The zone of the programme may have changed since: its days begin at other instants then."""
    kept = budget.encoded({day * 10: (1, 1) for day in range(budget.KEPT_PERIODS)})
    back = [Draw("r/day", 15, -1, -1)]
    assert budget.count(back, lambda _name: kept) == {"budget:r/day": kept}


def test_nothing_is_left_for_what_occurred_beyond_the_calendar():
    """No door takes such a time any more; a log may hold one from before."""
    world = members(rule("purchases", points=10, budget=[{"per": "day", "times": 1}]), timezone="America/New_York")
    rules = world.run.engine.plan.loyalty.rules.values()
    assert budget.left_for(rules, -62_135_596_800_000, lambda _name: "") == {"purchases/day": (0, 0)}
    arrival = world.arrival("ann", Happened("Bought", {}))
    arrival.occurred_at = -62_135_596_800_000
    (outcome,) = world.send(arrival)
    assert isinstance(outcome, Refused)
    assert outcome.problem.code == "absurd_time"


def test_history_takes_nothing():
    world = members(rule(points=10, budget=[{"times": 1}]))
    arrival = world.arrival("ann", Happened("Bought", {}))
    arrival.backfill = True
    world.accept(arrival)
    world.did("bob", "Bought")
    assert points(world) == [0, 10, 0]


@pytest.mark.parametrize(
    "more, said",
    [
        ({"points": 1, "budget": [{"per": "day"}]}, "missing_key /definitions/1/budget/0"),
        ({"multiply": 2, "budget": [{"times": 1}]}, "invalid_value /definitions/1/budget"),
        ({"reward": "cup", "budget": [{"points": 1}]}, "invalid_value /definitions/1/budget/0/points"),
        ({"points": 1, "budget": [{"times": 1, "partial": True}]}, "invalid_value /definitions/1/budget/0/partial"),
        ({"points": 5, "budget": [{"points": 4}]}, "invalid_value /definitions/1/budget/0/points"),
        ({"points": 1, "budget": [{"times": 1}, {"points": 4}]}, "defined_twice /definitions/1/budget/1/per"),
        ({"points": 1, "budget": [{"times": 0}]}, "invalid_value /definitions/1/budget/0/times"),
        ({"points": 1, "budget": [{"per": "hour", "times": 1}]}, "unknown_value /definitions/1/budget/0/per"),
    ],
)
def test_what_is_wrong_with_it_is_told(more: dict[str, Any], said: str):
    problems = refused(programme(), rule(**more), {"kind": "reward", "name": "cup", "gift": "A cup"})
    assert said in problems, problems


# --- whatever happens -------------------------------------------------------------------------------------------------

PEOPLE = ("ann", "bob", "cid", "dan")
RULES = [
    rule("fixed", points=3, reference="order", budget=[{"points": 10}, {"per": "day", "times": 2}]),
    rule("formula", on=["Paid"], points=PER_EURO, reference="order", budget=[{"points": 9, "partial": True}]),
]
_whole = st.builds(lambda who, order: (who, "Refunded", {"order": order}), st.sampled_from(PEOPLE), st.integers(0, 3))
_moves = st.lists(
    st.tuples(
        st.sampled_from(PEOPLE),
        st.sampled_from(["Bought", "Paid", "Paid"]),
        st.fixed_dictionaries({"order": st.integers(0, 3), "total": st.integers(1, 4)}),
    )
    | _whole
    | st.sampled_from(["6h", "1d"])
    | st.tuples(st.just("again"), st.integers(0, 20)),
    max_size=30,
)


def _within(world: World) -> None:
    store = world.store
    given = {key: counted(world, key) for key in ("fixed/ever", "fixed/day", "formula/ever")}
    assert all(points <= 10 for _, points in given["fixed/ever"].values())
    assert all(times <= 2 for times, _ in given["fixed/day"].values())
    assert all(points <= 9 for _, points in given["formula/ever"].values())
    # And by the ledgers: what was given less what came back.
    sums = {"fixed": 0, "formula": 0}
    for contact in store.scan():
        for posting in store.ledger(contact.id):
            sums[posting.entry.rule] += posting.entry.amount
    assert sums == {name: sum(points for _, points in given[f"{name}/ever"].values()) for name in sums}


def _started(store: Any) -> World:
    world = World(programme(refunds=REFUNDS), *RULES, store=store)
    for who in PEOPLE:
        assert world.asks(who, "enrol") == ""
    return world


def _play(world: World, moves: list[Any], data: st.DataObject | None = None) -> None:
    """Play moves, in batches of any size where these are drawn; repeats are refused and change nothing."""
    sent: list[Any] = []
    batch: list[Any] = []

    def flush() -> None:
        if batch:
            assert all(isinstance(outcome, Accepted) for outcome in world.send(*batch))
            sent.extend(batch)
            batch.clear()
            _within(world)

    for move in moves:
        match move:
            case str():
                flush()
                world.after(move)
            case ("again", index):
                flush()
                if sent:
                    assert world.send(sent[index % len(sent)]) == [Duplicate()]
            case (who, name, attributes):
                batch.append(world.arrival(who, Happened(name, attributes)))
                if data is None or data.draw(st.booleans(), "commit"):
                    flush()
    flush()


@examples(80)
@given(_moves, st.data())
def test_no_budget_is_exceeded_and_batches_repeats_and_replays_give_the_same_ledger(
    moves: list[Any], data: st.DataObject
):
    one_by_one = _started(MemoryStore())
    _play(one_by_one, [move for move in moves if move[0] != "again"])
    live = snapshot(one_by_one.store)
    batched = _started(MemoryStore())
    _play(batched, moves, data)
    assert_same(snapshot(batched.store), live)
    assert_same(snapshot(replay(live.records, one_by_one.now)), live)


@examples(30)
@given(_moves, st.data())
def test_no_budget_is_exceeded_over_restarts(moves: list[Any], data: st.DataObject):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "0.db"
        world = _started(SqliteStore(path, hold=2))
        run = world.run
        for move in moves:
            if move[0] == "again":
                continue
            _play(world, [move])
            if data.draw(st.booleans(), "restart"):
                run.store.close()
                run.store = SqliteStore(path, hold=2)
                run.engine = Engine(run.store, run.clock)
                _within(world)
        live = snapshot(run.store)
        assert_same(snapshot(replay(live.records, world.now)), live)
        run.store.close()


def test_a_batch_that_fails_takes_nothing(monkeypatch: pytest.MonkeyPatch):
    world = members(rule(points=10, budget=[{"points": 10}]))
    with monkeypatch.context() as patch:
        patch.setattr(type(world.store), "write", lambda *_: (_ for _ in ()).throw(OSError("no space")))
        with pytest.raises(OSError, match="no space"):
            world.did("ann", "Bought", id_="b1")
    world.store.forget()
    assert counted(world, "purchases/ever") == {}
    world.did("bob", "Bought")
    world.did("ann", "Bought", id_="b1")
    assert points(world) == [0, 10, 0]


def test_an_award_for_the_past_asks_the_budget():
    from parcours.core.member import Lot

    world = members(rule(points=10, budget=[{"points": 15}]))
    world.after("30d")
    for who, said in (("ann", ""), ("bob", "budget")):
        lot = Lot("", "purchases", 0, 10, 10)
        asked = Asked(action="award", programme="club", lot=lot, author="eve")
        assert world.asks(who, "award", ago="20d", lot=asked.lot, author="eve") == said
    assert points(world) == [10, 0, 0]
