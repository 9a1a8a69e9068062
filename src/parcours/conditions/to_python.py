"""Compile a tree to a Python closure that answers for one contact, now.

A closure takes the contact, the attributes of the interaction at hand (an empty mapping when there is none) and the
instant, and returns a bool. It reads nothing else.

A condition that looks at what happened since the start of a run, or at its data, finds these among the attributes,
under names that no attribute can be asked for (`within_run`). So the others pay nothing for it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any, Protocol

from parcours.conditions import ast
from parcours.conditions.loyalty import CouponOf, MemberOf, compile_loyalty
from parcours.conditions.needs import Keeps, need_of
from parcours.conditions.operators import COUNTS, OPERATORS, fold_case, millionths, prepare
from parcours.conditions.paths import reached
from parcours.conditions.samples import edges, place

STARTED = "\0started"
"""Where the start of the run stands among the attributes of what started it. No condition can name it: text in a
condition holds no NUL."""

SAVED = "\0saved"
"""Where the data of the run stands among them."""

_NO_DATA: Mapping[str, Any] = {}

Entry = tuple[int, int, Any]
"""When it occurred, its place in the log (what arrived first is first at one instant), and a value."""


class OnList(Protocol):
    """Whether a contact is on a list."""

    member: bool


class Sent(Protocol):
    """A message that was sent to a contact."""

    message: str
    channel: str
    at: int
    reactions: dict[str, int]


class Person(Protocol):
    """What a condition may look at: the contact, as far as this layer knows it."""

    id: str
    attributes: dict[str, Any]
    consent: dict[str, dict[str, str]]
    counters: dict[str, list[int]]
    figures: dict[str, list[Entry]]

    @property
    def lists(self) -> Mapping[str, OnList]:
        """Every list the contact was put on or taken off, by name."""
        ...

    @property
    def loyalty(self) -> Mapping[str, MemberOf]:
        """What the contact has in programmes, by name."""
        ...

    @property
    def coupons(self) -> Mapping[str, CouponOf]:
        """The coupons of the contact, by code."""
        ...

    @property
    def messages(self) -> Mapping[str, Sent]:
        """The latest messages sent to the contact, by id."""
        ...


Test = Callable[[Person, Mapping[str, Any], int], bool]
Segments = Mapping[str, ast.Node]


def compile_condition(node: ast.Node, segments: Segments | None = None) -> Test:  # noqa: PLR0911 (a case a kind of node)
    """Return the closure of a tree. `segments` holds the condition of each segment the tree may name.

    Raises:
        KeyError: The tree names a segment that is not given.
    """
    known = segments or {}
    match node:
        case ast.Attribute():
            return _attribute(node)
        case ast.History():
            return _count(node) if node.measure is ast.Measure.COUNT else _figure(node)
        case ast.Sequence():
            return _sequence(node)
        case ast.MessageHistory():
            return _messages(node)
        case ast.InList():
            return _in_list(node)
        case ast.InSegment():
            return compile_condition(known[node.name], known)
        case ast.Consent():
            return _consent(node)
        case ast.Points() | ast.Tier() | ast.IsMember() | ast.HasReward():
            return compile_loyalty(node)
        case ast.Sample():
            return _sample(node)
        case ast.Not():
            inner = compile_condition(node.part, known)
            return lambda person, trigger, now: not inner(person, trigger, now)
        case ast.All():
            return _all([compile_condition(part, known) for part in node.parts])
        case ast.Any():
            return _any([compile_condition(part, known) for part in node.parts])


def within_run(attributes: Mapping[str, Any], started_at: int, saved: Mapping[str, Any] = _NO_DATA) -> dict[str, Any]:
    """Return the attributes at hand for a condition that looks at the run: at what happened since its start, its data."""
    return {**attributes, STARTED: started_at, SAVED: saved}


def _all(parts: list[Test]) -> Test:
    if len(parts) == 1:
        return parts[0]

    def test(person: Person, trigger: Mapping[str, Any], now: int) -> bool:
        for part in parts:  # noqa: SIM110 (a generator costs more than the parts)
            if not part(person, trigger, now):
                return False
        return True

    return test


def _any(parts: list[Test]) -> Test:
    if len(parts) == 1:
        return parts[0]

    def test(person: Person, trigger: Mapping[str, Any], now: int) -> bool:
        for part in parts:  # noqa: SIM110 (a generator costs more than the parts)
            if part(person, trigger, now):
                return True
        return False

    return test


def _attribute(leaf: ast.Attribute) -> Test:
    name = leaf.name
    if leaf.subject is ast.Subject.RUN:
        compare = _comparison(leaf)
        return lambda _person, trigger, now: compare(reached(trigger.get(SAVED, _NO_DATA), name), now)
    of_contact = leaf.subject is ast.Subject.CONTACT
    if leaf.operator == "is_missing":
        if of_contact:
            return lambda person, _trigger, _now: person.attributes.get(name) is None
        return lambda _person, trigger, _now: trigger.get(name) is None
    operand = leaf.value
    if leaf.operator == "is" and isinstance(operand, str) and not leaf.ignore_case:
        # Text equals nothing but text, so the common comparison needs no look at types.
        if of_contact:
            return lambda person, _trigger, _now: bool(person.attributes.get(name) == operand)
        return lambda _person, trigger, _now: bool(trigger.get(name) == operand)
    check = _comparison(leaf)
    if of_contact:
        return lambda person, _trigger, now: check(person.attributes.get(name), now)
    return lambda _person, trigger, now: check(trigger.get(name), now)


def _comparison(leaf: ast.Attribute | ast.History) -> Callable[[Any, int], bool]:
    """Return what compares a value, None when it is missing, with that of a leaf, now."""
    if leaf.operator == "is_missing":
        return lambda value, _now: value is None
    operator = OPERATORS[leaf.operator]
    operand = prepare(operator, leaf.value, ignore_case=leaf.ignore_case)
    compare = operator.compare
    if leaf.ignore_case:
        return lambda value, now: value is not None and compare(fold_case(value), operand, now)
    return lambda value, now: value is not None and compare(value, operand, now)


# --- what happened ----------------------------------------------------------------------------------------------------

Bound = Callable[[Mapping[str, Any], int], int]
"""The attributes at hand and now, to the instant after which the past counts."""

_time = itemgetter(0)
_value = itemgetter(2)


def bound_of(window: ast.Window) -> Bound | None:
    """Return where a window that moves begins, or None when it does not move.

    The two ends of an absolute window are kept when something is remembered, and not asked for here.
    """
    within = window.within
    if window.since:
        if within is None:
            return lambda trigger, now: trigger.get(STARTED, now) - 1
        return lambda trigger, now: max(now - within, trigger.get(STARTED, now) - 1)
    if within is not None:
        return lambda _trigger, now: now - within
    return None


def _count(leaf: ast.History) -> Test:
    key, within, limit = need_of(leaf).id, leaf.window.within, leaf.value
    compare = COUNTS[leaf.operator]
    assert isinstance(limit, int)  # noqa: S101 (the parser reads nothing else)
    bound = bound_of(leaf.window) if leaf.window.since else None

    def test(person: Person, trigger: Mapping[str, Any], now: int) -> bool:
        times = person.counters.get(key)
        if not times:
            return compare(0, limit)
        upto = bisect_right(times, now)
        if bound is not None:
            start = bisect_right(times, bound(trigger, now))
        else:
            start = bisect_right(times, now - within) if within is not None else 0
        return compare(max(upto - start, 0), limit)

    return test


def _figure(leaf: ast.History) -> Test:
    """Return what compares a sum, or the least, greatest, first or last value."""
    need = need_of(leaf)
    key, measure, bound = need.id, leaf.measure, bound_of(leaf.window)
    if measure is ast.Measure.SUM:
        return _sum(leaf, key, bound)
    check = _comparison(leaf)
    if need.keeps is not Keeps.ENTRIES:

        def of_one(person: Person, trigger: Mapping[str, Any], now: int) -> bool:
            known = person.figures.get(key)
            if not known or (bound is not None and known[0][0] <= bound(trigger, now)):
                return check(None, now)
            return check(known[0][2], now)

        return of_one

    choose: Callable[[list[Entry]], Any] = {
        ast.Measure.MINIMUM: lambda entries: min(map(_value, entries)),
        ast.Measure.MAXIMUM: lambda entries: max(map(_value, entries)),
        ast.Measure.FIRST: lambda entries: entries[0][2],
    }[measure]

    def of_several(person: Person, trigger: Mapping[str, Any], now: int) -> bool:
        entries = inside(person.figures.get(key), bound, trigger, now)
        return check(choose(entries) if entries else None, now)

    return of_several


def of_sum(leaf: ast.History) -> Callable[[int], bool]:
    """Return what compares a sum, in millionths, with the limits of a leaf."""
    low, *rest = limits_of(leaf)
    if rest:
        return lambda total: low <= total <= rest[0]
    compare = COUNTS[leaf.operator]
    return lambda total: compare(total, low)


def limits_of(leaf: ast.History) -> list[int]:
    """Return what a sum is compared with, in millionths."""
    given = leaf.value if isinstance(leaf.value, tuple) else (leaf.value,)
    return [millionths(limit) or 0 for limit in given]


def _sum(leaf: ast.History, key: str, bound: Bound | None) -> Test:
    compare = of_sum(leaf)
    if bound is None:

        def of_total(person: Person, _trigger: Mapping[str, Any], _now: int) -> bool:
            known = person.figures.get(key)
            return compare(int(known[0][2]) if known else 0)

        return of_total

    def of_entries(person: Person, trigger: Mapping[str, Any], now: int) -> bool:
        return compare(sum(map(_value, inside(person.figures.get(key), bound, trigger, now))))

    return of_entries


def inside(known: list[Entry] | None, bound: Bound | None, trigger: Mapping[str, Any], now: int) -> list[Entry]:
    """Return the entries that lie in a window that moves."""
    if not known or bound is None:
        return known or []
    return known[bisect_right(known, bound(trigger, now), key=_time) :]


def _sequence(leaf: ast.Sequence) -> Test:
    """Return what looks for the steps of a sequence, one after the other.

    Of each step the latest instant is kept at which the steps up to it have happened: whatever can follow an earlier one
    in time can follow that. Only where the last step must not happen, the earliest that is still without it counts.
    """
    key, bound = need_of(leaf).id, bound_of(leaf.window)
    happening = [step for step in leaf.steps if not step.absent]
    # The last step first, so that one interaction is not two steps.
    steps = [(index, 1 << index, happening[index].within) for index in range(len(happening) - 1, 0, -1)]
    last = len(happening) - 1
    absent = leaf.steps[-1] if leaf.steps[-1].absent else None
    quiet = (absent.within or 0) if absent is not None else 0
    breaks = 1 << (len(leaf.steps) - 1) if absent is not None else 0

    def test(person: Person, trigger: Mapping[str, Any], now: int) -> bool:
        latest: list[int | None] = [None] * len(happening)
        waiting: int | None = None
        for at, _, mask in inside(person.figures.get(key), bound, trigger, now):
            if mask & breaks and waiting is not None:
                if at - waiting >= quiet:
                    return True
                waiting = None
            reached = mask & 1 and last == 0
            for index, bit, within in steps:
                if mask & bit:
                    before = latest[index - 1]
                    if before is not None and (within is None or at - before < within):
                        latest[index] = at
                        reached = reached or index == last
            if mask & 1:
                latest[0] = at
            if reached:
                if not breaks:
                    return True
                waiting = at if waiting is None else waiting
        return waiting is not None and now - waiting >= quiet

    return test


def _messages(leaf: ast.MessageHistory) -> Test:
    limit, compare = leaf.count, COUNTS[leaf.operator]
    count = _counting(leaf)
    return lambda person, trigger, now: compare(count(person, trigger, now), limit)


def count_messages(leaf: ast.MessageHistory, person: Person, trigger: Mapping[str, Any], now: int) -> int:
    """Return how many messages a leaf counts."""
    return _counting(leaf)(person, trigger, now)


def _counting(leaf: ast.MessageHistory) -> Callable[[Person, Mapping[str, Any], int], int]:
    reaction, of, channel, bound = leaf.reaction, frozenset(leaf.of), leaf.channel, bound_of(leaf.window)
    start, end = leaf.window.start, leaf.window.end

    def count(person: Person, trigger: Mapping[str, Any], now: int) -> int:
        after = bound(trigger, now) if bound is not None else None
        found = 0
        for sent in person.messages.values():
            if (of and sent.message not in of) or (channel and sent.channel != channel):
                continue
            at = sent.at if reaction == "sent" else sent.reactions.get(reaction)
            if (
                at is not None
                and (after is None or at > after)
                and (start is None or at >= start)
                and (end is None or at < end)
            ):
                found += 1
        return found

    return count


def _in_list(leaf: ast.InList) -> Test:
    name = leaf.name

    def test(person: Person, _trigger: Mapping[str, Any], _now: int) -> bool:
        known = person.lists.get(name)
        return known is not None and known.member

    return test


def _consent(leaf: ast.Consent) -> Test:
    channel, topic, state = leaf.channel, leaf.topic, leaf.state
    return lambda person, _trigger, _now: consent_state(person.consent, channel, topic) == state


def _sample(leaf: ast.Sample) -> Test:
    seed, (start, end) = leaf.seed, edges(leaf)
    return lambda person, _trigger, _now: start <= place(seed, person.id) < end


def consent_state(consent: Mapping[str, Mapping[str, str]], channel: str, topic: str) -> str:
    """Return the consent for a topic of a channel: its own, else the channel's, else `unknown`."""
    topics = consent.get(channel)
    if not topics:
        return "unknown"
    return topics.get(topic) or topics.get("") or "unknown"
