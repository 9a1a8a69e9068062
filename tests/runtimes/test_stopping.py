"""What is pending of a journey that is stopped: cancelled, told once, and never left waiting."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from parcours.core.effects import What
from parcours.core.inputs import Reaction
from parcours.errors import TemporaryFailureError
from parcours.runtimes.clocks import SystemClock
from parcours.runtimes.engine import Engine, folding
from parcours.stores.memory import MemoryStore
from parcours.stores.sqlite import SqliteStore
from parcours.testing.faults import copy_store
from tests.core.world import journey
from tests.runtimes.test_outbox import BOUNCED, Provider, Start, goes, start, states
from tests.runtimes.waiting import until

__all__ = ["start"]


async def test_what_is_pending_of_a_stopped_journey_is_cancelled_and_what_is_in_hand_is_not_tried_again(start: Start):
    mail, ping = Provider(), Provider()
    ping.gate.clear()
    mail.always = TemporaryFailureError("later")
    host = await start(MemoryStore(), email=mail, push=ping)
    await goes(host, "ann", "bob")
    await until(lambda: mail.tried and ping.under_way == 2)
    ping.failures = [TemporaryFailureError("later")]
    errors, _ = await host.publish([journey(BOUNCED, state="stopped")])
    assert errors == []
    await until(lambda: states(host.store).get("cancelled") == 2)
    ping.gate.set()
    await until(lambda: states(host.store, "push") == {"sent": 1, "cancelled": 1})
    tried = len(mail.tried)
    await asyncio.sleep(0.05)
    assert len(mail.tried) == tried
    assert len(ping.tried) == 2
    assert sum(count for place, count in host.store.statistics().items() if place[3] == What.CANCELLED) == 2


async def test_a_cancelling_that_was_cut_off_goes_on_at_the_next_start(start: Start, tmp_path: Path):
    store = SqliteStore(tmp_path / "s.db")
    host = await start(store)
    await goes(host, "ann", "bob")
    engine = host.engine
    assert engine.publish([journey(BOUNCED, state="stopped")])[0] == []
    await host.close()
    again = Engine(SqliteStore(tmp_path / "s.db"), SystemClock())
    while again.read():
        pass
    assert states(again.store) == states(again.store, "push") == {"cancelled": 2}
    assert "cancelling" not in again.store.marks()
    again.store.close()


async def test_what_was_in_hand_of_a_stopped_journey_as_the_service_was_killed_is_cancelled(
    start: Start, tmp_path: Path
):
    ping = Provider()
    ping.gate.clear()
    path = tmp_path / "s.db"
    host = await start(SqliteStore(path), push=ping)
    await goes(host, "ann")
    await until(lambda: ping.under_way == 1)
    assert (await host.publish([journey(BOUNCED, state="stopped")]))[0] == []
    await until(lambda: states(host.store).get("cancelled") == 1 and not host.engine.reading)
    copy_store(host.store, tmp_path / "killed.db")
    store = SqliteStore(tmp_path / "killed.db")
    again = await start(store, push=Provider())
    await until(lambda: states(store, "push") == {"cancelled": 1})
    await until(lambda: not again.engine.reading)


async def test_nothing_is_told_of_who_is_erased_while_messages_are_cancelled(start: Start):
    host = await start(MemoryStore())
    await goes(host, "ann", "bob")
    await host.close()
    engine = host.engine
    assert engine.publish([journey(BOUNCED, state="stopped")])[0] == []
    while not (engine._cancelling is not None and engine._cancelling.found):
        engine.read()
    ann = engine.store.resolve([("user_id", "ann")])["user_id", "ann"]
    engine.erase(ann)
    before = len(engine.store.history(ann, 100))
    while engine.read():
        pass
    assert len(engine.store.history(ann, 100)) == before
    assert states(engine.store).get("pending", 0) == 0


async def test_one_whose_message_cannot_be_cancelled_holds_up_nobody(start: Start, monkeypatch: pytest.MonkeyPatch):
    host = await start(MemoryStore())
    await goes(host, "ann", "bad", "cyd")
    await host.close()
    engine = host.engine
    assert engine.publish([journey(BOUNCED, state="stopped")])[0] == []
    real = folding.fold

    def fold(plan: object, contact: Any, item: Any) -> object:
        if contact.attributes.get("email") == "bad@parcours.dev" and type(item) is Reaction:
            raise KeyError("a defect of ours")
        return real(plan, contact, item)

    monkeypatch.setattr(folding, "fold", fold)
    while engine.read():
        pass
    assert states(engine.store) == states(engine.store, "push") == {"cancelled": 3}
    assert sum(count for place, count in engine.store.statistics().items() if place[3] == What.CANCELLED) == 4
