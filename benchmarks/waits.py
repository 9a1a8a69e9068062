"""Runs parked in waits: what they cost while they wait, how fast they wake, and how late.

Contacts who can be reached enter a journey that waits for an hour, and then sends a message or ends. Measured are

- a start of the service with all of them parked, which reads when each is due,
- the processor while nothing is due,
- waking all of them at once, as fast as it goes,
- waking the rest at a steady rate, on a running clock, with how late they woke.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from parcours.core.gate import Arrival, Happened, Learned
from parcours.runtimes.clocks import VirtualClock
from parcours.runtimes.embedded import Embedded
from parcours.runtimes.engine import Engine
from parcours.stores.sqlite import SqliteStore
from parcours.wiring import collect_seldom

HOUR = 3_600_000
START = 1_772_442_000_000


def definitions(then: str) -> list[dict[str, Any]]:
    """Return a journey that waits, and then sends or ends."""
    steps: dict[str, Any] = {"wait": {"type": "wait", "for": "1h", "next": then}, "end": {"type": "end"}}
    if then == "send":
        steps["send"] = {"type": "send", "messages": ["hello"], "next": "end"}
    content = {"title": "Hello", "body": "An hour is over."}
    return [
        {"kind": "message", "name": "hello", "channel": "push", "purpose": "transactional", "content": content},
        {
            "kind": "journey",
            "name": "patient",
            "entry": {"type": "interaction", "interaction": "Went"},
            "re_entry": "after_end",
            "start": "wait",
            "steps": steps,
        },
    ]


class RunningClock(VirtualClock):
    """A clock that goes on with the machine's from an instant that was set."""

    def set(self, instant: int) -> None:
        super().set(instant)
        self._set_at = time.perf_counter()

    def now(self) -> int:
        return super().now() + int((time.perf_counter() - self._set_at) * 1_000)


def make_contacts(engine: Engine, clock: VirtualClock, count: int) -> None:
    """Make contacts who can be reached."""
    clock.set(START - HOUR)
    for first in range(0, count, 1_000):
        engine.accept(
            [
                Arrival("bench", f"c{n}", (("user_id", f"u{n}"),), Learned({"push_token": f"t{n}"}, {"push": f"t{n}"}))
                for n in range(first, min(first + 1_000, count))
            ]
        )


def park(engine: Engine, clock: VirtualClock, runs: int, rate: int) -> None:
    """Let contacts enter: the first half at one instant, the other half so many a second after it."""
    half = runs // 2
    for first in range(0, runs, 1_000):
        at = START + max(0, first - half) * 1_000 // rate
        clock.set(at)
        numbers = range(first, min(first + 1_000, runs))
        arrivals = [Arrival("bench", f"m{n}", (("user_id", f"u{n}"),), Happened("Went", {"n": n})) for n in numbers]
        engine.accept(arrivals)
    engine.flush()


async def idle(engine: Engine, seconds: float) -> float:
    """Return the processor time that a host takes in a second while nothing is due."""
    host = Embedded(engine, {}, lambda *_: {})
    await host.start()
    await asyncio.sleep(1)
    before = time.process_time()
    await asyncio.sleep(seconds)
    used = (time.process_time() - before) / seconds
    for task in (host._task,):  # noqa: SLF001 (closing it would close the store)
        if task is not None:
            task.cancel()
    await host.outbox.close()
    return used


def wake_at_once(engine: Engine, clock: VirtualClock) -> tuple[int, float, float]:
    """Wake what is due an hour after the first; return how many, the seconds and the processor seconds."""
    clock.set(START + HOUR)
    started, used, count = time.perf_counter(), time.process_time(), 0
    while woken := engine.tick(START + HOUR):
        count += woken
    engine.flush()
    return count, time.perf_counter() - started, time.process_time() - used


def wake_steadily(engine: Engine) -> tuple[int, float, float, list[float]]:
    """Wake the rest as it comes due on a running clock.

    Returns how many, the seconds that were not waited, those of the processor, and milliseconds late.
    """
    clock = RunningClock(START + HOUR)
    clock.set(START + HOUR)
    engine.clock = clock
    late: list[float] = []
    started, used, count, waited = time.perf_counter(), time.process_time(), 0, 0.0
    while (due := engine.next_due()) is not None and due < START + 3 * HOUR:
        ahead = due - clock.now()
        if ahead > 0:
            before = time.perf_counter()
            time.sleep(ahead / 1_000)
            waited += time.perf_counter() - before
            continue
        woken = engine.tick()
        late += [clock.now() - due] * (1 + woken // 100)
        count += woken
    return count, time.perf_counter() - started - waited, time.process_time() - used, late


def measure(runs: int, rate: int, then: str) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        path = Path(folder) / "parcours.db"
        store, clock = SqliteStore(path), VirtualClock(START)
        engine = Engine(store, clock)
        engine.publish(definitions(then))
        make_contacts(engine, clock, runs)
        started = time.perf_counter()
        park(engine, clock, runs, rate)
        print(f"waits: {runs:,} runs parked ({runs / (time.perf_counter() - started):,.0f}/s), then {then}")
        store.close()
        started, used = time.perf_counter(), time.process_time()
        store = SqliteStore(path)
        engine = Engine(store, clock)
        print(
            f"  start      {time.perf_counter() - started:.2f} s, {time.process_time() - used:.2f} s of the processor"
        )
        print(f"  idle       {asyncio.run(idle(engine, 3)):.2%} of a processor")
        count, seconds, processor = wake_at_once(engine, clock)
        print(f"  at once    {count:,} woken, {count / seconds:,.0f}/s, {count / processor:,.0f} a processor second")
        count, seconds, processor, late = wake_steadily(engine)
        low, high = statistics.median(late), max(late)
        print(
            f"  steadily   {count:,} woken, {rate:,}/s asked, {count / seconds:,.0f}/s while it did not wait, "
            f"{count / processor:,.0f} a processor second; late by {low:.0f} ms (median), {high:.0f} ms (most)"
        )
        sent = sum(store.outbox_counts().values())
        assert sent == (runs if then == "send" else 0), f"{sent} messages were decided"
        store.close()


def main() -> None:
    """Measure and print, with a message and without."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--rate", type=int, default=20_000)
    parser.add_argument("--then", choices=["send", "end"], action="append")
    options = parser.parse_args()
    collect_seldom()
    for then in options.then or ["send", "end"]:
        measure(options.runs, options.rate, then)


if __name__ == "__main__":
    main()
