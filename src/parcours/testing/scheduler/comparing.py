"""Whether the same came of a scenario in both worlds, and where not."""

from __future__ import annotations

from typing import Any

import msgspec

from parcours.core.codec import encode
from parcours.core.inputs import Erase, Interaction, Publish, Stock
from parcours.ports import Record
from parcours.testing.snapshot import Snapshot, by_contact


def fail(message: str) -> None:
    """Say what does not hold.

    Raises:
        AssertionError: Always.
    """
    raise AssertionError(message)


def compare(found: Snapshot, expected: Snapshot) -> None:
    """Compare contact by contact, in places of the log within each contact.

    Raises:
        AssertionError: They differ; the first place where they do is told.
    """
    found, expected = by_contact(_apart_from_order(found)), by_contact(_apart_from_order(expected))
    for part in Snapshot.__struct_fields__:
        one, other = getattr(found, part), getattr(expected, part)
        if one != other:
            raise AssertionError(f"{part} came to something else: {_difference(one, other)}")


def _apart_from_order(found: Snapshot) -> Snapshot:
    """Return a snapshot without what depends on the places of contacts among each other.

    These are the spelling of a name that nobody defined, which the first has, and the keys of erasures, of
    publications and of stock.
    """
    records = []
    for record in found.records:
        item = record.input()
        if isinstance(item, Interaction) and item.spelling:
            item.spelling = ""
            record = Record(record.position, record.contact, record.key, encode(item))  # noqa: PLW2901 (in its place)
        elif isinstance(item, Erase | Publish | Stock):
            record = Record(record.position, record.contact, b"", record.body)  # noqa: PLW2901 (in its place)
        records.append(record)
    return msgspec.structs.replace(found, records=records)


def _difference(one: Any, other: Any, place: str = "") -> str:
    """Return the first place where two values differ, with both."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}, key=repr):
            if one.get(key) != other.get(key):
                return _difference(one.get(key), other.get(key), f"{place}[{key!r}]")
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        for index, (a, b) in enumerate(zip(one, other, strict=False)):
            if a != b:
                return _difference(a, b, f"{place}[{index}]")
    if isinstance(one, msgspec.Struct) and type(one) is type(other):
        for name in one.__struct_fields__:
            if getattr(one, name) != getattr(other, name):
                return _difference(getattr(one, name), getattr(other, name), f"{place}.{name}")
    return f"{place}: {one!r} in disorder, {other!r} in order"
