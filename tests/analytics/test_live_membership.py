"""What contacts know of their memberships is what SQL says of the columnar copy, at any instant.

Both were made from the same inputs: the memberships by the fold, input by input and timer by timer; the copy by following
the log and the outbox, whatever timers are for. So each is held against the other at instants that matter: after each
input, publication, merge and erasure, and a millisecond before and at each instant at which something comes due. What
depends on members of programmes alone is also asked of the copy ahead, as of an instant to come, and must have come true
when time has come there.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from parcours.analytics import questions
from parcours.analytics.duckdb_store import DuckdbAnalytics, catch_up
from parcours.analytics.questions import Group, TooFarAheadError
from parcours.conditions.loyalty import POINTS, REWARD_STATES
from parcours.conditions.operators import COUNTS
from parcours.conditions.parse import parse_condition
from parcours.core.contact import Contact
from parcours.core.gate import Arrival, Asked, Happened, Learned, Reacted
from parcours.core.ids import contact_number
from parcours.runtimes.engine.rewards import identity_of
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
_points = st.tuples(st.sampled_from(sorted(POINTS)), st.sampled_from(sorted(COUNTS)), st.integers(-2, 12)).map(
    lambda of: {"points": "club", "kind": of[0], of[1]: of[2]}
)
_tiers = st.sampled_from(
    [
        {"tier": "club", "is": "bronze"},
        {"tier": "club", "in": ["silver", "gold"]},
        {"tier": "club", "at_least": "silver"},
        {"member": "club"},
    ]
)
_rewards = st.tuples(st.sampled_from(sorted(REWARD_STATES)), _window).map(
    lambda of: {"reward": "ten", "is": of[0]} | of[1]
)
_of_member = _points | _points | _tiers | _rewards
_leaves = _counts | _counts | _sums | _figures | _sequences | _messages | _of_contact


def _trees(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        leaves,
        leaves.map(lambda leaf: {"not": leaf}),
        st.tuples(st.sampled_from(["all", "any"]), st.lists(leaves, min_size=2, max_size=3)).map(
            lambda of: {of[0]: of[1]}
        ),
    )


_conditions = _trees(_leaves) | _trees(_leaves | _of_member) | _trees(_of_member) | _trees(_of_member)

# --- programmes in which much happens by time alone -------------------------------------------------------------------

_levels = [{"name": "bronze", "at": 0}, {"name": "silver", "at": 4}, {"name": "gold", "at": 8}]
_periods: list[Any] = [{"type": "rolling", "days": 1}, {"type": "calendar", "unit": "month"}]
_expiries: list[Any] = [
    {"type": "rolling", "days": 1},
    {"type": "rolling", "days": 3, "until_end_of": "day"},
    {"type": "inactivity", "days": 2},
]
_clubs = st.fixed_dictionaries(
    {
        "kind": st.just("programme"),
        "name": st.just("club"),
        "transfer": st.just({}),
        "on_leaving": st.sampled_from(["keep", "forfeit"]),
        "tiers": st.fixed_dictionaries(
            {"levels": st.just(_levels), "period": st.sampled_from(_periods)},
            optional={"grace": st.sampled_from(["2h", "1d"]), "downgrade": st.just("one")},
        ),
    },
    optional={
        "holding": st.sampled_from(["1h", "1d"]),
        "expiry": st.sampled_from(_expiries),
    },
)
_rules: list[dict[str, Any]] = [
    {"kind": "rule", "name": "earn", "programme": "club", "on": ["a", "b"], "points": 3},
    {"kind": "rule", "name": "gift", "programme": "club", "on": ["b"], "every": 2, "reward": "ten"},
    {
        "kind": "rule",
        "name": "late",
        "programme": "club",
        "on": ["b"],
        "points": 5,
        "holding": "2d",
        "hold_if": {"interaction": "v", "is": 2},
    },
]
_reward: dict[str, Any] = {"kind": "reward", "name": "ten", "percent": 10, "valid_for": "1d", "reserved_for": "1h"}
_asked = st.one_of(
    st.sampled_from(
        [
            Asked(action="enrol", programme="club"),
            Asked(action="leave", programme="club"),
            Asked(action="adjust", programme="club", points=5, qualifying=True),
            Asked(action="adjust", programme="club", points=-2),
            Asked(action="review", programme="club", approved=True),
            Asked(action="review", programme="club", approved=False),
            Asked(action="issue", reward="ten"),
            Asked(action="issue", reward="ten"),
        ]
    ),
    st.integers(1, 6).map(lambda points: Asked(action="spend", programme="club", points=points)),
    st.tuples(st.sampled_from(PEOPLE), st.integers(1, 6)).map(
        lambda drawn: Asked(action="transfer", programme="club", to=("user_id", drawn[0]), points=drawn[1])
    ),
)
_uses = st.sampled_from(["reserve", "redeem", "redeem", "redeem", "release", "cancel"])
_ago = st.sampled_from(["", "", "", "1ms", "1h", "1d", "3d"])
_happening = st.tuples(st.sampled_from(PEOPLE), _names, _ago, st.sampled_from([None, 0, 1, 2, -1]))


def _text(instant: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=instant)).isoformat()


def _only_of_members(condition: Any) -> bool:
    if isinstance(condition, dict) and not condition.keys().isdisjoint({"all", "any", "not"}):
        ((_, parts),) = condition.items()
        return all(map(_only_of_members, parts if isinstance(parts, list) else [parts]))
    return not condition.keys().isdisjoint({"points", "tier", "member", "reward"})


class Live(RuleBasedStateMachine):
    """A workspace of segments that are kept exact, a copy in columns that follows, and what may happen."""

    folder = Path()

    @initialize(
        conditions=st.lists(_conditions, min_size=3, max_size=5),
        existing=st.lists(_happening, min_size=3, max_size=12),
        club=_clubs,
        members=st.sets(st.sampled_from(PEOPLE), min_size=2),
    )
    def begin(self, conditions: list[Any], existing: list[Any], club: Any, members: set[str]) -> None:
        self.conditions = conditions
        self.copy = DuckdbAnalytics(Path(tempfile.mkdtemp(dir=self.folder)) / "copy.duckdb")
        self.world = World({"kind": "list", "name": "vip"}, club, _reward, *_rules)
        for who in PEOPLE:
            self.world.knows(who)
        for who in sorted(members):
            self.ask(who, Asked(action="enrol", programme="club"))
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

    def ask(self, who: str, asked: Asked) -> None:
        # It may be declined, and of somebody who was erased at this instant it is refused.
        self.world.send(self.world.arrival(who, asked))

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
                    self.pass_until(at)
        self.pass_until(until)

    def pass_until(self, at: int) -> None:
        """Let time pass; what was told ahead must have come true."""
        told = self.told(at)
        self.world.run.advance(at)
        known = self.known()
        for name, found in told.items():
            segment = self.world.run.engine.plan.watch.segments[name]
            assert found == {number for of, number in known if of == name}, (segment.text, at)
        self.check()

    def told(self, at: int) -> dict[str, set[int]]:
        """Return who will be in the segments that are about members only, as far as it is told."""
        found: dict[str, set[int]] = {}
        for index, condition in enumerate(self.conditions):
            node = parse_condition(condition)[0]
            if index and node is not None and _only_of_members(condition):  # of the first, some are kept out
                try:
                    numbers = questions.members(self.copy, Group(node, {}, at))
                    found[f"s{index}"] = set(numbers)
                    assert len(numbers) == len(found[f"s{index}"]), "a contact is selected twice"
                except TooFarAheadError:  # more comes due by then than is told ahead
                    event("too much ahead")
        return found

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

    @rule(who=st.sampled_from(PEOPLE), asked=st.lists(_asked, min_size=1, max_size=3))
    def ask_of_members(self, who: str, asked: list[Asked]) -> None:
        for one in asked:
            self.ask(who, one)
        self.check()

    @rule(choice=st.integers(0, 9), action=_uses)
    def use_a_coupon(self, choice: int, action: str) -> None:
        owners = [(code, contact.id) for contact in self.world.store.scan(limit=MOST) for code in contact.coupons]
        if owners:
            code, owner = owners[choice % len(owners)]
            asked = Asked(action=action, code=code, presented=owner, reference="o1")
            arrival = self.world.arrival("", asked)
            arrival.identities = (identity_of(code),)
            self.world.send(arrival)
            self.check()

    @rule(club=_clubs)
    def change_the_programme(self, club: Any) -> None:
        self.world.publish(club)
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

    @rule(index=st.integers(0, 4), condition=_conditions)
    def publish(self, index: int, condition: Any) -> None:
        index %= len(self.conditions)
        self.conditions[index] = condition
        self.world.publish(self.segment(index))
        self.check()

    def there(self) -> list[Contact]:
        return [
            contact
            for contact in self.world.store.scan(limit=MOST)
            if not contact.merged_into and not contact.erased_at
        ]

    def known(self) -> set[tuple[str, int]]:
        """Return who knows to be in which segment."""
        return {
            (name, contact_number(contact.id))
            for contact in self.there()
            for name in self.world.run.engine.plan.watch.segments
            if contact.segments[name].member
        }

    def check(self) -> None:
        """Hold what contacts know against SQL, now."""
        engine, now = self.world.run.engine, self.world.now
        for _ in catch_up(self.copy, self.world.store):
            pass
        there, known = self.there(), self.known()
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


_moves = st.one_of(
    st.tuples(
        st.just("happen"), st.lists(_happening, min_size=1, max_size=6), st.sampled_from(["1ms", "30m", "1h", "1d"])
    ),
    st.tuples(st.just("ask_of_members"), st.sampled_from(PEOPLE), st.lists(_asked, min_size=1, max_size=3)),
    st.tuples(st.just("ask_of_members"), st.sampled_from(PEOPLE), st.lists(_asked, min_size=1, max_size=3)),
    st.tuples(st.just("advance"), st.sampled_from(["1ms", "1h", "1d", "3d", "40d"])),
    st.tuples(st.just("use_a_coupon"), st.integers(0, 9), _uses),
    st.tuples(st.just("use_a_coupon"), st.integers(0, 9), _uses),
    st.tuples(st.just("change_the_programme"), _clubs),
    st.tuples(st.just("turn_out_to_be_one"), st.sampled_from(PEOPLE), st.sampled_from(PEOPLE)),
    st.tuples(st.just("erase"), st.integers(0, 9)),
)


@pytest.mark.timeout(400)  # as above
@examples(20)
@given(
    st.lists(_trees(_of_member), min_size=8, max_size=12),
    st.lists(_happening, min_size=3, max_size=12),
    _clubs,
    st.sets(st.sampled_from(PEOPLE), min_size=3),
    st.lists(_moves, min_size=4, max_size=10),
)
def test_members_are_what_sql_says_at_any_instant(tmp_path: Path, conditions, existing, club, members, moves):
    """The same for what is asked of members alone, in many segments at once."""
    Live.folder = tmp_path
    live = Live()
    live.begin(conditions, existing, club, members)
    try:
        for move, *drawn in moves:
            getattr(live, move)(*drawn)
        live.advance("1d")
    finally:
        live.teardown()
