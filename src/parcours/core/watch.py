"""Which segments are watched, and what can touch them: compiled with the plan, asked by `core.membership`.

A segment is watched when its definition says `live`, or when people enter a live journey as they enter or leave it. Of
a watched segment each contact knows whether it is a member, and the fold keeps that exact. An input is only held
against the segments that it can touch:

| something of these happens              | segments that may change                     | found in            |
|-----------------------------------------|----------------------------------------------|---------------------|
| an interaction                          | those whose conditions remember it           | `by_interaction`    |
| an attribute of the contact             | those that compare it                        | `by_attribute`      |
| a list is joined or left                | those that ask for it                        | `by_list`           |
| consent                                 | those that ask for any                       | `by_consent`        |
| a message is sent or reacted to         | those that count messages                    | `by_message`        |
| two contacts become one, a contact is new | all                                        | `segments`          |
| time passes                             | those that asked for a timer                 | the contact's timers |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from parcours.conditions import ast
from parcours.conditions.changes import Change, compile_change
from parcours.conditions.needs import needs, walk
from parcours.conditions.text import describe
from parcours.conditions.to_python import Test, compile_condition


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


class Watch:
    """The watched segments of a plan."""

    def __init__(self, segments: Iterable[Watched] = ()) -> None:
        self.segments = {watched.name: watched for watched in segments}
        self.by_interaction: dict[str, tuple[Watched, ...]] = {}
        self.by_attribute: dict[str, tuple[Watched, ...]] = {}
        self.by_list: dict[str, tuple[Watched, ...]] = {}
        self.by_consent: tuple[Watched, ...] = ()
        self.by_message: tuple[Watched, ...] = ()
        for watched in self.segments.values():
            self._index(watched)

    def _index(self, watched: Watched) -> None:
        for need in needs(watched.node).values():
            for name in {name for feed in need.feeds for name in feed.interactions}:
                _put(self.by_interaction, name, watched)
        for leaf in walk(watched.node):
            match leaf:
                case ast.Attribute(subject=ast.Subject.CONTACT):
                    _put(self.by_attribute, leaf.name, watched)
                case ast.InList():
                    _put(self.by_list, leaf.name, watched)
                case ast.Consent() if watched not in self.by_consent:
                    self.by_consent += (watched,)
                case ast.MessageHistory() if watched not in self.by_message:
                    self.by_message += (watched,)
                case _:
                    pass


def _put(index: dict[str, tuple[Watched, ...]], name: str, watched: Watched) -> None:
    known = index.get(name, ())
    if watched not in known:
        index[name] = (*known, watched)


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
