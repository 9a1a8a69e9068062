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


def found(*, steps: dict[str, Any], learned: dict[str, list[str]] | None = None) -> list[tuple[str, str]]:
    data = [journey(steps), email("m"), email("t", purpose="transactional")]
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
