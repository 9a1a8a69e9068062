"""Erasure, retention, history that triggers nothing, lists and catalogues: from the engine to the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from parcours.core.contact import Contact
from parcours.core.gate import Arrival, Happened, Learned, Reacted
from parcours.core.inputs import Erase, Erased, Interaction, Stock
from parcours.errors import StoreError
from parcours.runtimes.clocks import VirtualClock
from parcours.runtimes.engine import Accepted, Duplicate, Engine, Refused
from parcours.stores.sqlite import SqliteStore
from parcours.testing.snapshot import EVERYTHING, replay, snapshot
from tests.core.world import END, START, World, email, journey, ms, send, wait

GREET = journey({"greet": send("hi", next="rest"), "rest": wait("1d", next="end"), "end": END})


@pytest.fixture(params=["memory", "sqlite"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    store = SqliteStore(tmp_path / "p.db") if request.param == "sqlite" else None
    world = World(GREET, email("hi"), store=store)
    yield world
    world.store.close()


def refused(world: World, arrival: Arrival) -> str:
    (outcome,) = world.send(arrival)
    assert isinstance(outcome, Refused), outcome
    return outcome.problem.code


def test_an_erased_contact_is_gone_with_its_runs_messages_and_identities(world: World):
    world.knows("ann", city="Atlanta")
    world.knows("bob")
    world.did("ann", "Go")
    world.did("bob", "Go")
    id_ = world.id_of("ann")
    assert world.run.engine.erase(id_) == [id_]
    assert world.store.resolve([("user_id", "ann")]) == {}
    contact = world.store.contacts([id_])[id_]
    assert (contact.attributes, contact.runs, contact.timers, contact.identities) == ({}, {}, [], [])
    assert contact.erased_at == START
    assert [type(record.input()) for record in world.store.history(id_)] == [Erase, Erased, Erased]
    assert world.store.trace(id_) == []
    assert [message.contact for message in world.run.messages()] == [world.id_of("bob")]
    counted = {(what, reason): count for (_, _, _, what, reason), count in world.store.statistics().items()}
    assert counted["entered", ""] == 2
    assert counted["ended", "erased"] == 1
    world.after("2d")  # nothing fires for who is gone
    assert counted["ended", "erased"] == 1
    with pytest.raises(KeyError):
        world.run.engine.erase(id_)
    with pytest.raises(KeyError):
        world.run.engine.erase("0" * 15)


def test_what_occurred_before_the_erasure_is_not_taken_again_and_what_comes_after_is_a_new_contact(world: World):
    world.knows("ann")
    first = world.arrival("ann", Happened("Go", {"n": 1}), id_="go-1")
    world.accept(first)
    old = world.id_of("ann")
    world.run.engine.erase(old)
    assert [type(outcome) for outcome in world.send(first)] == [Duplicate]
    world.after("1h")
    assert refused(world, world.arrival("ann", Happened("Go", {}), ago="2h")) == "erased"
    assert refused(world, world.arrival("ann", Learned({"city": "Atlanta"}), ago="1h")) == "erased"
    world.did("ann", "Go")
    new = world.id_of("ann")
    assert new != old
    assert len(world.store.history(new)) == 1
    assert [type(record.input()) for record in world.store.history(old)] == [Erase, Erased, Erased]


def test_under_a_suppressed_identity_nothing_is_taken_any_more(world: World):
    world.did("ann", "Go")
    world.run.engine.erase(world.id_of("ann"), suppress=True)
    world.after("1h")
    assert refused(world, world.arrival("ann", Happened("Go", {}))) == "erased"
    known = Arrival("test", "x", (("user_id", "bob"), ("anonymous_id", "b")), Happened("Go", {}))
    world.accept(known)
    both = Arrival("test", "y", (("user_id", "bob"), ("user_id", "ann")), Learned({"a": 1}))
    assert refused(world, both) == "erased"


def test_everyone_who_became_part_of_a_contact_is_erased_with_it(world: World):
    anonymous = (("anonymous_id", "device"),)
    world.accept(Arrival("test", "1", anonymous, Happened("Go", {"secret": "of the device"})))
    part = world.store.resolve(anonymous)[anonymous[0]]
    world.accept(Arrival("test", "2", (("user_id", "ann"), *anonymous), Learned({"name": "Ann"})))
    whole = world.id_of("ann")
    message = world.run.messages()
    assert set(world.run.engine.erase(part)) == {part, whole}
    for id_ in (part, whole):
        kinds = {type(record.input()) for record in world.store.history(id_)}
        assert kinds == {Erase, Erased}
    assert not message or refused(world, Arrival("test", "3", (), Reacted("opened", message[0].id)))
    assert world.store.resolve([*anonymous, ("user_id", "ann")]) == {}


def test_an_erasure_survives_a_replay_and_a_restart(tmp_path: Path):
    store = SqliteStore(tmp_path / "p.db")
    world = World(GREET, email("hi"), store=store)
    world.knows("ann", city="Unmistakable")
    world.did("ann", "Go", note="Unmistakable too")
    world.knows("bob")
    world.did("bob", "Go")
    id_ = world.id_of("ann")
    world.run.engine.erase(id_)
    live = snapshot(store)
    again = snapshot(replay(live.records, world.now))
    assert again.contacts == live.contacts
    assert again.identities == live.identities
    assert again.messages == live.messages
    store.close()
    for file in tmp_path.iterdir():
        assert b"Unmistakable" not in file.read_bytes(), file
        assert b"ann@parcours.dev" not in file.read_bytes(), file
    store = SqliteStore(tmp_path / "p.db")
    engine = Engine(store, VirtualClock(world.now))
    assert snapshot(store) == live
    refused_again = engine.accept([Arrival("test", "z", (("user_id", "ann"),), Happened("Go", {}), START)])
    assert isinstance(refused_again[0], Refused)
    values = engine.learner.knowledge("")
    assert values is not None
    assert "Unmistakable" not in str(values)
    store.close()


def test_reactions_to_messages_of_an_erased_contact_are_refused(world: World):
    world.knows("ann")
    world.did("ann", "Go")
    (message,) = world.messages("ann")
    id_ = world.id_of("ann")
    world.run.engine.erase(id_)
    reaction = Reacted("unsubscribed", message.id, {"channel": "email", "ip": "203.0.113.7"})
    assert refused(world, Arrival("test", "late", (), reaction)) == "unknown_message"
    contact = world.store.contacts([id_])[id_]
    assert contact == Contact(id_, contact.time, erased_at=START)
    assert len(world.store.history(id_)) == 3


def test_timers_that_fire_with_an_input_stand_before_it_in_the_timeline(world: World):
    world.knows("ann")
    world.did("ann", "Go")
    world.run.clock.set(world.now + ms("2d"))
    world.run.engine.accept([world.arrival("ann", Happened("Go", {}))])  # without a tick before
    newest, fired, _, _ = world.store.timeline(world.id_of("ann"))
    assert (newest.record is None, fired.record is None) == (False, True)
    at = [entry.at for _, entries in reversed(world.store.trace(world.id_of("ann"))) for entry in entries]
    assert at == sorted(at)


def test_interactions_are_blanked_when_their_time_is_over():
    world = World({"kind": "interaction", "name": "Seen", "retention": "7d"}, {"kind": "interaction", "name": "Kept"})
    world.did("ann", "Seen", secret=1)
    world.did("ann", "Kept", n=1)
    world.after("3d")
    world.did("ann", "Seen", secret=2)
    engine = world.run.engine

    def kinds() -> list[type]:
        return [type(record.input()) for record in reversed(world.store.history(world.id_of("ann")))]

    while engine.expire():
        pass
    assert kinds() == [Interaction, Interaction, Interaction]
    world.after("4d+1s".replace("+1s", ""))
    world.after("1s")
    while engine.expire():
        pass
    assert kinds() == [Erased, Interaction, Interaction]
    world.after("30d")
    while engine.expire():
        pass
    assert kinds() == [Erased, Interaction, Erased]
    again = replay(world.store.log(limit=EVERYTHING), world.now)
    assert snapshot(again).contacts == snapshot(world.store).contacts


def test_history_counts_and_triggers_nothing():
    often = {"kind": "segment", "name": "often", "condition": {"did": "Go", "times": {"at_least": 2}, "within": "90d"}}
    world = World(often, GREET, email("hi"))
    world.knows("ann")
    for day in ("3d", "2d", "1h"):
        arrival = world.arrival("ann", Happened("Go", {}), ago=day)
        arrival.backfill = True
        world.accept(arrival)
    assert world.runs("ann") == []
    assert world.messages("ann") == []
    test = world.run.engine.plan.segments["often"]
    assert sum(len(times) for times in world.contact("ann").counters.values()) == 3
    assert test is not None
    world.did("ann", "Go")
    assert len(world.messages("ann")) == 1


def test_lists_are_joined_and_left_by_what_was_said_last():
    world = World({"kind": "list", "name": "vip"})
    world.accept(world.arrival("ann", Learned(lists={"vip": True})))
    assert world.contact("ann").lists["vip"].member
    world.after("1h")
    world.accept(world.arrival("ann", Learned(lists={"vip": False}), ago="2h"))
    assert world.contact("ann").lists["vip"].member
    world.accept(world.arrival("ann", Learned(lists={"vip": False})))
    assert not world.contact("ann").lists["vip"].member
    assert refused(world, world.arrival("ann", Learned(lists={"vup": True}))) == "unknown_list"


def test_lists_of_an_absorbed_contact_are_the_survivors():
    world = World({"kind": "list", "name": "vip"}, {"kind": "list", "name": "news"})
    device = (("anonymous_id", "d"),)
    world.accept(world.arrival("ann", Learned(lists={"news": True})))
    world.after("1h")
    world.accept(Arrival("test", "1", device, Learned(lists={"vip": True, "news": False})))
    world.accept(Arrival("test", "2", (("user_id", "ann"), *device), Learned({"a": 1})))
    lists = world.contact("ann").lists
    assert {name: membership.member for name, membership in lists.items()} == {"vip": True, "news": False}


def test_unknown_interactions_are_refused_where_the_workspace_is_strict():
    world = World({"kind": "interaction", "name": "Order Completed"})
    world.did("ann", "Something Else")
    arrival = world.arrival("ann", Happened("Never Seen", {}))
    arrival.known_only = True
    assert refused(world, arrival) == "unknown_interaction"
    learned = world.arrival("ann", Happened("something else", {}))
    learned.known_only = True
    world.accept(learned)
    world.publish({"kind": "workspace", "strict": True})
    assert refused(world, world.arrival("ann", Happened("Something Else", {}))) == "unknown_interaction"
    world.did("ann", "order completed")


def test_declared_attributes_of_contacts_are_checked():
    declared = {"attributes": {"age": {"type": "number"}, "born": {"type": "datetime"}}, "strict": True}
    world = World({"kind": "workspace", "contacts": declared})
    world.accept(world.arrival("ann", Learned({"age": 30, "born": "1990-02-28T00:00:00Z"})))
    world.accept(world.arrival("ann", Learned({"age": None})))
    (outcome,) = world.send(world.arrival("ann", Learned({"age": "thirty"})))
    assert isinstance(outcome, Refused)
    assert (outcome.problem.code, outcome.problem.pointer) == ("wrong_type", "/traits/age")
    assert refused(world, world.arrival("ann", Learned({"agee": 30}))) == "undeclared_attribute"


def test_the_first_spelling_of_a_learned_interaction_is_kept_and_survives_a_restart(tmp_path: Path):
    store = SqliteStore(tmp_path / "p.db")
    world = World(store=store)
    world.accept(
        world.arrival("ann", Happened(" Store_Visit ", {"n": 1})), world.arrival("ann", Happened("STORE_VISIT", {}))
    )
    world.did("ann", "store_visit")
    spellings = [record.input().spelling for record in store.log()]  # type: ignore[union-attr]
    assert spellings == ["Store_Visit", "", ""]
    for _ in range(2):
        engine = Engine(store, VirtualClock(world.now))
        known = engine.learner.knowledge("store_visit")
        assert known is not None
        assert (known.spelling, known.count) == ("Store_Visit", 3)
        engine.flush()


def test_a_catalogue_takes_items_and_says_what_is_wrong_with_others(tmp_path: Path):
    shoes = {"kind": "catalogue", "name": "shoes", "attributes": {"price": {"type": "number", "required": True}}}
    store = SqliteStore(tmp_path / "p.db")
    world = World(shoes, store=store)
    engine = world.run.engine
    problems = engine.stock("shoes", {"a": {"price": 1}, "b": {"price": "1"}, "c": {}, "d": {"price": 2, "x": 2**70}})
    assert [problem.code if problem else None for problem in problems] == [
        None,
        "wrong_type",
        "missing_attribute",
        "unstorable_value",
    ]
    assert store.scan_items("shoes") == [("a", {"price": 1})]
    assert engine.stock("shoes", {"a": None, "e": {"price": 3}}) == [None, None]
    assert store.scan_items("shoes") == [("e", {"price": 3})]
    (problem,) = engine.stock("shoos", {"a": {}})
    assert problem is not None
    assert problem.code == "unknown_catalogue"
    assert "shoes" in problem.hint
    assert type(store.log()[-1].input()) is Stock
    again = replay(store.log(), world.now)
    assert again.scan_items("shoes") == store.scan_items("shoes")
    assert [item.definitions[0]["name"] for item in store.publications()] == ["shoes"]
    world.did("ann", "x")
    assert isinstance(engine.accept([world.arrival("ann", Happened("y", {}))])[0], Accepted)
    store.close()


def test_the_time_a_run_has_left_is_not_counted_for_the_erased():
    world = World(GREET, email("hi"))
    world.did("ann", "Go")
    id_ = world.id_of("ann")
    world.run.engine.erase(id_)
    world.run.advance(world.now + ms("100d"))
    assert world.store.due_times is not None
    assert list(world.store.due_times()) == []


def test_what_was_before_stays_refused_when_the_person_is_back(world: World):
    world.did("ann", "Go")
    world.run.engine.erase(world.id_of("ann"))
    world.after("1h")
    new, old = world.arrival("ann", Happened("Go", {})), world.arrival("ann", Learned({"city": "Paris"}), ago="2h")
    outcomes = world.send(new, old)
    assert [type(outcome) for outcome in outcomes] == [Accepted, Refused]
    assert refused(world, world.arrival("ann", Learned({"city": "Paris"}), ago="2h")) == "erased"
    assert world.contact("ann").attributes == {}


def test_numbers_of_erased_messages_are_not_given_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("parcours.stores.sqlite.SMALL_BATCH", 0)
    store = SqliteStore(tmp_path / "p.db")
    world = World(GREET, email("hi", purpose="transactional"), store=store)
    world.knows("ann")
    for _ in range(5):
        world.did("ann", "Go")
    world.run.engine.erase(world.id_of("ann"))
    store.close()
    store = SqliteStore(tmp_path / "p.db")
    world.run.engine = Engine(store, world.run.clock)
    world.run.store = store
    world.knows("bob")
    for _ in range(3):
        world.did("bob", "Go")
    id_ = world.id_of("bob")
    store._db.close()  # as a kill leaves it
    store._lock.close()
    store = SqliteStore(tmp_path / "p.db")
    engine = Engine(store, VirtualClock(world.now))
    assert [item.state for item in store.posted(id_)] == ["pending"] * 3
    engine.erase(id_)
    assert store.pending("email") == []
    store.close()


def test_no_erasure_leaves_what_was_rewritten_before_it(tmp_path: Path):
    store = SqliteStore(tmp_path / "p.db")
    world = World(GREET, email("hi"), store=store)
    world.knows("bob", city="x")
    world.run.engine.erase(world.id_of("bob"))
    for number in range(60):
        for round_ in range(3):
            world.knows(f"p{number}", secret=f"Unmistakable {number}", more="x" * 40 * round_)
    for number in range(60):
        world.run.engine.erase(world.id_of(f"p{number}"))
    store.close()
    for file in tmp_path.iterdir():
        assert b"Unmistakable" not in file.read_bytes(), file


def broken_once(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = store.write

    def write(changes: Any) -> None:
        monkeypatch.setattr(store, "write", real)
        raise StoreError("disk full")

    monkeypatch.setattr(store, "write", write)


def test_an_erasure_that_failed_took_nothing_back(world: World, monkeypatch: pytest.MonkeyPatch):
    for who in ("ann", "bob"):
        for _ in range(3):
            world.did(who, "Buy", kind="shoes")
    engine = world.run.engine
    broken_once(world.store, monkeypatch)
    with pytest.raises(StoreError):
        engine.erase(world.id_of("ann"))
    broken_once(world.store, monkeypatch)
    with pytest.raises(StoreError):
        engine.erase(world.id_of("ann"))
    assert values(engine) == {"shoes": 6}
    engine.erase(world.id_of("ann"))
    assert values(engine) == {"shoes": 3}


def values(engine: Engine) -> dict[Any, int]:
    known = engine.learner.knowledge("buy")
    assert known is not None
    return dict(known.attributes["kind"].values)


def test_what_retention_forgets_stays_forgotten_after_a_restart(tmp_path: Path):
    store = SqliteStore(tmp_path / "p.db")
    world = World({"kind": "interaction", "name": "Buy", "retention": "1d"}, store=store)
    for _ in range(3):
        world.did("ann", "Buy", kind="secret")
    world.run.engine.flush()
    world.after("2d")
    while world.run.engine.expire():
        pass
    assert values(world.run.engine) == {}
    store.close()
    store = SqliteStore(tmp_path / "p.db")
    assert values(Engine(store, VirtualClock(world.now))) == {}
    store.close()


def test_knowledge_of_a_batch_that_failed_is_kept_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("parcours.runtimes.engine.Engine.LEARNED_BEHIND", 1)
    store = SqliteStore(tmp_path / "p.db")
    world = World(store=store)
    for _ in range(3):
        world.did("ann", "Buy", kind="shoes")
    broken_once(store, monkeypatch)
    with pytest.raises(StoreError):
        world.send(world.arrival("ann", Happened("Buy", {})))
    world.did("ann", "Other")
    world.did("ann", "Other")
    store.close()
    store = SqliteStore(tmp_path / "p.db")
    known = Engine(store, VirtualClock(world.now)).learner.knowledge("buy")
    assert known is not None
    assert known.count == 3
    store.close()


def test_two_people_on_one_device_stay_two(world: World):
    kiosk = ("anonymous_id", "kiosk")
    for number, (who, name) in enumerate([("a", "Anna"), ("b", "Bert")]):
        world.accept(Arrival("test", f"k{number}", (("user_id", who), kiosk), Learned({"first_name": name})))
    world.accept(Arrival("test", "k2", (("user_id", "c"), kiosk), Happened("Go", {})))
    assert len({world.id_of(who) for who in "abc"}) == 3
    assert world.contact("a").attributes == {"first_name": "Anna"}
    alias = Learned(same=True)
    world.accept(Arrival("test", "k3", (("user_id", "d"), ("user_id", "a")), alias))
    assert world.id_of("d") == world.id_of("a")
