"""Live membership of many contacts: the same as SQL says at several instants, and what it costs an input.

    python -m benchmarks.membership

The same made-up inputs of a month go through two engines on a virtual clock over SQLite: one whose plan has
segments that are kept exact (by attributes, counts and sums in windows, sequences, messages, a sample and a birthday), and
one in which the same segments are defined and nobody watches them. At several instants, some of which nothing happens
at, the memberships that the contacts know are held against what DuckDB says of the columnar copy; a difference ends it.
The costs are of the engine as a whole (gate, fold, timers, store), in batches of 500.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from parcours.analytics import questions
from parcours.analytics.duckdb_store import DuckdbAnalytics, catch_up
from parcours.analytics.questions import Group
from parcours.core.gate import Arrival, Happened, Learned
from parcours.core.ids import contact_number
from parcours.runtimes.simulation import Simulation
from parcours.stores.sqlite import SqliteStore
from parcours.testing.strategies import copy_of

DAY = 86_400_000
START = 1_767_600_000_000  # 2026-01-05
BATCH = 500
DAYS = 30

KINDS = ("Product Viewed", "Product Added", "Order Completed", "Product Reviewed")
WEIGHTS = (60, 20, 12, 8)
CITIES = ("Atlanta", "Seattle", "Boston", "Denver", "Austin")

CONDITIONS: dict[str, Any] = {
    "locals": {"all": [{"contact": "city", "in": ["Atlanta", "Seattle"]}, {"contact": "age", "at_least": 30}]},
    "buyers": {"did": "Order Completed", "times": {"at_least": 2}, "within": "7d"},
    "quiet": {"not": {"did": ["Product Viewed", "Order Completed"], "within": "10d"}},
    "rich": {"did": "Order Completed", "sum": {"of": "total", "at_least": 60}, "within": "14d"},
    "abandoned": {
        "sequence": [{"did": "Product Added"}, {"did_not": "Order Completed", "within": "2d"}],
        "within": "12d",
    },
    "written": {"messages": "sent", "of": "thanks", "within": "5d"},
    "birthday": {"contact": "born", "anniversary_within": "3d"},
    "tenth": {"all": [{"sample": "ten", "percent": 10}, {"did": "Product Reviewed"}]},
    "both": {"all": [{"segment": "buyers"}, {"not": {"segment": "locals"}}]},
}


def definitions(*, live: bool) -> list[dict[str, Any]]:
    """Return the segments, and a journey that sends messages, by an input and by a timer."""
    found: list[dict[str, Any]] = [
        {"kind": "segment", "name": name, "condition": condition, "live": live}
        for name, condition in CONDITIONS.items()
    ]
    found.append(
        {
            "kind": "message",
            "name": "thanks",
            "channel": "push",
            "purpose": "transactional",
            "content": {"title": "Thanks", "body": "Thank you."},
        }
    )
    found.append(
        {
            "kind": "journey",
            "name": "thanks",
            "state": "live",
            "entry": {"type": "interaction", "interaction": "Product Reviewed"},
            "re_entry": "after_end",
            "start": "wait",
            "steps": {
                "wait": {"type": "wait", "for": "1d", "next": "send"},
                "send": {"type": "send", "messages": ["thanks"], "next": "end"},
                "end": {"type": "end"},
            },
        }
    )
    return found


def people(contacts: int) -> list[Arrival]:
    """Return what is known of everybody."""
    chance = random.Random(3)
    found = []
    for number in range(contacts):
        born = f"{chance.randrange(1950, 2008)}-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}"
        known = {"city": chance.choice(CITIES), "age": chance.randrange(16, 90), "born": born, "push_token": "t"}
        what = Learned(known, {"push": "t"})
        found.append(Arrival("made", f"k{number}", (("user_id", str(number)),), what))
    return found


def happenings(inputs: int, contacts: int) -> list[list[Arrival]]:
    """Return what happens, day by day."""
    chance = random.Random(5)
    days: list[list[Arrival]] = []
    for day in range(DAYS):
        found = []
        for number in range(inputs // DAYS):
            who = str(int(chance.random() ** 1.5 * contacts))
            total = round(chance.expovariate(1 / 40), 2)
            what = Happened(chance.choices(KINDS, WEIGHTS)[0], {"total": total, "sku": f"s{number % 500}"})
            found.append(Arrival("made", f"d{day}-{number}", (("user_id", who),), what))
        days.append(found)
    return days


class Host:
    """An engine, with a copy in columns, and the seconds its inputs took."""

    def __init__(self, folder: Path, *, live: bool) -> None:
        store = SqliteStore(folder / f"{live}.db")
        store.restore({})  # nothing was there before
        self.simulation = Simulation(store, START)
        self.copy = DuckdbAnalytics(folder / f"{live}.duckdb")
        self.seconds = self.waking = 0.0
        self.inputs = 0
        self.live = live

    def send(self, arrivals: list[Arrival], apart: int) -> None:
        """Let arrivals come in, spread over some time."""
        for start in range(0, len(arrivals), BATCH):
            self.wait(apart * BATCH // max(len(arrivals), BATCH))
            batch = list(map(copy_of, arrivals[start : start + BATCH]))
            before = time.perf_counter()
            self.simulation.engine.accept(batch)
            self.seconds += time.perf_counter() - before
            self.inputs += len(batch)

    def wait(self, length: int) -> None:
        """Let time pass."""
        before = time.perf_counter()
        self.simulation.advance(self.simulation.clock.now() + length)
        self.waking += time.perf_counter() - before

    def check(self) -> str:
        """Hold the memberships against SQL, and return how many there are."""
        engine, now = self.simulation.engine, self.simulation.clock.now()
        for _ in catch_up(self.copy, self.simulation.store):
            pass
        there = self.simulation.store.scan(limit=10**9)
        found = []
        for name in CONDITIONS:
            group = Group(engine.plan.segments[name], engine.plan.segments, now)
            members = set(questions.members(self.copy, group))
            known = {contact_number(contact.id) for contact in there if contact.segments[name].member}
            if members != known:
                raise SystemExit(
                    f"{name} at {now}: {len(members - known)} only by SQL, {len(known - members)} only live"
                )
            found.append(f"{name} {len(known):,}")
        return ", ".join(found)


def main() -> None:
    """Check and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=100_000)
    parser.add_argument("--inputs", type=int, default=300_000)
    given = parser.parse_args()
    known, days = people(given.contacts), happenings(given.inputs, given.contacts)
    print(f"{given.contacts:,} contacts, {given.inputs:,} interactions in {DAYS} days, {len(CONDITIONS)} segments")
    spent = {}
    for live in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            host = Host(Path(folder), live=live)
            for start in range(0, given.contacts, 10_000):
                host.simulation.send(*map(copy_of, known[start : start + 10_000]))
            before = time.perf_counter()
            host.simulation.publish(definitions(live=live))
            print(f"{'live' if live else 'not live'}: published in {time.perf_counter() - before:.1f} s", flush=True)
            checks = {3, 11, 20, DAYS - 1}
            for day, arrivals in enumerate(days):
                host.send(arrivals, DAY * 3 // 4)
                host.wait(DAY // 4)
                if live and day in checks:
                    print(f"  day {day + 1}: equal; {host.check()}", flush=True)
            for pause in (1, 2 * DAY + 1, 8 * DAY, 30 * DAY):
                host.wait(pause)
                if live:
                    print(f"  and {pause / DAY:.0f} days without an input: equal; {host.check()}", flush=True)
            spent[live] = host.seconds / host.inputs * 1e6, host.waking / host.inputs * 1e6
            host.copy.close()
            host.simulation.store.close()
    for live, (cost, waking) in spent.items():
        name = "with live segments" if live else "without"
        print(f"{name:<20} {cost:6.1f} µs an input, and {waking:6.1f} µs for what came due, timers and messages")
    print(f"ratio {spent[True][0] / spent[False][0]:.2f}")


if __name__ == "__main__":
    main()
