"""A service that is killed while members earn by a rule with a budget: it is never exceeded, and nothing of it is lost."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from parcours.core.loyalty import budget
from parcours.runtimes.clocks import SystemClock
from parcours.runtimes.engine import Engine
from parcours.stores.sqlite import SqliteStore
from parcours.testing.snapshot import EVERYTHING, replay, snapshot
from tests.core.invariants import a_balance_is_the_sum_of_its_entries, budgets_are_kept
from tests.crash.test_kill_transfers import give_until_killed
from tests.service import SECRET_KEY, Service

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]

KILLS = 5
CLIENTS = 8
PEOPLE = 12
BUDGET = 400
SEED = 20_261_129

DEFINITIONS = [
    {"kind": "programme", "name": "club", "refunds": [{"interaction": "Refunded", "reference": "order"}]},
    {
        "kind": "rule",
        "name": "early",
        "programme": "club",
        "on": ["Bought"],
        "points": {"points": 1, "of": "total"},
        "reference": "order",
        "budget": [{"points": BUDGET, "partial": True}, {"per": "year", "times": 10**6}],
    },
]


class Client:
    """Lets members buy, and now and then give it back; sends each until it is answered."""

    def __init__(self, number: int) -> None:
        self._chance = random.Random(SEED + number)
        self._number = number
        self.answered = 0
        self._waiting: dict[str, Any] | None = None

    async def step(self, session: aiohttp.ClientSession, url: str) -> None:
        if self._waiting is None:
            who, order = self._chance.randrange(PEOPLE), f"{self._number}-{self._chance.randrange(200)}"
            back = self._chance.random() < 0.2
            self._waiting = {
                "name": "Refunded" if back else "Bought",
                "contact": {"user_id": f"p{who}"},
                "id": f"{self._number}-{self.answered}",
                "attributes": {"order": order} if back else {"order": order, "total": self._chance.randrange(1, 9)},
            }
        async with session.post(f"{url}/v1/interactions", json=self._waiting) as answer:
            assert answer.status == 200, await answer.text()
        self.answered += 1
        self._waiting = None


async def test_no_budget_is_exceeded_or_lost_by_kills(tmp_path: Path):
    chance = random.Random(SEED)
    clients = [Client(number) for number in range(CLIENTS)]
    service = await asyncio.to_thread(Service(tmp_path / "data").wait_started)
    assert (await asyncio.to_thread(service.publish, *DEFINITIONS)).status == 200
    headers = {"Authorization": f"Bearer {SECRET_KEY}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        for number in range(PEOPLE):
            path = f"{service.url}/v1/loyalty/club/members/user_id:p{number}/enrol"
            async with session.post(path, json={}) as answer:
                assert answer.status == 200
        for _ in range(KILLS):
            await give_until_killed(service, clients, session, chance.randrange(40, 120))
            service = await asyncio.to_thread(Service(tmp_path / "data").wait_started)
        async with session.get(f"{service.url}/v1/loyalty/club/budgets") as answer:
            told = (await answer.json())["budgets"][0]
    assert await asyncio.to_thread(service.stop) == 0

    store = SqliteStore(tmp_path / "data" / "parcours.db")
    try:
        engine = Engine(store, SystemClock())
        live = snapshot(store)
        budgets_are_kept(live, engine.plan)
        a_balance_is_the_sum_of_its_entries(live)
        (counted,) = budget.decoded(store.marks()["budget:early/ever"]).values()
        assert told["given_points"] == counted[1] <= BUDGET
        withheld = [entry for entries in live.traces.values() for _, entry in entries if entry.reason == "budget"]
        assert withheld  # it ran out
        clean = snapshot(replay(store.log(limit=EVERYTHING), until=live.records[-1].input().received_at))
        for part in ("records", "contacts", "ledger", "days", "budgets"):
            assert getattr(live, part) == getattr(clean, part), part
    finally:
        store.close()
