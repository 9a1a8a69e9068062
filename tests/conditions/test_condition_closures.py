"""The compiled closure of a tree against a reference that was written apart from it, and as plainly as can be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcours.conditions import ast
from parcours.conditions.examine import examine
from parcours.conditions.needs import need_of, walk
from parcours.conditions.operators import CASELESS, COUNTS, OPERATORS, SUITED, Takes
from parcours.conditions.parse import parse_condition
from parcours.conditions.to_python import compile_condition
from parcours.definitions.interaction import AttributeType
from tests.conditions.condition_strategies import comparisons, conditions, few, instants, operands, values
from tests.conditions.reference import DAY, Asked, Somebody, answer

HOUR = 3_600_000
NOW = 1_000 * HOUR
JANUARY = 1_769_846_400_000  # 2026-01-31T08:00:00Z

attributes = st.dictionaries(few, values, max_size=4)


def person_with(contact=None, consent=None, counters=None, lists=None):
    on = {name: SimpleNamespace(member=member) for name, member in (lists or {}).items()}
    return SimpleNamespace(
        loyalty={},
        coupons={},
        id="0" * 15,
        attributes=contact or {},
        consent=consent or {},
        counters=counters or {},
        figures={},
        messages={},
        lists=on,
    )


def compiled(data):
    node, problems = parse_condition(data)
    assert problems == []
    return compile_condition(node)


def ask(data, contact=None, trigger=None):
    return compiled(data)(person_with(contact), trigger or {}, NOW)


# --- against the reference --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operator", OPERATORS)
@given(data=st.data())
def test_each_operator_means_what_it_says(operator, data):
    condition = {data.draw(st.sampled_from(["contact", "interaction"])): "x"}
    condition[operator] = data.draw(operands(OPERATORS[operator].takes))
    if OPERATORS[operator].takes not in CASELESS:
        condition["ignore_case"] = data.draw(st.booleans())
    value = data.draw(values | instants)
    contact, trigger = ({}, {"x": value}) if "interaction" in condition else ({"x": value}, {})
    now = data.draw(st.sampled_from([0, NOW, JANUARY, JANUARY - 1, JANUARY + 30 * DAY]))
    node, problems = parse_condition(condition)
    assert problems == []
    said = compile_condition(node)(person_with(contact), trigger, now)
    assert said is answer(node, Asked(Somebody(contact), now, trigger))


@given(
    conditions,
    attributes,
    attributes,
    st.dictionaries(
        st.sampled_from(["email", "push"]),
        st.dictionaries(st.sampled_from(["", "news"]), st.sampled_from(["opted_in", "opted_out"])),
    ),
)
def test_a_tree_answers_as_the_reference_does(data, contact, trigger, consent):
    node, _ = parse_condition(data)
    everyone = {leaf.name: ast.All(()) for leaf in walk(node) if isinstance(leaf, ast.InSegment)}
    lists = {leaf.name: len(leaf.name) % 2 == 0 for leaf in walk(node) if isinstance(leaf, ast.InList)}
    said = compile_condition(node, everyone)(person_with(contact, consent, lists=lists), trigger, NOW)
    assert said is answer(node, Asked(Somebody(contact, consent, lists), NOW, trigger, None, everyone))
    shown = examine(node, person_with(contact, consent, lists=lists), trigger, NOW, everyone)
    assert shown.answer is said


@given(comparisons(), attributes, attributes)
def test_missing_is_false_and_its_not_is_true(condition, contact, trigger):
    head = "contact" if "contact" in condition else "interaction"
    source = contact if head == "contact" else trigger
    source.pop(condition[head], None)
    missing = "is_missing" in condition
    assert ask(condition, contact, trigger) is missing
    assert ask({"not": condition}, contact, trigger) is not missing
    source[condition[head]] = None
    assert ask(condition, contact, trigger) is missing


@pytest.mark.parametrize(
    "data, reasons",
    [
        ({"contact": "a", "is": 1}, ["a is 1 (it was 1)"]),
        ({"contact": "a", "is": 2}, ["a is 2 (it was 1)"]),
        ({"contact": "z", "is": 2}, ["z is 2 (it was missing)"]),
        ({"all": [{"contact": "a", "is": 1}, {"contact": "b", "is": "x"}]}, ['b is "x" (it was "y")']),
        ({"any": [{"contact": "a", "is": 1}, {"contact": "b", "is": "x"}]}, ["a is 1 (it was 1)"]),
        (
            {"any": [{"contact": "a", "is": 2}, {"contact": "b", "is": "x"}]},
            ["a is 2 (it was 1)", 'b is "x" (it was "y")'],
        ),
        ({"not": {"contact": "a", "is": 1}}, ["a is 1 (it was 1), which must not be"]),
        ({"not": {"contact": "a", "is": 2}}, ["not a is 2 (it was 1)"]),
        (
            {"not": {"any": [{"contact": "a", "is": 2}, {"contact": "b", "is": "y"}]}},
            ['b is "y" (it was "y"), which must not be'],
        ),
        (
            {"all": [{"contact": "a", "is": 1}, {"not": {"contact": "b", "is": "x"}}]},
            ["a is 1 (it was 1)", 'not b is "x" (it was "y")'],
        ),
    ],
)
def test_what_is_shown_as_a_reason_made_the_answer(data, reasons):
    node, _ = parse_condition(data)
    assert examine(node, person_with({"a": 1, "b": "y"}), {}, NOW).reasons() == reasons


def test_numbers_are_not_text_and_true_is_not_one():
    for value, operand in [(1, "1"), ("1", 1), (True, 1), (1, True), (0, False)]:
        assert ask({"contact": "a", "is": operand}, {"a": value}) is False
        assert ask({"contact": "a", "is_not": operand}, {"a": value}) is True
        assert ask({"contact": "a", "in": [operand]}, {"a": value}) is False
    assert ask({"contact": "a", "is": 1.0}, {"a": 1}) is True


def test_text_is_compared_in_its_own_case_unless_asked():
    assert ask({"contact": "a", "is": "ATLANTA"}, {"a": "Atlanta"}) is False
    assert ask({"contact": "a", "is": "ATLANTA", "ignore_case": True}, {"a": "Atlanta"}) is True
    assert ask({"contact": "a", "contains": "STRASSE", "ignore_case": True}, {"a": "Lange Straße 1"}) is True


def test_a_category_path_is_under_itself_and_under_those_above_it():
    for value in ["Cameras", " Cameras ", "Cameras > Digital", "Cameras>Digital > SLR", ["Toys", "Cameras > Digital"]]:
        assert ask({"contact": "a", "under": "Cameras"}, {"a": value}) is True
    for value in ["Camerasets", "cameras", "Toys > Cameras", "", ">", 1, True, [], ["Toys"], [1], {"Cameras": 1}]:
        assert ask({"contact": "a", "under": "Cameras"}, {"a": value}) is False
    assert ask({"contact": "a", "under": "Cameras>Digital"}, {"a": "Cameras > Digital > SLR"}) is True
    assert ask({"contact": "a", "under": "Cameras > Digital"}, {"a": "Cameras"}) is False
    assert (
        ask({"contact": "a", "under": "cameras > DIGITAL", "ignore_case": True}, {"a": ["Cameras > Digital"]}) is True
    )
    for nothing in ["", " ", " > "]:
        assert ask({"contact": "a", "under": nothing}, {"a": "Cameras"}) is False
        assert ask({"contact": "a", "under": nothing}, {"a": ""}) is False


def test_each_type_is_offered_operators_and_each_operator_is_offered():
    assert set(SUITED) == set(get_args(AttributeType))
    assert {name for names in SUITED.values() for name in names} == set(OPERATORS)


@pytest.mark.parametrize(
    "kind, value",
    [
        ("string", "Atlanta"),
        ("number", 1.5),
        ("boolean", False),
        ("datetime", "2026-01-31"),
        ("strings", ["Atlanta"]),
        ("object", {"a": 1}),
    ],
)
def test_operators_that_suit_a_type_can_be_true_of_it(kind, value):
    operands = {Takes.SCALARS: ["other", value], Takes.RANGE: [value, value], Takes.NOTHING: True}
    special = {"before": "2026-02-01", "after": "2026-01-30", "less_than": 2, "more_than": 1, "is_not": "o"}
    special |= {"not_in": ["other"], "contains_any": ["other", "Atlanta"], "contains_all": ["Atlanta"]}
    # Asked at the start of 2 February 2026.
    special |= {"within_last": "3d", "older_than": "2d", "anniversary_within": "364d"}
    now = JANUARY + 2 * DAY - 8 * HOUR
    for name in SUITED[kind]:
        element = value[0] if kind == "strings" else value
        operand = special.get(name, operands.get(OPERATORS[name].takes, element))
        seen = "2026-02-03" if name == "within_next" else value
        person = person_with({} if name == "is_missing" else {"a": seen})
        operand = "1d" if name == "within_next" else operand
        assert compiled({"contact": "a", name: operand})(person, {}, now) is True, name


def test_an_instant_that_leaves_the_calendar_is_no_instant():
    assert ask({"contact": "a", "before": "1980-12-31"}, {"a": "0001-01-01T00:00:00+23:59"}) is False


# --- windows ----------------------------------------------------------------------------------------------------------


def met(data, times, now):
    node, problems = parse_condition(data)
    assert problems == []
    return compile_condition(node)(person_with(counters={need_of(node).id: times}), {}, now)


def test_three_times_in_48_hours_is_half_open():
    condition = {"did": "a", "times": {"at_least": 3}, "within": "48h"}
    inside = [0, 24 * HOUR, 48 * HOUR - 1_000]
    assert met(condition, inside, inside[-1]) is True
    outside = [0, 24 * HOUR, 48 * HOUR]
    assert met(condition, outside, outside[-1]) is False


def test_a_window_ends_with_now_and_starts_after_its_length():
    once = {"did": "a", "within": "1h"}
    assert met(once, [NOW], NOW) is True
    assert met(once, [NOW - HOUR + 1], NOW) is True
    assert met(once, [NOW - HOUR], NOW) is False
    assert met(once, [NOW + 1], NOW) is False  # what has not happened yet does not count
    assert met({"did": "a"}, [NOW + 1], NOW) is False
    assert met({"did": "a"}, [0], NOW) is True


@given(
    st.lists(st.integers(0, 100)).map(sorted),
    st.sampled_from(sorted(COUNTS)),
    st.integers(0, 5),
    st.none() | st.integers(1, 60),
    st.integers(0, 100),
)
def test_counts_in_windows(times, operator, limit, within, now):
    condition = {"did": "a", "times": {operator: limit}}
    if within is not None:
        condition["within"] = f"{within}ms"
    found = sum(1 for time in times if time <= now and (within is None or time > now - within))
    expected = {
        "at_least": found >= limit, "at_most": found <= limit, "exactly": found == limit,
        "more_than": found > limit, "less_than": found < limit,
    }[operator]  # fmt: skip
    assert met(condition, times, now) is expected
    # The latest limit + 1 times decide it, which is all a contact remembers.
    kept = [time for time in times if time <= now][-(limit + 1) :]
    assert met(condition, kept, now) is expected


def test_nothing_counted_is_zero():
    never = {"did": "a", "times": 0}
    assert compiled(never)(person_with(), {}, NOW) is True
    assert compiled({"did": "a"})(person_with(), {}, NOW) is False
