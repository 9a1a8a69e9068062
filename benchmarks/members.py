"""Members of programmes in the analytics database: how fast it takes them over, and what questions about them take.

Orders of members with points that expire one by one, in a store in memory: taken over in the slices of a rebuild, and an
order of each once more, as a running service follows. Questions of made-up members, with four stretches of time and five
instants that count towards tiers for each; medians of five runs.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from parcours.analytics import questions
from parcours.analytics.duckdb_store import DuckdbAnalytics, catch_up
from parcours.analytics.questions import Group
from parcours.conditions.parse import parse_condition
from parcours.core.gate import Arrival, Happened
from parcours.core.loyalty.clock import NEVER
from parcours.runtimes.simulation import Simulation
from parcours.stores.memory import MemoryStore

HOUR = 3_600_000
START = 1_772_442_000_000
RUNS = 5

LEVELS = [{"name": "bronze", "at": 0}, {"name": "silver", "at": 500}]
CLUB: list[dict[str, Any]] = [
    {
        "kind": "programme",
        "name": "club",
        "enrol": [{"interaction": "Order"}],
        "expiry": {"type": "rolling", "months": 12},
        "tiers": {"period": {"type": "rolling", "days": 365}, "levels": LEVELS},
    },
    {
        "kind": "rule",
        "name": "r",
        "programme": "club",
        "on": ["Order"],
        "points": {"points": 1, "per": 1, "of": "total"},
        "reference": "order",
    },
]
QUESTIONS: list[dict[str, Any]] = [
    {"points": "club", "at_least": 500},
    {"points": "club", "kind": "qualifying", "less_than": 10},
    {"tier": "club", "at_least": "silver"},
    {"not": {"member": "club"}},
    {"reward": "ten", "is": "open"},
    {"all": [{"tier": "club", "is": "gold"}, {"points": "club", "at_least": 900}]},
]


def order(simulation: Simulation, members: int, number: int) -> None:
    """Let every member order once."""
    for first in range(0, members, 1_000):
        simulation.send(
            *(
                Arrival(
                    "shop",
                    f"{number}-{who}",
                    (("user_id", str(who)),),
                    Happened("Order", {"total": 10, "order": f"{number}-{who}"}),
                )
                for who in range(first, min(first + 1_000, members))
            )
        )
    simulation.advance(simulation.clock.now() + HOUR)


def feed(folder: Path, members: int, orders: int) -> None:
    """Measure how fast members are taken over."""
    simulation = Simulation(MemoryStore(), START)
    simulation.publish(CLUB)
    for number in range(orders):
        order(simulation, members, number)
    analytics = DuckdbAnalytics(folder / "fed.duckdb")
    for what in ("rebuild", "following"):
        before, begun, used = analytics.position, time.perf_counter(), time.process_time()
        for _ in catch_up(analytics, simulation.store):
            pass
        wall, cpu, count = time.perf_counter() - begun, time.process_time() - used, analytics.position - before
        print(
            f"{what:10} {count:,} inputs: {count / wall:,.0f} a second, {cpu / count * 1e6:.0f} µs of processor time each"
        )
        order(simulation, members, orders)


def ask(folder: Path, members: int) -> None:
    """Measure questions."""
    analytics = DuckdbAnalytics(folder / "asked.duckdb")
    tiers = "['bronze', 'silver', 'gold']"
    for statement in (
        f"insert into contacts (contact) select range * 7919 from range({members})",
        f"""insert into members select range * 7919, 'club', s.i * 100000,
            case when s.i = 3 then {NEVER} else (s.i + 1) * 100000 end, {NEVER}, true, (range * 31 + s.i) % 1000, range % 10,
            range % 5000, 0, 31536000000, {tiers}[1 + range % 3], {tiers}[1:1 + range % 3]
            from range({members}), (select unnest([0, 1, 2, 3]) i) s""",
        f"insert into qualified select (range % {members}) * 7919, 'club', range, range % 7 from range({members * 5})",
        f"insert into coupons select range * 7919, 'ten', 'issued', 0, 0, 0 from range({members // 3})",
        "checkpoint",
    ):
        analytics.db.execute(statement)
    print(f"{members:,} members: {analytics.bytes / 1e6:.0f} MB")
    for condition in QUESTIONS:
        node, _ = parse_condition(condition)
        assert node is not None
        times = []
        for _ in range(RUNS + 1):
            begun = time.perf_counter()
            found = questions.count(analytics, Group(node, {}, 250_000))
            times.append(time.perf_counter() - begun)
        print(f"{statistics.median(times[1:]) * 1000:7.1f} ms  {found:>9,}  {condition}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=1_000_000, help="of whom is asked")
    parser.add_argument("--fed", type=int, default=1_000, help="members that are taken over")
    parser.add_argument("--orders", type=int, default=20, help="of each of those")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        feed(Path(folder), given.fed, given.orders)
        ask(Path(folder), given.members)


if __name__ == "__main__":
    main()
