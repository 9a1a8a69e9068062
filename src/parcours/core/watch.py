"""Which segments are watched, and what can touch them: compiled with the plan, asked by `core.membership`.

A segment is watched when its definition says `live`, or when people enter a live journey as they enter or leave it. Of
a watched segment each contact knows whether it is a member, and the fold keeps that exact. An input is only held
against the segments that it can touch:

| something of these happens              | segments that may change                     | found in            |
|-----------------------------------------|----------------------------------------------|---------------------|
| an interaction                          | those whose answer may be another by what was remembered of it | `by_need` |
| an attribute of the contact             | those that compare it                        | `by_attribute`      |
| a list is joined or left                | those that ask for it                        | `by_list`           |
| consent                                 | those that ask for any                       | `by_consent`        |
| a message is sent or reacted to         | those that count messages                    | `by_message`        |
| two contacts become one, a contact is new | all                                        | `segments`          |
| time passes                             | those that asked for a timer                 | the contact's timers |
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping
from operator import itemgetter

import msgspec

from parcours.conditions import ast
from parcours.conditions.changes import Change, compile_change
from parcours.conditions.needs import MOST_KEPT, need_of, walk
from parcours.conditions.operators import COUNTS
from parcours.conditions.text import describe
from parcours.conditions.to_python import Entry, Test, compile_condition, limits_of
from parcours.core.contact import Contact
from parcours.core.memory import NOTHING

Taken = tuple[str, int]
"""A need whose memory took something, and what it said of that: see `Memory.take`."""


class Watched(msgspec.Struct, frozen=True):
    """A segment whose members are known at any instant."""

    name: str
    node: ast.Node
    """Its condition, with the segments that it names in their places."""
    ask: Test
    change: Change | None
    """When the answer may change by itself; None for never."""
    text: str
    revision: int
    """The revision of the plan from which it has been watched with this condition."""
    since: int
    """The instant of that: who is a member then was one before, and does not enter."""
    entered: tuple[str, ...]
    """Journeys that start for whoever enters, oldest first."""
    left: tuple[str, ...]


class Touched:
    """The segments that ask one memory, so that one more thing remembered finds those whose answer may be another.

    A count in a window grows by one, so only conditions for which that number is the one at which the answer turns are
    asked again; of a sum those with a limit between what it was and what it is. The others keep the timer that they
    asked for: with more in the window it is longer until too little is left, so the timer comes due too early at most, and
    asks again then. Where that is not so (a sum of which something is negative), and of other figures, every condition is
    asked.
    """

    def __init__(self) -> None:
        self.always: dict[str, Watched] = {}
        """Asked whatever was remembered."""
        self.turning: dict[int | None, dict[int, dict[str, Watched]]] = {}
        """Length of the window, then the count at which the answer turns, to those that are asked."""
        self.sums: dict[int | None, list[tuple[int, str]]] = {}
        """Length of the window to the limits of sums, in millionths, each with a segment.

        The shortest windows and the smallest limits come first."""
        self._known: dict[str, Watched] = {}

    def add(self, leaf: ast.History | ast.Sequence, watched: Watched) -> None:
        """Take up a question of a segment."""
        if isinstance(leaf, ast.History) and leaf.measure is ast.Measure.SUM and not leaf.window.since:
            self._known[watched.name] = watched
            for limit in limits_of(leaf):
                insort(self.sums.setdefault(leaf.window.within, []), (limit, watched.name))
            self.sums = dict(sorted(self.sums.items(), key=_length))
            return
        if isinstance(leaf, ast.Sequence) or leaf.measure is not ast.Measure.COUNT or leaf.window.since:
            self.always[watched.name] = watched
            return
        assert isinstance(leaf.value, int)  # noqa: S101 (the parser reads nothing else)
        compare, limit = COUNTS[leaf.operator], leaf.value
        counts = self.turning.setdefault(leaf.window.within, {})
        for count in range(max(limit, 1), limit + 2):
            if compare(count - 1, limit) != compare(count, limit):
                counts.setdefault(count, {})[watched.name] = watched

    def find_counts(self, times: list[int], at: int, forgotten: int, now: int, found: dict[str, Watched]) -> None:
        """Add the segments with a count that are to be asked again to those found.

        Args:
            times: What is counted, with what occurred at `at`.
            at: When that occurred which was counted last.
            forgotten: When that occurred which was forgotten for it. What is forgotten from within a window leaves a
                number there that is too large for any answer to turn.
            now: The instant.
            found: Is added to.
        """
        upto = len(times)
        for within, counts in self.turning.items():
            since = now - within if within is not None else NOTHING
            if at <= since or forgotten > since:
                continue
            segments = counts.get(upto - bisect_right(times, since) if within is not None else upto)
            if segments is not None:
                found.update(segments)

    def find_sums(self, entries: list[Entry], at: int, value: int, now: int, found: dict[str, Watched]) -> None:
        """Add the segments with a sum that are to be asked again to those found.

        Args:
            entries: What is added up, with what occurred at `at` and has the value `value`.
            at: When that occurred.
            value: What was added.
            now: The instant.
            found: Is added to.
        """
        total, place = 0, len(entries)
        rising = False
        for within, limits in self.sums.items():
            since = now - within if within is not None else NOTHING
            first = bisect_right(entries, since, key=_first)
            values = [int(entry[2]) for entry in entries[first:place]]
            total += sum(values)
            rising = rising or (bool(values) and min(values) < 0)
            place = first
            if within is not None and at <= since:
                continue
            if within is not None and (rising or (first == 0 and len(entries) >= MOST_KEPT)):
                # As something leaves the window the sum rises, or something was forgotten for what came.
                chosen = limits
            else:
                low, high = sorted((total - value, total))
                chosen = limits[bisect_left(limits, low, key=_first) : bisect_right(limits, high, key=_first)]
            for _, name in chosen:
                found[name] = self._known[name]


_first = itemgetter(0)


def _length(item: tuple[int | None, object]) -> float:
    return item[0] if item[0] is not None else math.inf


class Watch:
    """The watched segments of a plan."""

    def __init__(self, segments: Iterable[Watched] = ()) -> None:
        self.segments = {watched.name: watched for watched in segments}
        self.by_need: dict[str, Touched] = {}
        self.by_attribute: dict[str, dict[str, Watched]] = {}
        self.by_list: dict[str, dict[str, Watched]] = {}
        self.by_consent: dict[str, Watched] = {}
        self.by_message: dict[str, Watched] = {}
        self.by_loyalty: dict[str, Watched] = {}
        for watched in self.segments.values():
            self._index(watched)

    def _index(self, watched: Watched) -> None:
        name = watched.name
        for leaf in walk(watched.node):
            match leaf:
                case ast.History() | ast.Sequence():
                    self.by_need.setdefault(need_of(leaf).id, Touched()).add(leaf, watched)
                case ast.Attribute(subject=ast.Subject.CONTACT):
                    self.by_attribute.setdefault(leaf.name, {})[name] = watched
                case ast.InList():
                    self.by_list.setdefault(leaf.name, {})[name] = watched
                case ast.Consent():
                    self.by_consent[name] = watched
                case ast.MessageHistory():
                    self.by_message[name] = watched
                case ast.Points() | ast.Tier() | ast.IsMember() | ast.HasReward():
                    self.by_loyalty[name] = watched
                case _:
                    pass

    def by_memories(self, contact: Contact, taken: Iterable[Taken], at: int, now: int) -> dict[str, Watched]:
        """Return the segments whose answer may be another, now that memories took something that occurred at `at`."""
        found: dict[str, Watched] = {}
        for need, note in taken:
            touched = self.by_need.get(need)
            if touched is None:
                continue
            found.update(touched.always)
            if touched.turning:
                touched.find_counts(contact.counters[need], at, note, now, found)
            if touched.sums:
                touched.find_sums(contact.figures[need], at, note, now, found)
        return found


def watch(
    wanted: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]],
    conditions: Mapping[str, ast.Node],
    before: Watch,
    revision: int,
    at: int,
) -> Watch:
    """Return what is watched after a publication.

    Args:
        wanted: Segment to the journeys that start for whoever enters, and for whoever leaves.
        conditions: The condition of each segment, with the segments that it names in their places.
        before: What was watched before: what did not change goes on.
        revision: The plan's, if anything changed.
        at: The instant of the publication.
    """
    found: list[Watched] = []
    for name, (entered, left) in wanted.items():
        known, node = before.segments.get(name), conditions[name]
        if known is not None and known.node == node:
            found.append(msgspec.structs.replace(known, entered=entered, left=left))
            continue
        found.append(
            Watched(
                name, node, compile_condition(node), compile_change(node), describe(node), revision, at, entered, left
            )
        )
    return Watch(found)
