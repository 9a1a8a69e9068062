from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given

from parcours.definitions.journey import JourneyDefinition
from parcours.definitions.message import MessageDefinition
from parcours.definitions.segment import SegmentDefinition
from parcours.definitions.validate import DEEPEST, conditions_in, convert, problems_of
from parcours.definitions.workspace import KINDS
from tests.conditions.condition_strategies import garbage
from tests.definitions.definition_strategies import definitions


def journey(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "journey",
        "name": "a",
        "entry": {"type": "interaction", "interaction": "x"},
        "start": "one",
        "steps": {"one": {"type": "end"}},
    } | changes


@given(definitions)
def test_valid_definitions_have_no_problems(data):
    definition, problems = convert(data, KINDS[data["kind"]])
    assert problems == []
    assert definition == msgspec.convert(data, KINDS[data["kind"]])


@given(garbage)
def test_garbage_never_raises_and_msgspec_finds_nothing_more(data):
    for cls in KINDS.values():
        assert problems_of(data, cls, "/x")
        assert convert(data, cls)[0] is None


def find(data, cls=JourneyDefinition):
    return {problem.pointer: problem for problem in problems_of(data, cls)}


def test_everything_is_reported_at_once():
    data = journey(
        name="Not A Name",
        stat="live",
        entry={"type": "interaktion"},
        max_duration="0s",
        re_entry="allways",
        steps={
            "one": {"type": "send", "messages": [], "nxt": "two"},
            "two words": {"type": "end"},
            "three": {"type": "wait", "next": 3},
            "four": {"type": "decision", "if": {"any": [{"contact": "a", "iz": 1}, {"did": 1}]}},
            "five": {"type": "wait_for", "events": [{"type": "reaction", "reaction": "open"}, 5], "timeout": {}},
            "six": {"next": "one"},
            "seven": None,
            "eight": {"type": "send", "messages": "reminder"},
        },
    )
    del data["start"]
    found = find(data)
    assert set(found) == {
        "", "/name", "/stat", "/entry/type", "/max_duration", "/re_entry",
        "/steps/one/messages", "/steps/one/nxt", "/steps/two words", "/steps/three", "/steps/three/next",
        "/steps/four/if/any/0/iz", "/steps/four/if/any/1/did", "/steps/five/events/0/reaction",
        "/steps/five/events/1", "/steps/five/timeout", "/steps/six", "/steps/seven", "/steps/eight/messages",
    }  # fmt: skip
    assert found[""].message == "missing key 'start'"
    assert "lower case" in found["/name"].hint
    assert found["/stat"].hint == "did you mean 'state'?"
    assert "'interaction'" in found["/entry/type"].hint
    assert "more than 0" in found["/max_duration"].message
    assert "'always'" in found["/re_entry"].hint
    assert "after_end" in found["/re_entry"].hint
    assert found["/steps/one/nxt"].hint == "did you mean 'next'?"
    assert "letters" in found["/steps/two words"].hint
    assert found["/steps/three"].message == "missing key 'for' or 'until'"
    assert "24h" in found["/steps/three"].hint
    assert found["/steps/three/next"].message == "expected text, found the number 3"
    assert "'opened'" in found["/steps/five/events/0/reaction"].hint
    assert "send, wait, wait_for, decision, " in found["/steps/six"].hint
    assert "list of one" in found["/steps/eight/messages"].hint


@pytest.mark.parametrize("bad", ["a\n", "24h\n", "", "x" * 65, "A", "-a", "\ud800", "a\0"])
def test_names_and_durations_are_matched_whole(bad):
    assert "/name" in find(journey(name=bad))
    assert "/max_duration" in find(journey(max_duration=bad))
    assert "/start" in find(journey(start=bad)) or bad == "A"


def test_text_that_no_store_keeps_is_refused_anywhere():
    assert find(journey(title="a\0b"))["/title"].message == "text holds a NUL character"
    assert "surrogate" in find(journey(description="\udc80"))["/description"].message
    message = {"kind": "message", "name": "a", "channel": "email", "content": {"sub\0ject": "x"}}
    assert "/content" in find(message, MessageDefinition)


def test_numbers_are_kept_exactly_or_refused():
    def found(value):
        return find({"kind": "segment", "name": "a", "condition": {"contact": "a", "is": value}}, SegmentDefinition)

    assert not found(2**63 - 1)
    assert set(found(2**63)) == set(found(float("inf"))) == set(found(float("nan"))) == {"/condition/is"}


def test_depth_has_an_end():
    data: Any = {"contact": "a", "is": 1}
    for _ in range(DEEPEST * 100):
        data = {"not": data}
    [problem] = problems_of({"kind": "segment", "name": "a", "condition": data}, SegmentDefinition)
    assert problem.code == "too_deep"


def test_wrong_kind_of_everything():
    for value in (None, True, 1, 1.5, "x", [], object()):
        assert find(value, SegmentDefinition)
        assert find(journey(steps=value))
        assert find(journey(entry=value))
        assert find(journey(steps={"one": value}))


class Part(msgspec.Struct, tag="part"):
    size: int = 0


class Other(msgspec.Struct, tag="other"):
    on: bool = False


class Whole(msgspec.Struct, rename="camel"):
    numbers: list[int] = []
    ratio: float = 0.0
    either: int | str | None = None
    part: Part | Other | None = None
    some_texts: tuple[str, ...] = ()
    above: list[Annotated[int, msgspec.Meta(ge=0)]] = []
    by_name: dict[str, list[Part]] = {}
    evens: list[Annotated[int, msgspec.Meta(multiple_of=2)]] = []


def test_types_beyond_those_of_definitions():
    right = {
        "numbers": [1],
        "ratio": 1,
        "either": "x",
        "part": {"type": "other", "on": True},
        "someTexts": ["a"],
        "x": 1,
    }
    assert find(right, Whole) == {}
    wrong = {"numbers": [True, 1.5], "ratio": "1", "either": [], "part": {"type": "other", "on": 1}, "someTexts": [1]}
    assert set(find(wrong, Whole)) == {"/numbers/0", "/numbers/1", "/ratio", "/either", "/part/on", "/someTexts/0"}
    assert find({"either": []}, Whole)["/either"].message == "expected a whole number or text, found a list"
    assert set(find({"byName": {"x": [{"type": "part", "size": 0.5}]}}, Whole)) == {"/byName/x/0/size"}


def test_what_only_msgspec_knows_keeps_its_place():
    value, [problem] = convert({"evens": [2, 3]}, Whole, "/here")
    assert value is None
    assert problem.pointer == "/here/evens/1"


def test_numbers_out_of_range_are_all_reported_with_their_range():
    data = journey(
        priority=10, max_runs=0, max_entries={"times": 0}, entry={"type": "interaction", "interaction": "x", "times": 0}
    )
    found = find(data)
    assert sorted(found) == ["/entry/times", "/max_entries/times", "/max_runs", "/priority"]
    assert found["/priority"].message == "the number 10 is out of range"
    assert found["/priority"].hint == "it has to be at least -9 and at most 9"
    assert {problem.code for problem in found.values()} == {"invalid_value"}


def test_conditions_are_found_with_their_place():
    definition, _ = convert(
        journey(
            entry={"type": "interaction", "interaction": "x", "where": {"contact": "a", "is": 1}},
            steps={
                "one": {"type": "decision", "if": {"contact": "b", "is": 1}},
                "two": {
                    "type": "wait_for",
                    "events": [{"type": "interaction", "interaction": "y", "where": {"contact": "c", "is": 1}}],
                },
            },
        ),
        JourneyDefinition,
    )
    found = {place.pointer: place.condition["contact"] for place in conditions_in(definition)}
    assert found == {"/entry/where": "a", "/steps/one/if": "b", "/steps/two/events/0/where": "c"}
