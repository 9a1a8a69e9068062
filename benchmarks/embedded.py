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
from benchmarks.workload import batches, definitions, identities, interactions


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=200_000)
    parser.add_argument("--contacts", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    known = [request_of("/v1/batch", body) for body in batches(identities(options.contacts), 100)]
    now = datetime.now(UTC)
    bodies = batches(interactions(options.inputs, options.contacts, at=now, apart=0), 100)
    requests = [request_of("/v1/batch", body) for body in bodies]
    singles = [
        request_of("/v1/batch", body)
        for body in batches(interactions(500, options.contacts, seed=2, at=now, apart=0), 1)
    ]
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        with service(Path(folder)) as live:
            live.call("PUT", "/v1/definitions", {"definitions": definitions()})
            post_all(live.port, known, options.connections)
            seconds, _ = post_all(live.port, requests, options.connections)
            _, single = post_all(live.port, singles, 1)
            report = live.call("GET", "/v1/report")
        rows, floor = _floor(Path(folder))
    entered = sum(row["count"] for row in report["statistics"] if row["what"] == "entered")
    live_journeys = len({row["journey"] for row in report["statistics"] if row["journey"]})
    size = sum(map(len, bodies)) / options.inputs
    print(f"embedded: {options.inputs:,} inputs of {size:.0f} bytes, {options.contacts:,} contacts, batches of 100")
    print(f"  {live_journeys} of 20 journeys were entered, {entered:,} times")
    rate = options.inputs / seconds
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
