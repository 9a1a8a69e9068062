"""Journeys that may set each other off for ever are named when they are checked."""

from __future__ import annotations

from typing import Any

import pytest

from parcours.definitions.load import load_data
from tests.core.world import END, journey, send, wait, wait_for

GO = {"type": "record", "interaction": "go", "next": "end"}


def circles(*definitions: dict[str, Any]) -> list[str]:
    """Return the circles that are named, by the place where each is."""
    _, errors, warnings = load_data(list(definitions))
    assert errors == []
    found = [problem for problem in warnings if problem.code == "endless_chain"]
    assert all("→" in problem.message and problem.hint for problem in found)
    return [f"{problem.pointer} {problem.message.partition(': ')[2]}" for problem in found]


def note(name: str, to: str = "end", **attributes: Any) -> dict[str, Any]:
    return {"type": "record", "interaction": name, "attributes": attributes, "next": to}


def update(**values: Any) -> dict[str, Any]:
    return {"type": "update", "set": values, "next": "end"}


def started(*, name: str = "s", **more: Any) -> dict[str, Any]:
    go = {"type": "start", "journey": name, "attributes": more.pop("attributes", {})}
    entry = {"type": "journey", **more.pop("entry", {})}
    return {"kind": "journey", "name": name, "entry": entry, "start": "go", "steps": {"go": go}, **more}


HIGH = {"kind": "segment", "name": "high", "condition": {"segment": "higher"}}
HIGHER = {"kind": "segment", "name": "higher", "condition": {"all": [{"contact": "x", "at_least": 1}, {"list": "vip"}]}}
VIP = {"kind": "list", "name": "vip"}


def watching(on: str, steps: dict[str, Any], name: str, **more: Any) -> dict[str, Any]:
    made = journey(steps, name=name, **more)
    return made | {"entry": {"type": "segment", "segment": "high", "on": on}}


def test_a_journey_that_records_what_it_enters_by():
    assert circles(journey({"note": GO, "end": END})) == ["/definitions/0/steps/note j/note → j/note"]


def test_two_journeys_each_has_its_warning_where_it_is():
    a = journey({"mail": send("m", next="note"), "note": note("Pong"), "end": END}, on="Ping", name="a")
    steps = {
        "ask": {"type": "decision", "if": {"contact": "x", "is": 1}, "then": "note"},
        "note": note(" PING "),
        "end": END,
    }
    b = journey(steps, on="Pong", name="b")
    message = {"kind": "message", "name": "m", "channel": "email", "content": {"subject": "s", "text": "t"}}
    assert circles(message, a, b) == [
        "/definitions/1/steps/note a/note → b/note → a/note",
        "/definitions/2/steps/note b/note → a/note → b/note",
    ]
    workspace, _, _ = load_data([message, a])
    _, _, warnings = load_data([b], workspace)
    assert [problem.pointer for problem in warnings if problem.code == "endless_chain"] == ["/definitions/0/steps/note"]


@pytest.mark.parametrize(
    "definitions",
    [
        [started(re_entry="always")],
        [started(re_entry="always", attributes={"order": "a"}, entry={"key": "order"})],
        [started(re_entry="never", attributes={"order": {"add": 1}}, entry={"key": "order"})],
        [
            watching("entered", {"down": update(x=0), "end": END}, "a", re_entry="after_end"),
            watching("left", {"up": update(x=1), "end": END}, "b", re_entry="after_end"),
            HIGH,
            HIGHER,
            VIP,
        ],
        [
            watching("entered", {"off": {"type": "list", "remove": ["vip"], "next": "note"}, "note": GO, "end": END}, "a"),
            journey({"on": {"type": "list", "add": ["vip"]}}),
            HIGH,
            HIGHER,
            VIP,
        ],
        [
            {"kind": "programme", "name": "club"},
            {"kind": "rule", "name": "r", "programme": "club", "on": ["Go"], "record": {"interaction": "Given"}},
            journey({"note": GO, "end": END}, on="Given"),
        ],
        [
            journey({"w": wait_for("Ping", next="note"), "note": note("Pong", "w")}, name="a", re_entry="never"),
            journey({"w": wait_for("Pong", next="note"), "note": note("Ping", "w")}, name="b", re_entry="never"),
        ],
        [journey({"w": wait_for("Ping", next="note"), "note": note("Ping", "w")})],
        [
            journey({"w": wait_for("X", next="note"), "note": GO, "end": END}),
            journey({"note": note("X"), "end": END}, name="k"),
        ],
        [
            journey({"note": note("Pong"), "end": END}, on="Ping", name="a", re_entry="after_end"),
            journey({"note": note("Ping"), "end": END}, on="Pong", name="b", re_entry="after_end"),
        ],
        [journey({"ways": {"type": "fork", "branches": ["note", "w"]}, "note": GO, "w": wait("1d"), "end": END})],
        [journey({"date": {"type": "wait", "until": {"contact": "d"}, "next": "note"}, "note": GO, "end": END})],
    ],
)  # fmt: skip
def test_circles(definitions: list[dict[str, Any]]):
    assert circles(*definitions)


@pytest.mark.parametrize(
    "definitions",
    [
        [journey({"w": wait("1m", next="note"), "note": GO, "end": END})],
        [journey({"note": GO, "end": END}, re_entry="never")],
        [journey({"note": GO, "end": END}, re_entry="after_end")],
        [journey({"note": GO, "end": END}, re_entry={"after": "1d"})],
        [journey({"note": GO, "end": END}, max_entries={"times": 3})],
        [journey({"note": GO, "end": END}, max_runs=1)],
        [journey({"note": GO, "end": END}, entry={"key": "order"})],
        [journey({"note": note("Go", order="a"), "end": END}, entry={"key": "order"}, re_entry="never")],
        [journey({"note": GO, "end": END}, entry={"times": 2})],
        [journey({"note": GO, "end": END}, state="stopped")],
        [journey({"note": note("Other"), "end": END})],
        [journey({"call": {"type": "webhook", "url": "https://a.example", "save": "a", "next": "note"}, "note": GO, "end": END})],
        [started(re_entry="never")],
        [
            journey({"note": note("Pong", "w"), "w": wait("1d")}, on="Ping", name="a", re_entry="after_end"),
            journey({"note": note("Ping"), "end": END}, on="Pong", name="b", re_entry="after_end"),
        ],
        [journey({"w": wait_for("Ping", next="note"), "note": note("Ping", "w")}, re_entry="never")],
        [watching("entered", {"down": update(x=0), "end": END}, "a"), HIGH, HIGHER, VIP],
    ],
)  # fmt: skip
def test_no_circles(definitions: list[dict[str, Any]]):
    assert circles(*definitions) == []
