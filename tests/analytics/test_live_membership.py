"""What contacts know of their memberships is what SQL says of the columnar copy, at any instant.

Both were made from the same inputs: the memberships by the fold, input by input and timer by timer; the copy by following
the log and the outbox, whatever timers are for. So each is held against the other at instants that matter: after each
input, publication, merge and erasure, and a millisecond before and at each instant at which something comes due.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import event, given
from hypothesis import strategies as st

from parcours.analytics import questions
from parcours.analytics.duckdb_store import DuckdbAnalytics, catch_up
from parcours.analytics.questions import Group
from parcours.core.ids import contact_number
from parcours.runtimes.simulation import Simulation
from parcours.stores.memory import MemoryStore
from parcours.testing.strategies import SEGMENTS, START, Scenario, conditions, perform, play, scenarios
from tests.profiles import examples

MOST = 10**6
EDGES = 5
"""How many instants at which something comes due are looked at between two steps, so that a test comes to an end."""


class Held:
    """A simulation with a copy that follows it, one held against the other."""

    def __init__(self, folder: Path) -> None:
        self.simulation = Simulation(MemoryStore(), START)
        self.copy = DuckdbAnalytics(folder / "copy.duckdb")

    def check(self) -> None:
        engine, now = self.simulation.engine, self.simulation.clock.now()
        for _ in catch_up(self.copy, self.simulation.store):
            pass
        there = [
            contact
            for contact in self.simulation.store.scan(limit=MOST)
            if not contact.merged_into and not contact.erased_at
        ]
        assert questions.everybody(self.copy) == len(there)
        for name, watched in engine.plan.watch.segments.items():
            known = {contact_number(contact.id) for contact in there if contact.segments[name].member}
            found = questions.members(self.copy, Group(engine.plan.segments[name], engine.plan.segments, now))
            assert set(found) == known, (name, watched.text, now)
            event(f"some are members and some are not: {0 < len(found) < len(there)}")

    def advance(self, until: int) -> None:
        """Let time pass, and look around each instant at which something comes due."""
        for _ in range(EDGES):
            due = self.simulation.engine.next_due()
            if due is None or due > until:
                break
            for at in (due - 1, due):
                if at > self.simulation.clock.now():
                    self.simulation.advance(at)
                    self.check()
            if due <= self.simulation.clock.now():
                self.simulation.advance(self.simulation.clock.now())
        self.simulation.advance(until)
        self.check()


def watched(definitions: list[Any]) -> list[Any]:
    """Return definitions with every segment in them kept exact."""
    return [one | {"live": True} if one["kind"] == "segment" else one for one in definitions]


more = st.lists(conditions(segments=(*SEGMENTS, f"{SEGMENTS[0]}:control")), min_size=1, max_size=3)


@examples(50)
@given(scenarios(longest=16), more, st.lists(st.sampled_from([1, 3_600_000, 86_400_000, 172_800_000]), max_size=3))
def test_live_membership_is_what_sql_says_at_any_instant(
    tmp_path: Path, scenario: Scenario, conditions: list[Any], pauses: list[int]
):
    own = [{"kind": "segment", "name": f"x{index}", "condition": data} for index, data in enumerate(conditions)]
    scenario = Scenario(scenario.definitions + own, scenario.known, scenario.moves)
    script = play(Simulation(MemoryStore(), START), scenario)
    held = Held(Path(tempfile.mkdtemp(dir=tmp_path)))
    for step in script:
        held.advance(step.at)
        step.definitions = watched(step.definitions)
        perform(held.simulation, [step])
        held.check()
    for pause in pauses:
        held.advance(held.simulation.clock.now() + pause)
    held.copy.close()
