"""Words that several kinds of definition share."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec

from parcours.conditions.durations import PATTERN
from parcours.conditions.instants import milliseconds
from parcours.conditions.names import match_name
from parcours.conditions.operators import to_instant

# A field's own Meta replaces the description of its type, so what a text must look like is kept in `extra`, too.

_NAME = "1 to 64 of lower case letters, digits, - and _, beginning with a letter or digit"
_DURATION = "elapsed time in s, m, h, d and w, such as 30s, 15m, 24h, 7d, 1d12h"

MOST_NAMES = 100
"""How many kinds of interaction may be named together."""

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", description=_NAME, extra={"written": _NAME})]
"""What a definition is referred to by."""

_SEGMENT = f"{_NAME}; NAME:control is the control group of a segment"

SegmentName = Annotated[
    str,
    msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}(:control)?$", description=_SEGMENT, extra={"written": _SEGMENT}),
]
"""What a segment, or the control group of one, is referred to by."""

Duration = Annotated[str, msgspec.Meta(pattern=PATTERN, description=_DURATION, extra={"written": _DURATION})]

_INTERACTION = (
    "The name of the interaction, or a list of names of which any will do; they match without regard to case."
)

Interactions = Annotated[
    str | Annotated[list[str], msgspec.Meta(min_length=1, max_length=MOST_NAMES)],
    msgspec.Meta(description=_INTERACTION),
]
"""One kind of interaction, or several."""

_ZONE = "an IANA time zone, such as Europe/Berlin"

Zone = Annotated[str, msgspec.Meta(description=_ZONE, extra={"written": _ZONE})]
"""A time zone; empty where none is meant."""
_INSTANT = "a date and time with an offset, such as 2026-12-01T09:00:00+01:00"

Instant = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})$",
        description=_INSTANT,
        extra={"written": _INSTANT},
    ),
]
"""A moment, as it is written."""


def milliseconds_of(instant: str) -> int | None:
    """Return a moment in milliseconds since the epoch; None when there is none that is written so."""
    found = to_instant(instant)
    return milliseconds(found) if found is not None else None


HIGHEST_PRIORITY = 9

Priority = Annotated[
    int,
    msgspec.Meta(ge=-HIGHEST_PRIORITY, le=HIGHEST_PRIORITY),
]
"""What goes first: -9 to 9, the higher the earlier."""

CONDITION_REF = "#/$defs/Condition"
"""Where a JSON Schema keeps the schema of a condition; the mark by which a field is known to hold one."""

Condition = Annotated[dict[str, Any], msgspec.Meta(extra_json_schema={"$ref": CONDITION_REF})]
"""A tree as it is written; `conditions.parse` reads it."""


def names_of(interactions: str | list[str]) -> tuple[str, ...]:
    """Return the folded names of one kind of interaction or of several, each once, as they stand."""
    written = [interactions] if isinstance(interactions, str) else interactions
    return tuple(dict.fromkeys(map(match_name, written)))


class Definition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What every definition has."""

    name: Annotated[str, msgspec.Meta(description="What the definition is referred to by.")]
    title: Annotated[str, msgspec.Meta(description="What people see; the name when there is none.")] = ""
    description: Annotated[str, msgspec.Meta(description="What it is for, in a sentence or two.")] = ""


class Archivable(Definition, frozen=True, kw_only=True):
    """A definition that can be put away: it is kept, and nothing in use may refer to it."""

    archived: Annotated[bool, msgspec.Meta(description="Put away: it is kept, and nothing in use may refer to it.")] = (
        False
    )


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A piece of a definition."""

    exactly_one: ClassVar[tuple[str, ...]] = ()
    """Keys of which exactly one is there."""
