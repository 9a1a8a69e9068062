from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcours.conditions import ast
from parcours.conditions.needs import needs
from parcours.conditions.parse import DEEPEST, LARGEST, parse_condition
from parcours.conditions.text import describe
from parcours.conditions.to_python import compile_condition
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


@given(histories)
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
