"""Rates and differences with their intervals, against published figures; and what is said of an experiment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcours.core.trials import Rate, difference, rate
from tests.core.world import World, email, journey, wait_for
from tests.profiles import examples


@pytest.mark.parametrize(
    "reached, of, low, high",
    # Newcombe, Two-sided confidence intervals for the single proportion (1998), table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_of_a_rate_is_wilsons(reached: int, of: int, low: float, high: float):
    found = rate(reached, of)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@pytest.mark.parametrize(
    "one, other, low, high",
    # Newcombe, Interval estimation for the difference between independent proportions (1998), table II, method 10.
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 10), -0.2775, 0.2775),
    ],
)
def test_the_interval_of_a_difference_is_newcombes(
    one: tuple[int, int], other: tuple[int, int], low: float, high: float
):
    found = difference(rate(*one), rate(*other))
    assert found is not None
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_of_nobody_nothing_is_known():
    assert rate(0, 0) == Rate(None, 0.0, 1.0)
    assert difference(rate(0, 0), rate(1, 2)) is None


@examples(200)
@given(st.integers(0, 500), st.integers(1, 500))
def test_a_rate_lies_in_its_interval(reached: int, more: int):
    found = rate(reached, reached + more)
    assert found.value is not None
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_a_run_counts_once_for_the_variant_it_drew():
    steps = {
        "x": {
            "type": "experiment",
            "branches": [{"name": "a", "next": "w"}, {"name": "b", "next": "w"}],
            "holdout": {},
        },
        "w": wait_for("Again", next="x"),
    }
    world = World(journey(steps, goals=[{"name": "paid", "interaction": "Paid", "within": "7d"}]), email("m"))
    for number in range(30):
        who = f"p{number}"
        world.did(who, "Go")
        world.did(who, "Again")
        if number % 3 == 0:
            world.did(who, "Paid")
            world.did(who, "Paid")
    counts = world.store.statistics()
    drew = {reason: count for (_, _, step, what, reason), count in counts.items() if what == "drew"}
    assert sum(drew.values()) == 30
    converted = {reason: count for (_, _, _, what, reason), count in counts.items() if what == "converted"}
    assert sum(converted.values()) == 10
    assert {reason.partition("/")[2] for reason in converted} == {"paid"}
