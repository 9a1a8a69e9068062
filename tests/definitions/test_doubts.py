"""What is likely not meant in a journey, and what is."""

from __future__ import annotations

from typing import Any

import pytest

from parcours.definitions.doubts import doubts
from parcours.definitions.load import load_data
from tests.core.world import END, email, journey, send, wait, wait_for

CONSENT = {"consent": "email", "is": "opted_in"}
NEVER = {"all": [{"contact": "city", "is": "a"}, {"contact": "city", "is": "b"}]}


def decision(condition: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "decision", "if": condition, **more}


def found(*, steps: dict[str, Any], learned: dict[str, list[str]] | None = None, **more: Any) -> list[tuple[str, str]]:
    workspace, errors, _ = load_data([journey(steps, **more), email("m"), email("t", purpose="transactional")])
    assert errors == []
    known = None if learned is None else lambda name: learned.get(name, [])
    return [(one.code, one.pointer) for one in doubts(workspace.journeys["j"], workspace, known)]


@pytest.mark.parametrize(
    "steps, expected",
    [
        ({"w": wait("1d")}, [("dead_end", "/steps/w")]),
        ({"w": wait_for("Paid")}, [("dead_end", "/steps/w")]),
        ({"w": wait("1d", next="e"), "e": END}, []),
        ({"d": decision({"contact": "a", "is": 1}, then="e"), "e": END}, []),
        ({"d": decision({"contact": "a", "is": 1})}, [("dead_end", "/steps/d")]),
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
    assert found(steps=steps) == []
    assert found(steps=steps, learned={}) == [
        ("never_seen", "/steps/d/if"), ("never_seen", "/steps/d/if"), ("never_seen", "/steps/w/events/0/where"),
    ]  # fmt: skip
    known = {"": ["city"], "go": ["total"], "paid": ["sum"]}
    assert found(steps=steps, learned=known) == []
