"""What is said: the content a journey sends, by channel, with Liquid in its texts."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from parcours.definitions.common import Archivable, Name


class ChannelFields(msgspec.Struct, frozen=True):
    """What the content of a channel is made of, and where its address comes from."""

    title: str
    address: str
    """The contact's attribute that holds the address."""
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()


CHANNELS: dict[str, ChannelFields] = {
    "email": ChannelFields(
        title="E-mail",
        address="email",
        required=("subject",),
        one_of=("text", "html"),
        optional=("from", "reply_to"),
    ),
    "push": ChannelFields(
        title="Push notification", address="push_token", required=("title", "body"), optional=("url", "image")
    ),
}
"""Every channel a message can be written for, one row each."""


class MessageDefinition(Archivable, frozen=True, kw_only=True, tag="message"):
    """One message. Marketing needs the contact's consent for the channel and topic; transactional does not."""

    name: Name
    channel: Annotated[str, msgspec.Meta(description="What it is sent through.")]
    purpose: Annotated[
        Literal["marketing", "transactional"], msgspec.Meta(description="Marketing needs consent, transactional not.")
    ] = "marketing"
    topic: Annotated[str, msgspec.Meta(description="What it is about; consent may be given for a topic.")] = ""
    content: Annotated[
        dict[str, str],
        msgspec.Meta(description="Liquid templates by field; each channel has fields of its own."),
    ]


def message_texts(definition: object) -> dict[str, str]:
    """Return the templates by field of plain data that may be a message; nothing when it is something else."""
    content = (
        definition.get("content") if isinstance(definition, dict) and definition.get("kind") == "message" else None
    )
    if not isinstance(content, dict):
        return {}
    return {field: text for field, text in content.items() if isinstance(field, str) and isinstance(text, str)}
