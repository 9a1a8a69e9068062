"""Whatever is wrong with a request to the API, the answer has one form and is in our words: on every route there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.service import Answer, Service

FRAMEWORKS_WORDS = re.compile(
    r"Validation failed|Expected `|Object (missing|contains)|Input data|malformed|Not Found|Method Not Allowed"
    r"|Entity Too Large|Internal Server|Invalid enum|msgspec|litestar|Traceback|NoneType|\bstr\b|\bint\b|\bdict\b"
)
BODIES = [b"", b"{", b"\xff", b"[]", b"5", b'"x"', b"null", b'{"zz": 1}', b"{}", b'{"a":' * 5_000]
CHANGES = {"post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def routes(service: Service) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of all that the API has."""
    schema = service.request("GET", "/schema/openapi.json").json
    return [
        (method.upper(), path, operation)
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
    ]


def check(answer: Answer, *asked: object) -> None:
    """An answer that is an error has the form; problems of many things are a list, each of that form."""
    assert answer.status < 500 or answer.status == 503, (asked, answer)
    assert FRAMEWORKS_WORDS.search(answer.body.decode()) is None or answer.status < 400, (asked, answer)
    if answer.status < 400:
        return
    assert answer.headers["content-type"] == "application/json", (asked, answer)
    found = answer.json
    several = found.get("errors") or [one["error"] for one in found.get("results", ()) if "error" in one]
    for one in several or [found]:
        assert isinstance(one["code"], str), (asked, one)
        assert re.fullmatch(r"[a-z_]+", one["code"]), (asked, one)
        assert one["message"], (asked, one)
        assert isinstance(one.get("pointer", ""), str), (asked, one)
        assert isinstance(one.get("hint", ""), str), (asked, one)
    if not several:
        assert {"code", "message", "pointer", "hint", "status_code", "detail"} <= found.keys(), (asked, found)
        assert found["status_code"] == answer.status, (asked, found)
        assert found["message"] in found["detail"], (asked, found)


def filled(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "nothing", path)


def bad_queries(operation: dict[str, Any]) -> Iterator[str]:
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "query":
            for value in ("x", "-1", "%F0", "999999999999999999999", ""):
                yield f"?{parameter['name']}={value}"


def test_every_route_answers_what_is_wrong_in_one_form(service, routes):
    assert len(routes) > 40
    for method, path, operation in routes:
        place = filled(path)
        if "requestBody" in operation:
            for body in BODIES:
                answer = service.api(method, place, body)
                check(answer, method, path, body)
        for query in bad_queries(operation):
            check(service.api(method, place + query, b"{}" if method != "GET" else None), method, path, query)
        check(service.request(method, place), method, path, "no key")


def test_a_method_that_a_path_does_not_take(service, routes):
    taken: dict[str, set[str]] = {}
    for method, path, _ in routes:
        taken.setdefault(path, set()).add(method)
    seen = 0
    for path, methods in taken.items():
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - methods:
            answer = service.api(method, filled(path), b"{}" if method != "GET" else None)
            check(answer, method, path)
            if answer.status == 405 and "hint" in answer.json:
                seen += 1
                assert method in answer.json["message"]
                assert any(one in answer.json["hint"] for one in methods)
    assert seen > 40


def wrong(answer: Answer, status: int) -> tuple[str, str, str, str]:
    assert answer.status == status, answer
    check(answer)
    return tuple(answer.json[field] for field in ("code", "message", "pointer", "hint"))  # type: ignore[return-value]


def test_a_path_that_is_not_there(service):
    assert wrong(service.api("GET", "/v1/contacs"), 404)[:2] == ("unknown_path", "there is nothing at /v1/contacs")


def test_a_body_that_is_too_large(service):
    body = b'{"definitions": "' + b"x" * 30_000_000 + b'"}'
    assert wrong(service.api("PUT", "/v1/definitions", body), 413)[0] == "body_too_large"


def test_a_field_is_named(service):
    keys = "/v1/keys"
    assert wrong(service.api("POST", keys, b'{"kind": "write", "nmae": 1}'), 400)[:3] == (
        "unknown_field", "there is no field 'nmae'", "/nmae",
    )  # fmt: skip
    assert wrong(service.api("POST", keys, b'{"kind": 5}'), 400)[2] == "/kind"
    assert wrong(service.api("POST", keys, b'{"kind": "write"'), 400) == (
        "invalid_json", "it is not valid JSON", "", "it ends too early",
    )  # fmt: skip


def test_a_value_of_the_query_is_named(service):
    code, message, pointer, _ = wrong(service.api("GET", "/v1/contacts?limit=many"), 400)
    assert (code, message, pointer) == ("wrong_type", "expected an integer", "?limit")


def test_a_key(service):
    assert wrong(service.request("GET", "/v1/contacts"), 401)[0] == "wrong_key"
