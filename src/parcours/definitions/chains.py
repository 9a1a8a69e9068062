"""Journeys that may set each other off for ever, without a wait: what can be seen of it before anything happens.

A step that sets, records or starts something may let other steps act at the same instant:

| it                  | what acts at once                                                                                  |
|---------------------|----------------------------------------------------------------------------------------------------|
| records             | journeys that enter by the interaction, waits for it, and so with what rules of loyalty record at it |
| starts a journey    | that journey                                                                                       |
| sets, or enlists    | journeys that enter by a segment that asks for the attribute or list, where two steps touch it     |

A circle of such steps is named. Conditions are taken to be met, and rules of entry are heeded: where somebody is not let
in again at once there is no circle. What a circle comes to in the end is decided by `core.chains`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from parcours.conditions import ast
from parcours.conditions.names import match_name
from parcours.conditions.needs import walk
from parcours.conditions.parse import parse_condition
from parcours.definitions.common import names_of
from parcours.definitions.entries import InteractionEntry, JourneyEntry, SegmentEntry
from parcours.definitions.graph import always_waits, cycles
from parcours.definitions.journey import JourneyDefinition
from parcours.definitions.segment import base_of
from parcours.definitions.steps import (
    Decision,
    End,
    Enlist,
    Experiment,
    Fork,
    InteractionBranch,
    Record,
    Split,
    Start,
    Step,
    Update,
    WaitFor,
    Webhook,
    following,
)
from parcours.definitions.values import Computed, Value
from parcours.definitions.workspace import Workspace

Act = tuple[str, str]
"""Journey and step."""

_ENTERED = frozenset({"live", "test", "paused"})
_UNDER_WAY = _ENTERED | {"closed"}


def endless_chains(workspace: Workspace) -> list[list[Act]]:
    """Return circles of steps that may set each other off at one instant."""
    graph = _Chains(workspace).graph()
    names = {f"{journey}/{step}": (journey, step) for journey, step in graph}
    leads = {f"{act[0]}/{act[1]}": [f"{to[0]}/{to[1]}" for to in ahead] for act, ahead in graph.items()}
    return [[names[name] for name in circle] for circle in cycles(leads)]


class _Door(msgspec.Struct, frozen=True):
    """A wait for an interaction, and the step behind it."""

    journey: str
    step: str
    to: str | None


class _Chains:
    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        journeys = workspace.journeys.values()
        self._journeys = {one.name: one for one in journeys if one.state in _UNDER_WAY and not one.archived}
        self._acts: dict[Act, Step] = {
            (name, place): step
            for name, journey in self._journeys.items()
            for place, step in journey.steps.items()
            if isinstance(step, Record | Start | Update | Enlist)
        }
        self._entries: dict[str, list[str]] = {}
        self._doors: dict[str, list[_Door]] = {}
        self._watched: dict[str, list[str]] = {}
        """What a segment asks for to the journeys that are entered by it."""
        self._touch: dict[str, int] = {}
        """What segments may ask for to how many steps touch it."""
        if self._acts:
            self._look()

    def graph(self) -> dict[Act, list[Act]]:
        """Return to which steps each leads at once."""
        return {act: list(dict.fromkeys(self._ahead(act, step))) for act, step in self._acts.items()}

    def _look(self) -> None:
        for step in self._acts.values():
            for touched in _touches(step):
                self._touch[touched] = self._touch.get(touched, 0) + 1
        for name, journey in self._journeys.items():
            entry = journey.entry
            if isinstance(entry, InteractionEntry) and entry.times == 1:
                for interaction in names_of(entry.interaction):
                    self._entries.setdefault(match_name(interaction), []).append(name)
            elif isinstance(entry, SegmentEntry) and entry.on != "read":
                for asked in self._asked(base_of(entry.segment), set()):
                    self._watched.setdefault(asked, []).append(name)
            for place, step in journey.steps.items():
                if not isinstance(step, WaitFor):
                    continue
                for branch in step.events:
                    if isinstance(branch, InteractionBranch):
                        door = _Door(name, place, branch.next or step.next)
                        for interaction in names_of(branch.interaction):
                            self._doors.setdefault(match_name(interaction), []).append(door)

    def _asked(self, segment: str, seen: set[str]) -> Iterator[str]:
        """Yield the attributes and lists that a segment asks for, also by others that it names."""
        definition = self._workspace.segments.get(segment)
        if definition is None or segment in seen:
            return
        seen.add(segment)
        yield from (f"list {name}" for name in (*definition.include, *definition.exclude))
        node, _ = parse_condition(definition.condition)
        for leaf in walk(node) if node is not None else ():
            match leaf:
                case ast.Attribute(subject=ast.Subject.CONTACT):
                    yield f"attribute {leaf.name}"
                case ast.InList():
                    yield f"list {leaf.name}"
                case ast.InSegment():
                    yield from self._asked(base_of(leaf.name), seen)
                case _:
                    pass

    def _ahead(self, act: Act, step: Step) -> Iterator[Act]:
        match step:
            case Record():
                for name in self._names(match_name(step.interaction)):
                    # What a rule records has attributes of its own.
                    values = step.attributes if name == match_name(step.interaction) else None
                    for journey in self._entries.get(name, ()):
                        yield from self._entered(act, journey, values)
                    for door in self._doors.get(name, ()):
                        yield from self._moved(act, door)
            case Start():
                known = self._journeys.get(step.journey)
                if known is not None and isinstance(known.entry, JourneyEntry):
                    yield from self._entered(act, step.journey, step.attributes)
            case _:
                # One step alone does not let anybody leave and come back.
                for touched in _touches(step):
                    for journey in self._watched.get(touched, ()) if self._touch[touched] > 1 else ():
                        yield from self._entered(act, journey, None, by_segment=True)

    def _names(self, name: str) -> list[str]:
        """Return the names of an interaction and of all that rules record at it."""
        found = [name]
        for one in found:
            for rule in self._workspace.rules.values():
                if rule.record is not None and one in map(match_name, rule.on):
                    made = match_name(rule.record.interaction)
                    found += [made] if made not in found else []
        return found

    def _entered(
        self, act: Act, name: str, values: Mapping[str, Value] | None, *, by_segment: bool = False
    ) -> Iterator[Act]:
        """Yield the steps that act at once when a contact enters a journey, if it lets them in again and again."""
        journey = self._journeys[name]
        if journey.state not in _ENTERED or journey.max_entries is not None:
            return
        key = getattr(journey.entry, "key", "")
        if key and values is not None and key not in values:
            return  # it has no key, and is refused
        own = bool(key) and (values is None or _varies(values[key], key))
        again = journey.re_entry == "always" and journey.max_runs > 1
        if not own and not again and journey.re_entry not in {"always", "after_end"}:
            return
        for place in _at_once(journey, journey.start):
            if (name, place) not in self._acts:
                continue
            # Who has to be out before they come in again ends at once, and not while their own step lets them in.
            if own or again or (_ends(journey, place) and (by_segment or act[0] != name)):
                yield name, place

    def _moved(self, act: Act, door: _Door) -> Iterator[Act]:
        """Yield the steps that act at once when a token leaves a wait, if tokens come to it again and again."""
        journey = self._journeys[door.journey]
        several = journey.re_entry == "always" or bool(getattr(journey.entry, "key", ""))
        if act[0] == door.journey and not several and not any(isinstance(one, Fork) for one in journey.steps.values()):
            return  # the only token there is stands elsewhere
        for place in _at_once(journey, door.to):
            back = any(door.step in _at_once(journey, to) for _, to in following(journey.steps[place]))
            if (door.journey, place) in self._acts and (several or back):
                yield door.journey, place


def _touches(step: Step) -> list[str]:
    """Return the attributes and lists that a step changes."""
    match step:
        case Update():
            return [f"attribute {name}" for name in step.set]
        case Enlist():
            return [f"list {name}" for name in (*step.add, *step.remove)]
        case _:
            return []


def _varies(value: Value, key: str) -> bool:
    """Return whether a value may be another each time a journey hands it to itself as its key."""
    if not isinstance(value, Computed):
        return False
    return (
        value.source is None or value.source == "contact" or (value.source == "interaction" and value.attribute != key)
    )


def _at_once(journey: JourneyDefinition, start: str | None) -> list[str]:
    """Return the steps that a token may come to from one on without letting time pass, with those where it waits."""
    found = [start] if start in journey.steps and start is not None else []
    for name in found:
        step = journey.steps[name]
        if always_waits(step) or _waits_for_answer(step):
            continue
        ahead = (to for _, to in following(step) if to in journey.steps and to not in found)
        found += dict.fromkeys(ahead)
    return found


def _ends(journey: JourneyDefinition, start: str) -> bool:
    """Return whether a token may come from a step to its end without letting time pass."""
    steps = (journey.steps[name] for name in _at_once(journey, start))
    return any(_may_end(step) for step in steps if not always_waits(step) and not _waits_for_answer(step))


def _waits_for_answer(step: Step) -> bool:
    return isinstance(step, Webhook) and (bool(step.save) or step.failed is not None)


def _may_end(step: Step) -> bool:
    match step:
        case End():
            return True
        case Fork():
            return False
        case Decision():
            return step.then is None or step.otherwise is None
        case Split():
            return step.otherwise is None or any(branch.next is None for branch in step.branches)
        case Experiment():
            held = step.holdout is not None and step.holdout.next is None
            return held or any(branch.next is None for branch in step.branches)
        case _:
            return step.next is None
