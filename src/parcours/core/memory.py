"""What a contact remembers of its interactions and messages, so that conditions can be answered.

`conditions.needs` says what is needed; a `Memory` feeds it.

| a need keeps        | as                                                                                            |
|---------------------|-----------------------------------------------------------------------------------------------|
| `times`             | `counters[id]`: the latest times, sorted                                                      |
| `total`             | `figures[id]`: one entry with the sum, in millionths                                          |
| `least`, `greatest` | `figures[id]`: one entry with the value                                                       |
| `first`, `last`     | `figures[id]`: one entry with time, place in the log and value                                |
| `entries`           | `figures[id]`: such entries, sorted; of a sequence the value says which steps it may be       |

Entries are in the order in which things occurred, and at one instant in that of the log. Two memories of one person
come to the same whichever is merged into the other.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any

import msgspec

from parcours.conditions.ast import Measure
from parcours.conditions.needs import Keeps, Need
from parcours.conditions.operators import millionths, number_of
from parcours.conditions.parse import MOST_MESSAGES
from parcours.conditions.to_python import Entry, Test, compile_condition
from parcours.core.contact import Contact, Sent
from parcours.core.inputs import Interaction

NOTHING = -(2**63)
"""Before any instant."""

_LARGEST = 2**63 - 1  # the largest number that a state can be written with

_time = itemgetter(0)
_place = itemgetter(0, 1)
_value = itemgetter(2)


class Match(msgspec.Struct, frozen=True):
    """One way in which an interaction matches a need: it occurred in `[start, end)` and `where` is true of it."""

    bit: int
    """Which step of a sequence it may be."""
    where: Test | None
    start: int | None
    end: int | None

    def fits(self, contact: Contact, item: Interaction) -> bool:
        """Return whether an interaction matches."""
        at = item.occurred_at
        return (
            (self.start is None or at >= self.start)
            and (self.end is None or at < self.end)
            and (self.where is None or self.where(contact, item.attributes, item.received_at))
        )


class Memory(msgspec.Struct, frozen=True):
    """A need, as one kind of interaction feeds it."""

    need: Need
    matches: tuple[Match, ...]

    def take(self, contact: Contact, item: Interaction) -> int | None:
        """Remember an interaction, if it matches. The contact is changed.

        Returns:
            None when it does not match. Else of a count when that occurred which it has forgotten for it, `NOTHING` if
            it has forgotten nothing; of a sum what was added; of anything else 0.
        """
        need, matches = self.need, self.matches
        if need.keeps is Keeps.TIMES:
            if not matches[0].fits(contact, item):
                return None
            return _add_time(contact.counters, need, item.occurred_at)
        if need.measure is Measure.COUNT:
            mask = 0
            for match in matches:
                if match.fits(contact, item):
                    mask |= match.bit
            value = mask or None
        else:
            value = _VALUES[need.measure](item.attributes.get(need.attribute))
            if value is None or not matches[0].fits(contact, item):
                return None
        if value is None:
            return None
        entry = (item.occurred_at, item.position, value)
        known = contact.figures.get(need.id, [])
        contact.figures[need.id] = joined(need, known, [entry], item.received_at)
        return value if need.measure is Measure.SUM else 0


def memories_of(need: Need) -> dict[str, Memory]:
    """Return what feeds a need, by the folded name of the interaction."""
    found: dict[str, list[Match]] = {}
    for index, feed in enumerate(need.feeds):
        where = compile_condition(feed.where) if feed.where is not None else None
        for name in feed.interactions:
            found.setdefault(name, []).append(Match(1 << index, where, feed.start, feed.end))
    return {name: Memory(need, tuple(matches)) for name, matches in found.items()}


_VALUES: dict[Measure, Callable[[Any], Any]] = {
    Measure.SUM: millionths,
    Measure.MINIMUM: number_of,
    Measure.MAXIMUM: number_of,
    Measure.FIRST: lambda value: value,
    Measure.LAST: lambda value: value,
}
"""What is kept of the attribute; None for what is passed over."""


def _add_time(counters: dict[str, list[int]], need: Need, at: int) -> int:
    times = counters.get(need.id)
    if times is None:
        counters[need.id] = [at]
        return NOTHING
    if at >= times[-1]:
        times.append(at)
    else:
        insort(times, at)
    return times.pop(0) if len(times) > need.keep else NOTHING


def joined(need: Need, known: list[Entry], more: list[Entry], now: int) -> list[Entry]:
    """Return what a need keeps of the entries known and of more: the same in any order."""
    match need.keeps:
        case Keeps.TOTAL:
            total = sum(int(value) for _, _, value in (*known, *more))
            # A number too large for the state is written in digits.
            return [(0, 0, total if abs(total) <= _LARGEST else str(total))]
        case Keeps.LEAST:
            return [(0, 0, min(map(_value, (*known, *more))))]
        case Keeps.GREATEST:
            return [(0, 0, max(map(_value, (*known, *more))))]
        case Keeps.FIRST:
            return [min((*known, *more), key=_place)]
        case Keeps.LAST:
            return [max((*known, *more), key=_place)]
        case _:
            return _entries(need, known, more, now)


def _entries(need: Need, known: list[Entry], more: list[Entry], now: int) -> list[Entry]:
    for entry in more:
        if not known or _place(entry) >= _place(known[-1]):
            known.append(entry)
        else:
            insort(known, entry, key=_place)
    old = bisect_right(known, now - need.span, key=_time) if need.span is not None else 0
    del known[: max(old, len(known) - need.keep)]
    return known


def merge(needs: Mapping[str, Need], contact: Contact, other: Contact, now: int) -> None:
    """Let a contact remember what another remembers. Both may be changed."""
    for id_, times in other.counters.items():
        both = sorted(contact.counters.get(id_, []) + times)
        need = needs.get(id_)
        contact.counters[id_] = both[-need.keep :] if need is not None else both
    figures: dict[str, list[Entry]] = {}
    for id_ in sorted(contact.figures.keys() | other.figures.keys()):
        need = needs.get(id_)
        if need is not None and (kept := joined(need, contact.figures.get(id_, []), other.figures.get(id_, []), now)):
            # What no condition in force asks for is forgotten.
            figures[id_] = kept
    contact.figures = figures
    messages = sorted((contact.messages | other.messages).items(), key=lambda pair: (pair[1].at, pair[0]))
    contact.messages = dict(messages[-KEPT_MESSAGES:])


def shorten(needs: Mapping[str, Need], contact: Contact) -> None:
    """Let a contact forget what needs keep no more. The contact is changed."""
    for kept in (contact.counters, contact.figures):
        for id_, entries in kept.items():
            need = needs.get(id_)
            if need is not None and len(entries) > need.keep:
                del entries[: -need.keep]


KEPT_MESSAGES = MOST_MESSAGES + 1
"""How many messages a contact remembers, the latest: one more than a count of them is compared with."""


def remember_message(contact: Contact, id_: str, sent: Sent) -> None:
    """Remember that a message was sent. The contact is changed."""
    messages = contact.messages
    if id_ in messages:
        return
    messages[id_] = sent
    if len(messages) > KEPT_MESSAGES:
        del messages[next(iter(messages))]


def remember_reaction(contact: Contact, id_: str, reaction: str, at: int) -> None:
    """Remember a reaction to a message, once: when it first occurred. The contact is changed."""
    sent = contact.messages.get(id_)
    if sent is not None:
        sent.reactions[reaction] = min(at, sent.reactions.get(reaction, at))
