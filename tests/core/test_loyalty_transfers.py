"""Points that members give to each other: nothing is lost or made, nobody gives what is not there, once is once."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcours.core import chains
from parcours.core.contact import Contact
from parcours.core.effects import Effects, What
from parcours.core.fold import fold
from parcours.core.gate import Asked, Learned
from parcours.core.inputs import Adjust, Enrol, Erase, Input, Leave, Receive, Refund, Spend, Transfer
from parcours.core.plan import Plan
from parcours.definitions.load import load_data
from parcours.runtimes.engine import Accepted, Duplicate, Refused
from parcours.testing.snapshot import snapshot
from parcours.testing.strategies import copy_of
from tests.core.invariants import check_invariants
from tests.core.world import World
from tests.profiles import examples

DAY = 86_400_000


def club(**more: Any) -> dict[str, Any]:
    return {"kind": "programme", "name": "club", "transfer": {}, **more}


BUYS = {"kind": "rule", "name": "r", "programme": "club", "on": ["Bought"], "points": {"points": 1, "of": "total"}}
BUYS |= {"reference": "order"}


def world_of(*people: str, programme: dict[str, Any] | None = None, has: int = 10) -> World:
    """A world of members, each with so many points."""
    world = World(programme or club(), BUYS)
    for who in people:
        world.asks(who, "enrol")
        if has:
            world.did(who, "Bought", total=has, order=f"o-{who}")
    return world


def gives(world: World, who: str, to: str, points: int, **more: Any) -> str:
    return world.asks(who, "transfer", points=points, to=("user_id", to), **more)


def balances(world: World, *people: str) -> list[int]:
    return [world.member(who).balance for who in people]


def test_points_move_and_both_ledgers_tell_of_each_other():
    world = world_of("ann", "bob")
    assert gives(world, "ann", "bob", 4, reason="thanks", author="ann") == ""
    assert balances(world, "ann", "bob") == [6, 14]
    taken, had = world.ledger("ann")[-1], world.ledger("bob")[-1]
    assert (taken.kind, taken.amount, taken.other, taken.reason) == ("transferred", -4, world.id_of("bob"), "thanks")
    assert (had.kind, had.amount, had.other, had.reason) == ("transferred", 4, world.id_of("ann"), "thanks")
    assert taken.reference == had.reference != ""
    assert (taken.author, had.author) == ("ann", "ann")
    assert [entry.reason for entry in world.trace("bob", What.BOOKED)] == ["earned", "transferred"]
    check_invariants(snapshot(world.store), world.run.engine.plan)


def test_what_expires_at_one_instant_is_one_lot_as_old_as_the_oldest_of_it():
    programme = club(expiry={"type": "fixed", "at": "2100-01-01"})
    world = world_of("ann", "bob", programme=programme, has=0)
    world.did("ann", "Bought", total=3, order="a")
    first = world.now
    world.after("1d")
    world.did("ann", "Bought", total=3, order="b")
    assert gives(world, "ann", "bob", 5) == ""
    assert [(lot.at, lot.left) for lot in world.member("bob").lots] == [(first, 5)]


def test_a_programme_that_does_not_say_so_has_no_transfers():
    world = world_of("ann", "bob", programme={"kind": "programme", "name": "club"})
    assert gives(world, "ann", "bob", 4) == "not_allowed"
    assert balances(world, "ann", "bob") == [10, 10]


@pytest.mark.parametrize(
    "to, points, reason",
    [
        ("bob", 11, "not_enough_points"),
        ("ann", 1, "same_member"),
        ("bob", 1, "below_minimum"),
        ("eve", 5, "receiver_no_member"),
        ("bob", 10, ""),
    ],
)
def test_nothing_is_taken_where_something_is_against_it(to: str, points: int, reason: str):
    world = world_of("ann", "bob", programme=club(transfer={"minimum": 2}))
    world.did("eve", "Seen")
    before = balances(world, "ann", "bob")
    assert gives(world, "ann", to, points) == reason
    assert (balances(world, "ann", "bob") == before) == bool(reason)


def test_who_left_neither_gives_nor_receives():
    world = world_of("ann", "bob")
    world.asks("bob", "leave")
    assert gives(world, "ann", "bob", 4) == "receiver_no_member"
    assert gives(world, "bob", "ann", 4) == "no_member"
    assert balances(world, "ann", "bob") == [10, 10]


def test_limits_that_limit_nothing_are_told():
    limits = [{"per": "year", "points": 5}, {"per": "day"}, {"per": "year", "times": 1}]
    _, errors, _ = load_data([club(transfer={"limits": limits})])
    assert {error.pointer for error in errors} == {
        "/definitions/0/transfer/limits/1",
        "/definitions/0/transfer/limits/2/per",
    }


def test_nobody_who_is_known_is_refused_with_what_to_do():
    world = world_of("ann")
    (outcome,) = world.send(world.arrival("ann", transfer("nobody", 1)))
    assert isinstance(outcome, Refused)
    assert (outcome.problem.code, outcome.problem.pointer) == ("unknown_receiver", "/to")
    (outcome,) = world.send(world.arrival("ann", msgspec.structs.replace(transfer("ann", 1), to=None)))
    assert isinstance(outcome, Refused)
    assert outcome.problem.pointer == "/to"


def transfer(to: str, points: int) -> Asked:
    return Asked(action="transfer", programme="club", points=points, to=("user_id", to))


def test_limits_are_those_of_the_period_in_which_points_are_given():
    limits = [{"per": "day", "times": 2}, {"per": "year", "points": 6}]
    world = world_of("ann", "bob", programme=club(transfer={"limits": limits}))
    assert gives(world, "ann", "bob", 7) == "limit"
    assert [gives(world, "ann", "bob", 1) for _ in range(3)] == ["", "", "limit"]
    world.after("1d")
    assert gives(world, "ann", "bob", 5) == "limit"
    # That it occurred the year before is what somebody says.
    assert gives(world, "ann", "bob", 5, ago="500d") == "limit"
    assert gives(world, "ann", "bob", 4) == ""
    world.after("365d")
    assert gives(world, "ann", "bob", 4) == ""
    assert gives(world, "bob", "ann", 6) == ""  # what was received does not count


def test_limits_on_receiving_keep_somebody_from_gathering_points_of_many():
    receiving = [{"per": "day", "times": 2}, {"per": "ever", "points": 9}]
    world = world_of("ann", "bob", "cid", "eve", programme=club(transfer={"receiving": receiving}))
    assert gives(world, "ann", "eve", 10) == "receiver_limit"
    assert [gives(world, who, "eve", 2) for who in ("ann", "bob", "cid")] == ["", "", "receiver_limit"]
    assert balances(world, "ann", "bob", "cid", "eve") == [8, 8, 10, 14]
    assert gives(world, "eve", "cid", 14) == "receiver_limit"  # what Cid may receive, whoever gives it
    world.after("1d")
    assert gives(world, "cid", "eve", 6) == "receiver_limit"
    assert gives(world, "cid", "eve", 5) == ""
    both = [world.arrival(who, transfer("bob", 5)) for who in ("ann", "cid")]
    world.send(*both)
    assert [world.reasons(who, What.DECLINED)[-1:] for who in ("ann", "cid")] == [["receiver_limit"]] * 2


def test_the_oldest_go_first_and_expire_when_they_would_have():
    world = world_of("ann", "bob", programme=club(expiry={"type": "rolling", "days": 10}), has=0)
    world.did("ann", "Bought", total=3)
    world.after("4d")
    world.did("ann", "Bought", total=5)
    world.did("bob", "Bought", total=1)
    world.after("1d")
    assert gives(world, "ann", "bob", 4) == ""
    assert [entry.amount for entry in world.ledger("bob") if entry.kind == "transferred"] == [3, 1]
    world.after("5d-1ms")
    assert balances(world, "ann", "bob") == [4, 5]
    world.after("1ms")
    assert balances(world, "ann", "bob") == [4, 2]
    # Of what bob has, the received is as old as his own, or older: it is spent first.
    assert world.asks("bob", "spend", points=1) == ""
    world.after("4d")
    assert balances(world, "ann", "bob") == [0, 0]
    check_invariants(snapshot(world.store), world.run.engine.plan)


def test_giving_and_receiving_keeps_no_points_alive_where_inactivity_ends_them():
    world = world_of("ann", "bob", programme=club(expiry={"type": "inactivity", "days": 10}))
    world.after("8d")
    assert gives(world, "ann", "bob", 10) == ""
    world.after("1d")
    assert gives(world, "bob", "ann", 20) == ""
    assert balances(world, "ann", "bob") == [20, 0]
    world.after("1d")
    assert balances(world, "ann", "bob") == [0, 0]


def test_what_was_received_does_not_expire_for_who_was_not_there_for_long():
    world = world_of("ann", "bob", programme=club(expiry={"type": "inactivity", "days": 10}), has=0)
    world.after("30d")
    world.did("ann", "Bought", total=3)
    assert gives(world, "ann", "bob", 3) == ""
    assert balances(world, "ann", "bob") == [0, 3]
    world.after("10d")
    assert balances(world, "ann", "bob") == [0, 0]


def test_points_that_are_held_are_not_given():
    world = world_of("ann", "bob", programme=club(holding="1d"))
    assert gives(world, "ann", "bob", 1) == "not_enough_points"
    world.after("1d")
    assert gives(world, "ann", "bob", 10) == ""


def test_a_refund_of_what_was_given_away_is_owed_by_who_gave_it():
    world = world_of("ann", "bob")
    gives(world, "ann", "bob", 10)
    world.asks("ann", "refund", reference="o-ann")
    assert balances(world, "ann", "bob") == [-10, 20]
    assert gives(world, "bob", "ann", 15) == ""  # what is received pays what is owed
    assert balances(world, "ann", "bob") == [5, 5]
    assert sum(lot.left for lot in world.member("ann").lots) == 5


def test_what_was_given_counts_towards_no_tier():
    tiers = {"levels": [{"name": "blue", "at": 0}, {"name": "gold", "at": 15}]}
    world = world_of("ann", "bob", programme=club(tiers=tiers))
    gives(world, "ann", "bob", 10)
    assert world.member("bob").tier == "blue"
    assert (world.member("ann").lifetime, world.member("bob").lifetime) == (10, 10)


def test_journeys_and_segments_see_it():
    journey = {
        "kind": "journey",
        "name": "thanks",
        "entry": {"type": "interaction", "interaction": "Points Received"},
        "start": "mark",
        "steps": {"mark": {"type": "update", "set": {"got": True}}},
    }
    rich = {"kind": "segment", "name": "rich", "condition": {"points": "club", "at_least": 14}, "live": True}
    world = World(club(), BUYS, journey, rich)
    for who in ("ann", "bob"):
        world.asks(who, "enrol")
        world.did(who, "Bought", total=10)
    gives(world, "ann", "bob", 4)
    assert world.contact("bob").segments["rich"].member
    assert world.trace("bob", What.ENTERED)
    assert not world.trace("ann", What.ENTERED)


def test_a_transfer_to_somebody_who_became_part_of_another_goes_to_the_other():
    world = world_of("ann", "bob")
    world.asks("eve", "enrol")
    both = (("user_id", "bob"), ("user_id", "eve"))
    world.accept(msgspec.structs.replace(world.arrival("bob", Learned(same=True)), identities=both))
    assert gives(world, "ann", "eve", 4) == ""
    assert balances(world, "ann", "bob") == [6, 14]
    assert gives(world, "bob", "eve", 4) == "same_member"


def test_nothing_is_given_to_who_was_erased():
    world = world_of("ann", "bob")
    world.run.engine.erase(world.id_of("bob"))
    (outcome,) = world.send(world.arrival("ann", transfer("bob", 4)))
    assert isinstance(outcome, Refused)
    assert balances(world, "ann") == [10]


# --- at once, again, and in any order ---------------------------------------------------------------------------------

_PEOPLE = ("ann", "bob", "eve")
_transfers = st.lists(
    st.tuples(st.sampled_from(_PEOPLE), st.sampled_from(_PEOPLE), st.integers(1, 12)), min_size=1, max_size=12
)


@examples(80)
@given(_transfers, st.data())
def test_the_sum_of_balances_stays_in_any_batches_and_under_any_repeats(
    drawn: list[tuple[str, str, int]], data: st.DataObject
):
    world = world_of(*_PEOPLE)
    arrivals = [
        world.arrival(who, transfer(to, points), id_=f"t{index}") for index, (who, to, points) in enumerate(drawn)
    ]
    batches = [[copy_of(arrival) for arrival in part] for part in _cut(arrivals, data)]
    sent: list[Any] = []
    for batch in batches:
        sent += batch
        again = data.draw(st.permutations(sent))[: data.draw(st.integers(0, 3))]
        outcomes = world.send(*map(copy_of, batch), *map(copy_of, again))
        assert all(isinstance(outcome, Accepted) for outcome in outcomes[: len(batch)])
        assert all(isinstance(outcome, Duplicate) for outcome in outcomes[len(batch) :])
        assert sum(balances(world, *_PEOPLE)) == 30
        assert min(balances(world, *_PEOPLE)) >= 0
    check_invariants(snapshot(world.store), world.run.engine.plan)
    # One by one it is the same.
    single = world_of(*_PEOPLE)
    for arrival in arrivals:
        single.send(copy_of(arrival))
    assert snapshot(single.store).ledger == snapshot(world.store).ledger


def _cut(arrivals: Sequence[Any], data: st.DataObject) -> list[list[Any]]:
    places = sorted(data.draw(st.sets(st.integers(1, len(arrivals)))))
    return [list(arrivals[start:end]) for start, end in itertools.pairwise([0, *places, len(arrivals)]) if start < end]


def test_points_arrive_also_where_nothing_more_may_follow(monkeypatch: pytest.MonkeyPatch):
    world = world_of("ann", "bob")
    monkeypatch.setattr(chains, "MOST_MADE", 0)
    assert gives(world, "ann", "bob", 4) == ""
    assert balances(world, "ann", "bob") == [6, 14]


def test_two_at_once_cannot_both_have_the_last_points():
    world = world_of("ann", "bob", "eve")
    both = [world.arrival("ann", transfer(to, 10)) for to in ("bob", "eve")]
    assert all(isinstance(outcome, Accepted) for outcome in world.send(*both))
    assert balances(world, "ann", "bob", "eve") == [0, 20, 10]
    assert [entry.reason for entry in world.trace("ann", What.DECLINED)] == ["not_enough_points"]


# --- what may happen in between, where the two inputs are not folded at once ------------------------------------------


class Apart:
    """Two contacts whose inputs are folded when the test says so."""

    def __init__(self, **programme: Any) -> None:
        workspace, errors, _ = load_data([club(**programme), BUYS])
        assert not errors, errors
        self.plan = Plan.empty().publish(workspace.all(), at=0, position=1)
        self.people = {name: Contact(name) for name in ("ann", "bob")}
        self.now = self.position = 1_000
        for name in self.people:
            self.takes(name, Enrol, programme="club")
            self.takes(name, Adjust, programme="club", points=10, reason="r", author="a")

    def takes(self, who: str, kind: Any, **more: Any) -> Effects:
        self.position += 1
        now = self.now
        more |= {"position": self.position, "received_at": now, "occurred_at": now, "message_id": str(self.position)}
        return self.folds(who, kind(**more))

    def folds(self, who: str, item: Input) -> Effects:
        item = msgspec.msgpack.decode(msgspec.msgpack.encode(item), type=type(item))
        item.received_at = item.occurred_at = self.now
        return fold(self.plan, self.people[who], item)

    def gives(self, points: int = 4) -> Receive:
        effects = self.takes("ann", Transfer, programme="club", points=points, to="bob")
        found = effects.follows[0]
        assert isinstance(found, Receive)
        return found

    def balance(self, who: str) -> int:
        member = self.people[who].loyalty.get("club")
        return member.balance if member is not None else 0


_between = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["ann", "bob"]), st.sampled_from(["leave", "erase", "enrol"]), st.just(0)),
        st.tuples(st.sampled_from(["ann", "bob"]), st.sampled_from(["spend", "adjust"]), st.integers(1, 12)),
        st.tuples(st.just("ann"), st.just("pass"), st.integers(1, 3)),
    ),
    max_size=4,
)


@examples(150)
@given(_between, _between, st.sampled_from(["keep", "forfeit"]), st.sampled_from([0, 2]), st.integers(1, 10))
def test_whatever_happens_in_between_the_points_are_with_one_of_the_two_or_went_as_an_entry_says(
    first: list[tuple[str, str, int]], second: list[tuple[str, str, int]], on_leaving: str, days: int, points: int
):
    expiry = {"expiry": {"type": "rolling", "days": days}} if days else {}
    apart = Apart(on_leaving=on_leaving, **expiry)
    sums = {"ann": 10, "bob": 10}

    def note(who: str, effects: Effects) -> Effects:
        sums[who] += sum(entry.amount for entry in effects.ledger)
        assert apart.balance(who) == sums[who]
        member = apart.people[who].loyalty.get("club")
        assert member is None or sum(lot.left for lot in member.lots) == max(0, member.balance)
        return effects

    def happen(what: list[tuple[str, str, int]]) -> None:
        for who, act, count in what:
            match act:
                case "leave":
                    note(who, apart.takes(who, Leave, programme="club"))
                case "enrol":
                    note(who, apart.takes(who, Enrol, programme="club"))
                case "erase":
                    note(who, apart.takes(who, Erase))
                case "spend":
                    note(who, apart.takes(who, Spend, programme="club", points=count))
                case "adjust":
                    note(who, apart.takes(who, Adjust, programme="club", points=count, reason="r", author="a"))
                case _:
                    apart.now += count * DAY // 2

    item = apart.gives(points)
    sums["ann"] -= points
    happen(first)
    effects = note("bob", apart.folds("bob", item))
    had = sum(entry.amount for entry in effects.ledger if entry.kind == "transferred")
    back = [one for one in effects.follows if isinstance(one, Receive)]
    assert had + sum(portion.points for one in back for portion in one.portions) == points
    happen(second)
    for one in back:
        effects = note("ann", apart.folds("ann", one))
        had = sum(entry.amount for entry in effects.ledger if entry.kind == "transferred")
        # Only who was erased has not got it back, as she has nothing of what was hers.
        assert had == (points if "club" in apart.people["ann"].loyalty else 0)
        assert not [more for more in effects.follows if isinstance(more, Receive)]


def test_points_come_back_from_who_left_in_between():
    apart = Apart()
    item = apart.gives()
    apart.takes("bob", Leave, programme="club")
    effects = apart.folds("bob", item)
    assert [entry.reason for entry in effects.trace if entry.what == What.DECLINED] == ["receiver_no_member"]
    (back,) = (one for one in effects.follows if isinstance(one, Receive))
    assert (apart.balance("ann"), apart.balance("bob")) == (6, 10)
    (entry,) = apart.folds("ann", back).ledger
    assert (entry.kind, entry.amount, entry.other, entry.reason) == ("transferred", 4, "bob", "receiver_no_member")
    assert apart.balance("ann") == 10


def test_what_comes_back_counts_towards_no_limit():
    apart = Apart(transfer={"limits": [{"per": "ever", "times": 1}]})
    item = apart.gives()
    apart.takes("bob", Leave, programme="club")
    (back,) = (one for one in apart.folds("bob", item).follows if isinstance(one, Receive))
    apart.now += DAY
    apart.folds("ann", back)
    apart.takes("bob", Enrol, programme="club")
    apart.folds("bob", apart.gives())
    assert (apart.balance("ann"), apart.balance("bob")) == (6, 14)
    declined = apart.takes("ann", Transfer, programme="club", points=1, to="bob")
    assert [entry.reason for entry in declined.trace] == ["limit"]


def test_points_come_back_to_who_left_themselves():
    for on_leaving, kept in (("keep", 10), ("forfeit", 0)):
        apart = Apart(on_leaving=on_leaving)
        item = apart.gives()
        apart.takes("bob", Leave, programme="club")
        apart.takes("ann", Leave, programme="club")
        (back,) = (one for one in apart.folds("bob", item).follows if isinstance(one, Receive))
        apart.folds("ann", back)
        assert apart.balance("ann") == kept


def test_a_refund_does_not_reach_what_came_back_as_points_of_its_own():
    apart = Apart()
    item = apart.gives()
    apart.takes("bob", Erase)
    (back,) = (one for one in apart.folds("bob", item).follows if isinstance(one, Receive))
    apart.folds("ann", back)
    apart.takes("ann", Refund, programme="club", reference="o", whole=True, attributes={})
    assert apart.balance("ann") == 10
