"""Backtests: a year of purchases, *The Complete Journey* (155,848 baskets), run through drafts.

The year is put into a store once, as it was sent. What is measured is `wiring.backtest` from the asking to the report,
with the start of its processes. A part of the answer is held against what the same journeys did in a service.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from parcours.definitions.load import dump
from parcours.demo.client import batches
from parcours.demo.dataset import Dataset
from parcours.demo.run import load_examples
from parcours.runtimes.backtest.job import Job
from parcours.runtimes.clocks import InputsClock
from parcours.runtimes.engine import Engine
from parcours.sources.segment import SegmentReader
from parcours.stores.sqlite import SqliteStore
from parcours.wiring import backtest


def record(path: Path, households: int | None) -> tuple[int, int, int]:
    """Put the year into a store, with the journeys of the demo live; return how many inputs, and first and last instant."""
    store = SqliteStore(path)
    engine = Engine(store, InputsClock(0))
    errors, _ = engine.publish([dump(definition) for definition in load_examples().all()])
    assert not errors, errors
    reader = SegmentReader("demo", lambda: 0, lambda: "")
    first = 0
    with Dataset(households) as dataset:
        for _, body in batches(dataset.messages()):
            arrivals = reader.batch(body).arrivals
            first = first or arrivals[0].occurred_at or 0
            engine.accept(arrivals)
    end = store.last_received_at()
    count = store.last_position()
    engine.flush()
    store.close()
    return count, first, end


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--households", type=int, default=None, help="how many of the 2,469")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        data = Path(name)
        began = time.perf_counter()
        count, first, end = record(data / "parcours.db", given.households)
        load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
        print(f"backtest: {count:,} inputs, recorded in {time.perf_counter() - began:.1f} s (load: {load})")
        definitions = [dump(definition) for definition in load_examples().journeys.values()]
        job = Job(definitions=definitions, start=first, end=end, rates={"opened": 0.3, "clicked": 0.05})
        for processes in (2, 1):
            seconds = []
            for _ in range(given.rounds):
                report = backtest(data, job, processes=processes)
                seconds.append(report.seconds)
            took = ", ".join(f"{one:.1f}" for one in sorted(seconds))
            print(f"  {processes} process(es): {statistics.median(seconds):5.1f} s ({took})")
        print(f"  {report.inputs:,} inputs of {report.people:,} people, {report.messages:,} messages")


if __name__ == "__main__":
    main()
