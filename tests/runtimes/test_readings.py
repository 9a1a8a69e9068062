"""Segments that are read into journeys: at once, at an instant, on a schedule."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from parcours.core.effects import What
from parcours.core.gate import Learned
from parcours.definitions.load import load_data
from parcours.errors import InvalidDefinitionError, StoreError
from parcours.runtimes.engine import Engine
from parcours.runtimes.simulation import Simulation
from parcours.stores.memory import MemoryStore
from parcours.stores.sqlite import SqliteStore
from parcours.testing.faults import FaultyStore
from parcours.testing.snapshot import EVERYTHING, replay, snapshot
from tests.core.world import START, World, instant, journey, ms, wait

LOCALS = {"kind": "segment", "name": "locals", "condition": {"contact": "city", "is": "Bonn"}}
DAILY = {"cron": "0 12 * * *"}


def reads(**entry: Any) -> dict[str, Any]:
    more = entry.pop("more", {})
    return {**journey({"w": wait("1s")}, **more), "entry": {"type": "segment", "segment": "locals", **entry}}


def lives(world: World, who: str, city: str = "Bonn") -> None:
    world.accept(world.arrival(who, Learned({"city": city})))


def entered(world: World, who: str = "ann") -> list[int]:
    return [entry.at - START for entry in world.trace(who, What.ENTERED)]


def test_at_an_instant_everybody_is_read_who_is_a_member_then():
    world = World(LOCALS, reads(at="2026-03-03T10:00:00+01:00"))
    lives(world, "ann")
    world.at("2026-03-03T08:59:59Z")
    assert entered(world) == []
    lives(world, "bob")
    lives(world, "ann", "Ulm")
    world.at("2026-03-03T12:00Z")
    lives(world, "ann")
    world.after("30d")
    assert entered(world) == []
    assert entered(world, "bob") == [ms("24h")]


def test_what_was_past_when_it_was_published_is_never_read():
    world = World(LOCALS)
    lives(world, "ann")
    world.publish(reads(at="2026-03-02T08:00:00Z"))
    world.after("30d")
    assert entered(world) == []


def test_on_a_schedule_all_members_are_read_each_time():
    world = World(LOCALS, reads(schedule=DAILY))
    lives(world, "ann")
    world.after("1d")
    lives(world, "bob")
    world.after("1d")
    assert entered(world) == [ms("3h"), ms("27h")]
    assert entered(world, "bob") == [ms("27h")]


def test_of_new_members_each_is_read_once():
    world = World(LOCALS, reads(schedule=DAILY, members="new"))
    lives(world, "ann")
    world.after("1d")
    lives(world, "bob")
    world.after("3d")
    assert entered(world) == [ms("3h")]
    assert entered(world, "bob") == [ms("27h")]


def test_re_entry_is_asked_at_each_reading():
    world = World(LOCALS, reads(schedule=DAILY, more={"re_entry": "never"}))
    lives(world, "ann")
    world.after("3d")
    assert entered(world) == [ms("3h")]
    assert world.reasons("ann", What.REFUSED) == ["entered_before"] * 2


def test_the_zone_is_the_schedules_own_else_the_journeys_else_the_workspaces():
    workspace = {"kind": "workspace", "zone": "Asia/Tokyo"}
    world = World(
        LOCALS,
        workspace,
        reads(schedule={**DAILY, "zone": "UTC"}, more={"name": "a", "zone": "America/New_York"}),
        reads(schedule=DAILY, more={"name": "b", "zone": "America/New_York"}),
        reads(schedule=DAILY, more={"name": "c"}),
    )
    lives(world, "ann")
    world.after("1d")
    found = {entry.journey: entry.at for entry in world.trace("ann", What.ENTERED)}
    assert found == {
        "a": instant("2026-03-02T12:00Z"),
        "b": instant("2026-03-02T17:00Z"),
        "c": instant("2026-03-03T03:00Z"),
    }


def test_what_was_missed_is_read_once_when_the_service_is_up_again():
    world = World(LOCALS, reads(schedule=DAILY))
    lives(world, "ann")
    world.run.clock.set(START + ms("5d"))
    world.run.engine = Engine(world.store, world.run.clock)
    world.run.advance(START + ms("5d"))
    assert entered(world) == [ms("5d")]
    world.after("1d")
    assert entered(world) == [ms("5d"), ms("5d3h")]


def test_another_schedule_in_a_new_version_begins_anew_and_the_same_goes_on():
    world = World(LOCALS, reads(schedule=DAILY, members="new"))
    lives(world, "ann")
    world.after("1d")
    world.publish(reads(schedule=DAILY, members="new", more={"max_duration": "5d"}))
    world.after("1d")
    assert entered(world) == [ms("3h")]
    world.publish(reads(schedule={"cron": "0 15 * * *"}))
    world.after("1d")
    assert entered(world) == [ms("3h"), ms("54h")]


def test_a_draft_is_not_read():
    world = World(LOCALS, reads(schedule=DAILY))
    lives(world, "ann")
    world.publish({**reads(schedule=DAILY), "state": "draft"})
    world.after("3d")
    assert entered(world) == []


@pytest.mark.parametrize("cut", range(1, 6))
def test_a_reading_that_is_killed_after_any_slice_lets_everybody_in_once(
    tmp_path: Path, cut: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Engine, "SLICE", 3)
    path = tmp_path / "0.db"
    world = World(LOCALS, reads(schedule=DAILY), store=SqliteStore(path))
    for number in range(10):
        lives(world, f"p{number}")
    world.run.clock.set(START + ms("3h"))
    for _ in range(cut):
        world.run.engine.read()
    for file in sorted(tmp_path.glob("0.db*"), reverse=True):
        shutil.copy(file, tmp_path / file.name.replace("0.db", "1.db"))
    world.store.close()
    again = World(store=SqliteStore(tmp_path / "1.db"), start=START + ms("3h"))
    again.run.advance(again.now)
    again.after("1d")
    for number in range(10):
        assert entered(again, f"p{number}") == [ms("3h"), ms("27h")]
    again.store.close()


def test_a_slice_that_is_not_kept_is_read_again():
    store = FaultyStore(MemoryStore())
    world = World(LOCALS, reads(schedule=DAILY), store=store)
    for number in range(3):
        lives(world, f"p{number}")
    world.run.clock.set(START + ms("3h"))
    store.fail("write", StoreError("full"))
    with pytest.raises(StoreError):
        world.run.engine.read()
    world.run.advance(world.now)
    assert [entered(world, f"p{number}") for number in range(3)] == [[ms("3h")]] * 3


def test_a_slice_that_could_not_be_looked_at_is_read_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Engine, "SLICE", 2)
    store = FaultyStore(MemoryStore())
    world = World(LOCALS, reads(schedule=DAILY), store=store)
    for number in range(5):
        lives(world, f"p{number}")
    world.run.clock.set(START + ms("3h"))
    world.run.engine.read()
    store.fail("contacts", StoreError("disk I/O error"))
    with pytest.raises(StoreError):
        world.run.engine.read()
    world.run.advance(world.now)
    assert [entered(world, f"p{number}") for number in range(5)] == [[ms("3h")]] * 5


@pytest.mark.parametrize("method", ["contacts", "write"])
@pytest.mark.parametrize("error", [StoreError("full"), ValueError("a defect")])
def test_of_a_slice_whose_later_part_fails_nothing_is_kept_and_nobody_is_left_out(
    tmp_path: Path, method: str, error: Exception, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Engine, "PART", 2)
    world = World(LOCALS, reads(schedule=DAILY), store=SqliteStore(tmp_path / "0.db"))
    for number in range(6):
        lives(world, f"p{number}")
    world.run.clock.set(START + ms("3h"))
    real, times = getattr(world.store, method), 0

    def fail(*given: Any) -> Any:
        nonlocal times
        times += 1
        if times == {"contacts": 3, "write": 2}[method]:  # a part asks for contacts twice
            raise error
        return real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(world.store, method, fail)
        if isinstance(error, StoreError):
            with pytest.raises(StoreError):
                world.run.engine.read()
            assert [entered(world, f"p{number}") for number in range(6)] == [[]] * 6
        else:
            world.run.engine.read()
    assert times >= 2
    world.run.advance(world.now)
    assert [entered(world, f"p{number}") for number in range(6)] == [[ms("3h")]] * 6
    assert sum(count for place, count in world.store.statistics().items() if place[3] == What.ENTERED) == 6
    world.store.close()


def test_what_was_begun_and_is_not_kept_stays_due_and_is_read_again():
    store = FaultyStore(MemoryStore())
    world = World(LOCALS, journey({"w": wait("1h")}, name="waits"), store=store)
    lives(world, "ann")
    world.did("ann", "Go")
    engine = world.run.engine
    engine.publish([reads()])
    world.run.clock.set(START + ms("1h"))
    for begin in (engine.tick, engine.read):
        store.fail("finish", StoreError("full"))
        assert begin(finish=False) is not None
        with pytest.raises(StoreError):
            engine.finish()
    world.run.advance(START + ms("2h"))
    world.after("1s")
    assert sorted(entry.journey for entry in world.trace("ann", What.ENDED)) == ["j", "waits"]


def test_readings_are_in_the_log_and_a_replay_of_it_comes_to_the_same():
    world = World(LOCALS, reads(schedule=DAILY))
    lives(world, "ann")
    world.after("2d")
    clean = replay(world.store.log(limit=EVERYTHING), world.now)
    assert snapshot(clean).contacts == snapshot(world.store).contacts


@pytest.mark.parametrize(
    "entry, code, pointer",
    [
        ({"at": "2026-03-03"}, "invalid_value", "/definitions/1/entry/at"),
        ({"at": "2026-03-03T10:00:00"}, "invalid_value", "/definitions/1/entry/at"),
        ({"at": "2026-03-03T10:00:00Z", "schedule": DAILY}, "invalid_value", "/definitions/1/entry/at"),
        ({"on": "entered", "schedule": DAILY}, "invalid_value", "/definitions/1/entry/schedule"),
        ({"members": "new"}, "invalid_value", "/definitions/1/entry/members"),
        ({"schedule": {}}, "invalid_value", "/definitions/1/entry/schedule"),
        ({"schedule": {**DAILY, "start": "2026-01-01"}}, "invalid_value", "/definitions/1/entry/schedule/start"),
    ],
)
def test_what_cannot_be_meant_is_refused(entry: dict[str, Any], code: str, pointer: str):
    _, errors, _ = load_data([LOCALS, reads(**entry)])
    assert (code, pointer) in [(problem.code, problem.pointer) for problem in errors]


def test_an_expression_that_cannot_be_read_is_refused_when_it_is_published():
    simulation = Simulation(MemoryStore(), START)
    with pytest.raises(InvalidDefinitionError) as caught:
        simulation.publish([LOCALS, reads(schedule={"cron": "0 25 * * *"})])
    (problem,) = caught.value.problems
    assert (problem.code, problem.pointer) == ("invalid_schedule", "/definitions/1/entry/schedule/cron")
