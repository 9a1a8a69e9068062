"""What keeps messages from becoming too many, or from coming at the wrong time: caps and quiet hours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

from parcours.conditions.durations import parse_duration
from parcours.definitions.common import Duration, Part
from parcours.definitions.waits import WEEKDAYS, Clock, Weekday
from parcours.errors import Problem

MOST_CAPS = 20
HIGHEST_CAP = 1_000


class Cap(Part, frozen=True, kw_only=True):
    """How many messages a contact gets at most in a time: in a window that moves along, or on a day of its calendar."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=HIGHEST_CAP, description="How many messages at most.")]
    per: Annotated[
        Duration | None, msgspec.Meta(description="In any window of this length, in elapsed time: 24h, 7d.")
    ] = None
    per_day: Annotated[bool, msgspec.Meta(description="Instead: on any calendar day where the contact lives.")] = False
    channel: Annotated[str, msgspec.Meta(description="Only messages of this channel; of all when there is none.")] = ""
    topic: Annotated[str, msgspec.Meta(description="Only messages of this topic; of all when there is none.")] = ""
    transactional: Annotated[
        bool, msgspec.Meta(description="Whether transactional messages are counted and held to it, too.")
    ] = False


class QuietHours(Part, frozen=True, kw_only=True):
    """Hours of the day in which a contact is left alone, by the clocks where it lives."""

    start: Annotated[Clock, msgspec.Meta(description="When they begin.")] = msgspec.field(name="from")
    end: Annotated[
        Clock,
        msgspec.Meta(description="When they are over; on the next day, when that is not after `from`."),
    ] = msgspec.field(name="to")
    days: Annotated[
        list[Weekday], msgspec.Meta(min_length=1, description="The days on which they begin; every day when left out.")
    ] = msgspec.field(default_factory=lambda: list(WEEKDAYS))
    mode: Annotated[
        Literal["hold", "drop"],
        msgspec.Meta(description="`hold`: a message leaves when they are over. `drop`: it is not sent."),
    ] = "hold"
    channels: Annotated[
        list[str], msgspec.Meta(description="Only messages of these channels; of all when left out.")
    ] = msgspec.field(default_factory=list)
    transactional: Annotated[bool, msgspec.Meta(description="Whether they are for transactional messages, too.")] = (
        False
    )


class Policy(Part, frozen=True, kw_only=True):
    """What holds for messages of all journeys together."""

    caps: Annotated[
        list[Cap], msgspec.Meta(max_length=MOST_CAPS, description="How many messages a contact gets at most.")
    ] = msgspec.field(default_factory=list)
    quiet_hours: Annotated[
        QuietHours | None, msgspec.Meta(description="When a contact is left alone, by its own clock.")
    ] = None


def policy_problems(policy: Policy) -> Iterator[Problem]:
    """Yield what is wrong with a policy for itself; pointers are within it."""
    for index, cap in enumerate(policy.caps):
        place = f"/caps/{index}"
        if (cap.per is not None) == cap.per_day:
            message = "a cap has either 'per' or 'per_day'"
            hint = "write 'per: 7d' for a window that moves along, or 'per_day: true' for calendar days"
            yield Problem(code="invalid_value", message=message, pointer=place, hint=hint)
        if cap.per is not None:
            try:
                parse_duration(cap.per)
            except ValueError as error:
                yield Problem(code="invalid_value", message=str(error), pointer=f"{place}/per")
    quiet = policy.quiet_hours
    if quiet is not None and quiet.start == quiet.end and set(quiet.days) == set(WEEKDAYS):
        message, hint = "these quiet hours never end", "name the days on which they begin, or another time"
        yield Problem(code="invalid_value", message=message, pointer="/quiet_hours/to", hint=hint)
