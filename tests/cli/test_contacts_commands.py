"""Contacts, lists, catalogues and kinds of interaction on the command line, against a running service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from parcours.cli.console import OUT
from tests.cli.test_commands import Said, one_line, parcours
from tests.core.world import END, email, journey, send
from tests.service import SECRET_KEY, Service

DEFINITIONS = [
    {"kind": "list", "name": "vip", "title": "Very important"},
    {"kind": "catalogue", "name": "shoes", "attributes": {"price": {"type": "number"}}},
    {"kind": "interaction", "name": "Order Completed", "title": "An order"},
    email("thanks", purpose="transactional"),
    journey({"thank": send("thanks", next="end"), "end": END}, on="Order Completed", name="orders"),
    email("offer"),
    journey({"s": send("offer")}, on="Seen", name="offers", max_entries={"times": 1}),
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("contacts") / "data") as running:
        assert running.publish(*DEFINITIONS).status == 200
        for who, city in (("ann", "Atlanta"), ("bob", "[bold]Boston")):
            known = {
                "contact": {"user_id": who},
                "attributes": {"city": city, "email": f"{who}@parcours.dev", "age": 30},
                "consent": {"email": {"news": "opted_in"}},
                "evidence": {"by": "till 3", "how": "asked"},
            }
            assert running.post("/v1/contacts", known).status == 200
            item = {"name": "Order Completed", "contact": {"user_id": who}, "attributes": {"total": 42.5}}
            assert running.post("/v1/interactions", item).status == 200
        yield running
    assert "Traceback" not in running.errors.read_text()


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OUT, "_width", 200)


def run(service: Service, *arguments: str | Path) -> Said:
    return parcours(*arguments, PARCOURS_URL=service.url, PARCOURS_SECRET_KEY=SECRET_KEY)


def said(service: Service, *arguments: str | Path) -> str:
    done = run(service, *arguments)
    assert done.code == 0, done
    return done.out


def test_a_contact_is_shown(service: Service):
    out = said(service, "contacts", "show", "user_id:bob")
    for word in ("[bold]Boston", "bob@parcours.dev", "opted_in", "news"):
        assert word in out
    assert json.loads(said(service, "contacts", "show", "user_id:bob", "--json"))["contact"]["attributes"]["age"] == 30


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ([], ["ann", "bob"]),
        (["ATLANTA"], ["ann"]),
        (["--attribute", "age:30", "--attribute", "city:Atlanta"], ["ann"]),
        (["--identity", "user_id:bob"], ["bob"]),
        (["--condition", '{"contact": "city", "is": "Atlanta"}'], ["ann"]),
        (["--list", "vip"], []),
        (["--limit", "1"], None),
    ],
)
def test_contacts_are_found(service: Service, arguments: list[str], expected: list[str] | None):
    found = json.loads(said(service, "contacts", "search", *arguments, "--json"))
    people = sorted(row["identities"][0][1] for row in found["contacts"])
    assert people == expected if expected is not None else len(people) == 1
    assert f"{len(people)} contact" in said(service, "contacts", "search", *arguments)


def test_a_timeline_and_consent_are_shown(service: Service):
    out = said(service, "contacts", "timeline", "user_id:ann")
    for word in ("interaction order completed", "total: 42.5", "sent orders/thank", "thanks (", "update"):
        assert word in out, out
    rows = json.loads(
        said(service, "contacts", "timeline", "user_id:ann", "--kind", "message", "--limit", "1", "--json")
    )
    assert [entry["kind"] for entry in rows["entries"]] == ["interaction"]
    out = said(service, "contacts", "consent", "user_id:ann")
    for word in ("news", "opted_in", "till 3", "asked", "api.contacts"):
        assert word in out
    assert len(json.loads(said(service, "contacts", "consent", "user_id:ann", "--json"))["history"]) == 1


def test_a_timeline_tells_what_something_was_decided_by(service: Service):
    for number in range(2):
        item = {"name": "Seen", "contact": {"user_id": "bob"}, "id": f"seen-{number}"}
        assert service.post("/v1/interactions", item).status == 200
    out = " ".join(said(service, "contacts", "timeline", "user_id:bob").split())
    assert "suppressed offers/s │ offer: no_consent" in out
    assert "refused offers │ too_many_entries (entries: 1)" in out


def test_a_contact_is_exported_and_erased(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert service.post("/v1/contacts", {"contact": {"user_id": "cyd"}}).status == 200
    file = tmp_path / "cyd.json"
    assert str(file) in said(service, "contacts", "export", "user_id:cyd", "--out", file)
    assert json.loads(file.read_text())["complete"] is True
    assert json.loads(said(service, "contacts", "export", "user_id:cyd"))["identities"][0]["value"] == "cyd"
    monkeypatch.setattr("typer.confirm", lambda text: "user_id:cyd" not in text)
    assert run(service, "contacts", "erase", "user_id:cyd").code == 1
    assert "1 input" in said(service, "contacts", "erase", "user_id:cyd", "--yes", "--suppress")
    one_line(run(service, "contacts", "erase", "user_id:cyd", "--yes"), "erased")
    answer = service.post("/v1/contacts", {"contact": {"user_id": "cyd"}})
    assert answer.json["results"][0]["error"]["code"] == "erased"


def test_a_list_is_changed_and_shown(service: Service):
    assert "1 done, 0 unchanged, 0 rejected" in said(service, "lists", "add", "vip", "user_id:ann")
    assert "Very important" in said(service, "lists", "show")
    assert "user_id:ann" in said(service, "lists", "show", "vip")
    assert len(json.loads(said(service, "lists", "show", "vip", "--json"))["members"]) == 1
    assert json.loads(said(service, "lists", "show", "--json"))["lists"][0]["members"] == 1
    done = run(service, "lists", "remove", "vip", "user_id:ann", "user_id:nobody")
    assert done.code == 1
    assert "1 done, 0 unchanged, 1 rejected" in done.out
    assert "user_id:nobody" in done.err


def test_items_are_put_shown_and_removed(service: Service):
    assert "a/1" in said(service, "catalogues", "put", "shoes", "a/1", "price=59.90", "colour=red", "tags=[1]")
    assert json.loads(said(service, "catalogues", "items", "shoes", "--json"))["items"] == [
        {"id": "a/1", "attributes": {"price": 59.9, "colour": "red", "tags": [1]}}
    ]
    assert "colour: red" in said(service, "catalogues", "items", "shoes")
    assert "price" in said(service, "catalogues", "items")
    assert "no longer" in said(service, "catalogues", "remove", "shoes", "a/1")
    one_line(run(service, "catalogues", "remove", "shoes", "a/1"), "a/1")
    one_line(run(service, "catalogues", "put", "shoes", "a", "price=x"), "/attributes/price")
    one_line(run(service, "catalogues", "put", "shoes", "a", "price"), "price=59.90")


def test_kinds_of_interaction_and_attributes_are_shown(service: Service):
    out = said(service, "interactions", "list")
    for word in ("Order Completed", "An order", "defined"):
        assert word in out
    assert json.loads(said(service, "interactions", "list", "--json"))["interactions"][0]["count"] == 2
    out = said(service, "interactions", "attributes", "order completed")
    assert "total" in out
    assert "42.5" in out
    assert "Atlanta" not in out
    out = said(service, "interactions", "attributes")
    assert "age" in out
    assert "ann@parcours.dev" not in out


@pytest.mark.parametrize(
    "arguments, word",
    [
        (["contacts", "show", "user_id:nobody"], "nobody"),
        (["contacts", "show", "nobody"], "user_id:VALUE"),
        (["contacts", "search", "--segment", "x"], "segment"),
        (["contacts", "search", "--condition", "x"], "JSON"),
        (["contacts", "search", "ann", "--condition", "{}"], "alone"),
        (["contacts", "timeline", "user_id:ann", "--kind", "x"], "kind"),
        (["lists", "show", "vap"], "vip"),
        (["catalogues", "items", "shoos"], "shoes"),
        (["interactions", "attributes", "order complete"], "order completed"),
    ],
)
def test_what_cannot_be_is_one_line(service: Service, arguments: list[str], word: str):
    one_line(run(service, *arguments), word)


def test_a_wrong_key_is_told(service: Service):
    one_line(parcours("contacts", "search", PARCOURS_URL=service.url, PARCOURS_SECRET_KEY="x"), "401")
