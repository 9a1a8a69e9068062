"""What a message would say, over the API and on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from parcours.cli.console import OUT
from tests.cli.test_commands import parcours
from tests.core.world import email, journey, send
from tests.service import SECRET_KEY, Service

TEXT = "Hello {{ contact.name }}, {{ contact.interactions['paid'].count }}: {{ catalogue.shoes[interaction.sku].name }}"
DEFINITIONS = [
    {"kind": "catalogue", "name": "shoes"},
    {"kind": "interaction", "name": "Paid"},
    email("offer", content={"subject": "s", "text": TEXT}),
    email(
        "failing", content={"subject": "s", "text": "{{ contact.name | date: '%H', 'Nowhere' }}{{ 1 | divided_by: 0 }}"}
    ),
    journey({"s": send("offer", "failing")}),
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("messages") / "data") as running:
        assert running.publish(*DEFINITIONS).status == 200
        known = {"contact": {"user_id": "ann"}, "attributes": {"name": "Ann", "email": "ann@parcours.dev"}}
        assert running.post("/v1/contacts", known).status == 200
        paid = {"name": "Paid", "contact": {"user_id": "ann"}}
        assert running.post("/v1/interactions", paid).status == 200
        put = running.api("PUT", "/v1/catalogues/shoes/items", {"items": {"7": {"name": "Boots"}}})
        assert put.status == 200
        yield running
    assert "Traceback" not in running.errors.read_text()


def preview(service: Service, message: str = "offer", **body: Any) -> Any:
    return service.api("POST", f"/v1/messages/{message}/preview", {"contact": "user_id:ann"} | body)


def test_it_shows_what_a_message_would_say_and_sends_nothing(service: Service):
    answer = preview(service, interaction={"sku": "7"})
    assert answer.status == 200, answer
    assert answer.json == {
        "message": "offer",
        "channel": "email",
        "address": "ann@parcours.dev",
        "refused": "no_consent",
        "content": {"subject": "s", "text": "Hello Ann, 1: Boots"},
    }
    assert service.report()["outbox"] == []


def test_other_templates_may_be_tried(service: Service):
    answer = preview(service, content={"text": "{{ contact.email }}"})
    assert answer.json["content"] == {"text": "ann@parcours.dev"}
    answer = preview(service, content={"text": "{{ contact.email | nothing }}"})
    assert answer.status == 422
    assert answer.json["extra"][0]["pointer"] == "/content/text"


def test_what_steps_saved_may_be_given(service: Service):
    text = "{{ run.offer.body.percent }} % for {{ run.key }} since {{ run.started_at | date: '%Y' }}"
    answer = preview(service, content={"text": text}, run={"offer": {"body": {"percent": 15}}, "key": "A7"})
    assert answer.json["content"]["text"].startswith("15 % for A7 since 2")


@pytest.mark.parametrize(
    "message, body, status, said",
    [
        ("ofer", {}, 404, "did you mean 'offer'"),
        ("offer", {"contact": "user_id:nobody"}, 404, "there is no contact"),
        ("offer", {"interaction": 4}, 400, ""),
        ("offer", {"interactions": {}}, 400, ""),
        ("failing", {}, 422, "failing"),
        ("offer", {"run": []}, 400, "/run"),
        (
            "offer",
            {"content": {"subjct": "s"}},
            422,
            "/content/subjct: E-mail has no 'subjct': did you mean 'subject'?",
        ),
    ],
)
def test_what_cannot_be_shown_is_said(service: Service, message: str, body: dict[str, Any], status: int, said: str):
    answer = preview(service, message, **body)
    assert answer.status == status, answer
    assert said in answer.json["detail"]


def test_names_that_are_likely_misspelt_are_warned_of_when_a_message_is_published(service: Service):
    answer = service.publish(email("new", content={"subject": "{{ contact.nmae }}", "text": "{{ contact.name }}"}))
    (warning,) = [one for one in answer.json["warnings"] if one["code"] == "unknown_attribute"]
    assert (warning["pointer"], warning["hint"]) == ("/definitions/0/content/subject", "did you mean 'name'?")
    answer = service.publish(email("new", content={"subject": "{{ catalogue.shoos[1].name }}", "text": "t"}))
    assert answer.status == 400
    (error,) = answer.json["errors"]
    assert (error["code"], error["hint"]) == ("unknown_reference", "did you mean 'shoes'?")


def test_the_command_line_shows_it(service: Service, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(OUT, "_width", 200)
    asked = ("messages", "preview", "offer", "--contact", "user_id:ann")
    environment = {"PARCOURS_URL": service.url, "PARCOURS_SECRET_KEY": SECRET_KEY}
    done = parcours(*asked, "--interaction", '{"sku": "7"}', **environment)
    assert done.code == 0, done
    for words in ("ann@parcours.dev", "no_consent", "Hello Ann, 1: Boots"):
        assert words in done.out
    assert parcours(*asked, "--interaction", "[]", **environment).code == 2
    assert parcours(*asked, "--run", '{"key": "A7"}', **environment).code == 0
    assert "the run is no JSON object" in parcours(*asked, "--run", "[]", **environment).err
