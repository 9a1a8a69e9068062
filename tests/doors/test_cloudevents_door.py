"""CloudEvents 1.0 over real HTTP to a real service: structured, batched and binary."""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any

import pytest

from tests.service import Answer, Service

STRUCTURED = {"Content-Type": "application/cloudevents+json; charset=UTF-8"}
BATCHED = {"Content-Type": "application/cloudevents-batch+json"}
_numbers = itertools.count(1)


@pytest.fixture
def who() -> str:
    return f"ce-{next(_numbers)}"


def event(who: str, **given: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0", "id": f"{who}-1", "source": "/shop", "type": "com.example.order.placed",
        "subject": who, "time": "2026-01-31T12:00:00Z", "data": {"total": 5}, **given,
    }  # fmt: skip


def send(service: Service, body: Any, headers: dict[str, str] = STRUCTURED) -> Answer:
    return service.post("/v1/cloudevents", body, headers=headers)


def statuses(answer: Answer) -> list[str]:
    found = [result["status"] for result in answer.json["results"]]
    assert answer.status == (400 if "rejected" in found else 200), answer
    return found


def the_input(service: Service, who: str) -> dict[str, Any]:
    ((row),) = service.contact(who)["inputs"]
    return row["input"]


def check(found: dict[str, Any], who: str) -> None:
    assert (found["name"], found["attributes"]) == ("com.example.order.placed", {"total": 5})
    assert (found["source"], found["message_id"], found["occurred_at"]) == ("/shop", f"{who}-1", 1769860800000)


def test_structured(service: Service, who: str):
    assert statuses(send(service, event(who, extension="x", dataschema=None))) == ["accepted"]
    check(the_input(service, who), who)
    assert statuses(send(service, event(who))) == ["duplicate"]
    assert statuses(send(service, event(who, source="/other"))) == ["accepted"]


def test_batched(service: Service, who: str):
    bad = event(who, id=None)
    answer = send(service, [event(who), bad, event(who, id=f"{who}-2", subject=f"user_id:{who}")], BATCHED)
    assert statuses(answer) == ["accepted", "rejected", "accepted"]
    assert answer.json["results"][1]["error"]["pointer"] == "/id"
    assert len(service.contact(who)["inputs"]) == 2
    assert statuses(send(service, [], BATCHED)) == []
    assert send(service, {}, BATCHED).status == 400


def test_binary(service: Service, who: str):
    headers = {
        "Content-Type": "application/json", "ce-specversion": "1.0", "ce-id": f"{who}-1", "CE-Source": "/shop",
        "ce-type": "com.example.order.placed", "ce-subject": who, "ce-time": "2026-01-31T12:00:00Z",
    }  # fmt: skip
    assert statuses(send(service, b'{"total": 5}', headers)) == ["accepted"]
    check(the_input(service, who), who)


def test_binary_headers_are_percent_decoded_and_may_be_quoted(service: Service, who: str):
    """HTTP binding, section 3.1.3.2: "Euro € 😀" is sent as Euro%20%E2%82%AC%20%F0%9F%98%80."""
    headers = {
        "Content-Type": "", "ce-specversion": '"1.0"', "ce-id": f"{who}%20%E2%82%AC", "ce-source": "/shop",
        "ce-type": "Euro%20%E2%82%AC%20%F0%9F%98%80", "ce-subject": who,
    }  # fmt: skip
    assert statuses(send(service, b"", headers)) == ["accepted"]
    found = the_input(service, who)
    assert (found["name"], found["message_id"], found["attributes"]) == ("euro € 😀", f"{who} €", {})
    answer = send(service, b"", {**headers, "ce-id": "%ff"})
    assert (answer.status, answer.json["results"][0]["error"]["pointer"]) == (400, "/id")


def test_data_in_base64(service: Service, who: str):
    packed = base64.b64encode(b'{"total": 5}').decode()
    given = event(who, data_base64=packed, datacontenttype="application/json")
    del given["data"]
    assert statuses(send(service, given)) == ["accepted"]
    check(the_input(service, who), who)


def test_subjects_with_a_namespace(service: Service, who: str):
    assert statuses(send(service, event(who, subject=f"loyalty_card:{who}"))) == ["accepted"]
    assert service.api("GET", f"/v1/contacts/loyalty_card:{who}").status == 200


@pytest.mark.parametrize(
    "change, code, pointer",
    [
        ({"specversion": None}, "missing_attribute", "/specversion"),
        ({"specversion": "0.3"}, "unknown_version", "/specversion"),
        ({"specversion": 1.0}, "wrong_type", "/specversion"),
        ({"id": ""}, "missing_attribute", "/id"),
        ({"source": None}, "missing_attribute", "/source"),
        ({"type": ""}, "missing_attribute", "/type"),
        ({"type": "x" * 201}, "invalid_item", "/type"),
        ({"subject": None}, "no_identity", "/subject"),
        ({"subject": "email:"}, "no_identity", "/subject"),
        ({"time": "yesterday"}, "wrong_type", "/time"),
        ({"time": "9999-01-01T00:00:00Z"}, "occurred_in_future", "/time"),
        ({"time": "2026-01-31T12:00:00"}, "naive_time", "/time"),
        ({"data": [1]}, "wrong_type", "/data"),
        ({"data": "<x/>", "datacontenttype": "application/xml"}, "unknown_content", "/datacontenttype"),
        ({"data_base64": "e30="}, "invalid_item", "/data_base64"),
        ({"data": None, "data_base64": "?"}, "invalid_item", "/data_base64"),
        ({"data": None, "data_base64": "eA=="}, "invalid_json", "/data"),
        ({"data": {"x": "\0"}}, "nul_character", "/data/x"),
        ({"type": "Strict", "data": {"n": "x"}}, "wrong_type", "/data/n"),
    ],
)
def test_what_is_wrong_is_said(service: Service, who: str, change: dict[str, Any], code: str, pointer: str):
    answer = send(service, event(who, **change))
    assert statuses(answer) == ["rejected"]
    error = answer.json["results"][0]["error"]
    assert (error["code"], error["pointer"]) == (code, pointer)


@pytest.mark.parametrize(
    "content",
    ["application/json", "application/cloudevents+xml", "application/cloudevents-batch+avro", "", "text/plain"],
)
def test_no_mode_at_all(service: Service, content: str):
    assert send(service, b"{}", {"Content-Type": content}).status == 415


def test_a_batch_with_half_a_surrogate_pair(service: Service, who: str):
    body = json.dumps([event(who), event(who, id="\ud83d"), event(who, id=f"{who}-3")]).encode()
    assert statuses(send(service, body, BATCHED)) == ["accepted", "rejected", "accepted"]
