"""Contacts over the API: found, shown, changed, exported, erased; over real HTTP to a real service."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from parcours.runtimes.clocks import SystemClock
from parcours.runtimes.embedded import Embedded
from parcours.runtimes.engine import Engine
from parcours.stores.memory import MemoryStore
from parcours.stores.sqlite import SqliteStore
from parcours.web.api import people, search
from parcours.web.app import create_app
from parcours.web.auth import Keys, hash_key
from tests.core.world import END, email, journey, push, send, wait
from tests.service import SECRET_KEY, WRITE_KEY, Answer, Service
from tests.web.asgi import call

LISTS = [{"kind": "list", "name": "vip"}, {"kind": "list", "name": "news", "title": "Newsletter"}]
LOCALS = {"kind": "segment", "name": "locals", "condition": {"contact": "city", "is": "Atlanta"}}
BUYERS = {
    "kind": "segment",
    "name": "buyers",
    "condition": {"did": "Bought", "times": {"at_least": 2}, "within": "30d"},
}
WELCOME = journey(
    {
        "hello": send("hello", next="rest"),
        "rest": wait("1d", next="ping"),
        "ping": send("ping", next="end"),
        "end": END,
    },
    on="Signed Up",
    name="welcome",
)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("contacts") / "data", "--clock", "inputs") as running:
        answer = running.publish(*LISTS, LOCALS, BUYERS, email("hello"), push("ping"), WELCOME)
        assert answer.status == 200, answer.body
        yield running
    errors = running.errors.read_text()
    assert "Traceback" not in errors, errors[-5_000:]


_numbers = itertools.count(1)
_mondays = [datetime(2026, 3, 2, 9, tzinfo=UTC)]


def at(hours: int = 0) -> str:
    """An instant of this test's own; those of the tests before are past, for the clock follows the inputs."""
    return (_mondays[-1] + timedelta(hours=hours)).isoformat().replace("+00:00", "Z")


@pytest.fixture
def who() -> str:
    _mondays.append(_mondays[-1] + timedelta(days=7))
    return f"p{next(_numbers)}"


def get(api: Service, path: str, *pairs: tuple[str, Any], status: int = 200) -> Any:
    query = f"?{urlencode(pairs)}" if pairs else ""
    answer = api.api("GET", f"/v1/contacts{path}{query}")
    assert answer.status == status, answer
    return answer.json


def knows(api: Service, who: str, hours: int = 0, **fields: Any) -> None:
    body = {"contact": {"user_id": who}, "occurred_at": at(hours), **fields}
    answer = api.post("/v1/contacts", body)
    assert answer.status == 200, answer


def did(api: Service, who: str, name: str, hours: int = 0, **fields: Any) -> None:
    body = {"name": name, "contact": {"user_id": who}, "occurred_at": at(hours), **fields}
    answer = api.post("/v1/interactions", body)
    assert answer.status == 200, answer


def found(answer: Any) -> list[str]:
    return sorted(value for row in answer["contacts"] for space, value in row["identities"] if space == "user_id")


# --- search -----------------------------------------------------------------------------------------------------------


def test_contacts_are_found_by_identity_text_attribute_list_and_segment(api: Service, who: str):
    a, b = f"{who}-a", f"{who}-b"
    knows(api, a, attributes={"city": "Atlanta", "age": 30, "gold": True, "tags": ["Red", who], "email": f"{a}@X.com"})
    knows(api, b, attributes={"city": "Boston", "note": f"friend of {who}-A"}, lists={"vip": True, "news": False})
    assert found(get(api, "", ("identity", f"user_id:{a}"))) == [a]
    assert found(get(api, "", ("identity", "user_id:nobody"))) == []
    assert found(get(api, "", ("identity", f"user_id:{a}"), ("attribute", "city:Boston"))) == []
    assert found(get(api, "", ("text", f"{who}-a".upper()))) == [a, b]
    mine = ("text", f"{who}-")
    for pairs, expected in [
        ([("attribute", "city:Atlanta")], [a]),
        ([("attribute", "city:atlanta")], []),
        ([("attribute", "age:30")], [a]),
        ([("attribute", "age:30.0")], [a]),
        ([("attribute", "gold:true")], [a]),
        ([("attribute", "gold:1")], []),
        ([("attribute", f"tags:{who}")], [a]),
        ([("attribute", "city:Atlanta"), ("attribute", "age:31")], []),
        ([("list", "vip")], [b]),
        ([("list", "news")], []),
        ([("segment", "locals")], [a]),
        ([("segment", "buyers")], []),
    ]:
        assert found(get(api, "", mine, *pairs)) == expected, pairs
    row = get(api, "", ("identity", f"user_id:{b}"))["contacts"][0]
    assert row["lists"] == ["vip"]
    assert row["attributes"]["city"] == "Boston"
    assert row["last_time"].endswith("Z")


@pytest.mark.parametrize(
    "pairs, word",
    [
        ([("identity", "ann")], "no identity"),
        ([("identity", "User:ann")], "namespace"),
        ([("attribute", "city")], "city:Atlanta"),
        ([("list", "vup")], "vip"),
        ([("segment", "local")], "locals"),
        ([("after", "x")], "next"),
        ([("after", "WzFd")], "next"),
    ],
)
def test_a_search_that_cannot_be_is_refused(api: Service, pairs: Any, word: str):
    assert word in get(api, "", *pairs, status=400)["detail"]


def test_a_search_comes_in_pages(api: Service, who: str):
    everyone = [f"{who}-{number}" for number in range(7)]
    for one in everyone:
        knows(api, one)
    seen, after = [], ""
    while True:
        page = get(api, "", ("text", f"{who}-"), ("limit", 3), *([("after", after)] if after else []))
        assert page["complete"]
        seen += found(page)
        if page["next"] is None:
            break
        after = page["next"]
    assert sorted(seen) == everyone


def post(api: Service, condition: Any, status: int = 200, **more: Any) -> Any:
    answer = api.api("POST", "/v1/contacts/search", {"condition": condition, **more})
    assert answer.status == status, answer
    return answer.json


def test_a_condition_finds_those_for_whom_it_is_true(api: Service, who: str):
    a, b = f"{who}-a", f"{who}-b"
    knows(api, a, attributes={"tag": who, "city": "Atlanta"}, consent={"email": {"news": "opted_in"}})
    knows(api, b, attributes={"tag": who})
    for _ in range(2):
        did(api, b, "Bought")
    mine = {"contact": "tag", "is": who}
    twice = {"did": "Bought", "times": {"at_least": 2}, "within": "30d"}
    assert found(post(api, mine)) == [a, b]
    assert found(post(api, {"all": [mine, {"consent": "email", "topic": "news", "is": "opted_in"}]})) == [a]
    assert found(post(api, {"all": [mine, {"segment": "locals"}]})) == [a]
    assert found(post(api, {"all": [mine, {"not": {"segment": "locals"}}]})) == [b]
    assert found(post(api, {"all": [mine, twice]})) == [b]
    assert found(post(api, {"all": [mine, twice | {"times": {"at_least": 1}}]})) == [b]
    page = post(api, mine, limit=1)
    assert len(page["contacts"]) == 1
    assert found(page) + found(post(api, mine, limit=1, after=page["next"])) in ([a, b], [b, a])


def test_what_nobody_counted_is_looked_for_in_the_log(api: Service, who: str):
    a, b = f"{who}-a", f"{who}-b"
    for one, total in ((a, 1), (b, 2)):
        knows(api, one, attributes={"tag": who})
        did(api, one, "Never Counted", attributes={"total": total})
    did(api, b, "Never Counted")
    mine = {"contact": "tag", "is": who}
    twice = {"did": "Never Counted", "times": {"at_least": 2}}
    assert found(post(api, {"all": [mine, twice]})) == [b]
    assert found(post(api, {"all": [mine, {"not": twice}]})) == [a]
    no_member = {"not": {"points": "club", "at_least": 1}}
    assert found(post(api, {"all": [mine, twice, no_member]})) == [b]
    where = {"did": "Never Counted", "where": {"interaction": "total", "is": 1}}
    assert found(post(api, {"all": [mine, where]})) == [a]
    both = {"all": [mine, {"did": "Never Counted"}]}
    page = post(api, both, limit=1)
    assert len(page["contacts"]) == 1
    assert sorted(found(page) + found(post(api, both, limit=1, after=page["next"]))) == [a, b]


def test_messages_that_no_definition_asks_for_are_looked_for_in_the_log(api: Service, who: str):
    a, b = f"{who}-a", f"{who}-b"
    for one in (a, b):
        consent = {"email": {"": "opted_in"}} if one == a else {}
        knows(api, one, attributes={"tag": who, "email": f"{one}@parcours.dev"}, consent=consent)
        did(api, one, "Signed Up", 1)
    mine = {"contact": "tag", "is": who}
    assert found(post(api, {"all": [mine, {"messages": "sent", "of": "hello"}]})) == [a]
    assert found(post(api, {"all": [mine, {"not": {"messages": "sent"}}]})) == [b]


async def test_what_nobody_counted_is_refused_where_there_is_no_log_to_look_in(host: Embedded):
    for condition in ({"did": "Never Counted"}, {"messages": "sent"}):
        body = json.dumps({"condition": {"all": [condition]}}).encode()
        answer = await ask(host, "POST", "/v1/contacts/search", body)
        assert answer.status == 400, answer
        assert [problem["code"] for problem in answer.json["extra"]] == ["not_counted"]
        assert answer.json["extra"][0]["pointer"] == "/condition"


@pytest.mark.parametrize(
    "condition, code",
    [
        ({"all": [{"did": "Never Counted"}, {"segment": "local"}]}, "unknown_segment"),
        ({"interaction": "total", "is": 1}, "no_interaction"),
        ({"segment": "local"}, "unknown_segment"),
        ({"contact": "city", "iz": 1}, "invalid_condition"),
        ({}, "invalid_condition"),
    ],
)
def test_a_condition_that_would_be_answered_wrongly_is_refused(api: Service, condition: Any, code: str):
    answer = post(api, condition, 400)
    assert code in {problem["code"] for problem in answer["extra"]}
    assert all(problem["pointer"].startswith("/condition") for problem in answer["extra"])


# --- the timeline -----------------------------------------------------------------------------------------------------


def walk(api: Service, contact: str, *pairs: tuple[str, Any]) -> list[Any]:
    entries, before = [], None
    while True:
        page = get(api, f"/{contact}/timeline", *pairs, *([("before", before)] if before else []))
        entries += page["entries"]
        before = page["next"]
        if before is None:
            return entries


def lives(api: Service, who: str) -> str:
    """Somebody anonymous signs up, becomes known, gets messages, reacts."""
    device = {"anonymous_id": f"device-{who}"}
    seen = {"name": "Seen", "contact": device, "occurred_at": at(0), "attributes": {"page": "a"}}
    assert api.post("/v1/interactions", seen).status == 200
    knows(api, who)
    known = {
        "contact": {"user_id": who, **device},
        "occurred_at": at(1),
        "attributes": {"email": f"{who}@parcours.dev"},
        "consent": {"email": True},
        "evidence": {"by": "Ann of the shop", "how": "a signed form"},
    }
    assert api.post("/v1/contacts", known).status == 200
    did(api, who, "Signed Up", 2)
    (message,) = [row for entry in walk(api, f"user_id:{who}") for row in entry["messages"]]
    gone = {
        "event": "Unsubscribed",
        "properties": {"message_id": message["id"], "topic": "news"},
        "timestamp": at(3),
    }
    assert api.post("/v1/track", gone).status == 200
    did(api, who, "Seen", 51)
    return str(message["id"])


def test_the_timeline_is_a_life_with_its_decisions_and_messages(api: Service, who: str):
    message = lives(api, who)
    entries = walk(api, f"user_id:{who}")
    kinds = [entry["kind"] for entry in entries]
    assert kinds == [
        "interaction",
        "timer",
        "reaction",
        "interaction",
        "update",
        "merge",
        "merge",
        "update",
        "interaction",
    ]
    assert walk(api, f"user_id:{who}", ("limit", 1)) == entries
    assert walk(api, f"user_id:{who}", ("limit", 3)) == entries
    assert entries[0]["time"] == entries[0]["occurred_time"] == at(51)
    timer, started = entries[1], entries[3]
    assert timer["time"] == at(26)
    assert [decision["what"] for decision in timer["decisions"]] == [
        "branched",
        "arrived",
        "suppressed",
        "arrived",
        "ended",
    ]
    assert [(row["id"], row["message"], row["state"]) for row in started["messages"]] == [(message, "hello", "pending")]
    assert started["messages"][0]["address"] == f"{who}@parcours.dev"
    absorbed = next(entry for entry in entries if entry["input"] and entry["input"]["type"] == "absorb")
    assert absorbed["input"]["other"] == entries[-1]["contact"] != entries[0]["contact"]


@pytest.mark.parametrize(
    "kinds, expected",
    [
        (["interaction"], ["interaction"] * 3),
        (["update"], ["update", "update"]),
        (["reaction"], ["reaction"]),
        (["merge"], ["merge", "merge"]),
        (["message"], ["timer", "interaction"]),
        (["step"], ["timer", "interaction"]),
        (["update", "reaction"], ["reaction", "update", "update"]),
        (["expired"], []),
    ],
)
def test_a_timeline_is_narrowed_by_kinds(api: Service, who: str, kinds: list[str], expected: list[str]):
    lives(api, who)
    pairs = [("kind", kind) for kind in kinds]
    assert [entry["kind"] for entry in walk(api, f"user_id:{who}", *pairs)] == expected
    assert len(walk(api, f"user_id:{who}", ("limit", 1), *pairs)) == len(expected)


def test_a_timeline_that_cannot_be_is_refused(api: Service, who: str):
    knows(api, who)
    assert "interaction" in get(api, f"/user_id:{who}/timeline", ("kind", "what"), status=400)["detail"]
    assert get(api, f"/user_id:{who}/timeline", ("before", "WzFd"), status=400)
    assert get(api, "/user_id:nobody/timeline", status=404)


# --- consent ----------------------------------------------------------------------------------------------------------


def test_consent_is_told_with_who_recorded_it_when_and_how(api: Service, who: str):
    message = lives(api, who)
    answer = get(api, f"/user_id:{who}/consent")
    states = {(row["channel"], row["topic"]): (row["state"], row["time"]) for row in answer["consent"]}
    assert states == {
        ("email", ""): ("opted_in", at(1)),
        ("email", "news"): ("opted_out", at(3)),
    }
    newest, oldest = answer["history"]
    assert (newest["topic"], newest["state"], newest["reaction"], newest["message"]) == (
        "news", "opted_out", "unsubscribed", message,
    )  # fmt: skip
    assert (oldest["by"], oldest["how"], oldest["source"]) == ("Ann of the shop", "a signed form", "api.contacts")
    first = get(api, f"/user_id:{who}/consent", ("limit", 1))
    assert first["history"] == [newest]
    assert get(api, f"/user_id:{who}/consent", ("limit", 1), ("before", first["next"]))["history"] == [oldest]


def test_segments_identify_takes_evidence_beside_consent(api: Service, who: str):
    traits = {"consent": {"email": True}, "consent_evidence": {"how": "double opt-in"}}
    assert api.post("/v1/identify", {"userId": who, "traits": traits}).status == 200
    (change,) = get(api, f"/user_id:{who}/consent")["history"]
    assert (change["by"], change["how"], change["source"]) == ("", "double opt-in", "default")
    assert "consent_evidence" not in get(api, f"/user_id:{who}")["contact"]["attributes"]
    for bad in ("x", {"why": "x"}, {"by": 1}, {"by": "x" * 201}):
        answer = api.post("/v1/identify", {"userId": who, "traits": traits | {"consent_evidence": bad}})
        assert answer.status == 400
        assert answer.json["errors"][0]["pointer"].startswith("/traits/consent_evidence")


def test_consent_and_attributes_are_set_over_the_api(api: Service, who: str):
    knows(api, who, attributes={"city": "Atlanta", "old": 1})
    evidence = {"by": "desk 4", "how": "by telephone"}
    body = {"channel": "email", "topic": "news", "state": "opted_in", "evidence": evidence}
    answer = api.api("PUT", f"/v1/contacts/user_id:{who}/consent", body)
    assert answer.status == 200, answer
    assert [(row["channel"], row["topic"], row["state"]) for row in answer.json] == [("email", "news", "opted_in")]
    (change,) = get(api, f"/user_id:{who}/consent")["history"]
    assert (change["by"], change["how"], change["source"]) == ("desk 4", "by telephone", "api")
    change = {"attributes": {"city": "Boston", "old": None, "email": f"{who}@parcours.dev"}, "lists": {"vip": True}}
    answer = api.api("PATCH", f"/v1/contacts/user_id:{who}", change)
    assert answer.status == 200, answer
    assert answer.json["attributes"] == {"city": "Boston", "email": f"{who}@parcours.dev"}
    assert answer.json["lists"] == ["vip"]
    assert get(api, f"/user_id:{who}")["contact"]["addresses"] == {"email": f"{who}@parcours.dev"}


@pytest.mark.parametrize(
    "method, path, body, word",
    [
        ("PATCH", "", {"lists": {"vup": True}}, "vip"),
        ("PATCH", "", {"attributes": {"x": "\0"}}, "NUL"),
        ("PATCH", "", {"attributes": {"x": 2**70}}, ""),
        ("PATCH", "", {"atributes": {}}, ""),
        ("PUT", "/consent", {"channel": "fax", "state": "opted_in"}, "email"),
        ("PUT", "/consent", {"channel": "email", "state": "yes"}, ""),
        ("PUT", "/consent", {"channel": "email", "state": "opted_in", "topic": "a\0"}, "NUL"),
    ],
)
def test_what_cannot_be_set_is_refused(api: Service, who: str, method: str, path: str, body: Any, word: str):
    knows(api, who)
    answer = api.api(method, f"/v1/contacts/user_id:{who}{path}", body)
    assert answer.status == 400, answer
    assert word in answer.json["detail"]
    assert api.api(method, f"/v1/contacts/user_id:nobody{path}", body).status in {400, 404}


# --- export and erasure -----------------------------------------------------------------------------------------------


def test_an_export_is_everything(api: Service, who: str):
    message = lives(api, who)
    knows(api, who, 51, lists={"vip": True})
    export = get(api, f"/user_id:{who}/export")
    assert set(export) == {
        "export", "exported_at", "exported_time", "contact", "parts", "identities", "attributes", "addresses", "consent",
        "lists", "state", "timeline", "consent_history", "messages", "ledger", "complete",
    }  # fmt: skip
    assert export["complete"]
    assert {(one["namespace"], one["value"]) for one in export["identities"]} == {
        ("user_id", who), ("anonymous_id", f"device-{who}"),
    }  # fmt: skip
    assert len(export["parts"]) == 1
    assert export["attributes"][0] | {"at": 0} == {
        "name": "email", "value": f"{who}@parcours.dev", "at": 0, "time": at(1),
    }  # fmt: skip
    kinds = [entry["kind"] for entry in export["timeline"]]
    assert len(kinds) == 10
    assert [(row["id"], row["attributes"]) for row in export["messages"]] == [
        (message, {"email": f"{who}@parcours.dev"})
    ]
    assert export["consent_history"] == get(api, f"/user_id:{who}/consent")["history"]
    assert export["lists"][0]["name"] == "vip"


def test_an_erased_contact_is_gone_and_says_so(api: Service, who: str):
    lives(api, who)
    id_ = get(api, f"/user_id:{who}")["contact"]["id"]
    answer = api.api("DELETE", f"/v1/contacts/user_id:{who}")
    assert answer.status == 200, answer
    assert answer.json["contact"] == id_
    assert len(answer.json["erased"]) == 2
    assert (answer.json["records"], answer.json["messages"], answer.json["cancelled"]) == (8, 1, 1)
    assert not answer.json["suppressed"]
    for reference in (id_, f"user_id:{who}", f"anonymous_id:device-{who}", *answer.json["erased"]):
        for path in ("", "/timeline", "/consent", "/export"):
            gone = get(api, f"/{reference}{path}", status=404)
            assert gone["extra"] == {"code": "erased"}, (reference, path)
        again = api.api("DELETE", f"/v1/contacts/{reference}")
        assert (again.status, again.json["extra"]) == (404, {"code": "erased"})
    assert found(get(api, "", ("text", who))) == []
    assert found(get(api, "", ("identity", f"user_id:{who}"))) == []
    assert api.api("DELETE", "/v1/contacts/user_id:nobody").status == 404
    assert who not in api.errors.read_text()
    did(api, who, "Seen", 75)
    assert get(api, f"/user_id:{who}")["contact"]["id"] != id_


def test_nothing_is_taken_of_a_suppressed_contact(api: Service, who: str):
    knows(api, who)
    answer = api.api("DELETE", f"/v1/contacts/user_id:{who}?suppress=true")
    assert answer.json["suppressed"]
    refused = api.post("/v1/interactions", {"name": "Seen", "contact": {"user_id": who}})
    assert refused.json["results"][0]["error"]["code"] == "erased"


def test_the_paths_need_a_secret_key(api: Service):
    for method, path in [
        ("GET", "/v1/contacts"),
        ("POST", "/v1/contacts/search"),
        ("GET", "/v1/contacts/user_id:x/export"),
        ("DELETE", "/v1/contacts/user_id:x"),
        ("GET", "/v1/lists"),
        ("PUT", "/v1/catalogues/shoes/items"),
        ("GET", "/v1/interactions"),
        ("GET", "/v1/contacts/attributes"),
    ]:
        assert api.api(method, path, key=WRITE_KEY).status == 401, path


# --- in slices, beside the engine -------------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "sqlite"])
async def host(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Embedded]:
    monkeypatch.setattr(search, "SLICE", 2)
    monkeypatch.setattr(people, "SLICE", 2)
    store = SqliteStore(tmp_path / "p.db") if request.param == "sqlite" else MemoryStore()
    host = Embedded(Engine(store, SystemClock()), {}, lambda _definition, _data: {})
    await host.start()
    yield host
    await host.close()


async def ask(host: Embedded, method: str, path: str, body: bytes = b"") -> Answer:
    app = create_app(host, Keys("", hash_key(SECRET_KEY)), largest_body=10**6)
    path, _, query = path.partition("?")
    return await call(app, method, path, body, key=SECRET_KEY, query=query)


async def many(host: Embedded, count: int) -> None:
    items = ",".join(f'{{"contact": {{"user_id": "{number}"}}}}' for number in range(count))
    answer = await ask(host, "POST", "/v1/contacts", f'{{"items": [{items}]}}'.encode())
    assert answer.status == 200, answer


async def test_a_search_goes_on_where_it_stopped_for_being_too_long(host: Embedded, monkeypatch: pytest.MonkeyPatch):
    await many(host, 9)
    monkeypatch.setattr(search, "PATIENCE", -1.0)
    seen: list[str] = []
    after = ""
    for _ in range(20):
        page = (await ask(host, "GET", f"/v1/contacts?after={after}")).json
        seen += found(page)
        if page["next"] is None:
            break
        assert not page["complete"]
        after = page["next"]
    assert page["complete"]
    assert sorted(seen) == [str(number) for number in range(9)]


async def test_the_engine_works_on_while_contacts_are_gone_through(host: Embedded):
    await many(host, 40)
    searching = asyncio.create_task(ask(host, "GET", "/v1/contacts?text=nobody"))
    await asyncio.sleep(0)
    sent = await ask(host, "POST", "/v1/contacts", b'{"contact": {"user_id": "late"}}')
    assert not searching.done()
    assert sent.status == 200
    assert (await searching).json["contacts"] == []


async def test_a_timeline_of_many_slices_and_parts_is_whole(host: Embedded):
    await many(host, 1)
    for number in range(5):
        for contact in (f'{{"anonymous_id": "d{number}"}}', f'{{"user_id": "0", "anonymous_id": "d{number}"}}'):
            assert (await ask(host, "POST", "/v1/contacts", f'{{"contact": {contact}}}'.encode())).status == 200
    whole = (await ask(host, "GET", "/v1/contacts/user_id:0/timeline?limit=100")).json["entries"]
    assert len(whole) == 1 + 5 * 4
    positions = [entry["position"] for entry in whole]
    assert positions == sorted(positions, reverse=True)
    pages, before = [], ""
    while before is not None:
        page = (await ask(host, "GET", f"/v1/contacts/user_id:0/timeline?limit=4&before={before}")).json
        pages += page["entries"]
        before = page["next"]
    assert pages == whole
    export = (await ask(host, "GET", "/v1/contacts/user_id:0/export")).json
    assert len(export["timeline"]) == len(whole)


async def test_an_export_of_who_is_erased_meanwhile_ends_and_says_that_it_is_not_complete(host: Embedded):
    await many(host, 1)
    for number in range(10):
        body = f'{{"name": "Seen", "contact": {{"user_id": "0"}}, "attributes": {{"n": {number}}}}}'
        await ask(host, "POST", "/v1/interactions", body.encode())
    exporting = asyncio.create_task(ask(host, "GET", "/v1/contacts/user_id:0/export"))
    for _ in range(4):
        await asyncio.sleep(0)
    assert (await ask(host, "DELETE", "/v1/contacts/user_id:0")).status == 200
    export = await exporting
    assert export.status in {200, 404}
    if export.status == 200:
        assert export.json["complete"] is False or len(export.json["timeline"]) == 11


async def test_what_is_said_of_who_is_erased_meanwhile_makes_nobody_new(host: Embedded):
    await many(host, 1)
    async with host.turn:
        state = people.find(host, "user_id:0")
        arrival = people.arrival_of(host, state, people.Learned({"a": 1}))
    await host.erase(state.id)
    (outcome,) = await people.submit(host, [arrival])
    problem = people.problem_of(outcome)
    assert problem is not None
    assert problem.code == "erased"


async def test_a_search_says_when_history_is_still_counted(host: Embedded, monkeypatch: pytest.MonkeyPatch):
    await many(host, 1)
    for settled in (True, False):
        monkeypatch.setattr(Engine, "bringing_up", not settled)
        body = b'{"condition": {"contact": "city", "is_missing": true}}'
        assert (await ask(host, "POST", "/v1/contacts/search", body)).json["settled"] is settled
        assert (await ask(host, "GET", "/v1/contacts")).json["settled"] is settled
        assert (await ask(host, "GET", "/v1/contacts?identity=user_id:0")).json["settled"] is settled


async def test_a_report_is_not_made_while_a_batch_is_being_finished(host: Embedded):
    """Looking who is due next puts reminders in order, and what is finished adds to them in another thread."""
    async with host.turn:
        asking = asyncio.create_task(ask(host, "GET", "/v1/report"))
        for _ in range(200):
            await asyncio.sleep(0)
        assert not asking.done()
    assert (await asking).status == 200
