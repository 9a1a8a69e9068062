"""The API: definitions, the report, contacts, figures; over real HTTP to a real service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from parcours.definitions.load import dump, load_data
from parcours.errors import StoreError
from parcours.runtimes import embedded
from parcours.runtimes.clocks import SystemClock
from parcours.runtimes.embedded import Embedded
from parcours.runtimes.engine import Engine
from parcours.stores.memory import MemoryStore
from parcours.testing.faults import FaultyStore
from parcours.web.app import create_app
from parcours.web.auth import Keys, hash_key
from tests.core.world import END, email, journey, push, send, wait
from tests.service import SECRET_KEY, WRITE_KEY, Service
from tests.web.asgi import call


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of this module's own, so that counts are its own."""
    with Service(tmp_path_factory.mktemp("api") / "data", "--largest-body", "100000") as running:
        yield running


RECEIPT = email("receipt", purpose="transactional")


def test_it_says_that_it_is_up(fresh: Service):
    answer = fresh.request("GET", "/healthz")
    assert answer.status == 200
    assert answer.json["status"] == "ok"
    assert answer.json["waiting_for_provider"] == {}


def test_a_new_service_has_nothing_to_report(fresh: Service):
    report = fresh.report()
    assert (report["records"], report["contacts"], report["statistics"], report["outbox"]) == (0, 0, [], [])
    assert fresh.api("GET", "/v1/definitions").json == {"definitions": []}


def test_definitions_are_published_all_or_none_with_every_problem(fresh: Service):
    bad = journey({"s": send("missing", next="nowhere"), "t": {**wait("soon"), "colour": "red"}}, name="bad")
    answer = fresh.publish(RECEIPT, bad, {"kind": "what"})
    assert answer.status == 400
    assert not answer.json["published"]
    pointers = {problem["pointer"] for problem in answer.json["errors"]}
    assert all(problem["code"] and problem["message"] for problem in answer.json["errors"])
    assert {"/definitions/1/steps/t/for", "/definitions/1/steps/t/colour", "/definitions/2/kind"} <= pointers
    assert fresh.api("GET", "/v1/definitions").json == {"definitions": []}
    assert fresh.report()["records"] == 0


def test_what_was_published_can_be_had_again_and_published_again(fresh: Service):
    definitions = [RECEIPT, journey({"w": wait("1d", next="s"), "s": send("receipt", next="e"), "e": END})]
    answer = fresh.publish(*definitions)
    assert (answer.status, answer.json["published"], answer.json["errors"]) == (200, True, [])
    assert [problem["code"] for problem in answer.json["warnings"]] == ["unknown_interaction"]
    given = fresh.api("GET", "/v1/definitions").json["definitions"]
    assert [(item["kind"], item["name"]) for item in given] == [("message", "receipt"), ("journey", "j")]
    workspace, errors, _ = load_data(definitions)
    assert not errors
    assert given == [dump(item) for item in workspace.all()]
    records = fresh.report()["records"]
    assert fresh.publish(*given).status == 200
    assert fresh.report()["records"] == records


def test_what_is_in_force_is_not_broken_by_what_is_published_later(fresh: Service):
    """The journey in force sends the message, so the message cannot turn into one that has no content."""
    answer = fresh.publish({**RECEIPT, "content": {}})
    assert answer.status == 400
    assert answer.json["errors"]
    assert fresh.publish(push("ping")).status == 200


def test_a_contact_is_shown_with_its_inputs_and_what_was_decided(fresh: Service):
    assert fresh.publish(RECEIPT, journey({"s": send("receipt")}, on="Bought", name="thanks")).status == 200
    identify = {"type": "identify", "userId": "a/b ü:1", "traits": {"email": "a@parcours.dev", "when": "2026-01-01"}}
    track = {"type": "track", "event": "Bought", "userId": "a/b ü:1", "properties": {"n": [1, {"é": None}]}}
    assert fresh.batch(identify, track).status == 200
    view = fresh.api("GET", "/v1/contacts/user_id%3Aa%2Fb%20%C3%BC%3A1")
    if view.status == 404:  # a slash in an identity has no place in this path; the id of the contact has
        view = fresh.api("GET", f"/v1/contacts/{contact_id('a/b ü:1')}")
    assert view.status == 200
    contact = view.json["contact"]
    assert contact["attributes"] == {"email": "a@parcours.dev", "when": "2026-01-01"}
    assert contact["identities"] == [["user_id", "a/b ü:1"]]
    assert [row["input"]["type"] for row in view.json["inputs"]] == ["interaction", "update"]
    (row,) = view.json["trace"]
    assert row["position"] == view.json["inputs"][0]["position"]
    assert [entry["what"] for entry in row["entries"]] == ["entered", "arrived", "sent", "ended"]
    by_id = fresh.api("GET", f"/v1/contacts/{contact['id']}").json
    assert by_id == view.json
    assert len(fresh.api("GET", f"/v1/contacts/{contact['id']}?limit=1").json["inputs"]) == 1


def contact_id(value: str) -> str:
    from parcours.core import ids

    return ids.contact_id("user_id", value)


@pytest.mark.parametrize(
    "path",
    [
        "user_id:nobody", "000000000000000", "nonsense", "%00", "user_id:%00", "user_id:%ED%A0%80", "%FF", "é", ":",
        "a:", "x" * 5_000, "user_id:%F0%9F%98%80",
    ],
)  # fmt: skip
def test_a_contact_that_is_not_there(fresh: Service, path: str):
    from urllib.parse import quote

    answer = fresh.api("GET", f"/v1/contacts/{quote(path, safe='%:')}")
    assert answer.status == 404
    assert "detail" in answer.json


@pytest.mark.parametrize("limit", ["x", "1.5", "99999999999999999999999"])
def test_a_limit_that_is_none(fresh: Service, limit: str):
    fresh.batch({"type": "track", "event": "Seen", "userId": "limited"})
    answer = fresh.api("GET", f"/v1/contacts/user_id:limited?limit={limit}")
    assert answer.status in {200, 400}


@pytest.mark.parametrize("limit", ["0", "-1", "1"])
def test_a_limit_is_at_least_one(fresh: Service, limit: str):
    for number in range(2):
        fresh.batch({"type": "track", "event": f"Seen {number}", "userId": "limited"})
    answer = fresh.api("GET", f"/v1/contacts/user_id:limited?limit={limit}")
    assert len(answer.json["inputs"]) == 1


def test_the_report_counts_what_happened(fresh: Service):
    fresh.publish(RECEIPT, journey({"s": send("receipt")}, on="Counted", name="counted"))
    for who in ("c1", "c2", "c3"):
        traits = {"email": f"{who}@parcours.dev"} if who != "c3" else {}
        fresh.batch(
            {"type": "identify", "userId": who, "traits": traits}, {"type": "track", "event": "Counted", "userId": who}
        )
    report = fresh.report()
    counted = {
        (row["step"], row["what"], row["reason"]): row["count"]
        for row in report["statistics"]
        if row["journey"] == "counted"
    }
    assert counted == {
        ("", "entered", ""): 3,
        ("s", "arrived", ""): 3,
        ("s", "sent", "receipt"): 2,
        ("s", "suppressed", "no_address"): 1,
        ("", "ended", "finished"): 3,
    }
    assert {"channel": "email", "message": "receipt", "state": "pending"} in [
        {key: row[key] for key in ("channel", "message", "state")} for row in report["outbox"]
    ]


def test_figures_for_prometheus(fresh: Service):
    fresh.batch({"type": "track", "event": "Figured", "userId": "f", "messageId": "figured"})
    fresh.batch({"type": "track", "event": "Figured", "userId": "f", "messageId": "figured"})
    answer = fresh.request("GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    figures = dict(line.rsplit(" ", 1) for line in answer.body.decode().splitlines() if not line.startswith("#"))
    report = fresh.report()
    assert float(figures["parcours_log_records"]) == report["records"]
    assert float(figures["parcours_contacts"]) == report["contacts"]
    assert float(figures['parcours_inputs_total{outcome="duplicate"}']) >= 1
    assert float(figures['parcours_inputs_total{outcome="accepted"}']) >= 1


def test_the_api_describes_itself(fresh: Service):
    schema = fresh.request("GET", "/schema/openapi.json")
    assert schema.status == 200
    assert schema.json["openapi"].startswith("3.")
    assert {"/v1/definitions", "/v1/report", "/v1/contacts/{contact}", "/healthz", "/metrics"} <= set(
        schema.json["paths"]
    )
    references = [line for line in json.dumps(schema.json).split('"') if line.startswith("#/components/schemas/")]
    assert {reference.rsplit("/", 1)[1] for reference in references} <= set(schema.json["components"]["schemas"])


@pytest.mark.parametrize(
    "method, path", [("GET", "/v1/definitions"), ("PUT", "/v1/definitions"), ("GET", "/v1/report")]
)
@pytest.mark.parametrize("key", [None, "", "wrong", WRITE_KEY])
def test_only_the_secret_key_may_use_the_api(fresh: Service, method: str, path: str, key: str | None):
    answer = fresh.api(method, path, {"definitions": []} if method == "PUT" else None, key=key)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"null", b"[]", b"{}", b'{"definitions": 5}', b'{"definitions": [], "colour": 1}', b"\xff",
        b'{"definitions": ["\\ud800"]}', b'{"definitions": [5]}',
        b'{"definitions": [{"kind": ' + b"[" * 20_000 + b"]" * 20_000 + b"}]}",
    ],
)  # fmt: skip
def test_a_body_that_is_no_publication(fresh: Service, body: bytes):
    answer = fresh.api("PUT", "/v1/definitions", body)
    assert answer.status == 400, answer
    assert fresh.request("GET", "/healthz").status == 200


@pytest.mark.parametrize("value", ["\0", "x\ud800", 2**70, 1e300, None, [], {"a": {}}])
def test_an_odd_value_in_a_definition_is_refused_not_a_failure(fresh: Service, value: object):
    for definition in (
        {"kind": "interaction", "name": value},
        {**RECEIPT, "title": value},
        {**RECEIPT, "content": value},
    ):
        answer = fresh.publish(definition)
        assert answer.status == 400, answer


def test_a_publication_that_is_too_large(fresh: Service):
    answer = fresh.publish({**RECEIPT, "title": "x" * 200_000})
    assert answer.status == 413


# --- in process -------------------------------------------------------------------------------------------------------


async def test_a_store_that_fails_is_said_and_asks_to_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embedded, "PAUSE_AFTER_FAILURE", 0.0)
    store = FaultyStore(MemoryStore())
    host = Embedded(Engine(store, SystemClock()), {}, lambda _definition, _data: {})
    app = create_app(host, Keys(hash_key(WRITE_KEY), hash_key(SECRET_KEY)), largest_body=10_000)
    await host.start()
    try:
        store.fail("write", StoreError("the disk is full", hint="free some space"))
        body = json.dumps({"type": "track", "event": "Go", "userId": "1", "messageId": "1"}).encode()
        answer = await call(app, "POST", "/v1/track", body, key=WRITE_KEY)
        assert answer.status == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.json["errors"][0]["code"] == "store_failed"
        assert "space" in answer.json["errors"][0]["hint"]
        answer = await call(app, "GET", "/healthz")
        assert (answer.status, answer.json["status"]) == (503, "failing")
        assert (await call(app, "POST", "/v1/track", body, key=WRITE_KEY)).status == 200
        answer = await call(app, "GET", "/healthz")
        assert (answer.status, answer.json["status"]) == (200, "ok")
        store.fail("commit", StoreError("the disk is full", hint="free some space"))
        definitions = json.dumps({"definitions": [RECEIPT]}).encode()
        answer = await call(app, "PUT", "/v1/definitions", definitions, key=SECRET_KEY)
        assert answer.status == 503
        assert answer.headers["retry-after"] == "1"
        assert "full" in answer.json["detail"]
        assert (await call(app, "PUT", "/v1/definitions", definitions, key=SECRET_KEY)).status == 200
    finally:
        await host.close()
    assert (await call(app, "GET", "/healthz")).status == 503
