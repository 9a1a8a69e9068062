"""Explanations: what was recorded, folded anew, gives the trace that was kept, and the reasons that no trace keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcours.runtimes.explain import TooMuchError, explain, past_of
from parcours.runtimes.retelling import Retelling
from parcours.runtimes.simulation import Simulation
from parcours.stores.memory import MemoryStore
from parcours.testing.scenarios import HOSTS, read_scenarios, scenario_files
from parcours.testing.scenarios.running import play as run_steps
from parcours.testing.scenarios.world import World as ScenarioWorld
from parcours.testing.strategies import START, Scenario, play, scenarios
from tests.core.world import World, email, journey, ms, send, wait, wait_for
from tests.profiles import examples

ROOT = Path(__file__).resolve().parents[2]
FILES = scenario_files([ROOT / "examples", ROOT / "tests" / "scenarios"])
RECEIPT = email("receipt", purpose="transactional")
GO = {"kind": "interaction", "name": "Go"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_what_is_folded_anew_gives_the_trace_that_was_kept(file: Path):
    """Whoever listens: nobody, or any of the journeys."""
    for scenario in read_scenarios([file]):
        world = ScenarioWorld(scenario, HOSTS["memory"](scenario.start))
        assert run_steps(world) is None
        for who in scenario.contacts:
            contacts = world.ids_of(who)
            if not contacts:
                continue
            past = past_of(world.host.store, contacts[0])
            for name in ("", *world.engine.plan.journeys):
                life = Retelling(past.publications, past.records, name)
                life.until(world.now)
                for id_ in contacts:
                    kept = world.host.run.trace(id_)
                    assert (life.people[id_].trace if id_ in life.people else []) == kept, (scenario.name, who, name)


def because(world: World, who: str, name: str = "j", at: int | None = None) -> list[str]:
    past = past_of(world.store, world.id_of(who))
    return explain(past, world.run.engine.plan, name, world.now if at is None else at).because


FALSE = "was considered, and the condition at entry was false:"
ENTRY = {"where": {"all": [{"interaction": "total", "at_least": 10}, {"not": {"contact": "city", "is": "Paris"}}]}}


def test_never_entered_for_nothing_came():
    world = World(GO, RECEIPT, journey({"s": send("receipt")}))
    world.knows("ann")
    assert because(world, "ann") == [
        "The contact never entered 'j'.",
        "Nothing that could let it in was recorded.",
        "The journey is entered by 'Go'.",
    ]


def test_never_entered_for_a_part_of_the_condition_was_false():
    world = World(GO, RECEIPT, journey({"s": send("receipt")}, entry=ENTRY))
    world.knows("ann", city="Lyon")
    world.did("ann", "Go", total=9)
    world.after("1h")
    world.knows("ann", city="Paris")
    world.did("ann", "Go", total=10)
    assert because(world, "ann") == [
        "The contact never entered 'j'.",
        f"At 2026-03-02T09:00:00Z 'Go' {FALSE} interaction.total ≥ 10 (it was 9).",
        f'At 2026-03-02T10:00:00Z \'Go\' {FALSE} city is "Paris" (it was "Paris"), which must not be.',
    ]


def test_why_did_she_get_this():
    steps = {
        "listen": wait_for("Stop", after="1d", late="regular"),
        "regular": {"type": "decision", "if": {"did": "Go", "times": {"at_least": 2}, "within": "7d"}, "then": "s"},
        "s": send("receipt", next="w"),
        "w": wait("2d"),
    }
    world = World(GO, RECEIPT, journey(steps, entry=ENTRY, re_entry="after_end"))
    world.knows("ann")
    world.did("ann", "Go", total=12)
    world.did("ann", "Go", total=13)
    world.after("1d")
    assert because(world, "ann") == [
        "At 2026-03-02T09:00:00Z 'Go' let the contact in, for interaction.total ≥ 10 (it was 12); not city is \"Paris\" (it was missing).",
        "At 2026-03-02T09:00:00Z 'Go' would have let the contact in again, and was refused: under_way.",
        "At 2026-03-03T09:00:00Z it left 'listen' by 'timeout'.",
        "At 2026-03-03T09:00:00Z it left 'regular' by 'then' (did \"go\" at least 2 times in 7d (it was 2)).",
        "At 2026-03-03T09:00:00Z the message 'receipt' was sent at 's'.",
        "The run stands at 'w' since 2026-03-03T09:00:00Z and waits until 2026-03-05T09:00:00Z.",
    ]  # fmt: skip


def test_who_waits_for_a_moment_beyond_the_calendar_is_explained():
    steps = {"w": {"type": "wait", "until": {"contact": "expires", "after": "30d"}, "next": "s"}, "s": send("receipt")}
    world = World(GO, RECEIPT, journey(steps))
    world.knows("ann", expires="9999-12-31T00:00:00Z")
    world.did("ann", "Go")
    assert because(world, "ann")[-1].endswith("waits until 9998-12-31T00:00:00Z.")


def test_as_it_was_then():
    world = World(GO, RECEIPT, journey({"w": wait("2d", next="s"), "s": send("receipt")}))
    world.knows("ann")
    world.did("ann", "Go")
    start = world.now
    world.after("5d")
    past = past_of(world.store, world.id_of("ann"))
    then = explain(past, world.run.engine.plan, "j", start + ms("1d"))
    assert [(stand.step, stand.until) for stand in then.standing] == [("w", start + ms("2d"))]
    now = explain(past, world.run.engine.plan, "j", world.now)
    assert now.standing == []
    assert now.because[-1] == "At 2026-03-04T09:00:00Z ended: finished."


def test_suppressed_and_refused_and_late():
    world = World(GO, email("news"), journey({"s": send("news")}, re_entry="never"))
    world.knows("ann", consent=False)
    world.did("ann", "Go", ago="7h")
    assert because(world, "ann")[1] == "'Go', which came at 2026-03-02T09:00:00Z, had occurred too long before."
    world.did("ann", "Go")
    world.did("ann", "Go")
    said = because(world, "ann")
    why = "no_consent (the contact has not opted in to its channel or topic)"
    assert f"At 2026-03-02T09:00:00Z the message 'news' was not sent: {why}." in said
    assert said[-1].endswith(
        "would have let the contact in again, and was refused: entered_before (it entered at 2026-03-02T09:00:00Z)."
    )


def test_a_segment_that_was_read_without_her():
    world = World({"kind": "segment", "name": "grown", "condition": {"contact": "age", "at_least": 18}}, RECEIPT)
    world.knows("ann", age=17)
    steps = {"s": send("receipt")}
    read = {**journey(steps), "entry": {"type": "segment", "segment": "grown"}}
    world.publish(read)
    assert because(world, "ann")[1] == (
        "At 2026-03-02T09:00:00Z 'live' was considered, and the condition at segment was false: age ≥ 18 (it was 17)."
    )


def test_a_watched_segment_says_what_it_saw():
    segment = {"kind": "segment", "name": "busy", "condition": {"did": "Seen", "times": {"at_least": 2}}}
    steps = {"s": send("receipt")}
    world = World(
        segment, RECEIPT, {**journey(steps), "entry": {"type": "segment", "segment": "busy", "on": "entered"}}
    )
    world.knows("ann")
    world.did("ann", "Seen")
    said = 'At 2026-03-02T09:00:00Z it is not in segment busy: did "seen" at least 2 times (it was 1).'
    assert because(world, "ann")[-1] == said
    world.did("ann", "Seen")
    assert because(world, "ann")[0].startswith("At 2026-03-02T09:00:00Z 'seen' let the contact in, for did")


def test_what_is_counted_is_said():
    world = World(GO, RECEIPT, journey({"s": send("receipt")}, entry={"times": 3, "within": "48h"}))
    world.knows("ann")
    world.did("ann", "Go")
    world.did("ann", "Go")
    assert because(world, "ann")[1].startswith(
        "At 2026-03-02T09:00:00Z 'Go' was counted: 2 so far, and 3 are asked for"
    )


def test_a_contact_with_too_long_a_history_is_not_explained(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("parcours.runtimes.explain.MOST_RECORDS", 3)
    world = World(GO, RECEIPT, journey({"s": send("receipt")}))
    for _ in range(3):
        world.did("ann", "Go")
    assert because(world, "ann")
    world.did("ann", "Go")
    with pytest.raises(TooMuchError):
        because(world, "ann")


def test_only_the_latest_moments_are_told_and_all_entries_are_counted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("parcours.runtimes.retelling.MOST_MOMENTS", 3)
    world = World(GO, RECEIPT, journey({"s": send("receipt")}))
    world.knows("ann")
    for _ in range(5):
        world.did("ann", "Go")
        world.after("1h")
    found = explain(past_of(world.store, world.id_of("ann")), world.run.engine.plan, "j", world.now)
    assert found.entered == 5
    assert [moment.at for moment in found.moments] == [world.now - ms(f"{hours}h") for hours in (3, 2, 1)]


def test_an_explanation_changes_nothing():
    world = World(GO, RECEIPT, journey({"w": wait("2d", next="s"), "s": send("receipt")}))
    world.knows("ann")
    world.did("ann", "Go")
    before = world.trace("ann"), world.store.last_position(), world.sent("ann")
    because(world, "ann", at=world.now + ms("9d"))
    assert (world.trace("ann"), world.store.last_position(), world.sent("ann")) == before
    world.after("2d")
    assert world.sent("ann") == ["receipt"]


@pytest.mark.usefixtures("short_chains")
@examples(25)
@given(scenarios(loyalty=True), st.data())
def test_whatever_happens_is_told_again_as_it_was_decided(scenario: Scenario, data: st.DataObject):
    simulation = Simulation(MemoryStore(), START)
    play(simulation, scenario)
    store, plan = simulation.store, simulation.engine.plan
    name = data.draw(st.sampled_from(["", *sorted(plan.journeys)]))
    for contact in store.scan():
        if contact.merged_into or contact.erased_at:
            continue
        past = past_of(store, contact.id)
        life = Retelling(past.publications, past.records, name)
        life.until(simulation.clock.now())
        for id_, one in life.people.items():
            assert one.trace == simulation.trace(id_)
        assert life.people[contact.id].contact == contact
        assert explain(past, plan, name, simulation.clock.now()).because or not name
