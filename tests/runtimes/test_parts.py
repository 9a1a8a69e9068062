"""Contacts that pass by are written in parts of one transaction: what a failure in the middle, or behind it, may cost."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from parcours.core.effects import What
from parcours.core.gate import Happened, Learned
from parcours.core.loyalty import budget
from parcours.errors import StoreError, UnstorableError
from parcours.ports import Changes, Settlement, Store
from parcours.runtimes.engine import Engine, folding
from parcours.runtimes.engine.rewards import in_pool
from parcours.stores import sqlite
from parcours.stores.memory import MemoryStore
from parcours.stores.sqlite import SqliteStore
from parcours.testing.conformance import ANN, BOB, interaction, person
from parcours.testing.faults import FaultyStore, copy_store
from parcours.testing.snapshot import EVERYTHING, replay, snapshot
from tests.core.test_loyalty_rules import programme, rule
from tests.core.world import START, World, email, journey, ms, send, wait

LOCALS = {"kind": "segment", "name": "locals", "condition": {"contact": "city", "is": "Bonn"}}
BUYS = {"type": "record", "interaction": "Bought", "attributes": {"total": 10}}
WHO = [f"p{number}" for number in range(7)]


def reads(steps: dict[str, Any]) -> dict[str, Any]:
    entry = {"type": "segment", "segment": "locals", "schedule": {"cron": "0 12 * * *"}}
    return {**journey(steps), "entry": entry}


def live(world: World, *who: str, city: str = "Bonn") -> None:
    world.send(*(world.arrival(one, Learned({"city": city})) for one in who))


def entered(world: World) -> dict[str, int]:
    return {who: count for who in WHO if (count := len(world.trace(who, What.ENTERED)))}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteStore]:
    """One in whose transactions many parts come together, and that writes what does not pass by behind."""
    monkeypatch.setattr(Engine, "PART", 2)
    monkeypatch.setattr(sqlite, "SMALL_BATCH", 1)
    store = SqliteStore(tmp_path / "store.db")
    yield store
    store.close()


def cannot_be_folded(monkeypatch: pytest.MonkeyPatch, contact: str, kind: str) -> None:
    real = folding.fold

    def fold(plan: Any, state: Any, item: Any) -> Any:
        if state.id == contact and type(item).__name__ == kind:
            raise KeyError("a defect of ours")
        return real(plan, state, item)

    monkeypatch.setattr(folding, "fold", fold)


# --- readings ---------------------------------------------------------------------------------------------------------


def test_what_was_taken_of_a_budget_before_a_defect_is_not_what_is_counted(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
):
    world = World(programme(), rule(points=10, budget=[{"points": 1_000}]), LOCALS, reads({"r": BUYS}), store=store)
    for who in WHO:
        assert world.asks(who, "enrol") == ""
    live(world, *WHO)
    cannot_be_folded(monkeypatch, store.ids()[3], "Enter")
    world.after("1d")
    assert sum(world.member(who).balance for who in WHO) == 60
    assert budget.decoded(store.marks()[budget.name_of("purchases/ever")]) == {0: (6, 60)}


def test_who_became_a_member_lately_is_read_also_behind_a_defect(store: SqliteStore, monkeypatch: pytest.MonkeyPatch):
    world = World(LOCALS, reads({"w": wait("1s")}), store=store)
    live(world, *WHO, city="Ulm")
    store.flush()
    live(world, *WHO)
    assert store._behind, "their states are to be behind the log"
    cannot_be_folded(monkeypatch, store.ids()[3], "Enter")
    world.after("1d")
    assert sorted(entered(world).values()) == [1] * 6


@pytest.mark.parametrize("place", range(7))
def test_a_member_whose_state_cannot_be_kept_is_left_out_of_a_reading_wherever_it_comes(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, place: int
):
    world = World(LOCALS, reads({"w": wait("1s")}), store=store)
    live(world, *WHO)
    store.flush()
    bad, write = store.ids()[place], store.write

    def refuse(changes: Changes) -> None:
        if bad in changes.contacts and b"enter" in changes.records[0].body[:16]:
            store.forget()
            raise UnstorableError("a value cannot be kept")
        write(changes)

    monkeypatch.setattr(store, "write", refuse)
    world.after("1d")
    assert sorted(entered(world).values()) == [1] * 6
    assert store.marks()["read:j"].endswith("null]"), "it was read to its end"


def test_what_became_of_messages_is_kept_with_a_slice_that_has_a_defect_in_it(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
):
    greets = journey({"s": send("m")}, name="k")
    world = World(email("m", purpose="transactional"), greets, LOCALS, reads({"w": wait("1s")}), store=store)
    live(world, *WHO)
    world.knows("p0")
    world.did("p0", "Go")
    (message,) = store.pending("email")
    cannot_be_folded(monkeypatch, store.ids()[3], "Enter")
    world.run.clock.set(START + ms("3h"))
    world.run.engine.read([Settlement(message.sequence, "sent", 1)])
    assert sum(entered(world).values()) == 7
    assert store.outbox_counts() == {("email", "m", "sent"): 1}


@pytest.mark.parametrize("kept", [False, True])
def test_a_reading_that_could_not_be_finished_lets_nobody_in_twice(store: SqliteStore, *, kept: bool):
    """Whatever it fails with: it may have been after everything was kept."""
    faulty = FaultyStore(store)
    world = World(LOCALS, reads({"w": wait("1d")}), store=faulty)
    live(world, *WHO)
    engine = world.run.engine
    world.run.clock.set(START + ms("3h"))
    engine.read(finish=False)
    if kept:
        store.finish()
    faulty.fail("finish", StoreError("full"))
    with pytest.raises(StoreError):
        engine.finish()
    assert (entered(world) == {}) is not kept
    world.run.advance(world.now)
    assert sorted(entered(world).values()) == [1] * 7


# --- timers -----------------------------------------------------------------------------------------------------------


def test_codes_stock_and_what_is_left_of_a_pool_are_told_from_part_to_part(store: SqliteStore):
    mug = {"kind": "reward", "name": "mug", "gift": "A mug", "stock": 5, "codes": {"type": "pool"}}
    later = journey({"w": wait("1h", next="r"), "r": BUYS})
    world = World(programme(), mug, rule(reward="mug"), later, store=store)
    assert world.run.engine.fill("mug", [f"CODE{number}" for number in range(9)]) == 9
    for who in WHO:
        assert world.asks(who, "enrol") == ""
        world.did(who, "Go")
    world.after("1h")
    codes = [code for who in WHO for code in world.contact(who).coupons]
    assert sorted(codes) == [f"CODE{number}" for number in range(5)]
    assert in_pool(store, "mug") == 4
    assert store.mark("reward:mug") == "5"
    assert [code for code, _ in store.scan_items("$pool/mug")] == [f"CODE{number}" for number in range(5, 9)]


def test_of_every_part_is_learned(store: SqliteStore):
    sells = {"type": "record", "interaction": "Sold", "attributes": {"price": 1}}
    world = World(
        journey({"w": wait("1h", next="r"), "r": BUYS}),
        journey({"w": wait("1h", next="r"), "r": sells}, on="Come", name="k"),
        store=store,
    )
    for who in WHO:
        world.did(who, "Go" if who in WHO[:2] else "Come")
        world.after("1s")
    world.run.clock.set(START + ms("2h"))
    assert world.run.engine.tick() == 7
    for engine in (world.run.engine, Engine(store, world.run.clock)):
        assert [engine.learned_attributes(name) for name in ("bought", "sold")] == [["total"], ["price"]]


def test_what_cannot_be_learned_from_costs_nobody_a_timer(store: SqliteStore, monkeypatch: pytest.MonkeyPatch):
    world = World(journey({"w": wait("1h", next="r"), "r": {**BUYS, "next": "v"}, "v": wait("1h")}), store=store)
    for who in WHO:
        world.did(who, "Go")
    engine = world.run.engine
    world.run.clock.set(START + ms("1h"))
    assert engine.tick(finish=False) == 7

    def observe(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(engine.learner, "observe", observe)
        with pytest.raises(MemoryError):
            engine.finish()
    world.run.advance(START + ms("2h"))
    assert all(world.trace(who, What.ENDED) for who in WHO)


@pytest.mark.parametrize("make", [lambda _: MemoryStore(), SqliteStore], ids=["memory", "sqlite"])
def test_timers_of_a_transaction_that_was_dropped_before_it_was_finished_stay_due(
    make: Callable[[Path], Store], tmp_path: Path
):
    store = FaultyStore(make(tmp_path / "dropped.db"))
    world = World(journey({"w": wait("1h", next="r"), "r": BUYS}), store=store)
    world.did("ann", "Go")
    world.run.clock.set(START + ms("1h"))
    engine = world.run.engine
    assert engine.tick(finish=False) == 1
    store.fail("write", StoreError("full"))
    with pytest.raises(StoreError):
        engine.begin([world.arrival("bob", Happened("Come", {}))])
    engine.finish()
    assert world.trace("ann", What.ENDED) == []
    assert engine.learned_attributes("bought") == []
    assert engine.tick() == 1
    assert world.trace("ann", What.ENDED)
    assert engine.learner.encode("bought") == Engine(store, world.run.clock).learner.encode("bought")
    store.close()


def test_what_is_behind_the_log_is_not_let_go_of_with_what_passes_by(store: SqliteStore):
    world = World(journey({"w": wait("1h")}), store=store)
    live(world, *WHO, city="Ulm")
    world.did("p0", "Go")
    store.flush()
    live(world, *WHO[1:])
    store.forget()
    world.after("1h")
    assert [world.contact(who).attributes["city"] for who in WHO] == ["Ulm"] + ["Bonn"] * 6


@pytest.mark.parametrize("index", [3, 65_536])
def test_a_kill_between_parts_leaves_nothing_and_one_behind_them_everything(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: int
):
    monkeypatch.setattr(sqlite, "SLICE", index)
    told = send("m", next="r")
    definitions = [email("m", purpose="transactional"), journey({"w": wait("1h", next="s"), "s": told, "r": BUYS})]
    world = World(*definitions, store=store)
    for who in WHO:
        world.knows(who)
        world.did(who, "Go")
    store.flush()
    world.run.clock.set(START + ms("1h"))
    before = snapshot(store)
    assert world.run.engine.tick(finish=False) == 7
    for name in ("between", "behind"):
        copy_store(store, tmp_path / f"{name}.db")
        world.run.engine.finish()
    after = snapshot(store)
    assert after != before
    assert len(store.pending("email")) == 7
    for name, expected in (("between", before), ("behind", after)):
        left = SqliteStore(tmp_path / f"{name}.db")
        again = Engine(left, world.run.clock)
        assert snapshot(left) == expected
        again.tick()
        assert snapshot(left) == after
        keys = [record.key for record in left.log(limit=EVERYTHING)]
        assert left.seen(keys) == set(keys)
        assert len(set(keys)) == len(keys)
        left.close()
    assert snapshot(replay(store.log(limit=EVERYTHING), world.now)).contacts == after.contacts


def test_of_contacts_that_pass_by_no_more_than_a_part_is_at_hand(store: SqliteStore, monkeypatch: pytest.MonkeyPatch):
    later = journey({"w": wait("1h", next="v"), "v": wait("30d")}, name="k")
    world = World(LOCALS, reads({"v": wait("30d")}), later, store=store)
    live(world, *WHO)
    for who in WHO:
        world.did(who, "Go")
    store.flush()
    store.forget()
    world.run.clock.set(START + ms("3h"))
    engine, write, held = world.run.engine, store.write, []

    def look(changes: Changes) -> None:
        held.append(len(store._held))
        write(changes)

    monkeypatch.setattr(store, "write", look)
    for go_on in (engine.tick, engine.read):
        go_on()
        assert list(store._held) == list(store._fetched) == []
    assert held == [2, 2, 2, 1] * 2


def test_what_a_dropped_transaction_said_to_be_whole_is_not(store: SqliteStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sqlite, "SLICE", 1)
    faulty = FaultyStore(store)
    world = World(journey({"w": wait("1h")}), store=faulty)
    live(world, *WHO, city="Ulm")
    store.flush()
    for _ in range(3):
        live(world, "p0", city="Ulm")
    world.run.engine.begin([world.arrival("p0", Learned({"city": "Rom"})), *[world.arrival("p0", Learned())] * 3])
    faulty.fail("finish", StoreError("full"))
    with pytest.raises(StoreError):
        world.run.engine.finish()
    live(world, *WHO[:2])
    assert set(store._behind) == {world.id_of(who) for who in WHO[:2]}
    store.forget()
    world.after("1s")
    world.run.engine.catch_up()
    assert [world.contact(who).attributes["city"] for who in WHO] == ["Bonn"] * 2 + ["Ulm"] * 5


# --- who reads while a transaction is finished in another thread ------------------------------------------------------


class Interrupted(dict[str, Any]):
    """Contacts in memory; before one of them is let go of, another thread has its turn."""

    store: SqliteStore

    def pop(self, *given: Any) -> Any:
        self.store.history(BOB)
        return super().pop(*given)


def passing(store: SqliteStore, people: Collection[str], **more: Any) -> Changes:
    return Changes(contacts=dict(store.contacts(people)), passing=True, **more)


def test_a_history_may_be_read_while_contacts_are_let_go_of(store: SqliteStore):
    store.commit(Changes(contacts={ANN: person(), BOB: person(BOB)}))
    store.forget()
    store._held = Interrupted()
    store._held.store = store
    assert list(store.contacts([ANN])) == [ANN]
    store.commit(Changes(marks={"m": "1"}, passing=True))
    assert list(store._held) == []


def test_nothing_of_what_is_not_finished_is_told(store: SqliteStore):
    store.commit(Changes(records=[interaction(1)], contacts={ANN: person()}))
    store.flush()
    store.write(passing(store, [ANN], records=[interaction(2)], items={("c", "i"): {"a": 1}}, marks={"m": "1"}))
    told = [record.position for record in store.history(ANN)], store.items("c", ["i"]), store.mark("m")
    assert told == ([1], {}, None)
    store.finish()
    told = [record.position for record in store.history(ANN)], store.items("c", ["i"]), store.mark("m")
    assert told == ([2, 1], {"i": {"a": 1}}, "1")


def test_what_is_written_is_not_kept_by_closing_or_by_what_is_behind(store: SqliteStore, tmp_path: Path):
    world = World(journey({"w": wait("1h")}), store=store)
    live(world, *WHO)
    assert store._behind
    before = world.run.engine.store.last_position()
    world.run.engine.begin([world.arrival("p0", Happened("Go", {}))])
    store.flush()
    store.close()
    again = SqliteStore(tmp_path / "store.db")
    engine = Engine(again, world.run.clock)
    assert again.last_position() == before
    assert len(again.scan()) == 7
    assert not any(contact.runs for contact in again.scan())
    assert engine.next_due() is None
    again.close()
