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

from bisect import bisect_right
from collections.abc import Iterable, Mapping

import msgspec

from parcours.conditions import ast
from parcours.conditions.changes import Change, compile_change
from parcours.conditions.needs import need_of, walk
from parcours.conditions.operators import COUNTS
from parcours.conditions.text import describe
from parcours.conditions.to_python import Test, compile_condition
from parcours.core.contact import Contact
from parcours.core.memory import NOTHING

Taken = tuple[str, int]
"""A need whose memory took something, and when that occurred which was forgotten for it: see `Memory.take`."""


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
    asked again. The others keep the timer that they asked for: what is remembered later leaves the window later, so the
    timer comes due too early at most, and asks again then. Of other figures every condition is asked.
    """

    def __init__(self) -> None:
        self.always: dict[str, Watched] = {}
        """Asked whatever was remembered."""
        self.turning: dict[int | None, dict[int, dict[str, Watched]]] = {}
        """Length of the window, then the count at which the answer turns, to those that are asked."""

    def add(self, leaf: ast.History | ast.Sequence, watched: Watched) -> None:
        """Take up a question of a segment."""
        if isinstance(leaf, ast.Sequence) or leaf.measure is not ast.Measure.COUNT or leaf.window.since:
            self.always[watched.name] = watched
            return
        assert isinstance(leaf.value, int)  # noqa: S101 (the parser reads nothing else)
        compare, limit = COUNTS[leaf.operator], leaf.value
        counts = self.turning.setdefault(leaf.window.within, {})
        for count in range(max(limit, 1), limit + 2):
            if compare(count - 1, limit) != compare(count, limit):
                counts.setdefault(count, {})[watched.name] = watched

    def find(self, times: list[int], at: int, forgotten: int, now: int, found: dict[str, Watched]) -> None:
        """Add the segments to be asked again to those found.

        Args:
            times: What is counted, with what occurred at `at`.
            at: When that occurred which was counted last.
            forgotten: When that occurred which was forgotten for it. What is forgotten from within a window leaves a
                number there that is too large for any answer to turn.
            now: The instant.
            found: Is added to.
        """
        if self.always:
            found.update(self.always)
        upto = len(times)
        for within, counts in self.turning.items():
            since = now - within if within is not None else NOTHING
            if at <= since or forgotten > since:
                continue
            segments = counts.get(upto - bisect_right(times, since) if within is not None else upto)
            if segments is not None:
                found.update(segments)


class Watch:
    """The watched segments of a plan."""

    def __init__(self, segments: Iterable[Watched] = ()) -> None:
        self.segments = {watched.name: watched for watched in segments}
        self.by_need: dict[str, Touched] = {}
        self.by_attribute: dict[str, dict[str, Watched]] = {}
        self.by_list: dict[str, dict[str, Watched]] = {}
        self.by_consent: dict[str, Watched] = {}
        self.by_message: dict[str, Watched] = {}
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
                case _:
                    pass

    def by_memories(self, contact: Contact, taken: Iterable[Taken], at: int, now: int) -> dict[str, Watched]:
        """Return the segments whose answer may be another, now that memories took something that occurred at `at`."""
        found: dict[str, Watched] = {}
        for need, forgotten in taken:
            touched = self.by_need.get(need)
            if touched is not None:
                touched.find(contact.counters.get(need, _NONE), at, forgotten, now, found)
        return found


_NONE: list[int] = []


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
