"""How the demo talks to the service: by the public HTTP API, on one connection, as any client would."""

from __future__ import annotations

import base64
import http
import http.client
import queue
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import msgspec

from parcours.demo.dataset import DemoError

MESSAGES_A_BATCH = 500
BYTES_A_BATCH = 1_500_000
"""Well below the service's limit of 4 MB."""

_T = TypeVar("_T")

_TRIES = 5
_BATCHES_AHEAD = 4
_TIMEOUT = 60.0


class Statistic(msgspec.Struct, frozen=True):
    """How often something happened at a step of a journey."""

    journey: str
    version: int
    step: str
    what: str
    reason: str
    count: int


class Outgoing(msgspec.Struct, frozen=True):
    """How many of a message are in a state: `pending`, `sent` or `failed`."""

    channel: str
    message: str
    state: str
    count: int


class Report(msgspec.Struct, frozen=True):
    """What the service says of itself."""

    records: int
    contacts: int
    now: int
    statistics: list[Statistic]
    outbox: list[Outgoing]
    queued: int = 0
    """Inputs that are not folded yet."""
    reading: bool = False
    """Whether a segment is being read into a journey."""
    open_timers_due: int = 0
    """Contacts with timers that are due and have not fired yet."""

    def in_state(self, state: str) -> int:
        """Return how many messages are in a state."""
        return sum(row.count for row in self.outbox if row.state == state)


class Client:
    """One connection to the service.

    A request that was cut off is sent again: messages have ids, so the service takes each of them once.

    Args:
        url: Where the service listens.
        write_key: What senders of messages show.
        secret_key: What those show who publish and read.
    """

    def __init__(self, url: str, write_key: str, secret_key: str) -> None:
        self._address = urlsplit(url).netloc
        self._sender = "Basic " + base64.b64encode(f"{write_key}:".encode()).decode()
        self._owner = f"Bearer {secret_key}"
        self._connection = http.client.HTTPConnection(self._address, timeout=_TIMEOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def publish(self, definitions: list[dict[str, Any]]) -> None:
        """Put definitions in force."""
        self._request("PUT", "/v1/definitions", self._owner, msgspec.json.encode({"definitions": definitions}))

    def send(self, batch: bytes) -> None:
        """Hand over a batch; returning means that the service has it for good."""
        self._request("POST", "/v1/batch", self._sender, batch)

    def report(self) -> Report:
        """Ask what has come of everything."""
        answer = self._request("GET", "/v1/report", self._owner, None)
        try:
            return msgspec.convert(answer, Report)
        except msgspec.ValidationError as error:
            raise DemoError(f"the service's report cannot be read: {error}") from error

    def _request(self, method: str, path: str, authorization: str, body: bytes | None) -> Any:
        headers = {"Authorization": authorization, "Content-Type": "application/json"}
        failure = ""
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(0.2 * 2**attempt)
            try:
                self._connection.request(method, path, body, headers)
                response = self._connection.getresponse()
                answer = response.read()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                failure = f"{type(error).__name__}: {error}"
                continue
            if response.status == http.HTTPStatus.OK:
                return msgspec.json.decode(answer) if answer else None
            failure = f"{response.status} {answer[:500].decode('utf-8', 'replace')}"
            if response.status not in (429, 503):
                break
        raise DemoError(f"{method} {path} failed: {failure}")


def batches(messages: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield the bodies of batches, each with the number of messages in it."""
    waiting: list[bytes] = []
    size = 0
    for message in messages:
        if waiting and (len(waiting) == MESSAGES_A_BATCH or size + len(message) > BYTES_A_BATCH):
            yield len(waiting), _body(waiting)
            waiting, size = [], 0
        waiting.append(message)
        size += len(message) + 1
    if waiting:
        yield len(waiting), _body(waiting)


def _body(messages: list[bytes]) -> bytes:
    return b'{"batch":[' + b",".join(messages) + b"]}"


@contextmanager
def ahead(items: Iterable[_T]) -> Iterator[Iterator[_T]]:
    """Make the next few items in another thread while this one is busy with the present one."""
    made: queue.Queue[_T | _Over] = queue.Queue(_BATCHES_AHEAD)
    stopped = threading.Event()

    def put(item: _T | _Over) -> None:
        while not stopped.is_set():
            try:
                made.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def make() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                put(item)
                if stopped.is_set():
                    break
        except BaseException as caught:  # noqa: BLE001 (it is raised again where the items are used)
            error = caught
        put(_Over(error))

    def use() -> Iterator[_T]:
        while True:
            item = made.get()
            if not isinstance(item, _Over):
                yield item
                continue
            if item.error is not None:
                raise item.error
            return

    thread = threading.Thread(target=make, name="demo-data", daemon=True)
    thread.start()
    try:
        yield use()
    finally:
        stopped.set()
        thread.join()


class _Over:
    """The end of the items, or what went wrong in making them."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error
