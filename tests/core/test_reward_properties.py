"""What holds of coupons whatever is asked of them, by whom, how often, and however the store keeps it."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, seed
from hypothesis import strategies as st

from parcours.core.coupon import OPEN, REDEEMED, state_at
from parcours.core.effects import OF_REWARDS, What
from parcours.core.gate import Arrival, Asked, Happened, Learned
from parcours.runtimes.engine import Accepted, Duplicate, Engine
from parcours.runtimes.engine.rewards import identity_of
from parcours.stores import sqlite
from parcours.stores.memory import MemoryStore
from parcours.stores.sqlite import SqliteStore
from parcours.testing.snapshot import EVERYTHING, replay, snapshot
from tests.core.test_properties import assert_same
from tests.core.test_rewards import reward
from tests.core.world import World
from tests.profiles import examples

STOCK = 4
POOL = ["P-1", "P-2", "P-3"]
PEOPLE = ["ann", "bob", "cid"]

who = st.sampled_from(PEOPLE)
moves = st.lists(
    st.one_of(
        st.tuples(st.just("issue"), who, st.sampled_from(["ten", "partner"])),
        st.tuples(
            st.sampled_from(["reserve", "redeem", "redeem", "release", "cancel", "reopen"]),
            who,
            st.integers(0, 5),
            st.sampled_from(["o1", "o2"]),
        ),
        st.tuples(st.just("twice"), st.integers(0, 5)),
        st.tuples(st.just("again"), st.integers(0, 20)),
        st.tuples(st.just("wait"), st.sampled_from(["10m", "30m", "1d", "3d"])),
        st.tuples(st.just("merge"), who),
        st.tuples(st.just("back"), who, st.sampled_from(["o1", "o2"])),
    ),
    max_size=25,
)


class Till:
    """A world in which coupons are asked for things, and what was answered."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sent: list[Arrival] = []
        self.redeemed: Counter[str] = Counter()
        self.number = 0

    def codes(self) -> list[str]:
        return [code for contact in self.world.store.scan() for code in contact.coupons]

    def do(self, move: tuple[Any, ...]) -> None:
        world = self.world
        match move:
            case ("issue", name, wanted):
                self.ask((("user_id", name),), Asked(action="issue", reward=wanted))
            case ("twice", index) if codes := self.codes():
                code = codes[index % len(codes)]
                asked = Asked(action="redeem", code=code, presented=self.owner(code))
                self.send(self.arrival((identity_of(code),), asked), self.arrival((identity_of(code),), asked))
            case ("again", index) if self.sent:
                assert world.send(self.sent[index % len(self.sent)]) == [Duplicate()]
            case ("wait", duration):
                world.after(duration)
            case ("back", name, order):
                self.ask((("user_id", name),), Happened("Refunded", {"order": order}))
            case ("merge", name):
                other = (("anonymous_id", f"{name}{self.number}"),)
                self.ask(other, Asked(action="issue", reward="ten"))
                self.ask((("user_id", name), *other), Learned({}))
            case (action, name, index, order) if codes := self.codes():
                code = codes[index % len(codes)]
                known = world.store.resolve([("user_id", name)]).get(("user_id", name), "?")
                self.ask((identity_of(code),), Asked(action=action, code=code, presented=known, reference=order))
            case _:
                pass

    def owner(self, code: str) -> str:
        return self.world.store.resolve([identity_of(code)])[identity_of(code)]

    def arrival(self, identities: tuple[tuple[str, str], ...], what: Asked | Learned | Happened) -> Arrival:
        self.number += 1
        return Arrival("till", f"a{self.number}", identities, what)

    def ask(self, identities: tuple[tuple[str, str], ...], what: Asked | Learned | Happened) -> None:
        self.send(self.arrival(identities, what))

    def send(self, *arrivals: Arrival) -> None:
        for arrival, outcome in zip(arrivals, self.world.send(*arrivals), strict=True):
            assert isinstance(outcome, Accepted), outcome
            self.sent.append(arrival)
            for position, entries in self.world.store.trace(outcome.contact):
                for entry in entries:
                    if position == outcome.position and entry.what in {What.REDEEMED, What.REOPENED}:
                        code = str((entry.detail or {})["code"])
                        self.redeemed[code] += 1 if entry.what == What.REDEEMED else -1


def check(till: Till) -> None:
    """What is always so."""
    store, now = till.world.store, till.world.now
    contacts = store.scan()
    held = [(contact, coupon) for contact in contacts for coupon in contact.coupons.values()]
    codes = [coupon.code for _, coupon in held]
    assert len(codes) == len(set(codes))
    issued = Counter(coupon.reward for _, coupon in held)
    assert issued["ten"] <= STOCK
    assert {coupon.code for _, coupon in held if coupon.reward == "partner"} <= set(POOL)
    assert len(store.scan_items("$pool/partner")) == len(POOL) - issued["partner"]
    for contact, coupon in held:
        assert till.owner(coupon.code) == contact.id
        assert coupon.state == state_at(coupon, now)
        assert till.redeemed[coupon.code] == (coupon.state == REDEEMED)
    records = [record for record in store.log(limit=EVERYTHING) if record.contact]
    assert len({record.key for record in records}) == len(records)
    for contact in contacts:
        ends = [
            at
            for coupon in contact.coupons.values()
            if coupon.state in OPEN
            for at in (coupon.until, coupon.reserved_until)
            if at
        ]
        assert [timer.due for timer in contact.timers] == ([min(ends)] if ends else [])
    counted = store.statistics()
    for name in ("ten", "partner"):
        assert (
            counted.get(("", 0, "", What.ISSUED, name), 0)
            == issued[name]
            == int(store.marks().get(f"reward:{name}", 0))
        )


def started(store: Any) -> Till:
    world = World(
        {"kind": "programme", "name": "club", "refunds": [{"interaction": "Refunded", "reference": "order"}]},
        reward(stock=STOCK, valid_for="5d", reopen_at_refund=True),
        reward(name="partner", codes={"type": "pool"}, personal=False),
        store=store,
    )
    world.run.engine.fill("partner", POOL)
    return Till(world)


@examples(60)
@given(moves)
def test_stock_and_codes_and_redemptions_add_up_and_a_replay_gives_the_same(drawn: list[tuple[Any, ...]]):
    till = started(MemoryStore())
    for move in drawn:
        till.do(move)
        check(till)
    live = snapshot(till.world.store)
    assert_same(snapshot(replay(live.records, till.world.now)), live)


@examples(30)
@given(moves, st.data())
def test_the_sqlite_store_and_restarts_keep_the_same(drawn: list[tuple[Any, ...]], data: st.DataObject):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite, "SMALL_BATCH", data.draw(st.integers(0, 2), "states of so many are written at once"))
        patch.setattr(sqlite, "LONGEST_BEHIND", data.draw(st.integers(1, 10), "inputs a state may lack"))
        path = Path(folder) / "0.db"
        till = started(SqliteStore(path, hold=2))
        run = till.world.run
        for move in drawn:
            till.do(move)
            if data.draw(st.booleans(), "restart"):
                run.store.close()
                run.store = SqliteStore(path, hold=2)
                run.engine = Engine(run.store, run.clock)
            run.engine.catch_up()
            check(till)
        live = snapshot(run.store)
        assert_same(snapshot(replay(live.records, till.world.now)), live)
        run.store.close()


def test_drawn_moves_come_to_everything_that_is_told_of_rewards():
    met: set[str] = set()

    @examples(60)
    @seed(1)
    @example([("issue", "ann", "ten"), ("reserve", "ann", 0, "o1"), ("wait", "30m")])  # seldom drawn
    @example(
        [("issue", "ann", "ten"), ("redeem", "ann", 0, "o1"), ("back", "ann", "o1"), ("wait", "3d"), ("wait", "3d")]
    )
    @given(moves)
    def look(drawn: list[tuple[Any, ...]]) -> None:
        till = started(MemoryStore())
        for move in drawn:
            till.do(move)
        met.update(what for _, _, _, what, _ in till.world.store.statistics())

    look()
    assert met >= OF_REWARDS
