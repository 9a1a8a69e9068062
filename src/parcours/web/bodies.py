"""What the raw ASGI doors share: a request's body within its limits, and a JSON answer."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

from parcours.errors import ParcoursError, Problem

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class StatusError(ParcoursError):
    """The request is answered with this status and nothing is kept of it; it may come again after some seconds."""

    def __init__(self, status: int, code: str, message: str, hint: str = "", retry_after: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.retry_after = retry_after
        self.problem = Problem(code=code, message=message, hint=hint)


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, largest: int) -> bytes:
    """Return the body of a request, unpacked when it is gzip.

    Args:
        headers: The request's headers by name in lower case; `content-length` and `content-encoding` are looked at.
        receive: ASGI's way to the body.
        largest: Bytes it may have, as sent and unpacked.

    Raises:
        StatusError: 413 too large, 415 an encoding other than gzip, 400 not complete or not gzip.
    """
    return _unpack(*await _receive(headers, receive, largest), largest)


async def read_raw_body(headers: Mapping[bytes, bytes], receive: Receive, largest: int) -> tuple[bytes, bytes]:
    """Return a body as it was sent, over which a signature goes, and the same unpacked. See `read_body`.

    Raises:
        StatusError: As `read_body`.
    """
    raw, packed = await _receive(headers, receive, largest)
    return raw, _unpack(raw, packed, largest)


async def _receive(headers: Mapping[bytes, bytes], receive: Receive, largest: int) -> tuple[bytes, bool]:
    """Return a body as it was sent, and whether it is said or seen to be gzip."""
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > largest:
        raise too_large(largest)
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding not in {b"identity", b"gzip", b""}:
        raise StatusError(415, "unknown_encoding", "the body is neither plain nor gzip")
    parts: list[bytes] = []
    size = 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise StatusError(400, "incomplete_body", "the connection was closed before the body was complete")
        part = event.get("body", b"")
        size += len(part)
        if size > largest:
            raise too_large(largest)
        parts.append(part)
        if not event.get("more_body"):
            break
    body = parts[0] if len(parts) == 1 else b"".join(parts)
    return body, encoding == b"gzip" or body[:2] == b"\x1f\x8b"


def _unpack(body: bytes, packed: bool, largest: int) -> bytes:  # noqa: FBT001 (it goes with the body)
    if not packed:
        return body
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(body, largest + 1)
    except zlib.error as error:
        raise StatusError(400, "invalid_gzip", f"the body is not gzip: {error}") from None
    if len(plain) > largest:
        raise too_large(largest)
    if not unpacker.eof:
        raise StatusError(400, "invalid_gzip", "the body is not complete gzip")
    if unpacker.unused_data:
        raise StatusError(400, "invalid_gzip", "something follows the gzip in the body")
    return plain


def too_large(largest: int) -> StatusError:
    """Return the answer to a body of more bytes than that."""
    return StatusError(413, "body_too_large", f"the body is larger than {largest} bytes", "send it in smaller parts")


async def respond(
    send: Send, status: int, body: bytes, retry_after: int = 0, more: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Send a JSON answer, with `more` headers if need be.

    The connection stays open, also when the body was not read to its end: the server passes over the rest. To hang up
    on a client that is still sending would take the answer from it.
    """
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *more]
    if retry_after:
        headers.append((b"retry-after", str(retry_after).encode()))
    if status == 401:  # noqa: PLR2004 (the status itself)
        headers.append((b"www-authenticate", b'Basic realm="parcours"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
