"""Definitions one by one, channels and source types, and packs: over real HTTP to a real service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from parcours.definitions.settings import CHANNELS, SOURCE_TYPES
from parcours.runtimes.clocks import SystemClock
from parcours.runtimes.embedded import Embedded
from parcours.runtimes.engine import Engine
from parcours.stores.memory import MemoryStore
from parcours.web.api.packs import built_in
from parcours.web.app import create_app
from parcours.web.auth import Keys, hash_key
from tests.core.world import email, journey, send
from tests.service import SECRET_KEY, WRITE_KEY, Answer, Service
from tests.web.asgi import call


@pytest.fixture(scope="module")
def module_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("definitions") / "data") as running:
        yield running
    assert "Traceback" not in running.errors.read_text()


class Api:
    """One service for all tests; each uses names of its own."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        raw = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        standing = {"Content-Type": "application/json", "Authorization": f"Bearer {SECRET_KEY}"}
        return self.service.request(method, f"/v1{path}", raw, standing | given)

    def put(self, kind: str, name: str, body: Any, **headers: str) -> Answer:
        return self("PUT", place(kind, name), body, **headers)

    def names(self, kind: str, **query: str) -> list[str]:
        answer = self("GET", f"/definitions/{kind}" + (f"?{urlencode(query)}" if query else ""))
        assert answer.status == 200, answer
        return [item["name"] for item in answer.json["definitions"]]


def place(kind: str, name: str, *more: str) -> str:
    return "/".join(["/definitions", kind, quote(name, safe=""), *more])


@pytest.fixture
def api(module_service: Service) -> Api:
    return Api(module_service)


SEGMENT = {"condition": {"contact": "age", "at_least": 18}}


# --- one by one -------------------------------------------------------------------------------------------------------


def test_one_is_created_had_replaced_and_listed(api: Api):
    made = api.put("segment", "one", SEGMENT)
    assert (made.status, made.json) == (201, {"published": True, "errors": [], "warnings": []})
    got = api("GET", place("segment", "one"))
    assert got.json == {"kind": "segment", "name": "one", **SEGMENT}
    assert got.headers["etag"] == made.headers["etag"]
    again = api.put("segment", "one", got.json)
    assert (again.status, again.headers["etag"]) == (200, got.headers["etag"])
    changed = api.put("segment", "one", {**SEGMENT, "title": "Adults"})
    assert changed.status == 200
    assert changed.headers["etag"] != got.headers["etag"]
    assert api("GET", place("segment", "one")).json["title"] == "Adults"
    assert "one" in api.names("segment")


@pytest.mark.parametrize(
    "name", ["Store Visit", "a/b", "a/b/uses", "a/archive", "50 %", "Überlänge ß 😀", "?#&=+", "..", "x//y", " padded"]
)
def test_names_of_interactions_may_hold_anything(api: Api, name: str):
    assert api.put("interaction", name, {}).status == 201
    got = api("GET", place("interaction", name))
    assert (got.status, got.json["name"]) == (200, name)
    assert api("GET", place("interaction", name, "uses")).json == {"uses": []}
    assert api("POST", place("interaction", name, "archive")).status == 200
    assert api("GET", place("interaction", name)).json["archived"] is True
    assert api("POST", place("interaction", name, "restore")).status == 200
    assert api("GET", place("interaction", name)).json == {"kind": "interaction", "name": name}


def test_a_slash_may_also_stand_as_it_is(api: Api):
    assert api.put("interaction", "plain/slash", {}).status == 201
    assert api("GET", "/definitions/interaction/plain/slash").json["name"] == "plain/slash"


def test_an_interaction_is_found_in_any_spelling_and_keeps_its_own(api: Api):
    assert api.put("interaction", "Gym_Visit", {}).status == 201
    assert api("GET", place("interaction", " GYM_visit ")).json["name"] == "Gym_Visit"
    assert api.put("interaction", "gym_visit", {"title": "Gym"}).status == 200
    assert api("GET", place("interaction", "gym_visit")).json["name"] == "Gym_Visit"
    assert api.put("interaction", "Gym_Visit", {"name": "GYM_VISIT"}).status == 200
    assert api("GET", place("interaction", "gym_visit")).json["name"] == "GYM_VISIT"


def test_a_body_that_is_another_definition_is_refused(api: Api):
    answer = api.put("segment", "mine", {"kind": "list", "name": "yours", **SEGMENT})
    assert answer.status == 400
    assert [(one["code"], one["pointer"]) for one in answer.json["errors"]] == [
        ("another_kind", "/kind"),
        ("another_name", "/name"),
    ]
    assert api("GET", place("segment", "mine")).status == 404


def test_mistakes_point_into_the_body(api: Api):
    answer = api.put("segment", "wrong", {"condition": {"all": [{"contact": "a", "iz": 1}]}, "titel": "x"})
    assert answer.status == 400
    assert not answer.json["published"]
    assert {one["pointer"] for one in answer.json["errors"]} == {"/condition/all/0/iz", "/titel"}
    answer = api.put("segment", "Not A Name", SEGMENT)
    assert {one["pointer"] for one in answer.json["errors"]} == {"/name"}
    answer = api.put("message", "liquid", {"channel": "email", "content": {"subject": "{{ a", "text": "x"}})
    assert {one["pointer"] for one in answer.json["errors"]} == {"/content/subject"}
    answer = api.put("journey", "warned", journey({"s": {"type": "end"}}, on="Never Seen", name="warned"))
    assert answer.status == 201
    assert [one["pointer"] for one in answer.json["warnings"]] == ["/entry/interaction"]


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"5"])
def test_a_body_that_is_no_object(api: Api, body: bytes):
    assert api.put("segment", "mine", body).status == 400


@pytest.mark.parametrize(
    "method, path, words",
    [
        ("GET", "/definitions/journy", "did you mean 'journey'?"),
        ("GET", "/definitions/what/x", "kinds are workspace, interaction"),
        ("PUT", "/definitions/interactions/x", "did you mean 'interaction'?"),
        ("GET", "/definitions/segment/nobody", "there is no segment 'nobody'"),
        ("GET", "/definitions/segment/nobody/uses", "there is no segment 'nobody'"),
        ("POST", "/definitions/segment/nobody/archive", "there is no segment 'nobody'"),
        ("POST", "/definitions/segment/nobody/delete", "archive or"),
        ("POST", "/definitions/segment/archive", "archive or"),
        ("GET", "/definitions/segment/%FF", "UTF-8"),
        ("GET", "/packs/mobil", "did you mean 'mobile'?"),
        ("POST", "/packs/nothing/enable", "packs are"),
        ("DELETE", "/channels/nowhere", "there is no channel 'nowhere'"),
    ],
)
def test_what_is_not_there_is_said_with_a_hint(api: Api, method: str, path: str, words: str):
    answer = api(method, path, {} if method == "PUT" else None)
    assert answer.status == 404, answer
    assert words in answer.json["detail"]


def test_a_name_that_is_close_is_hinted_at(api: Api):
    api.put("segment", "regulars", SEGMENT)
    assert "did you mean 'regulars'?" in api("GET", place("segment", "regular")).json["detail"]


def test_lists_are_narrowed_down(api: Api):
    api.put("interaction", "Narrow Web", {"description": "about Needles"})
    api.put("interaction", "Narrow Store", {"channel": "store", "title": "needle"})
    api.put("interaction", "Narrow Staff", {"channel": "store", "source_type": "staff", "archived": True})
    assert api.names("interaction", text="NEEDLE") == ["Narrow Web", "Narrow Store"]
    assert api.names("interaction", text="narrow", channel="store") == ["Narrow Store"]
    assert api.names("interaction", text="narrow", channel="store", archived="true") == ["Narrow Store", "Narrow Staff"]
    assert api.names("interaction", text="narrow", source_type="staff", archived="true") == ["Narrow Staff"]
    assert api.names("interaction", text="narrow", source_type="staff") == []
    everything = [item["name"] for item in api("GET", "/definitions").json["definitions"]]
    assert "Narrow Staff" in everything
    for query in ("channel=web", "source_type=staff"):
        answer = api("GET", f"/definitions/segment?{query}")
        assert answer.status == 400
        assert "a segment has no" in answer.json["detail"]
    assert api("GET", "/definitions/segment?archived=perhaps").status == 400


def test_only_the_secret_key_may(api: Api):
    for method, path in (
        ("GET", "/packs"),
        ("GET", "/channels"),
        ("POST", "/packs/mobile/enable"),
        ("GET", "/definitions/list"),
    ):
        assert api(method, path, Authorization=f"Bearer {WRITE_KEY}").status == 401


def test_a_key_that_may_only_read_definitions(api: Api):
    made = api("POST", "/keys", {"kind": "secret", "name": "reader", "scopes": ["definitions:read"]})
    assert made.status == 201, made
    reader = {"Authorization": f"Bearer {made.json['key']}"}
    for path in ("/definitions", "/definitions/list", "/channels", "/source-types", "/packs", "/packs/mobile"):
        assert api("GET", path, **reader).status == 200
    for method, path in (
        ("PUT", "/definitions/list/x"),
        ("POST", "/definitions/list/x/archive"),
        ("POST", "/channels"),
        ("DELETE", "/source-types/x"),
        ("POST", "/packs/mobile/enable"),
    ):
        assert api(method, path, {}, **reader).status == 403


# --- concurrency ------------------------------------------------------------------------------------------------------


def test_who_changes_what_has_changed_meanwhile_is_told(api: Api):
    tag = api.put("list", "shared", {}).headers["etag"]
    assert api.put("list", "shared", {"title": "Mine"}, If_Match=tag).status == 200
    late = api.put("list", "shared", {"title": "Yours"}, If_Match=tag)
    assert late.status == 412
    assert "changed" in late.json["detail"]
    assert api("GET", place("list", "shared")).json["title"] == "Mine"
    now = api("GET", place("list", "shared")).headers["etag"]
    assert api.put("list", "shared", {"title": "Yours"}, If_Match=f'"x", W/{now}').status == 200
    assert api.put("list", "shared", {}, If_Match="*").status == 200
    assert api.put("list", "not-there", {}, If_Match="*").status == 412


def test_who_creates_what_is_there_is_told(api: Api):
    assert api.put("list", "fresh", {}, If_None_Match="*").status == 201
    assert api.put("list", "fresh", {"title": "x"}, If_None_Match="*").status == 412
    assert "title" not in api("GET", place("list", "fresh")).json


async def test_of_two_at_the_same_time_one_wins():
    host = Embedded(Engine(MemoryStore(), SystemClock()), {}, lambda _definition, _data: {})
    app = create_app(host, Keys(hash_key(WRITE_KEY), hash_key(SECRET_KEY)), largest_body=10_000)
    await host.start()
    try:
        async with asyncio.timeout(20):
            answers = await asyncio.gather(
                *(
                    call(
                        app,
                        "PUT",
                        "/v1/definitions/list/raced",
                        json.dumps({"title": str(number)}).encode(),
                        key=SECRET_KEY,
                        headers={"If-None-Match": "*"},
                    )
                    for number in range(10)
                )
            )
    finally:
        await host.close()
    assert sorted(answer.status for answer in answers) == [201] + [412] * 9


# --- archiving and uses -----------------------------------------------------------------------------------------------


def test_what_is_used_is_not_archived_and_says_by_whom(api: Api):
    api.put("segment", "used", SEGMENT)
    api.put("segment", "user", {"condition": {"not": {"segment": "used"}}})
    api.put("journey", "user", journey({"s": {"type": "decision", "if": {"segment": "used"}}}, name="user"))
    draft = journey({"s": {"type": "end"}}, name="draft-user") | {"state": "draft"}
    api.put("journey", "draft-user", draft | {"entry": {"type": "segment", "segment": "used"}})
    uses = api("GET", place("segment", "used", "uses")).json["uses"]
    assert [(use["kind"], use["name"], use["pointer"], use["active"]) for use in uses] == [
        ("segment", "user", "/condition/not/segment", True),
        ("journey", "user", "/steps/s/if/segment", True),
        ("journey", "draft-user", "/entry/segment", False),
    ]
    refused = api("POST", place("segment", "used", "archive"))
    assert refused.status == 409
    assert refused.json["detail"] == "the segment 'used' is used by the segment 'user', the journey 'user'"
    assert [use["pointer"] for use in refused.json["extra"]] == ["/condition/not/segment", "/steps/s/if/segment"]
    refused = api.put("segment", "used", {**SEGMENT, "archived": True})
    assert refused.status == 400
    assert {one["code"] for one in refused.json["errors"]} == {"archived_reference"}
    assert {one["message"].partition(":")[0] for one in refused.json["errors"]} == {"segment 'user'", "journey 'user'"}

    assert api("POST", place("segment", "user", "archive")).status == 200
    assert "the journey 'user'" in api("POST", place("segment", "used", "archive")).json["detail"]
    closed = api("GET", place("journey", "user")).json | {"state": "draft"}
    assert api.put("journey", "user", closed).status == 200
    archived = api("POST", place("segment", "used", "archive"))
    assert (archived.status, archived.json["published"]) == (200, True)
    assert archived.headers["etag"] == api("GET", place("segment", "used")).headers["etag"]
    assert "used" not in api.names("segment")
    assert "used" in api.names("segment", archived="true")
    assert api("POST", place("segment", "used", "archive")).status == 200

    live = api.put("journey", "user", closed | {"state": "live"})
    assert live.status == 400
    assert [(one["code"], one["pointer"]) for one in live.json["errors"]] == [
        ("archived_reference", "/steps/s/if/segment")
    ]
    back = api("POST", place("segment", "user", "restore"))
    assert [one["pointer"] for one in back.json["errors"]] == ["/condition/not/segment"]
    assert api("POST", place("segment", "used", "restore")).status == 200
    assert api("POST", place("segment", "user", "restore")).status == 200
    assert api.put("journey", "user", closed | {"state": "live"}).status == 200


def test_a_live_journey_and_the_settings_are_not_archived(api: Api):
    api.put("message", "sent", email("sent"))
    api.put("journey", "running", journey({"s": send("sent")}, name="running"))
    refused = api("POST", place("journey", "running", "archive"))
    assert refused.status == 409
    assert "closed" in refused.json["detail"]
    assert api("POST", place("message", "sent", "archive")).status == 409
    assert api("POST", "/definitions/workspace/workspace/archive").status == 409
    closed = api("GET", place("journey", "running")).json | {"state": "draft"}
    assert api.put("journey", "running", closed).status == 200
    assert api("POST", place("journey", "running", "archive")).status == 200
    assert api("POST", place("message", "sent", "archive")).status == 200


def test_uses_are_told_of_what_is_only_learned(api: Api):
    api.put("segment", "learner", {"condition": {"did": "Never Defined"}})
    uses = api("GET", place("interaction", "NEVER defined", "uses")).json["uses"]
    assert [(use["name"], use["pointer"]) for use in uses] == [("learner", "/condition/did")]


# --- the workspace's words --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path, field, usual", [("channels", "channels", CHANNELS), ("source-types", "source_types", SOURCE_TYPES)]
)
def test_words_are_added_used_and_removed(api: Api, path: str, field: str, usual: dict[str, str]):
    def rows() -> dict[str, Any]:
        return {row["name"]: row for row in api("GET", f"/{path}").json[field]}

    before = rows()
    assert {name: row["title"] for name, row in before.items() if not row["own"]} == usual
    assert api("POST", f"/{path}", {"name": "kiosk", "title": "Kiosk"}).status == 201
    assert api("POST", f"/{path}", {"name": "untitled"}).status == 201
    assert rows()["kiosk"] == {"name": "kiosk", "title": "Kiosk", "own": True, "used": 0}
    assert rows()["untitled"]["title"] == "untitled"
    assert api("POST", f"/{path}", {"name": "kiosk"}).status == 409
    assert api("POST", f"/{path}", {"name": next(iter(usual))}).status == 409
    bad = api("POST", f"/{path}", {"name": "Not A Name"})
    assert (bad.status, {one["pointer"] for one in bad.json["errors"]}) == (400, {"/name"})
    assert api("POST", f"/{path}", {"nam": "x"}).status == 400

    single = field.removesuffix("s")
    name = f"Seen at the {single}"
    wrong = api.put("interaction", name, {single: "kiosc"})
    assert wrong.status == 400
    assert [(one["pointer"], one["hint"]) for one in wrong.json["errors"]] == [(f"/{single}", "did you mean 'kiosk'?")]
    assert api.put("interaction", name, {single: "kiosk"}).status == 201
    assert rows()["kiosk"]["used"] == 1
    refused = api("DELETE", f"/{path}/kiosk")
    assert refused.status == 409
    assert name in refused.json["detail"]
    assert api("POST", place("interaction", name, "archive")).status == 200
    assert api("DELETE", f"/{path}/kiosk").status == 200
    assert api("POST", place("interaction", name, "restore")).status == 400
    assert api("DELETE", f"/{path}/untitled").status == 200
    assert api("DELETE", f"/{path}/{next(iter(usual))}").status == 409
    assert rows() == before


def test_the_settings_are_a_definition_like_others(api: Api):
    got = api("GET", "/definitions/workspace/workspace")
    assert (got.status, got.json["kind"]) == (200, "workspace")
    assert len(api("GET", "/definitions/workspace").json["definitions"]) == 1
    strict = api.put("workspace", "workspace", {"contacts": {"attributes": {"age": {"type": "number"}}}})
    assert strict.status == 200, strict
    assert api("GET", "/definitions/workspace/workspace").json["contacts"]["attributes"] == {"age": {"type": "number"}}
    usual = api.put("workspace", "workspace", {}, If_Match=strict.headers["etag"])
    assert usual.status == 200
    assert api("GET", "/definitions/workspace/workspace").json == {"kind": "workspace"}
    records = api.service.report()["records"]
    assert api.put("workspace", "workspace", {}).status == 200
    assert api.service.report()["records"] == records
    assert api.put("workspace", "other", {}).status == 400
    assert api("GET", "/definitions/workspace/other").status == 404


# --- packs ------------------------------------------------------------------------------------------------------------


def test_a_pack_is_switched_on_and_off_and_leaves_alone_what_is_not_its_own(api: Api):
    def states() -> dict[str, str]:
        return {row["name"]: row["state"] for row in api("GET", "/packs/support").json["definitions"]}

    assert [row["name"] for row in api("GET", "/packs").json["packs"]] == list(built_in())
    assert set(states().values()) == {"missing"}
    assert api.put("interaction", "complaint made", {"title": "My own"}).status == 201
    on = api("POST", "/packs/support/enable")
    assert on.status == 200
    assert on.json["state"] == "on"
    assert [one["name"] for one in on.json["done"]] == ["Ticket Created", "Ticket Solved"]
    assert [(one["name"], one["why"], one["users"]) for one in on.json["left"]] == [("complaint made", "changed", [])]
    assert api("GET", place("interaction", "Complaint Made")).json["title"] == "My own"
    assert states() == {"Ticket Created": "on", "Ticket Solved": "on", "Complaint Made": "changed"}
    again = api("POST", "/packs/support/enable")
    assert (again.json["done"], again.json["state"]) == ([], "on")

    api.put("segment", "helped", {"condition": {"did": "ticket solved"}})
    off = api("POST", "/packs/support/disable")
    assert [one["name"] for one in off.json["done"]] == ["Ticket Created"]
    assert off.json["state"] == "partly"
    left = {one["name"]: (one["why"], one["users"]) for one in off.json["left"]}
    assert left == {
        "complaint made": ("changed", []),
        "Ticket Solved": ("used", [{"kind": "segment", "name": "helped"}]),
    }
    assert api("POST", place("segment", "helped", "archive")).status == 200
    assert api("POST", "/packs/support/disable").json["state"] == "off"
    assert api("POST", "/packs/support/enable").json["state"] == "on"
    assert api("GET", "/packs/support").json["state"] == "on"


def test_every_pack_can_be_switched_on(api: Api):
    for name in built_in():
        answer = api("POST", f"/packs/{name}/enable")
        assert (answer.status, answer.json["errors"], answer.json["warnings"]) == (200, [], [])
    rows = api("GET", "/packs").json["packs"]
    assert {row["state"] for row in rows} == {"on"}
    assert sum(row["definitions"] for row in rows) >= 50


def test_all_of_it_outlives_a_restart(tmp_path: Path):
    with Service(tmp_path / "data") as service:
        api = Api(service)
        assert api("POST", "/channels", {"name": "kiosk"}).status == 201
        assert api("POST", "/source-types", {"name": "till"}).status == 201
        assert api.put("interaction", "Seen", {"channel": "kiosk", "retention": "30d"}).status == 201
        assert api("POST", "/packs/mobile/enable").status == 200
        assert api("POST", "/packs/mobile/disable").status == 200
        assert api("POST", place("interaction", "Seen", "archive")).status == 200
        assert api("DELETE", "/channels/kiosk").status == 200
        assert api("DELETE", "/source-types/till").status == 200
        before = api("GET", "/definitions").json
    assert before["definitions"][0] == {"kind": "workspace"}
    with Service(tmp_path / "data") as service:
        assert Api(service)("GET", "/definitions").json == before


def test_the_api_describes_these_paths(api: Api):
    schema = api.service.request("GET", "/schema/openapi.json").json
    assert {
        "/v1/definitions/{kind}",
        "/v1/definitions/{kind}/{name}",
        "/v1/channels",
        "/v1/channels/{name}",
        "/v1/source-types",
        "/v1/packs",
        "/v1/packs/{name}/enable",
    } <= set(schema["paths"])
