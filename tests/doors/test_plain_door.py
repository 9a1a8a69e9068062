"""Our own plain API, over real HTTP to a real service."""

from __future__ import annotations

import gzip
import itertools
import json
from typing import Any

import pytest

from tests.core.world import END, email, journey, send
from tests.service import Answer, Service, basic

HISTORY = journey({"tell": send("history", next="end"), "end": END}, on="Told", name="history")

_numbers = itertools.count(1)


@pytest.fixture
def who() -> str:
    return f"plain-{next(_numbers)}"


def bought(who: str, **given: Any) -> dict[str, Any]:
    return {"name": "Bought", "contact": {"user_id": who}, **given}


def statuses(answer: Answer) -> list[str]:
    said = answer.json
    results = said["results"]
    assert [result["index"] for result in results] == list(range(len(results)))
    found = [result["status"] for result in results]
    counted = [found.count(status) for status in ("accepted", "duplicate", "rejected")]
    assert counted == [said["accepted"], said["duplicates"], said["rejected"]]
    assert answer.status == (400 if "rejected" in found else 200)
    return found


def inputs(service: Service, who: str) -> list[dict[str, Any]]:
    return [row["input"] for row in reversed(service.contact(who)["inputs"])]


def test_one_interaction(service: Service, who: str):
    item = bought(who, id=f"{who}-1", occurred_at="2026-01-31T12:00:00+01:00", attributes={"total": 12.5})
    answer = service.post("/v1/interactions", item)
    assert answer.status == 200
    assert answer.json == {
        "accepted": 1, "duplicates": 0, "rejected": 0,
        "results": [{"index": 0, "id": f"{who}-1", "status": "accepted"}],
    }  # fmt: skip
    (found,) = inputs(service, who)
    assert (found["name"], found["attributes"], found["occurred_at"]) == ("bought", {"total": 12.5}, 1769857200000)


def test_an_id_is_accepted_once(service: Service, who: str):
    item = bought(who, id=f"{who}-1")
    assert statuses(service.post("/v1/interactions", item)) == ["accepted"]
    assert statuses(service.post("/v1/interactions", {"items": [item, item, bought(who, id=f"{who}-2")]})) == [
        "duplicate", "duplicate", "accepted",
    ]  # fmt: skip
    assert len(inputs(service, who)) == 2


def test_without_an_id_every_repeat_counts(service: Service, who: str):
    answer = service.post("/v1/interactions", {"items": [bought(who), bought(who)]})
    assert statuses(answer) == ["accepted", "accepted"]
    assert len({result["id"] for result in answer.json["results"]}) == 2


def test_an_interaction_and_a_contact_may_have_the_same_id(service: Service, who: str):
    assert statuses(service.post("/v1/interactions", bought(who, id=who))) == ["accepted"]
    assert statuses(service.post("/v1/contacts", {"id": who, "contact": {"user_id": who}})) == ["accepted"]


def test_nothing_and_many(service: Service, who: str):
    assert statuses(service.post("/v1/interactions", {"items": []})) == []
    assert statuses(service.post("/v1/interactions", {"items": [bought(who)] * 2_000})) == ["accepted"] * 2_000
    answer = service.post("/v1/interactions", {"items": [bought("x")] * 10_001})
    assert (answer.status, answer.json["error"]["code"]) == (400, "batch_too_large")


def test_contacts(service: Service, who: str):
    item = {
        "contact": {"user_id": who, "loyalty_card": f"card-{who}"},
        "attributes": {"email": f"{who}@EXAMPLE.com", "first_name": "Ann"},
        "consent": {"email": {"news": "opted_in"}, "push": False},
    }
    assert statuses(service.post("/v1/contacts", {"items": [item]})) == ["accepted"]
    found = service.api("GET", f"/v1/contacts/loyalty_card:card-{who}").json["contact"]
    assert found["attributes"] == {"email": f"{who}@EXAMPLE.com", "first_name": "Ann"}
    assert found["addresses"]["email"] == f"{who}@example.com"
    assert statuses(
        service.post("/v1/contacts", {"contact": {"user_id": who}, "attributes": {"first_name": None}})
    ) == ["accepted"]
    assert "first_name" not in service.contact(who)["contact"]["attributes"]


def test_an_email_is_the_same_person_in_any_case(service: Service, who: str):
    service.post("/v1/interactions", {"name": "a", "contact": {"email": f" {who}@Example.com "}})
    assert service.api("GET", f"/v1/contacts/email:{who}@example.com").status == 200


BAD = {
    "null": (b"null", "wrong_type", ""),
    "text": (b'"x"', "wrong_type", ""),
    "empty": (b"{}", "missing_name", "/name"),
    "no contact": (b'{"name": "a"}', "no_identity", "/contact"),
    "an empty contact": (b'{"name": "a", "contact": {}}', "no_identity", "/contact"),
    "an empty id": (b'{"name": "a", "contact": {"user_id": ""}}', "no_identity", "/contact/user_id"),
    "a namespace": (b'{"name": "a", "contact": {"User/Id": "1"}}', "invalid_item", "/contact/User~1Id"),
    "a list for an identity": (b'{"name": "a", "contact": {"user_id": []}}', "wrong_type", "/contact"),
    "an unknown field": (b'{"name": "a", "contact": {"user_id": "1"}, "atributes": {}}', "unknown_field", "/atributes"),
    "backfill": (b'{"name": "a", "contact": {"user_id": "1"}, "backfill": 1}', "wrong_type", "/backfill"),
    "no offset": (
        b'{"name": "a", "contact": {"user_id": "1"}, "occurred_at": "2026-01-01T00:00:00"}', "naive_time", "/occurred_at"
    ),
    "the year 1": (
        b'{"name": "a", "contact": {"user_id": "1"}, "occurred_at": "0001-01-01T00:00:00Z"}', "absurd_time", "/occurred_at"
    ),
    "the year 9999": (
        b'{"name": "a", "contact": {"user_id": "1"}, "occurred_at": "9999-01-01T00:00:00Z"}',
        "occurred_in_future",
        "/occurred_at",
    ),
    "a name without end": (b'{"name": "' + b"x" * 201 + b'", "contact": {"user_id": "1"}}', "invalid_item", "/name"),
    "an id without end": (
        b'{"id": "' + b"x" * 600 + b'", "name": "a", "contact": {"user_id": "1"}}', "invalid_item", "/id"
    ),
    "NUL": (
        b'{"name": "a", "contact": {"user_id": "1"}, "attributes": {"x/y": ["\\u0000"]}}',
        "nul_character",
        "/attributes/x~1y/0",
    ),
    "half a surrogate pair": (
        b'{"name": "a", "contact": {"user_id": "1"}, "attributes": {"x": "\\ud83d"}}', "lone_surrogate", ""
    ),
    "a huge integer": (
        b'{"name": "a", "contact": {"user_id": "1"}, "attributes": {"x": 1' + b"0" * 30 + b"}}", "unstorable_value", ""
    ),
    "a wrong type": (
        b'{"name": "Strict", "contact": {"user_id": "1"}, "attributes": {"n": "x"}}', "wrong_type", "/attributes/n"
    ),
    "an undeclared attribute": (
        b'{"name": "Strict", "contact": {"user_id": "1"}, "attributes": {"n": 1, "m": 1}}',
        "undeclared_attribute",
        "/attributes/m",
    ),
    "too deep": (
        b'{"name": "a", "contact": {"user_id": "1"}, "attributes": ' + b'{"a":' * 200 + b"1" + b"}" * 200 + b"}",
        "too_deep",
        "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_item_is_named_and_its_neighbours_are_kept(service: Service, who: str, name: str):
    bad, code, pointer = BAD[name]
    good = [json.dumps(bought(who, id=f"{who}-{number}")).encode() for number in range(2)]
    answer = service.post("/v1/interactions", b'{"items": [' + good[0] + b"," + bad + b"," + good[1] + b"]}")
    assert statuses(answer) == ["accepted", "rejected", "accepted"]
    error = answer.json["results"][1]["error"]
    assert (error["code"], error.get("pointer", "")) == (code, pointer)
    assert error["message"]
    assert len(inputs(service, who)) == 2


def test_a_misspelt_field_is_hinted_at(service: Service):
    answer = service.post("/v1/interactions", {**bought("x"), "ocurred_at": "2026-01-01T00:00:00Z"})
    assert answer.json["results"][0]["error"]["hint"] == "did you mean 'occurred_at'?"


@pytest.mark.parametrize(
    "body, code",
    [
        (b"", "invalid_json"), (b"{", "invalid_json"), (b'{"items": [}', "invalid_json"), (b"\xff", "invalid_json"),
        (b'{"items": [], "name": "a"}', "invalid_item"), (b'{"attributes":' + b'{"a":' * 100_000, "too_deep"),
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_read(service: Service, body: bytes, code: str):
    answer = service.post("/v1/interactions", body)
    assert answer.status == 400
    said = answer.json
    assert code in {said.get("error", {}).get("code"), *(result["error"]["code"] for result in said["results"])}


@pytest.mark.parametrize("path", ["/v1/interactions", "/v1/contacts", "/v1/cloudevents"])
def test_keys_methods_and_bodies(service: Service, path: str):
    assert service.post(path, {}, key=None).status == 401
    assert service.post(path, {}, key="wrong").status == 401
    assert service.request("PUT", path, b"{}", basic("wk_test")).status in {404, 405}
    assert service.post(path, b" " * (2**20 + 1)).status == 413
    assert service.post(path, b"x", headers={"Content-Encoding": "br"}).status == 415
    assert service.post(path, b"x", headers={"Content-Encoding": "gzip"}).json["error"]["code"] == "invalid_gzip"


def test_gzip(service: Service, who: str):
    body = gzip.compress(json.dumps(bought(who)).encode())
    assert statuses(service.post("/v1/interactions", body, headers={"Content-Encoding": "gzip"})) == ["accepted"]


def test_history_is_kept_and_triggers_nothing(service: Service, who: str):
    assert service.publish(email("history", purpose="transactional"), HISTORY).status == 200
    for backfill in (True, False):
        known = {"contact": {"user_id": who}, "attributes": {"email": "a@parcours.dev"}, "backfill": backfill}
        assert service.post("/v1/contacts", known).status == 200
        item = {"name": "Told", "contact": {"user_id": who}, "backfill": backfill}
        assert service.post("/v1/interactions", item).status == 200
        found = service.contact(who)
        assert [row["input"]["backfill"] for row in found["inputs"][:2]] == [backfill, backfill]
        assert bool(found["trace"]) is not backfill


def test_a_contact_is_put_on_lists_with_evidence_of_its_consent(service: Service, who: str):
    assert service.publish({"kind": "list", "name": "members"}).status == 200
    item = {
        "contact": {"user_id": who},
        "lists": {"members": True},
        "consent": {"push": True},
        "evidence": {"by": "till 3", "how": "asked"},
    }
    assert service.post("/v1/contacts", item).status == 200
    found = service.contact(who)
    assert found["contact"]["lists"]["members"]["member"] is True
    assert found["inputs"][0]["input"]["evidence"] == {"by": "till 3", "how": "asked"}


@pytest.mark.parametrize(
    "more, code, pointer",
    [
        ({"lists": {"membres": True}}, "unknown_list", "/lists/membres"),
        ({"lists": {"members": 1}}, "wrong_type", "/lists"),
        ({"lists": {f"l{number}": True for number in range(101)}}, "invalid_item", "/lists"),
        ({"evidence": {"why": "x"}}, "invalid_message", "/evidence/why"),
        ({"evidence": []}, "invalid_message", "/evidence"),
        ({"evidence": {"by": "\0"}}, "nul_character", "/evidence/by"),
    ],
)
def test_lists_and_evidence_that_are_of_no_use_are_told(
    service: Service, who: str, more: dict[str, object], code: str, pointer: str
):
    assert service.publish({"kind": "list", "name": "members"}).status == 200
    answer = service.post("/v1/contacts", {"contact": {"user_id": who}, **more})
    assert answer.status == 400
    error = answer.json["results"][0]["error"]
    assert error["code"] == code
    assert error["pointer"].startswith(pointer)
