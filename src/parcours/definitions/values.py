"""Values that a step sets: written as they are, copied from somewhere, or worked out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

import msgspec

from parcours.conditions.parse import escape
from parcours.definitions.common import Part


class Copied(Part, frozen=True, kw_only=True):
    """A value that is copied, as it is when the token arrives."""

    source: Annotated[
        Literal["contact", "interaction", "run"],
        msgspec.Meta(
            description="From the contact, from what started the run, or from the run itself: its `key`, or what a "
            "step saved."
        ),
    ] = msgspec.field(name="from")
    attribute: Annotated[
        str, msgspec.Meta(min_length=1, description="The attribute; parts of what is nested are joined by dots.")
    ]


Some = int | float | str | list[str] | Copied
"""What is added or taken away: a number, texts for a list of them, or a copy of either."""


class Computed(Part, frozen=True, kw_only=True):
    """A value that is worked out when the token arrives; one of these."""

    exactly_one: ClassVar[tuple[str, ...]] = ("from", "add", "subtract", "now", "remove")

    source: Annotated[
        Literal["contact", "interaction", "run"] | None,
        msgspec.Meta(description="Copy `attribute` of the contact, of what started the run, or of the run itself."),
    ] = msgspec.field(name="from", default=None)
    attribute: Annotated[str, msgspec.Meta(description="With `from`: the attribute that is copied.")] = ""
    add: Annotated[
        Some | None, msgspec.Meta(description="Add to the number that is there (0 when none is), or to the list.")
    ] = None
    subtract: Annotated[
        Some | None, msgspec.Meta(description="Subtract from the number that is there, or take off the list.")
    ] = None
    now: Annotated[Literal[True] | None, msgspec.Meta(description="The present moment.")] = None
    remove: Annotated[Literal[True] | None, msgspec.Meta(description="Remove the attribute.")] = None


Value = str | int | float | bool | list[str] | Computed


def copies(values: Mapping[str, Value]) -> Iterator[tuple[str, Copied]]:
    """Yield what is copied by values, each with its JSON pointer below them."""
    for name, value in values.items():
        if not isinstance(value, Computed):
            continue
        pointer = f"/{escape(name)}"
        if value.source is not None:
            yield pointer, Copied(source=value.source, attribute=value.attribute)
        for field in ("add", "subtract"):
            if isinstance(part := getattr(value, field), Copied):
                yield f"{pointer}/{field}", part
