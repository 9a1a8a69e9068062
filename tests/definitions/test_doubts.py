"""What is likely not meant in a journey, and what is."""

from __future__ import annotations

from typing import Any

import pytest

from parcours.definitions.doubts import never_seen
from parcours.definitions.load import load_data
from tests.core.world import END, email, journey, send, wait, wait_for

CONSENT = {"consent": "email", "is": "opted_in"}
NEVER = {"all": [{"contact": "city", "is": "a"}, {"contact": "city", "is": "b"}]}


def decision(condition: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "decision", "if": condition, **more}


def found(*, steps: dict[str, Any], learned: dict[str, list[str]] | None = None, **more: Any) -> list[tuple[str, str]]:
    data = [journey(steps, **more), email("m"), email("t", purpose="transactional")]
    workspace, errors, warnings = load_data(data)
    assert errors == []
    if learned is not None:
        warnings = never_seen(workspace.journeys["j"], workspace, lambda name: learned.get(name, []))
    told = [(one.code, one.pointer.removeprefix("/definitions/0")) for one in warnings]
    return [(code, pointer) for code, pointer in told if code != "unknown_interaction"]


@pytest.mark.parametrize(
    "steps, expected",
    [
        ({"w": wait("1d")}, [("dead_end", "/steps/w")]),
        ({"w": wait_for("Paid")}, [("dead_end", "/steps/w")]),
        ({"w": wait("1d", next="e"), "e": END}, []),
        ({"d": decision({"contact": "a", "is": 1}, then="e"), "e": END}, []),
        ({"d": decision({"contact": "a", "is": 1})}, [("dead_end", "/steps/d")]),
        (
            {"x": {"type": "experiment", "branches": [{"name": "a"}]}},
            [("no_goal", "/steps/x"), ("dead_end", "/steps/x")],
        ),
        ({"s": send("m")}, [("no_consent_check", "/steps/s/messages/0")]),
        ({"s": send("t")}, []),
        ({"s": send("m", suppressed="e"), "e": END}, []),
        ({"d": decision(CONSENT, then="s"), "s": send("m")}, []),
        ({"d": decision(NEVER, then="e"), "e": END}, [("never_true", "/steps/d/if")]),
        ({"d": decision({"not": {"any": []}}, then="e"), "e": END}, [("never_true", "/steps/d/if")]),
    ],
)
def test_doubts(steps: dict[str, Any], expected: list[tuple[str, str]]):
    assert found(steps=steps) == expected


def test_an_attribute_that_was_never_seen():
    steps = {
        "d": decision({"all": [{"contact": "city", "is": "a"}, {"interaction": "total", "at_least": 1}]}, then="w"),
        "w": wait_for(
            {"type": "interaction", "interaction": "Paid", "where": {"interaction": "sum", "is": 1}}, next="e"
        ),
        "e": END,
    }
    assert found(steps=steps, learned={}) == [
        ("never_seen", "/steps/d/if"), ("never_seen", "/steps/d/if"), ("never_seen", "/steps/w/events/0/where"),
    ]  # fmt: skip
    known = {"": ["city"], "go": ["total"], "paid": ["sum"]}
    assert found(steps=steps, learned=known) == []


KEYED = {
    "entry": {"key": "order"},
    "exit": [{"interaction": "Cancelled", "key": "order", "where": {"interaction": "why", "is": "x"}}],
    "goals": [{"name": "g", "interaction": "Paid", "key": "order", "where": {"interaction": "sum", "at_least": 1}}],
}


def test_a_key_and_what_exits_and_goals_ask_of_their_own_interactions():
    steps = {"w": wait_for({"type": "interaction", "interaction": "Shipped", "key": "order"}, next="e"), "e": END}
    assert found(steps=steps, learned={}, **KEYED) == [
        ("never_seen", "/exit/0/where"), ("never_seen", "/goals/0/where"), ("never_seen", "/entry/key"),
        ("never_seen", "/exit/0/key"), ("never_seen", "/goals/0/key"), ("never_seen", "/steps/w/events/0/key"),
    ]  # fmt: skip
    known = {"go": ["order"], "cancelled": ["order", "why"], "paid": ["order", "sum"], "shipped": ["order"]}
    assert found(steps=steps, learned=known, **KEYED) == []


def test_dates_that_are_waited_for_and_values_that_are_copied():
    copied = {"from": "interaction", "attribute": "address.city"}
    counted = {"add": {"from": "contact", "attribute": "m"}}
    steps = {
        "w": {"type": "wait", "until": {"contact": "renewal"}, "next": "v"},
        "v": {"type": "wait", "until": {"interaction": "delivery.due"}, "next": "u"},
        "u": {"type": "update", "set": {"city": copied, "n": counted}, "next": "r"},
        "r": {"type": "record", "interaction": "Moved", "attributes": {"to": {"from": "run", "attribute": "key"}}},
    }
    assert found(steps=steps, learned={}) == [
        ("never_seen", "/steps/w/until/contact"), ("never_seen", "/steps/v/until/interaction"),
        ("never_seen", "/steps/u/set/city"), ("never_seen", "/steps/u/set/n/add"),
    ]  # fmt: skip
    assert found(steps=steps, learned={"": ["renewal", "m"], "go": ["delivery", "address"]}) == []
    entry = {"type": "date", "attribute": "birth_date"}
    birthday = {"kind": "journey", "name": "j", "entry": entry, "start": "e", "steps": {"e": END}}
    workspace, _, _ = load_data([birthday])
    assert [one.pointer for one in never_seen(workspace.journeys["j"], workspace, lambda _: [])] == ["/entry/attribute"]


def test_what_steps_set_and_record_is_seen():
    won = {"type": "interaction", "interaction": "Won", "where": {"interaction": "what", "is": "x"}}
    steps = {
        "u": {"type": "update", "set": {"spent": 1}, "next": "d"},
        "d": decision({"contact": "spent", "at_least": 1}, then="r"),
        "r": {"type": "record", "interaction": "Won", "attributes": {"what": "x"}, "next": "w"},
        "w": wait_for(won, next="e"),
        "e": END,
    }
    assert found(steps=steps, learned={}) == []
