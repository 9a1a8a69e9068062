"""What is wrong with steps and the graph they form: each mistake with its place, what is right without a word."""

from __future__ import annotations

from typing import Any

import pytest

from parcours.definitions.load import load_data

END = {"type": "end"}


def look(steps: dict[str, Any], **more: Any) -> tuple[dict[str, str], dict[str, str]]:
    """The codes of errors and of warnings, by their place in the journey."""
    journey = {
        "kind": "journey",
        "name": "j",
        "entry": {"type": "interaction", "interaction": "Go"},
        "start": next(iter(steps)),
        "steps": steps,
        **more,
    }
    known = [{"kind": "interaction", "name": name} for name in ("Go", "Paid")]
    _, errors, warnings = load_data([*known, {"kind": "list", "name": "vip"}, journey])
    start = "/definitions/3"

    def places(found: list[Any]) -> dict[str, str]:
        return {problem.pointer.removeprefix(start): problem.code for problem in found}

    return places(errors), places(warnings)


@pytest.mark.parametrize(
    "until, place, code",
    [
        ({}, "", "invalid_value"),
        ({"before": "1d"}, "/before", "invalid_value"),
        ({"time": "9:00"}, "/time", "invalid_value"),
        ({"time": "24:00"}, "/time", "invalid_value"),
        ({"weekdays": []}, "/weekdays", "too_short"),
        ({"weekdays": ["monday"]}, "/weekdays/0", "unknown_value"),
        ({"date": "24.12.2026"}, "/date", "invalid_value"),
        ({"date": "2026-12-24T09:00:00"}, "/date", "invalid_value"),
        ({"date": "2026-12-24T09:00:00Z", "time": "09:00"}, "/time", "invalid_value"),
        ({"date": "2026-12-24", "contact": "birthday"}, "", "invalid_value"),
        ({"contact": "birthday", "before": "1d", "after": "1d"}, "", "invalid_value"),
        ({"time": "09:00", "zone": "Europe/Berlino"}, "/zone", "unknown_zone"),
        ({"hours": {"from": "09:00", "to": "09:00"}}, "/hours/to", "invalid_value"),
        ({"hours": {"from": "09:00", "to": "18:00"}, "weekdays": ["mon"]}, "/weekdays", "invalid_value"),
    ],
)
def test_a_moment_that_is_none(until: dict[str, Any], place: str, code: str):
    errors, _ = look({"pause": {"type": "wait", "until": until, "next": "end"}, "end": END})
    assert errors.get(f"/steps/pause/until{place}") == code
    timeout = {"until": until, "next": "end"}
    events = [{"type": "interaction", "interaction": "Paid"}]
    errors, _ = look({"pause": {"type": "wait_for", "events": events, "timeout": timeout}, "end": END})
    assert errors.get(f"/steps/pause/timeout/until{place}") == code


def test_a_moment_of_an_interaction_where_none_starts_the_journey():
    segment = {"kind": "segment", "name": "s", "condition": {"contact": "a", "is": 1}}
    steps = {"pause": {"type": "wait", "until": {"interaction": "due"}, "next": "end"}, "end": END}
    journey = {"kind": "journey", "name": "j", "start": "pause", "steps": steps}
    _, errors, _ = load_data([segment, journey | {"entry": {"type": "segment", "segment": "s"}}])
    assert [problem.code for problem in errors] == ["no_interaction"]


def test_a_wait_has_one_length():
    errors, _ = look({"pause": {"type": "wait", "for": "1d", "until": {"time": "09:00"}, "next": "end"}, "end": END})
    assert errors == {"/steps/pause/until": "too_many_keys"}
    errors, _ = look({"pause": {"type": "wait", "next": "end"}, "end": END})
    assert errors == {"/steps/pause": "missing_key"}


def test_zones_of_journeys_and_workspaces():
    errors, _ = look({"end": END}, zone="Mars/Olympus")
    assert errors == {"/zone": "unknown_zone"}
    _, found, _ = load_data([{"kind": "workspace", "zone": "europe/berlin"}])
    assert [(problem.code, problem.hint) for problem in found] == [("unknown_zone", "did you mean 'Europe/Berlin'?")]


def variant(name: str, weight: float = 1) -> dict[str, Any]:
    return {"name": name, "weight": weight, "next": "end"}


def test_weights_of_nothing():
    one = {"test": {"type": "experiment", "branches": [variant("a"), variant("b", 0)]}, "end": END}
    assert look(one) == ({}, {"/steps/test": "no_goal", "/steps/test/branches/1/weight": "no_weight"})
    none = {"test": {"type": "experiment", "branches": [variant("a", 0)], "holdout": {"weight": 0}}, "end": END}
    assert look(none) == ({"/steps/test": "no_weight"}, {"/steps/test": "no_goal"})


def test_names_of_ways_out_are_taken_once():
    twice = {"test": {"type": "experiment", "branches": [variant("a"), variant("a"), variant("holdout")]}, "end": END}
    taken = "name_taken"
    assert look(twice)[0] == {"/steps/test/branches/1/name": taken, "/steps/test/branches/2/name": taken}
    way = {"name": "else", "if": {"contact": "a", "is": 1}, "next": "end"}
    assert look({"which": {"type": "split", "branches": [way]}, "end": END})[0] == {
        "/steps/which/branches/0/name": taken
    }


def test_arrows_of_every_step_are_followed():
    way = {"name": "a", "if": {"contact": "a", "is": 1}, "next": "x"}
    errors, _ = look({"which": {"type": "split", "branches": [way], "else": "y"}})
    unknown = "unknown_step"
    assert errors == {"/steps/which/branches/0/next": unknown, "/steps/which/else": unknown}
    errors, _ = look(
        {"test": {"type": "experiment", "branches": [{"name": "a", "next": "x"}], "holdout": {"next": "y"}}}
    )
    assert errors == {"/steps/test/branches/0/next": unknown, "/steps/test/holdout/next": unknown}


@pytest.mark.parametrize(
    "until, ends",
    [
        ({"time": "09:00"}, True),
        ({"weekdays": ["mon"]}, True),
        ({"contact": "birthday"}, False),
        ({"hours": {"from": "09:00", "to": "18:00"}}, False),
    ],
)
def test_a_circle_needs_a_wait_that_is_never_over_at_once(until: dict[str, Any], ends: bool):
    ask = {"type": "decision", "if": {"contact": "a", "is": 1}, "then": "pause"}
    errors, _ = look({"pause": {"type": "wait", "until": until, "next": "ask"}, "ask": ask})
    assert set(errors.values()) == (set() if ends else {"endless_cycle"})


def test_dead_ends():
    _, warnings = look({"pause": {"type": "wait", "for": "1d"}})
    assert warnings == {"/steps/pause": "dead_end"}
    _, warnings = look({"draw": {"type": "experiment", "branches": [{"name": "a"}], "holdout": {}}})
    assert warnings == {"/steps/draw": "dead_end"}


def month(**more: Any) -> dict[str, Any]:
    return {"type": "wait", "for": "30d", **more}


def listening(after: str, *, bought: str | None, late: str | None, **more: Any) -> dict[str, Any]:
    event = {"type": "interaction", "interaction": "Paid", "next": bought}
    return {"type": "wait_for", "events": [event], "timeout": {"after": after, "next": late}, **more}


@pytest.mark.parametrize(
    "steps, beyond",
    [
        ({"a": month(next="b"), "b": month(next="c"), "c": month(next="d"), "d": month(next="end"), "end": END}, ["d"]),
        ({"a": month(next="b"), "b": month(next="c"), "c": month()}, []),
        # What happens may happen at once, only silence takes its time.
        ({"a": listening("60d", bought="b", late="c"), "b": month(next="c"), "c": month(next="end"), "end": END}, []),
        ({"a": listening("60d", bought="end", late="c"), "c": month(next="d"), "d": END, "end": END}, ["d"]),
        ({"a": listening("60d", bought="end", late=None, next="c"), "c": month(next="d"), "d": END, "end": END}, ["d"]),
        ({"a": listening("60d", bought=None, late=None, next="c"), "c": month(next="d"), "d": END}, []),
        # A circle comes nearer each time, and its first round is soon enough.
        ({"a": month(next="b"), "b": {"type": "decision", "if": {"list": "vip"}, "then": "a", "else": "end"}, "end": END}, []),
    ],
)  # fmt: skip
def test_steps_beyond_the_end_of_a_run(steps: dict[str, Any], beyond: list[str]):
    errors, warnings = look(steps)
    assert errors == {}
    assert [place for place, code in warnings.items() if code == "beyond_run"] == [f"/steps/{name}" for name in beyond]


@pytest.mark.parametrize(
    "step, place, code",
    [
        ({"type": "update", "set": {"": 1}}, "/set/", "empty_name"),
        ({"type": "record", "interaction": "  "}, "/interaction", "empty_name"),
        ({"type": "record", "interaction": "Paid", "attributes": {" ": 1}}, "/attributes/ ", "empty_name"),
        ({"type": "wait", "until": {"contact": ""}}, "/until/contact", "empty_name"),
        (
            {"type": "wait_for", "events": [{"type": "interaction", "interaction": ["Paid", ""]}]},
            "/events/0/interaction/1",
            "empty_name",
        ),
        ({"type": "update", "set": {}}, "/set", "too_short"),
        ({"type": "update", "set": {"email": "a@b.de"}}, "/set/email", "address"),
        ({"type": "update", "set": {"a": {"from": "contact"}}}, "/set/a", "missing_key"),
        ({"type": "update", "set": {"a": {}}}, "/set/a", "missing_key"),
        ({"type": "update", "set": {"a": {"add": 1, "subtract": 1}}}, "/set/a/subtract", "too_many_keys"),
        ({"type": "list"}, "", "missing_key"),
        ({"type": "list", "add": ["vipp"]}, "/add/0", "unknown_reference"),
        ({"type": "list", "add": ["vip"], "remove": ["vip"]}, "/remove/0", "invalid_value"),
        ({"type": "start", "journey": "k"}, "/journey", "unknown_reference"),
        ({"type": "start", "journey": "j"}, "/journey", "not_started_so"),
    ],
)
def test_steps_that_make_something_happen(step: dict[str, Any], place: str, code: str):
    errors, _ = look({"do": step | {"next": "end"}, "end": END})
    assert errors == {f"/steps/do{place}": code}


def test_an_entry_without_a_name():
    errors, _ = look({"end": END}, entry={"type": "interaction", "interaction": " "})
    assert errors == {"/entry/interaction": "empty_name"}
    errors, _ = look({"end": END}, entry={"type": "date", "attribute": ""})
    assert errors == {"/entry/attribute": "empty_name"}


def test_an_attribute_that_a_strict_workspace_does_not_declare():
    settings = {"kind": "workspace", "contacts": {"strict": True, "attributes": {"city": {"type": "string"}}}}
    journey = {"kind": "journey", "name": "j", "entry": {"type": "interaction", "interaction": "Go"}, "start": "set"}
    steps = {"set": {"type": "update", "set": {"citty": "Rome"}}}
    _, errors, _ = load_data([settings, journey | {"steps": steps}])
    assert [(problem.code, problem.hint) for problem in errors] == [("undeclared_attribute", "did you mean 'city'?")]


def test_circles_of_steps_that_make_something_happen_need_a_wait():
    errors, _ = look(
        {
            "a": {"type": "record", "interaction": "Paid", "next": "b"},
            "b": {"type": "list", "add": ["vip"], "next": "a"},
        }
    )
    assert set(errors.values()) == {"endless_cycle"}


PAUSE = {"type": "wait", "for": "1d", "next": "meet"}
MEET = {"type": "join", "next": "end"}


def test_forks_that_are_joined():
    assert look(
        {"both": {"type": "fork", "branches": ["a", "b"]}, "a": PAUSE, "b": PAUSE, "meet": MEET, "end": END}
    ) == ({}, {})


def test_joins_without_a_fork():
    assert look({"a": PAUSE, "meet": MEET, "end": END})[0] == {"/steps/meet": "join_without_fork"}
    ask = {"type": "decision", "if": {"contact": "a", "is": 1}, "then": "both", "else": "meet"}
    steps = {
        "ask": ask,
        "both": {"type": "fork", "branches": ["a", "b"]},
        "a": PAUSE,
        "b": PAUSE,
        "meet": MEET,
        "end": END,
    }
    assert look(steps) == ({}, {"/steps/meet": "join_without_fork"})


def test_forks_that_lead_into_themselves_or_into_the_join_of_another():
    both = {"type": "fork", "branches": ["a", "b"]}
    steps = {"both": both, "a": {"type": "wait", "for": "1d", "next": "both"}, "b": PAUSE, "meet": MEET, "end": END}
    assert look(steps) == ({}, {"/steps/both": "endless_fork"})
    steps = {
        "both": both,
        "a": {"type": "fork", "branches": ["b", "c"]},
        "b": PAUSE,
        "c": PAUSE,
        "meet": MEET,
        "end": END,
    }
    assert look(steps) == ({}, {"/steps/meet": "mixed_join"})


def test_branches_of_a_fork():
    errors, _ = look({"both": {"type": "fork", "branches": ["end", "end"]}, "end": END})
    assert errors == {"/steps/both/branches/1": "branch_twice"}
    errors, _ = look({"both": {"type": "fork", "branches": ["end", "x"]}, "end": END})
    assert errors == {"/steps/both/branches/1": "unknown_step"}
    errors, _ = look({"both": {"type": "fork", "branches": ["end"]}, "end": END})
    assert errors == {"/steps/both/branches": "too_short"}


def test_a_wait_that_accepts_what_came_before_is_none_in_a_circle():
    event = {"type": "interaction", "interaction": "Paid"}
    steps = {"a": {"type": "wait_for", "events": [event], "accept_prior": True, "next": "a"}}
    assert set(look(steps)[0].values()) == {"endless_cycle"}
    opened = {"type": "reaction", "reaction": "opened"}
    steps = {"a": {"type": "wait_for", "events": [opened], "accept_prior": True, "next": "end"}, "end": END}
    assert look(steps)[0] == {"/steps/a/accept_prior": "invalid_value"}


@pytest.mark.parametrize("name", ["Authorization", "x-API-key", "Cookie"])
def test_a_definition_is_no_place_for_a_secret(name: str):
    def said(text: str) -> dict[str, str]:
        ask = {"type": "webhook", "url": "https://x.example/", "headers": {name: text, "X-Shop": "12"}}
        errors, warnings = look({"ask": ask})
        assert errors == {}
        return warnings

    assert said("Bearer 123") == {f"/steps/ask/headers/{name}": "secret_in_definition"}
    assert said("Bearer {{ secrets.CRM }}") == {}


@pytest.mark.parametrize(
    "name, code",
    [
        ("Content-Length", "invalid_value"),
        ("transfer-encoding", "invalid_value"),
        ("Connection", "invalid_value"),
        ("a b", "invalid_key"),
        ("X\nY", "invalid_key"),
        ("", "invalid_key"),
    ],
)
def test_headers_that_a_call_may_not_have(name: str, code: str):
    call = {"type": "webhook", "url": "https://crm.example.com/", "headers": {name: "5"}, "next": "end"}
    errors, _ = look({"ask": call, "end": END})
    assert errors == {f"/steps/ask/headers/{name}": code}


def test_who_is_read_again_and_again_enters_once_unless_said_otherwise():
    def said(**more: Any) -> list[str]:
        segment = {"kind": "segment", "name": "s", "condition": {"contact": "a", "is": 1}}
        entry = {"type": "segment", "segment": "s"} | more.pop("entry")
        journey = {"kind": "journey", "name": "j", "entry": entry, "start": "e", "steps": {"e": END}, **more}
        _, errors, warnings = load_data([segment, journey])
        return [f"{one.code} {one.pointer}" for one in errors + warnings]

    monday = {"schedule": {"cron": "0 9 * * mon"}}
    assert said(entry=monday) == ["enters_once /definitions/1/re_entry"]
    assert said(entry=monday, re_entry="after_end") == []
    assert said(entry=monday | {"members": "new"}) == []
    assert said(entry={"existing": True}) == ["invalid_value /definitions/1/entry/existing"]
    assert said(entry={"existing": True, "on": "entered"}) == []


@pytest.mark.parametrize(
    "wait, said",
    [
        ({"type": "wait", "for": "1s"}, ["busy_cycle /steps/w"]),
        ({"type": "wait", "for": "1m"}, []),
        ({"type": "wait", "until": {"time": "09:00"}}, []),
        ({"type": "wait_for", "events": [{"type": "interaction", "interaction": "Paid"}]}, []),
        (listening("5s", bought=None, late=None), ["busy_cycle /steps/w"]),
        (listening("5s", bought=None, late="e"), []),
    ],
)
def test_a_circle_that_is_gone_round_all_the_time(wait: dict[str, Any], said: list[str]):
    ask = {"type": "decision", "if": {"list": "vip"}, "then": "e", "else": "w"}
    errors, warnings = look({"w": wait | {"next": "ask"}, "ask": ask, "e": END})
    assert errors == {}
    assert [f"{code} {place}" for place, code in warnings.items() if code == "busy_cycle"] == said
