"""What holds for any workspace and whatever happens in it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import event, given, seed
from hypothesis import strategies as st

from parcours.core.effects import OF_LOYALTY, OF_REWARDS, What
from parcours.core.gate import Happened
from parcours.core.learned import CONTACTS, Knowledge
from parcours.definitions.load import load_data
from parcours.runtimes.engine import Accepted, Duplicate, Engine
from parcours.runtimes.simulation import Simulation
from parcours.stores import sqlite
from parcours.stores.memory import MemoryStore
from parcours.stores.sqlite import SqliteStore
from parcours.testing.faults import copy_store
from parcours.testing.snapshot import EVERYTHING, Snapshot, by_contact, replay, snapshot
from parcours.testing.strategies import (
    START,
    Comes,
    Lives,
    Moves,
    Passes,
    Publishes,
    Scenario,
    Step,
    copy_of,
    definitions,
    messages,
    perform,
    perform_late,
    play,
    scenarios,
)
from tests.core.invariants import check_invariants, entries_counted, erased, traces_counted
from tests.profiles import examples

pytestmark = pytest.mark.usefixtures("short_chains")


def played(scenario: Scenario) -> tuple[Simulation, list[Step]]:
    """A scenario as it happens in a memory store, move by move: what everything else is compared with."""
    simulation = Simulation(MemoryStore(), START)
    return simulation, play(simulation, scenario)


def performed(script: list[Step]) -> Snapshot:
    simulation = Simulation(MemoryStore(), START)
    perform(simulation, script)
    return snapshot(simulation.store)


def gathered(script: list[Step], data: st.DataObject) -> list[Step]:
    """The same script with some arrivals of one instant together in one batch."""
    batched: list[Step] = []
    for step in script:
        before = batched[-1] if batched else None
        together = before is not None and before.arrivals and step.arrivals and before.at == step.at
        if before is not None and together and data.draw(st.booleans()):
            before.arrivals.extend(step.arrivals)
        else:
            batched.append(msgspec.structs.replace(step, arrivals=list(step.arrivals)))
    return batched


_TRIED: dict[str, Any] = {
    "kind": "journey",
    "name": "k",
    "entry": {"type": "interaction", "interaction": "Go"},
    "goals": [{"name": "pays", "interaction": "Paid"}],
    "start": "draw",
    "steps": {
        "draw": {"type": "experiment", "branches": [{"name": "a", "next": "ways"}]},
        "ways": {"type": "fork", "branches": ["one", "other"]},
        "one": {"type": "wait", "for": "1h", "next": "together"},
        "other": {"type": "wait", "for": "3h", "next": "together"},
        "together": {"type": "join", "next": "write"},
        "write": {"type": "update", "set": {"age": {"from": "interaction", "attribute": "total"}}},
    },
}


SELDOM = Scenario(
    [
        {
            "kind": "workspace",
            "policy": {"quiet_hours": {"from": "08:30", "to": "08:00", "transactional": True}},
            "contacts": {"attributes": {"age": {"type": "number"}}},
        },
        *messages(),
        {
            "kind": "journey",
            "name": "j",
            "entry": {"type": "interaction", "interaction": "Go"},
            "goals": [{"name": "pays", "interaction": "Paid", "within": "7d"}],
            "start": "s",
            "steps": {"s": {"type": "send", "messages": ["card"]}},
        },
        _TRIED,
    ],
    [],
    [
        *(Comes(Happened(name, {"total": "no number"}), (("user_id", "ann"),), 0) for name in ("Go", "Paid")),
        Comes(Happened("Go", {}), (("user_id", "bob"),), 7 * 3_600_000),
        Lives(1, {"state": "paused"}),
        Lives(1, {"state": "live"}),
        Publishes([_TRIED | {"max_duration": "80d"}]),
        Passes(2 * 3_600_000),
        # Each step of the one to the one of its name in the other, both in alphabetical order.
        Moves(1, 0, 1, [0, 1, 2, 3, 4, 5]),
        Passes(2 * 3_600_000),
        Lives(0, {"state": "stopped"}),
    ],
)
"""What is met once in some hundred times when it is drawn: a message that quiet hours hold, goals, somebody late, an
experiment that is won, ways that meet again, a pause, a move, an update that is not made, a message that is
cancelled."""


def marks(simulation: Simulation) -> dict[str, str]:
    """All marks but how much of the log is in the stored knowledge, which a start changes."""
    return {name: value for name, value in simulation.store.marks().items() if name != "learned"}


def knowledge(simulation: Simulation) -> dict[str, Knowledge | None]:
    learner = simulation.engine.learner
    return {name: learner.knowledge(name) for name in (*learner.names(), CONTACTS)}


def assert_same(found: Snapshot, expected: Snapshot, *, places: bool = True) -> None:
    """Compare part by part, for a difference is easier read so.

    Without `places`, those in the log are compared within each contact only.
    """
    if not places:
        found, expected = by_contact(found), by_contact(expected)
    for part in Snapshot.__struct_fields__:
        assert getattr(found, part) == getattr(expected, part), part


@examples(50)
@given(definitions())
def test_the_workspaces_that_are_drawn_are_valid(workspace: list[dict[str, object]]):
    _, errors, _ = load_data(workspace)
    assert errors == []


@examples(60)
@given(scenarios(loyalty=True))
def test_invariants_hold_after_every_move(scenario: Scenario):
    simulation, script = played(scenario)
    again = Simulation(MemoryStore(), START)
    for step in script:
        perform(again, [step])
        check_invariants(snapshot(again.store), again.engine.plan)
    assert_same(snapshot(again.store), snapshot(simulation.store))
    for _, _, _, what, _ in simulation.store.statistics():
        event(f"trace: {what}")


@examples(60)
@given(scenarios(loyalty=True))
def test_replaying_the_log_gives_the_same_states_and_traces(scenario: Scenario):
    """Of who was erased, a replay makes nothing: no trace, no message, and none of what was counted of them."""
    simulation, _ = played(scenario)
    live = snapshot(simulation.store)
    again = snapshot(replay(live.records, simulation.clock.now()))
    if erased(live):
        live.statistics = traces_counted(live)
        live.days = entries_counted(live)
        live.outbox = {place: count for place, count in live.outbox.items() if place[2] != "cancelled"}
    assert_same(again, live)


@examples(40)
@given(scenarios(loyalty=True), st.data())
def test_any_batching_of_the_same_inputs_gives_the_same_result(scenario: Scenario, data: st.DataObject):
    simulation, script = played(scenario)
    assert_same(performed(gathered(script, data)), snapshot(simulation.store), places=False)


@examples(40)
@given(scenarios(loyalty=True), st.data())
def test_repeats_change_nothing(scenario: Scenario, data: st.DataObject):
    simulation, script = played(scenario)
    again = Simulation(MemoryStore(), START)
    accepted = {}
    for step in script:
        perform(again, [msgspec.structs.replace(step, arrivals=[])])
        if step.arrivals:
            outcomes = again.send(*[copy_of(arrival) for arrival in step.arrivals])
            for arrival, outcome in zip(step.arrivals, outcomes, strict=True):
                if isinstance(outcome, Accepted):
                    accepted[arrival.message_id] = arrival
        if accepted and data.draw(st.booleans()):
            arrival = data.draw(st.sampled_from(sorted(accepted.values(), key=lambda item: item.message_id)))
            repeat = copy_of(arrival)
            repeat.occurred_at = again.clock.now() - 1  # nothing but source and message id tells a repeat
            assert again.send(repeat, repeat) == [Duplicate(), Duplicate()]
    assert_same(snapshot(again.store), snapshot(simulation.store))


@examples(40)
@given(scenarios(publishing=False), st.booleans())
def test_timers_fired_late_in_one_go_are_as_if_fired_one_by_one(scenario: Scenario, never: bool):
    """Often: the clock stops at each full hour. Rarely: timers fire when an input of the contact comes, or at the end."""
    simulation, script = played(scenario)
    expected = snapshot(simulation.store)
    often = Simulation(MemoryStore(), START)
    for step in script:
        while often.clock.now() + 3_600_000 < step.at:
            often.advance(often.clock.now() + 3_600_000)
        perform(often, [step])
    assert_same(snapshot(often.store), expected, places=False)
    rarely = Simulation(MemoryStore(), START)
    perform_late(rarely, script, never=never)
    assert_same(snapshot(rarely.store), expected, places=False)


@examples(40)
@given(scenarios(loyalty=True))
def test_a_restart_after_any_step_changes_nothing(scenario: Scenario):
    simulation, script = played(scenario)
    again = Simulation(MemoryStore(), START)
    for step in script:
        perform(again, [step])
        again.engine = Engine(again.store, again.clock)
    assert_same(snapshot(again.store), snapshot(simulation.store), places=False)


@examples(60)
@given(scenarios(loyalty=True), st.data())
def test_the_sqlite_store_equals_the_memory_store(scenario: Scenario, data: st.DataObject):
    """With everything that is put off in it (states, keys, memory) put off for any length, and killed at any time."""
    simulation, script = played(scenario)
    script = gathered(script, data)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite, "SMALL_BATCH", data.draw(st.integers(0, 2), "states of so many are written at once"))
        patch.setattr(sqlite, "LONGEST_BEHIND", data.draw(st.integers(1, 10), "inputs a state may lack"))
        patch.setattr(sqlite, "SLICE", data.draw(st.integers(1, 10), "keys that wait"))
        patch.setattr(Engine, "PART", data.draw(st.integers(1, 3), "contacts that are written at once"))
        hold = data.draw(st.integers(0, 3), "contacts in memory")
        path = Path(folder) / "0.db"
        again = Simulation(SqliteStore(path, hold=hold), START)
        for number, step in enumerate(script, 1):
            perform(again, [step])
            end = data.draw(st.sampled_from(["", "", "", "kill", "close"]))
            if end:
                path = path.with_name(f"{number}.db")
                if end == "close":
                    again.store.close()
                copy_store(again.store, path)
                if end == "kill":
                    again.store.close()
                again = Simulation(SqliteStore(path, hold=hold), step.at)
        assert_same(snapshot(again.store), snapshot(simulation.store), places=False)
        assert marks(again) == marks(simulation)
        assert again.store.tombstones() == simulation.store.tombstones()
        assert knowledge(again) == knowledge(simulation)
        seen = [record.key for record in simulation.store.log(limit=EVERYTHING)]
        assert again.store.seen(seen) == set(seen)
        again.store.close()


@pytest.mark.parametrize("size, part", [(1, 1), (2, 2), (1_000, 1)])
def test_slices_of_timers_and_of_readings_change_nothing(size: int, part: int, monkeypatch: pytest.MonkeyPatch):
    @examples(20)
    @given(scenarios(loyalty=True))
    def check(scenario: Scenario) -> None:
        with monkeypatch.context() as patch:
            simulation, script = played(scenario)
            patch.setattr(Engine, "LARGEST_TICK", size)
            patch.setattr(Engine, "SLICE", size)
            patch.setattr(Engine, "PART", part)
            assert_same(performed(script), snapshot(simulation.store), places=False)

    check()


def test_scenarios_come_to_something():
    """The strategies are worth their time only if what they draw meets the rules: every kind of decision is reached."""
    met: set[str] = set()
    reasons: set[str] = set()
    suppressed: set[bool] = set()

    @examples(300)
    @seed(1)
    @given(scenarios())
    def look(scenario: Scenario) -> None:
        simulation, _ = played(scenario)
        met.update(what for _, _, _, what, _ in simulation.store.statistics())
        reasons.update(reason for _, _, _, _, reason in simulation.store.statistics())
        suppressed.update(stone.suppressed for stone in simulation.store.tombstones().values())

    look()
    simulation, _ = played(SELDOM)
    met.update(what for _, _, _, what, _ in simulation.store.statistics())
    assert "erased" in reasons
    assert suppressed == {True, False}
    # What loyalty decides is reached in scenarios of its own: `test_loyalty_properties`.
    assert met == {value for name, value in vars(What).items() if name.isupper()} - OF_LOYALTY - OF_REWARDS
