"""The Segment protocol: `track`, `page`, `screen`, `identify`, `group` and `alias`, alone or in a batch, to arrivals.

Source: Segment's HTTP Tracking API and its specifications of the common fields and of e-mail and push events.

| what is sent                                    | what it becomes                                                        |
|-------------------------------------------------|------------------------------------------------------------------------|
| `track`                                         | an interaction of that name                                            |
| `track` of an event in `REACTIONS` with the id of one of our messages as `message_id` | a reaction to that message       |
| `page`, `screen`                                | the interaction `Page Viewed` or `Screen Viewed`                       |
| `identify`                                      | attributes; `email` and the device token also become addresses; `consent` becomes consent |
| `group`                                         | the attributes `group_id` and `group`                                  |
| `alias`                                         | `previousId` and `userId` are one person, also where each was known as somebody |
| `userId`, `anonymousId`                         | identities, the first the stronger                                     |
| `timestamp`, `sentAt`                           | the time it occurred: ours, less the time that passed at the sender's between the two |
| `messageId`                                     | the id by which a repeat is known; made up when it is missing          |
| `integrations`, other fields of `context`       | ignored                                                                |
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from parcours.conditions.instants import MILLISECOND, milliseconds
from parcours.conditions.parse import CONSENT_STATES, escape
from parcours.core.gate import Arrival, Happened, Learned, Reacted
from parcours.core.ids import contact_of_message
from parcours.definitions.message import ADDRESSES, CHANNELS
from parcours.errors import Problem
from parcours.sources.addresses import address_of
from parcours.sources.words import not_json, told_of

REACTIONS: dict[str, tuple[str, str]] = {
    "Email Delivered": ("email", "delivered"),
    "Email Opened": ("email", "opened"),
    "Email Link Clicked": ("email", "clicked"),
    "Email Bounced": ("email", "bounced"),
    "Email Marked as Spam": ("email", "complained"),
    "Unsubscribed": ("email", "unsubscribed"),
    "Push Notification Received": ("push", "delivered"),
    "Push Notification Tapped": ("push", "opened"),
    "Push Notification Bounced": ("push", "bounced"),
}
"""Segment's names of what becomes of a message, to the channel and the kind of reaction."""

LONGEST_NAME = 200
LONGEST_ID = 512
EVIDENCE = ("by", "how")
"""What is kept of a consent beside the consent: who recorded it, and in what way."""
"""Characters of an event's name, and of a user's or message's id."""

LARGEST_BATCH = 10_000
"""Messages in one batch."""

_LONE_SURROGATE = "lone_surrogate"
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class SegmentMessage(msgspec.Struct, rename="camel"):
    """One message, as far as it concerns us; other fields are passed over."""

    type: str = ""
    event: str = ""
    name: str | None = None
    user_id: str | int | None = None
    anonymous_id: str | int | None = None
    message_id: str | None = None
    timestamp: datetime | None = None
    sent_at: datetime | None = None
    properties: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None
    group_id: str | int | None = None
    previous_id: str | int | None = None
    context: msgspec.Raw = msgspec.Raw()
    """As it came: only the token of a device is looked for in it. A union with None would refuse objects."""


class Batch(msgspec.Struct, rename="camel"):
    """The body of `/v1/batch`."""

    batch: list[SegmentMessage]
    sent_at: datetime | None = None


class _Loose(msgspec.Struct, rename="camel"):
    batch: list[msgspec.Raw]
    sent_at: datetime | None = None


class _Device(msgspec.Struct):
    token: str | None = None


class _Context(msgspec.Struct):
    device: _Device | None = None


class Read(msgspec.Struct):
    """What a body came to: arrivals with their place in the batch, and problems with theirs."""

    arrivals: list[Arrival] = msgspec.field(default_factory=list)
    places: list[int] = msgspec.field(default_factory=list)
    message_ids: list[str] = msgspec.field(default_factory=list)
    problems: list[tuple[int, str, Problem]] = msgspec.field(default_factory=list)


class MalformedError(Exception):
    """The body as a whole cannot be read."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


_batches = msgspec.json.Decoder(Batch)
_loose = msgspec.json.Decoder(_Loose)
_messages = msgspec.json.Decoder(SegmentMessage)
_contexts = msgspec.json.Decoder(_Context)


class SegmentReader:
    """Reads bodies of one source.

    Args:
        source: The name of the sender; message ids are told apart by it.
        now: Returns the machine's time in milliseconds.
        new_id: Returns an id for a message that carries none.
    """

    def __init__(self, source: str, now: Callable[[], int], new_id: Callable[[], str]) -> None:
        self._source = source
        self._now = now
        self._new_id = new_id

    def batch(self, body: bytes) -> Read:
        """Read the body of `/v1/batch`. A bad message is a problem in the result; its neighbours are read.

        Raises:
            MalformedError: There is no batch in it.
        """
        read = Read()
        try:
            batch = _batches.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # Something in it is bad; find out what, message by message.
            return self._loose(body)
        if len(batch.batch) > LARGEST_BATCH:
            raise MalformedError(_too_many(len(batch.batch)))
        careful = b"\\u0000" in body
        for index, message in enumerate(batch.batch):
            self._add(read, index, message, message.type, batch.sent_at, careful=careful)
        return read

    def _loose(self, body: bytes) -> Read:
        read = Read()
        try:
            batch = _decode(_loose, body)
        except MalformedError as error:
            if error.problem.code != _LONE_SURROGATE:
                raise
            batch = _split(body)
        if len(batch.batch) > LARGEST_BATCH:
            raise MalformedError(_too_many(len(batch.batch)))
        for index, raw in enumerate(batch.batch):
            try:
                message = _decode(_messages, raw)
            except MalformedError as error:
                problem = msgspec.structs.replace(error.problem, pointer=f"/batch/{index}{error.problem.pointer}")
                read.problems.append((index, _id_in(raw), problem))
                continue
            self._add(read, index, message, message.type, batch.sent_at, careful=True)
        return read

    def single(self, body: bytes, type_: str) -> Read:
        """Read the body of `/v1/track`, `/v1/identify` and the like.

        Raises:
            MalformedError: It is not such a message.
        """
        read = Read()
        message = _decode(_messages, body)
        self._add(read, -1, message, type_, None, careful=True)
        return read

    def _add(
        self, read: Read, index: int, message: SegmentMessage, type_: str, sent_at: datetime | None, *, careful: bool
    ) -> None:
        try:
            arrival = self._arrival(message, type_, message.sent_at or sent_at, careful=careful)
        except MalformedError as error:
            problem = error.problem
            if index >= 0:
                problem = msgspec.structs.replace(problem, pointer=f"/batch/{index}{problem.pointer}")
            read.problems.append((index, message.message_id or "", problem))
            return
        read.arrivals.append(arrival)
        read.places.append(index)
        read.message_ids.append(arrival.message_id)

    def _arrival(self, message: SegmentMessage, type_: str, sent_at: datetime | None, *, careful: bool) -> Arrival:
        message_id = message.message_id or self._new_id()
        if len(message_id) > LONGEST_ID:
            raise _bad(f"'messageId' is longer than {LONGEST_ID} characters", "/messageId")
        if careful:
            _refuse_nul(message)
        what: Happened | Learned | Reacted
        match type_:
            case "track":
                what = _track(message)
            case "identify":
                what = _identify(message)
            case "page" | "screen":
                what = _viewed(message, type_)
            case "group":
                what = _group(message)
            case "alias":
                what = Learned(same=True)
            case _:
                raise _bad(
                    f"unknown type {type_!r}",
                    "/type",
                    "types are track, identify, page, screen, group and alias",
                    code="unknown_type",
                )
        identities = _identities(message)
        if type_ == "alias":
            identities = _aliases(message)
        if not identities and not isinstance(what, Reacted):
            raise _bad("nothing says whose this is", "/userId", "send a userId or an anonymousId", code="no_identity")
        return Arrival(self._source, message_id, identities, what, self._occurred_at(message.timestamp, sent_at))

    def _occurred_at(self, timestamp: datetime | None, sent_at: datetime | None) -> int | None:
        if timestamp is None:
            return None
        for name, instant in (("timestamp", timestamp), ("sentAt", sent_at)):
            if instant is not None and instant.tzinfo is None:
                raise _bad(
                    "the time has no offset", f"/{name}", "write it in UTC with a Z, or with its offset", "naive_time"
                )
        occurred_at = milliseconds(timestamp)
        if occurred_at >= 0 and sent_at is not None:
            # The sender's clock may be off: only the time between the two is believed.
            occurred_at = self._now() - (sent_at - timestamp) // MILLISECOND
        if occurred_at < 0:
            raise _bad("the time is before 1970", "/timestamp", code="absurd_time")
        return occurred_at


def _track(message: SegmentMessage) -> Happened | Reacted:
    event = message.event
    if not event or not event.strip():
        raise _bad("'event' is missing", "/event", "a track message names its event", code="missing_event")
    if len(event) > LONGEST_NAME:
        raise _bad(f"'event' is longer than {LONGEST_NAME} characters", "/event")
    properties = message.properties if message.properties is not None else {}
    reaction = REACTIONS.get(event)
    if reaction is not None:
        ours = properties.get("message_id")
        if isinstance(ours, str) and contact_of_message(ours) is not None:
            return Reacted(reaction[1], ours, {**properties, "channel": reaction[0]})
    return Happened(event, properties)


def _viewed(message: SegmentMessage, type_: str) -> Happened:
    properties = message.properties if message.properties is not None else {}
    if message.name is not None:
        properties.setdefault("name", message.name)
    return Happened("Page Viewed" if type_ == "page" else "Screen Viewed", properties)


def _identify(message: SegmentMessage) -> Learned:
    attributes = message.traits if message.traits is not None else {}
    learned = Learned(attributes)
    consent = attributes.pop("consent", None)
    if consent is not None:
        learned.consent = read_consent(consent, "/traits/consent")
        evidence = attributes.pop("consent_evidence", None)
        if evidence is not None:
            learned.evidence = read_evidence(evidence, "/traits/consent_evidence")
    if b'"token"' in bytes(message.context):
        context = _decode(_contexts, message.context, "/context")
        if context.device is not None and context.device.token:
            attributes.setdefault(CHANNELS["push"].address, context.device.token)
    for attribute, channel in ADDRESSES.items():
        if attribute in attributes:
            learned.addresses[channel] = address_of(channel, attributes[attribute])
    return learned


def read_consent(data: object, pointer: str) -> dict[str, dict[str, str]]:
    """Read consent: `{email: opted_in}` for a whole channel, `{email: {news: opted_out}}` by topic; true is opted in.

    Raises:
        MalformedError: It is something else.
    """
    if not isinstance(data, dict):
        raise _bad("consent is an object of channels", pointer, '{"email": "opted_in"}')
    found: dict[str, dict[str, str]] = {}
    for channel, given in data.items():
        place = f"{pointer}/{escape(str(channel))}"
        if channel not in CHANNELS:
            raise _bad(f"unknown channel {channel!r}", place, f"channels are {', '.join(CHANNELS)}")
        topics = given if isinstance(given, dict) else {"": given}
        found[channel] = {
            topic: _consent_state(state, f"{place}/{escape(str(topic))}" if topic else place)
            for topic, state in topics.items()
        }
    return found


def read_evidence(data: object, pointer: str) -> dict[str, str]:
    """Read who recorded a consent and in what way: `{by: Ann of the shop, how: a signed form}`, each a text or left out.

    Raises:
        MalformedError: It is something else.
    """
    if not isinstance(data, dict):
        raise _bad("evidence is an object", pointer, '{"by": "the shop in Lyon", "how": "a signed form"}')
    found: dict[str, str] = {}
    for name, text in data.items():
        place = f"{pointer}/{escape(str(name))}"
        if name not in EVIDENCE:
            raise _bad(f"{name!r} is no part of evidence", place, f"its parts are {', '.join(EVIDENCE)}")
        if not isinstance(text, str) or len(text) > LONGEST_NAME:
            raise _bad(f"{name!r} is no text of up to {LONGEST_NAME} characters", place)
        if text:
            found[name] = text
    return found


def _consent_state(state: object, pointer: str) -> str:
    if isinstance(state, bool):
        return "opted_in" if state else "opted_out"
    if isinstance(state, str) and state in CONSENT_STATES:
        return state
    raise _bad(f"consent is one of {', '.join(CONSENT_STATES)}", pointer)


def _group(message: SegmentMessage) -> Learned:
    if message.group_id is None or message.group_id == "":
        raise _bad("'groupId' is missing", "/groupId", "a group message names its group", code="missing_group")
    return Learned({"group_id": str(message.group_id), "group": message.traits if message.traits is not None else {}})


def _aliases(message: SegmentMessage) -> tuple[tuple[str, str], ...]:
    """Return the user id and, behind it, the id that went before: nothing tells whether that was anonymous."""
    user, previous = message.user_id, message.previous_id
    if _is_nobody(user) or _is_nobody(previous):
        missing = "userId" if _is_nobody(user) else "previousId"
        raise _bad(f"{missing!r} is missing", f"/{missing}", "an alias message has both", code="no_identity")
    for field, value in (("userId", user), ("previousId", previous)):
        if len(str(value)) > LONGEST_ID:
            raise _bad(f"{field!r} is longer than {LONGEST_ID} characters", f"/{field}")
    return (("user_id", str(user)), ("anonymous_id", str(previous)), ("user_id", str(previous)))


def _is_nobody(value: str | float | None) -> bool:
    """Return whether an id names nobody: it is absent, empty, or nothing but white space."""
    return value is None or (isinstance(value, str) and (not value or value.isspace()))


def _identities(message: SegmentMessage) -> tuple[tuple[str, str], ...]:
    user, anonymous = message.user_id, message.anonymous_id
    found: list[tuple[str, str]] = []
    for namespace, value in (("user_id", user), ("anonymous_id", anonymous)):
        if _is_nobody(value):
            continue
        text = str(value)
        if len(text) > LONGEST_ID:
            field = "userId" if namespace == "user_id" else "anonymousId"
            raise _bad(f"{field!r} is longer than {LONGEST_ID} characters", f"/{field}")
        found.append((namespace, text))
    return tuple(found)


def _refuse_nul(message: SegmentMessage) -> None:
    """Refuse the character NUL: no text a person writes has it, and some databases cannot keep it."""
    fields: dict[str, Any] = {
        "event": message.event,
        "userId": message.user_id,
        "anonymousId": message.anonymous_id,
        "messageId": message.message_id,
        "groupId": message.group_id,
        "previousId": message.previous_id,
        "properties": message.properties,
        "traits": message.traits,
    }
    stack: list[tuple[str, Any]] = [(f"/{name}", value) for name, value in fields.items()]
    while stack:
        pointer, value = stack.pop()
        if isinstance(value, str):
            if "\0" in value:
                raise _bad("text holds the character NUL", pointer, code="nul_character")
        elif isinstance(value, dict):
            stack.extend((f"{pointer}/{escape(key)}", item) for key, item in value.items())
            if any("\0" in key for key in value):
                raise _bad("a name holds the character NUL", pointer, code="nul_character")
        elif isinstance(value, list):
            stack.extend((f"{pointer}/{index}", item) for index, item in enumerate(value))


def _decode(decoder: msgspec.json.Decoder[Any], body: bytes | msgspec.Raw, pointer: str = "") -> Any:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise MalformedError(told_of(error, pointer)) from None
    except RecursionError:
        raise _bad("it is nested too deeply", pointer, code="too_deep") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if _holds_lone_surrogate(bytes(body)):
            hint = "an emoji may have been cut in two"
            raise _bad("text holds half of a surrogate pair", pointer, hint, code=_LONE_SURROGATE) from None
        raise MalformedError(msgspec.structs.replace(not_json(error), pointer=pointer)) from None


def _holds_lone_surrogate(body: bytes) -> bool:
    """Return whether a JSON text is sound but for half of a surrogate pair, as of an emoji cut in two.

    msgspec takes it for broken JSON; the standard library reads it.
    """
    if _SURROGATE.search(body) is None:
        return False
    try:
        json.dumps(json.loads(body), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    except (ValueError, RecursionError):
        pass
    return False


def _split(body: bytes) -> _Loose:
    """Return the messages of a batch in which `_holds_lone_surrogate`, each to be decoded by itself."""
    plain = json.loads(body)
    items = plain.get("batch") if isinstance(plain, dict) else None
    if isinstance(items, list):
        plain["batch"] = []
    batch = _decode(_loose, json.dumps(plain).encode())
    batch.batch = [msgspec.Raw(json.dumps(item).encode()) for item in items or ()]
    found: _Loose = batch
    return found


def _id_in(raw: msgspec.Raw) -> str:
    try:
        found = json.loads(bytes(raw))  # which reads more than msgspec does, such as lone surrogates
    except (ValueError, RecursionError):
        return ""
    message_id = found.get("messageId") if isinstance(found, dict) else None
    return message_id.encode("utf-8", "replace").decode() if isinstance(message_id, str) else ""


def _too_many(count: int) -> Problem:
    return Problem(
        code="batch_too_large",
        message=f"the batch holds {count} messages, more than {LARGEST_BATCH}",
        pointer="/batch",
        hint="send it in parts",
    )


def _bad(message: str, pointer: str, hint: str = "", code: str = "invalid_message") -> MalformedError:
    return MalformedError(Problem(code=code, message=message, pointer=pointer, hint=hint))
