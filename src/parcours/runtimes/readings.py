"""Which segments are read into which journeys, when, and how far each reading has got.

| entry                  | is read                                                                                       |
|------------------------|-----------------------------------------------------------------------------------------------|
| `on: read` alone       | once, when the journey goes live                                                              |
| with `at`              | once, at that instant; never when it was past as it was published                             |
| with `schedule`        | each time it comes round; what was missed while nothing ran is read once, at the next start   |

What comes round while the journey is paused is read once when it goes on (`on_pause: hold`), or never (`discard`); what
comes round while it is in any other state is never read.

A mark of the store says how far a reading has got, and is kept in the same transaction as the entries of a slice. So a
reading that is cut off goes on where it was, and each reading lets a member in once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import takewhile

import msgspec

from parcours.core.compiled import CompiledJourney
from parcours.core.plan import Plan
from parcours.definitions.common import milliseconds_of
from parcours.definitions.entries import SegmentEntry
from parcours.runtimes.schedules import instants_after, next_after, zone_of_schedule

DONE = "done"
"""The mark of a reading at once that is over."""


class Reading(msgspec.Struct):
    """The readings of one journey."""

    journey: CompiledJourney
    asked: str
    """What is asked for, as a digest; empty for a reading at once."""
    next: int | None = None
    """When the next one begins."""
    round: int = 0
    """The instant of the one that is under way, or was last."""
    after: str | None = None
    """Behind which contact the one under way goes on; None when none is."""
    anew: bool = True
    """Whether nobody entered under the message ids of this reading before it began."""
    begun: bool = False
    """Whether this process has read a slice of it: only the one behind a mark may have been cut off half-way."""

    @property
    def certain(self) -> bool:
        """Whether nobody in the next slice can have entered by this reading already."""
        return self.anew and self.begun

    @property
    def entry(self) -> SegmentEntry:
        """The entry of the journey."""
        entry = self.journey.definition.entry
        assert isinstance(entry, SegmentEntry)  # noqa: S101 (none else is read)
        return entry

    def mark(self) -> str:
        """Return what is kept of it."""
        if not self.asked:
            return DONE if self.after is None else self.after
        return msgspec.json.encode([self.asked, self.next, self.round, self.after]).decode()

    def message_id(self, contact: str) -> str:
        """Return the message id with which a member enters: of each reading its own, or one for all of them."""
        return message_id_of(self.journey, self.round if self.asked else 0, contact)


def message_id_of(journey: CompiledJourney, round_: int, contact: str) -> str:
    """Return the message id with which a member enters; `round_` is the instant of a reading, 0 for one at once."""
    entry = journey.definition.entry
    new = isinstance(entry, SegmentEntry) and entry.schedule is not None and entry.members == "new"
    return f"read:{journey.name}:{contact}" if new or not round_ else f"read:{journey.name}:{round_}:{contact}"


def rounds_of(journey: CompiledJourney, workspace_zone: str, after: int, until: int) -> Iterator[int]:
    """Yield the instants after one and up to another at which a segment is read into a journey by its entry."""
    entry = journey.definition.entry
    if isinstance(entry, SegmentEntry) and entry.schedule is not None:
        zone = zone_of_schedule(entry.schedule, journey.definition.zone, workspace_zone)
        yield from takewhile(lambda at: at <= until, instants_after(entry.schedule, zone, after))
        return
    at = _first(journey, workspace_zone, after)
    if at is not None and at <= until:
        yield at


def mark_name(journey: CompiledJourney) -> str:
    """Return the name of the mark of a journey's readings."""
    return f"read:{journey.name}"


class Readings:
    """The readings of the live journeys of a plan; `read` returns what was kept under the name of a mark."""

    def __init__(self, plan: Plan, read: Callable[[str], str | None], now: int, before: Plan | None = None) -> None:
        self._workspace_zone = plan.workspace.settings.zone
        self._readings = [
            self._reading(journey, read(mark_name(journey)), now, missed=before is None or _makes_up(journey, before))
            for journey in plan.read_on_activation()
        ]

    def _reading(self, journey: CompiledJourney, mark: str | None, now: int, *, missed: bool) -> Reading:
        reading = Reading(journey, _asked(journey, self._workspace_zone))
        if not reading.asked:
            known = mark is not None and not mark.startswith("[")
            reading.after = (None if mark == DONE else mark) if known else ""
            reading.anew = known or mark is None
            return reading
        reading.anew = reading.entry.schedule is None or reading.entry.members == "all"
        if mark is not None and mark.startswith("["):
            asked, at, round_, after = msgspec.json.decode(mark, type=tuple[str, int | None, int, str | None])
            if asked == reading.asked:
                reading.next, reading.round, reading.after = at, round_, after
                if not missed and at is not None and at <= now:
                    reading.next = _next(reading.journey, self._workspace_zone, now)
                return reading
        reading.next = _first(reading.journey, self._workspace_zone, now)
        return reading

    def marks(self) -> dict[str, str]:
        """Return what is to be kept of all of them."""
        return {mark_name(reading.journey): reading.mark() for reading in self._readings}

    def next_due(self) -> int | None:
        """Return when the next reading begins that is not under way; None when none ever does."""
        ahead = [reading.next for reading in self._readings if reading.after is None and reading.next is not None]
        return min(ahead, default=None)

    def under_way(self, now: int) -> bool:
        """Return whether there is something to be read."""
        return any(
            reading.after is not None or (reading.next is not None and reading.next <= now)
            for reading in self._readings
        )

    def current(self, now: int) -> Reading | None:
        """Return the reading whose turn it is, the one that began first; one that is due begins."""
        for reading in self._readings:
            if reading.after is None and reading.next is not None and reading.next <= now:
                reading.round, reading.after, reading.begun = reading.next, "", False
                reading.next = _next(reading.journey, self._workspace_zone, now)
        found = [reading for reading in self._readings if reading.after is not None]
        return min(found, key=lambda reading: reading.round, default=None)


def _first(journey: CompiledJourney, workspace_zone: str, now: int) -> int | None:
    """Return when the segment of a journey is read first after an instant."""
    entry = journey.definition.entry
    if not isinstance(entry, SegmentEntry) or entry.at is None:
        return _next(journey, workspace_zone, now)
    at = milliseconds_of(entry.at)
    return at if at is not None and at > now else None


def _next(journey: CompiledJourney, workspace_zone: str, now: int) -> int | None:
    """Return when the schedule of a journey comes round next after an instant."""
    entry = journey.definition.entry
    if not isinstance(entry, SegmentEntry) or entry.schedule is None:
        return None
    return next_after(entry.schedule, zone_of_schedule(entry.schedule, journey.definition.zone, workspace_zone), now)


def _makes_up(journey: CompiledJourney, before: Plan) -> bool:
    """Return whether a reading that came round under the plan before is made up for."""
    state = before.states.get(journey.name)
    return state == "live" or (state == "paused" and journey.definition.on_pause == "hold")


def _asked(journey: CompiledJourney, workspace_zone: str) -> str:
    entry = journey.definition.entry
    if not isinstance(entry, SegmentEntry) or (entry.at is None and entry.schedule is None):
        return ""
    zones = [journey.definition.zone, workspace_zone] if entry.schedule is not None else []
    told = msgspec.json.encode([entry.segment, entry.at, entry.schedule, zones])
    return hashlib.blake2b(told, digest_size=6).hexdigest()
