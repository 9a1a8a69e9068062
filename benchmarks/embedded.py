"""The embedded path as a whole: HTTP in batches of 100 → durable → folded through 20 live journeys.

Beside it the floor: a bare insert of the same log rows into SQLite, in the same folder, in the same run.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.service import post_all, request_of, service
from benchmarks.workload import MIXES, batches, definitions, identities, interactions


def main() -> None:
    """Measure and print, one mix of interactions after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=200_000)
    parser.add_argument("--contacts", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--mix", choices=list(MIXES), action="append")
    options = parser.parse_args()
    for mix in options.mix or MIXES:
        measure(mix, options.inputs, options.contacts, options.connections)


def measure(mix: str, inputs: int, contacts: int, connections: int) -> None:
    """Measure one mix and print."""
    known = [request_of("/v1/batch", body) for body in batches(identities(contacts), 100)]
    now = datetime.now(UTC)
    bodies = batches(interactions(inputs, contacts, at=now, apart=0, mix=mix), 100)
    requests = [request_of("/v1/batch", body) for body in bodies]
    alone = interactions(500, contacts, seed=2, at=now, apart=0, mix=mix)
    singles = [request_of("/v1/batch", body) for body in batches(alone, 1)]
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        with service(Path(folder)) as live:
            live.call("PUT", "/v1/definitions", {"definitions": definitions()})
            post_all(live.port, known, connections)
            seconds, _ = post_all(live.port, requests, connections)
            _, single = post_all(live.port, singles, 1)
            report = live.call("GET", "/v1/report")
        rows, floor = _floor(Path(folder))
    entered = sum(row["count"] for row in report["statistics"] if row["what"] == "entered")
    size = sum(map(len, bodies)) / inputs
    rate = inputs / seconds
    print(f"embedded, mix {mix}: {inputs:,} inputs of {size:.0f} bytes, {contacts:,} contacts, batches of 100")
    print(f"  journeys were entered {entered:,} times")
    print(f"  HTTP → durable → folded     {rate:>10,.0f} inputs/s")
    print(f"  floor: bare insert of rows  {rows / floor:>10,.0f} rows/s   (ratio {rate / (rows / floor):.2f})")
    print(f"  one input, one connection   p50 {statistics.median(single) * 1e3:.2f} ms from request to answer")


def _floor(folder: Path) -> tuple[int, float]:
    """Return how many log rows there were, and the seconds to insert them into an empty file, 1,000 a transaction."""
    db = sqlite3.connect(folder / "parcours.db")
    rows = db.execute("select position, contact, previous, key, body from log").fetchall()
    db.close()
    bare = sqlite3.connect(folder / "bare.db", isolation_level=None)
    bare.execute("pragma journal_mode = wal")
    bare.execute("pragma synchronous = full")
    bare.execute(
        "create table log (position integer primary key, contact integer, previous integer, key blob, body blob)"
    )
    start = time.perf_counter()
    for first in range(0, len(rows), 1_000):
        bare.execute("begin immediate")
        bare.executemany("insert into log values (?, ?, ?, ?, ?)", rows[first : first + 1_000])
        bare.execute("commit")
    seconds = time.perf_counter() - start
    bare.close()
    return len(rows), seconds


if __name__ == "__main__":
    main()
