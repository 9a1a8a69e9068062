"""The Segment protocol over HTTP, as plain ASGI: the hot door, where every microsecond is paid by each input.

| answer | when                                                                                               |
|--------|----------------------------------------------------------------------------------------------------|
| 200    | everything was accepted (or had been before); it is durable                                        |
| 400    | something is wrong with the body or with some messages; `errors` says which, where and why, and every other message was accepted |
| 401    | no write key, or a wrong one                                                                       |
| 413    | the body is too large, as sent or once unpacked                                                    |
| 415    | an encoding other than gzip                                                                        |
| 503    | nothing was kept; send it again after `Retry-After` seconds                                        |
"""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from parcours.errors import Problem, StoreError
from parcours.runtimes.clocks import wall_time
from parcours.runtimes.embedded import Embedded, OverloadedError
from parcours.runtimes.engine import Accepted, Refused
from parcours.sources.segment import MalformedError, Read, SegmentReader
from parcours.web.auth import Keys
from parcours.web.bodies import Receive, Scope, Send, StatusError, read_body, respond

_TYPES = ("track", "identify", "page", "screen", "group", "alias", "batch")

TYPES = {f"/v1/{name}": type_ for type_ in _TYPES for name in (type_, type_[0])}
"""The paths of this door; the browser library uses the short ones."""

_SETTINGS = ("/v1/projects/", "/settings")
"""Around the write key in the path at which the browser library asks for its settings."""

SOURCE = "default"
"""The one source there is until write keys are many; message ids are told apart by source."""

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
        self._reader = SegmentReader(SOURCE, wall_time, lambda: str(uuid.uuid4()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["method"] == "OPTIONS":
            await respond(send, 204, b"", more=_CORS)
            return
        try:
            status, body, retry_after = await self._answer(scope, receive)
        except StatusError as error:
            status, body, retry_after = error.status, _encode(_failure(error.problem)), 0
        await respond(send, status, body, retry_after, _CORS)

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, bytes, int]:
        if scope["path"] not in TYPES:
            return self._settings(scope)
        if scope["method"] != "POST":
            raise StatusError(405, "method_not_allowed", "this path takes POST")
        headers = {name: value for name, value in scope["headers"] if name in _HEADERS}
        authorization = headers.get(b"authorization", b"").decode("latin-1")
        if authorization:
            self._check_key(authorization)
        body = await read_body(headers, receive, self._largest)
        if not authorization:
            # A browser cannot set the header without asking first, so its library puts the key into the body.
            self._check_key(f"Bearer {_key_in_body(body)}")
        try:
            type_ = TYPES[scope["path"]]
            read = self._reader.batch(body) if type_ == "batch" else self._reader.single(body, type_)
        except MalformedError as error:
            return 400, _encode(_failure(error.problem)), 0
        try:
            outcomes = await self._host.submit(read.arrivals)
        except (OverloadedError, StoreError) as error:
            problem = Problem(code=error.code, message=error.message, hint=error.hint)
            return 503, _encode(_failure(problem)), 1
        if not read.problems and all(type(outcome) is not Refused for outcome in outcomes):
            return 200, _SUCCESS, 0
        return 400, _encode(_answer(read, outcomes)), 0

    def _check_key(self, authorization: str) -> None:
        if not self._keys.may_send(authorization):
            raise StatusError(
                401,
                "wrong_key",
                "no write key, or a wrong one",
                "send it as the user name of HTTP Basic authentication",
            )

    def _settings(self, scope: Scope) -> tuple[int, bytes, int]:
        """Tell the browser library where to send to."""
        if scope["method"] not in {"GET", "HEAD"}:
            raise StatusError(405, "method_not_allowed", "this path takes GET")
        before, after = _SETTINGS
        key = scope["path"][len(before) : -len(after)]
        self._check_key(f"Bearer {key}")
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
    (b"access-control-allow-headers", b"authorization, content-type, content-encoding"),
    (b"access-control-max-age", b"86400"),
)


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
