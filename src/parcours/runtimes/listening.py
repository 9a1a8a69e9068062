"""A plan that tells what its conditions were asked: the same decisions, with the values that were seen.

`listening` takes a plan and returns one that decides alike. Whenever a condition of one journey is asked, it calls
`hear` with where the condition stands and what each of its parts saw and said. The conditions of segments that let
people into the journey as they enter or leave them are among these. `listening_to_rules` does so for rules of loyalty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from typing import Any

import msgspec

from parcours.conditions.examine import Answer, examine
from parcours.conditions.to_python import Person, Test
from parcours.core.compiled import CompiledJourney, Question
from parcours.core.plan import Plan
from parcours.core.watch import Watch, Watched

Hear = Callable[[str, Answer], None]
"""Takes where a condition stands (`entry`, `steps/listen/paid`) and what it said."""

_SILENT = {"where", "question", "interactions", "reactions", "choices"}
"""Names of fields that say nothing to people."""

Changed = dict[int, tuple[object, object]]
"""The identity of what was made anew, to it (so that it stays alive) and to what stands in its place."""


def listening(plan: Plan, journey: str, hear: Hear) -> Plan:
    """Return a plan that decides alike and tells what the conditions of a journey were asked."""
    changed: Changed = {}
    for version in plan.journeys.get(journey, {}).values():
        _rebuilt(version, (), hear, changed)
    heard = copy(plan)
    heard.__dict__.update({name: _swapped(value, changed) for name, value in vars(plan).items()})
    heard.watch = Watch(_told(watched, journey, hear) for watched in plan.watch.segments.values())
    return heard


def listening_to_rules(plan: Plan, programme: str, hear: Hear) -> Plan:
    """Return a plan that decides alike, tells what the conditions of a programme's rules were asked, and why none was met.

    A condition is told with the name of its rule as the place, and with `/hold_if` the one by which points are reviewed.
    """
    changed: Changed = {}
    for rule in plan.loyalty.rules.values():
        if rule.programme.name == programme:
            _rebuilt(rule, (rule.name,), hear, changed)
    heard = copy(plan)
    heard.loyalty = msgspec.structs.replace(_swapped(plan.loyalty, changed), tells=True)
    return heard


def _rebuilt(value: object, place: tuple[str, ...], hear: Hear, changed: Changed) -> object:
    """Return a part of a journey with every condition in it telling; the part itself when there is none."""
    new: object = value
    if isinstance(value, Question):
        new = msgspec.structs.replace(value, ask=_telling(value, "/".join(place) or "entry", hear))
    elif _of_core(value):
        parts = {name: getattr(value, name) for name in value.__struct_fields__ if name != "definition"}  # type: ignore[attr-defined]
        made = {name: _rebuilt(part, _within(place, name), hear, changed) for name, part in parts.items()}
        other = {name: part for name, part in made.items() if part is not parts[name]}
        if other:
            new = msgspec.structs.replace(value, **other)  # type: ignore[type-var]  # it is a struct
    elif isinstance(value, dict):
        made = {key: _rebuilt(part, (*place, str(key)), hear, changed) for key, part in value.items()}
        new = made if any(made[key] is not value[key] for key in value) else value
    elif isinstance(value, tuple | list):
        items = [_rebuilt(part, place, hear, changed) for part in value]
        same = all(one is other for one, other in zip(items, value, strict=True))
        new = value if same else type(value)(items)
    if new is not value:
        changed[id(value)] = value, new
    return new


def _within(place: tuple[str, ...], name: str) -> tuple[str, ...]:
    return place if name in _SILENT else (*place, name)


def _swapped(value: Any, changed: Changed) -> Any:
    """Return a value with what was made anew in place of what it stands for."""
    if id(value) in changed:
        return changed[id(value)][1]
    if isinstance(value, dict):
        return {key: _swapped(part, changed) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_swapped(part, changed) for part in value)
    # One journey has nothing of another in it, so the others need not be looked into.
    if _of_core(value) and not isinstance(value, CompiledJourney):
        parts = {name: getattr(value, name) for name in value.__struct_fields__}
        other = {name: new for name, part in parts.items() if (new := _swapped(part, changed)) is not part}
        return msgspec.structs.replace(value, **other) if other else value
    return value


def _of_core(value: object) -> bool:
    return isinstance(value, msgspec.Struct) and type(value).__module__.startswith("parcours.core.")


def _telling(question: Question, place: str, hear: Hear) -> Test:
    def ask(person: Person, trigger: Mapping[str, Any], now: int) -> bool:
        answer = examine(question.node, person, trigger, now)
        hear(place, answer.named(question.text))
        return answer.answer

    return ask


def _told(watched: Watched, journey: str, hear: Hear) -> Watched:
    if journey not in watched.entered and journey not in watched.left:
        return watched

    def ask(person: Person, trigger: Mapping[str, Any], now: int) -> bool:
        answer = examine(watched.node, person, trigger, now)
        hear(f"segment {watched.name}", answer.named(f"in segment {watched.name}"))
        return answer.answer

    return msgspec.structs.replace(watched, ask=ask)
