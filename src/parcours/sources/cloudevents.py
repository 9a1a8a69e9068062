"""CloudEvents 1.0 over HTTP, in the structured, batched and binary mode, to arrivals.

Sources: the CNCF's "CloudEvents - Version 1.0.2" (context attributes, section 3.1: `id`, `source`, `specversion` and
`type` are required; size limits, section 4), "HTTP Protocol Binding for CloudEvents" (binary mode 3.1, percent-decoding
of headers 3.1.3.2, structured mode 3.2, batched mode 3.3) and "JSON Event Format for CloudEvents" (attributes 2, data
3.1, batches 4).

| of the event             | what it becomes                                                                             |
|--------------------------|---------------------------------------------------------------------------------------------|
| `type`                   | the interaction's name                                                                      |
| `subject`                | the contact: `namespace:value`, and without a namespace a `user_id`                         |
| `data`                   | the attributes: a JSON object, or nothing                                                   |
| `time`                   | when it occurred; now when it is missing                                                    |
| `source` and `id`        | the source and the id by which a repeat is known                                            |
| `datacontenttype`        | checked: the data is JSON                                                                   |
| `dataschema`, extensions | passed over                                                                                 |
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from parcours.core.gate import Arrival, Happened
from parcours.sources.plain import (
    NAMESPACE,
    Item,
    bad,
    checked_id,
    checked_name,
    decode,
    identity_of,
    instant_of,
    refuse_unstorable,
    split,
    text_in,
)
from parcours.sources.segment import MalformedError

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
PREFIX = "ce-"
"""What the binary mode puts before an attribute's name to make a header's."""

VERSION = "1.0"

_JSON = re.compile(r"[^/]+/(?:[^/]+\+)?json")
_ATTRIBUTES = ("specversion", "id", "source", "type", "subject", "time", "datacontenttype")


class CloudEvent(msgspec.Struct):
    """One event, as far as it concerns us; null is the same as absent (JSON format, section 2)."""

    specversion: str | None = None
    id: str | None = None
    source: str | None = None
    type: str | None = None
    subject: str | None = None
    time: str | None = None
    datacontenttype: str | None = None
    data: Any = None
    data_base64: str | None = None


_events = msgspec.json.Decoder(CloudEvent)
_objects = msgspec.json.Decoder()
_times = msgspec.json.Decoder(datetime)


class UnsupportedMediaError(Exception):
    """What was sent is in none of the three modes, or in another format than JSON."""


def media_type(header: str) -> str:
    """Return the media type of a `Content-Type` header without its parameters, in lower case."""
    return header.partition(";")[0].strip().lower()


def read(headers: Mapping[str, str], body: bytes) -> list[Item]:
    """Read one request.

    Args:
        headers: The request's headers by name in lower case.
        body: The body, unpacked.

    Returns:
        One item for each event, in their order.

    Raises:
        UnsupportedMediaError: It is in none of the three modes.
        MalformedError: The body as a whole cannot be read.
    """
    content = media_type(headers.get("content-type", ""))
    if content == STRUCTURED:
        return [_structured(body)]
    if content == BATCHED:
        parts = split(body)
        if parts is None:
            raise bad("a batch is an array of events", "", code="wrong_type")
        return [_structured(part) for part in parts]
    if content.startswith("application/cloudevents") or not any(name.startswith(PREFIX) for name in headers):
        raise UnsupportedMediaError
    return [_binary(headers, body)]


def _structured(part: bytes | msgspec.Raw) -> Item:
    try:
        event: CloudEvent = decode(_events, part)
    except MalformedError as error:
        return Item(text_in(part, "id"), problem=error.problem)
    return _item(event)


def _binary(headers: Mapping[str, str], body: bytes) -> Item:
    event = CloudEvent()
    try:
        for attribute in _ATTRIBUTES[:-1]:
            value = headers.get(PREFIX + attribute)
            if value is not None:
                setattr(event, attribute, header_value(value, attribute))
        event.datacontenttype = headers.get("content-type")
        if body:
            _check_content(event)
            event.data = _data(body)
    except MalformedError as error:
        return Item(event.id or "", problem=error.problem)
    return _item(event)


def header_value(value: str, attribute: str) -> str:
    """Return an attribute from its header: quotes taken away, then percent-decoded (HTTP binding, section 3.1.3.2).

    Raises:
        MalformedError: What is percent-encoded is not UTF-8.
    """
    text = value.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    try:
        # ASGI hands headers on as bytes, read as Latin-1: what is not encoded is put back as it was.
        return unquote_to_bytes(text.encode("latin-1")).decode()
    except UnicodeError:
        raise bad(f"the header of {attribute!r} is not percent-encoded UTF-8", f"/{attribute}") from None


def _item(event: CloudEvent) -> Item:
    try:
        return Item(event.id or "", _arrival(event))
    except MalformedError as error:
        return Item(event.id or "", problem=error.problem)


def _arrival(event: CloudEvent) -> Arrival:
    refuse_unstorable({name: getattr(event, name) for name in (*_ATTRIBUTES, "data")})
    for attribute in _ATTRIBUTES[:4]:
        if not getattr(event, attribute):
            raise bad(f"{attribute!r} is missing", f"/{attribute}", "every event has it", code="missing_attribute")
    if event.specversion != VERSION:
        raise bad(f"'specversion' is {event.specversion!r}, not {VERSION!r}", "/specversion", code="unknown_version")
    source, id_, type_ = str(event.source), str(event.id), str(event.type)
    return Arrival(
        checked_id(source, "source"),
        checked_id(id_),
        (_contact(event.subject),),
        Happened(checked_name(type_, "type"), _attributes(event)),
        instant_of(_time(event.time), "/time"),
    )


def _contact(subject: str | None) -> tuple[str, str]:
    if not subject:
        raise bad("nothing says whose this is", "/subject", "for example user_id:42", code="no_identity")
    namespace, colon, value = subject.partition(":")
    if colon and NAMESPACE.fullmatch(namespace):
        return identity_of(namespace, value, "/subject")
    return identity_of("user_id", subject, "/subject")


def _attributes(event: CloudEvent) -> dict[str, Any]:
    data = event.data
    if event.data_base64 is not None:
        if data is not None:
            raise bad("there is 'data' and 'data_base64'", "/data_base64", "send one of them")
        try:
            data = _data(base64.b64decode(event.data_base64, validate=True))
        except (binascii.Error, ValueError):
            raise bad("it is not Base64", "/data_base64") from None
        refuse_unstorable({"data": data})
    if data is None:
        return {}
    _check_content(event)
    if not isinstance(data, dict):
        raise bad("the data is not a JSON object", "/data", "attributes need names", code="wrong_type")
    return data


def _data(body: bytes) -> Any:
    try:
        return decode(_objects, body)
    except MalformedError as error:
        raise MalformedError(msgspec.structs.replace(error.problem, pointer="/data")) from None


def _check_content(event: CloudEvent) -> None:
    if event.datacontenttype and _JSON.fullmatch(media_type(event.datacontenttype)) is None:
        message = f"the data is {event.datacontenttype[:80]!r}"
        raise bad(message, "/datacontenttype", "send JSON", code="unknown_content")


def _time(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        return _times.decode(msgspec.json.encode(text))
    except msgspec.DecodeError:
        raise bad("the time is not RFC 3339", "/time", "for example 2026-01-31T12:00:00Z", code="wrong_type") from None
