"""Who: a segment is a condition with a name."""

from __future__ import annotations

from typing import Annotated

import msgspec

from parcours.definitions.common import Archivable, Condition, Name


class SegmentDefinition(Archivable, frozen=True, kw_only=True, tag="segment"):
    """Everyone of whom `condition` is true, but for the lists that override it."""

    name: Name
    condition: Annotated[Condition, msgspec.Meta(description="Who belongs to it.")]
    include: Annotated[
        list[Name], msgspec.Meta(description="Lists whose members belong to it whatever the condition says.")
    ] = msgspec.field(default_factory=list)
    exclude: Annotated[
        list[Name],
        msgspec.Meta(description="Lists whose members never belong to it, also not by `include`: a control group."),
    ] = msgspec.field(default_factory=list)
    live: Annotated[
        bool,
        msgspec.Meta(description="Tell in the trace who enters and leaves it, also when no journey waits for that."),
    ] = False
