"""Who enters a journey, and when."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from parcours.definitions.common import Condition, Duration, Interactions, Part, SegmentName, Zone
from parcours.definitions.waits import Clock

MOST_TIMES = 1_000
"""How often something may be asked for at most."""


class InteractionEntry(Part, frozen=True, kw_only=True, tag="interaction"):
    """A contact enters when a matching interaction arrives, or when several of them have."""

    interaction: Interactions
    where: Annotated[Condition | None, msgspec.Meta(description="What must also be true.")] = None
    times: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            le=MOST_TIMES,
            description="How many must match before one enters. After that the count starts again.",
        ),
    ] = 1
    within: Annotated[
        Duration | None,
        msgspec.Meta(
            description="With `times`: they occurred less than so long apart, from the first to the last. "
            "Any time when it is left out."
        ),
    ] = None
    with_history: Annotated[
        bool,
        msgspec.Meta(description="With `times`: what happened before the journey went live counts, too."),
    ] = False
    max_age: Annotated[
        Duration,
        msgspec.Meta(
            description="An interaction that arrives later than this after it occurred starts and moves nothing."
        ),
    ] = "6h"
    key: Annotated[
        str,
        msgspec.Meta(
            description="An attribute of the interaction whose value tells runs of one contact apart, such as an order "
            "number. `times` are counted for each value by itself."
        ),
    ] = ""


class Schedule(Part, frozen=True, kw_only=True):
    """When something is done again and again: a cron expression, or a recurrence rule."""

    cron: Annotated[
        str | None, msgspec.Meta(description="Five fields as in crontab: minute, hour, day, month, weekday.")
    ] = None
    rrule: Annotated[
        str | None, msgspec.Meta(description="A rule of RFC 5545, such as FREQ=WEEKLY;BYDAY=MO;BYHOUR=9.")
    ] = None
    start: Annotated[
        str | None,
        msgspec.Meta(
            description="With `rrule`: the first date, or date and time, from which intervals count. 2000-01-01 when it "
            "is left out."
        ),
    ] = None
    zone: Annotated[
        Zone, msgspec.Meta(description="The time zone; the journey's, else the workspace's, when it is left out.")
    ] = ""


class SegmentEntry(Part, frozen=True, kw_only=True, tag="segment"):
    """The members of a segment enter: all at once when the journey goes live, or each on entering or leaving it."""

    segment: Annotated[SegmentName, msgspec.Meta(description="The segment, or `NAME:control`.")]
    on: Annotated[
        Literal["read", "entered", "left"],
        msgspec.Meta(
            description="`read`: its members enter once, when the journey goes live. `entered`, `left`: whoever enters "
            "or leaves the segment from then on, also because time passes."
        ),
    ] = "read"
    existing: Annotated[
        bool, msgspec.Meta(description="With `entered`: those who are members when the journey goes live enter, too.")
    ] = False
    at: Annotated[
        str | None,
        msgspec.Meta(description="With `read`: read at this moment (ISO 8601 with an offset), not when it goes live."),
    ] = None
    schedule: Annotated[Schedule | None, msgspec.Meta(description="With `read`: read again and again.")] = None
    members: Annotated[
        Literal["all", "new"],
        msgspec.Meta(
            description="With `schedule`: `all` members enter each time, as far as `re_entry` lets them; of `new` each "
            "is read once."
        ),
    ] = "all"


class ContactEntry(Part, frozen=True, kw_only=True, tag="contact_created"):
    """Whoever is met for the first time enters."""

    where: Annotated[Condition | None, msgspec.Meta(description="What must also be true of the contact.")] = None


_KEY = "An attribute given with it whose value tells runs of one contact apart, such as an order number."


class DateEntry(Part, frozen=True, kw_only=True, tag="date"):
    """A contact enters on a date that is known of it, or some days before or after."""

    attribute: Annotated[str, msgspec.Meta(description="The contact's attribute that holds the date.")]
    yearly: Annotated[bool, msgspec.Meta(description="Every year from then on, as a birthday.")] = False
    before: Annotated[Duration | None, msgspec.Meta(description="So many whole days before.")] = None
    after: Annotated[Duration | None, msgspec.Meta(description="So many whole days after.")] = None
    at: Annotated[Clock, msgspec.Meta(description="The time of day, in the contact's time zone.")] = "09:00"
    where: Annotated[Condition | None, msgspec.Meta(description="What must also be true of the contact then.")] = None


class ApiEntry(Part, frozen=True, kw_only=True, tag="api"):
    """Contacts enter when somebody asks for it over the API or on the command line."""

    where: Annotated[
        Condition | None,
        msgspec.Meta(
            description="What must be true; it may look at the attributes given as at those of an interaction."
        ),
    ] = None
    key: Annotated[str, msgspec.Meta(description=_KEY)] = ""


class JourneyEntry(Part, frozen=True, kw_only=True, tag="journey"):
    """Only another journey lets contacts in, by its step `start`."""

    key: Annotated[str, msgspec.Meta(description=_KEY)] = ""


class AfterPause(Part, frozen=True, kw_only=True):
    """A contact may enter again when so much time has passed since its last run ended."""

    after: Annotated[Duration, msgspec.Meta(description="How long after the end of the last run.")]


class MostEntries(Part, frozen=True, kw_only=True):
    """How often a contact may enter."""

    times: Annotated[int, msgspec.Meta(ge=1, le=MOST_TIMES, description="How often at most, whatever the key.")]
    within: Annotated[Duration | None, msgspec.Meta(description="In which time; ever when it is left out.")] = None


Entry = InteractionEntry | SegmentEntry | ContactEntry | DateEntry | ApiEntry | JourneyEntry
