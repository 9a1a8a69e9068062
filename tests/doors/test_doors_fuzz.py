"""Whatever is sent to the doors, the answer is never a 5xx, and what it says is true."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcours.core.gate import Arrival
from parcours.runtimes.clocks import SystemClock
from parcours.runtimes.engine import Engine, Outcome
from parcours.sources.webhooks import BUILT_IN, load_webhooks, read_mapping
from parcours.stores.memory import MemoryStore
from parcours.web.auth import Keys, hash_key
from parcours.web.doors import Doors
from tests.doors import payloads
from tests.profiles import examples
from tests.service import SECRET_KEY, WRITE_KEY, Answer
from tests.web.asgi import call


class Direct:
    """Stands where the host does, and folds at once."""

    def __init__(self) -> None:
        self.engine = Engine(MemoryStore(), SystemClock())

    async def submit(self, arrivals: Sequence[Arrival]) -> list[Outcome]:
        return self.engine.accept(arrivals)


class Fuzzed:
    def __init__(self) -> None:
        self.host = Direct()
        webhooks = {**load_webhooks(BUILT_IN), "shop": read_mapping("shop", payloads.SHOP)}
        keys = Keys(hash_key(WRITE_KEY), hash_key(SECRET_KEY))
        self.app = Doors(self.host, keys, 100_000, webhooks, payloads.SECRETS)  # type: ignore[arg-type]
        self.runner = asyncio.Runner()

    def send(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        """Send, and hold the answer to what it says of the log."""
        before = self.host.engine.store.last_position()
        answer = self.runner.run(call(self.app, "POST", path, body, key=SECRET_KEY, headers=dict(headers or {})))
        assert answer.status in {200, 400, 401, 413, 415}
        added = self.host.engine.store.last_position() - before
        said = answer.json
        if path.endswith("/try"):
            assert added == 0
            return answer
        found = [result["status"] for result in said["results"]]
        assert [found.count(status) for status in ("accepted", "duplicate", "rejected")] == [
            said["accepted"], said["duplicates"], said["rejected"],
        ]  # fmt: skip
        assert added == said["accepted"]
        for result in said["results"]:
            assert ("error" in result) == (result["status"] == "rejected")
        if answer.status != 200:
            assert "error" in said or said["rejected"]
        return answer


@pytest.fixture(scope="module")
def door() -> Iterator[Fuzzed]:
    door = Fuzzed()
    yield door
    door.runner.close()


texts = st.text(st.characters(), max_size=8) | st.sampled_from(
    [
        "", "\0", "\ud800", "1.0", "user_id", "user_id:1", "email", "a@b.dev", "2026-01-01T00:00:00Z", "2026-01-01",
        "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999Z", "application/json", "e30=", "NaN", "-inf", "opted_in",
    ]
)  # fmt: skip
numbers = (
    st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([2**63, 2**64, 10**400, 1767225600])
)
keys = st.sampled_from(["user_id", "anonymous_id", "email", "push", "items", "/", "~", "news"]) | texts
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=10,
)


def objects(*fields: str, **likely: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects with some of these fields, with values that are likely or any."""
    return st.fixed_dictionaries(
        {}, optional={field: likely[field] | values if field in likely else values for field in (*fields, *likely)}
    )


contacts = st.sampled_from([{"user_id": "1"}, {"email": "a@b.dev"}])
ids = st.sampled_from(["a", "b", "c"])
items = objects(
    "occurred_at",
    "attributes",
    "consent",
    "backfill",
    "lists",
    "evidence",
    "colour",
    name=st.just("a"),
    contact=contacts,
    id=ids,
)
events = objects(
    "data", "data_base64", "datacontenttype",
    specversion=st.just("1.0"), id=ids, source=st.just("/x"), type=st.just("a"), subject=st.just("1"),
    time=st.just("2026-01-01T00:00:00Z"),
)  # fmt: skip
modes = st.sampled_from(
    ["application/cloudevents+json", "application/cloudevents-batch+json", "application/json", "text/plain", ""]
)


@examples(150)
@given(st.sampled_from(["/v1/interactions", "/v1/contacts"]), st.lists(items | values, max_size=4))
def test_any_items(door: Fuzzed, path: str, batch: list[Any]):
    good = {"contact": {"user_id": "good"}} | ({"name": "good"} if path.endswith("interactions") else {})
    answer = door.send(path, json.dumps({"items": [good, *batch, good]}).encode())
    results = answer.json["results"]
    assert len(results) == len(batch) + 2
    assert results[0]["status"] == results[-1]["status"] == "accepted"


@examples(150)
@given(
    st.sampled_from(["/v1/interactions", "/v1/contacts"]), items | values | st.builds(lambda it: {"items": it}, values)
)
def test_any_json(door: Fuzzed, path: str, value: Any):
    door.send(path, json.dumps(value).encode())


@examples(150)
@given(modes, events | st.lists(events | values, max_size=3) | values)
def test_any_event(door: Fuzzed, mode: str, value: Any):
    door.send("/v1/cloudevents", json.dumps(value).encode(), {"Content-Type": mode})


header_texts = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=12) | st.sampled_from(
    ["1.0", "a", "user_id:1", "%00", "%ff", "%", '"', '"a\\"', "2026-01-01T00:00:00Z", "%E2%82%AC"]
)


@examples(150)
@given(
    st.dictionaries(st.sampled_from([f"ce-{name}" for name in ("id", "source", "type", "subject", "time", "x")]), header_texts),
    st.binary(max_size=20) | st.sampled_from([b"{}", b'{"a": "\\ud800"}', b"[]", b"\x1f\x8b"]),
    modes,
)  # fmt: skip
def test_any_headers(door: Fuzzed, headers: dict[str, str], body: bytes, mode: str):
    door.send("/v1/cloudevents", body, {"ce-specversion": "1.0", **headers, "Content-Type": mode})


@examples(100)
@given(
    st.sampled_from(["/v1/interactions", "/v1/contacts", "/v1/cloudevents", "/v1/webhooks/shopify", "/v1/webhooks/shop/try"]),
    st.binary(max_size=200),
    modes,
)  # fmt: skip
def test_any_bytes(door: Fuzzed, path: str, body: bytes, mode: str):
    door.send(path, body, {"Content-Type": mode})


VENDORS = {
    "shopify": (payloads.shopify, [payloads.ORDER, payloads.CHECKOUT, payloads.CUSTOMER, payloads.FULFILLMENT]),
    "zendesk": (payloads.zendesk, [payloads.TICKET_CREATED, payloads.TICKET_SOLVED]),
    "reviews": (payloads.reviews, [payloads.REVIEW]),
    "shop": (payloads.shop, [{"event": "visit", "card": "1", "store": "x", "at": 1767225600, "id": "1"}]),
}
TOPICS = [
    "orders/create", "orders/paid", "orders/cancelled", "checkouts/create", "customers/update", "fulfillments/update", "é",
]  # fmt: skip


def paths(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*here, key)
        yield from paths(inner, (*here, key))


@examples(200)
@given(st.sampled_from(sorted(VENDORS)), st.sampled_from(TOPICS), st.data())
def test_deliveries_with_anything_in_any_place(door: Fuzzed, name: str, topic: str, data: st.DataObject):
    """What a vendor signed is understood, however odd: the answer is 200, and tells what was made of it."""
    sign, samples = VENDORS[name]
    payload = json.loads(json.dumps(data.draw(st.sampled_from(samples))))
    for _ in range(data.draw(st.integers(0, 3))):
        places = list(paths(payload))
        *way, last = data.draw(st.sampled_from(places))
        inside = payload
        for key in way:
            inside = inside[key]
        inside[last] = data.draw(values)
    body = json.dumps(payload).encode()
    headers = sign(topic, body, "d") if name == "shopify" else sign(body)  # type: ignore[operator]
    answer = door.send(f"/v1/webhooks/{name}", body, headers)
    assert answer.status == 200
    tried = door.send(f"/v1/webhooks/{name}/try", body, headers)
    assert tried.status == 200 or tried.json["error"]["code"] in {"lone_surrogate", "invalid_json", "wrong_type"}
