"""Moving runs from one version to another: what becomes of where they stand, and what is said before."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from parcours.core.effects import What
from parcours.core.figures import figures, waiting
from parcours.core.inputs import Move
from parcours.core.trials import results
from parcours.definitions.load import dump
from parcours.runtimes.simulation import Simulation
from parcours.stores.memory import MemoryStore
from parcours.testing.snapshot import EVERYTHING
from parcours.testing.strategies import START, Scenario, play, scenarios
from tests.core.test_life import assert_replays
from tests.core.world import END, World, email, journey, send, wait, wait_for
from tests.profiles import examples

ONE = {"w": wait("2d", next="s"), "s": send("a", next="l"), "l": wait_for("Paid", next="e"), "e": END}


def a_world(two: dict[str, Any], **more: Any) -> World:
    world = World(journey(ONE, max_duration="10d"), email("a", purpose="transactional"))
    world.knows("ann")
    world.did("ann", "Go")
    world.after("1d")
    world.publish(dump(world.run.engine.plan.workspace.journeys["j"]) | {"steps": two, "start": next(iter(two))} | more)
    return world


def move(world: World, **steps: str) -> list[str]:
    found = world.run.move(Move("j", 1, 2, steps))
    assert_replays(world)
    return [problem.code for problem in found.errors]


def test_who_waits_keeps_the_instant_and_goes_on_in_the_other_version():
    world = a_world({"pause": wait("9d", next="t"), "t": send("a", next="e"), "e": END})
    assert move(world) == ["missing_step"]
    assert [run.version for run in world.runs("ann")] == [1]
    assert move(world, w="pause") == []
    (run,) = world.runs("ann")
    assert (run.version, run.tokens[0].step) == (2, "pause")
    world.after("1d-1s")
    assert world.sent("ann") == []
    world.after("1s")
    assert world.sent("ann") == ["a"]
    assert world.path("ann") == ["w", "pause", "t", "e"]
    assert world.reasons("ann", What.MOVED) == ["pause"]


def test_a_step_of_the_same_name_needs_no_mapping():
    world = a_world({"w": wait("9d", next="e"), "e": END})
    assert move(world) == []
    world.after("1d")
    assert world.runs("ann") == []


def test_a_wait_that_had_no_time_gets_one_from_now_on():
    world = a_world({"w": wait("1d", next="e"), "e": END})
    world.after("1d")
    assert world.runs("ann")[0].tokens[0].step == "l"
    assert move(world, l="w") == []
    world.after("1d-1s")
    assert len(world.runs("ann")) == 1
    world.after("1s")
    assert world.runs("ann") == []


def test_from_a_step_that_does_not_wait_they_go_on_at_once():
    world = a_world({"s": send("a", next="e"), "e": END})
    found = world.run.move(Move("j", 1, 2, {"w": "s"}))
    assert [problem.code for problem in found.warnings] == ["goes_on"]
    assert world.sent("ann") == ["a"]
    assert world.runs("ann") == []


def test_a_run_ends_when_the_time_of_the_new_version_is_up():
    world = a_world({"w": wait("30h", next="e"), "e": END}, max_duration="36h")
    assert move(world) == []
    world.after("12h-1s")
    assert len(world.runs("ann")) == 1
    world.after("1s")
    assert world.reasons("ann", What.ENDED) == ["max_duration"]


def test_what_is_wrong_with_a_move_is_said_all_at_once():
    world = a_world({"w": wait("9d", next="e"), "e": END})
    assert move(world, q="w", w="x", l="e") == ["unknown_step", "unknown_step"]
    engine = world.run.engine
    assert [one.pointer for one in engine.move(Move("j", 7, 2, {})).errors] == ["/from"]
    assert [one.code for one in engine.move(Move("j", 1, 1, {})).errors] == ["same_version"]
    world.publish(dump(engine.plan.workspace.journeys["j"]) | {"state": "paused"})
    assert move(world) == ["paused"]


@pytest.mark.usefixtures("short_chains")
@examples(60)
@given(scenarios())
def test_who_waits_where_follows_from_the_counts(scenario: Scenario):
    """However runs are entered, moved, merged, stopped or erased: no contact is looked at for it."""
    simulation = Simulation(MemoryStore(), START)
    play(simulation, scenario)
    plan, counts = simulation.engine.plan, simulation.store.statistics()
    stand: dict[tuple[str, int, str], int] = {}
    running: dict[str, int] = {}
    for contact in simulation.store.scan(limit=EVERYTHING):
        for name, runs in contact.runs.items():
            for run in runs.values():
                if run.test:
                    continue
                running[name] = running.get(name, 0) + 1
                for token in run.tokens:
                    place = (name, run.version, token.step)
                    stand[place] = stand.get(place, 0) + 1
    for name, versions in plan.journeys.items():
        assert figures(list(versions.values()), counts).running == running.get(name, 0)
        for version, compiled in versions.items():
            found = waiting(compiled, counts)
            assert found == {step: count for (j, v, step), count in stand.items() if (j, v) == (name, version)}


def test_runs_are_counted_where_they_are_and_goals_among_those_that_came():
    goals = [{"name": "paid", "interaction": "Paid"}]
    test = {"type": "experiment", "branches": [{"name": "a", "next": "w"}, {"name": "b", "next": "w"}]}
    world = World(journey({"x": test, "w": wait("9d")}, goals=goals))
    for who in ("ann", "bob", "cyd"):
        world.knows(who)
        world.did(who, "Go")
    world.did("cyd", "Paid")
    world.publish(journey({"x": test, "w": wait("8d")}, goals=goals))
    world.did("dan", "Go")
    assert move(world) == []
    for who in ("ann", "bob", "dan"):
        world.did(who, "Paid")
    versions, counts = world.run.engine.plan.journeys["j"], world.store.statistics()
    one, two = (figures([versions[number]], counts) for number in (1, 2))
    assert (one.entered, one.moved_out, one.moved_in, one.running) == (3, 3, 0, 0)
    assert (two.entered, two.moved_out, two.moved_in, two.running) == (1, 0, 3, 4)
    assert (one.goals[0].reached, two.goals[0].reached) == (1, 3)
    assert (one.goals[0].rate.value, two.goals[0].rate.value) == (1 / 3, 3 / 4)
    both = figures(versions.values(), counts)
    assert (both.entered, both.moved_out, both.moved_in, both.running) == (4, 0, 0, 4)
    own = {(step, what, reason): n for (_, version, step, what, reason), n in counts.items() if version == 2}
    (result,) = results("x", versions[2].definition.steps["x"], ["paid"], own)
    assert sum(variant.runs for variant in result.variants) == 4
    assert sum(variant.reached for variant in result.variants) == 3
    world.after("9d")
    assert [figures([versions[number]], world.store.statistics()).running for number in (1, 2)] == [0, 0]
