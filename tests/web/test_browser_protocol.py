"""What Segment's browser library needs: its settings, the short paths, text/plain bodies with the key in them, CORS."""

from __future__ import annotations

import json

import pytest

from tests.service import WRITE_KEY, Service

PLAIN = {"Content-Type": "text/plain", "Origin": "https://shop.example"}


def body(**fields: object) -> bytes:
    return json.dumps({"writeKey": WRITE_KEY, **fields}).encode()


def test_it_finds_its_settings(service: Service):
    answer = service.request("GET", f"/v1/projects/{WRITE_KEY}/settings", headers=PLAIN)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    destination = answer.json["integrations"]["Segment.io"]
    assert destination == {"apiKey": WRITE_KEY, "apiHost": f"{service.host}:{service.port}/v1", "protocol": "http"}


def test_settings_are_for_those_who_have_the_key(service: Service):
    assert service.request("GET", "/v1/projects/wrong/settings").status == 401
    assert service.request("POST", f"/v1/projects/{WRITE_KEY}/settings", b"").status == 405
    assert service.request("GET", "/v1/projects//settings").status == 404


@pytest.mark.parametrize(
    "path, fields",
    [
        ("t", {"event": "Seen", "anonymousId": "short-t"}),
        ("i", {"userId": "short-i", "traits": {"city": "Seattle"}}),
        ("p", {"anonymousId": "short-p", "properties": {"url": "/"}}),
        ("s", {"anonymousId": "short-s", "name": "Home"}),
        ("g", {"userId": "short-g", "groupId": "acme", "traits": {"plan": "gold"}}),
        ("a", {"userId": "short-a", "previousId": "short-before"}),
        ("b", {"batch": [{"type": "track", "event": "Seen", "userId": "short-b"}]}),
    ],
)
def test_short_paths_take_plain_text_with_the_key_in_it(service: Service, path: str, fields: dict[str, object]):
    before = service.report()["records"]
    answer = service.request("POST", f"/v1/{path}", body(messageId=f"short-{path}", **fields), PLAIN)
    assert (answer.status, answer.json) == (200, {"success": True})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert service.report()["records"] > before


@pytest.mark.parametrize("key", ["wrong", "", None, 1])
def test_a_wrong_key_in_the_body_is_refused(service: Service, key: object):
    raw = json.dumps({"writeKey": key, "event": "Seen", "userId": "x"}).encode()
    assert service.request("POST", "/v1/t", raw, PLAIN).status == 401


def test_a_browser_may_ask_before_it_sends(service: Service):
    headers = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    answer = service.request("OPTIONS", "/v1/batch", headers=headers)
    assert answer.status == 204
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert "POST" in answer.headers["access-control-allow-methods"]


def test_a_group_is_known_of_its_members(service: Service):
    service.post("/v1/group", {"userId": "member", "groupId": "acme", "traits": {"plan": "gold"}})
    attributes = service.contact("member")["contact"]["attributes"]
    assert attributes == {"group_id": "acme", "group": {"plan": "gold"}}


def test_an_alias_joins_what_was_before(service: Service):
    service.post("/v1/track", {"anonymousId": "guest", "event": "Seen"})
    service.post("/v1/identify", {"userId": "joined", "traits": {"city": "Boston"}})
    assert service.post("/v1/alias", {"userId": "joined", "previousId": "guest"}).status == 200
    view = service.contact("joined")
    assert [row["input"]["type"] for row in view["inputs"]].count("interaction") == 1
    assert service.contact("guest") == view, "the id from before stands for the same person"


def test_what_lacks_an_id_is_refused(service: Service):
    answer = service.post("/v1/alias", {"userId": "joined"})
    assert (answer.status, answer.json["errors"][0]["pointer"]) == (400, "/previousId")
    answer = service.post("/v1/group", {"userId": "joined"})
    assert (answer.status, answer.json["errors"][0]["pointer"]) == (400, "/groupId")
