"""What holds for a workspace as a whole: the words users add to ours, and how strictly it takes what arrives."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from parcours.definitions.common import Definition, Name, Zone
from parcours.definitions.interaction import AttributeDefinition
from parcours.definitions.policy import Policy

CHANNELS: dict[str, str] = {
    "web": "Web",
    "app": "App",
    "store": "Store",
    "email": "E-mail",
    "sms": "SMS",
    "social": "Social media",
    "support": "Support",
    "wallet": "Wallet",
    "event": "Event",
}
"""Where interactions happen, with the titles shown, before a workspace adds its own."""

SOURCE_TYPES: dict[str, str] = {
    "customer": "Customer",
    "staff": "Staff",
    "system": "System",
    "partner": "Partner",
}
"""What sets interactions off, with the titles shown, before a workspace adds its own."""

Namespace = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z][a-z0-9_]{0,63}$",
        description="1 to 64 of lower case letters, digits and _, beginning with a letter",
    ),
]


def channels_of(settings: WorkspaceDefinition) -> dict[str, str]:
    """Return where interactions may happen in a workspace, with the titles shown: the usual channels, then its own."""
    return CHANNELS | _titled(settings.channels)


def source_types_of(settings: WorkspaceDefinition) -> dict[str, str]:
    """Return what may set interactions off in a workspace, with the titles shown: the usual ones, then its own."""
    return SOURCE_TYPES | _titled(settings.source_types)


def _titled(words: dict[str, str]) -> dict[str, str]:
    return {name: title or name for name, title in words.items()}


class ContactSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of contacts."""

    attributes: Annotated[
        dict[str, AttributeDefinition],
        msgspec.Meta(description="Declared attributes, by name; a value of another type is refused."),
    ] = msgspec.field(default_factory=dict)
    strict: Annotated[bool, msgspec.Meta(description="Refuse attributes that are not declared.")] = False
    namespaces: Annotated[
        dict[Namespace, str],
        msgspec.Meta(
            description="Namespaces of identities, with the titles shown: a card number, a requester of a help desk."
        ),
    ] = msgspec.field(default_factory=dict)


class WorkspaceDefinition(Definition, frozen=True, kw_only=True, tag="workspace"):
    """The settings of the workspace. There is one; its name is always `workspace`."""

    name: Annotated[Literal["workspace"], msgspec.Meta(description="Always this; it may be left out.")] = "workspace"
    strict: Annotated[
        bool,
        msgspec.Meta(description="Refuse interactions that nobody defined, instead of learning them."),
    ] = False
    zone: Annotated[
        Zone, msgspec.Meta(description="The time zone of contacts of whom none is known; UTC when there is none.")
    ] = ""
    policy: Annotated[
        Policy, msgspec.Meta(description="What keeps messages from becoming too many, or coming at the wrong time.")
    ] = msgspec.field(default_factory=Policy)
    channels: Annotated[
        dict[Name, str], msgspec.Meta(description="Channels beside the usual ones, with the titles shown.")
    ] = msgspec.field(default_factory=dict)
    source_types: Annotated[
        dict[Name, str], msgspec.Meta(description="Source types beside the usual ones, with the titles shown.")
    ] = msgspec.field(default_factory=dict)
    contacts: Annotated[ContactSettings, msgspec.Meta(description="What is known of contacts.")] = msgspec.field(
        default_factory=ContactSettings
    )
