"""Lists, catalogues and kinds of interaction over the API, over real HTTP to a real service."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.service import Answer, Service

SHOES = {
    "kind": "catalogue",
    "name": "shoes",
    "title": "Shoes",
    "attributes": {"price": {"type": "number", "required": True}, "since": {"type": "datetime"}},
}
BOUGHT = {
    "kind": "interaction",
    "name": "Shoe/Bought",
    "title": "A shoe was bought",
    "channel": "store",
    "attributes": {"total": {"type": "number"}},
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("lists") / "data") as running:
        answer = running.publish(
            {"kind": "list", "name": "vip"}, {"kind": "list", "name": "old", "archived": True}, SHOES, BOUGHT
        )
        assert answer.status == 200, answer.body
        yield running
    errors = running.errors.read_text()
    assert "Traceback" not in errors, errors[-5_000:]


_numbers = itertools.count(1)


@pytest.fixture
def who(api: Service) -> str:
    who = f"l{next(_numbers)}"
    answer = api.post("/v1/contacts", {"contact": {"user_id": who}})
    assert answer.status == 200, answer
    return who


def got(answer: Answer, status: int = 200) -> Any:
    assert answer.status == status, answer
    return answer.json


# --- lists ------------------------------------------------------------------------------------------------------------


def change(api: Service, status: int = 200, **body: Any) -> Any:
    return got(api.api("PUT", "/v1/lists/vip/members", body), status)


def members(api: Service) -> list[str]:
    found, after = [], ""
    while after is not None:
        page = got(api.api("GET", f"/v1/lists/vip/members?limit=1&after={after}"))
        found += [value for row in page["members"] for space, value in row["identities"] if space == "user_id"]
        after = page["next"]
    return found


def test_people_are_put_on_a_list_and_taken_off(api: Service, who: str):
    id_ = api.contact(who)["contact"]["id"]
    answer = change(api, add=[f"user_id:{who}"])
    assert (answer["done"], answer["unchanged"], answer["rejected"]) == (1, 0, 0)
    assert who in members(api)
    assert change(api, add=[id_])["unchanged"] == 1
    rows = {row["name"]: row for row in got(api.api("GET", "/v1/lists?count=true"))["lists"]}
    assert rows["vip"]["members"] == len(members(api))
    assert (rows["old"]["members"], rows["old"]["archived"]) == (0, True)
    assert change(api, remove=[id_])["done"] == 1
    assert who not in members(api)
    assert change(api, remove=[f"user_id:{who}"])["unchanged"] == 1
    assert [row["members"] for row in got(api.api("GET", "/v1/lists"))["lists"]] == [None, None]


def test_each_member_has_a_result_of_its_own(api: Service, who: str):
    answer = change(api, 400, add=["user_id:nobody", f"user_id:{who}", "Bad Space:1", "x"], remove=["user_id:nobody-2"])
    assert [(row["contact"], row["change"], row["status"]) for row in answer["results"]] == [
        ("user_id:nobody", "add", "rejected"),
        (f"user_id:{who}", "add", "done"),
        ("Bad Space:1", "add", "rejected"),
        ("x", "add", "rejected"),
        ("user_id:nobody-2", "remove", "rejected"),
    ]
    assert answer["results"][0]["error"]["code"] == "unknown_contact"
    assert api.api("GET", "/v1/contacts/user_id:nobody").status == 404


def test_a_change_of_members_that_cannot_be_is_refused(api: Service, who: str):
    reference = f"user_id:{who}"
    assert "'remove'" in change(api, 400, add=[reference], remove=[reference])["detail"]
    assert "10000" in change(api, 400, add=[f"user_id:{number}" for number in range(10_001)])["detail"]
    assert "vip" in got(api.api("PUT", "/v1/lists/vap/members", {"add": []}), 404)["detail"]
    assert "vip" in got(api.api("GET", "/v1/lists/vap/members"), 404)["detail"]


# --- catalogues -------------------------------------------------------------------------------------------------------


def test_a_catalogue_keeps_items_and_says_what_is_wrong_with_others(api: Service):
    items = {
        "a": {"price": 1.5, "since": "2026-01-01T00:00:00Z"},
        "b": {"price": "1"},
        "gone": None,
        "z": {"price": 1, "x": "\0"},
    }
    answer = got(api.api("PUT", "/v1/catalogues/shoes/items", {"items": items}), 400)
    assert [(row["id"], row["status"]) for row in answer["results"]] == [
        ("a", "stored"), ("b", "rejected"), ("gone", "removed"), ("z", "rejected"),
    ]  # fmt: skip
    assert [row["error"]["pointer"] for row in answer["results"] if row["error"]] == [
        "/attributes/price",
        "/attributes/x",
    ]
    assert (answer["stored"], answer["removed"], answer["rejected"]) == (1, 1, 2)
    item = got(api.api("GET", "/v1/catalogues/shoes/items/a"))
    assert item == {"id": "a", "attributes": items["a"]}
    assert got(api.api("PUT", "/v1/catalogues/shoes/items", {"items": {"a": None}}))["removed"] == 1
    assert api.api("GET", "/v1/catalogues/shoes/items/a").status == 404


@pytest.mark.parametrize("id_", ["24-MB01", "a/b", "ä ö", "100%", "a?b", "items/items"])
def test_an_item_is_put_shown_and_removed_by_its_id(api: Service, id_: str):
    path = f"/v1/catalogues/shoes/items/{quote(id_, safe='')}"
    assert api.api("GET", path).status == 404
    item = {"id": id_, "attributes": {"price": 3}}
    assert got(api.api("PUT", path, {"attributes": {"price": 3}})) == item
    assert got(api.api("GET", path)) == item
    assert [row["id"] for row in got(api.api("GET", "/v1/catalogues/shoes/items"))["items"]] == [id_]
    assert got(api.api("DELETE", path)) == item
    assert api.api("DELETE", path).status == 404


def test_items_come_in_pages(api: Service):
    ids = [f"p{number}" for number in range(5)]
    got(api.api("PUT", "/v1/catalogues/shoes/items", {"items": {id_: {"price": 1} for id_ in ids}}))
    found, after = [], ""
    while after is not None:
        page = got(api.api("GET", f"/v1/catalogues/shoes/items?limit=2&after={after}"))
        found += [item["id"] for item in page["items"]]
        after = page["next"]
    assert found == ids
    got(api.api("PUT", "/v1/catalogues/shoes/items", {"items": dict.fromkeys(ids)}))


def test_what_a_catalogue_does_not_take_is_refused(api: Service):
    rows = got(api.api("GET", "/v1/catalogues"))["catalogues"]
    assert [(row["name"], row["title"], row["attributes"]["price"]["type"]) for row in rows] == [
        ("shoes", "Shoes", "number")
    ]
    for method, path, body in [
        ("GET", "/v1/catalogues/shoos/items", None),
        ("PUT", "/v1/catalogues/shoos/items", {"items": {"a": {}}}),
        ("PUT", "/v1/catalogues/shoos/items/a", {"attributes": {}}),
        ("GET", "/v1/catalogues/shoos/items/a", None),
    ]:
        assert "shoes" in got(api.api(method, path, body), 404)["detail"], (method, path)
    refused = got(api.api("PUT", "/v1/catalogues/shoes/items/a", {"attributes": {"price": "x"}}), 400)
    assert refused["extra"]["pointer"] == "/attributes/price"
    assert api.api("PUT", f"/v1/catalogues/shoes/items/{'x' * 201}", {"attributes": {"price": 1}}).status == 400
    many = {str(number): None for number in range(10_001)}
    assert api.api("PUT", "/v1/catalogues/shoes/items", {"items": many}).status == 400


# --- kinds of interaction ---------------------------------------------------------------------------------------------


def test_kinds_of_interaction_are_those_defined_and_those_learned(api: Service, who: str):
    for name in ("Store Visit", "store visit", "shoe/bought"):
        item = {"name": name, "contact": {"user_id": who}, "attributes": {"total": 5, "colour": "red"}}
        assert api.post("/v1/interactions", item).status == 200
    rows = got(api.api("GET", "/v1/interactions"))["interactions"]
    bought, visit = rows
    assert (bought["name"], bought["key"], bought["title"], bought["origin"], bought["channel"], bought["count"]) == (
        "Shoe/Bought", "shoe/bought", "A shoe was bought", "defined", "store", 1,
    )  # fmt: skip
    assert (visit["name"], visit["key"], visit["origin"], visit["channel"], visit["count"], visit["attributes"]) == (
        "Store Visit", "store visit", "learned", None, 2, 2,
    )  # fmt: skip
    assert visit["first_at"] <= visit["last_at"]
    assert visit["last_time"].endswith("Z")
    answer = got(api.api("GET", f"/v1/interactions/{quote('Shoe/Bought', safe='')}/attributes"))
    assert [(row["name"], row["declared"], row["type"]) for row in answer["attributes"]] == [
        ("total", True, "number"),
        ("colour", False, "string"),
    ]
    assert answer["attributes"][0]["values"] == [{"value": 5, "count": 1}]
    assert answer["attributes"][0]["operators"]
    assert got(api.api("GET", f"/v1/interactions/{quote('STORE VISIT')}/attributes"))["count"] == 2
    assert "store visit" in got(api.api("GET", f"/v1/interactions/{quote('stor visit')}/attributes"), 404)["detail"]
    assert api.api("GET", "/v1/interactions/x").status == 404


def test_attributes_of_contacts_are_learned_without_telling_of_anybody(api: Service, who: str):
    known = {"contact": {"user_id": who}, "attributes": {"tier": 3, "email": f"{who}@parcours.dev"}}
    assert api.post("/v1/contacts", known).status == 200
    answer = got(api.api("GET", "/v1/contacts/attributes"))
    rows = {row["name"]: row for row in answer["attributes"]}
    assert rows["tier"]["values"] == [{"value": 3, "count": 1}]
    assert (rows["email"]["count"], rows["email"]["values"]) == (1, [])
