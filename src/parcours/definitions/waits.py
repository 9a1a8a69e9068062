"""Until when a step waits: moments of the calendar and the clock, in somebody's time zone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

from parcours.conditions.operators import is_date, to_instant
from parcours.conditions.parse import shown
from parcours.definitions.common import Duration, Part, Zone
from parcours.errors import Problem

_CLOCK = 'a time of day from "00:00" to "23:59", with seconds where they matter'
_CLOSING = 'a time of day up to "24:00"'

Clock = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$", description=_CLOCK, extra={"written": _CLOCK}
    ),
]
Closing = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?|24:00)$",
        description=_CLOSING,
        extra={"written": _CLOSING},
    ),
]

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""In the order in which `date.weekday` counts them."""


class Hours(Part, frozen=True, kw_only=True):
    """Hours of the day on some days of the week, such as those in which a shop is open."""

    start: Annotated[Clock, msgspec.Meta(description="When they begin.")] = msgspec.field(name="from")
    end: Annotated[
        Closing,
        msgspec.Meta(
            description="When they are over: the first moment that is outside; the next day when that is earlier."
        ),
    ] = msgspec.field(name="to")
    days: Annotated[list[Weekday], msgspec.Meta(min_length=1, description="On which days.")] = msgspec.field(
        default_factory=lambda: list(WEEKDAYS[:5])
    )


class Until(Part, frozen=True, kw_only=True):
    """A moment to wait for: the next time of day or weekday, a date, a date that is known of somebody, open hours."""

    time: Annotated[
        Clock | None, msgspec.Meta(description="The time of day: the next one, or on the day that is meant.")
    ] = None
    weekdays: Annotated[
        Annotated[list[Weekday], msgspec.Meta(min_length=1)] | None,
        msgspec.Meta(description="The next of these days; after a date, the first of them from it on."),
    ] = None
    date: Annotated[str | None, msgspec.Meta(description="A date, or a date and time with an offset.")] = None
    contact: Annotated[str | None, msgspec.Meta(description="The contact's attribute that holds the date.")] = None
    interaction: Annotated[
        str | None, msgspec.Meta(description="The attribute of what started the run that holds the date.")
    ] = None
    before: Annotated[Duration | None, msgspec.Meta(description="So long before the date.")] = None
    after: Annotated[Duration | None, msgspec.Meta(description="So long after the date.")] = None
    hours: Annotated[
        Hours | None, msgspec.Meta(description="Within these hours: at once inside of them, else when they next begin.")
    ] = None
    zone: Annotated[Zone, msgspec.Meta(description="The time zone that is meant, whatever the contact's own is.")] = ""

    @property
    def passes_at_once(self) -> bool:
        """Whether a wait for it may be over before it begins, each time."""
        return self.anchored or self.hours is not None

    @property
    def anchored(self) -> bool:
        """Whether it is counted from a date, rather than from the moment at which the wait begins."""
        return self.date is not None or self.contact is not None or self.interaction is not None


def problems_of_until(until: Until, pointer: str) -> Iterator[Problem]:
    """Yield what is wrong with the parts of a moment together."""
    anchors = [name for name in ("date", "contact", "interaction") if getattr(until, name) is not None]
    if len(anchors) > 1:
        yield _problem(f"has {' and '.join(map(repr, anchors))}; of these there is one at most", pointer)
    if until.date is not None and to_instant(until.date) is None:
        hint = 'for example "2026-12-24" or "2026-12-24T09:00:00+01:00"'
        yield _problem(f"{shown(until.date)} is no date, and no date and time with an offset", f"{pointer}/date", hint)
    if until.before is not None and until.after is not None:
        yield _problem("has 'before' and 'after'; of these there is one at most", pointer)
    if not anchors:
        for name in ("before", "after"):
            if getattr(until, name) is not None:
                hint = "name it with 'date', 'contact' or 'interaction'; to wait for a length of time, use 'for'"
                yield _problem(f"there is no date here to be {name}", f"{pointer}/{name}", hint)
        if until.time is None and until.weekdays is None and until.hours is None:
            hint = "give a time, weekdays, a date, an attribute that holds one, or hours"
            yield _problem("says no moment", pointer, hint)
    if until.date is not None and until.time is not None and not is_date(until.date):
        yield _problem("the date has a time already", f"{pointer}/time", "leave one of them out")
    if until.hours is not None:
        for name in ("time", "weekdays"):
            if getattr(until, name) is not None:
                hint = "leave one of them out; hours have 'days' of their own"
                yield _problem(f"'hours' and {name!r} do not go together", f"{pointer}/{name}", hint)
        if until.hours.end == until.hours.start:
            yield _problem("the hours end as they begin", f"{pointer}/hours/to", "for whole days, write 00:00 to 24:00")


def _problem(message: str, pointer: str, hint: str = "") -> Problem:
    return Problem(code="invalid_value", message=message, pointer=pointer, hint=hint)
