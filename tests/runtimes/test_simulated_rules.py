"""Rules simulated over what was recorded: what was live comes to what it came to; figures are held against the data."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given

from parcours.runtimes.backtest.backtest import Backtest
from parcours.runtimes.backtest.job import BacktestError, Job
from parcours.runtimes.backtest.person import run
from parcours.runtimes.backtest.report import BacktestReport, report_of
from parcours.runtimes.simulation import Simulation
from parcours.stores.memory import MemoryStore
from parcours.stores.past import StorePast
from parcours.testing.snapshot import EVERYTHING
from parcours.testing.strategies import Comes, Erases, Passes, Scenario, loyal_scenarios, play
from tests.core.world import START, World
from tests.profiles import examples

SECOND = 1_000
PER_EURO = {"points": 2, "of": "total"}


def rule(name: str = "new", **more: Any) -> dict[str, Any]:
    return {"kind": "rule", "name": name, "programme": "club", "on": ["Bought"], **more}


def programme(**more: Any) -> dict[str, Any]:
    return {"kind": "programme", "name": "club", **more}


def simulated(world: World, *definitions: dict[str, Any], start: int = START, **more: Any) -> BacktestReport:
    past = StorePast(world.store)
    job = Job(definitions=list(definitions), start=start, end=world.now, **more)
    made = Backtest(job, past.publications())
    return report_of(made, run(made, past.people(0, 1)))


def plain(scenario: Scenario) -> Scenario:
    """A scenario of people who stay who they are, with rules that are live from the beginning to the end."""

    def one(move: Any) -> Any:
        return msgspec.structs.replace(move, identities=move.identities[:1]) if isinstance(move, Comes) else move

    definitions = [
        item | {"starts": None, "ends": None} if item["kind"] == "rule" else item for item in scenario.definitions
    ]
    moves = [one(move) for move in scenario.moves if not isinstance(move, Erases)]
    return Scenario(definitions, scenario.known, [Passes(SECOND), *moves])


@examples(60)
@given(loyal_scenarios())
def test_rules_that_were_live_come_to_the_same(scenario: Scenario):
    scenario = plain(scenario)
    live = Simulation(MemoryStore(), START)
    play(live, scenario)
    drafts = [item for item in scenario.definitions if item["kind"] == "rule" and item.get("state", "live") == "live"]
    if not drafts:
        return
    past = StorePast(live.store)
    made = Backtest(Job(definitions=drafts, start=START, end=live.clock.now()), past.publications())
    counts = run(made, past.people(0, 1))
    entries: Counter[Any] = Counter()
    amounts: Counter[Any] = Counter()
    balance = held = 0
    for contact in live.store.scan(limit=EVERYTHING):
        for posting in live.store.ledger(contact.id, EVERYTHING):
            entry = posting.entry
            key = (entry.programme, entry.rule, entry.day, entry.kind)
            entries[key] += 1
            amounts[key] += entry.amount
        balance += sum(member.balance for member in contact.loyalty.values())
        held += sum(member.held for member in contact.loyalty.values())
    assert counts.entries == entries
    assert counts.amounts == amounts
    assert (counts.balances["club"], counts.held["club"]) == (balance, held)


def test_what_a_rule_would_have_cost():
    world = World(programme(holding="2d", expiry={"type": "rolling", "days": 10}, refunds=[
        {"interaction": "Refunded", "reference": "order"}
    ]))  # fmt: skip
    for who in ("ann", "bob"):
        assert world.asks(who, "enrol") == ""
    world.after("1h")
    world.did("ann", "Bought", total=10, order="a")
    world.did("bob", "Bought", total=5, order="b")
    world.did("cid", "Bought", total=100, order="c")
    world.after("1d")
    world.did("ann", "Refunded", order="a", total=4)
    world.after("12d")
    world.did("bob", "Bought", total=3, order="d")
    world.after("1h")
    report = simulated(world, rule(points=PER_EURO, reference="order"))
    (found,) = report.rules
    assert (found.rule, found.draft, found.awards, found.members) == ("new", True, 3, 2)
    assert (found.given, found.reversed, found.expired, found.pending, found.cost) == (36, 8, 22, 6, 6)
    assert found.withheld == {"no_member": 1}
    assert found.days == {"2026-03-02": 30, "2026-03-15": 6}
    (club,) = report.programmes
    assert (club.members, club.touched, club.balance, club.held, club.cost) == (2, 2, 0, 6, 6)
    everybody = simulated(world, rule(points=PER_EURO, reference="order"), everybody=True)
    assert everybody.rules[0].given == 236
    assert everybody.programmes[0].members == 3
    # Nothing of it happened.
    assert world.member("ann").balance == 0


@pytest.mark.parametrize(
    "more, withheld",
    [
        ({"where": {"interaction": "total", "at_least": 5}}, {"not_matching": 2}),
        ({"every": 2}, {"every": 2}),
        ({"limits": [{"per": "day", "times": 1}]}, {"limit": 3}),
        ({"tiers": ["gold"]}, {"tier": 4}),
    ],
)
def test_why_a_rule_gives_nothing(more: dict[str, Any], withheld: dict[str, int]):
    tiers = {"levels": [{"name": "gold", "at": 100_000}]}
    world = World(programme(tiers=tiers))
    world.asks("ann", "enrol")
    for total in (1, 2, 6, 7):
        world.after("1h")
        world.did("ann", "Bought", total=total)
    (found,) = simulated(world, rule(points=1, **more)).rules
    assert found.withheld == withheld


def test_a_campaign_is_compared_with_what_is_live():
    world = World(programme(), rule("live", points=PER_EURO))
    world.asks("ann", "enrol")
    world.after("1h")
    world.did("ann", "Bought", total=10)
    world.after("1h")
    campaign = rule("twice", multiply=2, starts="2030-01-01")
    draft, live = simulated(world, campaign), simulated(world, baseline=True)
    assert [report.cost for report in (draft.programmes[0], live.programmes[0])] == [40, 20]
    assert [(report.rule, report.draft, report.given) for report in draft.rules] == [
        ("twice", True, 0),
        ("live", False, 40),
    ]


def test_a_draft_in_place_of_what_is_live_gives_from_the_start_on():
    world = World(programme())
    world.asks("ann", "enrol")
    world.did("ann", "Bought", total=10)
    world.after("1h")
    start = world.now
    world.after("1h")
    world.did("ann", "Bought", total=10)
    world.after("1h")
    world.publish(rule("r", points=PER_EURO))
    world.after("1h")
    world.did("ann", "Bought", total=10)
    world.after("1h")
    report = simulated(world, rule("r", points={"points": 3, "of": "total"}), start=start)
    assert report.rules[0].given == 60
    # Without the draft, the rule gives since it has been live.
    assert simulated(world, start=start, baseline=True).rules[0].given == 20


def test_without_any_draft_nothing_is_run():
    world = World(programme())
    world.after("1h")
    with pytest.raises(BacktestError, match="no journey or rule"):
        simulated(world, programme())


def test_a_rule_that_issues_a_reward_is_tried_without_touching_codes():
    world = World(programme(), {"kind": "reward", "name": "ten", "programme": "club", "percent": 10, "stock": 1})
    for who in ("ann", "bob"):
        world.asks(who, "enrol")
        world.after("1h")
        world.did(who, "Bought", total=5)
        world.after("1h")
    report = simulated(world, rule(points=5, reward="ten"))
    assert [(one.rule, one.given) for one in report.rules] == [("new", 10)]
    assert not [name for name in world.store.marks() if name.startswith("reward:")]


def bought_in_turn() -> World:
    """Three people buy for 10 by turns, an hour apart, twice."""
    world = World(programme())
    for who in ("ann", "bob", "cid"):
        world.asks(who, "enrol")
    for _ in range(2):
        for who in ("cid", "ann", "bob"):
            world.after("1h")
            world.did(who, "Bought", total=10)
    world.after("1h")
    return world


def test_a_budget_runs_out_in_the_order_of_time_whoever_it_is():
    world = bought_in_turn()
    made = Backtest(
        Job(definitions=[rule(points=10, budget=[{"points": 40}])], start=START, end=world.now),
        world.store.publications(),
    )
    counts = run(made, StorePast(world.store).people(0, 1))
    (found,) = report_of(made, counts).rules
    assert (found.given, found.awards, found.withheld, found.ran_out) == (40, 4, {"budget": 2}, "2026-03-02")
    # Cid came first, so it is Ann and Bob for whom it was not enough the second time.
    live = World(programme(), rule(points=10, budget=[{"points": 40}]))
    for who in ("ann", "bob", "cid"):
        live.asks(who, "enrol")
    for who in ("cid", "ann", "bob") * 2:
        live.after("1h")
        live.did(who, "Bought", total=10)
    assert [live.member(who).balance for who in ("ann", "bob", "cid")] == [10, 10, 20]


def test_a_budget_of_a_draft_begins_with_it_and_that_of_a_live_rule_when_it_was_live():
    world = World(programme(), rule("r", points=10, budget=[{"points": 20}]))
    for who in ("ann", "bob"):
        world.asks(who, "enrol")
    world.after("1h")
    world.did("ann", "Bought", total=10)
    world.after("1h")
    start = world.now
    for who in ("bob", "ann", "bob"):
        world.after("1h")
        world.did(who, "Bought", total=10)
    world.after("1h")
    assert simulated(world, start=start, baseline=True).rules[0].given == 10
    assert simulated(world, rule("r", points=10, budget=[{"points": 20}]), start=start).rules[0].given == 20
    assert simulated(world, rule("r", points=10), start=start).rules[0].given == 30


@pytest.mark.parametrize("pause, points", [("1h", 3), ("3h", 10)])
def test_timers_of_others_come_in_the_order_of_time_where_there_is_a_budget(pause: str, points: int):
    """What a timer of Ann's lets happen comes before what Bob does later, and after what he does before."""
    once = {
        "kind": "journey",
        "name": "later",
        "entry": {"type": "interaction", "interaction": "Go"},
        "start": "pause",
        "steps": {
            "pause": {"type": "wait", "for": pause, "next": "tell"},
            "tell": {"type": "record", "interaction": "Bought", "attributes": {"total": 3}},
        },
    }
    world = World(programme())
    for who in ("ann", "bob"):
        world.asks(who, "enrol")
    world.after("1h")
    world.did("ann", "Go")
    world.after("2h")
    world.did("bob", "Bought", total=10)
    world.after("2h")
    report = simulated(world, once, rule(points={"points": 1, "of": "total"}, budget=[{"times": 1}]))
    assert (report.rules[0].given, report.rules[0].withheld) == (points, {"budget": 1})
