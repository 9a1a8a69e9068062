"""What people do: the kinds of interaction a workspace knows."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from parcours.definitions.common import Archivable, Condition, Duration

AttributeType = Literal["string", "number", "boolean", "datetime", "strings", "object"]
"""`strings` is a list of strings; `object` is anything nested (an order's lines), kept and not looked into."""


class AttributeDefinition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One declared attribute: of an interaction, of contacts, of the items of a catalogue."""

    type: Annotated[AttributeType, msgspec.Meta(description="What its values are.")]
    title: Annotated[str, msgspec.Meta(description="What people see; the name when there is none.")] = ""
    required: Annotated[bool, msgspec.Meta(description="What comes without it is refused.")] = False


class InteractionDefinition(Archivable, frozen=True, kw_only=True, tag="interaction"):
    """A kind of interaction. Its name matches without regard to case: `Store_Visit` is `store_visit`."""

    name: Annotated[
        str, msgspec.Meta(min_length=1, max_length=200, description="Its name; matches without regard to case.")
    ]
    channel: Annotated[str, msgspec.Meta(description="Where it happens.")] = "web"
    source_type: Annotated[str, msgspec.Meta(description="What set it off.")] = "customer"
    attributes: Annotated[
        dict[str, AttributeDefinition], msgspec.Meta(description="Its declared attributes, by name.")
    ] = msgspec.field(default_factory=dict)
    strict: Annotated[
        bool,
        msgspec.Meta(description="Refuse attributes that are not declared. Declared ones are checked either way."),
    ] = False
    retention: Annotated[
        Duration | None,
        msgspec.Meta(description="How long interactions of this kind are kept; for ever when there is none."),
    ] = None
    counts_when: Annotated[
        Condition | None,
        msgspec.Meta(
            description="The interaction is kept whatever it says, but counts, starts and moves something only when "
            "this is true of it. Looks at attributes of the interaction only."
        ),
    ] = None
