from __future__ import annotations

import jsonschema
import pytest
from hypothesis import given, settings

from parcours.conditions.operators import OPERATORS
from parcours.conditions.parse import parse_condition
from parcours.conditions.schema import condition_schema
from tests.conditions.condition_strategies import conditions, garbage

SCHEMA = {"$ref": "#/$defs/Condition", "$defs": {"Condition": condition_schema()}}
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_it_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@given(conditions)
@settings(deadline=None)
def test_what_the_parser_reads_passes(data):
    VALIDATOR.validate(data)


@given(garbage)
@settings(deadline=None, max_examples=300)
def test_what_the_parser_refuses_for_its_shape_fails(data):
    if VALIDATOR.is_valid(data):
        # A schema cannot say these.
        excused = (
            "out of range",
            "finite",
            "surrogate",
            "NUL",
            "whole number",
            "date",
            "may only look",
            "may not stand in it",
            "may only be the last",
            "is not after",
            "whole days",
            "says nothing",
        )
        problems = [str(problem) for problem in parse_condition(data)[1]]
        assert all(any(word in problem for word in excused) for problem in problems), problems


@pytest.mark.parametrize(
    "data",
    [
        {},
        [],
        {"contact": "city"},
        {"contact": "city", "is": 1, "is_not": 2},
        {"contact": "city", "iz": 1},
        {"contact": "city", "between": [1]},
        {"contact": "city", "before": "yesterday"},
        {"contact": "city", "is": None},
        {"all": {}},
        {"all": [{"any": [{"not": {"contact": 1, "is": 1}}]}]},
        {"did": "a", "times": {"at_least": -1}},
        {"did": "a", "times": {"at_least": 1, "at_most": 2}},
        {"did": "a", "within": "soon"},
        {"segment": "a", "is": True},
        {"consent": "email", "is": "maybe"},
        {"list": ""},
        {"did": []},
        {"did": ["a", 1]},
        {"did": "a", "times": 1, "sum": {"of": "x", "at_least": 1}},
        {"did": "a", "sum": {"of": "x"}},
        {"did": "a", "sum": {"of": "x", "is": 1}},
        {"did": "a", "sum": {"of": "x", "at_least": "1"}},
        {"did": "a", "sum": {"of": "x", "at_least": 1e13}},
        {"did": "a", "sum": {"at_least": 1}},
        {"did": "a", "first": {"of": "x", "is": 1, "is_not": 2}},
        {"did": "a", "since": "birth"},
        {"did": "a", "from": "yesterday"},
        {"did_not": "a", "times": 1},
        {"sequence": [{"did": "a"}]},
        {"sequence": [{"did": "a", "within": "1d"}, {"did": "b"}]},
        {"sequence": [{"did": "a"}, {"did_not": "b"}]},
        {"sequence": [{"did": "a"}, {"segment": "b"}]},
        {"messages": "seen"},
        {"messages": "opened", "times": 201},
        {"contact": "x", "contains_any": [1]},
        {"contact": "x", "within_last": "soon"},
    ],
)
def test_mistakes_fail(data):
    assert not VALIDATOR.is_valid(data)
    assert parse_condition(data)[1]


def test_every_operator_is_offered_with_a_description():
    [leaf] = [part for part in condition_schema()["anyOf"] if "contact" in part["required"]]
    for name in OPERATORS:
        assert leaf["properties"][name]["description"]


def test_everything_has_a_title():
    def untitled(schema, place):
        if "properties" in schema:
            if "title" not in schema:
                yield place
            for name, inner in schema["properties"].items():
                if "title" not in inner:
                    yield f"{place}/{name}"
                yield from untitled(inner, f"{place}/{name}")
        for key in ("anyOf", "prefixItems"):
            for index, inner in enumerate(schema.get(key, ())):
                yield from untitled(inner, f"{place}/{key}/{index}")
        if isinstance(schema.get("items"), dict):
            yield from untitled(schema["items"], f"{place}/items")

    assert list(untitled(condition_schema(), "")) == []
