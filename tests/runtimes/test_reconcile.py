"""Ledgers, balances, lots and the statement agree, whatever members do; and what does not agree is found and named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from parcours.core.gate import Asked, Happened
from parcours.ports import Changes, Total
from parcours.runtimes.loyalty.reconcile import Difference, Reconciling, reconcile
from parcours.runtimes.simulation import Simulation
from parcours.stores.memory import MemoryStore
from parcours.stores.sqlite import SqliteStore
from parcours.testing.snapshot import EVERYTHING, flat_ledger
from parcours.testing.strategies import START, Scenario, loyal_scenarios, play
from tests.core.world import World
from tests.profiles import examples

CLUB = {"kind": "programme", "name": "club", "transfer": {}, "holding": "1d"}
BUYS = {"kind": "rule", "name": "r", "programme": "club", "on": ["Bought"], "points": {"points": 1, "of": "total"}}
SEEN = {"kind": "rule", "name": "s", "programme": "club", "on": ["Seen"], "points": 3}


def world() -> World:
    made = World(CLUB, BUYS, SEEN)
    for who in ("ann", "bob"):
        made.asks(who, "enrol")
        made.did(who, "Bought", total=10)
        made.after("2d")
        made.did(who, "Seen")
    made.asks("ann", "transfer", points=4, to=("user_id", "bob"))
    made.asks("bob", "spend", points=2)
    return made


@examples(60)
@given(loyal_scenarios())
def test_everything_agrees_whatever_members_do(scenario: Scenario):
    simulation = Simulation(MemoryStore(), START)
    play(simulation, scenario)
    found = reconcile(simulation.store)
    assert found.agrees, found.differences
    ledgers = [flat_ledger(simulation.store, contact.id) for contact in simulation.store.scan(limit=EVERYTHING)]
    assert sum(row.entries for row in found.programmes) == sum(map(len, ledgers))


@examples(60)
@given(loyal_scenarios(), st.data())
def test_one_wrong_figure_is_found_and_its_member_named(scenario: Scenario, data: st.DataObject):
    simulation = Simulation(MemoryStore(), START)
    play(simulation, scenario)
    store = simulation.store
    members = [contact for contact in store.scan(limit=EVERYTHING) if contact.loyalty]
    assume(members)
    contact = data.draw(st.sampled_from(members))
    member = contact.loyalty["club"]
    amount = data.draw(st.sampled_from([-1, 1]))
    match data.draw(st.sampled_from(["balance", "held", "sequence", "lot"])):
        case "balance":
            member.balance += amount
        case "held":
            member.held += amount
        case "sequence":
            member.sequence += 1
        case _:
            assume(any(lot.left for lot in member.lots))
            next(lot for lot in member.lots if lot.left).left -= 1
    store.commit(Changes(contacts={contact.id: contact}))
    found = reconcile(store)
    assert found.total > 0
    assert {one.contact for one in found.differences} == {contact.id}


def planted(made: World, change: Callable[[Any], None], who: str = "ann") -> list[Difference]:
    contact = made.contact(who)
    change(contact.loyalty["club"])
    made.store.commit(Changes(contacts={contact.id: contact}))
    return reconcile(made.store).differences


def test_the_example_agrees():
    found = reconcile(world().store)
    assert (found.agrees, found.contacts, found.erased) == (True, 2, 0)
    (club,) = found.programmes
    assert (club.members, club.balance, club.held) == (2, 21, 3)


def test_a_balance_that_is_not_the_sum_of_its_entries():
    made = world()

    def more(member: Any) -> None:
        member.balance += 5

    first, second = planted(made, more)
    assert (first.what, first.contact, first.expected, first.found) == ("balance", made.id_of("ann"), 9, 14)
    assert (second.what, second.expected, second.found) == ("lots", 14, 9)


def test_a_lot_that_is_held_and_is_not_what_is_held():
    def less(member: Any) -> None:
        next(lot for lot in member.lots if lot.due).left -= 1

    (found,) = planted(world(), less, "bob")
    assert (found.what, found.expected, found.found) == ("held_lots", 3, 2)


def test_an_entry_too_many_is_found_by_member_and_by_day():
    made = world()
    last = made.ledger("ann")[-1]
    more = msgspec.structs.replace(last, id="x", kind="earned", amount=7, reference="", other="")
    made.store.commit(Changes(contacts={last.contact: made.contact("ann")}, ledger=[more]))
    found = {(one.what, one.contact, one.expected, one.found) for one in reconcile(made.store).differences}
    ann = made.id_of("ann")
    known = len(made.ledger("ann")) - 1
    assert {("balance", ann, 16, 9), ("entries", ann, known + 1, known), ("entry", ann, known + 1, known)} <= found


def test_a_day_of_the_statement_that_is_not_the_sum_of_its_entries():
    made = world()
    store: Any = made.store
    day, kind = next((day, kind) for _, day, kind in store.ledger_days() if kind == "spent")
    store._days["club", day, kind] = Total(1, -1, 0)
    (difference,) = reconcile(store).differences
    assert (difference.what, difference.contact, difference.expected, difference.found) == ("day", "", -2, -1)
    assert difference.where == f"{day // 10000}-{day // 100 % 100:02}-{day % 100:02} spent amount"


def test_a_transfer_of_which_one_side_is_missing():
    made = world()
    store: Any = made.store
    taken = next(entry for entry in made.ledger("ann") if entry.kind == "transferred")
    store._ledger[store._ledger.index(taken)] = None
    found = reconcile(made.store).differences
    assert ("transfer", taken.reference, 4) in {(one.what, one.where, one.found) for one in found}
    assert made.id_of("ann") in {one.contact for one in found}


def test_who_was_erased_is_no_difference():
    made = world()
    made.run.engine.erase(made.id_of("ann"))
    found = reconcile(made.store)
    assert (found.agrees, found.erased) == (True, 1)
    store: Any = made.store
    place = next(place for place in store.ledger_days() if place[2] == "earned")
    known = store._days[place]
    store._days[place] = Total(known.entries, known.amount + 1, known.held)
    (difference,) = reconcile(made.store).differences
    assert (difference.what, difference.where, difference.found) == ("day", "all days amount", 1)
    store._days[place] = known
    place = next(place for place in store.ledger_days() if place[2] == "spent")  # who is there alone spent any
    known = store._days[place]
    store._days[place] = Total(known.entries - 1, known.amount, known.held)
    (difference,) = reconcile(made.store).differences
    assert (difference.expected, difference.found) == (1, 0)
    assert difference.where.endswith("spent entries")


def test_what_comes_in_meanwhile_is_no_difference():
    made = world()
    store = made.store
    reconciling = Reconciling(store.ledger_days(), store.last_entry())
    first, second = store.scan()
    reconciling.look(first, store.ledger(first.id, EVERYTHING))
    for who, other in (("ann", "bob"), ("bob", "ann")):
        made.did(who, "Seen")
        made.asks(who, "transfer", points=1, to=("user_id", other))
    second = store.contacts([second.id])[second.id]
    reconciling.look(second, store.ledger(second.id, EVERYTHING))
    assert reconciling.finish().agrees


@pytest.mark.parametrize("broken", [False, True])
def test_it_is_the_same_in_a_file(tmp_path: Path, broken: bool):
    made = world()
    store = SqliteStore(tmp_path / "s.db")
    simulation = Simulation(store, made.store.log(limit=1)[0].input().received_at)
    simulation.publish([CLUB, BUYS])
    simulation.send(made.arrival("ann", Asked(action="enrol", programme="club")))
    simulation.send(made.arrival("ann", Happened("Bought", {"total": 10})))
    if broken:
        with store._db:
            store._db.execute("update ledger_day set held = held + 1")
    assert reconcile(store).total == int(broken)
    store.close()
