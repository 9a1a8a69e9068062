"""Compile a tree to a Python closure that answers for one contact, now.

A closure takes the contact, the attributes of the interaction at hand (an empty mapping when there is none) and the
instant, and returns a bool. It reads nothing else.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from parcours.conditions import ast
from parcours.conditions.needs import need_of
from parcours.conditions.operators import COUNTS, OPERATORS, fold_case, prepare


class Person(Protocol):
    """What a condition may look at: the contact, as far as this layer knows it."""

    attributes: dict[str, Any]
    consent: dict[str, dict[str, str]]
    counters: dict[str, list[int]]


Test = Callable[[Person, Mapping[str, Any], int], bool]
Segments = Mapping[str, ast.Node]


def compile_condition(node: ast.Node, segments: Segments | None = None) -> Test:
    """Return the closure of a tree. `segments` holds the condition of each segment the tree may name.

    Raises:
        KeyError: The tree names a segment that is not given.
    """
    known = segments or {}
    match node:
        case ast.Attribute():
            return _attribute(node)
        case ast.History():
            return _history(node)
        case ast.InSegment():
            return compile_condition(known[node.name], known)
        case ast.Consent():
            return _consent(node)
        case ast.Not():
            inner = compile_condition(node.part, known)
            return lambda person, trigger, now: not inner(person, trigger, now)
        case ast.All():
            return _all([compile_condition(part, known) for part in node.parts])
        case ast.Any():
            return _any([compile_condition(part, known) for part in node.parts])


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
    of_contact = leaf.subject is ast.Subject.CONTACT
    if leaf.operator == "is_missing":
        if of_contact:
            return lambda person, _trigger, _now: person.attributes.get(name) is None
        return lambda _person, trigger, _now: trigger.get(name) is None
    operator = OPERATORS[leaf.operator]
    operand = prepare(operator, leaf.value, ignore_case=leaf.ignore_case)
    compare = operator.compare
    fold = leaf.ignore_case

    def check(value: Any) -> bool:
        if value is None:
            return False
        return compare(fold_case(value) if fold else value, operand)

    if leaf.operator == "is" and isinstance(operand, str) and not fold:
        # Text equals nothing but text, so the common comparison needs no look at types.
        if of_contact:
            return lambda person, _trigger, _now: bool(person.attributes.get(name) == operand)
        return lambda _person, trigger, _now: bool(trigger.get(name) == operand)
    if of_contact:
        return lambda person, _trigger, _now: check(person.attributes.get(name))
    return lambda _person, trigger, _now: check(trigger.get(name))


def _history(leaf: ast.History) -> Test:
    need = need_of(leaf)
    key, within, limit = need.id, leaf.within, leaf.count
    compare = COUNTS[leaf.operator]

    def test(person: Person, _trigger: Mapping[str, Any], now: int) -> bool:
        times = person.counters.get(key)
        if not times:
            return compare(0, limit)
        upto = bisect_right(times, now)
        start = bisect_right(times, now - within) if within is not None else 0
        return compare(upto - start, limit)

    return test


def _consent(leaf: ast.Consent) -> Test:
    channel, topic, state = leaf.channel, leaf.topic, leaf.state
    return lambda person, _trigger, _now: consent_state(person.consent, channel, topic) == state


def consent_state(consent: Mapping[str, Mapping[str, str]], channel: str, topic: str) -> str:
    """Return the consent for a topic of a channel: its own, else the channel's, else `unknown`."""
    topics = consent.get(channel)
    if not topics:
        return "unknown"
    return topics.get(topic) or topics.get("") or "unknown"
