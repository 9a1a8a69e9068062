"""The encoded form of inputs, contacts, messages and traces: msgpack, the same in every store and on every machine."""

from __future__ import annotations

from typing import Any

import msgspec

from parcours.core.contact import Contact
from parcours.core.effects import Entry, Message, Trace
from parcours.core.inputs import Input, WorkspaceInput

_encoder = msgspec.msgpack.Encoder()
_inputs: msgspec.msgpack.Decoder[Input | WorkspaceInput] = msgspec.msgpack.Decoder(Input | WorkspaceInput)
_contacts = msgspec.msgpack.Decoder(Contact)
_messages = msgspec.msgpack.Decoder(Message)
_entries = msgspec.msgpack.Decoder(Entry)
_items = msgspec.msgpack.Decoder(dict[str, Any])
_traces = msgspec.msgpack.Decoder(list[Trace])

encode = _encoder.encode
"""Encode an input, contact, message or list of traces; raises one of `UNENCODABLE`."""

UNENCODABLE = (OverflowError, TypeError, ValueError, RecursionError)
"""An integer of more than 64 bits, a type that has no form, a lone surrogate, and nesting without end."""


def decode_input(data: bytes) -> Input | WorkspaceInput:
    """Return the input of a log row."""
    return _inputs.decode(data)


def decode_contact(data: bytes) -> Contact:
    """Return a contact's state."""
    return _contacts.decode(data)


def decode_item(data: bytes) -> dict[str, Any]:
    """Return the attributes of an item of a catalogue."""
    return _items.decode(data)


def decode_message(data: bytes) -> Message:
    """Return a message of the outbox."""
    return _messages.decode(data)


def decode_traces(data: bytes) -> list[Trace]:
    """Return the entries of a trace row."""
    return _traces.decode(data)


def decode_entry(data: bytes) -> Entry:
    """Return an entry of the ledger."""
    return _entries.decode(data)
