"""A service that is killed while members give points to each other: no point is lost or made, none is given twice."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import pytest

from parcours.core.effects import What
from parcours.core.inputs import Receive, Transfer
from parcours.runtimes.clocks import SystemClock
from parcours.runtimes.engine import Engine
from parcours.stores.sqlite import SqliteStore
from parcours.testing.snapshot import EVERYTHING, replay, snapshot
from tests.core.invariants import (
    a_balance_is_the_sum_of_its_entries,
    a_transfer_comes_to_nothing_and_its_entries_name_each_other,
    days_are_the_entries_counted,
    nothing_goes_below_zero_but_by_a_refund,
)
from tests.crash.killing import until_killed
from tests.service import SECRET_KEY, Service

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]

KILLS = 6
CLIENTS = 8
PEOPLE = 5
HAS = 40
SEED = 20_261_129

DEFINITIONS = [{"kind": "programme", "name": "club", "transfer": {}, "expiry": {"type": "rolling", "months": 12}}]


class Client:
    """Asks for transfers one after the other, and for each again until it is answered."""

    def __init__(self, number: int) -> None:
        self.answers: dict[str, str] = {}
        """What became of each, by its id."""
        self._chance = random.Random(SEED + number)
        self._number = number
        self._waiting: tuple[int, dict[str, Any]] | None = None

    async def step(self, session: aiohttp.ClientSession, url: str) -> None:
        if self._waiting is None:
            who, to = self._chance.sample(range(PEOPLE), 2)
            id_ = f"{self._number}-{len(self.answers)}"
            self._waiting = who, {"to": f"user_id:p{to}", "points": self._chance.randrange(1, 30), "id": id_}
        who, body = self._waiting
        async with session.post(f"{url}/v1/loyalty/club/members/user_id:p{who}/transfer", json=body) as answer:
            assert answer.status in {200, 409}, await answer.text()
            self.answers[body["id"]] = (await answer.json())["status"]
        self._waiting = None

    @property
    def waits(self) -> bool:
        return self._waiting is not None


async def test_no_point_is_lost_or_made_by_kills(tmp_path: Path):
    chance = random.Random(SEED)
    clients = [Client(number) for number in range(CLIENTS)]
    service = await asyncio.to_thread(Service(tmp_path / "data").wait_started)
    assert (await asyncio.to_thread(service.publish, *DEFINITIONS)).status == 200
    headers = {"Authorization": f"Bearer {SECRET_KEY}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        for number in range(PEOPLE):
            path = f"{service.url}/v1/loyalty/club/members/user_id:p{number}"
            async with session.post(f"{path}/enrol", json={}) as answer:
                assert answer.status == 200
            async with session.post(f"{path}/adjust", json={"points": HAS, "reason": "r", "author": "a"}) as answer:
                assert answer.status == 200
        for _ in range(KILLS):
            await give_until_killed(service, clients, session, chance.randrange(20, 200))
            service = await asyncio.to_thread(Service(tmp_path / "data").wait_started)
        for client in clients:
            while client.waits:
                await client.step(session, service.url)
    assert await asyncio.to_thread(service.stop) == 0
    answers = {id_: status for client in clients for id_, status in client.answers.items()}

    store = SqliteStore(tmp_path / "data" / "parcours.db")
    try:
        Engine(store, SystemClock())
        live = snapshot(store)
        assert sum(contact.loyalty["club"].balance for contact in live.contacts.values()) == PEOPLE * HAS
        for rule in (
            a_balance_is_the_sum_of_its_entries,
            a_transfer_comes_to_nothing_and_its_entries_name_each_other,
            days_are_the_entries_counted,
            nothing_goes_below_zero_but_by_a_refund,
        ):
            rule(live)
        items = [record.input() for record in live.records]
        asked = Counter(item.message_id for item in items if isinstance(item, Transfer))
        assert asked == Counter(list(answers))
        declined = Counter(
            entry.what for entries in live.traces.values() for _, entry in entries if entry.what == What.DECLINED
        )
        counted = Counter(answers.values())
        assert counted["declined"] == declined[What.DECLINED] > 0
        assert counted["done"] == sum(isinstance(item, Receive) for item in items) > 0
        clean = snapshot(replay(store.log(limit=EVERYTHING), until=live.records[-1].input().received_at))
        for part in ("records", "contacts", "ledger", "days"):
            assert getattr(live, part) == getattr(clean, part), part
    finally:
        store.close()


class Steps(Protocol):
    """Somebody who asks for one thing after the other."""

    async def step(self, session: aiohttp.ClientSession, url: str) -> None: ...


async def give_until_killed(
    service: Service, clients: Sequence[Steps], session: aiohttp.ClientSession, enough: int
) -> None:
    """Let all clients ask, and kill the service after so many answers."""

    def asking(client: Steps) -> Callable[[], Awaitable[int]]:
        async def ask() -> int:
            await client.step(session, service.url)
            return 1

        return ask

    await until_killed(service, [asking(client) for client in clients], enough)
