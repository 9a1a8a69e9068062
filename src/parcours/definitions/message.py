"""What is said: the content a journey sends, by channel, with Liquid in its texts."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from parcours.definitions.common import Archivable, Name, Priority


class ChannelFields(msgspec.Struct, frozen=True):
    """What the content of a channel is made of, and where its address comes from."""

    title: str
    address: str
    """The contact's attribute that holds the address; empty where messages go to the contact itself, by its id."""
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
    "sms": ChannelFields(title="SMS", address="phone", required=("text",), optional=("from",)),
    "push": ChannelFields(
        title="Push notification", address="push_token", required=("title", "body"), optional=("url", "image")
    ),
    "web_push": ChannelFields(
        title="Web push",
        address="web_push",
        required=("title", "body"),
        optional=("url", "icon", "image"),
    ),
    "in_app": ChannelFields(
        title="In-app message",
        address="",
        required=("body",),
        optional=("title", "button", "url", "image", "place"),
    ),
    "inbox": ChannelFields(
        title="Inbox", address="", required=("title", "body"), optional=("button", "url", "image", "expires")
    ),
    "web": ChannelFields(
        title="Website",
        address="",
        required=(),
        one_of=("text", "html"),
        optional=("title", "button", "url", "image", "place"),
    ),
}
"""Every channel a message can be written for, one row each. A channel may have no provider: its messages wait then."""

WEBHOOK = "webhook"
"""The line of the outbox for calls of other services, which steps make."""

LINES = (*CHANNELS, WEBHOOK)
"""Every line of the outbox."""

ADDRESSES: dict[str, str] = {fields.address: channel for channel, fields in CHANNELS.items() if fields.address}
"""The attribute that holds an address, to its channel."""


class MessageDefinition(Archivable, frozen=True, kw_only=True, tag="message"):
    """One message. Marketing needs the contact's consent for the channel and topic; transactional does not."""

    name: Name
    channel: Annotated[str, msgspec.Meta(description="What it is sent through.")]
    purpose: Annotated[
        Literal["marketing", "transactional"], msgspec.Meta(description="Marketing needs consent, transactional not.")
    ] = "marketing"
    topic: Annotated[str, msgspec.Meta(description="What it is about; consent may be given for a topic.")] = ""
    exempt: Annotated[
        bool, msgspec.Meta(description="Neither caps nor quiet hours are for it, and it is not counted.")
    ] = False
    priority: Annotated[
        Priority | None, msgspec.Meta(description="Its own, in place of that of the journey that sends it.")
    ] = None
    content: Annotated[
        dict[str, str],
        msgspec.Meta(description="Liquid templates by field; each channel has fields of its own."),
    ]
