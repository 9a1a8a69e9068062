"""What holds for any workspace and whatever happens in it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from parcours.core.effects import What
from parcours.definitions.load import load_data
from parcours.runtimes import engine as engine_module
from parcours.runtimes.engine import Accepted, Duplicate, Engine
from parcours.runtimes.simulation import Simulation
from parcours.stores.memory import MemoryStore
from parcours.stores.sqlite import SqliteStore
from parcours.testing.snapshot import Snapshot, replay, snapshot
from parcours.testing.strategies import (
    START,
    Scenario,
    Step,
    copy_of,
    definitions,
    perform,
    play,
    scenarios,
)
from tests.core.invariants import check_invariants
from tests.profiles import examples


def played(scenario: Scenario) -> tuple[Simulation, list[Step]]:
    """A scenario as it happens in a memory store, move by move: what everything else is compared with."""
    simulation = Simulation(MemoryStore(), START)
    return simulation, play(simulation, scenario)


def performed(script: list[Step]) -> Snapshot:
    simulation = Simulation(MemoryStore(), START)
    perform(simulation, script)
    return snapshot(simulation.store)


def assert_same(found: Snapshot, expected: Snapshot) -> None:
    """Compare part by part, for a difference is easier read so."""
    for part in Snapshot.__struct_fields__:
        assert getattr(found, part) == getattr(expected, part), part


@examples(50)
@given(definitions())
def test_the_workspaces_that_are_drawn_are_valid(workspace: list[dict[str, object]]):
    _, errors, _ = load_data(workspace)
    assert errors == []


@examples(60)
@given(scenarios())
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
@given(scenarios())
def test_replaying_the_log_gives_the_same_states_and_traces(scenario: Scenario):
    simulation, _ = played(scenario)
    live = snapshot(simulation.store)
    assert_same(snapshot(replay(live.records, simulation.clock.now())), live)


@examples(40)
@given(scenarios(), st.data())
def test_any_batching_of_the_same_inputs_gives_the_same_result(scenario: Scenario, data: st.DataObject):
    simulation, script = played(scenario)
    batched: list[Step] = []
    for step in script:
        before = batched[-1] if batched else None
        gathers = before is not None and step.arrivals and before.arrivals and not step.definitions
        if gathers and before is not None and before.at == step.at and data.draw(st.booleans()):
            before.arrivals.extend(step.arrivals)
        else:
            batched.append(Step(step.at, list(step.arrivals), step.definitions))
    event(f"batches: {len(batched) * 100 // max(len(script), 1) // 10 * 10} % of the steps")
    assert_same(performed(batched), snapshot(simulation.store))


@examples(40)
@given(scenarios(), st.data())
def test_repeats_change_nothing(scenario: Scenario, data: st.DataObject):
    simulation, script = played(scenario)
    again = Simulation(MemoryStore(), START)
    accepted = {}
    for step in script:
        perform(again, [Step(step.at, [], step.definitions)])
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
    assert_same(snapshot(often.store), expected)
    rarely = Simulation(MemoryStore(), START)
    engine = rarely.engine
    for step in script:
        rarely.clock.set(step.at)
        if step.definitions:
            rarely.publish(step.definitions)
        if step.arrivals:
            engine.accept([copy_of(arrival) for arrival in step.arrivals])
        if not never:
            engine.tick()
    rarely.advance(rarely.clock.now())
    assert_same(snapshot(rarely.store), expected)


@examples(40)
@given(scenarios())
def test_a_restart_after_any_step_changes_nothing(scenario: Scenario):
    simulation, script = played(scenario)
    again = Simulation(MemoryStore(), START)
    for step in script:
        perform(again, [step])
        again.engine = Engine(again.store, again.clock)
    assert_same(snapshot(again.store), snapshot(simulation.store))


@examples(40)
@given(scenarios(), st.integers(0, 3))
def test_the_sqlite_store_equals_the_memory_store(scenario: Scenario, hold: int):
    """The store lets go of contacts at once or holds a few, and is closed and opened again in the middle."""
    simulation, script = played(scenario)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"
        middle = len(script) // 2
        for part, start in ((script[:middle], START), (script[middle:], script[middle].at)):
            store = SqliteStore(path, hold=hold)
            again = Simulation(store, start)
            perform(again, part)
            found = snapshot(store)
            assert {**store.marks()} == {**store.marks()}
            store.close()
        assert_same(found, snapshot(simulation.store))
        assert dict(store.marks()) == dict(simulation.store.marks())


@pytest.mark.parametrize("size", [1, 2])
def test_slices_of_timers_and_of_readings_change_nothing(size: int, monkeypatch: pytest.MonkeyPatch):
    @examples(20)
    @given(scenarios())
    def check(scenario: Scenario) -> None:
        with monkeypatch.context() as patch:
            simulation, script = played(scenario)
            patch.setattr(engine_module, "LARGEST_TICK", size)
            patch.setattr(engine_module, "SLICE", size)
            assert_same(performed(script), snapshot(simulation.store))

    check()


def test_scenarios_come_to_something():
    """The strategies are worth their time only if what they draw meets the rules: every kind of decision is reached."""
    met: set[str] = set()
    reasons: set[str] = set()

    @examples(150)
    @given(scenarios())
    def look(scenario: Scenario) -> None:
        simulation, _ = played(scenario)
        for _, _, _, what, reason in simulation.store.statistics():
            met.add(what)
            reasons.add(reason)

    look()
    assert met == {value for name, value in vars(What).items() if name.isupper()}
    assert {"timeout", "waited", "then", "else", "max_duration", "finished", "no_consent"} <= reasons
