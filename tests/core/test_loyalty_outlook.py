"""What members will have by time alone is what they have when that time has come."""

from __future__ import annotations

from hypothesis import event, given
from hypothesis import strategies as st

from parcours.core.codec import decode_contact, encode
from parcours.core.contact import Contact
from parcours.core.loyalty.clock import NEVER
from parcours.core.loyalty.outlook import Having, Outlook, outlook
from parcours.runtimes.simulation import Simulation
from parcours.stores.memory import MemoryStore
from parcours.testing.strategies import START, Scenario, loyal_scenarios, play
from tests.core.world import World, instant, ms
from tests.profiles import examples

MOST = 10**6


def qualifying(having: Having, qualified: list[tuple[int, int]], now: int) -> int:
    return sum(
        amount for at, amount in qualified if having.period <= at <= now and (not having.span or at > now - having.span)
    )


def told(found: Outlook, qualified: list[tuple[int, int]], now: int) -> tuple[object, ...]:
    (having,) = (stretch.having for stretch in found.stretches if stretch.start <= now < stretch.end)
    facts = having.current, having.spendable, having.held, having.lifetime, having.tier, list(having.tiers)
    return *facts, qualifying(having, qualified, now)


def members(simulation: Simulation) -> dict[str, Contact]:
    return {contact.id: contact for contact in simulation.store.scan(limit=MOST) if contact.loyalty}


def assert_comes_true(simulation: Simulation, before: dict[str, Contact], most: int) -> int:
    """Hold what is told of contacts as they were against what they are, as time passes; return how much changes."""
    plan, now = simulation.engine.plan, simulation.clock.now()
    # What is told of a contact that was not brought up to the plan yet is what is told of one that was.
    outlooks = {id_: outlook(plan.loyalty, decode_contact(encode(contact)), most) for id_, contact in before.items()}
    assert {id_: outlook(plan.loyalty, contact, most) for id_, contact in members(simulation).items()} == outlooks
    instants = {
        at
        for found in outlooks.values()
        for one in found.values()
        for stretch in one.stretches
        for at in (stretch.end - 1, stretch.end)
        if now <= at < NEVER - 1
    }
    for at in sorted({now, *instants, now + ms("40d"), now + ms("800d")}):
        simulation.advance(at)
        for id_, contact in members(simulation).items():
            for name, member in contact.loyalty.items():
                found = outlooks[id_][name]
                if at >= found.until:
                    continue
                standing = member.standing
                facts = not member.left, member.balance, member.held, member.lifetime, standing.tier, standing.has
                assert told(found, before[id_].loyalty[name].qualified, at) == (*facts, member.qualifying(at)), at
    return max((len(one.stretches) for found in outlooks.values() for one in found.values()), default=0)


@examples(25)
@given(loyal_scenarios(), st.integers(1, 6))
def test_what_is_told_comes_true_whatever_happened(scenario: Scenario, most: int):
    simulation = Simulation(MemoryStore(), START)
    play(simulation, scenario)
    event(f"stretches: {assert_comes_true(simulation, members(simulation), most)}")


LEVELS = [{"name": "bronze", "at": 0}, {"name": "silver", "at": 10}, {"name": "gold", "at": 20}]
CLUBS = st.fixed_dictionaries(
    {
        "kind": st.just("programme"),
        "name": st.just("club"),
        "refunds": st.just([{"interaction": "Refunded", "reference": "order"}]),
        "on_leaving": st.sampled_from(["keep", "forfeit"]),
    },
    optional={
        "holding": st.sampled_from(["6h", "1d", "3d"]),
        "expiry": st.sampled_from(
            [
                {"type": "rolling", "days": 2},
                {"type": "rolling", "days": 2},
                {"type": "rolling", "months": 1, "until_end_of": "day"},
                {"type": "yearly", "month": 3, "day": 4, "years": 1},
                {"type": "inactivity", "days": 4},
            ]
        ),
        "timezone": st.just("America/New_York"),
        "tiers": st.fixed_dictionaries(
            {
                "levels": st.just(LEVELS),
                "period": st.sampled_from([{"type": "rolling", "days": 2}, {"type": "calendar", "unit": "month"}]),
            },
            optional={"grace": st.sampled_from(["6h", "3d"]), "downgrade": st.just("one")},
        ),
    },
)


@examples(60)
@given(
    CLUBS,
    st.none() | CLUBS,
    st.lists(
        st.tuples(
            st.sampled_from(["buy", "buy", "buy", "spend", "refund", "leave", "enrol"]),
            st.integers(1, 12),
            st.sampled_from(["1ms", "1ms", "1h", "6h", "1d"]),
        ),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from([2, 4, 8]),
)
def test_what_is_told_comes_true_with_much_ahead(club, changed, moves, most: int):
    rule = {"kind": "rule", "name": "r", "programme": "club", "on": ["Bought"], "reference": "order"}
    rule["points"] = {"points": 1, "per": 1, "of": "total"}
    world = World(club, rule)
    world.asks("ann", "enrol")
    for number, (what, points, gap) in enumerate(moves):
        match what:
            case "buy":
                world.did("ann", "Bought", total=points, order=f"o{number % 3}")
            case "refund":
                world.did("ann", "Refunded", order=f"o{points % 3}")
            case _:
                world.asks("ann", what, **({"points": points} if what == "spend" else {}))
        world.after(gap)
    before = members(world.run)
    if changed:
        world.publish(changed)
    event(f"stretches: {assert_comes_true(world.run, before, most)}")


def test_a_year_of_a_member_is_told():
    """Points come free after a day and expire after a month; silver is kept for April, and lost after grace."""
    levels = [{"name": "bronze", "at": 0}, {"name": "silver", "at": 10}]
    world = World(
        {
            "kind": "programme",
            "name": "club",
            "holding": "1d",
            "expiry": {"type": "rolling", "months": 1},
            "tiers": {"period": {"type": "calendar", "unit": "month"}, "grace": "5d", "levels": levels},
        },
        {"kind": "rule", "name": "r", "programme": "club", "on": ["Bought"], "points": 10},
    )
    world.asks("ann", "enrol")
    world.did("ann", "Bought")
    contact = decode_contact(encode(world.contact("ann")))
    found = outlook(world.run.engine.plan.loyalty, contact, 8)["club"]
    both = ("bronze", "silver")
    day, april, lost = world.now + ms("1d"), instant("2026-04-01T00:00:00Z"), instant("2026-05-06T00:00:00Z")
    expires, march = instant("2026-04-02T09:00:00Z"), instant("2026-03-01T00:00:00Z")
    assert [tuple(stretch) for stretch in found.stretches] == [
        (0, day, Having(True, 0, 10, 10, march, 0, "silver", both)),
        (day, april, Having(True, 10, 0, 10, march, 0, "silver", both)),
        (april, expires, Having(True, 10, 0, 10, NEVER, 0, "silver", both)),
        (expires, lost, Having(True, 0, 0, 10, NEVER, 0, "silver", both)),
        (lost, NEVER, Having(True, 0, 0, 10, NEVER, 0, "bronze", ("bronze",))),
    ]
    assert found.until == NEVER
    short = outlook(world.run.engine.plan.loyalty, decode_contact(encode(world.contact("ann"))), 2)["club"]
    assert (short.stretches, short.until) == (found.stretches[:2], april)
