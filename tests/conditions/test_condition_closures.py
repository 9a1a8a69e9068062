"""The compiled closure of a tree against an evaluator that was written apart from it, and as plainly as can be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcours.conditions import ast
from parcours.conditions.needs import need_of, walk
from parcours.conditions.operators import COUNTS, OPERATORS, SUITED, Takes
from parcours.conditions.parse import parse_condition
from parcours.conditions.to_python import compile_condition
from parcours.definitions.interaction import AttributeType
from tests.conditions.condition_strategies import comparisons, conditions, few, instants, operands, values

HOUR = 3_600_000
NOW = 1_000 * HOUR

attributes = st.dictionaries(few, values, max_size=4)


def person_with(contact=None, consent=None, counters=None):
    return SimpleNamespace(attributes=contact or {}, consent=consent or {}, counters=counters or {})


def compiled(data):
    node, problems = parse_condition(data)
    assert problems == []
    return compile_condition(node)


def ask(data, contact=None, trigger=None):
    return compiled(data)(person_with(contact), trigger or {}, NOW)


# --- the naive evaluator ----------------------------------------------------------------------------------------------


def sort_of(value):
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else type(value).__name__


def lower(value):
    if isinstance(value, list):
        return [lower(item) for item in value]
    return value.casefold() if isinstance(value, str) else value


def moment(value):
    if not isinstance(value, str):
        return None
    for written in ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S.%f%z"):
        try:
            read = datetime.strptime(value, written)  # noqa: DTZ007 (a date is its midnight in UTC, set below)
        except ValueError:
            continue
        return read if read.tzinfo else read.replace(tzinfo=UTC)
    return None


def same(a, b):
    return sort_of(a) == sort_of(b) and a == b


def holds(operator, value, operand):  # noqa: C901, PLR0911, PLR0912 (a case an operator)
    ordered = sort_of(value) == sort_of(operand) and sort_of(value) in {"text", "number"}
    match operator:
        case "is":
            return same(value, operand)
        case "is_not":
            return not same(value, operand)
        case "in":
            return any(same(value, item) for item in operand)
        case "not_in":
            return not any(same(value, item) for item in operand)
        case "less_than":
            return ordered and value < operand
        case "at_most":
            return ordered and (value < operand or value == operand)
        case "more_than":
            return ordered and value > operand
        case "at_least":
            return ordered and (value > operand or value == operand)
        case "between":
            low, high = operand
            return holds("at_least", value, low) and holds("at_most", value, high)
        case "contains":
            if isinstance(value, str):
                return value.find(operand) >= 0
            return isinstance(value, list) and any(same(item, operand) for item in value)
        case "starts_with":
            return isinstance(value, str) and value[: len(operand)] == operand
        case "ends_with":
            return isinstance(value, str) and (not operand or value[-len(operand) :] == operand)
        case "under":
            if isinstance(value, list):
                return any(holds("under", item, operand) for item in value if isinstance(item, str))
            inner, outer = (
                [part.strip() for part in text.split(">") if part.strip()] for text in (str(value), operand)
            )
            return isinstance(value, str) and outer != [] and [*map(same, inner, outer)] == [True] * len(outer)
        case "before":
            return moment(value) is not None and moment(value) < moment(operand)
        case "after":
            if moment(value) is None:
                return False
            if len(operand) == len("1980-12-31"):
                return moment(value) >= moment(operand) + timedelta(days=1)
            return moment(value) > moment(operand)
        case "is_present":
            return True
    raise AssertionError(operator)


def naive(data, contact, trigger, consent):
    if "all" in data:
        return all(naive(part, contact, trigger, consent) for part in data["all"])
    if "any" in data:
        return any(naive(part, contact, trigger, consent) for part in data["any"])
    if "not" in data:
        return not naive(data["not"], contact, trigger, consent)
    if "did" in data:
        # Nothing was counted.
        written = data.get("times", {"at_least": 1})
        [(name, limit)] = ({"exactly": written} if isinstance(written, int) else written).items()
        return {"at_least": limit <= 0, "at_most": True, "exactly": limit == 0, "more_than": False,
                "less_than": limit > 0}[name]  # fmt: skip
    if "segment" in data:
        return True
    if "consent" in data:
        of = consent.get(data["consent"], {})
        state = of.get(data.get("topic", "")) or of.get("") or "unknown"
        return state == data.get("is", "opted_in")
    source, head = (contact, "contact") if "contact" in data else (trigger, "interaction")
    value = source.get(data[head])
    [operator] = set(data) - {head, "ignore_case"}
    if operator == "is_missing":
        return value is None
    if value is None:
        return False
    operand = data[operator]
    if data.get("ignore_case"):
        value, operand = lower(value), lower(operand)
    return holds(operator, value, operand)


# --- against it -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operator", OPERATORS)
@given(data=st.data())
def test_each_operator_means_what_it_says(operator, data):
    condition = {data.draw(st.sampled_from(["contact", "interaction"])): "x"}
    condition[operator] = data.draw(operands(OPERATORS[operator].takes))
    if OPERATORS[operator].takes not in {Takes.INSTANT, Takes.NOTHING}:
        condition["ignore_case"] = data.draw(st.booleans())
    value = data.draw(values | instants)
    contact, trigger = ({}, {"x": value}) if "interaction" in condition else ({"x": value}, {})
    assert ask(condition, contact, trigger) is naive(condition, contact, trigger, {})


@given(
    conditions,
    attributes,
    attributes,
    st.dictionaries(
        st.sampled_from(["email", "push"]),
        st.dictionaries(st.sampled_from(["", "news"]), st.sampled_from(["opted_in", "opted_out"])),
    ),
)
def test_a_tree_answers_as_the_naive_evaluator_does(data, contact, trigger, consent):
    node, _ = parse_condition(data)
    everyone = {leaf.name: ast.All(()) for leaf in walk(node) if isinstance(leaf, ast.InSegment)}
    answer = compile_condition(node, everyone)(person_with(contact, consent), trigger, NOW)
    assert answer is naive(data, contact, trigger, consent)


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
    special["not_in"] = ["other"]
    for name in SUITED[kind]:
        element = value[0] if kind == "strings" else value
        operand = special.get(name, operands.get(OPERATORS[name].takes, element))
        assert ask({"contact": "a", name: operand}, {} if name == "is_missing" else {"a": value}) is True, name


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
