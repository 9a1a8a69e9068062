"""Ask a tree part by part, with the values that each part saw: for people who ask why.

| part                      | the value that it saw                                                          |
|---------------------------|--------------------------------------------------------------------------------|
| an attribute              | its value, None when it is missing                                             |
| a count                   | how often it happened in the window, as far as that is remembered: for "at least 3" up to 4 |
| a sum, least, first …     | the figure, None when there is none                                            |
| messages                  | how many                                                                       |
| consent                   | the state                                                                      |
| a segment                 | its own parts                                                                  |

Nothing is cut short: every part is asked, also when the answer is settled before. The answer is that of the closure.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

import msgspec

from parcours.conditions import ast
from parcours.conditions.loyalty import seen_of
from parcours.conditions.needs import Keeps, need_of
from parcours.conditions.operators import MILLIONTHS
from parcours.conditions.text import describe
from parcours.conditions.to_python import (
    Person,
    Segments,
    bound_of,
    compile_condition,
    consent_state,
    count_messages,
    inside,
)


class Kind(StrEnum):
    """How the answers of parts make an answer."""

    LEAF = "leaf"
    ALL = "all"
    ANY = "any"
    NOT = "not"
    NAMED = "named"
    """A condition that has a name of its own, such as a segment."""


class Answer(msgspec.Struct, omit_defaults=True):
    """What a part of a condition asked, saw and said."""

    text: str
    answer: bool
    seen: Any = msgspec.UNSET
    """The value that was compared; unset when there is none to show."""
    parts: list[Answer] = msgspec.field(default_factory=list)
    kind: Kind = Kind.LEAF

    def named(self, text: str) -> Answer:
        """Return the answer under the name that people know the condition by."""
        return self if text == self.text else Answer(text, self.answer, parts=[self], kind=Kind.NAMED)

    def reasons(self) -> list[str]:
        """Return which leaves made the answer, with what they saw."""
        return list(dict.fromkeys(_reason(leaf, negated, self.answer) for leaf, negated in self._deciding(False)))

    def _deciding(self, negated: bool) -> Iterator[tuple[Answer, bool]]:  # noqa: FBT001 (only here)
        if not self.parts:
            yield self, negated
        elif self.kind in {Kind.NOT, Kind.NAMED}:
            yield from self.parts[0]._deciding(negated != (self.kind is Kind.NOT))  # noqa: SLF001 (of the same class)
        else:
            alike = self.answer is (self.kind is Kind.ALL)  # every part counts, or only those that turned it
            for part in self.parts:
                if alike or part.answer is self.answer:
                    yield from part._deciding(negated)  # noqa: SLF001

    def __str__(self) -> str:
        saw = "" if self.seen is msgspec.UNSET else f" (it was {shown(self.seen)})"
        return f"{self.text}{saw}"


def _reason(leaf: Answer, negated: bool, answer: bool) -> str:  # noqa: FBT001 (only here)
    if not negated:
        return str(leaf)
    return f"not {leaf}" if answer else f"{leaf}, which must not be"


def shown(value: Any) -> str:
    """Return a value as people read it."""
    if value is None:
        return "missing"
    return f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)


def examine(
    node: ast.Node, person: Person, trigger: Mapping[str, Any], now: int, segments: Segments | None = None
) -> Answer:
    """Return the answer of a tree for one contact, now, with those of its parts."""
    known = segments or {}
    text = describe(node)
    match node:
        case ast.All() | ast.Any():
            parts = [examine(part, person, trigger, now, known) for part in node.parts]
            answers = [part.answer for part in parts]
            if isinstance(node, ast.All):
                return Answer(text, all(answers), parts=parts, kind=Kind.ALL)
            return Answer(text, any(answers), parts=parts, kind=Kind.ANY)
        case ast.Not():
            part = examine(node.part, person, trigger, now, known)
            return Answer(text, not part.answer, parts=[part], kind=Kind.NOT)
        case ast.InSegment():
            return examine(known[node.name], person, trigger, now, known).named(text)
        case _:
            answer = compile_condition(node, known)(person, trigger, now)
            return Answer(text, answer, _seen(node, person, trigger, now))


def _seen(node: ast.Node, person: Person, trigger: Mapping[str, Any], now: int) -> Any:
    match node:
        case ast.Attribute():
            return (person.attributes if node.subject is ast.Subject.CONTACT else trigger).get(node.name)
        case ast.History():
            return _figure(node, person, trigger, now)
        case ast.MessageHistory():
            return count_messages(node, person, trigger, now)
        case ast.Points() | ast.Tier() | ast.IsMember() | ast.HasReward():
            return seen_of(node, person, now)
        case ast.Consent():
            return consent_state(person.consent, node.channel, node.topic)
        case _:
            return msgspec.UNSET


def _figure(leaf: ast.History, person: Person, trigger: Mapping[str, Any], now: int) -> Any:
    need, bound = need_of(leaf), bound_of(leaf.window)
    if leaf.measure is ast.Measure.COUNT:
        times = person.counters.get(need.id, [])
        after = bisect_right(times, bound(trigger, now)) if bound is not None else 0
        return max(bisect_right(times, now) - after, 0)
    entries = person.figures.get(need.id)
    if need.keeps is Keeps.ENTRIES:
        values = [value for _, _, value in inside(entries, bound, trigger, now)]
    elif entries and (bound is None or entries[0][0] > bound(trigger, now)):
        values = [entries[0][2]]
    else:
        values = []
    match leaf.measure:
        case ast.Measure.SUM:
            return sum(map(int, values)) / MILLIONTHS  # one too large for a word is kept as text
        case ast.Measure.MINIMUM:
            return min(values, default=None)
        case ast.Measure.MAXIMUM:
            return max(values, default=None)
        case ast.Measure.FIRST:
            return values[0] if values else None
        case _:
            return values[-1] if values else None
