"""Who: a segment is a condition with a name."""

from __future__ import annotations

from typing import Annotated

import msgspec

from parcours.definitions.common import Archivable, Condition, Name, Part

CONTROL = ":control"
"""What stands behind the name of a segment to name those who are kept out of it."""


def base_of(name: str) -> str:
    """Return the segment that a name belongs to: of a control group the one it is kept out of."""
    return name.removesuffix(CONTROL)


class ControlGroup(Part, frozen=True, kw_only=True):
    """A random part of a segment that is kept out of it, always the same."""

    percent: Annotated[float, msgspec.Meta(ge=0, le=100, description="How many of a hundred are kept out.")]
    start: Annotated[float, msgspec.Meta(ge=0, le=100, description="Where the part begins, in percent.")] = (
        msgspec.field(name="from", default=0)
    )
    sample: Annotated[
        str,
        msgspec.Meta(
            description="The name of the draw, as in the condition `sample`; segments that name the same keep out the "
            "same people. A draw of its own when it is left out."
        ),
    ] = ""


class SegmentDefinition(Archivable, frozen=True, kw_only=True, tag="segment"):
    """Everyone of whom `condition` is true, but for the lists that override it and the control group."""

    name: Name
    condition: Annotated[Condition, msgspec.Meta(description="Who belongs to it.")]
    include: Annotated[
        list[Name], msgspec.Meta(description="Lists whose members belong to it whatever the condition says.")
    ] = msgspec.field(default_factory=list)
    exclude: Annotated[
        list[Name],
        msgspec.Meta(description="Lists whose members never belong to it, also not by `include`."),
    ] = msgspec.field(default_factory=list)
    control: Annotated[
        ControlGroup | None,
        msgspec.Meta(
            description="A random part of all who would belong to it is kept out. They are the segment `NAME:control`."
        ),
    ] = None
    live: Annotated[
        bool,
        msgspec.Meta(description="Tell in the trace who enters and leaves it, also when no journey waits for that."),
    ] = False
