"""Whatever is sent to the ingest door, the answer is never a 5xx, and what it says is true."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from parcours.core.gate import Arrival
from parcours.runtimes.clocks import SystemClock
from parcours.runtimes.engine import Engine, Outcome
from parcours.stores.memory import MemoryStore
from parcours.web.auth import Keys, hash_key
from parcours.web.ingest import TYPES, Ingest
from tests.core.world import email, journey, send, wait
from tests.profiles import examples
from tests.service import SECRET_KEY, WRITE_KEY, Answer
from tests.web.asgi import call

STRICT = {
    "kind": "interaction", "name": "Strict", "strict": True,
    "attributes": {"n": {"type": "number", "required": True}, "when": {"type": "datetime"}},
}  # fmt: skip


class Direct:
    """Stands where the host does, and folds at once."""

    def __init__(self) -> None:
        self.engine = Engine(MemoryStore(), SystemClock())
        mail = email("m", purpose="transactional", topic="x")
        self.engine.publish(
            [STRICT, mail, journey({"s": send("m", next="w"), "w": wait("1d")}, on="a", re_entry="never")]
        )

    async def submit(self, arrivals: Sequence[Arrival]) -> list[Outcome]:
        return self.engine.accept(arrivals)


class Door:
    def __init__(self) -> None:
        self.host = Direct()
        self.app = Ingest(self.host, Keys(hash_key(WRITE_KEY), hash_key(SECRET_KEY)), 100_000)  # type: ignore[arg-type]
        self.runner = asyncio.Runner()

    def send(self, body: bytes | list[bytes], path: str = "/v1/batch", headers: dict[str, str] | None = None) -> Answer:
        return self.runner.run(call(self.app, "POST", path, body, key=WRITE_KEY, headers=headers))

    def records(self) -> int:
        return self.host.engine.store.last_position()


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    door = Door()
    yield door
    door.runner.close()


texts = st.text(st.characters(), max_size=8) | st.sampled_from(
    [
        "", "\0", "\ud800", "a\udfff", "track", "identify", "page", "Email Opened", "Unsubscribed", "strict", "a", "1",
        "2026-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999Z", "2026-01-01", "P1D",
        "000000000000000-0000000000000000", "opted_in", "a@b.dev", "email",
    ]
)  # fmt: skip
numbers = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([2**63, 2**64, -(2**63) - 1, 10**400, 0, 1767225600]),
)
keys = st.sampled_from(
    [
        "type", "event", "userId", "anonymousId", "messageId", "timestamp", "sentAt", "properties", "traits", "context",
        "name", "consent", "email", "push", "push_token", "device", "token", "message_id", "topic", "n", "when",
        "batch", "/", "~", "previousId", "groupId",
    ]
) | texts  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
messages = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["track", "track", "identify", "page", "screen"]) | values,
        "event": st.sampled_from(["a", "Strict", "Email Opened", "Unsubscribed"]) | values,
        "userId": st.sampled_from(["1", "2", 3]) | values,
        "anonymousId": values,
        "messageId": texts | values,
        "timestamp": texts | values,
        "sentAt": texts | values,
        "properties": st.dictionaries(keys, values, max_size=4) | values,
        "traits": st.dictionaries(keys, values, max_size=4) | values,
        "context": values,
    },
)


def check(answer: Answer, before: int, door: Door) -> None:
    """The answer is one of those the door knows, and what it says of the log is so."""
    assert answer.status in {200, 400, 413}
    said = answer.json
    if answer.status == 200:
        assert said == {"success": True}
        return
    assert not said["success"]
    assert said["errors"]
    assert door.records() - before == said["accepted"]
    for error in said["errors"]:
        assert error["code"]
        assert error["error"]


@examples(300)
@given(st.lists(messages | values, max_size=4))
@example([{"type": "track", "event": "a", "userId": 10**400}])
@example([{"type": "identify", "userId": "1", "traits": {"consent": {"\ud800": True}}}])
def test_any_messages(door: Door, batch: list[Any]):
    """In whatever company, the first and the last message are accepted; every other is accepted, repeated or named."""
    before = door.records()
    good = [{"type": "track", "event": "good", "userId": "good"}] * 2
    answer = door.send(json.dumps({"batch": [good[0], *batch, good[1]]}).encode())
    check(answer, before, door)
    if answer.status == 200:
        assert door.records() - before >= 2
        return
    said = answer.json
    assert said["accepted"] >= 2
    assert said["accepted"] + said["duplicates"] + said["rejected"] == len(batch) + 2
    places = [error["index"] for error in said["errors"]]
    assert all(0 < place <= len(batch) for place in places)
    assert len(set(places)) == len(places)
    assert all(error["pointer"].startswith(f"/batch/{error['index']}") for error in said["errors"])


@examples(150)
@given(st.sampled_from(sorted(TYPES)), values | messages)
def test_any_json(door: Door, path: str, value: Any):
    before = door.records()
    check(door.send(json.dumps(value).encode(), path), before, door)


@examples(150)
@given(st.sampled_from(sorted(TYPES)), st.binary(max_size=200), st.sampled_from(["", "gzip"]), st.booleans())
def test_any_bytes(door: Door, path: str, body: bytes, encoding: str, packed: bool):
    before = door.records()
    headers = {"Content-Encoding": encoding} if encoding else {}
    check(door.send(gzip.compress(body) if packed else body, path, headers), before, door)


VALID = json.dumps(
    {
        "batch": [
            {
                "type": "track", "event": "Strict", "userId": "1", "timestamp": "2026-01-01T00:00:00.000Z",
                "properties": {"n": 1.5, "when": "2026-01-01T00:00:00+01:00"},
            },
            {"type": "identify", "userId": "é", "traits": {"consent": {"email": True}, "email": "a@b.dev"}},
        ],
        "sentAt": "2026-01-01T00:00:01.000Z",
    }
).encode()  # fmt: skip


@examples(300)
@given(st.data())
def test_a_body_with_bytes_changed_left_out_and_put_in(door: Door, data: st.DataObject):
    body = bytearray(VALID)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(body) - 1))
        match data.draw(st.sampled_from(["change", "cut", "put", "double"])):
            case "change":
                body[place] = data.draw(st.integers(0, 255))
            case "cut":
                del body[place : place + data.draw(st.integers(1, 20))]
            case "put":
                body[place:place] = data.draw(
                    st.sampled_from([b'"', b"\\", b"{", b"]", b",", b"\0", b"\\ud800", b"e999"])
                )
            case _:
                body[place:place] = body[place : place + 30]
    before = door.records()
    check(door.send(bytes(body)), before, door)


@examples(100)
@given(st.lists(st.integers(0, len(VALID)), max_size=5), st.booleans())
def test_a_body_in_any_parts_is_the_same_body(door: Door, cuts: list[int], packed: bool):
    body = gzip.compress(VALID) if packed else VALID
    places = sorted({0, len(body), *(min(cut, len(body)) for cut in cuts)})
    parts = [body[start:end] for start, end in itertools.pairwise(places)]
    before = door.records()
    answer = door.send(parts, headers={"Content-Encoding": "gzip"} if packed else {})
    assert answer.status == 200
    assert door.records() - before == 2
