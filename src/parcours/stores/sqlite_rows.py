"""What the embedded store reads of what was committed, and how its rows are looked up."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from parcours.core.codec import decode_entry, decode_input, decode_item, decode_message, decode_traces
from parcours.core.effects import Entry, Message, Trace
from parcours.core.ids import contact_from_number
from parcours.core.inputs import Publish
from parcours.ports import LedgerDay, Pending, Posted, Record, Statistic, Tombstone, Total

LOOKUP = 500
"""Values asked for by one query."""

_SIZES = (1, 20, 50, 100, LOOKUP)


def lookup(db: sqlite3.Connection, query: str, values: Sequence[Any], *before: Any) -> Iterator[Any]:
    """Yield the rows of a query that ends in `in`, for any number of values; `before` is what it asks for first."""
    for start in range(0, len(values), LOOKUP):
        part = values[start : start + LOOKUP]
        # Few shapes of statement, so that each is prepared once: the last value fills the list up.
        size = next(size for size in _SIZES if len(part) <= size)
        places = ",".join("?" * size)
        filled = [*before, *part, *([part[-1]] * (size - len(part)))]
        yield from db.execute(f"{query} ({places})", filled)


def record_of(row: Any) -> Record:
    """Return a record from its position, the number of its contact, its key and its body."""
    contact = contact_from_number(row[1]) if row[1] is not None else ""
    return Record(row[0], contact, row[2], row[3])


_FIRST = itemgetter(0)
_halves = struct.Struct(">q8x").iter_unpack


def indexes(keys: Collection[bytes]) -> Iterator[int]:
    """Return the numbers by which message keys are indexed: their first halves, as SQLite counts."""
    return map(_FIRST, _halves(b"".join(keys)))


class CommittedRows:
    """Questions that committed rows alone answer, by a connection that sees no transaction under way."""

    _reader: sqlite3.Connection
    _fresh: dict[int, Message]
    """The latest messages that were committed and are not settled, by their sequence."""

    def log(self, after: int = 0, limit: int = 1_000) -> list[Record]:
        rows = self._reader.execute(
            "select position, contact, key, body from log where position > ? order by position limit ?", (after, limit)
        )
        return [record_of(row) for row in rows]

    def record(self, position: int) -> Record | None:
        row = self._reader.execute(
            "select position, contact, key, body from log where position = ?", (position,)
        ).fetchone()
        return record_of(row) if row is not None else None

    def decided(self, position: int) -> list[Trace]:
        row = self._reader.execute("select trace from log where position = ?", (position,)).fetchone()
        return decode_traces(row[0]) if row is not None and row[0] is not None else []

    def booked(self, position: int) -> list[Entry]:
        row = self._reader.execute("select entry from booked where position = ?", (position,)).fetchone()
        found: list[Entry] = []
        place = row[0] if row is not None else 0
        while place:
            # The entries of an input are neighbours in the chain of its contact, and this is the last of them.
            row = self._reader.execute("select previous, body from ledger where id = ?", (place,)).fetchone()
            entry = decode_entry(row[1]) if row is not None else None
            if entry is None or entry.position != position:
                break
            found.append(entry)
            place = row[0]
        return found[::-1]

    def ledger_days(self) -> Mapping[LedgerDay, Total]:
        rows = self._reader.execute("select programme, day, kind, entries, amount, held from ledger_day")
        return {(row[0], row[1], row[2]): Total(row[3], row[4], row[5]) for row in rows}

    def scan_items(self, catalogue: str, after: str = "", limit: int = 1_000) -> list[tuple[str, dict[str, Any]]]:
        query = "select id, body from item where catalogue = ? and id > ? order by id limit ?"
        return [(row[0], decode_item(row[1])) for row in self._reader.execute(query, (catalogue, after, limit))]

    def knowledge(self) -> Mapping[str, bytes]:
        return dict(self._reader.execute("select name, body from knowledge"))

    def tombstones(self) -> Mapping[bytes, Tombstone]:
        rows = self._reader.execute("select identity, erased_at, suppressed from tombstone")
        return {row[0]: Tombstone(row[1], bool(row[2])) for row in rows}

    def publications(self, after: int = 0) -> list[Publish]:
        # Publications and stock are told apart by their first bytes, so that a large stock is not decoded at each start.
        rows = self._reader.execute(
            "select body from log where contact is null and position > ? and substr(body, 3, 7) = ? order by position",
            (after, b"publish"),
        )
        found = (decode_input(row[0]) for row in rows)
        return [item for item in found if isinstance(item, Publish)]

    def due_times(self) -> Iterator[tuple[int, str]]:
        for due, number in self._reader.execute("select due, id from contact where due is not null"):
            yield due, contact_from_number(number)

    def pending(self, channel: str, after: int = 0, limit: int = 1_000, *, urgent: bool = False) -> list[Pending]:
        only = " and priority > 0" if urgent else ""
        rows = self._reader.execute(
            "select sequence, body, attempts, due, error from outbox"
            f" where state = 'pending' and channel = ? and sequence > ?{only} order by sequence limit ?",
            (channel, after, limit),
        )
        fresh = self._fresh.get
        return [Pending(row[0], fresh(row[0]) or decode_message(row[1]), row[2], row[3], row[4]) for row in rows]

    def outbox(self, after: int = 0, limit: int = 1_000) -> list[Posted]:
        rows = self._reader.execute(
            "select sequence, body, state, attempts, error from outbox where sequence > ? order by sequence limit ?",
            (after, limit),
        )
        return [Posted(row[0], decode_message(row[1]), *row[2:]) for row in rows]

    def fired(self, after: int = 0, limit: int = 1_000) -> list[tuple[int, str]]:
        rows = self._reader.execute("select id, contact from trace where id > ? order by id limit ?", (after, limit))
        return [(row, contact_from_number(contact)) for row, contact in rows]

    def outbox_counts(self) -> Mapping[tuple[str, str, str], int]:
        rows = self._reader.execute("select channel, message, state, count from outbox_count where count > 0")
        return {(row[0], row[1], row[2]): row[3] for row in rows}

    def statistics(self) -> Mapping[Statistic, int]:
        rows = self._reader.execute("select journey, version, step, what, reason, count from statistic")
        return {(row[0], row[1], row[2], row[3], row[4]): row[5] for row in rows}
