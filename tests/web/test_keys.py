"""Keys: many, each with scopes, a source and limits; revoked at once, kept as hashes, shown once."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcours.cli import main
from parcours.errors import StoreError
from parcours.runtimes import embedded
from parcours.runtimes.clocks import SystemClock
from parcours.runtimes.embedded import Embedded
from parcours.runtimes.engine import Engine
from parcours.sources.webhooks import BUILT_IN, load_webhooks
from parcours.stores.memory import MemoryStore
from parcours.stores.sqlite import SqliteStore
from parcours.testing.faults import FaultyStore
from parcours.web.app import create_api, create_app, guarded
from parcours.web.auth import MARK, SCOPES, SENDING, Keys, hash_key, keys_in, marks_of, scope_of
from parcours.web.limits import Bucket
from parcours.wiring import Settings, build
from tests.service import PATIENCE, SECRET_KEY, WRITE_KEY, Answer, Service, basic
from tests.web.asgi import call

ROOT = Path(__file__).resolve().parents[2]


class Clock:
    """Seconds that go on when they are told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


# --- the bucket -------------------------------------------------------------------------------------------------------


def test_a_bucket_gives_its_burst_and_then_its_rate():
    clock = Clock()
    bucket = Bucket(2.0, 5.0, clock)
    assert [bucket.take(1) for _ in range(6)] == [0, 0, 0, 0, 0, 1]
    clock.now += 0.5
    assert [bucket.take(1) for _ in range(2)] == [0, 1]
    clock.now += 1_000
    assert [bucket.take(1) for _ in range(6)] == [0, 0, 0, 0, 0, 1]


def test_what_is_larger_than_the_burst_passes_when_the_bucket_is_full_and_leaves_a_debt():
    clock = Clock()
    bucket = Bucket(10.0, 20.0, clock)
    assert bucket.take(1) == 0
    assert bucket.take(100) == 1, "it is not full"
    clock.now += 1
    assert bucket.take(100) == 0
    assert bucket.take(1) == 9, "80 are owed, and one more"
    clock.now += 8
    assert bucket.take(1) == 1
    clock.now += 0.1
    assert bucket.take(1) == 0


rates = st.floats(0.01, 100_000.0)
bursts = st.floats(1.0, 100_000.0)
steps = st.lists(st.tuples(st.floats(0.0, 100.0), st.integers(1, 10_000)), max_size=40)


@given(rates, bursts, steps)
def test_never_more_is_given_than_the_burst_the_rate_and_one_debt(
    rate: float, burst: float, steps: list[tuple[float, int]]
):
    clock = Clock()
    bucket = Bucket(rate, burst, clock)
    given_before_last = 0.0
    last = 0
    start = clock.now
    for pause, cost in steps:
        clock.now += pause
        if bucket.take(cost) == 0:
            given_before_last += last
            last = cost
            most = burst + rate * (clock.now - start)
            assert given_before_last + min(last, burst) <= most * (1 + 1e-9) + 0.01


@given(rates, bursts, steps)
def test_who_waits_as_long_as_was_asked_passes_and_a_refusal_costs_nothing(
    rate: float, burst: float, steps: list[tuple[float, int]]
):
    clock = Clock()
    bucket, other = Bucket(rate, burst, clock), Bucket(rate, burst, clock)
    for pause, cost in steps:
        clock.now += pause
        wait = bucket.take(cost)
        if wait:
            assert wait >= 1
            for _ in range(3):
                assert bucket.take(cost) == wait
            clock.now += wait
            assert bucket.take(cost) == 0
        assert other.take(cost) == 0, "one that was not asked in between stands where the other does"


# --- in process -------------------------------------------------------------------------------------------------------


class World:
    """An application in process, on a store in memory, with limits on a clock of its own."""

    def __init__(self, store: Any = None, **keys: Any) -> None:
        self.store = store or MemoryStore()
        self.clock = Clock()
        self.host = Embedded(Engine(self.store, SystemClock()), {}, lambda _definition, _data: {})
        self.keys = Keys(hash_key(WRITE_KEY), hash_key(SECRET_KEY), clock=self.clock, **keys)
        webhooks = load_webhooks(BUILT_IN, Path("nowhere"))
        self.app = create_app(self.host, self.keys, largest_body=100_000, webhooks=webhooks)
        self.api = create_api(self.host, self.keys, 100_000)

    async def ask(self, method: str, path: str, body: Any = None, key: str | None = SECRET_KEY) -> Answer:
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Length": str(len(raw))} | ({"Authorization": f"Bearer {key}"} if key else {})
        return await call(self.app, method, path, raw, headers=headers)

    async def make(self, kind: str, by: str = SECRET_KEY, **fields: Any) -> dict[str, Any]:
        answer = await self.ask("POST", "/v1/keys", {"kind": kind, **fields}, by)
        assert answer.status == 201, answer
        made: dict[str, Any] = answer.json
        return made

    async def key(self, kind: str, **fields: Any) -> str:
        return str((await self.make(kind, **fields))["key"])

    def records(self) -> int:
        return self.store.last_position()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    await world.host.start()
    yield world
    await world.host.close()


def track(who: str = "1", **given: Any) -> dict[str, Any]:
    return {"type": "track", "event": "Seen", "userId": who, **given}


IDENTIFY = {"type": "identify", "userId": "1", "traits": {"city": "Riga"}}
INTERACTION = {"name": "Seen", "contact": {"user_id": "1"}}
CONTACT = {"contact": {"user_id": "1"}, "attributes": {"city": "Riga"}}
EVENT = {"specversion": "1.0", "id": "1", "source": "shop", "type": "seen", "subject": "1", "data": {}}


async def test_a_key_is_shown_once_and_listed_without_it(world: World):
    made = await world.make("write", name="web shop", source="shop", rate=5, burst=10, largest_body=1_000)
    text = made.pop("key")
    assert re.fullmatch(r"wk_[\w-]{32}", text)
    assert text.endswith(made["ending"])
    assert len(made["ending"]) == 4
    assert {**made, "id": "", "ending": "", "created_at": 0} == {
        "id": "", "kind": "write", "name": "web shop", "scopes": ["send"], "source": "shop", "rate": 5.0,
        "burst": 10.0, "largest_body": 1_000, "created_at": 0, "created_by": "secret", "revoked_at": None,
        "ending": "", "in_settings": False,
    }  # fmt: skip
    answer = await world.ask("GET", "/v1/keys")
    assert answer.json["keys"][-1] == made
    assert [(key["id"], key["in_settings"]) for key in answer.json["keys"][:2]] == [("secret", True), ("write", True)]
    for secret in (text, hash_key(text), hash_key(WRITE_KEY), SECRET_KEY, "hash"):
        assert secret not in answer.body.decode()
    marks = "".join(f"{name}={mark}" for name, mark in world.store.marks().items())
    assert text not in marks
    assert hash_key(text) in marks
    assert (await world.ask("POST", "/v1/track", track(), text)).status == 200


@pytest.mark.parametrize(
    "fields, word",
    [
        ({"kind": "admin"}, "admin"),
        ({}, "kind"),
        ({"kind": "write", "colour": 1}, "colour"),
        ({"kind": "write", "scopes": ["contacts:read"]}, "contacts:read"),
        ({"kind": "write", "scopes": ["*"]}, "*"),
        ({"kind": "write", "scopes": []}, "scopes"),
        ({"kind": "secret"}, "scopes"),
        ({"kind": "secret", "scopes": ["contact:read"]}, "contact:read"),
        ({"kind": "secret", "scopes": ["contacts"]}, "contacts"),
        ({"kind": "write", "source": "api.interactions"}, "source"),
        ({"kind": "write", "source": ""}, "source"),
        ({"kind": "write", "rate": 0}, "rate"),
        ({"kind": "write", "rate": -1}, "rate"),
        ({"kind": "write", "rate": 1e30}, "rate"),
        ({"kind": "write", "burst": 5}, "rate"),
        ({"kind": "write", "largest_body": 0}, "largest_body"),
        ({"kind": "write", "name": "a\u0000b"}, "name"),
        ({"kind": "write", "name": "x" * 300}, "name"),
    ],
)
async def test_a_key_that_cannot_be(world: World, fields: dict[str, Any], word: str):
    answer = await world.ask("POST", "/v1/keys", fields)
    assert answer.status == 400
    assert word in answer.body.decode()
    assert not [name for name in world.store.marks() if name.startswith(MARK)]


async def test_a_revoked_key_is_good_for_nothing_and_stays_in_the_list(world: World):
    made = await world.make("write")
    assert (await world.ask("POST", "/v1/track", track(), made["key"])).status == 200
    answer = await world.ask("DELETE", f"/v1/keys/{made['id']}")
    assert answer.status == 200
    assert answer.json["revoked_at"] >= made["created_at"]
    for method, path, body in (
        ("POST", "/v1/track", track()),
        ("POST", "/v1/t", track(writeKey=made["key"])),
        ("POST", "/v1/interactions", INTERACTION),
        ("POST", "/v1/cloudevents", EVENT),
        ("GET", f"/v1/projects/{made['key']}/settings", None),
    ):
        key = None if path == "/v1/t" else made["key"]
        assert (await world.ask(method, path, body, key)).status == 401, path
    again = await world.ask("DELETE", f"/v1/keys/{made['id']}")
    assert (again.status, again.json) == (200, answer.json)
    assert (await world.ask("PATCH", f"/v1/keys/{made['id']}", {"name": "x"})).status == 409
    assert (await world.ask("DELETE", "/v1/keys/nobody")).status == 404
    assert (await world.ask("PATCH", "/v1/keys/nobody", {"name": "x"})).status == 404


@pytest.mark.parametrize("path, body", [("/v1/track", track()), ("/v1/interactions", INTERACTION)])
async def test_a_key_that_is_revoked_while_its_body_comes_keeps_nothing(world: World, path: str, body: dict[str, Any]):
    made = await world.make("write")
    raw = json.dumps(body).encode()
    parts = [raw[:10], raw[10:]]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        part = parts.pop(0)
        if not parts:
            world.keys.put(world.keys.revoked(made["id"], None, 1))
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    headers = [(b"authorization", f"Bearer {made['key']}".encode())]
    await world.app({"type": "http", "method": "POST", "path": path, "headers": headers}, receive, send)
    assert (sent[0]["status"], world.records()) == (401, 0)


async def test_a_change_counts_at_once_and_leaves_the_rest(world: World):
    made = await world.make("secret", scopes=["report:read"], rate=1, burst=2, name="old")
    path = f"/v1/keys/{made['id']}"
    answer = await world.ask("PATCH", path, {"name": "new", "scopes": ["contacts:read"], "source": "crm"})
    assert (answer.status, answer.json["name"], answer.json["rate"]) == (200, "new", 1.0)
    assert answer.json["burst"] == 2.0
    assert (await world.ask("GET", "/v1/report", key=made["key"])).status == 403
    assert (await world.ask("GET", "/v1/contacts/user_id:1", key=made["key"])).status == 404
    assert (await world.ask("GET", "/v1/contacts/user_id:1", key=made["key"])).status == 429
    answer = await world.ask("PATCH", path, {"rate": None})
    assert (answer.json["rate"], answer.json["burst"]) == (None, None)
    assert (await world.ask("GET", "/v1/contacts/user_id:1", key=made["key"])).status == 404
    for change in ({"kind": "write"}, {"scopes": []}, {"scopes": ["x"]}, {"rate": -1}, {"id": "x"}, {"burst": 2}):
        assert (await world.ask("PATCH", path, change)).status == 400, change


async def test_a_change_of_something_else_does_not_fill_the_bucket(world: World):
    made = await world.make("write", rate=1)
    assert (await world.ask("POST", "/v1/track", track(), made["key"])).status == 200
    assert (await world.ask("PATCH", f"/v1/keys/{made['id']}", {"name": "x"})).status == 200
    assert (await world.ask("POST", "/v1/track", track(), made["key"])).status == 429


async def test_keys_of_the_settings_can_be_changed_only_there(world: World):
    for id_ in ("write", "secret"):
        for method, body in (("DELETE", None), ("PATCH", {"name": "x"})):
            answer = await world.ask(method, f"/v1/keys/{id_}", body)
            assert answer.status == 409
            assert "settings" in answer.json["detail"]


async def test_what_the_store_does_not_keep_is_not_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embedded, "PAUSE_AFTER_FAILURE", 0.0)
    world = World(FaultyStore(MemoryStore()))
    await world.host.start()
    try:
        made = await world.make("write")
        for point in ("write", "finish"):
            world.store.fail(point, StoreError("the disk is full"))
            answer = await world.ask("POST", "/v1/keys", {"kind": "write"})
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert len((await world.ask("GET", "/v1/keys")).json["keys"]) == 3
            world.store.fail(point, StoreError("the disk is full"))
            assert (await world.ask("DELETE", f"/v1/keys/{made['id']}")).status == 503
            assert (await world.ask("POST", "/v1/track", track(), made["key"])).status == 200
    finally:
        await world.host.close()


# --- who may what -----------------------------------------------------------------------------------------------------


def test_every_route_of_the_api_states_or_has_a_scope():
    api = World().api
    routes = {(method, path): scope for method, path, scope in guarded(api)}
    assert routes["GET", "/v1/keys"] == "keys:read"
    assert routes["PUT", "/v1/definitions"] == "definitions:write"
    assert routes["GET", "/v1/contacts/{contact}"] == "contacts:read"
    assert routes["GET", "/v1/report"] == "report:read"
    for route in api.routes:
        if route.path_format.startswith("/v1/"):
            for handler in getattr(route, "route_handlers", []):
                for method in handler.http_methods - {"OPTIONS"}:
                    assert (method, route.path_format) in routes, "it is open to everybody"
    assert "*" not in routes.values(), "a path without a scope is for keys that may everything"


@pytest.mark.parametrize(
    "path, method, scope",
    [
        ("/v1/lists/{name}/members", "GET", "lists:read"),
        ("/v1/lists", "HEAD", "lists:read"),
        ("/v1/lists", "POST", "lists:write"),
        ("/v1/lists", "DELETE", "lists:write"),
        ("/v1", "GET", "*"),
        ("/v1/", "GET", "*"),
        ("/v2/lists", "GET", "*"),
        ("/lists", "GET", "*"),
        ("/v1/{name}", "GET", "*"),
    ],
)
def test_a_scope_is_made_of_the_path(path: str, method: str, scope: str):
    assert scope_of(path, method) == scope


async def test_each_scope_opens_its_own_routes_and_no_other(world: World):
    scopes = sorted(world.keys.scopes or ())
    keys = {scope: await world.key("secret", scopes=[scope]) for scope in scopes}
    write = await world.key("write")
    routes = list(guarded(world.api))
    assert {scope for _, _, scope in routes} >= {"keys:read", "keys:write", "definitions:write"}
    for method, path, needed in routes:
        place = re.sub(r"\{\w+\}", "nobody", path.replace("{version}", "1"))
        for scope, key in keys.items():
            answer = await world.ask(method, place, b"", key)
            if scope in {needed, "*"}:
                assert answer.status not in {401, 403}, (method, path, scope)
            else:
                assert (answer.status, answer.json["detail"]) == (403, f"the key lacks the scope {needed}")
        for wrong in (None, "wrong", write, WRITE_KEY):
            answer = await world.ask(method, place, b"", wrong)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")


DOORS = [
    ("/v1/track", track(), "interactions"),
    ("/v1/t", track(), "interactions"),
    ("/v1/page", {"userId": "1"}, "interactions"),
    ("/v1/identify", IDENTIFY, "contacts"),
    ("/v1/g", {"userId": "1", "groupId": "acme"}, "contacts"),
    ("/v1/alias", {"userId": "1", "previousId": "0"}, "contacts"),
    ("/v1/batch", {"batch": [track()]}, "interactions"),
    ("/v1/batch", {"batch": [IDENTIFY]}, "contacts"),
    ("/v1/interactions", INTERACTION, "interactions"),
    ("/v1/contacts", CONTACT, "contacts"),
]


@pytest.mark.parametrize("kind", ["write", "secret"])
async def test_each_scope_opens_its_own_doors_and_no_other(world: World, kind: str):
    scopes = [["send"], ["send:interactions"], ["send:contacts"], ["send:interactions", "send:contacts"]]
    scopes += [["report:read"], ["*"]] if kind == "secret" else []
    for given_scopes in scopes:
        key = await world.key(kind, scopes=given_scopes)
        for path, body, what in DOORS:
            answer = await world.ask("POST", path, body, key)
            if {"send", "*", f"send:{what}"} & set(given_scopes):
                assert answer.status == 200, (given_scopes, path, answer)
            elif path == "/v1/batch" and "report:read" not in given_scopes:
                assert answer.status == 400
                assert answer.json["errors"][0]["code"] == "not_allowed"
                assert answer.json["errors"][0]["pointer"] == "/batch/0/type"
            else:
                assert answer.status == 403, (given_scopes, path, answer)
                error = answer.json["errors"][0] if "errors" in answer.json else answer.json["error"]
                assert error["code"] == "not_allowed"
                assert error["hint"]


async def test_in_a_batch_only_what_the_key_may_send_is_kept(world: World):
    key = await world.key("write", scopes=["send:interactions"])
    answer = await world.ask("POST", "/v1/batch", {"batch": [IDENTIFY, track(), {"type": "track"}, IDENTIFY]}, key)
    assert (answer.status, answer.json["accepted"], answer.json["rejected"]) == (400, 1, 3)
    codes = [(error["index"], error["code"]) for error in answer.json["errors"]]
    assert codes == [(0, "not_allowed"), (2, "missing_event"), (3, "not_allowed")]
    assert world.records() == 1
    key = await world.key("write", scopes=["send:contacts"])
    event = {"Content-Type": "application/cloudevents+json", "Authorization": f"Bearer {key}"}
    answer = await call(world.app, "POST", "/v1/cloudevents", json.dumps(EVENT).encode(), headers=event)
    assert (answer.status, answer.json["results"][0]["status"]) == (400, "rejected")
    assert answer.json["results"][0]["error"]["code"] == "not_allowed"


async def test_trying_a_webhook_needs_a_secret_key_with_its_scope(world: World):
    for key, status in (
        (None, 401),
        (WRITE_KEY, 401),
        (await world.key("secret", scopes=["report:read"]), 403),
        (await world.key("secret", scopes=["definitions:read"]), 200),
        (SECRET_KEY, 200),
    ):
        answer = await world.ask("POST", "/v1/webhooks/shopify/try", {}, key)
        assert answer.status in {status, 400 if status == 200 else status}, (key, answer)


async def test_a_key_makes_none_that_may_more_than_itself(world: World):
    clerk = await world.make("secret", scopes=["keys:write", "contacts:read", "send:contacts"])
    for kind, scopes in (
        ("secret", ["*"]), ("secret", ["contacts:write"]), ("secret", ["contacts:read", "report:read"]),
        ("write", ["send"]), ("write", ["send:interactions"]), ("write", None),
    ):  # fmt: skip
        answer = await world.ask("POST", "/v1/keys", {"kind": kind, "scopes": scopes}, clerk["key"])
        assert answer.status == 403, scopes
    made = await world.make("secret", by=clerk["key"], scopes=["contacts:read"])
    assert made["created_by"] == clerk["id"]
    await world.make("write", by=clerk["key"], scopes=["send:contacts"])
    wider = await world.make("secret", scopes=["report:read"])
    for id_, change in ((made["id"], {"scopes": ["*"]}), (clerk["id"], {"scopes": ["*"]}), (wider["id"], {"rate": 1})):
        assert (await world.ask("PATCH", f"/v1/keys/{id_}", change, clerk["key"])).status == 403
    assert (await world.ask("DELETE", f"/v1/keys/{wider['id']}", key=clerk["key"])).status == 403
    assert (await world.ask("DELETE", f"/v1/keys/{made['id']}", key=clerk["key"])).status == 200


async def test_the_last_key_that_may_make_others_stays():
    world = World()
    world.keys = world.app = None  # type: ignore[assignment]
    keys = Keys()
    key, text = keys.made(_new("secret", ["*"]), None, 1)
    keys.put(key)
    world.app = create_app(world.host, keys, largest_body=100_000)
    await world.host.start()
    try:
        path = f"/v1/keys/{key.id}"
        for method, body in (("DELETE", None), ("PATCH", {"scopes": ["keys:read", "contacts:write"]})):
            answer = await world.ask(method, path, body, text)
            assert (answer.status, "last key" in answer.json["detail"]) == (409, True)
        assert (await world.ask("PATCH", path, {"scopes": ["keys:write"]}, text)).status == 200
        second = await world.make("secret", by=text, scopes=["keys:write"])
        # Of two that go at once one stays.
        answers = await asyncio.gather(
            world.ask("DELETE", path, key=second["key"]), world.ask("DELETE", f"/v1/keys/{second['id']}", key=text)
        )
        assert sorted(answer.status for answer in answers) in ([200, 401], [200, 409])
    finally:
        await world.host.close()


def _new(kind: Any, scopes: list[str]) -> Any:
    from parcours.web.auth import NewKey

    return NewKey(kind=kind, scopes=scopes)


async def test_a_key_that_is_revoked_while_it_waits_for_its_turn_changes_nothing(world: World):
    made = await world.make("secret", scopes=["*"])
    async with world.host.turn:
        waiting = asyncio.create_task(world.ask("POST", "/v1/keys", {"kind": "write"}, made["key"]))
        await asyncio.sleep(0.05)
        world.keys.put(world.keys.revoked(made["id"], None, 1))
    assert (await waiting).status == 401
    assert len(world.keys.all()) == 3


# --- sources ----------------------------------------------------------------------------------------------------------


async def test_ids_are_told_apart_by_the_source_of_a_key(world: World):
    first = await world.key("write", source="shop")
    rotated = await world.key("write", source="shop")
    other = await world.key("write", source="till")
    for path, body in (
        ("/v1/batch", {"batch": [track(messageId="m")]}),
        ("/v1/interactions", {"items": [{**INTERACTION, "id": "m"}]}),
        ("/v1/contacts", {"items": [{**CONTACT, "id": "m"}]}),
    ):
        before = world.records()
        came = []
        for key in (first, rotated, other, WRITE_KEY, other, SECRET_KEY):
            assert (await world.ask("POST", path, body, key)).status == 200
            came.append(world.records() - before)
        assert came == [1, 1, 2, 3, 3, 3], path


# --- limits -----------------------------------------------------------------------------------------------------------


async def test_beyond_its_rate_a_key_is_asked_to_come_back(world: World):
    key = await world.key("write", rate=10, burst=20)
    batch = {"batch": [track() for _ in range(15)]}
    assert (await world.ask("POST", "/v1/batch", batch, key)).status == 200
    answer = await world.ask("POST", "/v1/batch", batch, key)
    assert (answer.status, answer.headers["retry-after"]) == (429, "1")
    assert answer.headers["access-control-expose-headers"] == "retry-after"
    (error,) = answer.json["errors"]
    assert not answer.json["success"]
    assert (error["code"], error["index"]) == ("rate_limited", None)
    assert error["hint"]
    assert world.records() == 15, "nothing of it was kept"
    assert (await world.ask("POST", "/v1/batch", {"batch": [track() for _ in range(5)]}, key)).status == 200
    world.clock.now += 1
    assert (await world.ask("POST", "/v1/batch", batch, key)).headers["retry-after"] == "1"
    world.clock.now += 1
    assert (await world.ask("POST", "/v1/batch", batch, key)).status == 200
    assert world.records() == 35
    assert (await world.ask("POST", "/v1/batch", batch, WRITE_KEY)).status == 200, "it is a limit of one key"


async def test_a_batch_that_is_larger_than_the_burst_passes_now_and_then(world: World):
    key = await world.key("write", rate=10)
    batch = {"batch": [track() for _ in range(100)]}
    assert (await world.ask("POST", "/v1/batch", batch, key)).status == 200
    answer = await world.ask("POST", "/v1/batch", batch, key)
    assert (answer.status, answer.headers["retry-after"]) == (429, "10")
    world.clock.now += 9
    assert (await world.ask("POST", "/v1/batch", batch, key)).headers["retry-after"] == "1"
    world.clock.now += 1
    assert (await world.ask("POST", "/v1/batch", batch, key)).status == 200
    assert world.records() == 200


@pytest.mark.parametrize(
    "path, body, headers",
    [
        ("/v1/track", track(), {}),
        ("/v1/t", track(), {"Content-Type": "text/plain"}),
        ("/v1/batch", {"batch": [track(), {"type": "?"}]}, {}),
        ("/v1/batch", {"batch": []}, {}),
        ("/v1/batch", {"nothing": 1}, {}),
        ("/v1/interactions", INTERACTION, {}),
        ("/v1/interactions", {"items": [INTERACTION, {}]}, {}),
        ("/v1/interactions", [], {}),
        ("/v1/contacts", CONTACT, {}),
        ("/v1/cloudevents", EVENT, {"Content-Type": "application/cloudevents+json"}),
        ("/v1/cloudevents", EVENT, {"Content-Type": "text/x"}),
    ],
)
async def test_every_door_keeps_to_the_rate_also_for_what_it_refuses(
    world: World, path: str, body: Any, headers: dict[str, str]
):
    key = await world.key("write", rate=0.25, burst=2)
    answers = []
    for _ in range(3):
        raw = json.dumps({**body, "writeKey": key} if path == "/v1/t" else body).encode()
        given_headers = headers if path == "/v1/t" else {"Authorization": f"Bearer {key}", **headers}
        answers.append(await call(world.app, "POST", path, raw, headers=given_headers))
    last = answers[-1]
    assert (last.status, int(last.headers["retry-after"]) >= 1) == (429, True)
    error = last.json["errors"][0] if "errors" in last.json else last.json["error"]
    assert error["code"] == "rate_limited"
    assert answers[0].status != 429


async def test_the_api_keeps_to_the_rate_of_a_secret_key(world: World):
    key = await world.key("secret", scopes=["report:read", "send"], rate=0.5, burst=2)
    assert (await world.ask("GET", "/v1/report", key=key)).status == 200
    assert (await world.ask("GET", "/v1/definitions", key=key)).status == 403
    answer = await world.ask("GET", "/v1/report", key=key)
    assert (answer.status, answer.headers["retry-after"]) == (429, "2")
    assert answer.json["status_code"] == 429
    assert "0.5 a second" in answer.json["detail"]
    assert (await world.ask("POST", "/v1/track", track(), key)).status == 429, "it is one limit for all"
    world.clock.now += 2
    assert (await world.ask("GET", "/v1/report", key=key)).status == 200
    assert (await world.ask("GET", "/v1/report")).status == 200


async def test_a_key_may_have_a_smaller_limit_of_size_but_no_larger_one(world: World):
    small = await world.key("write", largest_body=300)
    large = await world.key("write", largest_body=10**9)
    for size, statuses in ((100, (200, 200)), (400, (413, 200)), (110_000, (413, 413))):
        for path, body in (
            ("/v1/track", track(properties={"x": "y" * size})),
            ("/v1/interactions", {**INTERACTION, "attributes": {"x": "y" * size}}),
        ):
            found = tuple([(await world.ask("POST", path, body, key)).status for key in (small, large)])
            assert found == statuses, (path, size)
        in_body = track(properties={"x": "y" * size}, writeKey=small)
        assert (await world.ask("POST", "/v1/t", in_body, None)).status == statuses[0]
    api = await world.key("secret", scopes=["definitions:write"], largest_body=100)
    assert (await world.ask("PUT", "/v1/definitions", {"definitions": []}, api)).status == 200
    answer = await world.ask("PUT", "/v1/definitions", {"definitions": [{"kind": "x" * 100}]}, api)
    assert (answer.status, "100 bytes" in answer.json["detail"]) == (413, True)
    headers = {"Authorization": f"Bearer {api}", "Transfer-Encoding": "chunked"}
    assert (await call(world.app, "PUT", "/v1/definitions", b"{}", headers=headers)).status == 411


async def test_refusals_are_counted(world: World):
    key = await world.key("secret", scopes=["*"], rate=1)
    for path in ("/v1/report", "/v1/report", "/v1/report"):
        await world.ask("GET", path, key=key)
    await world.ask("POST", "/v1/track", track(), key)
    await world.ask("POST", "/v1/track", track(), "wrong")
    await world.ask("POST", "/v1/interactions", INTERACTION, None)
    await world.ask("GET", "/v1/report", key=WRITE_KEY)
    text = (await world.ask("GET", "/metrics")).body.decode()
    assert 'parcours_refused_requests_total{reason="rate_limited"} 3.0' in text
    assert 'parcours_refused_requests_total{reason="wrong_key"} 3.0' in text


# --- a real service ---------------------------------------------------------------------------------------------------


def made_by(service: Service, kind: str, **fields: Any) -> dict[str, Any]:
    answer = service.api("POST", "/v1/keys", {"kind": kind, **fields})
    assert answer.status == 201, answer
    found: dict[str, Any] = answer.json
    return found


def test_keys_outlive_a_restart_and_are_nowhere_to_be_read(tmp_path: Path):
    data = tmp_path / "data"
    with Service(data) as service:
        limited = made_by(service, "write", name="limited", rate=0.01, source="shop")
        gone = made_by(service, "secret", scopes=["*"])
        assert service.post("/v1/track", track(messageId="a"), key=limited["key"]).status == 200
        assert service.post("/v1/track", track(messageId="b"), key=limited["key"]).status == 429
        assert service.api("DELETE", f"/v1/keys/{gone['id']}").status == 200
        before = service.api("GET", "/v1/keys")
        said = "".join(service.output)
        log = service.errors.read_bytes()
    service = Service(data)
    with service:
        after = service.api("GET", "/v1/keys")
        assert after.json == before.json
        assert service.api("GET", "/v1/report", key=gone["key"]).status == 401
        assert service.post("/v1/track", track(messageId="a"), key=limited["key"]).status == 200
        assert service.report()["records"] == 1, "the source is the same"
        log += service.errors.read_bytes()
    kept = b"".join(file.read_bytes() for file in data.rglob("*") if file.is_file())
    assert hash_key(limited["key"]).encode() in kept
    for key in (limited["key"], gone["key"], WRITE_KEY, SECRET_KEY):
        for text in (key, basic(key)["Authorization"].split()[1]):
            assert text.encode() not in kept
            assert text.encode() not in log + said.encode()
            assert text.encode() not in before.body + after.body


def test_a_revoked_key_is_refused_at_once_also_on_an_open_connection(service: Service):
    made = made_by(service, "write")
    connection = http.client.HTTPConnection(service.host, service.port, timeout=PATIENCE)
    try:
        statuses = []
        for turn in range(3):
            if turn == 2:
                assert service.api("DELETE", f"/v1/keys/{made['id']}").status == 200
            connection.request("POST", "/v1/track", json.dumps(track("open")), basic(made["key"]))
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        assert statuses == [200, 200, 401]
    finally:
        connection.close()


def test_the_first_keys_are_made_up_once_and_can_be_revoked(tmp_path: Path):
    first = build(Settings(data=tmp_path))
    try:
        new = first.new_keys
        assert sorted(new) == ["secret", "write"]
        kept = keys_in(first.host.store.marks())
        assert {key.id: key.hash for key in kept} == {kind: hash_key(text) for kind, text in new.items()}
        assert not any(key.in_settings for key in kept)
        keys = Keys(kept=kept)
        revoked = keys.revoked("write", None, 5)
        from parcours.ports import Changes

        first.host.store.commit(Changes(marks=marks_of(revoked)))
    finally:
        first.host.store.close()
    second = build(Settings(data=tmp_path, secret_key="sk_other"))
    try:
        assert second.new_keys == {}, "a key that was revoked is not made up again"
        assert [key.revoked_at for key in keys_in(second.host.store.marks()) if key.id == "write"] == [5]
    finally:
        second.host.store.close()


def test_keys_of_before_there_were_many_are_read():
    write, secret = keys_in({"key:write": hash_key("w"), "key:secret": hash_key("s"), "read:x": "done"})
    assert (write.kind, write.scopes, write.hash) == ("write", ("send",), hash_key("w"))
    assert (secret.kind, secret.scopes, secret.hash) == ("secret", ("*",), hash_key("s"))
    keys = Keys(kept=[write, secret])
    assert keys.sender("Bearer w") is not None
    assert keys.manager("Bearer w") is None
    assert keys.manager("Bearer s") is not None
    assert keys_in(marks_of(write)) == [write]


def test_a_setting_goes_before_the_kept_key_of_its_kind():
    kept = keys_in({"key:write": hash_key("kept"), "key:secret": hash_key("s")})
    keys = Keys(hash_key("given"), "", kept)
    assert (keys.find("given") is not None, keys.find("kept") is None) == (True, True)
    assert Keys("", "", kept).find("kept") is not None
    both = Keys(hash_key("one"), hash_key("one"))
    assert both.manager("Bearer one") is not None


# --- the command line -------------------------------------------------------------------------------------------------


def parcours(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code: object = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["parcours", "keys", *arguments])
        patch.setenv("COLUMNS", "250")
        patch.delenv("PARCOURS_SECRET_KEY", raising=False)
        try:
            main()
        except SystemExit as end:
            code = end.code
    said = capsys.readouterr()
    return int(str(code or 0)), said.out, said.err


def test_keys_on_the_command_line(service: Service, capsys: pytest.CaptureFixture[str]):
    there = ("--url", service.url, "--secret-key", SECRET_KEY)
    code, out, _ = parcours(capsys, "create", "write", "--name", "[red]till", "--source", "till", "--rate", "5", *there)
    assert code == 0
    found = re.fullmatch(r"write key (\w+) \(shown once, keep it\): (wk_\S+)\n", out)
    assert found is not None
    id_, key = found.groups()
    assert service.post("/v1/track", track("cli"), key=key).status == 200
    code, out, _ = parcours(capsys, "list", *there)
    assert code == 0
    assert key not in out
    (row,) = [line for line in out.splitlines() if id_ in line]
    for word in ("[red]till", "till", "send", "5 a second", "in force", key[-4:]):
        assert word in row
    code, out, _ = parcours(capsys, "change", id_, "--scope", "send:contacts", "--rate", "0", *there)
    assert code == 0
    assert service.post("/v1/track", track("cli"), key=key).status == 403
    code, out, err = parcours(capsys, "create", "secret", "--scope", "nonsense", *there)
    assert (code, out) == (2, "")
    assert "nonsense" in err
    assert "contacts:read" in err
    code, _, err = parcours(capsys, "create", "what", *there)
    assert (code, "what" in err) == (2, True)
    assert parcours(capsys, "revoke", id_, *there)[0] == 0
    assert service.post("/v1/identify", IDENTIFY, key=key).status == 401
    assert "revoked 20" in parcours(capsys, "list", *there)[1]
    for command in (("list",), ("create", "write"), ("revoke", id_), ("change", id_)):
        code, _, err = parcours(capsys, *command, "--url", service.url, "--secret-key", "wrong")
        assert (code, "401" in err, "--secret-key" in err) == (2, True, True)


def test_a_way_in_when_every_secret_key_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = str(tmp_path / "data")
    code, _, err = parcours(capsys, "create", "secret", "--scope", "*", "--data", data)
    assert (code, "no store" in err) == (2, True)
    assert not (tmp_path / "data").exists()
    with Service(tmp_path / "data") as service:
        code, _, err = parcours(capsys, "create", "secret", "--scope", "*", "--data", data)
        assert (code, len(err.splitlines())) == (2, 1), err
        assert service.post("/v1/track", track("before")).status == 200
        service.kill()  # so that there are states to be made from the log, which the command must leave as they are
    code, out, _ = parcours(capsys, "create", "secret", "--scope", "*", "--name", "found", "--data", data)
    assert code == 0
    key = out.split()[-1]
    id_ = out.split()[2]
    assert "found" in parcours(capsys, "list", "--data", data)[1]
    assert parcours(capsys, "change", id_, "--name", "found again", "--data", data)[0] == 0
    code, _, err = parcours(capsys, "create", "write", "--rate", "-1", "--data", data)
    assert (code, "rate" in err) == (2, True)
    code, _, err = parcours(capsys, "revoke", id_, "--data", data)
    assert (code, "last key" in err) == (2, True)
    with Service(tmp_path / "data") as service:
        answer = service.api("GET", "/v1/keys", key=key)
        assert [item["name"] for item in answer.json["keys"] if item["id"] == id_] == ["found again"]
        assert service.contact("before")["inputs"]
    assert key.encode() not in (tmp_path / "data" / "parcours.db").read_bytes()


def test_a_store_whose_keys_cannot_be_read_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    from parcours.ports import Changes

    store = SqliteStore(tmp_path / "parcours.db")
    store.commit(Changes(marks={"key:x": '{"id": 5}'}))
    store.close()
    code, _, err = parcours(capsys, "list", "--data", str(tmp_path))
    assert (code, "cannot be read" in err) == (2, True)


# --- the pages --------------------------------------------------------------------------------------------------------


def test_the_page_names_every_scope_and_field_of_a_key():
    from parcours.web.auth import KeyView

    page = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
    for name in [*SCOPES, *SENDING, *KeyView.__struct_fields__, "rate_limited", "not_allowed"]:
        assert f"`{name}`" in page, name
