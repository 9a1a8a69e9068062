"""When an answer may change although nothing happens: the timer that a condition asks for.

A person's answer changes with time alone where a window moves on or a date comes near. `compile_change` returns a
closure that tells the next instant at which it may: never later than the change itself, and sometimes earlier, when the
answer turns out to be the same and the closure is asked again.

| part                                   | next instant                                                       |
|----------------------------------------|--------------------------------------------------------------------|
| a count in a rolling window            | when it crosses the limit, as the oldest matches leave              |
| a sum in a rolling window              | when it crosses a limit, as the oldest entries leave                |
| another figure in a rolling window     | when the oldest entry leaves                                       |
| a sequence                             | the same, and when the time of a step that must not happen is over  |
| messages in a rolling window           | when the oldest leaves                                             |
| `within_last`, `within_next`, `older_than` | when the value comes to either end                             |
| `anniversary_within`                   | the midnight (UTC) at which it begins or ends                      |
| what counts towards tiers in a rolling period | when the oldest leaves                                     |
| anything else                          | never                                                              |
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from parcours.conditions import ast
from parcours.conditions.instants import first_milliseconds
from parcours.conditions.loyalty import change_of
from parcours.conditions.needs import Keeps, need_of, walk
from parcours.conditions.operators import COUNTS, OPERATORS, days_to_anniversary, to_instant
from parcours.conditions.to_python import Person, Segments, of_sum

Change = Callable[[Person, int], int | None]
"""A person and now, to the next instant after now at which the answer may be another, or None for never."""

Turns = Callable[[Person, Mapping[str, Any], int], int | None]
"""The same of a condition that may also look at the interaction at hand."""

DAY = 86_400_000


def compile_change(node: ast.Node, segments: Segments | None = None) -> Change | None:
    """Return what tells when a tree's answer may change by itself, or None when it never does.

    Raises:
        KeyError: The tree names a segment that is not given.
    """
    known = segments or {}
    match node:
        case ast.Attribute():
            return _attribute(node)
        case ast.History():
            return _history(node)
        case ast.Sequence():
            return _sequence(node)
        case ast.MessageHistory():
            return _messages(node)
        case ast.Points() | ast.Tier() | ast.IsMember() | ast.HasReward():
            return change_of(node)
        case ast.InSegment():
            return compile_change(known[node.name], known)
        case ast.Not():
            return compile_change(node.part, known)
        case ast.All() | ast.Any():
            return _first_of([compile_change(part, known) for part in node.parts])
        case _:
            return None


def compile_turns(node: ast.Node) -> Turns | None:
    """Return what tells when the answer may change by itself, also by dates of the interaction at hand.

    The segments that the tree names stand as their conditions.
    """
    of_person = compile_change(node)
    of_facts = [
        (leaf.name, of_value)
        for leaf in walk(node)
        if isinstance(leaf, ast.Attribute) and leaf.subject is ast.Subject.TRIGGER
        if (of_value := _of_value(leaf.operator, leaf.value)) is not None
    ]
    if not of_facts:
        return None if of_person is None else lambda person, _facts, now: of_person(person, now)

    def turns(person: Person, facts: Mapping[str, Any], now: int) -> int | None:
        found = [of_value(facts.get(name), now) for name, of_value in of_facts]
        if of_person is not None:
            found.append(of_person(person, now))
        return _earliest(found, now)

    return turns


def _first_of(parts: Iterable[Change | None]) -> Change | None:
    changing = [part for part in parts if part is not None]
    if len(changing) <= 1:
        return changing[0] if changing else None
    return lambda person, now: _earliest([part(person, now) for part in changing], now)


def _earliest(instants: Iterable[int | None], now: int) -> int | None:
    return min((instant for instant in instants if instant is not None and instant > now), default=None)


# --- dates ------------------------------------------------------------------------------------------------------------


def _attribute(leaf: ast.Attribute) -> Change | None:
    if leaf.subject is not ast.Subject.CONTACT:
        return None
    name, of_value = leaf.name, _of_value(leaf.operator, leaf.value)
    return None if of_value is None else lambda person, now: of_value(person.attributes.get(name), now)


def _of_value(operator: str, operand: Any) -> Callable[[Any, int], int | None] | None:
    """Return what tells when a comparison of a value may come out differently, or None when it never does."""
    if operator not in OPERATORS or not OPERATORS[operator].clocked:
        return None
    if operator == "anniversary_within":
        return lambda value, now: _next_anniversary(value, int(operand), now)
    ends = {"within_last": (0, operand), "within_next": (-operand, 0), "older_than": (operand,)}[operator]

    def change(value: Any, now: int) -> int | None:
        instant = to_instant(value)
        if instant is None:
            return None
        at = first_milliseconds(instant)
        return _earliest([at + end for end in ends], now)

    return change


def _next_anniversary(value: Any, length: int, now: int) -> int | None:
    instant = to_instant(value)
    if instant is None:
        return None
    days, midnight = days_to_anniversary(instant, now), now - now % DAY
    # While it is on, to the end of the day itself; else to the first day from which it is near enough.
    ahead = days + 1 if days * DAY < length else days + 1 - -(-length // DAY)
    return midnight + max(1, ahead) * DAY


# --- what happened ----------------------------------------------------------------------------------------------------


def _history(leaf: ast.History) -> Change | None:
    if leaf.measure is ast.Measure.COUNT:
        return _count(leaf)
    if leaf.measure is ast.Measure.SUM:
        return _sum(leaf)
    need, within = need_of(leaf), leaf.window.within
    key = need.id
    of_value = _of_value(leaf.operator, leaf.value)
    if within is None and of_value is None:
        return None
    if of_value is not None and need.keeps is Keeps.ENTRIES:
        # Which of the entries counts may change as well: each is asked.
        values: Callable[[list[Any], int], list[int | None]] = lambda entries, now: [  # noqa: E731 (it is typed so)
            of_value(entry[2], now) for entry in entries
        ]
    elif of_value is not None:
        values = lambda entries, now: [of_value(entries[0][2], now)]  # noqa: E731
    else:
        values = lambda _entries, _now: []  # noqa: E731

    def change(person: Person, now: int) -> int | None:
        entries = person.figures.get(key)
        if not entries:
            return None
        leaving = None
        if within is not None:
            first = bisect_right(entries, now - within, key=_time)
            leaving = entries[first][0] + within if first < len(entries) else None
        return _earliest([leaving, *values(entries, now)], now)

    return change


def _time(entry: Any) -> int:
    at: int = entry[0]
    return at


def _count(leaf: ast.History) -> Change | None:
    within = leaf.window.within
    if within is None:
        return None
    key, limit, compare, since = need_of(leaf).id, leaf.value, COUNTS[leaf.operator], leaf.window.since
    assert isinstance(limit, int)  # noqa: S101 (the parser reads nothing else)

    def change(person: Person, now: int) -> int | None:
        times = person.counters.get(key)
        if not times:
            return None
        first = bisect_right(times, now - within)
        count = len(times) - first
        if since:
            # Fewer than these count, so any that leaves may be the one.
            return times[first] + within if count else None
        # The first number below the count at which the answer is another one: it only falls.
        at = next((limit + over for over in (1, 0, -1) if crosses(count, limit + over)), None)
        return times[first + count - at - 1] + within if at is not None else None

    def crosses(count: int, fewer: int) -> bool:
        return 0 <= fewer < count and compare(fewer, limit) != compare(count, limit)

    return change


def _sum(leaf: ast.History) -> Change | None:
    within = leaf.window.within
    if within is None:
        return None
    key, compare = need_of(leaf).id, of_sum(leaf)

    def change(person: Person, now: int) -> int | None:
        entries = person.figures.get(key)
        if not entries:
            return None
        inside = entries[bisect_right(entries, now - within, key=_time) :]
        total = sum(value for _, _, value in inside)
        answer = compare(total)
        for at, _, value in inside:
            total -= value
            if compare(total) != answer:
                return at + within
        return None

    return change


def _sequence(leaf: ast.Sequence) -> Change | None:
    key, within = need_of(leaf).id, leaf.window.within
    quiet = leaf.steps[-1].within if leaf.steps[-1].absent else None
    if within is None and quiet is None:
        return None

    def change(person: Person, now: int) -> int | None:
        entries = person.figures.get(key)
        if not entries:
            return None
        found: list[int | None] = []
        if within is not None:
            first = bisect_right(entries, now - within, key=_time)
            found.append(entries[first][0] + within if first < len(entries) else None)
        if quiet is not None:
            waiting = bisect_right(entries, now - quiet, key=_time)
            found.append(entries[waiting][0] + quiet if waiting < len(entries) else None)
        return _earliest(found, now)

    return change


def _messages(leaf: ast.MessageHistory) -> Change | None:
    within, reaction = leaf.window.within, leaf.reaction
    if within is None:
        return None

    def change(person: Person, now: int) -> int | None:
        times = (sent.at if reaction == "sent" else sent.reactions.get(reaction) for sent in person.messages.values())
        return _earliest((at + within for at in times if at is not None), now)

    return change
