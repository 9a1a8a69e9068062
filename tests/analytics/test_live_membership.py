"""What contacts know of their memberships is what SQL says of the columnar copy, at any instant.

Both were made from the same inputs: the memberships by the fold, input by input and timer by timer; the copy by following
the log and the outbox, whatever timers are for. So each is held against the other at instants that matter: after each
input, publication, merge and erasure, and a millisecond before and at each instant at which something comes due.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from parcours.analytics import questions
from parcours.analytics.duckdb_store import DuckdbAnalytics, catch_up
from parcours.analytics.questions import Group
from parcours.conditions.operators import COUNTS
from parcours.core.gate import Arrival, Happened, Learned, Reacted
from parcours.core.ids import contact_number
from tests.core.world import END, World, email, journey, ms, send, wait
from tests.profiles import examples

MOST = 10**6
EDGES = 2
"""How many instants at which something comes due are looked at between two moves, so that a test comes to an end."""

PEOPLE = ("ann", "bob", "cyd", "dan", "eve", "fay")
DEVICES = ("phone", "till")
NAMES = ("a", "b")

# --- conditions whose answers turn within days ------------------------------------------------------------------------

_spans = st.sampled_from(["1h", "2h", "1d", "2d"])
_names = st.sampled_from(NAMES)
_window = st.fixed_dictionaries({}, optional={"within": _spans})
_where = st.fixed_dictionaries(
    {},
    optional={
        "where": st.sampled_from([{"interaction": "v", "more_than": 0}, {"interaction": "v", "is_missing": True}])
    },
)
_times = st.tuples(st.sampled_from(sorted(COUNTS)), st.integers(0, 3)).map(lambda pair: dict([pair]))
_counts = st.tuples(_names, _times, _window, _where).map(lambda of: {"did": of[0], "times": of[1]} | of[2] | of[3])
_sums = st.tuples(_names, st.sampled_from(["at_least", "less_than"]), st.integers(-1, 4), _window, _where).map(
    lambda of: {"did": of[0], "sum": {"of": "v", of[1]: of[2]}} | of[3] | of[4]
)
_figures = st.tuples(_names, st.sampled_from(["min", "max", "first", "last"]), st.integers(0, 2), _window).map(
    lambda of: {"did": of[0], of[1]: {"of": "v", "at_least": of[2]}} | of[3]
)
_sequences = st.tuples(_names, st.sampled_from(["did", "did_not"]), _names, _spans, _window).map(
    lambda of: {"sequence": [{"did": of[0]}, {of[1]: of[2], "within": of[3]}]} | of[4]
)
_messages = st.tuples(st.sampled_from(["sent", "opened"]), _times, _window).map(
    lambda of: {"messages": of[0], "times": of[1]} | of[2]
)
_of_contact = st.sampled_from(
    [
        {"contact": "seen", "within_last": "1d"},
        {"contact": "seen", "older_than": "2h"},
        {"contact": "seen", "within_next": "1d"},
        {"contact": "seen", "anniversary_within": "2d"},
        {"contact": "city", "is": "Atlanta"},
        {"list": "vip"},
        {"consent": "email"},
        {"sample": "half", "percent": 50},
    ]
)
_leaves = _counts | _counts | _sums | _figures | _sequences | _messages | _of_contact
_conditions = st.one_of(
    _leaves,
    _leaves.map(lambda leaf: {"not": leaf}),
    st.tuples(st.sampled_from(["all", "any"]), st.lists(_leaves, min_size=2, max_size=3)).map(
        lambda of: {of[0]: of[1]}
    ),
)
_ago = st.sampled_from(["", "", "", "1ms", "1h", "1d", "3d"])
_happening = st.tuples(st.sampled_from(PEOPLE), _names, _ago, st.sampled_from([None, 0, 1, 2, -1]))


def _text(instant: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=instant)).isoformat()


class Live(RuleBasedStateMachine):
    """A workspace of segments that are kept exact, a copy in columns that follows, and what may happen."""

    folder = Path()

    @initialize(
        conditions=st.lists(_conditions, min_size=3, max_size=4), existing=st.lists(_happening, min_size=3, max_size=12)
    )
    def begin(self, conditions: list[Any], existing: list[Any]) -> None:
        self.conditions = conditions
        self.copy = DuckdbAnalytics(Path(tempfile.mkdtemp(dir=self.folder)) / "copy.duckdb")
        self.world = World({"kind": "list", "name": "vip"})
        for who in PEOPLE:
            self.world.knows(who)
        self.do(existing)
        steps = {"w": wait("1h", next="s"), "s": send("hi", next="e"), "e": END}
        self.world.publish(
            journey(steps, entry={"type": "interaction", "interaction": "b"}, re_entry="after_end"),
            email("hi", purpose="transactional"),
            *(self.segment(index) for index in range(len(conditions))),
        )
        self.check()

    def segment(self, index: int) -> dict[str, Any]:
        control = {"percent": 50} if index == 0 else None
        return {
            "kind": "segment",
            "name": f"s{index}",
            "condition": self.conditions[index],
            "live": True,
            "control": control,
        }

    def do(self, happens: list[tuple[str, str, str, Any]]) -> None:
        for who, name, ago, value in happens:
            # Of somebody who was erased at this instant it is refused.
            what = Happened(name, {"v": value} if value is not None else {})
            self.world.send(self.world.arrival(who, what, ago=ago))

    @rule(happens=st.lists(_happening, min_size=1, max_size=6), gap=st.sampled_from(["1ms", "30m", "1h", "1d"]))
    def happen(self, happens: list[Any], gap: str) -> None:
        self.do(happens)
        self.check()
        self.advance(gap)

    @rule(gap=st.sampled_from(["1h", "1d", "3d", "400d"]))
    def advance(self, gap: str) -> None:
        """Let time pass, and look around each instant at which something comes due."""
        until = self.world.now + ms(gap)
        for _ in range(EDGES):
            due = self.world.run.engine.next_due()
            if due is None or due > until:
                break
            for at in (due - 1, due):
                if at >= self.world.now:
                    self.world.run.advance(at)
                    self.check()
        self.world.run.advance(until)
        self.check()

    @rule(
        who=st.sampled_from(PEOPLE),
        seen=st.sampled_from(["-1h", "1h", "2d", "-2d"]),
        city=st.sampled_from(["Atlanta", "Boston"]),
        vip=st.booleans(),
        state=st.sampled_from(["opted_in", "opted_out"]),
    )
    def learn(self, who: str, seen: str, city: str, vip: bool, state: str) -> None:
        away = -ms(seen[1:]) if seen.startswith("-") else ms(seen)
        known = {"seen": _text(self.world.now + away), "city": city}
        self.world.send(self.world.arrival(who, Learned(known, {}, {"email": {"": state}}, {"vip": vip})))
        self.check()

    @rule(device=st.sampled_from(DEVICES), name=_names, who=st.sampled_from(PEOPLE), merged=st.booleans())
    def use_a_device(self, device: str, name: str, who: str, merged: bool) -> None:
        """Somebody does something without saying who she is, and then perhaps says it."""
        arrival = self.world.arrival("", Happened(name, {"v": 1}))
        arrival.identities = (("anonymous_id", device),)
        self.world.send(arrival)
        self.check()
        if merged:
            says = self.world.arrival("", Learned({"city": "Atlanta"}))
            says.identities = (("user_id", who), ("anonymous_id", device))
            self.world.send(says)
            self.check()

    @rule(one=st.sampled_from(PEOPLE), other=st.sampled_from(PEOPLE))
    def turn_out_to_be_one(self, one: str, other: str) -> None:
        says = self.world.arrival("", Learned({}, same=True))
        says.identities = (("user_id", one), ("user_id", other))
        self.world.send(says)
        self.check()

    @rule(choice=st.integers(0, 9))
    def erase(self, choice: int) -> None:
        there = [contact.id for contact in self.world.store.scan(limit=MOST) if not contact.erased_at]
        if there:
            self.world.run.engine.erase(there[choice % len(there)])
            self.check()

    @rule(choice=st.integers(0, 20))
    def react(self, choice: int) -> None:
        sent = sorted(message.id for message in self.world.run.messages())
        if sent:
            self.world.send(
                Arrival("test", f"r{choice}-{self.world.now}", (), Reacted("opened", sent[choice % len(sent)], {}))
            )
            self.check()

    @rule(index=st.integers(0, 3), condition=_conditions)
    def publish(self, index: int, condition: Any) -> None:
        index %= len(self.conditions)
        self.conditions[index] = condition
        self.world.publish(self.segment(index))
        self.check()

    def check(self) -> None:
        """Hold what contacts know against SQL, now."""
        engine, now = self.world.run.engine, self.world.now
        for _ in catch_up(self.copy, self.world.store):
            pass
        there = [
            contact
            for contact in self.world.store.scan(limit=MOST)
            if not contact.merged_into and not contact.erased_at
        ]
        known = {
            (name, contact_number(contact.id))
            for contact in there
            for name in engine.plan.watch.segments
            if contact.segments[name].member
        }
        segments = engine.plan.segments
        groups = {name: Group(segments[name], segments, now).sql(self.copy) for name in engine.plan.watch.segments}
        asked = " union all ".join(f"select '{name}', contact from ({sql})" for name, sql in groups.items())
        found = questions.rows(self.copy, asked)
        assert len(found) == len(set(found)), "a contact is selected twice"
        texts = {name: engine.plan.watch.segments[name].text for name, _ in {*found} ^ known}
        assert set(found) == known, (texts, now)
        assert questions.everybody(self.copy) == len(there)

    def teardown(self) -> None:
        if hasattr(self, "copy"):
            self.copy.close()


@pytest.mark.timeout(400)  # shrinking a failure takes its time
def test_live_membership_is_what_sql_says_at_any_instant(tmp_path: Path):
    Live.folder = tmp_path
    run_state_machine_as_test(Live, settings=settings(examples(25), stateful_step_count=8))
