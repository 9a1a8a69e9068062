"""Calls an ASGI application in process, as plainly as the protocol allows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from tests.service import Answer, basic


async def call(
    app: Any,
    method: str,
    path: str,
    body: bytes | Sequence[bytes] = b"",
    *,
    key: str | None = None,
    headers: dict[str, str] | None = None,
    query: str = "",
) -> Answer:
    """Send one request; a body given in parts comes in parts."""
    parts = [body] if isinstance(body, bytes) else list(body) or [b""]
    events = [
        {"type": "http.request", "body": part, "more_body": index < len(parts) - 1} for index, part in enumerate(parts)
    ]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [
            (name.lower().encode(), value.encode("latin-1"))
            for name, value in {**basic(key), "Content-Type": "application/json", **(headers or {})}.items()
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    sent: list[dict[str, Any]] = []
    answered = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if events:
            return events.pop(0)
        await answered.wait()
        return {"type": "http.disconnect"}

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)
        if event["type"] == "http.response.body" and not event.get("more_body"):
            answered.set()

    await app(scope, receive, send)
    start, *rest = sent
    found = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], found, b"".join(event.get("body", b"") for event in rest))
