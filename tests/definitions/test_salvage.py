"""What is wrong with a journey is told at once, also where a part of it cannot be read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from parcours.definitions.load import load_data
from tests.conditions.condition_strategies import garbage
from tests.core.world import END

ENTRY = {"type": "interaction", "interaction": "Go"}
BASE: dict[str, Any] = {"kind": "journey", "name": "j", "entry": ENTRY, "start": "a", "steps": {"a": END}}


def told(**changes: Any) -> set[tuple[str, str]]:
    _, errors, warnings = load_data([BASE | changes, {"kind": "interaction", "name": "Go"}])
    return {(one.pointer.removeprefix("/definitions/0"), one.code) for one in errors + warnings}


def test_a_bad_duration_hides_nothing_else():
    steps = {
        "a": {"type": "wait", "for": "a month", "next": "b"},
        "b": {"type": "send", "messages": ["nope"], "next": "c", "suppressed": "d"},
        "c": {"type": "decision", "if": {"segment": "nobody"}, "then": "c2"},
        "c2": {"type": "decision", "if": {"list": "none"}, "then": "c"},
        "lost": END,
    }
    assert told(steps=steps, max_duration="1d", zone="Mars") == {
        ("/steps/a/for", "invalid_value"),
        ("/steps/b/messages/0", "unknown_reference"),
        ("/steps/b/suppressed", "unknown_step"),
        ("/steps/c/if/segment", "unknown_reference"),
        ("/steps/c2/if/list", "unknown_reference"),
        ("/steps/c", "endless_cycle"),
        ("/steps/lost", "unreachable_step"),
        ("/zone", "unknown_zone"),
    }


def test_what_leads_on_from_a_step_that_cannot_be_read_is_reached():
    steps = {
        "a": {
            "type": "wait_for",
            "events": [{"type": "no such", "next": "b"}],
            "timeout": {"after": "1y", "next": "c"},
        },
        "b": END,
        "c": {"type": "send", "messages": [], "next": "gone"},
    }
    assert told(steps=steps) == {
        ("/steps/a/events/0/type", "unknown_value"),
        ("/steps/a/timeout/after", "invalid_value"),
        ("/steps/c/messages", "too_short"),
        ("/steps/c/next", "unknown_step"),
    }


@pytest.mark.parametrize("broken", [None, {"type": "wait"}, {"next": 3}, "wait"])
def test_nothing_is_said_of_what_may_be_reached_from_a_step_that_cannot_be_read(broken: Any):
    assert {code for _, code in told(steps={"a": broken, "b": END})}.isdisjoint({"unreachable_step", "dead_end"})


@pytest.mark.parametrize(
    "changes",
    [
        {"max_duration": "1y", "steps": {"a": {"type": "wait", "for": "91d", "next": "b"}, "b": END}},
        {"entry": {"type": "interaction"}, "exit": [{"interaction": "Go", "key": "order"}]},
        {"start": "A step"},
        {"start": None},
        {"name": "A Journey"},
        {"goals": [{"name": "g", "interaction": "Go", "within": "soon"}]},
        {"steps": {"a b": {"type": "wait", "for": "1d", "next": "c"}, "c": END}, "start": "c"},
    ],
)
def test_what_depends_on_what_cannot_be_read_is_not_told(changes: dict[str, Any]):
    assert len(told(**changes)) == 1


def test_a_beginning_that_is_not_there_is_told():
    assert ("/start", "unknown_step") in told(start="b", max_runs=0)


def test_what_is_nested_too_deep_is_told_and_no_more():
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    assert [code for _, code in told(steps={"a": {"type": deep}})] == ["too_deep"]


@given(garbage, garbage)
def test_garbage_is_never_more_than_refused(step: Any, field: Any):
    assert told(steps={"a": step}, goals=field)
    assert told(entry=field, steps={"a": {"type": "wait", "for": step, "next": "b"}})
    assert told(steps=step, max_duration=field)
