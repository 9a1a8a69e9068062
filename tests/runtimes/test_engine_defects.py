"""What a defect, or a store that fails in the middle, may cost: one try, and never a state that a replay would not give."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from parcours.core.contact import Contact
from parcours.core.gate import Arrival, Happened, Learned
from parcours.ports import Changes, Settlement
from parcours.runtimes.clocks import VirtualClock
from parcours.runtimes.engine import Accepted, Engine, folding
from parcours.stores import sqlite
from parcours.stores.memory import MemoryStore
from parcours.stores.sqlite import SqliteStore
from parcours.testing.faults import copy_store
from tests.core.world import World, email, journey, send

START = 1_700_000_000_000


def happened(number: int, who: str = "ann", name: str = "Go") -> Arrival:
    return Arrival("test", f"m{number}", (("user_id", who),), Happened(name, {}))


def counting() -> list[dict]:
    where = {"did": "Go", "times": {"at_least": 9}}
    entry = {"type": "interaction", "interaction": "Never", "where": where}
    return [{"kind": "journey", "name": "j", "entry": entry, "start": "e", "steps": {"e": {"type": "end"}}}]


@pytest.fixture
def behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteStore]:
    monkeypatch.setattr(sqlite, "SMALL_BATCH", 0)
    store = SqliteStore(tmp_path / "parcours.db")
    yield store
    store.close()


def test_catching_up_that_was_cut_off_begins_anew(behind: SqliteStore, monkeypatch: pytest.MonkeyPatch):
    engine = Engine(behind, VirtualClock(START))
    engine.publish(counting())
    for number in range(3):
        engine.accept([happened(number)])
    behind.forget()
    real, calls = folding.fold, []

    def fold(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 3:
            raise MemoryError
        return real(*arguments)

    monkeypatch.setattr(folding, "fold", fold)
    with pytest.raises(MemoryError):
        engine.catch_up()
    engine.accept([happened(3)])
    (contact,) = behind.scan()
    assert [len(times) for times in contact.counters.values()] == [4]


def test_a_member_that_cannot_be_folded_is_left_out_of_a_reading(behind: SqliteStore, monkeypatch: pytest.MonkeyPatch):
    engine = Engine(behind, VirtualClock(START))
    for number, who in enumerate(("ann", "bad", "cyd")):
        engine.accept([Arrival("test", f"m{number}", (("user_id", who),), Learned({"who": who}))])
    segment = {"kind": "segment", "name": "all", "condition": {"contact": "who", "is_present": True}}
    entry = {"type": "segment", "segment": "all"}
    steps = {"w": {"type": "wait", "for": "1d"}}
    real = folding.fold

    def fold(plan: object, contact: object, item: object) -> object:
        if contact.attributes.get("who") == "bad" and type(item).__name__ == "Enter":
            raise KeyError("a defect of ours")
        return real(plan, contact, item)

    monkeypatch.setattr(folding, "fold", fold)
    engine.publish([segment, {"kind": "journey", "name": "j", "entry": entry, "start": "w", "steps": steps}])
    while engine.read():
        pass
    entered = {contact.attributes["who"]: contact.runs for contact in behind.scan()}
    assert {who for who, runs in entered.items() if runs} == {"ann", "cyd"}
    triggers = {run.trigger for runs in entered.values() for run in runs.get("j", {}).values()}
    positions = {record.position for record in behind.log() if type(record.input()).__name__ == "Enter"}
    assert triggers == positions


def test_a_member_that_cannot_be_asked_is_left_out_of_a_reading_and_settlements_are_kept(
    behind: SqliteStore,
):
    engine = Engine(behind, VirtualClock(START))
    for number, who in enumerate(("ann", "bad", "cyd")):
        engine.accept([Arrival("test", f"m{number}", (("user_id", who),), Learned({"who": who}))])
    segment = {"kind": "segment", "name": "all", "condition": {"contact": "who", "is_present": True}}
    entry = {"type": "segment", "segment": "all"}
    steps = {"w": {"type": "wait", "for": "1d"}}
    mail = email("mail", purpose="transactional")
    go = {**journey({"s": send("mail")}), "name": "k"}
    engine.publish([mail, go])
    learned = Learned({"email": "ann@parcours.dev"}, {"email": "ann@parcours.dev"})
    engine.accept([Arrival("test", "e", (("user_id", "ann"),), learned)])
    engine.accept([happened(9)])
    engine.publish([segment, {"kind": "journey", "name": "j", "entry": entry, "start": "w", "steps": steps}])
    question = engine.plan.newest["j"].segment
    real = question.ask

    def ask(contact: Contact, *rest: object) -> bool:
        if contact.attributes.get("who") == "bad":
            raise KeyError("a defect of ours")
        return real(contact, *rest)

    msgspec.structs.force_setattr(question, "ask", ask)
    (message,) = behind.pending("email")
    while engine.read([Settlement(message.sequence, "sent", 1)]):
        pass
    entered = {contact.attributes["who"] for contact in behind.scan() if contact.runs.get("j")}
    assert entered == {"ann", "cyd"}
    assert behind.pending("email") == []


def test_who_became_part_of_another_is_no_member():
    engine = Engine(MemoryStore(), VirtualClock(START))
    engine.accept([Arrival("test", "1", (("anonymous_id", "x"),), Happened("Go", {}))])
    engine.accept([Arrival("test", "2", (("user_id", "ann"),), Happened("Go", {}))])
    engine.accept([Arrival("test", "3", (("user_id", "ann"), ("anonymous_id", "x")), Learned())])
    segment = {"kind": "segment", "name": "all", "condition": {"contact": "city", "is_missing": True}}
    entry = {"type": "segment", "segment": "all"}
    steps = {"w": {"type": "wait", "for": "1d"}}
    engine.publish([segment, {"kind": "journey", "name": "j", "entry": entry, "start": "w", "steps": steps}])
    while engine.read():
        pass
    assert sum(count for place, count in engine.store.statistics().items() if place[3] == "entered") == 1


def test_a_timer_that_is_put_off_again_and_again_is_remembered_once():
    engine = Engine(MemoryStore(), VirtualClock(START))
    events = [{"type": "interaction", "interaction": "Go"}]
    steps = {"w": {"type": "wait_for", "events": events, "timeout": {"after": "28d"}}}
    entry = {"type": "interaction", "interaction": "Go"}
    definition = {"kind": "journey", "name": "j", "re_entry": "after_end", "entry": entry, "start": "w", "steps": steps}
    engine.publish([definition])
    clock = engine.clock
    for number in range(500):
        clock.set(START + number * 60_000)
        engine.accept([happened(number)])
    assert len(engine._reminders) == 1
    clock.set(START + 499 * 60_000 + 28 * 86_400_000 - 1)
    while engine.tick():
        pass
    assert all(contact.runs for contact in engine.store.scan())
    clock.set(START + 499 * 60_000 + 28 * 86_400_000)
    while engine.tick():
        pass
    assert not any(contact.runs for contact in engine.store.scan())


def test_a_commit_between_forgetting_and_catching_up_loses_no_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sqlite, "SLICE", 200)
    monkeypatch.setattr(sqlite, "SMALL_BATCH", 8)
    store = SqliteStore(tmp_path / "parcours.db")
    engine = Engine(store, VirtualClock(START))
    for turn in range(10):
        engine.accept([happened(1_000 * turn + number, f"user-{number}") for number in range(100)])
    store.forget()
    store.commit(Changes(marks={"something": "else"}))
    assert isinstance(engine.accept([happened(-1, "user-1")])[0], Accepted)
    store.close()
    store = SqliteStore(tmp_path / "parcours.db")
    Engine(store, VirtualClock(START))
    assert len(store.scan()) == 100
    store.close()


def waiting(name: str, then: dict) -> dict:
    steps = {"w": {"type": "wait", "for": "1h", "next": "then"}, "then": then}
    return {
        "kind": "journey",
        "name": name.lower(),
        "entry": {"type": "interaction", "interaction": name},
        "start": "w",
        "steps": steps,
    }


def test_what_a_timer_did_beside_others_that_were_logged_survives_a_kill(behind: SqliteStore, tmp_path: Path):
    """Ann's timer writes nothing into the log, Bob's of the same tick does: her state must not wait for the log."""
    clock = VirtualClock(START)
    engine = Engine(behind, clock)
    engine.publish([waiting("Go", {"type": "end"}), waiting("Come", {"type": "record", "interaction": "Noted"})])
    engine.accept([happened(0, "ann"), happened(1, "bob", "Come")])
    clock.set(START + 3_600_000)
    engine.tick()
    done = dict(behind.statistics())
    copy_store(behind, tmp_path / "killed.db")
    store = SqliteStore(tmp_path / "killed.db")
    again = Engine(store, clock)
    again.tick()
    assert dict(store.statistics()) == done
    assert not any(contact.runs for contact in store.scan())
    store.close()


def test_a_name_that_a_step_told_first_is_spelled_alike_in_any_batches():
    world = World(journey({"r": {"type": "record", "interaction": "Seen"}}))
    together = World(journey({"r": {"type": "record", "interaction": "Seen"}}))
    for arrival in (happened(1), happened(2, name="SEEN")):
        world.send(arrival)
    together.send(happened(1), happened(2, name="SEEN"))
    assert [record.body for record in world.store.log()] == [record.body for record in together.store.log()]
