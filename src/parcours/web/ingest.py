"""The Segment protocol over HTTP, as plain ASGI: the hot door, where every microsecond is paid by each input.

| answer | when                                                                                               |
|--------|----------------------------------------------------------------------------------------------------|
| 200    | everything was accepted (or had been before); it is durable                                        |
| 400    | something is wrong with the body or with some messages; `errors` says which, where and why, and every other message was accepted |
| 401    | no write key, or a wrong one                                                                       |
| 403    | the key may not send what came                                                                     |
| 413    | the body is too large, as sent or once unpacked                                                    |
| 415    | an encoding other than gzip                                                                        |
| 429    | nothing was kept, for it is more than the key may send; send it again after `Retry-After` seconds  |
| 503    | nothing was kept; send it again after `Retry-After` seconds                                        |
"""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from parcours.core.gate import Learned
from parcours.errors import Problem, StoreError
from parcours.runtimes.clocks import wall_time
from parcours.runtimes.embedded import Embedded, OverloadedError
from parcours.runtimes.engine import Accepted, Refused
from parcours.sources.segment import MalformedError, Read, SegmentReader
from parcours.web.auth import NOT_ALLOWED, Holder, Keys, not_allowed
from parcours.web.bodies import Receive, Scope, Send, StatusError, read_body, respond, too_large

_TYPES = ("track", "identify", "page", "screen", "group", "alias", "batch")

TYPES = {f"/v1/{name}": type_ for type_ in _TYPES for name in (type_, type_[0])}
"""The paths of this door; the browser library uses the short ones."""

_SETTINGS = ("/v1/projects/", "/settings")
"""Around the write key in the path at which the browser library asks for its settings."""

_CONTACTS = frozenset({"identify", "group", "alias"})
"""The types that tell of contacts; the others are interactions, and reactions to messages. A batch may hold both."""

_TELL_OF_CONTACTS = _CONTACTS | {"batch"}

MOST_ERRORS = 100
"""Errors listed in one answer; all are counted."""

_SUCCESS = b'{"success":true}'
_encode = msgspec.json.Encoder().encode


class Error(msgspec.Struct, omit_defaults=True, rename="camel"):
    """What is wrong with one message: `index` is its place in the batch."""

    index: int | None
    message_id: str
    code: str
    pointer: str
    error: str
    hint: str = ""


class Answer(msgspec.Struct, rename="camel"):
    """What became of a body that was not accepted as a whole."""

    success: bool
    accepted: int
    duplicates: int
    rejected: int
    errors: list[Error]


class Ingest:
    """The ASGI application of the ingest paths.

    Args:
        host: Where arrivals go.
        keys: Who may send.
        largest_body: Bytes a body may have, as sent and unpacked.
    """

    def __init__(self, host: Embedded, keys: Keys, largest_body: int) -> None:
        self._host = host
        self._keys = keys
        self._largest = largest_body
        self._readers: dict[str, SegmentReader] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["method"] == "OPTIONS":
            await respond(send, 204, b"", more=_CORS)
            return
        try:
            status, body, retry_after = await self._answer(scope, receive)
        except StatusError as error:
            status, body, retry_after = error.status, _encode(_failure(error.problem)), error.retry_after
        await respond(send, status, body, retry_after, _CORS)

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, bytes, int]:
        if scope["path"] not in TYPES:
            return self._settings(scope)
        if scope["method"] != "POST":
            raise StatusError(405, "method_not_allowed", "this path takes POST")
        headers = {name: value for name, value in scope["headers"] if name in _HEADERS}
        type_ = TYPES[scope["path"]]
        authorization = headers.get(b"authorization", b"").decode("latin-1")
        if authorization:
            holder = self._allowed(self._keys.sender(authorization), type_)
            body = await read_body(headers, receive, holder.largest(self._largest))
            if holder.revoked:
                raise self._wrong_key()
        else:
            # A browser cannot set the header without asking first, so its library puts the key into the body.
            body = await read_body(headers, receive, self._largest)
            holder = self._allowed(self._keys.find(_key_in_body(body)), type_)
            if len(body) > (largest := holder.largest(self._largest)):
                raise too_large(largest)
        reader = self._readers.get(holder.key.source) or self._reader_of(holder.key.source)
        try:
            read = reader.batch(body) if type_ == "batch" else reader.single(body, type_)
        except MalformedError as error:
            self._keys.charge(holder, 1)
            return 400, _encode(_failure(error.problem)), 0
        self._keys.charge(holder, len(read.arrivals) + len(read.problems))
        if not (holder.interactions and holder.contacts):
            _refuse_others(read, holder)
        try:
            outcomes = await self._host.submit(read.arrivals)
        except (OverloadedError, StoreError) as error:
            problem = Problem(code=error.code, message=error.message, hint=error.hint)
            return 503, _encode(_failure(problem)), 1
        if not read.problems and all(type(outcome) is not Refused for outcome in outcomes):
            return 200, _SUCCESS, 0
        return 400, _encode(_answer(read, outcomes)), 0

    def _allowed(self, holder: Holder | None, type_: str) -> Holder:
        """Return who sends, if the key is right and something of a type may be sent with it."""
        if holder is None:
            raise self._wrong_key()
        if not ((holder.interactions and type_ not in _CONTACTS) or (holder.contacts and type_ in _TELL_OF_CONTACTS)):
            raise not_allowed()
        return holder

    def _wrong_key(self) -> StatusError:
        return self._keys.wrong_key(
            "no write key, or a wrong one", "send it as the user name of HTTP Basic authentication"
        )

    def _reader_of(self, source: str) -> SegmentReader:
        """Return a new reader for a source; there are as many as keys have sources."""
        reader = self._readers[source] = SegmentReader(source, wall_time, lambda: str(uuid.uuid4()))
        return reader

    def _settings(self, scope: Scope) -> tuple[int, bytes, int]:
        """Tell the browser library where to send to."""
        if scope["method"] not in {"GET", "HEAD"}:
            raise StatusError(405, "method_not_allowed", "this path takes GET")
        before, after = _SETTINGS
        key = scope["path"][len(before) : -len(after)]
        self._allowed(self._keys.find(key), "batch")
        host = dict(scope["headers"]).get(b"host", b"localhost").decode("latin-1")
        secure = "https" if scope.get("scheme") == "https" else "http"
        destination = {"apiKey": key, "apiHost": f"{host}/v1", "protocol": secure}
        # Nothing is loaded for other integrations, and no figures of the library are sent to its maker.
        answer = {"integrations": {"Segment.io": destination}, "metrics": {"sampleRate": 0}, "plan": {}}
        return 200, _encode(answer), 0


_HEADERS = frozenset({b"authorization", b"content-length", b"content-encoding"})


_CORS = (
    # The write key may be known to anybody who looks at a page, so any page may send with it.
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    # The browser library counts its further tries in a header, and a page may have it send more; all but the first may
    # stand for a star.
    (b"access-control-allow-headers", b"authorization, content-type, content-encoding, x-retry-count, *"),
    (b"access-control-expose-headers", b"retry-after"),
    (b"access-control-max-age", b"86400"),
)


def _refuse_others(read: Read, holder: Holder) -> None:
    """Refuse the messages of a batch that a key may not send; the others go on."""
    kept = Read(problems=read.problems)
    for arrival, place, id_ in zip(read.arrivals, read.places, read.message_ids, strict=True):
        if holder.contacts if isinstance(arrival.what, Learned) else holder.interactions:
            kept.arrivals.append(arrival)
            kept.places.append(place)
            kept.message_ids.append(id_)
        else:
            problem = msgspec.structs.replace(NOT_ALLOWED, pointer=f"/batch/{place}/type")
            kept.problems.append((place, id_, problem))
    read.arrivals, read.places, read.message_ids = kept.arrivals, kept.places, kept.message_ids


def _failure(problem: Problem) -> Answer:
    return Answer(success=False, accepted=0, duplicates=0, rejected=0, errors=[_error(None, "", problem)])


def _error(index: int | None, message_id: str, problem: Problem) -> Error:
    return Error(index, message_id, problem.code, problem.pointer, problem.message, problem.hint)


def _answer(read: Read, outcomes: list[Any]) -> Answer:
    errors = [_error(index if index >= 0 else None, id_, problem) for index, id_, problem in read.problems]
    accepted = duplicates = 0
    for place, message_id, outcome in zip(read.places, read.message_ids, outcomes, strict=True):
        if isinstance(outcome, Refused):
            problem = outcome.problem
            if place >= 0:
                problem = msgspec.structs.replace(problem, pointer=f"/batch/{place}{problem.pointer}")
            errors.append(_error(place if place >= 0 else None, message_id, problem))
        elif isinstance(outcome, Accepted):
            accepted += 1
        else:
            duplicates += 1
    rejected = len(errors)
    errors.sort(key=lambda error: -1 if error.index is None else error.index)
    return Answer(
        success=False, accepted=accepted, duplicates=duplicates, rejected=rejected, errors=errors[:MOST_ERRORS]
    )


class _Keyed(msgspec.Struct, rename="camel"):
    write_key: str = ""


_keyed = msgspec.json.Decoder(_Keyed)


def _key_in_body(body: bytes) -> str:
    try:
        return _keyed.decode(body).write_key
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def is_ingest(path: str) -> bool:
    """Return whether a path belongs to this door."""
    before, after = _SETTINGS
    return path in TYPES or (path.startswith(before) and path.endswith(after) and len(path) > len(before) + len(after))
