"""Who: a segment is a condition with a name."""

from __future__ import annotations

from typing import Annotated

import msgspec

from parcours.definitions.common import Archivable, Condition, Name


class SegmentDefinition(Archivable, frozen=True, kw_only=True, tag="segment"):
    """Everyone of whom `condition` is true."""

    name: Name
    condition: Annotated[Condition, msgspec.Meta(description="Who belongs to it.")]
    live: Annotated[
        bool,
        msgspec.Meta(description="Tell in the trace who enters and leaves it, also when no journey waits for that."),
    ] = False
