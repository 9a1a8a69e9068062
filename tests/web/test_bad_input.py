"""Bad input gets a clear 4xx that says what and where, its neighbours are kept, and the service goes on serving."""

from __future__ import annotations

import gzip
import itertools
import json
import socket
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.service import PATIENCE, WRITE_KEY, Answer, Service, basic

_numbers = itertools.count(1)


@pytest.fixture
def who() -> str:
    return f"bad-{next(_numbers)}"


@pytest.fixture(autouse=True)
def goes_on_serving(service: Service) -> Iterator[None]:
    yield
    assert service.request("GET", "/healthz").json["status"] == "ok"
    assert service.batch({"type": "track", "event": "Still There", "userId": "still-there"}).status == 200


def track(who: str, **given: Any) -> dict[str, Any]:
    return {"type": "track", "event": "Seen", "userId": who, **given}


def names(service: Service, who: str) -> list[str]:
    return [row["input"]["name"] for row in reversed(service.contact(who)["inputs"])]


def errors(answer: Answer) -> list[tuple[int | None, str, str]]:
    assert 400 <= answer.status < 500
    assert answer.headers["content-type"] == "application/json"
    assert not answer.json["success"]
    assert all(error["error"] for error in answer.json["errors"])
    return [(error["index"], error["code"], error["pointer"]) for error in answer.json["errors"]]


def between(service: Service, who: str, bad: bytes) -> Answer:
    """Send one bad message between two good ones."""
    before, after = (json.dumps(track(who, event=event)).encode() for event in ("Before", "After"))
    return service.post("/v1/batch", b'{"batch": [' + before + b"," + bad + b"," + after + b"]}")


BAD_MESSAGES = {
    "no object": (b"null", "wrong_type", ""),
    "text for an object": (b'"x"', "wrong_type", ""),
    "empty": (b"{}", "unknown_type", "/type"),
    "no type": (b'{"event": "a", "userId": "1"}', "unknown_type", "/type"),
    "a type nobody knows": (b'{"type": "telegram", "userId": "1"}', "unknown_type", "/type"),
    "a number for a type": (b'{"type": 5}', "wrong_type", "/type"),
    "no event": (b'{"type": "track", "userId": "1"}', "missing_event", "/event"),
    "a number for an event": (b'{"type": "track", "event": 5, "userId": "1"}', "wrong_type", "/event"),
    "nobody's": (b'{"type": "track", "event": "a"}', "no_identity", "/userId"),
    "a list for a user": (b'{"type": "track", "event": "a", "userId": [1]}', "wrong_type", "/userId"),
    "a fraction for a user": (b'{"type": "track", "event": "a", "userId": 1.5}', "wrong_type", "/userId"),
    "a user without end": (
        b'{"type": "track", "event": "a", "userId": "' + b"x" * 600 + b'"}',
        "invalid_message",
        "/userId",
    ),
    "a message id without end": (
        b'{"type": "track", "event": "a", "userId": "1", "messageId": "' + b"x" * 600 + b'"}',
        "invalid_message",
        "/messageId",
    ),
    "properties of text": (
        b'{"type": "track", "event": "a", "userId": "1", "properties": "x"}',
        "wrong_type",
        "/properties",
    ),
    "the year 1": (
        b'{"type": "track", "event": "a", "userId": "1", "timestamp": "0001-01-01T00:00:00Z"}',
        "absurd_time",
        "/timestamp",
    ),
    "the year 9999": (
        b'{"type": "track", "event": "a", "userId": "1", "timestamp": "9999-12-31T23:59:59Z"}',
        "occurred_in_future",
        "/timestamp",
    ),
    "sent in the year 9999": (
        (
            b'{"type": "track", "event": "a", "userId": "1", "timestamp": "2026-01-01T00:00:00Z",'
            b' "sentAt": "9999-12-31T23:59:59Z"}'
        ),
        "absurd_time",
        "/timestamp",
    ),
    "30 February": (
        b'{"type": "track", "event": "a", "userId": "1", "timestamp": "2026-02-30T00:00:00Z"}',
        "wrong_type",
        "/timestamp",
    ),
    "no offset": (
        b'{"type": "track", "event": "a", "userId": "1", "timestamp": "2026-02-20T00:00:00"}',
        "naive_time",
        "/timestamp",
    ),
    "a number for a time": (
        b'{"type": "track", "event": "a", "userId": "1", "timestamp": true}',
        "wrong_type",
        "/timestamp",
    ),
    "NUL": (
        b'{"type": "track", "event": "a", "userId": "1", "properties": {"x/y": ["\\u0000"]}}',
        "nul_character",
        "/properties/x~1y/0",
    ),
    "NUL in a name": (
        b'{"type": "track", "event": "a", "userId": "1", "properties": {"\\u0000": 1}}',
        "nul_character",
        "/properties",
    ),
    "NUL in the user": (b'{"type": "track", "event": "a", "userId": "a\\u0000b"}', "nul_character", "/userId"),
    "NUL in the event": (b'{"type": "track", "event": "a\\u0000", "userId": "1"}', "nul_character", "/event"),
    "a lone surrogate": (
        b'{"type": "track", "event": "a", "userId": "1", "properties": {"x": "\\ud83d"}}',
        "lone_surrogate",
        "",
    ),
    "a lone surrogate in the id": (
        b'{"type": "track", "event": "a", "userId": "1", "messageId": "\\udfff"}',
        "lone_surrogate",
        "",
    ),
    "text that is not UTF-8": (b'{"type": "track", "event": "\xff", "userId": "1"}', "invalid_json", ""),
    "a huge integer": (
        b'{"type": "track", "event": "a", "userId": "1", "properties": {"x": 1' + b"0" * 30 + b"}}",
        "unstorable_value",
        "",
    ),
    "an integer without end": (
        b'{"type": "track", "event": "a", "userId": "1", "properties": {"x": ' + b"9" * 5_000 + b"}}",
        "wrong_type",
        "/properties",
    ),
    "a number beyond all bounds": (
        b'{"type": "track", "event": "a", "userId": "1", "properties": {"x": 1e999}}',
        "wrong_type",
        "/properties",
    ),
    "consent of text": (
        b'{"type": "identify", "userId": "1", "traits": {"consent": "yes"}}',
        "invalid_message",
        "/traits/consent",
    ),
    "consent for a channel nobody knows": (
        b'{"type": "identify", "userId": "1", "traits": {"consent": {"fax": true}}}',
        "invalid_message",
        "/traits/consent/fax",
    ),
    "a reaction to a message that was never sent": (
        b'{"type": "track", "event": "Email Opened", "properties": {"message_id": "000000000000000-0000000000000000"}}',
        "unknown_message",
        "/properties/message_id",
    ),
}


@pytest.mark.parametrize("name", BAD_MESSAGES)
def test_a_bad_message_is_named_and_its_neighbours_are_kept(service: Service, who: str, name: str):
    bad, code, pointer = BAD_MESSAGES[name]
    answer = between(service, who, bad)
    assert answer.status == 400
    ((index, found, where),) = errors(answer)
    assert (index, found) == (1, code)
    assert where.startswith(f"/batch/1{pointer}")
    assert (answer.json["accepted"], answer.json["duplicates"], answer.json["rejected"]) == (2, 0, 1)
    assert names(service, who) == ["before", "after"]


@pytest.mark.parametrize("depth", [100, 900, 940, 960, 980, 990, 1_000, 1_100, 10_000, 100_000])
def test_deep_nesting(service: Service, who: str, depth: int):
    """How deep is too deep is ours to choose; whatever it is, it is said and nothing else is hurt."""
    nested = b'{"a":' * depth + b"1" + b"}" * depth
    bad = b'{"type": "track", "event": "Nested", "userId": "1", "properties": ' + nested + b"}"
    answer = between(service, who, bad)
    if answer.status == 200:
        assert depth < 1_100
        assert names(service, who) == ["before", "after"]
        view = service.api("GET", "/v1/contacts/user_id:1?limit=1")
        assert view.status == 200
    else:
        assert errors(answer)[0][1] in {"too_deep", "unstorable_value"}


@pytest.mark.parametrize(
    "body",
    [
        b"", b"x", b"null", b"[]", b"{}", b'{"batch": 5}', b'{"batch": [', b'{"batch": []} trailing', b"\xff\xfe", b"\0",
        b'{"batch": [{"type": "track", "event": "a\x00b"}]}', b"\xef\xbb\xbf{}", b'{"batch": [], "sentAt": 5}',
    ],
)  # fmt: skip
def test_a_body_that_is_no_batch(service: Service, body: bytes):
    answer = service.post("/v1/batch", body)
    assert answer.status == 400
    ((index, code, _),) = errors(answer)
    assert index is None
    assert code in {"invalid_json", "wrong_type", "missing_field"}


@pytest.mark.parametrize("path", ["/v1/track", "/v1/identify", "/v1/page", "/v1/screen"])
@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{}", b"{", b'{"userId": "\\ud800"}', b'{"userId": 1, "event": []}']
)
def test_a_body_that_is_no_message(service: Service, path: str, body: bytes):
    answer = service.post(path, body)
    assert answer.status == 400
    ((index, _, _),) = errors(answer)
    assert index is None


def test_keys_nobody_knows_are_passed_over_as_the_protocol_has_it(service: Service, who: str):
    answer = service.batch(track(who, colour="red", integrations={"All": False}), writeKey="x", colour="red")
    assert answer.status == 200
    assert names(service, who) == ["seen"]


def test_one_id_twice_in_a_batch_is_one_input(service: Service, who: str):
    first, second = track(who, messageId=f"{who}-1", event="First"), track(who, messageId=f"{who}-1", event="Second")
    assert service.batch(first, second, first).status == 200
    assert names(service, who) == ["first"]
    answer = service.batch(first, {"type": "telegram"})
    assert (answer.json["accepted"], answer.json["duplicates"], answer.json["rejected"]) == (0, 1, 1)


def test_only_so_many_errors_are_listed_and_all_are_counted(service: Service, who: str):
    answer = service.batch(*[{"type": "telegram"}] * 250, track(who))
    assert (answer.json["accepted"], answer.json["rejected"]) == (1, 250)
    assert len(answer.json["errors"]) == 100
    assert [error["index"] for error in answer.json["errors"]] == list(range(100))


def test_a_rule_that_is_strict_names_the_attribute(service: Service, who: str):
    definition = {
        "kind": "interaction", "name": "Strict", "strict": True,
        "attributes": {"a/b": {"type": "number", "required": True}, "when": {"type": "datetime"}},
    }  # fmt: skip
    assert service.publish(definition).status == 200
    answer = service.batch(
        track(who, event="STRICT", properties={"a/b": 1, "when": "2026-01-01T00:00:00Z"}),
        track(who, event="strict"),
        track(who, event="strict", properties={"a/b": "1"}),
        track(who, event="strict", properties={"a/b": 1, "c": 2}),
        track(who, event="strict", properties={"a/b": 1, "when": "2026-01-01T00:00:00"}),
    )
    assert errors(answer) == [
        (1, "missing_attribute", "/batch/1/properties/a~1b"),
        (2, "wrong_type", "/batch/2/properties/a~1b"),
        (3, "undeclared_attribute", "/batch/3/properties/c"),
        (4, "wrong_type", "/batch/4/properties/when"),
    ]
    assert names(service, who) == ["strict"]


# --- sizes and encodings ----------------------------------------------------------------------------------------------


def test_a_body_of_ten_megabytes(service: Service):
    body = b'{"batch": [' + b" " * 10_000_000 + b"]}"
    answer = service.post("/v1/batch", body)
    assert answer.status == 413
    assert errors(answer)[0][1] == "body_too_large"


def test_a_body_of_ten_megabytes_in_chunks_of_no_announced_length(service: Service):
    with socket.create_connection((service.host, service.port), timeout=PATIENCE) as connection:
        key = basic(WRITE_KEY)["Authorization"]
        connection.sendall(
            f"POST /v1/batch HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        try:
            for _ in range(160):
                connection.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n")
        except OSError:
            pass  # it has answered and hung up, as it may
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413")


def test_a_gzip_bomb(service: Service):
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < 100_000
    answer = service.post("/v1/batch", bomb, headers={"Content-Encoding": "gzip"})
    assert answer.status == 413
    assert errors(answer)[0][1] == "body_too_large"


def test_a_bomb_in_a_bomb_is_not_opened_twice(service: Service):
    inner = gzip.compress(b'{"batch": []}')
    answer = service.post("/v1/batch", gzip.compress(inner), headers={"Content-Encoding": "gzip"})
    assert answer.status == 400


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(b'{"batch": []}', mtime=0)[:-5],
        gzip.compress(b'{"batch": []}', mtime=0)[:12],
        gzip.compress(b'{"batch": []}', mtime=0) + b"more",
        gzip.compress(b'{"batch": [', mtime=0) + gzip.compress(b"]}", mtime=0),
        b"\x1f\x8b",
        b"\x1f\x8bnonsense",
        b'{"batch": []}',
        b"",
        zlib.compress(b'{"batch": []}'),
    ],
)
def test_gzip_that_is_none_or_not_whole(service: Service, body: bytes):
    answer = service.post("/v1/batch", body, headers={"Content-Encoding": "gzip"})
    assert answer.status == 400
    assert errors(answer)[0][1] == "invalid_gzip"


@pytest.mark.parametrize("header", ["gzip", "GZIP", " gzip ", ""])
def test_gzip_is_opened_with_and_without_being_announced(service: Service, who: str, header: str):
    """Some SDKs pack and do not say so."""
    body = gzip.compress(json.dumps({"batch": [track(who)]}).encode())
    headers = {"Content-Encoding": header} if header else {}
    assert service.post("/v1/batch", body, headers=headers).status == 200
    assert names(service, who) == ["seen"]


def test_another_encoding_is_refused(service: Service):
    answer = service.post("/v1/batch", b"x", headers={"Content-Encoding": "br"})
    assert answer.status == 415
    assert errors(answer)[0][1] == "unknown_encoding"


# --- keys, methods, paths ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "authorization",
    [
        None, "", "Basic", "Basic ", "Basic !!!", "Basic Og==", "Basic d3Jvbmc6", "Bearer", "Bearer wrong", "Bearer é",
        "Digest x", "Basic " + "A" * 10_000, "Basic /w==",
    ],
)  # fmt: skip
def test_a_wrong_key_or_none(service: Service, who: str, authorization: str | None):
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = service.post("/v1/batch", {"batch": [track(who)]}, key=None, headers=headers)
    assert answer.status == 401
    assert errors(answer)[0][1] == "wrong_key"
    assert answer.headers["www-authenticate"].startswith("Basic")
    assert service.api("GET", f"/v1/contacts/user_id:{who}").status == 404


def test_a_write_key_as_a_bearer_token_and_the_secret_key_may_send(service: Service, who: str):
    body = {"batch": [track(who)]}
    assert service.post("/v1/batch", body, key=None, headers={"Authorization": f"Bearer {WRITE_KEY}"}).status == 200
    assert service.post("/v1/batch", body, key="sk_test").status == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD"])
def test_a_wrong_method(service: Service, method: str):
    assert service.request(method, "/v1/batch", headers=basic(WRITE_KEY)).status == 405


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/", "/v2/batch", "/v1/batch/", "/v1/telegram", "/v1/batch%00", "/v1/../etc"]
)
def test_a_wrong_path(service: Service, path: str):
    assert service.post(path, {"batch": []}).status in {404, 405}


def test_a_client_that_goes_away_in_the_middle_of_a_body(service: Service, who: str):
    key = basic(WRITE_KEY)["Authorization"]
    with socket.create_connection((service.host, service.port), timeout=PATIENCE) as connection:
        connection.sendall(
            f"POST /v1/batch HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\nContent-Length: 500\r\n\r\n".encode()
            + b'{"batch": [{"type": "track"'
        )
    assert service.api("GET", f"/v1/contacts/user_id:{who}").status == 404


@pytest.mark.parametrize("raw", [b"\r\n\r\n", b"GARBAGE\r\n\r\n", b"\0" * 100, b"POST /v1/batch HTTP/9.9\r\n\r\n"])
def test_what_is_no_http(service: Service, raw: bytes):
    with socket.create_connection((service.host, service.port), timeout=PATIENCE) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(65_536)
    assert not answer or answer.startswith(b"HTTP/1.1 400")


BLANK_AT = {
    "/v1/track": b'{"event": "a", "userId": " "}',
    "/v1/interactions": b'{"name": "a", "contact": {"user_id": " "}}',
    "/v1/contacts": b'{"contact": {"user_id": "\\u2003"}, "attributes": {"a": 1}}',
    "/v1/cloudevents": b'{"specversion": "1.0", "id": "1", "source": "s", "type": "t", "subject": "user_id: "}',
}


@pytest.mark.parametrize("path", BLANK_AT)
def test_white_space_is_nobody_at_any_door(service: Service, path: str):
    media = "application/cloudevents+json" if path.endswith("events") else "application/json"
    answer = service.request(
        "POST", path, BLANK_AT[path], {"Content-Type": media, "Authorization": f"Bearer {WRITE_KEY}"}
    )
    assert answer.status == 400
    assert b"no_identity" in answer.body


def test_white_space_beside_somebody_is_passed_over(service: Service, who: str):
    assert service.batch(track(" ", anonymousId=who)).status == 200
    assert service.api("GET", f"/v1/contacts/anonymous_id:{who}").json["contact"]["identities"] == [
        ["anonymous_id", who]
    ]
