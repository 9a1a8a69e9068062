"""What is likely not meant in a journey, though it can be published.

| doubt              | what                                                                                           |
|--------------------|------------------------------------------------------------------------------------------------|
| `never_seen`       | an attribute is asked for that nobody declared, that no step sets and that never arrived        |
| `never_true`       | a condition that cannot be true: it asks that one attribute equals two values, or `any` of none |
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from parcours.conditions import ast
from parcours.conditions.names import match_name
from parcours.conditions.needs import walk
from parcours.conditions.parse import escape, parse_condition, shown
from parcours.definitions.entries import DateEntry, InteractionEntry
from parcours.definitions.goals import Exit, Goal
from parcours.definitions.journey import JourneyDefinition
from parcours.definitions.steps import InteractionBranch, Record, Start, Update, Wait, WaitFor
from parcours.definitions.validate import conditions_in
from parcours.definitions.values import copies
from parcours.definitions.workspace import Workspace
from parcours.errors import Problem, did_you_mean

Learned = Callable[[str], Collection[str]]
"""Returns the attributes that were learned of an interaction's folded name, or of contacts (an empty name)."""


def never_true(journey: JourneyDefinition) -> list[Problem]:
    """Return the conditions of a journey that cannot be true."""
    found: list[Problem] = []
    for place in conditions_in(journey):
        node, _ = parse_condition(place.condition)
        if node is not None:
            found += _never_true(node, place.pointer)
    return found


def never_seen(journey: JourneyDefinition, workspace: Workspace, learned: Learned) -> list[Problem]:
    """Return where a journey asks for attributes that nobody declared, that no step sets and that never arrived."""
    seen = _Seen(workspace, learned)
    asked = [*_asked_by_conditions(journey), *_asked_by_name(journey)]
    return [doubt for one in asked if (doubt := seen.doubt(one)) is not None]


class _Asked(NamedTuple):
    """An attribute that is asked for."""

    name: str
    of: tuple[str, ...] | None
    """The names of the interactions it is of, empty where any may be meant; None for contacts."""
    pointer: str


class _Seen:
    """What may be there."""

    def __init__(self, workspace: Workspace, learned: Learned) -> None:
        self._workspace = workspace
        self._learned = learned
        self._contacts = {*workspace.settings.contacts.attributes, *learned("")}
        self._recorded: dict[str, set[str]] = {}
        for journey in workspace.journeys.values():
            for step in journey.steps.values():
                if isinstance(step, Update):
                    self._contacts.update(step.set)
                elif isinstance(step, Record):
                    self._recorded.setdefault(match_name(step.interaction), set()).update(step.attributes)

    def doubt(self, asked: _Asked) -> Problem | None:
        """Return what is to be said of an attribute that may never be there."""
        if asked.of is None:
            known, whose = self._contacts, "a contact"
        elif asked.of:
            known, whose = self._of_interactions(asked.of), " or ".join(map(shown, asked.of))
        else:
            return None
        if asked.name in known or asked.name.partition(".")[0] in known:
            return None
        said = f"no {shown(asked.name)} of {whose} was ever seen"
        return _doubt("never_seen", said, asked.pointer, did_you_mean(asked.name, known) or "nobody declared it either")

    def _of_interactions(self, names: tuple[str, ...]) -> set[str]:
        found: set[str] = set()
        for name in map(match_name, names):
            defined = self._workspace.interactions.get(name)
            found.update(defined.attributes if defined is not None else ())
            found.update(self._learned(name), self._recorded.get(name, ()))
        return found


def _asked_by_conditions(journey: JourneyDefinition) -> Iterator[_Asked]:
    for place in conditions_in(journey):
        node, _ = parse_condition(place.condition)
        owner, of = place.owner, _of(journey.entry)
        if isinstance(owner, InteractionBranch | Exit | Goal) and place.pointer.endswith("/where"):
            of = _of(owner)
        for leaf in walk(node) if node is not None else ():
            if isinstance(leaf, ast.Attribute) and leaf.subject is ast.Subject.CONTACT:
                yield _Asked(leaf.name, None, place.pointer)
            elif isinstance(leaf, ast.Attribute) and leaf.subject is ast.Subject.TRIGGER:
                yield _Asked(leaf.name, of, place.pointer)


def _asked_by_name(journey: JourneyDefinition) -> Iterator[_Asked]:
    """Yield attributes that are named outside of conditions: keys, dates, what is copied."""
    entry = journey.entry
    if isinstance(entry, DateEntry):
        yield _Asked(entry.attribute, None, "/entry/attribute")
    keyed: list[tuple[str, object]] = [("/entry", entry)]
    keyed += [(f"/exit/{index}", aim) for index, aim in enumerate(journey.exits)]
    keyed += [(f"/goals/{index}", aim) for index, aim in enumerate(journey.goals)]
    for name, step in journey.steps.items():
        pointer = f"/steps/{escape(name)}"
        until, place = (step.until, pointer) if isinstance(step, Wait) else (None, "")
        if isinstance(step, WaitFor):
            keyed += [(f"{pointer}/events/{index}", branch) for index, branch in enumerate(step.events)]
            until, place = (step.timeout.until if step.timeout is not None else None), f"{pointer}/timeout"
        if until is not None and until.contact:
            yield _Asked(until.contact, None, f"{place}/until/contact")
        if until is not None and until.interaction:
            yield _Asked(until.interaction, _of(entry), f"{place}/until/interaction")
        values = step.set if isinstance(step, Update) else step.attributes if isinstance(step, Record | Start) else {}
        field = "set" if isinstance(step, Update) else "attributes"
        for below, copied in copies(values):
            if copied.source != "run":
                of = _of(entry) if copied.source == "interaction" else None
                yield _Asked(copied.attribute, of, f"{pointer}/{field}{below}")
    for pointer, one in keyed:
        if key := getattr(one, "key", ""):
            yield _Asked(key, _of(one), f"{pointer}/key")


def _of(one: object) -> tuple[str, ...]:
    """Return the interactions that something names."""
    names = getattr(one, "interaction", None)
    if not isinstance(one, InteractionEntry | InteractionBranch | Exit | Goal) or names is None:
        return ()
    return (names,) if isinstance(names, str) else tuple(names)


def _doubt(code: str, message: str, pointer: str, hint: str = "") -> Problem:
    return Problem(code=code, message=message, pointer=pointer, hint=hint)


def _never_true(node: ast.Node, pointer: str) -> Iterator[Problem]:
    for part in walk(node):
        if isinstance(part, ast.Any) and not part.parts:
            yield _doubt("never_true", "'any' of nothing is never true", pointer)
        if not isinstance(part, ast.All):
            continue
        equal: dict[tuple[ast.Subject, str], object] = {}
        for leaf in part.parts:
            if not isinstance(leaf, ast.Attribute) or leaf.operator != "is" or leaf.ignore_case:
                continue
            known = equal.setdefault((leaf.subject, leaf.name), leaf.value)
            if known != leaf.value:
                said = f"{shown(leaf.name)} cannot be both {shown(known)} and {shown(leaf.value)}"
                yield _doubt("never_true", f"never true: {said}", pointer, "write 'in' with a list")
