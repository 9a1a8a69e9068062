"""Between two of the instants that a condition asks to be woken at, its answer stays the same."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from parcours.conditions.changes import DAY, compile_change
from parcours.conditions.operators import to_instant
from parcours.conditions.parse import parse_condition
from parcours.conditions.to_python import compile_condition
from tests.conditions.test_condition_histories import HOUR, START, Story, arrivals, leaves, pauses, plan_of
from tests.profiles import examples

LENGTHS = [1, HOUR, 2 * HOUR, 10 * HOUR, 24 * HOUR, 30 * DAY, 48 * HOUR, 7 * DAY]
MOST_TIMERS = 2_000

dates = st.integers(-40 * 24, 40 * 24).map(
    lambda hour: datetime.fromtimestamp((START + hour * HOUR) / 1000, UTC).isoformat().replace("+00:00", "Z")
)
of_contacts = st.one_of(
    st.tuples(st.sampled_from(["within_last", "within_next", "older_than"]), st.sampled_from(["1h", "24h", "30d"])),
    st.tuples(st.just("anniversary_within"), st.sampled_from(["1d", "2d", "7d", "365d", "366d", "400d"])),
    st.just(("is_missing", True)),
).map(lambda pair: {"contact": "day", pair[0]: pair[1]})
without_run = leaves.filter(lambda data: "since" not in data)
trees = st.recursive(
    without_run | of_contacts,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"all": parts})
        | st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"any": parts})
        | inner.map(lambda part: {"not": part})
    ),
    max_leaves=4,
)
values = st.one_of(
    st.none(), dates, st.sampled_from(["1980-02-29", "2030-03-01", "2024-02-29T00:00:00.0005Z", "no date", 5])
)


quiet = st.fixed_dictionaries(
    {
        "sequence": st.tuples(
            st.just({"did": "a"}),
            st.sampled_from(["1h", "2h", "10h"]).map(lambda time: {"did_not": "b", "within": time}),
        ).map(list)
    },
    optional={"within": st.sampled_from(["10h", "24h"])},
)


def hold(data, day, happens, others):
    node, problems = parse_condition(data)
    assert problems == []
    story = Story(plan_of(data))
    for pause, arrival in happens:
        story.now += pause
        story.happens(*arrival)
    contact = story.contacts[0]
    if day is not None:
        contact.attributes["day"] = day
    test, change = compile_condition(node), compile_change(node)
    seen = [event.at for event in story.events] + [mail.at for _, mail in story.mails]
    seen += [at for _, mail in story.mails for _, at in mail.reactions]
    edges = {at + length + near for at in [*seen, START] for length in LENGTHS for near in (-1, 0, 1)}
    instant = to_instant(day)
    if instant is not None:
        at = int(instant.timestamp() * 1000)
        edges |= {at + sign * length + near for length in LENGTHS for sign in (-1, 0, 1) for near in (-1, 0, 1)}
    edges |= {START - START % DAY + days * DAY + near for days in range(-2, 370, 6) for near in (-1, 0)}
    asked = sorted(at for at in edges | {story.now + other for other in others} if at >= story.now)
    at, timers = story.now, 0
    answer = test(contact, {}, at)
    due = change(contact, at) if change is not None else None
    for instant in asked:
        while due is not None and due <= instant and timers < MOST_TIMERS:
            assert due > at
            at, timers = due, timers + 1
            answer = test(contact, {}, at)
            due = change(contact, at) if change is not None else None
        assert test(contact, {}, instant) is answer, (instant, at, due)
    assert timers < MOST_TIMERS


ahead = st.lists(st.integers(0, 500 * DAY), max_size=4)


@examples(250)
@given(trees | quiet, values, st.lists(st.tuples(pauses, arrivals), max_size=10), ahead)
def test_an_answer_only_changes_when_it_was_foretold(data, day, happens, others):
    hold(data, day, happens, others)


@examples(150)
@given(of_contacts, dates | values, ahead)
def test_the_answer_about_a_date_only_changes_when_it_was_foretold(data, day, others):
    hold(data, day, [], others)


@examples(100)
@given(quiet, st.lists(st.tuples(pauses, arrivals), max_size=10), ahead)
def test_what_does_not_follow_is_foretold(data, happens, others):
    hold(data, None, happens, others)


def foretold(data, contact, now):
    node, _ = parse_condition(data)
    change = compile_change(node)
    return None if change is None else change(contact, now)


def test_a_count_is_foretold_where_it_crosses_the_limit():
    data = {"did": "a", "times": {"at_least": 2}, "within": "24h"}
    story = Story(plan_of(data))
    for hour in range(5):
        story.now = START + hour * HOUR
        story.did("a", story.now, {})
    contact = story.contacts[0]
    # Of five, it is the last but one whose leaving tells.
    assert foretold(data, contact, story.now) == START + 3 * HOUR + DAY
    assert foretold({"did": "a", "times": 9, "within": "24h"}, contact, story.now) is None
    assert foretold({"did": "a"}, contact, story.now) is None


def test_what_never_changes_by_itself_asks_for_nothing():
    for data in (
        {"contact": "city", "is": "Atlanta"},
        {"list": "vip"},
        {"consent": "email", "is": "opted_in"},
        {"all": [{"not": {"contact": "city", "is": "Atlanta"}}, {"did": "a", "sum": {"of": "v", "at_least": 3}}]},
    ):
        node, problems = parse_condition(data)
        assert problems == []
        assert compile_change(node) is None
