"""From an interaction to its message: posted over HTTP, decided, durable, rendered, received by a local push provider.

Three measurements: one at a time on an idle service; 20,000 interactions of 20,000 new contacts with one push each; a
burst of 1,000 interactions over 50 contacts. Every message is counted at the receiver by its id.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.service import Service, request_of, service
from benchmarks.workload import batches

DEFINITIONS: list[dict[str, Any]] = [
    {
        "kind": "message",
        "name": "hello",
        "channel": "push",
        "purpose": "transactional",
        "content": {"title": "Hello {{ interaction.who }}", "body": "Your number is {{ interaction.number }}."},
    },
    {
        "kind": "journey",
        "name": "greet",
        "entry": {"type": "interaction", "interaction": "Greeted"},
        "re_entry": "always",
        "start": "send",
        "steps": {"send": {"type": "send", "messages": ["hello"]}},
    },
]

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Provider(asyncio.Protocol):
    """One connection to the push provider: reads requests and answers 200."""

    def __init__(self, received: Callable[[str], None]) -> None:
        self._received = received
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = int(_LENGTH.search(self._buffer, 0, end)[1])  # type: ignore[index]
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            self._received(json.loads(body)["message_id"])
            self._transport.write(_ANSWER)


def track(number: int, user: str) -> dict[str, Any]:
    """Return one interaction."""
    return {
        "type": "track",
        "event": "Greeted",
        "userId": user,
        "messageId": f"{user}-{number}",
        "properties": {"who": user, "number": number},
    }


def identify(user: str) -> dict[str, Any]:
    """Return what makes a contact reachable."""
    return {"type": "identify", "userId": user, "messageId": f"known-{user}", "traits": {"push_token": f"token-{user}"}}


class Bench:
    """Posts interactions and watches the messages come in."""

    def __init__(self, live: Service, received: Counter[str], arrived: asyncio.Event) -> None:
        self.live = live
        self.received = received
        self.arrived = arrived

    async def post(self, requests: list[bytes], connections: int) -> None:
        """Post every request and see it accepted."""
        queue = iter(requests)

        async def work() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.live.port)
            for request in queue:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(_LENGTH.search(head)[1]))  # type: ignore[index]
                assert head.startswith(b"HTTP/1.1 200"), head
            writer.close()

        await asyncio.gather(*(work() for _ in range(connections)))

    async def until(self, count: int, seconds: float = 120.0) -> None:
        """Wait until so many messages came in."""
        async with asyncio.timeout(seconds):
            while self.received.total() < count:
                self.arrived.clear()
                await self.arrived.wait()

    async def idle(self, tries: int) -> list[float]:
        """Return the seconds from posting an interaction to its message, one at a time."""
        await self.post([request_of("/v1/identify", json.dumps(identify("idle")).encode())], 1)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.live.port)
        spent = []
        for number in range(tries):
            request = request_of("/v1/track", json.dumps(track(number, "idle")).encode())
            before = self.received.total()
            start = time.perf_counter()
            writer.write(request)
            await self.until(before + 1)
            spent.append(time.perf_counter() - start)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(_LENGTH.search(head)[1]))  # type: ignore[index]
        writer.close()
        return spent

    async def flood(self, contacts: int) -> tuple[float, float]:
        """Return the seconds until all interactions of new contacts were accepted, and until all messages came."""
        known = [
            request_of("/v1/batch", body) for body in batches((identify(f"new-{n}") for n in range(contacts)), 100)
        ]
        await self.post(known, 8)
        requests = [
            request_of("/v1/batch", body) for body in batches((track(n, f"new-{n}") for n in range(contacts)), 100)
        ]
        self.received.clear()
        start = time.perf_counter()
        await self.post(requests, 8)
        accepted = time.perf_counter() - start
        await self.until(contacts)
        return accepted, time.perf_counter() - start

    async def burst(self, count: int, contacts: int) -> float:
        """Return the seconds until a burst over few contacts was answered by as many messages."""
        users = [f"new-{n}" for n in range(contacts)]
        requests = [
            request_of("/v1/track", json.dumps(track(1_000_000 + n, users[n % contacts])).encode())
            for n in range(count)
        ]
        self.received.clear()
        start = time.perf_counter()
        await self.post(requests, 64)
        await self.until(count)
        return time.perf_counter() - start


async def measure(folder: Path, contacts: int) -> None:
    """Run the three measurements and print them."""
    received: Counter[str] = Counter()
    arrived = asyncio.Event()

    def note(message_id: str) -> None:
        received[message_id] += 1
        arrived.set()

    provider = await asyncio.get_running_loop().create_server(lambda: Provider(note), "127.0.0.1", 0)
    port = provider.sockets[0].getsockname()[1]
    with service(folder, "--push-url", f"http://127.0.0.1:{port}/push") as live:
        await asyncio.to_thread(live.call, "PUT", "/v1/definitions", {"definitions": DEFINITIONS})
        bench = Bench(live, received, arrived)
        spent = sorted(await bench.idle(200))
        print("messages: posted over HTTP → decided, durable → rendered → at a local push provider")
        p95 = spent[int(len(spent) * 0.95)] * 1e3
        print(f"  idle, one at a time: p50 {statistics.median(spent) * 1e3:.2f} ms, p95 {p95:.2f} ms")
        accepted, seconds = await bench.flood(contacts)
        settled = await asyncio.to_thread(live.wait_until_sent)
        twice = sum(count - 1 for count in received.values())
        print(
            f"  {contacts:,} interactions of {contacts:,} contacts: {contacts / seconds:,.0f} messages/s end to end"
            f" (accepted at {contacts / accepted:,.0f}/s); lost {contacts - len(received):,}, twice {twice:,}"
        )
        seconds = await bench.burst(1_000, 50)
        settled = await asyncio.to_thread(live.wait_until_sent)
        states = {row["state"]: row["count"] for row in settled["outbox"]}
        print(
            f"  burst of 1,000 over 50 contacts: {received.total():,} messages, {len(received):,} different,"
            f" in {seconds:.2f} s; outbox {states}"
        )
    provider.close()
    await provider.wait_closed()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        asyncio.run(measure(Path(folder), options.contacts))


if __name__ == "__main__":
    main()
