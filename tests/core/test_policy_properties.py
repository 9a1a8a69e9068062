"""Caps and quiet hours hold whatever happens: also with late timers, restarts, merges and changes of the policy.

The journeys are simple and always entered, so that nearly every example sends; `test_properties` draws any journey.
"""

from __future__ import annotations

from collections import Counter
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from parcours.conditions.durations import parse_duration
from parcours.core.effects import What
from parcours.core.gate import Happened, Learned
from parcours.core.plan import Plan
from parcours.definitions.policy import Cap, Policy
from parcours.runtimes.engine import Engine
from parcours.runtimes.simulation import Simulation
from parcours.stores.memory import MemoryStore
from parcours.testing.snapshot import Snapshot, replay, snapshot
from parcours.testing.strategies import (
    MESSAGES,
    START,
    ZONES,
    Comes,
    Erases,
    Move,
    Passes,
    Publishes,
    Scenario,
    Step,
    copy_of,
    messages,
    perform,
    play,
    policies,
)
from tests.core import invariants
from tests.core.invariants import caps_are_never_exceeded, check_invariants, decided_for
from tests.core.test_properties import assert_same
from tests.profiles import examples

ANN, BOB, X, Y = ("user_id", "ann"), ("user_id", "bob"), ("anonymous_id", "x"), ("anonymous_id", "y")
REACHABLE = {"email": "a@parcours.dev", "push_token": "t", "phone": "+12025550123"}
CONSENT = {channel: {"": "opted_in"} for channel in ("email", "push", "sms")}


def known(zone: str | None, state: str = "opted_in") -> Learned:
    addresses: dict[str, str | None] = {"email": "a@parcours.dev", "push": "t", "sms": "+12025550123"}
    return Learned(REACHABLE | {"timezone": zone}, addresses, {channel: {"": state} for channel in CONSENT}, same=False)


def journey(name: str, sends: list[str], waits: str, priority: int) -> dict[str, Any]:
    steps: dict[str, Any] = {"s": {"type": "send", "messages": sends, "suppressed": "w", "next": "w"}}
    steps["w"] = {"type": "wait", "for": waits, "next": "again"}
    steps["again"] = {"type": "send", "messages": sends[:1]}
    entry = {"type": "interaction", "interaction": "Go"}
    more = {"re_entry": "always", "priority": priority, "start": "s", "steps": steps}
    return {"kind": "journey", "name": name, "entry": entry, **more}


_sends = st.lists(st.sampled_from(MESSAGES), min_size=1, max_size=3, unique=True)
_journeys = st.tuples(_sends, st.sampled_from(["6h", "1d"]), st.integers(-1, 1))
_who = st.sampled_from([(ANN,), (ANN,), (BOB,), (X,), (Y,), (ANN, X), (BOB, Y), (ANN, Y)])
_states = st.sampled_from(["opted_in", "opted_out", "opted_out"])
_moves: st.SearchStrategy[Move] = st.one_of(
    *[st.builds(Comes, st.just(Happened("Go", {})), _who, st.just(0))] * 4,
    st.builds(Comes, st.builds(known, st.sampled_from([None, *ZONES]), _states), _who, st.just(0)),
    *[st.builds(Passes, st.sampled_from(["1s", "5h", "6h", "17h", "1d"]).map(parse_duration))] * 3,
    st.builds(Publishes, policies().filter(bool)),
    st.builds(Erases, st.integers(0, 3), st.just(False)),
)  # fmt: skip


@st.composite
def sending(draw: st.DrawFn) -> Scenario:
    """A workspace whose journeys always send, and people who make them."""
    journeys = [journey(f"j{index}", *draw(_journeys)) for index in range(2)]
    told = [Comes(known(draw(st.sampled_from([None, *ZONES]))), (one,), 0) for one in (ANN, BOB, X, Y)]
    policy = draw(policies().filter(bool))
    return Scenario([*messages(), *policy, *journeys], told, draw(st.lists(_moves, min_size=3, max_size=25)))


def played(scenario: Scenario) -> tuple[Simulation, list[Step]]:
    simulation = Simulation(MemoryStore(), START)
    return simulation, play(simulation, scenario)


@examples(100)
@given(sending())
def test_caps_are_never_exceeded_and_what_is_held_leaves_once(scenario: Scenario):
    simulation, script = played(scenario)
    again = Simulation(MemoryStore(), START)
    for step in script:
        perform(again, [step])
        check_invariants(snapshot(again.store), again.engine.plan)
    assert_same(snapshot(again.store), snapshot(simulation.store))


@examples(60)
@given(sending())
def test_restarts_change_nothing(scenario: Scenario):
    simulation, script = played(scenario)
    again = Simulation(MemoryStore(), START)
    for step in script:
        perform(again, [step])
        again.engine = Engine(again.store, again.clock)
    assert_same(snapshot(again.store), snapshot(simulation.store))


@examples(60)
@given(sending())
def test_late_timers_and_a_replay_come_to_the_same(scenario: Scenario):
    simulation, script = played(scenario)
    expected = snapshot(simulation.store)
    if any(step.erased for step in script):
        return  # of who was erased a replay makes nothing, as `test_properties` has it
    assert_same(snapshot(replay(expected.records, simulation.clock.now())), expected)
    if any(step.definitions for step in script[len(scenario.known) + 1 :]):
        return  # a publication fires what is due
    late = Simulation(MemoryStore(), START)
    for step in script:
        late.clock.set(step.at)
        if step.definitions:
            late.publish(step.definitions)
        if step.arrivals:
            late.engine.accept([copy_of(arrival) for arrival in step.arrivals])
    late.advance(late.clock.now())
    assert_same(snapshot(late.store), expected)


QUIET = {"from": "08:30", "to": "18:00"}


def nights(limit: int, *moves: Move) -> tuple[Snapshot, Plan]:
    """What comes of moves while it is quiet, with a cap of so many in two days, and of the end of the quiet hours."""
    policy = {"caps": [{"limit": limit, "per": "48h"}], "quiet_hours": QUIET}
    sends = {"s": {"type": "send", "messages": ["news"]}}
    entry = {"type": "interaction", "interaction": "Go"}
    sending = {"kind": "journey", "name": "j", "entry": entry, "re_entry": "always", "start": "s", "steps": sends}
    told = [Comes(known("UTC"), (one,), 0) for one in (ANN, X)]
    workspace = [*messages(), {"kind": "workspace", "zone": "UTC", "policy": policy}, sending]
    simulation, _ = played(Scenario(workspace, told, [*moves, Passes(parse_duration("1d"))]))
    return snapshot(simulation.store), simulation.engine.plan


def goes(who: tuple[str, str]) -> Comes:
    return Comes(Happened("Go", {}), (who,), 0)


MERGE = Comes(known("UTC"), (ANN, X), 0)


def test_what_two_took_before_they_were_found_to_be_one_counts_for_each():
    """Both messages are held over the merge, so both leave from one contact; what comes after finds no place left."""
    found, plan = nights(1, goes(ANN), goes(X), goes(ANN), goes(X), Passes(parse_duration("1h")), MERGE, goes(ANN))
    check_invariants(found, plan)
    counted = Counter(entry.what for entries in found.traces.values() for _, entry in entries)
    assert (counted[What.MERGED], counted[What.HELD], counted[What.SENT], counted[What.SUPPRESSED]) == (2, 2, 2, 3)
    sent = [message for kept in found.messages.values() for message in kept]
    assert len({message.contact for message in sent}) == 1
    assert len({decided_for(message) for message in sent}) == 2


@pytest.mark.parametrize(
    "moves",
    [
        [goes(X), goes(X), MERGE],
        [goes(X), MERGE, goes(ANN)],
        [goes(X), Passes(parse_duration("1h")), MERGE, goes(ANN)],
        [goes(X), Passes(parse_duration("1h")), MERGE, Passes(parse_duration("1h")), goes(ANN)],
    ],
    ids=["held over a merge", "all at one instant", "at the instant of the merge", "after the merge"],
)
def test_a_cap_that_is_exceeded_is_found(moves: list[Move]):
    found, _ = nights(2, *moves)
    caps_are_never_exceeded(found)
    assert sum(len(kept) for kept in found.messages.values()) == 2
    stricter = [(0, 0, Policy(caps=[Cap(limit=1, per="48h")]), "UTC")]
    with mock.patch.object(invariants, "policies", return_value=stricter), pytest.raises(AssertionError, match="Cap"):
        caps_are_never_exceeded(found)


def test_what_is_drawn_meets_the_rules():
    met: Counter[tuple[str, str]] = Counter()

    @examples(150)
    @seed(1)
    @given(sending())
    def look(scenario: Scenario) -> None:
        simulation, _ = played(scenario)
        counted = simulation.store.statistics()
        met.update({(what, reason if what == What.SUPPRESSED else "") for _, _, _, what, reason in counted})

    look()
    reasons = ("frequency_cap", "quiet_hours", "opted_out")
    wanted = [(What.SENT, ""), (What.HELD, ""), (What.MERGED, ""), *((What.SUPPRESSED, reason) for reason in reasons)]
    assert [one for one in wanted if not met[one]] == []
