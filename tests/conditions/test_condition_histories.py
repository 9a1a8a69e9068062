"""What is remembered of a history answers as the whole of it does: late arrivals, ties, edges of windows, merges."""

from __future__ import annotations

import copy
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcours.conditions import ast
from parcours.conditions.examine import examine
from parcours.conditions.needs import MOST_KEPT
from parcours.conditions.operators import COUNTS, MILLIONTHS
from parcours.conditions.parse import MOST_MESSAGES, parse_condition
from parcours.conditions.to_python import compile_condition, of_sum, within_run
from parcours.core.codec import decode_contact, encode
from parcours.core.contact import Contact, Sent
from parcours.core.fold import fold
from parcours.core.inputs import Absorb, Interaction, Reaction
from parcours.core.memory import KEPT_MESSAGES, remember_message
from parcours.core.plan import Plan
from parcours.definitions.segment import SegmentDefinition
from tests.conditions.condition_strategies import (
    comparisons,
    histories,
    message_histories,
    sequences,
    sums,
    times,
)
from tests.conditions.reference import Asked, Event, Mail, Somebody, answer
from tests.profiles import examples

HOUR = 3_600_000
START = 1_709_164_800_000  # 2024-02-29, the day of the year that most years lack
HOURS = 40

names = st.sampled_from(["a", "b", "ünï"])
lengths = st.sampled_from(["1ms", "1h", "2h", "10h", "24h", "30d"])
instants = st.integers(0, 23).map(
    lambda hour: datetime.fromtimestamp((START + hour * HOUR) / 1000, UTC).isoformat().replace("+00:00", "Z")
)
windows = st.fixed_dictionaries({}, optional={"within": lengths, "since": st.just("entry")}) | st.fixed_dictionaries(
    {}, optional={"from": st.just("2024-02-29") | instants, "within": lengths}
)
until = st.fixed_dictionaries({}, optional={"until": st.just("2024-02-29") | st.just("2024-03-01T10:00:00Z")})
windows = st.tuples(windows, until).map(lambda parts: parts[0] | parts[1])
numbers = st.sampled_from([0, 1, -1, 2, 0.1, 0.2, 0.3, 1e-7, 2.5e-7, 1e12, -1e12, 1e13, 2**53, 2**53 + 1, 10**15])
amounts = st.sampled_from([0, 0.1, 0.3, 0.6, 1, 2, -1, 1e12])
held = numbers | st.sampled_from(["x", "X", "Straße", "2024-02-29", "2024-03-01T00:00:00Z", True, None, ["x", "y"], []])
where = st.one_of(
    st.fixed_dictionaries({"interaction": st.just("v"), "is": held.filter(lambda value: isinstance(value, str | int))}),
    st.just({"interaction": "v", "is_missing": True}),
    st.just({"not": {"interaction": "v", "more_than": 0}}),
)


def measures(name):
    if name == "sum":
        return sums(amounts).map(lambda data: data | {"of": "v"})
    return comparisons(heads=("of",)).map(lambda data: data | {"of": "v"})


counts = times(4)
leaves = (
    histories(names, where, windows, measures, counts)
    | sequences(names, where, windows, lengths)
    | message_histories(st.sampled_from(["hello", "bye"]), windows, counts)
)

moments = st.tuples(st.integers(0, HOURS), st.sampled_from([0, 0, 0, 1, -1])).map(
    lambda parts: START + parts[0] * HOUR + parts[1]
)
arrivals = st.one_of(
    st.tuples(st.just("did"), names, moments, st.fixed_dictionaries({}, optional={"v": held})),
    st.tuples(st.just("did"), names, moments, st.fixed_dictionaries({}, optional={"v": held})),
    st.tuples(st.just("sent"), st.sampled_from(["hello", "bye"]), st.sampled_from(["email", "push"]), st.just(0)),
    st.tuples(st.just("reacted"), st.integers(0, 5), st.sampled_from(["opened", "clicked"]), moments),
)


def plan_of(*conditions):
    segments = [SegmentDefinition(name=f"s{number}", condition=data) for number, data in enumerate(conditions)]
    return Plan.empty().publish(segments)


class Story:
    """Somebody's history, told to contacts by the fold, and written down as a whole for the reference."""

    def __init__(self, plan, contacts=1):
        self.plan = plan
        self.contacts = [Contact(str(number)) for number in range(contacts)]
        self.now = START
        self.position = 0
        self.events, self.mails = [], []

    def stamp(self, at):
        self.position += 1
        return {"position": self.position, "received_at": self.now, "occurred_at": at}

    def fold(self, item, whose=0):
        fold(self.plan, self.contacts[whose], item)

    def did(self, name, at, attributes, whose=0):
        at = min(at, self.now)
        self.events.append(Event(name, at, attributes))
        self.fold(Interaction(name=name, attributes=attributes, **self.stamp(at)), whose)

    def sent(self, message, channel, whose=0):
        if self.plan.remembers_messages:
            remember_message(self.contacts[whose], str(len(self.mails)), Sent(message, channel, self.now))
        self.mails.append((whose, Mail(message, channel, self.now, [])))

    def reacted(self, number, kind, at):
        if number < len(self.mails):
            whose, mail = self.mails[number]
            at = min(max(at, mail.at), self.now)
            mail.reactions.append((kind, at))
            self.fold(Reaction(reaction=kind, message=str(number), attributes={}, **self.stamp(at)), whose)

    def happens(self, kind, *rest, whose=0):
        match kind:
            case "did":
                self.did(*rest, whose)
            case "sent":
                self.sent(*rest[:2], whose)
            case "reacted":
                self.reacted(*rest)

    def merge(self, into=0, other=1):
        item = Absorb(other=self.contacts[other], **self.stamp(self.now))
        self.fold(item, into)

    def somebody(self):
        return Somebody(events=self.events, messages=[mail for _, mail in self.mails])

    def agree(self, data, whose=0, entry=START + 10 * HOUR):
        """Hold the contact's answer against the reference, now and at instants after."""
        node, problems = parse_condition(data)
        assert problems == []
        test = compile_condition(node)
        contact = decode_contact(encode(self.contacts[whose]))
        for later in (0, 1, HOUR - 1, HOUR, 24 * HOUR):
            now = self.now + later
            said = test(contact, within_run({}, entry), now)
            assert said is answer(node, Asked(self.somebody(), now, entry=entry)), (data, later)
            shown = examine(node, contact, within_run({}, entry), now)
            assert shown.answer is said
            assert seen_says(node, shown.seen) in {said, None}, (data, shown)


def seen_says(node, seen):
    """What follows from a value that somebody is shown, or None where nothing does."""
    if isinstance(node, ast.MessageHistory):
        return COUNTS[node.operator](seen, node.count)
    if isinstance(node, ast.History) and node.measure is ast.Measure.COUNT:
        return COUNTS[node.operator](seen, node.value)
    if isinstance(node, ast.History) and node.measure is ast.Measure.SUM and abs(seen) < 10**9:
        return of_sum(node)(round(seen * MILLIONTHS))
    if isinstance(node, ast.History) and node.measure is not ast.Measure.SUM:
        leaf = ast.Attribute(ast.Subject.CONTACT, "v", node.operator, node.value, node.ignore_case)
        return (
            compile_condition(leaf)(Contact("0", attributes={"v": seen}), {}, START) if node.operator in STILL else None
        )
    return None


STILL = {"is", "is_not", "at_least", "less_than", "is_missing", "contains"}
"""Some operators that do not look at the time."""

pauses = st.sampled_from([0, 0, 1, HOUR - 1, HOUR, 3 * HOUR])


@examples(300)
@given(st.lists(leaves, min_size=1, max_size=3), st.lists(st.tuples(pauses, arrivals), max_size=12))
def test_a_memory_answers_as_the_whole_history_does(conditions, happens):
    story = Story(plan_of(*conditions))
    for pause, arrival in happens:
        story.now += pause
        story.happens(*arrival)
    for data in conditions:
        story.agree(data)


@examples(150)
@given(
    st.lists(leaves, min_size=1, max_size=2),
    st.lists(st.tuples(pauses, st.integers(0, 1), arrivals), max_size=12),
    st.lists(st.tuples(pauses, arrivals), max_size=3),
)
def test_a_merged_memory_answers_as_both_histories_do(conditions, happens, after):
    story = Story(plan_of(*conditions), contacts=2)
    for pause, whose, arrival in happens:
        story.now += pause
        story.happens(*arrival, whose=whose)
    turned = copy.deepcopy(story)
    story.merge(0, 1)
    turned.merge(1, 0)
    for data in conditions:
        story.agree(data, 0)
        turned.agree(data, 1)
    for name in ("counters", "figures", "messages"):
        assert getattr(story.contacts[0], name) == getattr(turned.contacts[1], name)
    story.mails = [(0, mail) for _, mail in story.mails]
    for pause, arrival in after:
        story.now += pause
        story.happens(*arrival)
    for data in conditions:
        story.agree(data, 0)


@examples(60)
@given(leaves, st.lists(st.tuples(st.integers(0, 2), arrivals), max_size=9), st.permutations([0, 1, 2]))
def test_three_are_one_in_any_order(data, happens, order):
    story = Story(plan_of(data), contacts=3)
    for whose, arrival in happens:
        story.now += HOUR
        story.happens(*arrival, whose=whose)
    first, second, third = order
    story.merge(first, second)
    story.merge(first, third)
    story.agree(data, first)


# --- examples ---------------------------------------------------------------------------------------------------------


def told(data, *happened, now, entry=START):
    """Return what is said of somebody who did these `(name, hour, attributes)`, in the order of arrival."""
    story = Story(plan_of(data))
    story.now = START + now
    for name, at, *attributes in happened:
        story.did(name, START + at, dict(*attributes))
    story.agree(data, entry=entry)
    node = parse_condition(data)[0]
    return compile_condition(node)(story.contacts[0], within_run({}, entry), story.now)


def test_then_not_is_true_when_the_time_is_over():
    data = {"sequence": [{"did": "a"}, {"did_not": "b", "within": "10h"}]}
    assert told(data, ("a", 0), now=10 * HOUR) is True
    assert told(data, ("a", 0), now=10 * HOUR - 1) is False
    assert told(data, ("a", 0), ("b", 10 * HOUR - 1), now=20 * HOUR) is False
    assert told(data, ("a", 0), ("b", 10 * HOUR), now=20 * HOUR) is True
    assert told(data, ("b", 0), ("a", 0), now=10 * HOUR) is True, "at one instant what arrived later follows"
    assert told(data, ("a", 0), ("b", 0), now=10 * HOUR) is False
    assert told(data, ("a", 0), ("b", 1), ("a", 2), now=10 * HOUR + 2) is True, "a later one may be without it"
    assert told(data, ("a", 0), ("a", 2), ("b", 3), now=10 * HOUR + 3) is False
    assert told(data, ("a", 0), ("a", 2), now=10 * HOUR) is True, "an earlier one, too"


def test_a_sequence_takes_each_interaction_once():
    twice = {"sequence": [{"did": "a"}, {"did": "a"}]}
    assert told(twice, ("a", 0), now=HOUR) is False
    assert told(twice, ("a", 0), ("a", 0), now=HOUR) is True
    then_twice = {"sequence": [{"did": "b"}, {"did": "a"}, {"did": "a"}]}
    assert told(then_twice, ("b", 0), ("a", 1), now=HOUR) is False
    assert told(then_twice, ("b", 0), ("a", 1), ("a", 1), now=HOUR) is True


def test_the_steps_of_a_sequence_are_near_enough():
    data = {"sequence": [{"did": "a"}, {"did": "b", "within": "10h"}, {"did": "c", "within": "10h"}]}
    assert told(data, ("a", 0), ("b", 9 * HOUR), ("c", 18 * HOUR), now=30 * HOUR) is True
    assert told(data, ("a", 0), ("b", 10 * HOUR), ("c", 18 * HOUR), now=30 * HOUR) is False
    assert told(data, ("c", 18 * HOUR), ("b", 9 * HOUR), ("a", 0), now=30 * HOUR) is True, "late arrivals fall in"
    again = [("a", 0), ("a", 9 * HOUR), ("b", 18 * HOUR), ("c", 18 * HOUR)]
    assert told(data, *again, now=30 * HOUR) is True, "the later one is near enough"
    long = {"sequence": data["sequence"], "within": "15h"}
    assert told(long, ("a", 0), ("b", 1), ("c", 2), now=15 * HOUR) is False
    assert told(long, ("a", 1), ("b", 1), ("c", 2), now=15 * HOUR) is True


def test_what_must_not_follow_is_looked_for_beyond_the_window():
    data = {"sequence": [{"did": "a"}, {"did_not": "b", "within": "48h"}], "until": "2024-02-29"}
    assert told(data, ("a", 23 * HOUR), ("b", 30 * HOUR), now=100 * HOUR) is False
    assert told(data, ("a", 24 * HOUR), now=100 * HOUR) is False


def test_sums_do_not_depend_on_the_order():
    tenth = {"did": "a", "sum": {"of": "v", "between": [0.3, 0.3]}}
    for values in ([0.1, 0.2], [0.2, 0.1], [1e12, 0.3, -1e12], [0.3, 1.1e12, "1", True, None]):
        assert told(tenth, *(("a", 0, {"v": value}) for value in values), now=HOUR) is True
    tiny = {"did": "a", "sum": {"of": "v", "at_least": 0.000002}}
    assert told(tiny, *[("a", 0, {"v": 6e-7})] * 2, now=0) is True, "each is rounded"
    assert told(tiny, *[("a", 0, {"v": 4e-7})] * 9, now=0) is False
    assert told({"did": "a", "sum": {"of": "v", "at_most": 0}}, now=0) is True, "of nothing it is 0"
    assert told({"did": "a", "min": {"of": "v", "is_missing": True}}, ("a", 0, {"v": "1"}), now=0) is True


def test_a_sum_beyond_every_word_is_kept():
    data = {"did": "a", "sum": {"of": "v", "at_least": 1e12}}
    assert told(data, *(("a", 0, {"v": 1e12}) for _ in range(20)), now=0) is True
    back = [("a", 0, {"v": 1e12})] * 20 + [("a", 0, {"v": -1e12})] * 20
    assert told(data, *back, now=0) is False


def test_the_entry_itself_belongs_to_what_happened_since():
    data = {"did": "a", "since": "entry"}
    assert told(data, ("a", 5), now=HOUR, entry=START + 5) is True
    assert told(data, ("a", 4), now=HOUR, entry=START + 5) is False
    both = data | {"within": "10h"}
    assert told(both, ("a", 5), now=HOUR, entry=START + 5) is True
    assert told(both, ("a", 5), now=10 * HOUR + 5, entry=START + 5) is False
    assert told(both, ("a", 4), now=HOUR, entry=START + 5) is False


def test_each_absolute_window_has_a_memory_of_its_own():
    days = [{"from": f"2024-03-0{day}", "until": f"2024-03-0{day}"} for day in (1, 2, 3)]
    asked = [{"did": "a", "sum": {"of": "v", "between": [day, day]}} | window for day, window in enumerate(days)]
    asked += [{"did": "a", "times": day} | window for day, window in enumerate(days)]
    story = Story(plan_of(*asked))
    for day in range(3):
        story.now = START + (day + 1) * 24 * HOUR
        for _ in range(day):
            story.did("a", story.now, {"v": 1})
    for data in asked:
        story.agree(data)
    contact = story.contacts[0]
    assert all(compile_condition(parse_condition(data)[0])(contact, {}, story.now) for data in asked)


@pytest.mark.parametrize(
    "born, now, days, expected",
    [
        ("1980-03-05", "2026-03-05T00:00:00Z", 1, True),
        ("1980-03-05", "2026-03-05T23:59:59.999Z", 1, True),
        ("1980-03-05", "2026-03-06T00:00:00Z", 7, False),
        ("1980-03-05", "2026-02-27T00:00:00Z", 7, True),
        ("1980-03-05", "2026-02-26T23:59:59Z", 7, False),
        ("1980-01-02", "2025-12-31T12:00:00Z", 3, True),
        ("2096-02-29", "2026-02-28T12:00:00Z", 1, True),
        ("2096-02-29", "2026-03-01T12:00:00Z", 1, False),
        ("2000-02-29", "2024-02-28T12:00:00Z", 1, False),
        ("2000-02-29", "2024-02-29T12:00:00Z", 1, True),
        ("2000-02-28", "2024-02-29T12:00:00Z", 365, False),
        ("2000-02-28", "2024-02-29T12:00:00Z", 366, True),
        ("1980-03-05T23:30:00-01:00", "2026-03-06T00:00:00Z", 1, True),
        ("no date", "2026-03-06T00:00:00Z", 1, False),
    ],
)
def test_anniversaries_are_days_in_utc(born, now, days, expected):
    node, _ = parse_condition({"contact": "born", "anniversary_within": f"{days}d"})
    at = int(datetime.fromisoformat(now).timestamp() * 1000)
    contact = Contact("c", attributes={"born": born})
    assert compile_condition(node)(contact, {}, at) is expected
    assert answer(node, Asked(Somebody(contact.attributes), at)) is expected


def test_relative_dates_are_half_open():
    def said(operator, at, length="1h"):
        node, _ = parse_condition({"contact": "seen", operator: length})
        seen = datetime.fromtimestamp(at / 1000, UTC)
        person = Somebody({"seen": seen})
        found = compile_condition(node)(Contact("c", attributes={"seen": seen}), {}, START)
        assert found is answer(node, Asked(person, START))
        return found

    assert [said("within_last", START - HOUR + after) for after in (0, 1, HOUR, HOUR + 1)] == [False, True, True, False]
    assert [said("within_next", START + after) for after in (0, 1, HOUR, HOUR + 1)] == [False, True, True, False]
    assert [said("older_than", START - HOUR + after) for after in (-1, 0, 1)] == [True, True, False]


# --- memory -----------------------------------------------------------------------------------------------------------

BOUNDED = [
    {"did": "a", "times": {"at_least": 3}},
    {"did": ["a", "b"], "from": "2024-02-29", "until": "2024-02-29"},
    {"did": "a", "sum": {"of": "v", "at_least": 1}},
    {"did": "a", "max": {"of": "v", "at_least": 1}, "until": "2024-03-29"},
    {"did": "a", "last": {"of": "v", "at_least": 1}, "within": "1h"},
    {"did": "a", "sum": {"of": "v", "at_least": 1}, "within": "1000d"},
    {"did": "a", "first": {"of": "v", "at_least": 1}, "since": "entry"},
    {"sequence": [{"did": "a"}, {"did": "b"}]},
]


def test_memory_is_bounded_however_long_the_history():
    story = Story(plan_of(*BOUNDED))
    for number in range(MOST_KEPT + 500):
        story.now += 1
        story.did("a", story.now - (number % 7), {"v": number})
    contact = story.contacts[0]
    sizes = {need.keeps: len(contact.figures.get(id_, ())) for id_, need in story.plan.needs.items()}
    assert sizes == {"times": 0, "total": 1, "greatest": 1, "last": 1, "entries": MOST_KEPT}
    assert sorted(map(len, contact.counters.values())) == [2, 4]
    for entries in contact.figures.values():
        assert entries == sorted(entries)


def test_what_no_window_reaches_is_dropped():
    data = [{"did": "a", "sum": {"of": "v", "at_least": 1}, "within": length} for length in ("1h", "3h")]
    story = Story(plan_of(*data))
    for _ in range(10):
        story.now += HOUR
        story.did("a", story.now, {"v": 1})
    assert [len(entries) for entries in story.contacts[0].figures.values()] == [3]
    story.now += 10 * HOUR
    story.did("a", START, {"v": 1})
    assert list(story.contacts[0].figures.values()) == [[]]


def test_an_interaction_feeds_only_what_asks_for_it():
    story = Story(plan_of(*BOUNDED))
    story.did("c", START, {"v": 1})
    assert (story.contacts[0].counters, story.contacts[0].figures) == ({}, {})
    assert story.plan.routes.keys() == {"a", "b"}


def test_messages_are_remembered_only_where_somebody_asks():
    story = Story(plan_of({"did": "a"}))
    story.sent("hello", "email")
    story.reacted(0, "opened", START)
    assert story.contacts[0].messages == {}
    story = Story(plan_of({"any": [{"not": {"messages": "opened"}}]}))
    for number in range(KEPT_MESSAGES + 5):
        story.sent("hello", "email")
        story.reacted(number, "opened", START)
    assert len(story.contacts[0].messages) == KEPT_MESSAGES == MOST_MESSAGES + 1


def test_a_reaction_counts_once_at_its_first_time():
    data = {"messages": "opened", "times": 1, "within": "10h"}
    story = Story(plan_of(data))
    story.sent("hello", "email")
    story.now += 12 * HOUR
    story.reacted(0, "opened", story.now)
    story.reacted(0, "opened", story.now)
    story.agree(data)
    story.reacted(0, "opened", START + HOUR)  # the first of them arrives last, and is too long ago
    story.agree(data)
    story.reacted(0, "opened", story.now)
    story.agree(data)
    assert story.contacts[0].messages["0"].reactions == {"opened": START + HOUR}


def test_a_state_written_before_is_read():
    old = msgspec.msgpack.encode(["c", 5, {}, {}, {}, [], {"abc": [1, 2]}])
    contact = decode_contact(old)
    assert (contact.counters, contact.figures, contact.messages) == ({"abc": [1, 2]}, {}, {})
