"""Our own plain API: interactions and contacts as JSON, one object or `{"items": [...]}`, to arrivals.

An interaction:

| field         | what                                                                                                    |
|---------------|---------------------------------------------------------------------------------------------------------|
| `id`          | text; the same id is accepted once. Made up when it is missing, and then every repeat counts            |
| `name`        | text: what happened                                                                                     |
| `contact`     | object of identities, `{"user_id": "42"}`: namespaces are `user_id`, `anonymous_id` and any of your own |
| `occurred_at` | ISO 8601 with an offset; now when it is missing                                                         |
| `attributes`  | object                                                                                                  |
| `backfill`    | true for history, which counts and triggers nothing                                                     |

A contact has `id`, `contact`, `occurred_at`, `attributes` (null removes one) and `backfill`, and `consent` in the form
of `parcours.sources.segment.read_consent`, the `evidence` of it, and `lists`, such as `{"vip": true}`. An attribute
that a channel knows as an address (`email`, `push_token`) becomes one, as with Segment's `identify`.

Somebody who is to enter a journey has `id`, `contact` and `attributes`.

The protocol is ours: docs/doors.md describes it. This module also has what the other doors share: `Item`, `split`,
`identity_of`, `instant_of` and `refuse_unstorable`.
"""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

from parcours.conditions.instants import milliseconds
from parcours.conditions.parse import escape
from parcours.core.gate import Arrival, Called, Happened, Learned
from parcours.definitions.message import ADDRESSES
from parcours.errors import Problem, did_you_mean
from parcours.sources.addresses import address_of
from parcours.sources.segment import (
    LARGEST_BATCH,
    LONGEST_ID,
    LONGEST_NAME,
    MalformedError,
    read_consent,
    read_evidence,
)
from parcours.sources.words import not_json, told_of

INTERACTIONS = "api.interactions"
CONTACTS = "api.contacts"
ENTRIES = "api.entries"
"""The sources ids are told apart by: an interaction and a contact may have the same id."""

NAMESPACE = re.compile(r"[a-z][a-z0-9_]{0,63}")
"""What a namespace of identities looks like."""

MOST_IDENTITIES = 16
"""Identities that one item may carry."""

MOST_LISTS = 100
"""Lists that one item may name."""

_USUAL = {"user_id": 0, "anonymous_id": 2}
"""The usual namespaces, whose values are taken as they are; the number says how strong they are, others are 1."""

_Element = TypeVar("_Element", bound=msgspec.Struct)


class Item(msgspec.Struct):
    """One thing a door was handed: the arrival it came to, or what is wrong with it; `problem` is None then."""

    id: str
    arrival: Arrival | None = None
    problem: Problem | None = None


class InteractionItem(msgspec.Struct, forbid_unknown_fields=True):
    """An interaction as it is sent. Everything has a default, so that what is missing is told in our own words."""

    id: str | None = None
    name: str = ""
    contact: dict[str, str | int | None] | None = None
    occurred_at: datetime | None = None
    attributes: dict[str, Any] | None = None
    backfill: bool = False


class ContactItem(msgspec.Struct, forbid_unknown_fields=True):
    """What is known of a contact, as it is sent."""

    id: str | None = None
    contact: dict[str, str | int | None] | None = None
    occurred_at: datetime | None = None
    attributes: dict[str, Any] | None = None
    consent: Any = None
    evidence: Any = None
    lists: dict[str, bool] | None = None
    backfill: bool = False


class EntryItem(msgspec.Struct, forbid_unknown_fields=True):
    """Somebody who is to enter a journey, as it is sent."""

    id: str | None = None
    contact: dict[str, str | int | None] | None = None
    attributes: dict[str, Any] | None = None


class _EntryBody(EntryItem, forbid_unknown_fields=True):
    items: list[EntryItem] | msgspec.UnsetType = msgspec.UNSET


class _InteractionBody(InteractionItem, forbid_unknown_fields=True):
    items: list[InteractionItem] | msgspec.UnsetType = msgspec.UNSET


class _ContactBody(ContactItem, forbid_unknown_fields=True):
    items: list[ContactItem] | msgspec.UnsetType = msgspec.UNSET


class _LooseItems(msgspec.Struct):
    items: list[msgspec.Raw]


_loose_items = msgspec.json.Decoder(_LooseItems)
_loose_list = msgspec.json.Decoder(list[msgspec.Raw])


class _Reader(Generic[_Element]):
    """Reads one or many: first all at once, and only when that fails item by item."""

    def __init__(self, body: type[Any], element: type[_Element], arrival: Callable[[_Element, str], Arrival]) -> None:
        self._bodies = msgspec.json.Decoder(body)
        self._elements: msgspec.json.Decoder[_Element] = msgspec.json.Decoder(element)
        self._empty = element()
        self._arrival = arrival

    def read(self, body: bytes) -> list[Item]:
        """Return an item for each object sent.

        Raises:
            MalformedError: The body as a whole cannot be read.
        """
        try:
            found = self._bodies.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._one_by_one(body)
        careful = b"\\u0000" in body
        if found.items is msgspec.UNSET:
            return [self._item(found, careful=careful)]
        if any(getattr(found, field) != getattr(self._empty, field) for field in self._empty.__struct_fields__):
            raise bad("'items' stands next to fields of a single object", "", "send one or the other")
        refuse_too_many(len(found.items), "/items")
        return [self._item(element, careful=careful) for element in found.items]

    def _one_by_one(self, body: bytes) -> list[Item]:
        items: list[Item] = []
        parts = split(body, "items")
        for part in [body] if parts is None else parts:
            try:
                element = decode(self._elements, part)
            except MalformedError as error:
                items.append(Item(text_in(part, "id"), problem=self._hint(error.problem)))
            else:
                items.append(self._item(element, careful=True))
        return items

    def _hint(self, problem: Problem) -> Problem:
        """Name the field that an unknown one may stand for."""
        if problem.code != "unknown_field":
            return problem
        unknown = problem.pointer.rpartition("/")[2]
        return msgspec.structs.replace(problem, hint=did_you_mean(unknown, self._empty.__struct_fields__))

    def _item(self, element: _Element, *, careful: bool) -> Item:
        id_: str = getattr(element, "id", None) or str(uuid.uuid4())
        try:
            if careful:
                fields = element.__struct_fields__
                refuse_unstorable({name: getattr(element, name) for name in fields if name != "items"})
            return Item(id_, self._arrival(element, id_))
        except MalformedError as error:
            return Item(id_ if len(id_) <= LONGEST_ID else "", problem=error.problem)


def _interaction(item: InteractionItem, id_: str) -> Arrival:
    name = checked_name(item.name, "name")
    return Arrival(
        INTERACTIONS,
        checked_id(id_),
        identities_in(item.contact),
        Happened(name, item.attributes if item.attributes is not None else {}),
        instant_of(item.occurred_at, "/occurred_at"),
        item.backfill,
    )


def _contact(item: ContactItem, id_: str) -> Arrival:
    learned = learned_from(item.attributes if item.attributes is not None else {})
    if item.consent is not None:
        learned.consent = read_consent(item.consent, "/consent")
    if item.evidence is not None:
        learned.evidence = read_evidence(item.evidence, "/evidence")
    if item.lists:
        if len(item.lists) > MOST_LISTS:
            raise bad(f"there are more than {MOST_LISTS} lists", "/lists", "send them in parts")
        learned.lists = item.lists
    identities = identities_in(item.contact)
    occurred_at = instant_of(item.occurred_at, "/occurred_at")
    return Arrival(CONTACTS, checked_id(id_), identities, learned, occurred_at, item.backfill)


_interactions = _Reader(_InteractionBody, InteractionItem, _interaction)
_contacts = _Reader(_ContactBody, ContactItem, _contact)


def read_interactions(body: bytes) -> list[Item]:
    """Read the body of `POST /v1/interactions`: UTF-8 JSON.

    Raises:
        MalformedError: The body as a whole cannot be read.
    """
    return _interactions.read(body)


def read_contacts(body: bytes) -> list[Item]:
    """Read the body of `POST /v1/contacts`: UTF-8 JSON.

    Raises:
        MalformedError: The body as a whole cannot be read.
    """
    return _contacts.read(body)


def _entry(item: EntryItem, id_: str) -> Arrival:
    called = Called("", item.attributes if item.attributes is not None else {})
    return Arrival(ENTRIES, checked_id(id_), identities_in(item.contact), called)


_entries = _Reader(_EntryBody, EntryItem, _entry)


def read_entries(body: bytes, journey: str) -> list[Item]:
    """Read the body of `POST /v1/journeys/NAME/entries`: UTF-8 JSON. An id is accepted once for a journey.

    Raises:
        MalformedError: The body as a whole cannot be read.
    """
    items = _entries.read(body)
    for item in items:
        if item.arrival is not None and isinstance(item.arrival.what, Called):
            item.arrival.what.journey = journey
            item.arrival.source = f"{ENTRIES}:{journey}"
    return items


# --- shared by the doors ----------------------------------------------------------------------------------------------


def learned_from(attributes: dict[str, Any]) -> Learned:
    """Return what attributes tell of a contact: themselves, and an address for each channel that has one among them."""
    learned = Learned(attributes)
    for attribute, channel in ADDRESSES.items():
        if attribute in attributes:
            learned.addresses[channel] = address_of(channel, attributes[attribute])
    return learned


def identities_in(contact: Mapping[str, Any] | None, pointer: str = "/contact") -> tuple[tuple[str, str], ...]:
    """Return identities, the strongest first: `user_id`, then as they stand, `anonymous_id` last.

    Raises:
        MalformedError: There is none, or one is of no use.
    """
    found: list[tuple[str, str]] = []
    for namespace, value in (contact or {}).items():
        if type(value) is str and namespace in _USUAL and 0 < len(value) <= LONGEST_ID and not value.isspace():
            found.append((namespace, value))
        elif value is not None:
            found.append(identity_of(namespace, value, f"{pointer}/{escape(namespace)}"))
    if not found:
        raise bad("nothing says whose this is", pointer, 'for example {"user_id": "42"}', code="no_identity")
    if len(found) > MOST_IDENTITIES:
        raise bad(f"there are more than {MOST_IDENTITIES} identities", pointer)
    if len(found) > 1:
        found.sort(key=lambda identity: _USUAL.get(identity[0], 1))
    return tuple(found)


def identity_of(namespace: str, value: object, pointer: str) -> tuple[str, str]:
    """Return one identity. Text in the namespace `email` is put in lower case, as people write it either way.

    Raises:
        MalformedError: The namespace or the value is of no use.
    """
    if NAMESPACE.fullmatch(namespace) is None:
        raise bad(
            f"{namespace[:80]!r} is no namespace",
            pointer,
            "namespaces are lower case letters, digits and _, such as user_id",
        )
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise bad(f"{namespace!r} is neither text nor an integer", pointer, code="wrong_type")
    text = _digits(value, pointer) if isinstance(value, int) else value
    if namespace == "email":
        text = text.strip().lower()
    if not text.strip():
        raise bad(f"{namespace!r} is empty", pointer, code="no_identity")
    if len(text) > LONGEST_ID:
        raise bad(f"{namespace!r} is longer than {LONGEST_ID} characters", pointer)
    return namespace, text


def _digits(value: int, pointer: str) -> str:
    try:
        return str(value)
    except ValueError:  # more digits than Python writes
        raise bad(f"the number is longer than {LONGEST_ID} digits", pointer) from None


def instant_of(value: datetime | None, pointer: str) -> int | None:
    """Return an instant in milliseconds since the epoch, or None for None.

    Raises:
        MalformedError: It has no offset, or is before 1970.
    """
    if value is None:
        return None
    if value.tzinfo is None:
        raise bad("the time has no offset", pointer, "write it in UTC with a Z, or with its offset", code="naive_time")
    instant = milliseconds(value)
    if instant < 0:
        raise bad("the time is before 1970", pointer, code="absurd_time")
    return instant


def checked_name(name: str, field: str) -> str:
    """Return the name of an interaction.

    Raises:
        MalformedError: It is empty or too long.
    """
    if not name.strip():
        raise bad(f"{field!r} is missing", f"/{field}", "it says what happened", code="missing_name")
    if len(name) > LONGEST_NAME:
        raise bad(f"{field!r} is longer than {LONGEST_NAME} characters", f"/{field}")
    return name


def checked_id(id_: str, field: str = "id") -> str:
    """Return an id.

    Raises:
        MalformedError: It is too long.
    """
    if len(id_) > LONGEST_ID:
        raise bad(f"{field!r} is longer than {LONGEST_ID} characters", f"/{field}")
    return id_


def refuse_unstorable(fields: Mapping[str, Any]) -> None:
    """Refuse the character NUL, halves of surrogate pairs, and numbers that are none: not every database keeps them.

    Raises:
        MalformedError: There is one; the pointer says where.
    """
    stack: list[tuple[str, Any]] = [(f"/{escape(name)}", value) for name, value in fields.items()]
    while stack:
        pointer, value = stack.pop()
        if isinstance(value, str):
            _refuse_text(value, pointer)
        elif isinstance(value, float):
            if not math.isfinite(value):
                raise bad("it is not a finite number", pointer, code="not_finite")
        elif isinstance(value, dict):
            for key, item in value.items():
                _refuse_text(key, pointer)
                stack.append((f"{pointer}/{escape(key)}", item))
        elif isinstance(value, list | tuple):
            stack.extend((f"{pointer}/{index}", item) for index, item in enumerate(value))


def _refuse_text(text: str, pointer: str) -> None:
    if "\0" in text:
        raise bad("text holds the character NUL", pointer, code="nul_character")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise bad("text holds half of a surrogate pair", "", code="lone_surrogate") from None


def refuse_too_many(count: int, pointer: str) -> None:
    """Refuse more items than one body may hold.

    Raises:
        MalformedError: There are more.
    """
    if count > LARGEST_BATCH:
        message = f"the body holds {count} items, more than {LARGEST_BATCH}"
        raise bad(message, pointer, "send it in parts", code="batch_too_large")


def decode(decoder: msgspec.json.Decoder[Any], body: bytes | msgspec.Raw) -> Any:
    """Decode JSON.

    Raises:
        MalformedError: It is not JSON, or not of the form asked for.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise MalformedError(told_of(error)) from None
    except RecursionError:
        raise bad("it is nested too deeply", "", code="too_deep") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if _is_json(bytes(body)):
            raise bad("text holds half of a surrogate pair", "", code="lone_surrogate") from None
        raise MalformedError(not_json(error)) from None


def split(body: bytes, key: str = "") -> list[bytes | msgspec.Raw] | None:
    """Return the elements of a JSON array, or of the array `key` of an object, each as JSON; None if there is no such.

    One element that cannot be decoded does not keep the others from being.

    Raises:
        MalformedError: There are too many, or the body as a whole is not JSON.
    """
    parts: Iterable[bytes | msgspec.Raw]
    try:
        parts = _loose_items.decode(body).items if key else _loose_list.decode(body)
    except msgspec.ValidationError:
        return None
    except RecursionError:
        raise bad("it is nested too deeply", "", code="too_deep") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # The standard library reads more than msgspec does, such as halves of surrogate pairs.
        try:
            plain = json.loads(body)
        except RecursionError:
            raise bad("it is nested too deeply", "", code="too_deep") from None
        except ValueError:
            raise MalformedError(not_json(error)) from None
        found = plain.get(key) if key and isinstance(plain, dict) else plain
        if not isinstance(found, list):
            return None
        parts = [json.dumps(item).encode() for item in found]
    parts = list(parts)
    refuse_too_many(len(parts), f"/{key}" if key else "")
    return parts


def _is_json(body: bytes) -> bool:
    try:
        json.dumps(json.loads(body), ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        return True
    except (ValueError, RecursionError):
        pass
    return False


def text_in(part: bytes | msgspec.Raw, key: str) -> str:
    """Return a text in a JSON object that could not be decoded as a whole, to name it by; empty if there is none."""
    try:
        found = json.loads(bytes(part))
    except (ValueError, RecursionError):
        return ""
    text = found.get(key) if isinstance(found, dict) else None
    return text.encode("utf-8", "replace").decode()[:LONGEST_ID] if isinstance(text, str) else ""


def bad(message: str, pointer: str, hint: str = "", code: str = "invalid_item") -> MalformedError:
    """Return the error that refuses one item: `pointer` is a JSON pointer into it."""
    return MalformedError(Problem(code=code, message=message, pointer=pointer, hint=hint))
