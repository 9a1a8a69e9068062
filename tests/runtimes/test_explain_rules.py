"""Explanations of rules: why a member got what they got, and why not, with what was left of budgets and until when."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given

from parcours.core.effects import What
from parcours.runtimes.explain import explain, past_of
from parcours.runtimes.loyalty.explain import RulesExplanation, explain_rules
from parcours.runtimes.simulation import Simulation
from parcours.stores.memory import MemoryStore
from parcours.testing.strategies import START as START_OF_DRAWN
from parcours.testing.strategies import Scenario, play, scenarios
from tests.core.test_loyalty_budgets import REFUNDS, members
from tests.core.test_loyalty_rules import PER_EURO, programme, rule
from tests.core.world import END, World, instant, journey, wait
from tests.profiles import examples

START = "2026-03-02T09:00:00Z"
APRIL = "2026-04-01T04:00:00Z"
"""The first instant of April in New York."""


BOUGHT = {"kind": "interaction", "name": "Bought"}


def told(world: World, who: str, only: str = "", at: int | None = None) -> RulesExplanation:
    past = past_of(world.store, world.id_of(who))
    return explain_rules(past, "club", only, world.now if at is None else at)


def because(world: World, who: str, only: str = "") -> list[str]:
    return told(world, who, only).because


def test_points_refused_for_a_budget_say_which_how_much_was_left_and_until_when():
    world = members(
        BOUGHT,
        rule(points=PER_EURO, budget=[{"per": "month", "points": 30, "times": 5}, {"points": 1000}]),
        timezone="America/New_York",
    )
    world.did("ann", "Bought", total=10)
    world.did("bob", "Bought", total=6)
    assert because(world, "ann") == ["At 2026-03-02T09:00:00Z the rule 'purchases' gave 20 points for 'Bought'."]
    assert because(world, "bob") == [
        (
            "At 2026-03-02T09:00:00Z the rule 'purchases' gave nothing for 'Bought', of 12 points: "
            f"its budget of 5 awards and 30 points per month had 4 awards and 10 points left, until {APRIL}."
        )
    ]
    (look,) = told(world, "bob").looks
    assert (look.rule, look.given, look.points, look.reason) == ("purchases", False, 12, "budget")
    assert [(one.per, one.short, one.left_times, one.left_points, one.until) for one in look.budgets] == [
        ("month", True, 4, 10, instant(APRIL)),
        ("ever", False, None, 980, None),
    ]
    assert (look.budgets[0].times, look.budgets[0].points) == (5, 30)


def test_a_reward_refused_for_a_budget_is_told_and_one_that_is_out_of_stock_too():
    cup = {"kind": "reward", "name": "cup", "gift": "A cup", "stock": 1}
    world = members(BOUGHT, cup, rule(reward="cup", budget=[{"times": 2}]))
    for who in ("ann", "bob", "cid"):
        world.did(who, "Bought")
    assert because(world, "ann") == [
        "At 2026-03-02T09:00:00Z the rule 'purchases' gave what it gives beside points for 'Bought'."
    ]
    assert because(world, "bob")[1:] == [
        "At 2026-03-02T09:00:00Z the reward 'cup' of the rule 'purchases' was not issued: out_of_stock."
    ]
    assert because(world, "cid") == [
        (
            "At 2026-03-02T09:00:00Z the rule 'purchases' gave nothing for 'Bought': "
            "its budget of 2 awards had none left, and counts for ever."
        )
    ]


def test_of_an_interaction_that_came_late_the_period_is_that_in_which_it_occurred():
    world = members(BOUGHT, rule(points=10, budget=[{"per": "day", "times": 1}]))
    world.did("ann", "Bought")
    world.after("1d")
    world.did("bob", "Bought", ago="1d")
    world.did("cid", "Bought")
    assert because(world, "bob") == [
        (
            "At 2026-03-03T09:00:00Z the rule 'purchases' gave nothing for 'Bought' (which occurred at "
            "2026-03-02T09:00:00Z), of 10 points: its budget of 1 award per day had none left, until 2026-03-03T00:00:00Z."
        )
    ]
    assert told(world, "cid").looks[0].given


def test_why_a_rule_gave_nothing_for_other_reasons():
    world = members(
        BOUGHT,
        rule(points=1, where={"interaction": "total", "at_least": 10}, limits=[{"per": "day", "times": 1}]),
        rule("seldom", points=1, every=3),
        who=("ann",),
    )
    world.knows("bob")
    world.did("bob", "Bought", total=20)
    assert because(world, "bob") == [
        "The contact is no member of 'club'.",
        "At 2026-03-02T09:00:00Z the rule 'purchases' gave nothing for 'Bought': the contact was no member.",
        "At 2026-03-02T09:00:00Z the rule 'seldom' gave nothing for 'Bought': the contact was no member.",
    ]
    for total in (9, 10, 11):
        world.did("ann", "Bought", total=total)
    assert because(world, "ann", "purchases") == [
        (
            "At 2026-03-02T09:00:00Z the rule 'purchases' gave nothing for 'Bought': "
            "its condition was false: interaction.total ≥ 10 (it was 9)."
        ),
        "At 2026-03-02T09:00:00Z the rule 'purchases' gave 1 point for 'Bought'.",
        (
            "At 2026-03-02T09:00:00Z the rule 'purchases' gave nothing for 'Bought', of 1 point: "
            "what it gives one member in a period is used up."
        ),
    ]
    assert [(look.given, look.reason) for look in told(world, "ann", "seldom").looks] == [
        (False, "every"), (False, "every"), (True, ""),
    ]  # fmt: skip
    assert told(world, "ann", "purchases").looks[0].asked[0].place == "purchases"
    assert because(world, "ann", "other") == [
        "The rule 'other' is not live.",
        "Nothing that it looks at was recorded.",
    ]


def test_an_explanation_of_rules_is_as_of_an_instant_and_changes_nothing():
    world = members(BOUGHT, rule(points=10, budget=[{"points": 10}]))
    world.did("ann", "Bought")
    before = world.contact("bob")
    world.after("1h")
    world.did("bob", "Bought")
    kept = world.run.trace(world.id_of("bob"))
    assert told(world, "bob", at=instant(START)).looks == []
    assert len(told(world, "bob").looks) == 1
    assert world.run.trace(world.id_of("bob")) == kept
    assert world.contact("bob").loyalty == before.loyalty


def test_a_journey_that_looked_at_the_same_says_it_too():
    steps = {"w": wait("1d", next="e"), "e": END}
    world = World(
        BOUGHT,
        programme(refunds=REFUNDS),
        rule(points=10, budget=[{"per": "month", "points": 15}]),
        journey(steps, entry={"interaction": "Bought"}),
        start=instant(START),
    )
    for who in ("ann", "bob"):
        world.asks(who, "enrol")
        world.did(who, "Bought")
    found = explain(past_of(world.store, world.id_of("bob")), world.run.engine.plan, "j", world.now)
    assert found.because[:2] == [
        "At 2026-03-02T09:00:00Z 'Bought' let the contact in.",
        (
            "At 2026-03-02T09:00:00Z the rule 'purchases' gave nothing for 'Bought', of 10 points: "
            "its budget of 15 points per month had 5 points left, until 2026-04-01T00:00:00Z."
        ),
    ]
    assert [(one.rule, one.points, one.budgets[0].left_points) for one in found.moments[0].withheld] == [
        ("purchases", 10, 5)
    ]
    found = explain(past_of(world.store, world.id_of("ann")), world.run.engine.plan, "j", world.now)
    assert found.moments[0].withheld == []


@pytest.mark.usefixtures("short_chains")
@examples(25)
@given(scenarios(loyalty=True))
def test_what_rules_gave_is_told_as_it_was_decided(scenario: Scenario):
    simulation = Simulation(MemoryStore(), START_OF_DRAWN)
    play(simulation, scenario)
    store = simulation.store
    for contact in store.scan():
        if contact.merged_into or contact.erased_at or contact.merged:
            continue
        past = past_of(store, contact.id)
        kept = [entry for entry in simulation.trace(contact.id) if entry.what in {What.AWARDED, What.WITHHELD}]
        told = [
            look
            for programme in simulation.engine.plan.loyalty.programmes
            for look in explain_rules(past, programme, "", simulation.clock.now()).looks
        ]
        given_ = Counter((look.at, look.rule, look.points) for look in told if look.given)
        assert given_ == Counter((e.at, e.reason, (e.detail or {})["points"]) for e in kept if e.what == What.AWARDED)
        for entry in kept:
            if entry.what == What.WITHHELD:
                why = {"reason": entry.reason, "rule": (entry.detail or {})["rule"]}
                alike = [one for one in told if {"reason": one.reason, "rule": one.rule} == why and one.at == entry.at]
                assert alike
                assert entry.reason != "budget" or all(any(left.short for left in one.budgets) for one in alike)
