"""What holds of points whatever members do, and against a reference that keeps every single point apart."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from parcours.core.effects import KINDS, OF_LOYALTY, What
from parcours.core.inputs import Erased
from parcours.core.member import Member
from parcours.runtimes.engine import Accepted, Duplicate, Engine
from parcours.runtimes.simulation import Simulation
from parcours.stores import sqlite
from parcours.stores.memory import MemoryStore
from parcours.stores.sqlite import SqliteStore
from parcours.testing.snapshot import Snapshot, replay, snapshot
from parcours.testing.strategies import START, Scenario, copy_of, loyal_scenarios, perform, perform_late, play
from tests.core.invariants import check_invariants, entries_counted, erased, traces_counted
from tests.core.test_properties import assert_same, gathered, performed
from tests.core.world import World
from tests.profiles import examples


def wherever_it_stands(found: Snapshot) -> dict[str, Any]:
    """What members have, without the places in the log: what follows from timers may come earlier or later there."""

    def members(loyalty: dict[str, Member]) -> dict[str, Member]:
        again = msgspec.msgpack.decode(msgspec.msgpack.encode(loyalty), type=dict[str, Member])
        for member in again.values():
            for lot in member.lots:
                lot.position = 0
        return again

    of_contacts: dict[str, list[Any]] = {}
    for record in found.records:
        item = record.input()
        said = None if isinstance(item, Erased) else (type(item).__name__, item.received_at, item.message_id)
        of_contacts.setdefault(record.contact, []).append(said)
    return {
        "inputs": of_contacts,
        "members": {id_: members(contact.loyalty) for id_, contact in found.contacts.items()},
        "timers": {id_: contact.timers for id_, contact in found.contacts.items()},
        "ledger": {
            id_: [msgspec.structs.replace(entry, position=0) for entry in entries]
            for id_, entries in found.ledger.items()
        },
        "days": found.days,
        "budgets": found.budgets,
        "statistics": found.statistics,
    }


def played(scenario: Scenario) -> tuple[Simulation, list[Any]]:
    simulation = Simulation(MemoryStore(), START)
    return simulation, play(simulation, scenario)


@examples(80)
@given(loyal_scenarios())
def test_invariants_hold_after_every_move(scenario: Scenario):
    _, script = played(scenario)
    again = Simulation(MemoryStore(), START)
    for step in script:
        perform(again, [step])
        check_invariants(snapshot(again.store), again.engine.plan)


@examples(60)
@given(loyal_scenarios(), st.data())
def test_replay_batches_and_restarts_give_the_same_ledger(scenario: Scenario, data: st.DataObject):
    simulation, script = played(scenario)
    live = snapshot(simulation.store)
    assert_same(performed(gathered(script, data)), live)
    again = Simulation(MemoryStore(), START)
    for step in script:
        perform(again, [step])
        again.engine = Engine(again.store, again.clock)
    assert_same(snapshot(again.store), live)
    replayed = snapshot(replay(live.records, simulation.clock.now()))
    if erased(live):
        live.statistics = traces_counted(live)
        live.days = entries_counted(live)
        live.budgets = replayed.budgets  # what the erased were given stays counted
    assert_same(replayed, live)


@examples(60)
@given(loyal_scenarios(), st.booleans())
def test_late_timers_give_the_same_ledger(scenario: Scenario, never: bool):
    simulation, script = played(scenario)
    rarely = Simulation(MemoryStore(), START)
    perform_late(rarely, script, never=never)
    expected = wherever_it_stands(snapshot(simulation.store))
    found = wherever_it_stands(snapshot(rarely.store))
    for part, value in expected.items():
        assert found[part] == value, part


@examples(60)
@given(loyal_scenarios(), st.data())
def test_repeats_in_any_order_give_the_same_ledger(scenario: Scenario, data: st.DataObject):
    simulation, script = played(scenario)
    again = Simulation(MemoryStore(), START)
    accepted: list[Any] = []
    for step in script:
        perform(again, [msgspec.structs.replace(step, arrivals=[])])
        outcomes = again.send(*[copy_of(arrival) for arrival in step.arrivals])
        pairs = zip(step.arrivals, outcomes, strict=True)
        accepted += [arrival for arrival, outcome in pairs if isinstance(outcome, Accepted)]
        if accepted:
            for arrival in data.draw(st.lists(st.sampled_from(accepted), max_size=3)):
                assert again.send(copy_of(arrival)) == [Duplicate()]
    assert_same(snapshot(again.store), snapshot(simulation.store))


@examples(40)
@given(loyal_scenarios(), st.data())
def test_the_sqlite_store_keeps_the_same_ledger(scenario: Scenario, data: st.DataObject):
    simulation, script = played(scenario)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite, "SMALL_BATCH", data.draw(st.integers(0, 2), "states of so many are written at once"))
        patch.setattr(sqlite, "LONGEST_BEHIND", data.draw(st.integers(1, 10), "inputs a state may lack"))
        path = Path(folder) / "0.db"
        again = Simulation(SqliteStore(path, hold=2), START)
        for step in gathered(script, data):
            perform(again, [step])
            if data.draw(st.integers(0, 4)) == 0:
                again.store.close()
                again = Simulation(SqliteStore(path, hold=2), step.at)
        assert_same(snapshot(again.store), snapshot(simulation.store))
        again.store.close()


def test_loyal_scenarios_come_to_something():
    kinds: set[str] = set()
    met: set[str] = set()
    withheld: set[str] = set()

    @examples(400)
    @seed(1)
    @given(loyal_scenarios())
    def look(scenario: Scenario) -> None:
        simulation, _ = played(scenario)
        kinds.update(kind for _, _, kind in simulation.store.ledger_days())
        met.update(what for _, _, _, what, _ in simulation.store.statistics())
        withheld.update(reason for _, _, _, what, reason in simulation.store.statistics() if what == What.WITHHELD)

    look()
    assert met >= OF_LOYALTY
    assert withheld >= {"budget", "limit", "review"}
    assert kinds == KINDS.keys()


# --- a reference that keeps every single point apart ------------------------------------------------------------------

_DAY = 86_400_000


class Point(msgspec.Struct):
    """One point: whose order, when it was earned, from when it is free, until when it is good, what became of it."""

    order: int
    at: int
    free: int
    good: int
    gone: str = ""


class Reference:
    """Points one by one, by brute force: nothing is kept but the points and what every order was worth."""

    def __init__(self, rate: Fraction, holding: int, expiry: int) -> None:
        self.rate, self.holding, self.expiry = rate, holding, expiry
        self.points: list[Point] = []
        self.worth: dict[int, int] = {}
        self.owed = 0

    def _pass(self, now: int) -> None:
        """What expired by now is gone; what came free pays what is owed, by the order in which it happened."""
        instants = sorted({t for point in self.points for t in (point.free, point.good) if t <= now})
        for instant in instants:
            for point in self.points:
                if not point.gone and point.free == instant and self.owed:
                    point.gone, self.owed = "owed", self.owed - 1
            for point in self.points:
                if not point.gone and point.good <= instant and point.free <= instant:
                    point.gone = "expired"

    def buy(self, order: int, total: int, now: int) -> None:
        self._pass(now)
        self.worth[order] = total
        for _ in range(int(total * self.rate)):
            point = Point(order, now, now + self.holding, now + self.expiry if self.expiry else 10**18)
            if not self.holding and self.owed:
                point.gone, self.owed = "owed", self.owed - 1
            self.points.append(point)

    def spend(self, count: int, now: int) -> bool:
        self._pass(now)
        free = [point for point in self.points if not point.gone and point.free <= now]
        if count > len(free) - self.owed:
            return False
        for point in free[:count]:
            point.gone = "spent"
        return True

    def give_back(self, order: int, part: int, now: int) -> None:
        self._pass(now)
        self.worth[order] = max(0, self.worth[order] - part)
        mine = [point for point in self.points if point.order == order]
        should = int(self.worth[order] * self.rate)
        counted = [point for point in mine if point.gone not in {"expired", "reversed"}]
        for _ in range(max(0, len(counted) - should)):
            # A point that is still there, else one that was used: another one pays for it, or it is owed.
            point = next((p for p in mine if not p.gone), None)
            if point is not None:
                point.gone = "reversed"
                continue
            next(p for p in mine if p.gone in {"spent", "owed", "paid"}).gone = "reversed"
            other = next((p for p in self.points if not p.gone and p.free <= now), None)
            if other is not None:
                other.gone = "paid"
            else:
                self.owed += 1

    def balance(self, now: int) -> tuple[int, int]:
        self._pass(now)
        left = [point for point in self.points if not point.gone]
        return sum(p.free <= now for p in left) - self.owed, sum(p.free > now for p in left)


_acts = st.one_of(
    st.tuples(st.just("buy"), st.integers(1, 9), st.just(0)),
    st.tuples(st.just("buy"), st.integers(1, 9), st.just(0)),
    st.tuples(st.just("spend"), st.integers(1, 12), st.just(0)),
    st.tuples(st.just("refund"), st.integers(0, 9), st.integers(1, 9)),
    st.tuples(st.just("pass"), st.integers(1, 4), st.just(0)),
)


@examples(150)
@given(
    st.lists(_acts, min_size=1, max_size=25),
    st.sampled_from([(1, 1), (2, 1), (1, 2), (3, 2)]),
    st.integers(0, 3),
    st.integers(0, 6),
)
def test_balances_are_those_of_single_points(
    acts: list[tuple[str, int, int]], rate: tuple[int, int], holding: int, expiry: int
):
    programme: dict[str, Any] = {
        "kind": "programme",
        "name": "club",
        "refunds": [{"interaction": "Refunded", "reference": "order"}],
    }
    if holding:
        programme["holding"] = f"{holding * 12}h"
    if expiry:
        programme["expiry"] = {"type": "rolling", "days": expiry}
    formula = {"points": rate[0], "per": rate[1], "of": "total"}
    rule = {"kind": "rule", "name": "r", "programme": "club", "on": ["Bought"], "points": formula, "reference": "order"}
    world = World(programme, rule)
    world.asks("ann", "enrol")
    reference = Reference(Fraction(*rate), holding * _DAY // 2, expiry * _DAY)
    orders = 0
    for act, first, second in acts:
        match act:
            case "buy":
                world.did("ann", "Bought", order=orders, total=first)
                reference.buy(orders, first, world.now)
                orders += 1
            case "spend":
                declined = world.asks("ann", "spend", points=first)
                assert reference.spend(first, world.now) == (declined == "")
            case "refund" if first < orders:
                world.did("ann", "Refunded", order=first, total=second)
                reference.give_back(first, second, world.now)
            case "pass":
                world.after(f"{first * 6}h")
            case _:
                pass
        member = world.member("ann")
        assert (member.balance, member.held) == reference.balance(world.now)
        assert [sum(e.amount for e in world.ledger("ann")), sum(e.held for e in world.ledger("ann"))] == [
            member.balance,
            member.held,
        ]


def test_a_balance_at_any_past_instant_is_that_of_the_last_entry_by_then():
    programme = {"kind": "programme", "name": "club", "expiry": {"type": "rolling", "days": 3}}
    rule = {"kind": "rule", "name": "r", "programme": "club", "on": ["Bought"], "points": 10}
    world = World(programme, rule)
    world.asks("ann", "enrol")
    seen: list[tuple[int, int]] = []
    for _ in range(6):
        world.did("ann", "Bought")
        world.after("1d-1s")
        seen.append((world.now, world.member("ann").balance))
        world.after("1s")
    entries = world.ledger("ann")
    for at, balance in seen:
        assert [entry.balance for entry in entries if entry.at <= at][-1] == balance
