"""Who enters a journey, and when."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from parcours.definitions.common import Condition, Duration, Part, SegmentName


class InteractionEntry(Part, frozen=True, kw_only=True, tag="interaction"):
    """A contact enters when a matching interaction arrives."""

    interaction: Annotated[
        str, msgspec.Meta(description="The name of the interaction; matches without regard to case.")
    ]
    where: Annotated[Condition | None, msgspec.Meta(description="What must also be true.")] = None
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
            "number."
        ),
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


Entry = InteractionEntry | SegmentEntry
