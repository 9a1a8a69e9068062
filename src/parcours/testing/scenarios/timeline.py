"""What happened to a contact, in lines for a person: what came in, and what was decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from parcours.core.effects import Trace, What
from parcours.core.inputs import (
    Absorb,
    Adjust,
    Award,
    Enrol,
    Enter,
    Erase,
    Input,
    Interaction,
    Leave,
    Reaction,
    Receive,
    Refund,
    Review,
    Spend,
    Transfer,
    Update,
)
from parcours.ports import Store
from parcours.testing.scenarios.times import shown

_EVERYTHING = 1_000_000
_LONGEST = 100
_INSTANTS = frozenset({"until", "entered"})
"""Details of the trace that are instants."""


class Line(msgspec.Struct):
    """One thing that happened."""

    when: str
    what: str
    journey: str = ""
    step: str = ""
    why: str = ""
    came_in: bool = False
    """Whether it came from outside, rather than being decided."""

    def __str__(self) -> str:
        place = "/".join(part for part in (self.journey, self.step) if part)
        return "  ".join(part for part in (self.when, self.what, place, self.why) if part)


def timeline(
    store: Store, contacts: Iterable[str], zone: ZoneInfo, looks: Iterable[tuple[int, Line]] = ()
) -> list[Line]:
    """Return what happened to a contact under all the ids it had, oldest first.

    `looks` are lines that come after everything of their instants.
    """
    found: list[tuple[int, Line]] = []
    for contact in contacts:
        for moment in reversed(store.timeline(contact, _EVERYTHING)):
            if moment.record is not None:
                item = moment.record.input()
                line = _input(item)  # type: ignore[arg-type]  # it concerns a contact
                if line is not None:
                    found.append((item.received_at, line))
            found += [(entry.at, _decision(entry, zone)) for entry in moment.trace]
    found += looks
    found.sort(key=lambda one: one[0])
    for at, line in found:
        line.when = shown(at, zone)
    return [line for _, line in found]


def _input(item: Input) -> Line | None:
    late = item.received_at - item.occurred_at
    why = f"occurred {late / 1000:g} s before" if late else ""
    match item:
        case Interaction():
            line = Line("", item.spelling or item.name, why=_written(item.attributes))
        case Update():
            consent = {
                f"consent {channel} {topic}".rstrip(): state
                for channel, topics in item.consent.items()
                for topic, state in topics.items()
            }
            lists = {f"list {name}": "on" if member else "off" for name, member in item.lists.items()}
            line = Line("", "identify", why=_written({**item.attributes, **consent, **lists}))
        case Reaction():
            line = Line("", item.reaction, why=item.message)
        case Enter():
            line = Line("", "enter", item.journey, why=_written(item.attributes))
        case Absorb():
            line = Line("", "merge")
        case Enrol() | Leave() | Spend() | Adjust() | Refund() | Review() | Award():
            name = str(type(item).__struct_config__.tag)
            line = Line(
                "", name, why=_written({"points": getattr(item, "points", 0)} if hasattr(item, "points") else {})
            )
        case Transfer():
            line = Line("", "transfer", why=_written({"points": item.points, "to": item.to}))
        case Receive():
            points = sum(portion.points for portion in item.portions)
            line = Line("", "receive", why=_written({"points": points, "from": item.other}))
        case Erase():
            line = Line("", "erase")
        case _:
            return None
    line.came_in = True
    line.why = ", ".join(part for part in (line.why, why) if part)
    return line


def _decision(entry: Trace, zone: ZoneInfo) -> Line:
    detail = {
        name: shown(value, zone) if name in _INSTANTS else value
        for name, value in (entry.detail or {}).items()
        if name != "message_id"
    }
    why = " ".join(part for part in (entry.reason, _written(detail)) if part)
    if entry.what == What.ARRIVED:
        return Line("", "→", entry.journey, entry.step, why)
    return Line("", entry.what, entry.journey, entry.step, why)


def _written(values: Mapping[str, Any]) -> str:
    text = ", ".join(f"{name}: {value}" for name, value in values.items())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
