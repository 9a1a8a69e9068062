"""Interactions that were made ready elsewhere come to what they would have come to, only quicker."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from parcours.core import ids
from parcours.core.codec import encode
from parcours.core.gate import Arrival, Happened
from parcours.core.inputs import Interaction
from parcours.core.learned import Learner
from parcours.core.prepared import HEAD, AnyArrival, Prepared, Preparer
from parcours.ports import Identity
from parcours.runtimes.engine import Refused
from parcours.runtimes.simulation import Simulation
from parcours.stores.memory import MemoryStore
from parcours.testing.snapshot import snapshot
from parcours.testing.strategies import START, Scenario, Step, copy_of, perform, scenarios
from tests.core.test_properties import assert_same, gathered, knowledge, played
from tests.core.world import journey, wait
from tests.profiles import examples

BOUGHT = {
    "kind": "interaction",
    "name": "Line Bought",
    "strict": True,
    "attributes": {
        "total": {"type": "number", "required": True},
        "at": {"type": "datetime"},
        "tags": {"type": "strings"},
    },
}
ANN = (("user_id", "ann"),)


def happened(
    attributes: dict[str, Any],
    name: str = "Line Bought",
    identities: tuple[Identity, ...] = ANN,
    *,
    id_: str = "1",
    occurred_at: int | None = START - 5,
    backfill: bool = True,
) -> Arrival:
    return Arrival("file", id_, identities, Happened(name, attributes), occurred_at, backfill)


def made_ready(preparer: Preparer, arrival: Arrival) -> AnyArrival:
    if not isinstance(arrival.what, Happened):
        return arrival
    (made,) = preparer.prepare([arrival])
    if made is None:
        return arrival
    assert arrival.occurred_at is not None
    key = ids.message_key(arrival.source, arrival.message_id)
    return Prepared(made[0], key, arrival.identities, arrival.occurred_at, made[1])


@pytest.fixture
def world() -> Simulation:
    simulation = Simulation(MemoryStore(), START)
    simulation.publish([BOUGHT])
    return simulation


def preparer_of(world: Simulation) -> Preparer:
    return Preparer(dict(world.engine.plan.workspace.interactions))


def taken_at_once(world: Simulation, *arrivals: AnyArrival) -> list[int]:
    """Take arrivals in; return how many each run of interactions had that were not looked at."""
    runs: list[int] = []
    observe = Learner.observe_many
    with pytest.MonkeyPatch.context() as patch:

        def count(self: Learner, items: list[Prepared], received_at: int) -> None:
            runs.append(len(items))
            observe(self, items, received_at)

        patch.setattr(Learner, "observe_many", count)
        world.send(*arrivals)
    return runs


def with_more(script: list[Step], data: st.DataObject) -> list[Step]:
    """A script in which people also do what hardly anybody asks for, and nothing is without a time."""
    everybody = sorted({arrival.identities for step in script for arrival in step.arrivals if arrival.identities})
    more: list[Step] = []
    for number, step in enumerate(script):
        arrivals = [copy_of(arrival) for arrival in step.arrivals]
        plain = everybody and not step.definitions and not step.erased and step.move is None
        for index in range(data.draw(st.integers(0, 3)) if plain else 0):
            who = data.draw(st.sampled_from(everybody))
            attributes = data.draw(st.sampled_from([{"a": 1}, {"a": "x", "b": 2.5}, {}, {"a": None}]))
            at = step.at - data.draw(st.sampled_from([0, 1, 3_600_000, -5, -2 * 86_400_000]))
            backfill = data.draw(st.booleans())
            arrival = happened(
                attributes, "Passed by", who, id_=f"p{number}.{index}", occurred_at=at, backfill=backfill
            )
            arrivals.insert(data.draw(st.integers(0, len(arrivals))), arrival)
        for arrival in arrivals:
            arrival.occurred_at = step.at if arrival.occurred_at is None else arrival.occurred_at
        more.append(msgspec.structs.replace(step, arrivals=arrivals))
    return more


def performed(simulation: Simulation, script: list[Step]) -> list[Step]:
    """Perform what can be; return that. Who was to be erased may be somebody else by what was added."""
    done: list[Step] = []
    for step in script:
        there = simulation.store.contacts([step.erased]).get(step.erased) if step.erased else None
        if step.erased and (there is None or there.merged_into or there.erased_at):
            continue
        perform(simulation, [step])
        done.append(step)
    return done


@pytest.mark.usefixtures("short_chains")
@examples(60)
@given(scenarios(), st.data())
def test_made_ready_or_not_comes_to_the_same(scenario: Scenario, data: st.DataObject):
    """Also when they were made ready by definitions that are not in force any more, and among others in a batch."""
    simulation = Simulation(MemoryStore(), START)
    script = performed(simulation, with_more(played(scenario)[1], data))
    again = Simulation(MemoryStore(), START)
    preparer = Preparer({})
    direct = 0
    for step in gathered(script, data):
        perform(again, [msgspec.structs.replace(step, arrivals=[])])
        if data.draw(st.booleans(), "the definitions in force are known"):
            preparer = preparer_of(again)
        direct += sum(taken_at_once(again, *[made_ready(preparer, copy_of(arrival)) for arrival in step.arrivals]))
    event(f"taken in at once: {min(direct, 5)}")
    assert_same(snapshot(again.store), snapshot(simulation.store))
    assert knowledge(again) == knowledge(simulation)


@given(
    st.integers(0, 2**53),
    st.dictionaries(
        st.text(max_size=5), st.one_of(st.text(), st.integers(-(2**63), 2**63), st.floats(), st.booleans())
    ),
)
def test_what_the_log_keeps_is_the_same(position: int, attributes: dict[str, Any]):
    arrival = happened(attributes, "Seen It", id_="äß")
    item = Interaction(
        position=position, received_at=START, occurred_at=START - 5, name="seen it", attributes=attributes,
        source="file", message_id="äß", backfill=True,
    )  # fmt: skip
    made = made_ready(Preparer({}), arrival)
    assert isinstance(made, Prepared)
    assert HEAD + encode(position) + encode(START) + made.tail == encode(item)
    assert encode(made.interaction(position, START)) == encode(item)
    assert made.message_id == "äß"
    assert encode(made.arrival()) == encode(msgspec.structs.replace(arrival, key=made.key))


@pytest.mark.parametrize(
    "arrival",
    [
        happened({"total": "much"}),
        happened({}),
        happened({"total": 1, "more": 2}),
        happened({"total": 1, "at": "one day"}),
        happened({"total": 1, "at": None}),
        happened({"total": 1, "tags": ["a", 1]}),
        happened({"total": 1}, occurred_at=None),
    ],
)
def test_what_is_for_the_engine_to_look_at_is_left_to_it(world, arrival):
    good = [happened({"total": 1}, id_="2"), happened({"total": 2}, id_="3")]
    made = preparer_of(world).prepare([good[0], arrival, good[1]])
    assert [one is None for one in made] == [False, True, False]


def test_text_that_is_a_declared_datetime_becomes_one(world):
    arrivals = [happened({"total": 1, "at": f"2026-01-0{day}T10:00:00Z"}, id_=str(day)) for day in range(1, 4)]
    preparer = preparer_of(world)
    again = Simulation(MemoryStore(), START)
    again.publish([BOUGHT])
    again.send(*[copy_of(arrival) for arrival in arrivals])
    world.send(*[made_ready(preparer, arrival) for arrival in arrivals])
    assert_same(snapshot(world.store), snapshot(again.store))


def test_a_kind_for_each_set_of_attributes(world):
    arrivals = [happened({"total": 1, "tags": ["a"]}), happened({"total": 1}), happened({"total": 2})]
    made = [one for one in preparer_of(world).prepare(arrivals) if one is not None]
    assert [kind.attributes for kind, _ in made] == [("total", "tags"), ("total",), ("total",)]
    assert made[1][0] is made[2][0]


def test_all_but_the_first_of_somebody_new_are_taken_in_at_once(world):
    preparer = preparer_of(world)
    ready = [made_ready(preparer, happened({"total": number}, id_=str(number))) for number in range(10)]
    assert taken_at_once(world, *ready[:5]) == [4]
    assert taken_at_once(world, *ready[5:]) == [5]


def test_somebody_of_several_identities_too(world):
    preparer = preparer_of(world)
    both = (*ANN, ("email", "ann@example.com"))
    ready = [made_ready(preparer, happened({"total": 1}, identities=both, id_=str(number))) for number in range(4)]
    assert taken_at_once(world, *ready) == [3]


def test_a_name_that_nobody_defined_once_it_is_known(world):
    preparer = Preparer({})
    ready = [made_ready(preparer, happened({"a": 1}, "Seen", id_=str(number))) for number in range(4)]
    assert taken_at_once(world, *ready[:2]) == []
    assert taken_at_once(world, *ready[2:]) == [2]
    assert world.engine.learner.knowledge("seen").spelling == "Seen"  # type: ignore[union-attr]


@pytest.mark.parametrize("backfill", [False, True])
def test_what_a_journey_waits_for_is_looked_at_unless_it_is_history(world, backfill):
    world.publish([journey({"later": wait("1d")}, on="Line Bought")])
    preparer = preparer_of(world)
    ready = [
        made_ready(preparer, happened({"total": 1}, id_=str(number), occurred_at=START, backfill=backfill))
        for number in range(3)
    ]
    assert taken_at_once(world, *ready) == ([2] if backfill else [])
    runs = [run for contact in world.store.scan() for run in contact.runs.values()]
    assert bool(runs) != backfill


def test_definitions_that_changed_meanwhile_are_asked_again(world):
    preparer = preparer_of(world)
    ready = [made_ready(preparer, happened({"total": number}, id_=str(number))) for number in range(3)]
    world.publish([BOUGHT | {"attributes": {"total": {"type": "string"}}}])
    outcomes = world.send(*ready)
    assert [outcome.problem.code for outcome in outcomes if isinstance(outcome, Refused)] == ["wrong_type"] * 3


def test_the_erased_stay_so(world):
    preparer = preparer_of(world)
    ready = [made_ready(preparer, happened({"total": number}, id_=str(number))) for number in range(3)]
    world.send(ready[0])
    (contact,) = world.store.scan()
    world.engine.erase(contact.id)
    outcomes = world.send(*ready[1:])
    assert [outcome.problem.code for outcome in outcomes if isinstance(outcome, Refused)] == ["erased"] * 2
