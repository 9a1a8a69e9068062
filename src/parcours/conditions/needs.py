"""What a contact must remember for a condition to be answered, derived from the tree.

A need is a memory kept in the contact and fed by each interaction that matches. However long the history is, it stays
bounded:

| asked                                            | `keeps`   | what is remembered                                     |
|--------------------------------------------------|-----------|--------------------------------------------------------|
| a count compared with n                          | `times`   | the latest n + 1 times: they decide it                 |
| a sum of all time, or between two instants       | `total`   | one figure, in millionths                              |
| `min`, `max`, `first` of the same                | `least`, `greatest`, `first` | one value                           |
| `last`, in any window                            | `last`    | one value with its time                                |
| `sum`, `min`, `max`, `first` of a rolling window | `entries` | what lies in the window, the latest `MOST_KEPT` at most |
| a sequence                                       | `entries` | the same, with the steps that each may be              |

The two ends of an absolute window are part of what is counted: what lies outside never enters the memory. A rolling
window is applied when the question is asked, so several share one memory. Messages are remembered for themselves, in
`Contact.messages`.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Any

import msgspec

from parcours.conditions import ast

MOST_KEPT = 1_000
"""How many entries a memory holds at most. The oldest are forgotten beyond that."""


class Keeps(StrEnum):
    """In which form something is remembered."""

    TIMES = "times"
    TOTAL = "total"
    LEAST = "least"
    GREATEST = "greatest"
    FIRST = "first"
    LAST = "last"
    ENTRIES = "entries"


class Feed(msgspec.Struct, frozen=True):
    """A kind of match that a need remembers: these interactions, when they occurred in `[start, end)`."""

    interactions: tuple[str, ...]
    where: ast.Node | None
    start: int | None
    end: int | None


class Need(msgspec.Struct, frozen=True):
    """One memory.

    `id` depends on what is remembered alone, so conditions that ask of the same share one memory, which keeps the most
    any of them asks for.
    """

    id: str
    keeps: Keeps
    feeds: tuple[Feed, ...]
    """One; of a sequence one for each step, in their order."""
    keep: int
    """How many are remembered, the latest."""
    span: int | None = None
    """How far back any question looks, in milliseconds: what is older may be forgotten. None for no limit, also of
    questions since the start of a run, which may have been at any time."""
    measure: ast.Measure = ast.Measure.COUNT
    """How the value of an entry is made from an attribute."""
    attribute: str = ""


def need_of(leaf: ast.History | ast.Sequence) -> Need:
    """Return the memory a leaf is answered from."""
    if isinstance(leaf, ast.Sequence):
        return _need_of_sequence(leaf)
    window, measure = leaf.window, leaf.measure
    names = tuple(sorted(leaf.interactions))
    feed = Feed(names, leaf.where, window.start, window.end)
    bounded = window.start is not None or window.end is not None
    if measure is ast.Measure.COUNT:
        assert isinstance(leaf.value, int)  # noqa: S101 (the parser reads nothing else)
        # A count of one kind in all time has the id that contacts knew it by before there were others.
        identity = (
            _id(names, feed.start, feed.end, leaf.where) if bounded or len(names) > 1 else _id(*names, leaf.where)
        )
        return Need(identity, Keeps.TIMES, (feed,), leaf.value + 1)
    rolling = window.within is not None or bool(window.since)
    keeps = _KEEPS_ROLLING[measure] if rolling else _KEEPS[measure]
    identity = _id(keeps, measure, leaf.attribute, names, feed.start, feed.end, leaf.where)
    if keeps is not Keeps.ENTRIES:
        return Need(identity, keeps, (feed,), 1, None, measure, leaf.attribute)
    return Need(identity, keeps, (feed,), MOST_KEPT, window.within, measure, leaf.attribute)


def _need_of_sequence(leaf: ast.Sequence) -> Need:
    start, end = leaf.window.start, leaf.window.end
    feeds = []
    for step in leaf.steps:
        # What must not happen is looked for after the step before, also beyond the window's end.
        upto = end + (step.within or 0) if end is not None and step.absent else end
        feeds.append(Feed(tuple(sorted(step.interactions)), step.where, start, upto))
    identity = _id(Keeps.ENTRIES, "sequence", feeds)
    return Need(identity, Keeps.ENTRIES, tuple(feeds), MOST_KEPT, leaf.window.within)


def _id(*content: Any) -> str:
    return hashlib.blake2b(msgspec.json.encode(content), digest_size=6).hexdigest()


_KEEPS = {
    ast.Measure.SUM: Keeps.TOTAL,
    ast.Measure.MINIMUM: Keeps.LEAST,
    ast.Measure.MAXIMUM: Keeps.GREATEST,
    ast.Measure.FIRST: Keeps.FIRST,
    ast.Measure.LAST: Keeps.LAST,
}
_KEEPS_ROLLING = dict.fromkeys(_KEEPS, Keeps.ENTRIES) | {ast.Measure.LAST: Keeps.LAST}


def needs(node: ast.Node) -> dict[str, Need]:
    """Return every memory a tree is answered from, by id."""
    found: dict[str, Need] = {}
    for leaf in walk(node):
        if isinstance(leaf, ast.History | ast.Sequence):
            merge_need(found, need_of(leaf))
    return found


def merge_need(known: dict[str, Need], need: Need) -> None:
    """Add a need to those known by id, keeping the larger memory of the two."""
    other = known.get(need.id)
    if other is None:
        known[need.id] = need
        return
    span = None if other.span is None or need.span is None else max(other.span, need.span)
    known[need.id] = msgspec.structs.replace(need, keep=max(other.keep, need.keep), span=span)


def asks_for_messages(node: ast.Node) -> bool:
    """Return whether a tree looks at messages that were sent to the contact."""
    return any(isinstance(leaf, ast.MessageHistory) for leaf in walk(node))


def asks_of_run(node: ast.Node) -> bool:
    """Return whether a tree looks at the run: at what happened since its start, or at its data."""
    windowed = (ast.History, ast.Sequence, ast.MessageHistory)
    return any(
        (isinstance(leaf, windowed) and leaf.window.since == "entry")
        or (isinstance(leaf, ast.Attribute) and leaf.subject is ast.Subject.RUN)
        for leaf in walk(node)
    )


def walk(node: ast.Node) -> list[ast.Node]:
    """Return the node and everything below it, except what is inside the `where` of a history or a sequence."""
    found = [node]
    for item in found:
        if isinstance(item, ast.All | ast.Any):
            found.extend(item.parts)
        elif isinstance(item, ast.Not):
            found.append(item.part)
    return found


def trigger_attributes(node: ast.Node) -> frozenset[str]:
    """Return the attributes of the interaction at hand that a tree looks at."""
    return frozenset(
        leaf.name for leaf in walk(node) if isinstance(leaf, ast.Attribute) and leaf.subject is ast.Subject.TRIGGER
    )
