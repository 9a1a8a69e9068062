from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcours.conditions import ast
from parcours.conditions.needs import needs
from parcours.conditions.parse import DEEPEST, LARGEST, MESSAGE_EVENTS, parse_condition
from parcours.conditions.text import describe
from parcours.conditions.to_python import compile_condition
from parcours.core.gate import REACTIONS
from tests.conditions.condition_strategies import conditions, garbage, histories


@given(garbage)
def test_garbage_is_refused_or_read_and_never_raises(data):
    node, problems = parse_condition(data, "/here")
    assert (node is None) == bool(problems)
    for problem in problems:
        assert problem.message
        assert problem.pointer.startswith("/here")
        assert str(problem)


@given(st.dictionaries(st.integers() | st.none() | st.tuples(st.integers()), garbage, min_size=1, max_size=3))
def test_keys_that_are_no_text_never_raise(data):
    assert parse_condition(data)[1]
    assert parse_condition({"contact": "city", "is": 1, **data})[1]


@given(conditions)
def test_valid_conditions_are_read_and_everything_understands_them(data):
    node, problems = parse_condition(data)
    assert problems == []
    assert node is not None
    assert describe(node)
    needs(node)
    assert msgspec.convert(msgspec.to_builtins(node), ast.Node) == node


@given(histories())
def test_needs_depend_on_the_content_alone(data):
    first, second = parse_condition(data)[0], parse_condition(dict(reversed(data.items())))[0]
    assert first == second
    assert list(needs(first)) == list(needs(second))


@pytest.mark.parametrize(
    "data, pointers",
    [
        ({"all": [{"contact": "a", "iz": 1}, {"contact": "b"}, {"any": [7]}]}, ["/all/0/iz", "/all/1", "/all/2/any/0"]),
        ({"did": 1, "times": -1, "within": "soon", "where": {"contact": "a", "is": 1}, "x": 1},
         ["/x", "/did", "/times", "/within", "/where"]),
        ({"contact": "", "between": ["a"], "ignore_case": 1}, ["/contact", "/ignore_case", "/between"]),
        ({"contact": "a", "in": [None, 1, []]}, ["/in/0", "/in/2"]),
        ({"sample": "a"}, [""]),
        ({"sample": "", "percent": True, "from": -1}, ["/sample", "/percent", "/from"]),
        ({"sample": "a", "percent": 60, "from": 40.5}, ["/percent"]),
        ({"sample": "a", "percent": float("nan"), "of": 1}, ["/of", "/percent"]),
        ({"consent": 1, "topic": 2, "is": "maybe"}, ["/consent", "/topic", "/is"]),
        ({"contact": "a~b", "is": 1, "x/y~z": 2}, ["/x~1y~0z"]),
        ({"contact": "a", "is": "\ud800"}, ["/is"]),
        ({"contact": "a\0", "is": LARGEST + 1}, ["/contact", "/is"]),
        ({"contact": "a", "is": float("nan")}, ["/is"]),
        ({"contact": "a", "before": "0001-01-01T00:00:00+23:59"}, ["/before"]),
        ({"contact": "a", "after": "9999-12-31"}, ["/after"]),
        ({"contact": "a", "before": "1980-02-30"}, ["/before"]),
        ({"contact": "a", "before": "1980-02-28", "ignore_case": True}, ["/ignore_case"]),
        ({"contact": "a", "is_missing": False}, ["/is_missing"]),
        ({"contact": "a", "is": 1, "is_not": 2}, [""]),
        ({"did": "a", "times": {"at_least": 1_001}}, ["/times/at_least"]),
        ({"did": "a", "within": "0s"}, ["/within"]),
        ({"did": "a", "within": "٣h"}, ["/within"]),
        ({"did": "  "}, ["/did"]),
        ({"did": ["a", 1, ""], "where": 1}, ["/did/1", "/did/2", "/where"]),
        ({"did": []}, ["/did"]),
        ({"did": "a", "times": 1, "max": {"of": "x", "is": 1}}, [""]),
        ({"did_not": "a", "times": 1, "sum": {}}, ["/times", "/sum"]),
        ({"did": "a", "sum": {"off": "x", "is": 1}, "since": "birth"}, ["/sum", "/sum/off", "/sum/is", "/since"]),
        ({"did": "a", "sum": {"of": "x", "between": [1, "2"]}}, ["/sum/between"]),
        ({"did": "a", "sum": {"of": "x", "at_least": 2e12}}, ["/sum/at_least"]),
        ({"did": "a", "sum": {"of": "x", "at_least": True}}, ["/sum/at_least"]),
        ({"did": "a", "last": {"of": "", "between": [1]}}, ["/last/of", "/last/between"]),
        ({"did": "a", "from": "2026-01-02", "until": "2026-01-01"}, ["/until"]),
        ({"did": "a", "from": "2026-01-02T00:00:00Z", "until": "2026-01-02T00:00:00Z"}, ["/until"]),
        ({"did": "a", "from": "then", "until": "9999-12-31", "within": "x"}, ["/from", "/until", "/within"]),
        ({"did": "a", "where": {"interaction": "x", "older_than": "3d"}}, ["/where"]),
        ({"sequence": [{"did": "a"}], "within": 3}, ["/sequence", "/within"]),
        ({"sequence": [{"did": "a", "within": "1d"}, {"did_not": "b"}, {"did": 1, "x": 1}, {}]},
         ["/sequence/0/within", "/sequence/1/did_not", "/sequence/2/x", "/sequence/2/did", "/sequence/3"]),
        ({"sequence": [{"did": "a"}, {"did_not": "b"}]}, ["/sequence/1"]),
        ({"messages": "seen", "of": [], "channel": 1, "times": 201, "at_least": 3},
         ["/at_least", "/messages", "/of", "/channel", "/times"]),
        ({"list": 1, "of": "x"}, ["/of", "/list"]),
        ({"contact": "a", "within_last": "soon"}, ["/within_last"]),
        ({"contact": "a", "anniversary_within": "36h"}, ["/anniversary_within"]),
        ({"contact": "a", "contains_any": "x"}, ["/contains_any"]),
        ({"contact": "a", "contains_all": ["x", 1]}, ["/contains_all/1"]),
        ({"pints": {"at_least": 3}}, [""]),
        ({"points": {"at_least": 3}}, ["/points", ""]),
        ({"points": "club", "kind": "x", "at_least": "3"}, ["/kind", "/at_least"]),
        ({"tier": 1, "in": []}, ["/tier", "/in"]),
        ({"member": "club", "is": "x"}, ["/is"]),
    ],
)  # fmt: skip
def test_every_problem_is_reported_where_it_is(data, pointers):
    node, problems = parse_condition(data)
    assert node is None
    found = [problem.pointer for problem in problems]
    assert all(any(one == pointer or one.startswith(f"{pointer}/") for one in found) for pointer in pointers), problems
    assert len(found) == len(pointers), problems


def test_hints_name_the_closest_word():
    assert "'at_least'" in parse_condition({"contact": "a", "at_leest": 1})[1][0].hint
    assert "'segment'" in parse_condition({"segmnt": "a"})[1][0].hint


def test_a_count_beside_did_is_hinted_to_times():
    (problem,) = parse_condition({"did": "A", "at_least": 2})[1]
    assert (problem.pointer, problem.hint) == ("/at_least", "write times: {at_least: 2}")


def test_did_not_is_the_opposite_of_did():
    assert parse_condition({"did_not": "A", "within": "7d"}) == parse_condition({"not": {"did": "A", "within": "7d"}})
    assert "not: {did" in parse_condition({"did_not": "A", "times": 3})[1][0].hint


def test_the_day_that_until_names_belongs_to_the_window():
    whole = parse_condition({"did": "A", "from": "2026-01-01", "until": "2026-01-31"})[0]
    exact = parse_condition({"did": "A", "from": "2026-01-01T00:00:00Z", "until": "2026-02-01T00:00:00Z"})[0]
    assert whole == exact
    assert whole.window == ast.Window(start=1_767_225_600_000, end=1_769_904_000_000)


def test_names_are_folded_and_stand_once():
    node = parse_condition({"did": ["Order Completed", " order completed ", "\uff2frder completed"]})[0]
    assert node.interactions == ("order completed",)


def test_what_messages_can_be_asked_for_is_what_can_become_of_them():
    assert {*MESSAGE_EVENTS} == {"sent", *REACTIONS}


@pytest.mark.parametrize(
    "data, text",
    [
        ({"did": "A", "times": {"at_least": 3}, "within": "90d"}, 'did "a" at least 3 times in 90d'),
        ({"did": ["A", "B"], "from": "2026-01-01", "until": "2026-01-31T09:30:00Z"},
         'did "a" or "b" at least 1 time from 2026-01-01 until before 2026-01-31T09:30:00Z'),
        ({"did_not": "A", "within": "7d"}, 'not did "a" at least 1 time in 7d'),
        ({"did": "A", "sum": {"of": "total", "at_least": 100}, "within": "30d"},
         'sum of total ≥ 100 where did "a" in 30d'),
        ({"did": "A", "last": {"of": "size", "in": ["S", "M"], "ignore_case": True}, "where": {"interaction": "x", "is": 1}},
         'last of size in ("S", "M") (any case) where did "a" where interaction.x is 1'),
        ({"sequence": [{"did": "A"}, {"did": ["B", "C"], "within": "7d"}], "within": "30d"},
         'did "a" then "b" or "c" within 7d in 30d'),
        ({"sequence": [{"did": "A"}, {"did_not": "B", "within": "7d"}]}, 'did "a" then not "b" within 7d'),
        ({"messages": "opened", "of": ["x", "y"], "channel": "email", "times": 2, "since": "entry"},
         "messages x or y by email opened exactly 2 times since entry"),
        ({"list": "vip"}, "on list vip"),
        ({"contact": "born", "anniversary_within": "7d"}, "born has its anniversary within 7d"),
        ({"contact": "tags", "contains_all": ["a", "b"]}, 'tags contains all of ("a", "b")'),
    ],
)  # fmt: skip
def test_conditions_are_printed_for_people(data, text):
    assert describe(parse_condition(data)[0]) == text


def test_nesting_has_an_end():
    data: dict = {"contact": "a", "is": 1}
    for _ in range(DEEPEST):
        data = {"not": data}
    assert parse_condition(data)[1] == []
    assert "deeper" in parse_condition({"not": data})[1][0].message
    for _ in range(5_000):
        data = {"all": [data]}
    assert "deeper" in parse_condition(data)[1][0].message


def test_messages_stay_short():
    _, problems = parse_condition({"x" * 100_000: 1, "y" * 100_000: 2})
    assert len(str(problems[0])) < 1_000
    assert len(str(parse_condition({"did": "a", "within": "h" * 100_000})[1][0])) < 1_000


def test_a_segment_that_is_not_given_is_an_error_of_the_caller():
    with pytest.raises(KeyError):
        compile_condition(ast.InSegment("nobody"))
