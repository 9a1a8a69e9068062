"""A service that is killed again and again loses nothing it has acknowledged and does nothing twice.

A child process serves real HTTP on a real data folder; a push provider (in this process, another for each life of the
child) counts what it is handed. The child is killed with SIGKILL at moments drawn from a seed: in the middle of ingest,
with requests on their way, states written behind and messages half sent, and also while it starts. Clients then send
again what was not acknowledged, as SDKs do. At the end the data folder is read, and compared with a clean replay of its
log.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from parcours.core.effects import What
from parcours.ports import Store
from parcours.runtimes.clocks import SystemClock
from parcours.runtimes.engine import Engine
from parcours.stores.sqlite import SqliteStore
from parcours.testing.receivers import PushReceiver
from parcours.testing.snapshot import EVERYTHING, Snapshot, replay, snapshot
from tests.core.invariants import OF_A_CONTACT, the_log_has_no_gap_and_no_key_twice_and_goes_forward
from tests.core.world import journey, push, send, wait, wait_for
from tests.crash.killing import until_killed
from tests.service import Service, basic

# Thirty starts take a minute and a half on a busy machine. Nothing here depends on how fast it is.
pytestmark = [pytest.mark.crash, pytest.mark.timeout(600)]

KILLS = 32
CLIENTS = 6
PEOPLE = 400
SEED = 20_260_302
PATIENCE = 240.0
"""Seconds after which what is left to be done should be done on any machine."""

DEFINITIONS = [
    *(push(name, purpose="transactional") for name in ("ping", "later", "thanks", "nudge")),
    # One push an interaction at once, another after a wait: twice as many messages as taps, whatever happens.
    journey(
        {"ping": send("ping", next="w"), "w": wait("150ms", next="later"), "later": send("later")},
        on="Tapped",
        name="taps",
    ),
    # Some are answered in time, some run out of time: exactly one of two messages each.
    journey(
        {
            "listen": wait_for(
                {"type": "interaction", "interaction": "Answered", "key": "order", "next": "thanks"},
                after="2s",
                late="nudge",
            ),
            "thanks": send("thanks"),
            "nudge": send("nudge"),
        },
        on="Asked",
        name="asks",
        entry={"key": "order"},
    ),
]


class Client:
    """Sends batches one after the other, and each again until it is acknowledged."""

    def __init__(self, number: int, chance: random.Random) -> None:
        self.acknowledged: set[str] = set()
        self.sent: dict[str, str] = {}
        """Message id to the name of the interaction."""
        self._number = number
        self._chance = chance
        self._count = 0
        self._waiting: list[dict[str, Any]] = []

    def _batch(self) -> list[dict[str, Any]]:
        """Most batches are small, as an SDK's are; some concern more contacts than a store writes at once."""
        size = self._chance.choice([1, 1, 2, 5, 20, 100])
        return [self._message() for _ in range(size)]

    def _message(self) -> dict[str, Any]:
        self._count += 1
        id_ = f"{self._number}-{self._count}"
        who = f"p{self._chance.randrange(PEOPLE)}"
        event = self._chance.choice(["Tapped", "Tapped", "Asked", "Answered", "Looked"])
        order = f"{self._number}-{self._chance.randrange(200)}"
        self.sent[id_] = event
        return {
            "type": "track", "event": event, "userId": who, "messageId": id_, "properties": {"order": order},
        }  # fmt: skip

    async def step(self, session: aiohttp.ClientSession, url: str, *, more: bool = True) -> int:
        """Send one batch and return how many messages were acknowledged with it.

        Raises:
            aiohttp.ClientError: There is nobody there any more.
        """
        if not self._waiting and more:
            self._waiting = self._batch()
        if not self._waiting:
            return 0
        async with session.post(f"{url}/v1/batch", json={"batch": self._waiting}) as answer:
            text = await answer.text()
            assert answer.status == 200, text
        done, self._waiting = self._waiting, []
        self.acknowledged.update(message["messageId"] for message in done)
        return len(done)

    @property
    def waits(self) -> bool:
        return bool(self._waiting)


async def known(session: aiohttp.ClientSession, url: str) -> None:
    """Tell the service of everybody, so that they can be reached."""
    people = [
        {"type": "identify", "userId": f"p{number}", "messageId": f"i{number}", "traits": {"push_token": f"t{number}"}}
        for number in range(PEOPLE)
    ]
    async with session.post(f"{url}/v1/batch", json={"batch": people}) as answer:
        assert answer.status == 200


async def ingest_until_killed(service: Service, clients: list[Client], chance: random.Random) -> None:
    """Let all clients send, and kill the service after so many acknowledgements and a moment."""
    enough = chance.randrange(1, 600)
    moment = chance.random() * 0.03
    async with aiohttp.ClientSession(headers=basic("wk_test")) as session:
        asking = [partial(client.step, session, service.url) for client in clients]
        await until_killed(service, asking, enough, moment)


async def finish(service: Service, clients: list[Client]) -> None:
    """Send what was not acknowledged, and wait until nothing is left to be done."""
    async with aiohttp.ClientSession(headers=basic("wk_test")) as session:
        for client in clients:
            while client.waits:
                await client.step(session, service.url, more=False)
    deadline = time.monotonic() + PATIENCE
    while True:
        report = await asyncio.to_thread(service.report)
        counts: Counter[str] = Counter()
        for row in report["statistics"]:
            counts[row["what"]] += row["count"]
        states = {row["state"] for row in report["outbox"] if row["count"]}
        if counts[What.ENTERED] == counts[What.ENDED] and states == {"sent"} and not report["queued"]:
            return
        assert time.monotonic() < deadline, report
        await asyncio.sleep(0.05)


async def test_nothing_acknowledged_is_lost_and_nothing_is_done_twice(tmp_path: Path):
    chance = random.Random(SEED)
    clients = [Client(number, random.Random(SEED + number)) for number in range(CLIENTS)]
    data = tmp_path / "data"
    providers: list[PushReceiver] = []
    async with contextlib.AsyncExitStack() as stack:

        async def begin() -> Service:
            """Begin a life of the service, with a provider of its own."""
            providers.append(await stack.enter_async_context(PushReceiver(keep=True)))
            return Service(data, "--push-url", providers[-1].url)

        service = await asyncio.to_thread((await begin()).wait_started)
        published = await asyncio.to_thread(service.publish, *DEFINITIONS)
        assert published.status == 200, published
        async with aiohttp.ClientSession(headers=basic("wk_test")) as session:
            await known(session, service.url)
        for number in range(KILLS):
            await ingest_until_killed(service, clients, chance)
            if number % 8 == 7:  # and once in a while it is killed while it starts
                early = await begin()
                await asyncio.sleep(chance.random())
                await asyncio.to_thread(early.kill)
            service = await asyncio.to_thread((await begin()).wait_started)
        await finish(service, clients)
        assert await asyncio.to_thread(service.stop) == 0
        lives = [Counter(body["message_id"] for _, body in provider.requests) for provider in providers]

    store = SqliteStore(data / "parcours.db")
    try:
        Engine(store, SystemClock())  # folds what the states lack, if they do
        check(store, clients, lives)
    finally:
        store.close()


def check(store: Store, clients: list[Client], lives: list[Counter[str]]) -> None:
    live = snapshot(store)
    delivered = sum(lives, Counter())
    sent = {id_: event for client in clients for id_, event in client.sent.items()}
    acknowledged = set().union(*(client.acknowledged for client in clients))
    assert acknowledged == set(sent)
    assert len(acknowledged) > 1_000

    the_log_has_no_gap_and_no_key_twice_and_goes_forward(live)
    logged = Counter(item.message_id for record in live.records if record.contact for item in [record.input()])
    assert set(logged) == acknowledged | {f"i{number}" for number in range(PEOPLE)}
    assert set(logged.values()) == {1}

    decided = Counter(
        entry.detail["message_id"]
        for entries in live.traces.values()
        for _, entry in entries
        if entry.what == What.SENT and entry.detail
    )
    assert set(decided.values()) == {1}, "no message is decided twice"
    assert set(delivered) == set(decided), "every message that was decided is delivered, and no other"
    assert live.outbox == Counter(
        ("push", entry.reason, "sent")
        for entries in live.traces.values()
        for _, entry in entries
        if entry.what == What.SENT
    ), "and is in the outbox once"

    events = Counter(sent.values())
    refused = sum(count for place, count in live.statistics.items() if place[3] == What.REFUSED)
    assert live.outbox["push", "ping", "sent"] + refused_of(live, "taps") == events["Tapped"]
    assert live.outbox["push", "later", "sent"] == live.outbox["push", "ping", "sent"]
    answered = live.outbox["push", "thanks", "sent"] + live.outbox["push", "nudge", "sent"]
    assert answered + refused_of(live, "asks") == events["Asked"]
    assert live.outbox["push", "thanks", "sent"] > 0
    assert live.outbox["push", "nudge", "sent"] > 0
    assert refused == 0, "nobody has so many runs at a time that one is refused"

    clean = snapshot(replay(store.log(limit=EVERYTHING), until=10**15))
    for part in ("records", "contacts", "identities", "traces", "statistics", "due", "counts"):
        assert getattr(live, part) == getattr(clean, part), part
    plan = Engine(store, SystemClock()).plan
    for contact in live.contacts.values():
        for rule in OF_A_CONTACT:
            rule(contact, plan)
    # At least once, and more only after a kill: what had left then and was not settled.
    assert all(set(life.values()) <= {1} for life in lives), "no life of the service sends a message twice"
    repeated = sum(delivered.values()) - len(delivered)
    print(f"{len(live.records)} records, {len(decided)} messages, {repeated} delivered again, {KILLS} kills")


def refused_of(found: Snapshot, name: str) -> int:
    return sum(count for place, count in found.statistics.items() if place[0] == name and place[3] == What.REFUSED)
