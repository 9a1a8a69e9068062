"""Contacts that the embedded store holds in memory, and the walk along the rows of one.

Each row of the log, the trace, the outbox and the ledger has the place of its contact's row before it, and the contact
has the newest: a contact's history is a walk along its own rows.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Iterator
from itertools import islice
from operator import itemgetter
from typing import Any

from parcours.core.codec import decode_entry, decode_message, decode_traces
from parcours.core.contact import Contact
from parcours.core.effects import Trace
from parcours.core.ids import contact_number
from parcours.ports import Moment, Posted, Posting, Record


class Held:
    """A contact in memory, with its number and the newest of its rows in the log, the trace, the outbox, the ledger."""

    __slots__ = ("contact", "ledger", "log", "number", "outbox", "stored", "trace")

    def __init__(self, contact: Contact, number: int, heads: tuple[int, int, int, int], *, stored: bool) -> None:
        self.contact = contact
        self.number = number
        self.log, self.trace, self.outbox, self.ledger = heads
        self.stored = stored


def chain(db: sqlite3.Connection, table: str, place: str, columns: str, head: int) -> Iterator[Any]:
    """Yield rows of a table along a chain, newest first: the place, the place before it, `columns`."""
    query = f"select {place}, previous, {columns} from {table} where {place} = ?"
    while head and (row := db.execute(query, (head,)).fetchone()) is not None:
        yield row
        head = row[1]


class ContactRows:
    """Questions that the rows of one contact answer."""

    _db: sqlite3.Connection
    _reader: sqlite3.Connection
    _held: dict[str, Held]
    _position: int
    _traces: int
    _sequence: int
    _entries: int

    def history(self, contact: str, limit: int = 1_000) -> list[Record]:
        rows = islice(self._walk("log", "key, body", contact), limit)
        return [Record(row[0], contact, row[2], row[3]) for row in rows]

    def trace(self, contact: str, limit: int = 1_000) -> list[tuple[int, list[Trace]]]:
        fired = (((row[2], row[0]), 0, row[3]) for row in self._walk("trace", "position, body", contact))
        made = (((row[0], 0), row[0], row[2]) for row in self._walk("log", "trace", contact) if row[2] is not None)
        newest = islice(heapq.merge(fired, made, key=_FIRST, reverse=True), limit)
        return [(position, decode_traces(body)) for _, position, body in newest]

    def _walk(self, table: str, columns: str, contact: str, before: int = 0) -> Iterator[Any]:
        """Yield the rows of a contact along its chain, newest first: its place, the place before it, `columns`.

        With `before`, rows from there on may be passed over, and are when that is quick.
        """
        place, newest = {
            "log": ("position", self._position),
            "trace": ("id", self._traces),
            "outbox": ("sequence", self._sequence),
            "ledger": ("id", self._entries),
        }[table]
        held = self._held.get(contact)
        if held is not None:
            db, number, head = self._db, held.number, getattr(held, table)
        else:
            # It is not held for this: a batch may be finished meanwhile, in another thread, and let contacts go.
            db, number = self._reader, contact_number(contact)
            found = db.execute(f"select {table} from contact where id = ?", (number,)).fetchone()
            if found is None:
                return iter(())
            (head,) = found
        if 0 < before <= newest:
            query = f"select 1 from {table} where {place} = ? and contact = ?"
            # The row itself stays, for timers may have fired between it and the next.
            head = before if db.execute(query, (before, number)).fetchone() is not None else head
        # A batch that is written and not finished is passed over.
        return (row for row in chain(db, table, place, columns, head) if row[0] <= newest)

    def timeline(self, contact: str, limit: int = 100, before: tuple[int, int] | None = None) -> list[Moment]:
        inputs = (
            Moment(row[0], 0, Record(row[0], contact, row[2], row[3]), decode_traces(row[4]) if row[4] else [])
            for row in self._walk("log", "key, body, trace", contact, before[0] if before is not None else 0)
        )
        fired = (
            Moment(row[2], row[0], None, decode_traces(row[3]))
            for row in self._walk("trace", "position, body", contact, before[1] if before is not None else 0)
        )
        moments = heapq.merge(inputs, fired, key=_place, reverse=True)
        return list(islice((moment for moment in moments if before is None or _place(moment) < before), limit))

    def posted(self, contact: str, limit: int = 1_000, before: int = 0) -> list[Posted]:
        rows = self._walk("outbox", "body, state, attempts, error", contact, before)
        found = (row for row in rows if not before or row[0] < before)
        return [Posted(row[0], decode_message(row[2]), *row[3:]) for row in islice(found, limit)]

    def ledger(self, contact: str, limit: int = 1_000, before: int = 0) -> list[Posting]:
        rows = self._walk("ledger", "body", contact, before)
        found = (Posting(row[0], decode_entry(row[2])) for row in rows if not before or row[0] < before)
        return list(islice(found, limit))

    def last_entry(self) -> int:
        return self._entries


_FIRST = itemgetter(0)


def _place(moment: Moment) -> tuple[int, int]:
    return moment.position, moment.row
