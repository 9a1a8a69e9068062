"""Names in templates are held against what is defined, and what was learned."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from parcours.channels.render import Renderer
from parcours.definitions.load import load_data
from parcours.definitions.templates import KnownNames, nothing_learned, template_findings, templates_in

MESSAGE = {"kind": "message", "name": "m", "channel": "email", "content": {"subject": "s", "text": "t"}}
ORDER = {"kind": "interaction", "name": "Order Completed", "attributes": {"total": {"type": "number"}}}
JOURNEY = {
    "kind": "journey", "name": "j", "entry": {"type": "interaction", "interaction": "Order Completed"},
    "start": "s", "steps": {"s": {"type": "send", "messages": ["m"]}},
}  # fmt: skip
DEFINED = [
    MESSAGE, ORDER, JOURNEY, {"kind": "catalogue", "name": "products"},
    {"kind": "workspace", "contacts": {"attributes": {"first_name": {"type": "string"}}}},
]  # fmt: skip


def learned(name: str) -> Collection[str]:
    return {"": ["city"], "order completed": ["sku"], "visit": ["page"]}.get(name, [])


def said(text: str, learned: Any = nothing_learned, *more: Any) -> tuple[list[str], list[str]]:
    instead = [(one["kind"], one.get("name")) for one in more]
    known = [one for one in DEFINED if (one["kind"], one.get("name")) not in instead]
    workspace, errors, _ = load_data([*known, *more])
    assert not errors
    wrong, doubtful = template_findings(
        ("message", "m"), Renderer().names({"/content/text": text}), workspace, KnownNames(learned)
    )
    assert all(problem.pointer == "/content/text" for problem in wrong + doubtful)
    return [f"{problem.code} {problem.hint}" for problem in wrong], [
        f"{problem.code} {problem.hint}" for problem in doubtful
    ]


@pytest.mark.parametrize(
    "text",
    [
        "{{ contact.first_name }} {{ contact.email }} {{ contact.id }} {{ contact.lists }} {{ contact.identities.card }}",
        "{{ interaction.total }} {{ run.key }} {{ run.answer.code }} {{ journey }} {{ message_id }} {{ now }} {{ today }}",
        '{{ contact.interactions["order completed"].last.total }} {{ contact.interactions["Order Completed"].count }}',
        '{% for o in contact.interactions["order completed"].items %}{{ o.anything }} {{ forloop.index }}{% endfor %}',
        "{% assign a = 1 %}{{ a }} {{ catalogue.products[interaction.sku].name }} {{ contact[run.key] }}",
        "{{ contact.interactions[run.key].count }} {{ contact.interactions['order completed'].last.occurred_at }}",
        "{{ contact.something_else }} {{ interaction.quite_another }}",  # nobody can tell without a service
        "{{ broken",
    ],
)
def test_nothing_is_said_of_what_is_right_or_may_come(text: str):
    assert said(text) == ([], [])


@pytest.mark.parametrize(
    "text, warning",
    [
        ("{{ contact.frist_name }}", "unknown_attribute did you mean 'first_name'?"),
        ("{{ interaction.totl }}", "unknown_attribute did you mean 'total'?"),
        ("{{ contcat.first_name }}", "unknown_variable did you mean 'contact'?"),
        ('{{ contact.interactions["order complete"].count }}', "unknown_interaction did you mean 'order completed'?"),
        ('{{ contact.interactions["order completed"].lats.total }}', "unknown_variable did you mean 'last'?"),
        ('{{ contact.interactions["order completed"].last.totl }}', "unknown_attribute did you mean 'total'?"),
    ],
)
def test_what_is_likely_misspelt_is_warned_of(text: str, warning: str):
    assert said(text) == ([], [warning])


@pytest.mark.parametrize("text", ["{{ contact.shoe_size }}", "{{ interaction.colour }}"])
def test_what_was_never_seen_is_warned_of_where_there_is_a_service_to_ask(text: str):
    assert said(text, learned) == ([], ["unknown_attribute "])
    assert said("{{ contact.city }} {{ interaction.sku }} {{ contact.interactions['visit'].last.page }}", learned) == (
        [],
        [],
    )


def test_an_unknown_catalogue_is_an_error():
    assert said("{{ catalogue.product[interaction.sku].name }}") == (["unknown_reference did you mean 'products'?"], [])


def test_of_a_journey_that_a_segment_starts_nothing_is_said():
    segment = {"kind": "segment", "name": "all", "condition": {"all": []}}
    other = JOURNEY | {"name": "k", "entry": {"type": "segment", "segment": "all"}}
    assert said("{{ interaction.totl }}", nothing_learned, segment, other) == ([], [])


@pytest.mark.parametrize(
    "entry", [{"type": "segment", "segment": "s"}, {"type": "contact_created"}, {"type": "date", "attribute": "born"}]
)
def test_a_message_of_journeys_that_no_interaction_starts_has_no_interaction(entry: dict[str, Any]):
    segment = {"kind": "segment", "name": "s", "condition": {"contact": "first_name", "is": "Ann"}}
    hint = 'never_seen ask for what the contact did: contact.interactions["NAME"].last'
    for text in ("Over {{ interaction.total }}.", "{{ interaction['total'] }}"):
        assert said(text, nothing_learned, segment, JOURNEY | {"entry": entry}) == ([], [hint])
    other = JOURNEY | {"name": "other", "entry": entry}
    assert said("{{ interaction.total }}", nothing_learned, segment, other) == ([], []), "another one has it"
    assert said("{{ contact.first_name }}", nothing_learned, segment, JOURNEY | {"entry": entry}) == ([], [])


def test_the_line_is_told():
    workspace, _, _ = load_data(DEFINED)
    _, (problem,) = template_findings(
        ("message", "m"), Renderer().names({"/content/text": "a\nb {{ contcat.x }}"}), workspace
    )
    assert problem.message.startswith("line 2: ")


CALLING = {
    "kind": "journey", "name": "calls", "entry": {"type": "interaction", "interaction": "Order Completed"}, "start": "ask",
    "steps": {
        "ask": {
            "type": "webhook", "url": "https://x.example/{{ contact.first_name }}", "save": "answer", "next": "tell",
            "headers": {"X-A": "{{ interaction.total }}"},
            "body": {"a": [1, "{{ run.answer.status }}", {"b~": "{{ run.id }} {{ run.key }}"}], "n": None},
        },
        "tell": {"type": "webhook", "url": "https://x.example/", "body": "a\n{{ now | date: '%Y' }}", "next": "say"},
        "say": {"type": "send", "messages": ["m"]},
    },
}  # fmt: skip


def of_calls(change: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    journey = CALLING | {"steps": CALLING["steps"] | {"ask": CALLING["steps"]["ask"] | change}}  # type: ignore[operator, index]
    workspace, errors, _ = load_data([*DEFINED, journey])
    assert not errors
    return template_findings(("journey", "calls"), Renderer().names(templates_in(journey)), workspace)


def test_what_webhooks_send_are_templates_each_with_its_pointer():
    assert templates_in(CALLING) == {
        "/steps/ask/url": "https://x.example/{{ contact.first_name }}",
        "/steps/ask/headers/X-A": "{{ interaction.total }}",
        "/steps/ask/body/a/1": "{{ run.answer.status }}",
        "/steps/ask/body/a/2/b~0": "{{ run.id }} {{ run.key }}",
        "/steps/tell/url": "https://x.example/",
        "/steps/tell/body": "a\n{{ now | date: '%Y' }}",
    }
    assert of_calls({}) == ([], [])


@pytest.mark.parametrize("data", [None, 3, "x", [], {}, {"kind": "journey"}, {"kind": "message", "content": 3},
    {"kind": "journey", "steps": []}, {"kind": "journey", "steps": {"a": 1, "b": {"type": "webhook"}, "c": {"type": "webhook", "url": 3}}},
    {"kind": "segment", "content": {"a": "b"}}])  # fmt: skip
def test_what_is_no_definition_has_no_templates(data: object):
    assert templates_in(data) == {}


@pytest.mark.parametrize(
    "change, said",
    [
        ({"url": "https://x.example/{{ contcat.x }}"}, ("/steps/ask/url", "unknown_variable",
            "line 1: templates see no 'contcat'", "did you mean 'contact'?")),
        ({"headers": {"A": "{{ interaction.totl }}"}}, ("/steps/ask/headers/A", "unknown_attribute",
            "line 1: 'order completed' has no attribute 'totl' yet", "did you mean 'total'?")),
        ({"body": {"x": ["{{ run.anser.status }}"]}}, ("/steps/ask/body/x/0", "unknown_variable",
            "line 1: no step of the journey saves 'anser'", "did you mean 'answer'?")),
    ],
)  # fmt: skip
def test_names_in_what_webhooks_send_are_held_against_the_journey(change: dict[str, Any], said: tuple[str, ...]):
    errors, (warning,) = of_calls(change)
    assert errors == []
    assert (warning.pointer, warning.code, warning.message, warning.hint) == said


def test_a_catalogue_that_a_webhook_asks_for_has_to_be_there():
    (error,), _ = of_calls({"body": "{{ catalogue.produce.x }}"})
    assert (error.pointer, error.code) == ("/steps/ask/body", "unknown_reference")
