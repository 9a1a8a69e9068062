"""The engine where time, plan and store meet: what a replay of the log must be able to tell from the log alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from parcours.core.gate import Arrival, Happened, Learned
from parcours.runtimes.clocks import InputsClock, SystemClock, VirtualClock, wall_time
from parcours.runtimes.engine import Accepted, Engine, Refused
from parcours.stores.memory import MemoryStore
from parcours.stores.sqlite import SqliteStore
from parcours.testing.snapshot import EVERYTHING, replay, snapshot
from tests.core.world import START, email, journey, ms, send, wait

MAIL = email("mail", purpose="transactional")
LATER = journey({"w": wait("1h", next="s"), "s": send("mail")})


class RunningClock(VirtualClock):
    """A clock that goes on by a millisecond each time somebody looks."""

    def now(self) -> int:
        now = super().now()
        self.set(now + 1)
        return now


def goes(id_: str, who: str = "ann", name: str = "Go", at: int | None = None) -> Arrival:
    return Arrival("test", id_, (("user_id", who),), Happened(name, {}), at)


def known(who: str = "ann") -> Arrival:
    return Arrival("test", f"known-{who}", (("user_id", who),), Learned({"email": "a@b.dev"}, {"email": "a@b.dev"}))


@pytest.mark.parametrize("early", range(-3, 4))
def test_what_is_due_when_something_is_published_is_due_in_a_replay_too(early: int):
    """A clock that goes on while the engine publishes must not let a timer fall between the two plans."""
    clock, store = RunningClock(START), MemoryStore()
    engine = Engine(store, clock)
    engine.publish([MAIL, LATER])
    engine.accept([known(), goes("a")])
    (contact,) = store.scan()
    assert contact.next_due is not None
    clock.set(contact.next_due - early)
    errors, _ = engine.publish([{**MAIL, "content": {"subject": "new", "text": "t"}}])
    assert errors == []
    clock.set(contact.next_due + 10)
    while engine.tick():
        pass
    clean = replay(store.log(limit=EVERYTHING), clock.now())
    assert [item.message.version for item in store.pending("email")] == [
        item.message.version for item in clean.pending("email")
    ]
    assert snapshot(store).contacts == snapshot(clean).contacts


def test_received_times_never_go_back_although_the_machines_clock_does(monkeypatch: pytest.MonkeyPatch):
    times = iter([START + 5_000, START + 3_000, START, START + 6_000] + [START + 7_000] * 50)
    monkeypatch.setattr("parcours.runtimes.clocks.wall_time", lambda: next(times))
    store = MemoryStore()
    engine = Engine(store, SystemClock())
    for number in range(4):
        engine.accept([goes(f"m{number}")])
    received = [record.input().received_at for record in store.log()]
    assert received == sorted(received)


def test_a_restart_does_not_go_back_behind_the_log(tmp_path: Path):
    """The machine's clock was ahead, was put right, and the service was started again in between."""
    ahead = wall_time() + 3_600_000
    store = SqliteStore(tmp_path / "store.db")
    Engine(store, VirtualClock(ahead)).accept([goes("a")])
    store.close()
    store = SqliteStore(tmp_path / "store.db")
    engine = Engine(store, SystemClock(store.last_received_at()))
    engine.accept([goes("b")])
    assert [record.input().received_at for record in store.log()] == [ahead, ahead]
    store.close()


def test_a_clock_that_follows_inputs_goes_with_them_and_never_back():
    store = MemoryStore()
    engine = Engine(store, InputsClock(START))
    engine.publish([MAIL, LATER])
    arrivals = [known(), goes("a", at=START + 1_000), goes("b", "bob", "Seen", START + ms("1h") + 1_000)]
    engine.accept([*arrivals, goes("c", "cyd", at=START + 2_000)])
    assert [record.input().received_at - START for record in store.log(after=1)] == [0, 1_000, 3_601_000, 3_601_000]
    while engine.tick():
        pass
    (item,) = store.pending("email")
    assert item.message.decided_at == START + ms("1h") + 1_000


def test_a_clock_that_follows_inputs_is_not_carried_into_the_far_future():
    store = MemoryStore()
    engine = Engine(store, InputsClock(START))
    (outcome,) = engine.accept([goes("a", at=wall_time() + ms("25h"))])
    assert isinstance(outcome, Refused)
    assert engine.clock.now() == START


def test_settlements_alone_are_kept(tmp_path: Path):
    from parcours.ports import Settlement

    store = SqliteStore(tmp_path / "store.db")
    engine = Engine(store, VirtualClock(START))
    engine.publish([MAIL, journey({"s": send("mail")})])
    engine.accept([known(), goes("a")])
    (item,) = store.pending("email")
    assert engine.accept([], [Settlement(item.sequence, "sent", 1)]) == []
    assert store.pending("email") == []
    store.close()


def test_a_batch_that_names_one_new_person_many_times_makes_one_contact():
    store = MemoryStore()
    engine = Engine(store, VirtualClock(START))
    outcomes = engine.accept([goes(f"m{number}", "new") for number in range(10)])
    assert len({outcome.contact for outcome in outcomes if isinstance(outcome, Accepted)}) == 1
    assert store.counts()["contacts"] == 1
