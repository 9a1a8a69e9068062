"""Importing files: lines of the purchases of *The Complete Journey*, by `parcours import` into an empty data folder.

The definition declares the types, so every row is validated. What is measured is the whole command, from the start of
its process until everything is durable and it has ended; and how long a command takes that goes on behind a kill.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.files import COLUMNS, write
from parcours.runtimes.clocks import SystemClock
from parcours.runtimes.engine import Engine
from parcours.stores.sqlite import SqliteStore

NUMBERS = ("quantity", "sales_value", "week")
TEXTS = ("store_id", "basket_id", "product_id")
DEFINITION = {
    "kind": "interaction",
    "name": "Line Bought",
    "strict": True,
    "attributes": {name: {"type": "number"} for name in NUMBERS}
    | {name: {"type": "string", "required": True} for name in TEXTS},
}
OPTIONS = ("name=Line Bought", "identities.user_id=household_id", "occurred_at=moment")


def define(data: Path) -> None:
    """Make a data folder that has nothing but the definition."""
    data.mkdir()
    store = SqliteStore(data / "parcours.db")
    errors, _ = Engine(store, SystemClock(0)).publish([DEFINITION])
    assert not errors, errors
    store.close()


def start(file: Path, data: Path) -> subprocess.Popen[str]:
    """Start the command."""
    settings = [part for option in OPTIONS for part in ("--set", option)]
    command = [sys.executable, "-m", "parcours", "import", str(file), "--kind", "interactions", "--data", str(data)]
    return subprocess.Popen([*command, *settings, "--backfill"], text=True, stdout=subprocess.PIPE)


def timed(file: Path, data: Path) -> tuple[float, str]:
    """Import once; return the seconds that took and what was said."""
    begun = time.perf_counter()
    process = start(file, data)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    return time.perf_counter() - begun, said.strip().splitlines()[-1]


def show(label: str, rows: int, seconds: list[float]) -> None:
    """Print one figure."""
    speeds = sorted(rows / one for one in seconds)
    runs = ", ".join(f"{speed:,.0f}" for speed in speeds)
    took = statistics.median(seconds)
    print(
        f"  {label:<24} {rows / took:>9,.0f} rows/s, {took:5.1f} s ({runs}); {busy(len(seconds)):.1f} s of processors"
    )


_counted = [0.0]


def busy(runs: int) -> float:
    """Return how long processors worked for each run since this was asked last."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    before, _counted[0] = _counted[0], used.ru_utime + used.ru_stime
    return (_counted[0] - before) / runs


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="how many purchases")
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
        print(f"imports: {given.rows:,} rows of eight columns, the whole command (load before: {load})")
        write(folder / "lines.csv", COLUMNS["eight"], given.rows, "FORMAT csv")
        write(folder / "lines.parquet", COLUMNS["eight"], given.rows, "FORMAT parquet")
        write(folder / "lines.jsonl", COLUMNS["eight"], given.rows, "FORMAT json")
        for file in ("lines.csv", "lines.parquet", "lines.jsonl"):
            seconds: list[float] = []
            for _ in range(given.runs):
                data = folder / "data"
                define(data)
                took, said = timed(folder / file, data)
                assert f"{given.rows:,} taken" in said, said
                seconds.append(took)
                shutil.rmtree(data)
            show(file, given.rows, seconds)
        again = []
        data = folder / "data"
        define(data)
        timed(folder / "lines.csv", data)
        busy(1)
        for _ in range(given.runs):
            took, said = timed(folder / "lines.csv", data)
            assert f"{given.rows:,} known before" in said, said
            again.append(took)
        show("lines.csv, once more", given.rows, again)
        shutil.rmtree(data)
        define(data)
        process = start(folder / "lines.csv", data)
        pause = statistics.median(seconds) / 2
        time.sleep(pause)
        process.kill()
        process.communicate()
        took, said = timed(folder / "lines.csv", data)
        assert f"{given.rows:,} taken" in said, said
        print(f"  killed after {pause:.1f} s: the next command took {took:.1f} s; {said.partition(': ')[2]}")


if __name__ == "__main__":
    main()
