"""A segment that is read into a journey: how soon the first message is out, and how long it takes until all are.

Contacts are made first, each with an attribute and an address. Then a journey is published that reads the segment of all
of them and sends each a push message. The host runs as it does in the service; its channel takes every message at once,
so that what is measured is the engine, the store and the outbox.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

from parcours.channels.render import Renderer
from parcours.core.gate import Arrival, Learned
from parcours.ports import Delivery
from parcours.runtimes.clocks import SystemClock
from parcours.runtimes.embedded import Embedded
from parcours.runtimes.engine import Engine
from parcours.stores.sqlite import SqliteStore
from parcours.wiring import collect_seldom

SEGMENT = {"kind": "segment", "name": "everybody", "condition": {"contact": "city", "is_present": True}}
MESSAGE = {
    "kind": "message",
    "name": "hello",
    "channel": "push",
    "purpose": "transactional",
    "content": {"title": "Hello", "body": "Something is new in {{ contact.city }}."},
}
JOURNEY = {
    "kind": "journey",
    "name": "news",
    "entry": {"type": "segment", "segment": "everybody"},
    "start": "send",
    "steps": {"send": {"type": "send", "messages": ["hello"]}},
}


class Taking:
    """A channel that takes every message, and notes when the first and the last came."""

    def __init__(self) -> None:
        self.count = 0
        self.first = self.last = 0.0

    async def send(self, _delivery: Delivery) -> None:
        """Take a message."""
        self.last = time.perf_counter()
        self.first = self.first or self.last
        self.count += 1

    async def close(self) -> None:
        """Nothing is open."""


def make_contacts(engine: Engine, count: int) -> None:
    """Make contacts who can be reached."""
    for first in range(0, count, 1_000):
        arrivals: list[Any] = [
            Arrival(
                "bench",
                f"c{number}",
                (("user_id", f"u{number}"),),
                Learned({"city": f"City {number % 50}", "push_token": f"t{number}"}, {"push": f"t{number}"}),
            )
            for number in range(first, min(first + 1_000, count))
        ]
        engine.accept(arrivals)
    engine.flush()


async def read(engine: Engine, count: int) -> tuple[float, float, float, float, float]:
    """Publish the journey; return seconds until the first message, all decided, all out, and of the processor for both."""
    channel, renderer = Taking(), Renderer()
    host = Embedded(engine, {"push": channel}, renderer.render, renderer.check)
    await host.start()
    await asyncio.sleep(0.2)
    started, used = time.perf_counter(), time.process_time()
    errors, _ = await host.publish([MESSAGE, JOURNEY])
    assert not errors, errors
    while engine.reading:  # noqa: ASYNC110 (the engine has no event to wait for)
        await asyncio.sleep(0.02)
    decided, decided_used = time.perf_counter() - started, time.process_time() - used
    while channel.count < count:  # noqa: ASYNC110 (nor has the channel)
        await asyncio.sleep(0.02)
    out_used = time.process_time() - used
    await host.close()
    return channel.first - started, decided, channel.last - started, decided_used, out_used


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=1_000_000)
    options = parser.parse_args()
    collect_seldom()
    count: int = options.contacts
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        path = Path(folder) / "parcours.db"
        store = SqliteStore(path)
        engine = Engine(store, SystemClock())
        engine.publish([SEGMENT])
        make_contacts(engine, count)
        store.close()
        engine = Engine(SqliteStore(path), SystemClock())
        first, decided, out, decided_used, out_used = asyncio.run(read(engine, count))
    print(f"reading: a segment of {count:,} contacts into a journey that sends each a message")
    print(f"  first message out   {first:.2f} s")
    print(f"  all decided         {decided:.1f} s ({count / decided:,.0f}/s; {decided_used:.1f} s of the processor)")
    print(f"  all out             {out:.1f} s ({count / out:,.0f}/s; {out_used:.1f} s of the processor)")


if __name__ == "__main__":
    main()
