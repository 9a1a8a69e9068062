"""What points cost: purchases that earn, spends by themselves, and whether the statement is what every ledger says.

    PYTHONPATH=src python -m benchmarks.loyalty --members 20000 --entries 1000000

Purchases come in batches of a thousand; a spend comes by itself, as from a till, and is durable when it is answered.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from parcours.core.gate import Arrival, Asked, Happened
from parcours.core.ids import message_key
from parcours.ports import Identity
from parcours.runtimes.clocks import VirtualClock
from parcours.runtimes.engine import Accepted, Engine
from parcours.runtimes.loyalty.reconcile import reconcile
from parcours.runtimes.loyalty.statement import statement_of
from parcours.stores.sqlite import SqliteStore
from parcours.web.api.loyalty import became

START = 1_772_442_000_000
DAY = 86_400_000
BATCH = 1_000
SPENDS = 2_000
BEHIND = 50_000

DEFINITIONS: list[dict[str, Any]] = [
    {
        "kind": "programme",
        "name": "club",
        "timezone": "Europe/Berlin",
        "holding": "14d",
        "expiry": {"type": "rolling", "months": 12, "until_end_of": "month"},
        "refunds": [{"interaction": "Order Refunded", "reference": "order"}],
        "refundable": "60d",
        "tiers": {
            "period": {"type": "calendar", "unit": "year"},
            "levels": [{"name": "bronze", "at": 0}, {"name": "silver", "at": 5_000, "multiplier": 1.25}],
        },
    },
    {
        "kind": "rule",
        "name": "purchases",
        "programme": "club",
        "on": ["Order Completed"],
        "points": {"points": 2, "of": "total"},
        "reference": "order",
    },
]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=20_000)
    parser.add_argument("--entries", type=int, default=200_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder) / "store.db", given.members, given.entries)


def run(path: Path, members: int, entries: int) -> None:
    """Earn, spend, and hold the statement against every ledger."""
    chance = random.Random(1)
    clock = VirtualClock(START)
    engine = Engine(SqliteStore(path), clock)
    engine.publish(DEFINITIONS)
    people = [(("user_id", f"u{number}"),) for number in range(members)]
    number = 0

    def arrival(who: int, what: Happened | Asked) -> Arrival:
        nonlocal number
        number += 1
        return Arrival("bench", f"m{number}", people[who], what)

    for start in range(0, members, BATCH):
        enrols = range(start, min(start + BATCH, members))
        engine.accept([arrival(who, Asked(action="enrol", programme="club")) for who in enrols])
    counted = 0
    spent = 0.0
    inputs = 0
    begun = time.perf_counter()
    while counted < entries:
        batch = [
            arrival(
                chance.randrange(members),
                Happened("Order Completed", {"order": str(number), "total": chance.randrange(100, 20_000) / 100}),
            )
            for _ in range(BATCH)
        ]
        before = time.perf_counter()
        engine.accept(batch)
        spent += time.perf_counter() - before
        inputs += BATCH
        if inputs % (20 * BATCH) == 0:
            clock.set(clock.now() + DAY)
            while engine.tick():
                pass
            counted = sum(total.entries for total in engine.store.ledger_days().values())
    whole = time.perf_counter() - begun
    print(f"{inputs:,} purchases of {members:,} members: {inputs / spent:,.0f}/s; with timers {inputs / whole:,.0f}/s")
    print(f"{counted:,} entries")
    clock.set(clock.now() + 15 * DAY)
    while engine.tick():
        pass
    took: list[float] = []
    for _ in range(SPENDS):
        asked = arrival(chance.randrange(members), Asked(action="spend", programme="club", points=10))
        before = time.perf_counter()
        (outcome,) = engine.accept([asked])
        took.append((time.perf_counter() - before) * 1_000)
        assert isinstance(outcome, Accepted)
    took.sort()
    print(f"a spend, durable: median {statistics.median(took):.2f} ms, p99 {took[int(len(took) * 0.99)]:.2f} ms")
    repeat(engine, people[0])
    agree(engine)
    engine.store.close()


def repeat(engine: Engine, who: tuple[Identity, ...]) -> None:
    """Find what became of a spend that is asked for again, when much has happened to its member since."""
    asked = Asked(action="spend", programme="club", points=1)
    (first,) = engine.accept([Arrival("bench", "again", who, asked)])
    assert isinstance(first, Accepted)
    for start in range(0, BEHIND, BATCH):
        later = [Arrival("bench", f"b{start + index}", who, Happened("Looked", {})) for index in range(BATCH)]
        engine.accept(later)
    took: list[float] = []
    for _ in range(100):
        before = time.perf_counter()
        position = engine.store.position_of(message_key("bench", "again"))
        found = became(engine.store, position)
        took.append((time.perf_counter() - before) * 1_000)
        assert position == first.position
        assert found[0] or found[1]
    print(f"what a repeat is answered with, {BEHIND:,} inputs later: median {statistics.median(took):.2f} ms")


def agree(engine: Engine) -> None:
    """Hold the statement by day against all ledgers, and these against the balances that contacts know."""
    begun = time.perf_counter()
    found = reconcile(engine.store)
    took = time.perf_counter() - begun
    assert found.agrees, found.differences
    begun = time.perf_counter()
    statement = list(statement_of(engine.store.ledger_days(), "club", 0.01))
    last = statement[-1]
    (club,) = found.programmes
    assert (last.closing, last.closing_held) == (club.balance, club.held), "the statement is not what members have"
    print(f"a statement of {len(statement)} days in {(time.perf_counter() - begun) * 1_000:.1f} ms: ", end="")
    print(f"{last.outstanding:,} points owed, {last.liability} in money")
    print(f"{club.entries:,} entries of {club.members:,} members agree with it, to the point ({took:.1f} s)")


if __name__ == "__main__":
    main()
