"""What the benchmarks of the whole service share: the service as a process of its own, and a client that costs little."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

WRITE, SECRET = "bench-write", "bench-secret"


class Service:
    """A running `parcours serve`."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API and return its answer."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

    def wait_until_sent(self, seconds: float = 300.0) -> dict[str, Any]:
        """Wait until no message is pending and return the report."""
        until = time.monotonic() + seconds
        while True:
            report = self.call("GET", "/v1/report")
            if not report["queued"] and not any(row["state"] == "pending" for row in report["outbox"]):
                return report
            assert time.monotonic() < until, "messages are still pending"
            time.sleep(0.02)


@contextlib.contextmanager
def service(data: Path, *options: str) -> Iterator[Service]:
    """Start the service on a free port and end it."""
    command = [sys.executable, "-m", "parcours", "serve", "--port", "0", "--data", str(data)]
    command += ["--write-key", WRITE, "--secret-key", SECRET, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"listening on http://127\.0\.0\.1:(\d+)", line)
        assert found, line
        yield Service(int(found[1]))
    finally:
        process.terminate()
        process.wait(timeout=60)


def request_of(path: str, body: bytes) -> bytes:
    """Return the bytes of a request."""
    token = base64.b64encode(f"{WRITE}:".encode()).decode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic {token}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _post_all(port: int, requests: Sequence[bytes], connections: int) -> list[float]:
    queue = iter(requests)
    spent: list[float] = []

    async def work() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for request in queue:
            start = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(re.search(rb"content-length: (\d+)", head)[1])  # type: ignore[index]
            body = await reader.readexactly(length)
            spent.append(time.perf_counter() - start)
            assert head.startswith(b"HTTP/1.1 200"), (head, body)
        writer.close()

    await asyncio.gather(*(work() for _ in range(connections)))
    return spent


def post_all(port: int, requests: Sequence[bytes], connections: int) -> tuple[float, list[float]]:
    """Post requests over so many connections; return the seconds in all and of each."""
    start = time.perf_counter()
    spent = asyncio.run(_post_all(port, requests, connections))
    return time.perf_counter() - start, spent
