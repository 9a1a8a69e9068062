"""Explanations tell of the life of a journey: pauses, entries held or refused meanwhile, moves to another version."""

from __future__ import annotations

from typing import Any

from parcours.core.inputs import Move
from parcours.runtimes.explain import Explanation, explain, past_of
from tests.core.world import World, email, journey, ms, send, wait

STEPS = {"a": wait("1d", next="b"), "b": send("m")}
LIVE = journey(STEPS)
PAUSED = LIVE | {"state": "paused"}


STANDS = (
    "The run stands at 'a' since 2026-03-02T09:00:00Z. The journey is paused since 2026-03-02T10:00:00Z, and nothing moves "
    "until that is over;"
)


def told(world: World, who: str, at: int | None = None) -> Explanation:
    past = past_of(world.store, world.id_of(who))
    return explain(past, world.run.engine.plan, "j", world.now if at is None else at)


def world_of(*definitions: dict[str, Any]) -> World:
    world = World(email("m"), {"kind": "interaction", "name": "Go"}, *definitions)
    for who in ("ann", "bob"):
        world.knows(who)
    return world


def test_a_run_waits_because_the_journey_is_paused():
    world = world_of(LIVE)
    world.did("ann", "Go")
    world.after("1h")
    world.publish(PAUSED)
    world.after("1h")
    found = told(world, "ann")
    assert found.because == [
        "At 2026-03-02T09:00:00Z 'Go' let the contact in.",
        "At 2026-03-02T10:00:00Z the journey was paused: nothing of the run moves until that is over.",
        f"{STANDS} what it waits for by itself is over at 2026-03-03T09:00:00Z.",
    ]
    assert [(one.paused, one.until) for one in found.standing] == [(world.now - ms("1h"), world.now + ms("22h"))]
    assert [moment.what for moment in found.moments] == ["Go", "paused"]
    assert [state.state for state in found.states] == ["live", "paused"]
    world.after("2d")
    assert told(world, "ann").because[-1].endswith("what it waits for by itself was over at 2026-03-03T09:00:00Z.")
    # And as it was before that.
    assert told(world, "ann", at=world.now - ms("2d1h30m")).because[-1].endswith("waits until 2026-03-03T09:00:00Z.")
    world.publish(LIVE)
    assert told(world, "ann").because[2:] == [
        "At 2026-03-04T11:00:00Z the journey was no longer paused, and the run goes on.",
        "At 2026-03-04T11:00:00Z it left 'a' by 'waited'.",
        "At 2026-03-04T11:00:00Z the message 'm' was sent at 'b'.",
        "At 2026-03-04T11:00:00Z ended: finished.",
    ]


def test_an_entry_is_held_and_let_in():
    world = world_of(PAUSED)
    world.after("1h")
    world.did("ann", "Go")
    world.after("1h")
    assert told(world, "ann").because == [
        "The contact never entered 'j'.",
        "At 2026-03-02T10:00:00Z 'Go' would have let it in: the journey was paused, and the entry is held.",
        "The journey is not live: its state is 'paused' since 2026-03-02T09:00:00Z.",
    ]
    world.publish(LIVE)
    assert told(world, "ann").because == [
        "At 2026-03-02T10:00:00Z 'Go' would have let the contact in: the journey was paused, and the entry is held.",
        "At 2026-03-02T11:00:00Z the entry of 2026-03-02T10:00:00Z ('Go'), held while the journey was paused, was let in.",
        "The run stands at 'a' since 2026-03-02T11:00:00Z and waits until 2026-03-03T11:00:00Z.",
    ]


def test_each_of_several_entries_that_were_held_is_told_with_its_own_time():
    by_order = {"entry": {"type": "interaction", "interaction": "Go", "key": "order"}}
    world = world_of(PAUSED | by_order)
    for order in ("x", "y", "x"):
        world.after("1h")
        world.did("ann", "Go", order=order)
    world.publish(LIVE | by_order | {"re_entry": "never"})
    found = told(world, "ann").because
    assert "At 2026-03-02T12:00:00Z the entry of 2026-03-02T10:00:00Z ('Go'), held" in found[3]
    assert "At 2026-03-02T12:00:00Z the entry of 2026-03-02T11:00:00Z ('Go'), held" in found[4]
    assert found[5] == (
        "At 2026-03-02T12:00:00Z an entry that had been held would have let the contact in again, and was refused: "
        "entered_before (key 'x', it entered at 2026-03-02T12:00:00Z)."
    )


def test_an_entry_that_was_held_is_refused_when_the_journey_is_closed():
    world = world_of(PAUSED)
    world.after("1h")
    world.did("ann", "Go")
    world.after("1h")
    world.publish(LIVE | {"state": "closed"})
    assert told(world, "ann").because == [
        "The contact never entered 'j'.",
        "At 2026-03-02T11:00:00Z an entry that had been held would have let it in, and was refused: the journey is closed.",
        "At 2026-03-02T10:00:00Z 'Go' would have let it in: the journey was paused, and the entry is held.",
        "The journey is not live: its state is 'closed' since 2026-03-02T11:00:00Z.",
    ]


def test_an_entry_is_discarded_while_the_journey_is_paused():
    world = world_of(PAUSED | {"on_pause": "discard"})
    world.did("ann", "Go")
    assert told(world, "ann").because[1] == (
        "At 2026-03-02T09:00:00Z 'Go' would have let it in, and was refused: the journey was paused, and entries are "
        "discarded meanwhile."
    )


def test_it_is_said_when_a_journey_let_nobody_in():
    world = world_of(LIVE)
    world.after("1h")
    world.publish(LIVE | {"state": "closed"})
    world.after("1h")
    world.did("bob", "Go")
    world.after("1h")
    world.publish(LIVE)
    assert told(world, "bob").because == [
        "The contact never entered 'j'.",
        "The journey was closed from 2026-03-02T10:00:00Z to 2026-03-02T12:00:00Z, and nobody entered.",
        "Nothing that could let it in was recorded.",
        "The journey is entered by 'Go'.",
    ]


def test_a_run_is_moved():
    world = world_of(LIVE)
    world.did("ann", "Go")
    world.after("1h")
    world.publish(journey({"x": wait("2d", next="a"), "a": wait("3d", next="b"), "b": send("m")}))
    world.run.move(Move("j", 1, 2, {"a": "x"}))
    found = told(world, "ann")
    assert found.because == [
        "At 2026-03-02T09:00:00Z 'Go' let the contact in.",
        "At 2026-03-02T10:00:00Z the run was moved from version 1 to 2, from 'a' to 'x'.",
        "The run stands at 'x' since 2026-03-02T09:00:00Z and waits until 2026-03-03T09:00:00Z.",
    ]
    assert [moment.what for moment in found.moments] == ["Go", "moved"]
    assert found.standing[0].version == 2
    world.did("bob", "Go")
    world.after("1h")
    world.publish(journey({"x": wait("9d", next="b"), "b": send("m")}))
    world.run.move(Move("j", 2, 3, {}))
    assert told(world, "bob").because[1] == (
        "At 2026-03-02T11:00:00Z the run was moved from version 2 to 3, and stays at 'x'."
    )


def test_runs_of_several_keys_are_paused_together_and_that_is_said_once():
    world = world_of(LIVE | {"entry": {"type": "interaction", "interaction": "Go", "key": "order"}})
    for order in ("x", "y"):
        world.did("ann", "Go", order=order)
    world.after("1h")
    world.publish(PAUSED | {"entry": {"type": "interaction", "interaction": "Go", "key": "order"}})
    found = told(world, "ann").because
    assert sum("was paused" in said for said in found) == 1
    assert [said.split(" stands")[0] for said in found[-2:]] == ["The run (x)", "The run (y)"]


def test_a_call_and_a_step_that_fails_are_named():
    note = {"type": "record", "interaction": "Go", "next": "end"}
    call = {"type": "webhook", "url": "https://api.example/x", "next": "note"}
    world = World(journey({"call": call, "note": note, "end": {"type": "end"}}, on="Go"))
    world.did("ann", "Go")
    because = told(world, "ann").because
    assert because[1] == "At 2026-03-02T09:00:00Z the call of 'call' was decided."
    why = "it made the same happen 100 times without a wait in between"
    assert f"At 2026-03-02T09:00:00Z 'note' failed, and the run ended: endless_chain ({why})." in because
