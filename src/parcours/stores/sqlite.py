"""The embedded store: one SQLite file, one transaction a micro-batch, durable when `commit` returns.

What keeps it fast:

- The log, with the trace of each input in its row, is what a batch must reach at once. The index of message keys (`seen`) is written
  behind, in sorted slices, because keys are random and a page written for one key costs as much as for fifty; keys not
  yet indexed are held in memory, and read back from the tail of the log at start.
- There is no index by contact. Each row of the log, the trace and the outbox points to the contact's row before it, and
  the contact's row to the newest, so a contact's history is a walk along its own rows.
- States are written behind: the log of a batch is durable with it, a contact's state follows within `LONGEST_BEHIND`
  inputs, in slices sorted by contact. After a kill the engine folds what `unfolded` gives once more. A small batch
  writes its states at once, so only a busy service is ever behind; so is written at once what a timer changed, for the
  log does not tell it.
- Contacts that were lately used are kept decoded, but for those of whom a timer fired or who were read with a segment:
  they come one after the other, and seldom soon again.
- Checkpoints run in a thread of their own, off the write path.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import sqlite3
import struct
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import IO, Any, NamedTuple

from parcours.core.codec import (
    UNENCODABLE,
    decode_contact,
    decode_entry,
    decode_input,
    decode_item,
    decode_message,
    decode_traces,
    encode,
)
from parcours.core.contact import Contact
from parcours.core.effects import Entry, Message, Trace
from parcours.core.ids import contact_from_number, contact_number
from parcours.core.inputs import Erase, Publish
from parcours.errors import StoreError, UnstorableError
from parcours.ports import (
    Changes,
    Identity,
    LedgerDay,
    Moment,
    Pending,
    Posted,
    Posting,
    Record,
    Settlement,
    Statistic,
    Tombstone,
    Total,
    erased_record,
    redacted_record,
)

FORMAT = 4
"""The version of the tables below; a file of a version that is not known is refused."""

BEFORE_LEDGER = 2
"""The version before there was a ledger: such a file is brought up to this one."""

BEFORE_PRIORITIES = 3
"""The version before messages had priorities."""

SLICE = 65_536
"""Message keys that wait in memory before they are indexed."""

LONGEST_BEHIND = 50_000
"""Inputs after which the state of a contact is written at the latest: what a start after a kill has to fold again."""

SMALL_BATCH = 64
"""Contacts up to which a batch writes their states at once."""

LOOKUP = 500
"""Values asked for by one query."""

CHECKPOINT_PAGES = 8_192
"""Pages in the write-ahead log (4 KiB each) after which it is copied back."""

LONGEST_WAL = 65_536
"""Pages in the write-ahead log above which writing waits for the rest to be copied back."""

_TABLES = """
create table if not exists log (
    position integer primary key, contact integer, previous integer not null, key blob not null, body blob not null,
    trace blob);
create index if not exists log_workspace on log (position) where contact is null;
create table if not exists seen (key integer primary key, position integer not null);
create table if not exists identity (
    namespace text not null, value text not null, contact integer not null, primary key (namespace, value)
) without rowid;
create table if not exists contact (
    id integer primary key, due integer, log integer not null, trace integer not null, outbox integer not null,
    state blob not null, ledger integer not null default 0);
create table if not exists trace (
    id integer primary key, contact integer not null, previous integer not null, position integer not null,
    body blob not null);
create table if not exists outbox (
    sequence integer primary key, contact integer not null, previous integer not null, channel text not null,
    message text not null, state text not null,
    attempts integer not null, due integer not null, error text not null, body blob not null,
    priority integer not null default 0);
create index if not exists outbox_pending on outbox (channel, sequence) where state = 'pending';
create index if not exists outbox_urgent on outbox (channel, sequence) where state = 'pending' and priority > 0;
create table if not exists outbox_count (
    channel text not null, message text not null, state text not null, count integer not null,
    primary key (channel, message, state)) without rowid;
create table if not exists statistic (
    journey text not null, version integer not null, step text not null, what text not null, reason text not null,
    count integer not null, primary key (journey, version, step, what, reason)) without rowid;
create table if not exists ledger (
    id integer primary key, contact integer not null, previous integer not null, body blob not null);
create table if not exists ledger_day (
    programme text not null, day integer not null, kind text not null, entries integer not null,
    amount integer not null, held integer not null, primary key (programme, day, kind)) without rowid;
create table if not exists item (
    catalogue text not null, id text not null, body blob not null, primary key (catalogue, id)) without rowid;
create table if not exists knowledge (name text primary key, body blob not null) without rowid;
create table if not exists tombstone (
    identity blob primary key, erased_at integer not null, suppressed integer not null) without rowid;
create table if not exists mark (name text primary key, value text not null) without rowid;
"""


class _Held:
    """A contact in memory, with its number and the newest of its rows in the log, the trace, the outbox, the ledger."""

    __slots__ = ("contact", "ledger", "log", "number", "outbox", "stored", "trace")

    def __init__(self, contact: Contact, number: int, heads: tuple[int, int, int, int], *, stored: bool) -> None:
        self.contact = contact
        self.number = number
        self.log, self.trace, self.outbox, self.ledger = heads
        self.stored = stored


class SqliteStore:
    """A store in one file (and its `-wal` and `-shm`). See `ports.Store`.

    Args:
        path: The file; it is made when it does not exist.
        hold: How many contacts, and how many identities, are kept in memory.

    Raises:
        StoreError: The file cannot be opened, is not a store, or another process has it.
    """

    def __init__(self, path: Path, *, hold: int = 200_000) -> None:
        self._path = path
        self._hold = hold
        self._held: dict[str, _Held] = {}
        self._unwritten: set[str] = set()
        """Contacts that have no row yet."""
        self._fetched: list[str] = []
        """Contacts that were read since the last batch was kept."""
        self._behind: dict[str, tuple[int, int, int, int]] = {}
        """Contacts whose written state lacks inputs, to the first position, trace, message and entry it lacks."""
        self._lost = False
        self._counted = False
        """Whether contacts that have no row yet are counted."""
        self._written: tuple[Changes, _Written] = (Changes(), _Written({}, False, 0))
        self._known: dict[Identity, str] = {}
        self._lock = _lock(path)
        try:
            self._db = self._open()
            # What is read here was committed, also while a transaction of the other connection is under way.
            self._reader = self._open()
            self._prepare()
        except BaseException as error:
            self._lock.close()
            if isinstance(error, sqlite3.Error):
                raise StoreError(f"cannot open the store {path.name}: {error}", hint=_hint(error)) from error
            raise
        self._checkpoints = _Checkpoints(path)

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, cached_statements=256)
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = full")
        db.execute("pragma wal_autocheckpoint = 0")
        db.execute("pragma cache_size = -131072")
        # What was overwritten or deleted is nowhere left to be read, as an erasure promises.
        db.execute("pragma secure_delete = on")
        return db

    def _prepare(self) -> None:
        db = self._db
        found = db.execute("pragma user_version").fetchone()[0]
        if found not in {0, BEFORE_LEDGER, BEFORE_PRIORITIES, FORMAT}:
            raise StoreError(
                f"the store {self._path.name} has format {found}, this parcours reads {FORMAT}",
                hint="use the parcours that wrote it, or start with an empty data folder",
            )
        db.execute("begin immediate")
        if found == BEFORE_LEDGER:
            db.execute("alter table contact add column ledger integer not null default 0")
        if found in {BEFORE_LEDGER, BEFORE_PRIORITIES}:
            db.execute("alter table outbox add column priority integer not null default 0")
        for statement in _TABLES.split(";"):
            db.execute(statement)
        db.execute(f"pragma user_version = {FORMAT}")
        db.execute("commit")
        self._marks = dict(db.execute("select name, value from mark"))
        self._position: int = db.execute("select coalesce(max(position), 0) from log").fetchone()[0]
        self._traces: int = db.execute("select coalesce(max(id), 0) from trace").fetchone()[0]
        self._sequence: int = db.execute("select coalesce(max(sequence), 0) from outbox").fetchone()[0]
        self._entries: int = db.execute("select coalesce(max(id), 0) from ledger").fetchone()[0]
        traces, messages, entries = _numbers(self._marks.get("heads", ""), 3)
        self._traces, self._sequence = max(self._traces, traces), max(self._sequence, messages)
        self._entries = max(self._entries, entries)
        self._people: int = db.execute("select count(*) from contact").fetchone()[0]
        indexed = int(self._marks.get("seen", "0"))
        self._recent = dict(db.execute("select key, position from log where position > ?", (indexed,)))
        self._lost = True
        # The last record need not be the newest: what timers let follow is as old as they are.
        latest = self.log(max(0, self._position - _LATEST), _LATEST)
        self._received_at = max((record.input().received_at for record in latest), default=0)

    # --- reading ------------------------------------------------------------------------------------------------------

    def last_position(self) -> int:
        return self._position

    def last_received_at(self) -> int:
        return self._received_at

    def seen(self, keys: Collection[bytes]) -> set[bytes]:
        recent = self._recent
        found = {key for key in keys if key in recent}
        left = [key for key in keys if key not in found] if found else keys
        asked = dict(zip(_indexes(left), left, strict=True))
        # In their order, so that those that lie beside each other are looked up one after the other.
        for number, position in self._lookup("select key, position from seen where key in", sorted(asked)):
            # Half a key finds the row, the whole key in the row decides.
            row = self._db.execute("select key from log where position = ?", (position,)).fetchone()
            if row is not None and row[0] == asked[number]:
                found.add(row[0])
        return found

    def resolve(self, identities: Collection[Identity]) -> dict[Identity, str]:
        known = self._known
        found = {identity: owner for identity in identities if (owner := known.get(identity)) is not None}
        if len(found) == len(identities):
            return found
        asked: dict[str, list[str]] = {}
        for identity in identities:
            if identity not in found:
                asked.setdefault(identity[0], []).append(identity[1])
        for namespace, values in asked.items():
            query = "select value, contact from identity where namespace = ? and value in"
            for value, number in self._lookup(query, values, namespace):
                found[namespace, value] = known[namespace, value] = contact_from_number(number)
        return found

    def contacts(self, ids: Collection[str]) -> dict[str, Contact]:
        held = self._held
        missing = [contact_number(contact) for contact in ids if contact not in held]
        if missing:
            query = "select id, log, trace, outbox, ledger, state from contact where id in"
            for number, log, trace, outbox, ledger, state in self._lookup(query, missing):
                contact = decode_contact(state)
                held[contact.id] = _Held(contact, number, (log, trace, outbox, ledger), stored=True)
                self._fetched.append(contact.id)
        return {id_: one.contact for id_ in ids if (one := held.get(id_)) is not None}

    def _trim(self) -> None:
        """Keep memory bounded: let go of the half that has been here longest. Only when no contact is lent out."""
        if len(self._held) > self._hold:
            for id_ in list(self._held)[: len(self._held) // 2]:
                if id_ not in self._behind:
                    del self._held[id_]
        if len(self._known) > self._hold:
            for identity in list(self._known)[: len(self._known) // 2]:
                del self._known[identity]

    def _lookup(self, query: str, values: Sequence[Any], *before: Any) -> Iterator[Any]:
        for start in range(0, len(values), LOOKUP):
            part = values[start : start + LOOKUP]
            # Few shapes of statement, so that each is prepared once: the last value fills the list up.
            size = 1 if len(part) == 1 else 20 if len(part) <= 20 else LOOKUP  # noqa: PLR2004 (sizes of batches)
            places = ",".join("?" * size)
            filled = [*before, *part, *([part[-1]] * (size - len(part)))]
            yield from self._db.execute(f"{query} ({places})", filled)

    def log(self, after: int = 0, limit: int = 1_000) -> list[Record]:
        rows = self._reader.execute(
            "select position, contact, key, body from log where position > ? order by position limit ?", (after, limit)
        )
        return [_record(row) for row in rows]

    def record(self, position: int) -> Record | None:
        row = self._reader.execute(
            "select position, contact, key, body from log where position = ?", (position,)
        ).fetchone()
        return _record(row) if row is not None else None

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
        held = self._held.get(contact)
        if held is None and self.contacts([contact]):
            held = self._held[contact]
        if held is None:
            return iter(())
        place, head, newest = {
            "log": ("position", held.log, self._position),
            "trace": ("id", held.trace, self._traces),
            "outbox": ("sequence", held.outbox, self._sequence),
            "ledger": ("id", held.ledger, self._entries),
        }[table]
        if 0 < before <= newest:
            query = f"select 1 from {table} where {place} = ? and contact = ?"
            # The row itself stays, for timers may have fired between it and the next.
            head = before if self._db.execute(query, (before, held.number)).fetchone() is not None else head
        # A batch that is written and not finished is passed over.
        return (row for row in self._chain(table, place, columns, head) if row[0] <= newest)

    def _chain(self, table: str, place: str, columns: str, head: int) -> Iterator[Any]:
        query = f"select {place}, previous, {columns} from {table} where {place} = ?"
        while head and (row := self._db.execute(query, (head,)).fetchone()) is not None:
            yield row
            head = row[1]

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

    def ledger_days(self) -> Mapping[LedgerDay, Total]:
        rows = self._reader.execute("select programme, day, kind, entries, amount, held from ledger_day")
        return {(row[0], row[1], row[2]): Total(row[3], row[4], row[5]) for row in rows}

    def items(self, catalogue: str, ids: Collection[str]) -> dict[str, dict[str, Any]]:
        rows = self._lookup("select id, body from item where catalogue = ? and id in", list(ids), catalogue)
        return {row[0]: decode_item(row[1]) for row in rows}

    def scan_items(self, catalogue: str, after: str = "", limit: int = 1_000) -> list[tuple[str, dict[str, Any]]]:
        query = "select id, body from item where catalogue = ? and id > ? order by id limit ?"
        return [(row[0], decode_item(row[1])) for row in self._reader.execute(query, (catalogue, after, limit))]

    def knowledge(self) -> Mapping[str, bytes]:
        return dict(self._reader.execute("select name, body from knowledge"))

    def tombstones(self) -> Mapping[bytes, Tombstone]:
        rows = self._reader.execute("select identity, erased_at, suppressed from tombstone")
        return {row[0]: Tombstone(row[1], bool(row[2])) for row in rows}

    def publications(self) -> list[Publish]:
        # Publications and stock are told apart by their first bytes, so that a large stock is not decoded at each start.
        rows = self._reader.execute(
            "select body from log where contact is null and substr(body, 3, 7) = ? order by position", (b"publish",)
        )
        found = (decode_input(row[0]) for row in rows)
        return [item for item in found if isinstance(item, Publish)]

    def scan(self, after: str = "", limit: int = 1_000) -> list[Contact]:
        self.flush()
        number = contact_number(after) if after else -1
        rows = self._reader.execute("select state from contact where id > ? order by id limit ?", (number, limit))
        return [decode_contact(row[0]) for row in rows]

    def ids(self, after: str = "", limit: int = 1_000) -> list[str]:
        if self._unwritten:
            self.flush()
        number = contact_number(after) if after else -1
        rows = self._reader.execute("select id from contact where id > ? order by id limit ?", (number, limit))
        return [contact_from_number(row[0]) for row in rows]

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
        return [Pending(row[0], decode_message(row[1]), row[2], row[3], row[4]) for row in rows]

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

    def marks(self) -> Mapping[str, str]:
        return {name: value for name, value in self._marks.items() if name not in {"seen", "states", "heads"}}

    def counts(self) -> Mapping[str, int]:
        return {"records": self._position, "contacts": self._people}

    # --- states written behind ----------------------------------------------------------------------------------------

    @property
    def stale(self) -> bool:
        return self._lost

    def unfolded(self) -> Iterator[Record]:
        position, trace, outbox, ledger = self._whole()
        heads: dict[int, int] = {}
        rows = self._db.execute(
            "select position, contact, key, body from log where position > ? order by position", (position,)
        ).fetchall()
        for row in rows:
            number = row[1]
            if number is None:
                continue
            if number not in heads:
                found = self._db.execute("select log from contact where id = ?", (number,)).fetchone()
                heads[number] = found[0] if found is not None else 0
            if row[0] > heads[number]:
                id_ = contact_from_number(number)
                self._behind.setdefault(id_, (row[0], trace + 1, outbox + 1, ledger + 1))
                yield _record(row)

    def restore(self, contacts: Mapping[str, Contact]) -> None:
        heads = [
            dict(self._db.execute(f"select contact, max({place}) from {table} where {place} > ? group by 1", (whole,)))
            for (table, place), whole in zip(_CHAINS, self._whole(), strict=True)
        ]
        for id_, contact in contacts.items():
            number = contact_number(id_)
            before = self._held.get(id_)
            known = (before.log, before.trace, before.outbox, before.ledger) if before is not None else (0, 0, 0, 0)
            log, trace, outbox, ledger = (newest.get(number, old) for newest, old in zip(heads, known, strict=True))
            self._held[id_] = _Held(contact, number, (log, trace, outbox, ledger), stored=before is not None)
            if before is None:
                self._unwritten.add(id_)
            if not self._counted:
                self._people += before is None
        self._lost = False
        self._counted = True

    def flush(self) -> None:
        """Write every state that is behind.

        Raises:
            StoreError: They are not written; nothing is lost.
        """
        if self._behind and not self._lost:
            self.commit(Changes(contacts={id_: self._held[id_].contact for id_ in self._behind}))

    def _whole(self) -> tuple[int, int, int, int]:
        """Return the position, the trace, the message and the entry up to which every written state is whole."""
        position, trace, outbox, ledger = _numbers(self._marks.get("states", ""), 4)
        return position, trace, outbox, ledger

    # --- writing ------------------------------------------------------------------------------------------------------

    def commit(self, changes: Changes) -> None:
        self.write(changes)
        self.finish()

    def write(self, changes: Changes) -> None:
        try:
            self._db.execute("begin immediate")
            self._written = (changes, self._write(changes))
        except sqlite3.Error as error:
            raise self._failed(error) from error
        except UNENCODABLE as error:
            self._failed(error)
            raise UnstorableError(f"a value cannot be kept: {error}") from error
        except BaseException as error:
            self._failed(error)
            raise

    def finish(self) -> None:
        changes, written = self._written
        try:
            self._db.execute("commit")
        except sqlite3.Error as error:
            raise self._failed(error) from error
        self._adopt(changes, written)
        if changes.passing:
            for id_ in self._fetched:
                if id_ not in self._behind:
                    self._held.pop(id_, None)
        self._fetched.clear()
        self._trim()
        self._checkpoints.after(len(changes.records) + len(changes.contacts) + len(changes.traces))

    def _failed(self, error: BaseException) -> StoreError:
        if self._db.in_transaction:
            self._db.execute("rollback")
        # Heads of chains moved in memory, and what was folded is not to be kept.
        self.forget()
        return StoreError(f"the store could not keep a batch: {error}", hint=_hint(error))

    def _write(self, changes: Changes) -> _Written:
        """Write the rows of a batch. On failure memory is ahead of the file, and has to be forgotten."""
        db, held = self._db, self._held
        new = 0
        for id_, contact in changes.contacts.items():
            known = held.get(id_)
            if known is None:
                held[id_] = _Held(contact, contact_number(id_), (0, 0, 0, 0), stored=False)
                self._unwritten.add(id_)
                new += 1
            else:
                known.contact = contact
        # What an input made is kept in its own row; what timers made, in rows of its own, behind the contact's latest.
        made: dict[int, bytes] = {}
        timers: list[tuple[Any, ...]] = []
        for id_, position, entries in changes.traces:
            if position > 0:
                made[position] = encode(entries)
            else:
                owner = held[id_]
                head = self._traces + len(timers) + 1
                timers.append((head, owner.number, owner.trace, -position, encode(entries)))
                owner.trace = head
        log: list[tuple[Any, ...]] = []
        for record in changes.records:
            position = record.position
            if record.contact:
                owner = held[record.contact]
                log.append((position, owner.number, owner.log, record.key, record.body, made.get(position)))
                owner.log = position
            else:
                log.append((position, None, 0, record.key, record.body, None))
        db.executemany("insert into log values (?, ?, ?, ?, ?, ?)", log)
        if timers:
            db.executemany("insert into trace values (?, ?, ?, ?, ?)", timers)
        # Before the states, which keep the newest message and entry of each contact.
        self._write_messages(changes.messages)
        if changes.ledger:
            self._write_ledger(changes.ledger)
        self._write_states(changes, len(timers))
        if changes.identities:
            db.executemany(
                "insert or replace into identity values (?, ?, ?)",
                [(space, value, contact_number(id_)) for (space, value), id_ in changes.identities.items()],
            )
        keys = {record.key: record.position for record in changes.records}
        flushed = bool(keys) and len(self._recent) + len(keys) > SLICE
        if flushed:
            written = self._recent | keys
            places = dict(zip(_indexes(written), written.values(), strict=True))
            rows = [(number, places[number]) for number in sorted(places)]
            db.executemany("insert or ignore into seen values (?, ?)", rows)
            db.execute("insert or replace into mark values ('seen', ?)", (str(changes.records[-1].position),))
        self._write_counts(changes)
        if changes.erased or changes.redacted or changes.tombstones:
            self._write_erasures(changes, len(timers))
        return _Written(keys, flushed, new, len(timers))

    def _write_states(self, changes: Changes, fired: int) -> None:
        """Write the states whose turn it is: those of a small batch at once, and those that only pass by; others behind.

        `fired` is how many rows of the trace the batch has.
        """
        behind, held = self._behind, self._held
        position = changes.records[-1].position if changes.records else self._position
        if len(changes.contacts) <= SMALL_BATCH or not changes.records or changes.passing:
            due = list(changes.contacts)
        else:
            first = (changes.records[0].position, self._traces + 1, self._sequence + 1, self._entries + 1)
            for id_ in changes.contacts:
                if id_ not in behind:
                    behind[id_] = first
            oldest = position - LONGEST_BEHIND
            # What the log does not tell would not come back.
            due = sorted(changes.unlogged)
            for id_, (since, _, _, _) in behind.items():
                if since > oldest:
                    break
                if id_ not in changes.unlogged:
                    due.append(id_)
        new: list[tuple[Any, ...]] = []
        known: list[tuple[Any, ...]] = []
        for id_ in due:
            behind.pop(id_, None)
            owner = held[id_]
            timers = owner.contact.timers
            due_at = timers[0].due if timers else None
            row = (due_at, owner.log, owner.trace, owner.outbox, owner.ledger, encode(owner.contact), owner.number)
            (known if owner.stored else new).append(row)
            if not owner.stored:
                self._unwritten.discard(id_)
                owner.stored = True
        # Sorted by number, rows that lie beside each other are written one after the other.
        known.sort(key=_NUMBER)
        new.sort(key=_NUMBER)
        self._db.executemany(
            "update contact set due = ?, log = ?, trace = ?, outbox = ?, ledger = ?, state = ? where id = ?", known
        )
        self._db.executemany(
            "insert into contact (due, log, trace, outbox, ledger, state, id) values (?, ?, ?, ?, ?, ?, ?)", new
        )
        if self._lost:
            return  # what is behind is not known until it has been restored, so nothing can be said to be whole
        nothing = (
            position + 1,
            self._traces + fired + 1,
            self._sequence + len(changes.messages) + 1,
            self._entries + len(changes.ledger) + 1,
        )
        whole, trace, outbox, ledger = next(iter(behind.values()), nothing)
        if whole - 1 > self._whole()[0] + SLICE or (not behind and len(due) > SMALL_BATCH):
            mark = f"{whole - 1}:{trace - 1}:{outbox - 1}:{ledger - 1}"
            self._db.execute("insert or replace into mark values ('states', ?)", (mark,))
            self._marks["states"] = mark

    def _write_messages(self, messages: list[Message]) -> None:
        rows: list[tuple[Any, ...]] = []
        for sequence, message in enumerate(messages, self._sequence + 1):
            owner = self._held.get(message.contact)
            number = owner.number if owner is not None else contact_number(message.contact)
            before = owner.outbox if owner is not None else 0
            rows.append((sequence, number, before, message.channel, message.message, encode(message), message.priority))
            if owner is not None:
                owner.outbox = sequence
        if rows:
            self._db.executemany("insert into outbox values (?, ?, ?, ?, ?, 'pending', 0, 0, '', ?, ?)", rows)

    def _write_ledger(self, entries: list[Entry]) -> None:
        rows: list[tuple[Any, ...]] = []
        days: dict[LedgerDay, list[int]] = {}
        for place, entry in enumerate(entries, self._entries + 1):
            owner = self._held[entry.contact]
            rows.append((place, owner.number, owner.ledger, encode(entry)))
            owner.ledger = place
            total = days.setdefault((entry.programme, entry.day, entry.kind), [0, 0, 0])
            total[0] += 1
            total[1] += entry.amount
            total[2] += entry.held
        self._db.executemany("insert into ledger values (?, ?, ?, ?)", rows)
        self._db.executemany(
            "insert into ledger_day values (?, ?, ?, ?, ?, ?) on conflict (programme, day, kind) do update set"
            " entries = entries + excluded.entries, amount = amount + excluded.amount, held = held + excluded.held",
            [(*day, *total) for day, total in days.items()],
        )

    def _write_counts(self, changes: Changes) -> None:
        db = self._db
        counts: Counter[tuple[str, str, str]] = Counter()
        for message in changes.messages:
            counts[message.channel, message.message, "pending"] += 1
        if changes.settlements:
            self._settle(changes.settlements, counts)
        self._count_messages(counts)
        if changes.statistics:
            db.executemany(
                "insert into statistic values (?, ?, ?, ?, ?, ?)"
                " on conflict (journey, version, step, what, reason) do update set count = count + excluded.count",
                [(*statistic, count) for statistic, count in changes.statistics.items()],
            )
        if changes.items:
            gone = [item for item, attributes in changes.items.items() if attributes is None]
            db.executemany("delete from item where catalogue = ? and id = ?", gone)
            kept = [(*item, encode(attributes)) for item, attributes in changes.items.items() if attributes is not None]
            db.executemany("insert or replace into item values (?, ?, ?)", kept)
        if changes.knowledge:
            db.executemany("insert or replace into knowledge values (?, ?)", list(changes.knowledge.items()))
        if changes.marks:
            removed = [(name,) for name, mark in changes.marks.items() if mark is None]
            db.executemany("delete from mark where name = ?", removed)
            marks = [(name, mark) for name, mark in changes.marks.items() if mark is not None]
            db.executemany("insert or replace into mark values (?, ?)", marks)

    def _settle(self, settlements: Sequence[Settlement], counts: Counter[tuple[str, str, str]]) -> None:
        query = "select sequence, channel, message, state from outbox where sequence in"
        known = {row[0]: row[1:] for row in self._lookup(query, list({one.sequence for one in settlements}))}
        rows: list[tuple[Any, ...]] = []
        for settled in settlements:
            place = known.get(settled.sequence)
            if place is None or place[2] == settled.state != "pending":
                continue
            channel, message, state = place
            counts[channel, message, state] -= 1
            counts[channel, message, settled.state] += 1
            known[settled.sequence] = (channel, message, settled.state)
            rows.append((settled.state, settled.attempts, settled.due, settled.error, settled.sequence))
        self._db.executemany("update outbox set state = ?, attempts = ?, due = ?, error = ? where sequence = ?", rows)

    def _count_messages(self, counts: Counter[tuple[str, str, str]]) -> None:
        if counts:
            self._db.executemany(
                "insert into outbox_count values (?, ?, ?, ?)"
                " on conflict (channel, message, state) do update set count = count + excluded.count",
                [(*place, count) for place, count in counts.items()],
            )

    def _write_erasures(self, changes: Changes, fired: int) -> None:
        """Blank what is to be forgotten. What was deleted is overwritten, not only unlinked (`secure_delete`)."""
        db = self._db
        for id_ in changes.erased:
            self._erase(self._held[id_])
        for position in changes.redacted:
            self._blank(position, redacted_record)
        db.executemany(
            "insert or replace into tombstone values (?, ?, ?)",
            [(key, stone.erased_at, stone.suppressed) for key, stone in changes.tombstones.items()],
        )
        # Their numbers are not given again: states written behind are told apart by them.
        heads = ":".join(
            map(
                str,
                (
                    self._traces + fired,
                    self._sequence + len(changes.messages),
                    self._entries + len(changes.ledger),
                ),
            )
        )
        db.execute("insert or replace into mark values ('heads', ?)", (heads,))

    def _erase(self, owner: _Held) -> None:
        db = self._db
        for position, _, body in list(self._chain("log", "position", "body", owner.log)):
            if type(decode_input(body)) is not Erase:
                self._blank(position, erased_record)
        for id_, _ in [row[:2] for row in self._chain("trace", "id", "position", owner.trace)]:
            db.execute("delete from trace where id = ?", (id_,))
        cancelled: Counter[tuple[str, str, str]] = Counter()
        columns = "channel, message, state"
        for sequence, _, channel, message, state in list(self._chain("outbox", "sequence", columns, owner.outbox)):
            db.execute("delete from outbox where sequence = ?", (sequence,))
            if state == "pending":
                cancelled[channel, message, "pending"] -= 1
                cancelled[channel, message, "cancelled"] += 1
        self._count_messages(cancelled)
        for place in [row[0] for row in self._chain("ledger", "id", "id", owner.ledger)]:
            db.execute("delete from ledger where id = ?", (place,))
        owner.trace = owner.outbox = owner.ledger = 0
        db.execute("update contact set trace = 0, outbox = 0, ledger = 0 where id = ?", (owner.number,))
        db.execute("delete from identity where contact = ?", (owner.number,))

    def _blank(self, position: int, left_of: Callable[[Record], Record]) -> None:
        row = self._db.execute(
            "select position, contact, key, body from log where position = ?", (position,)
        ).fetchone()
        left = left_of(_record(row))
        self._db.execute("update log set body = ?, trace = null where position = ?", (left.body, position))

    def _adopt(self, changes: Changes, written: _Written) -> None:
        """Let memory follow, now that the transaction is durable."""
        if changes.records:
            last = changes.records[-1]
            self._position = last.position
            self._received_at = max(self._received_at, decode_input(last.body).received_at)
        if written.flushed:
            self._recent = {}
        else:
            self._recent |= written.keys
        self._traces += written.timers
        self._sequence += len(changes.messages)
        self._entries += len(changes.ledger)
        self._people += written.new
        if changes.erased:
            self._known.clear()
        if changes.erased or changes.redacted:
            self._checkpoints.clean()
        self._known.update(changes.identities)
        for name in changes.marks:
            self._marks.pop(name, None)
        self._marks.update({name: mark for name, mark in changes.marks.items() if mark is not None})

    def forget(self) -> None:
        self._held.clear()
        self._unwritten.clear()
        self._fetched.clear()
        self._known.clear()
        self._behind.clear()
        self._marks = dict(self._reader.execute("select name, value from mark"))
        self._lost = True

    def close(self) -> None:
        with contextlib.suppress(StoreError):
            self.flush()
        self._checkpoints.close()
        self._reader.close()
        self._db.close()
        self._lock.close()


class _Written(NamedTuple):
    """What memory needs to know of a batch once it is durable."""

    keys: dict[bytes, int]
    """Message keys and the positions of their records."""
    flushed: bool
    """Whether every key was indexed with it."""
    new: int
    """How many contacts it made."""
    timers: int = 0
    """How many rows of the trace it made."""


_NUMBER = itemgetter(6)
_FIRST = itemgetter(0)

_LATEST = 100
_CHAINS = (("log", "position"), ("trace", "id"), ("outbox", "sequence"), ("ledger", "id"))
"""The tables whose rows are chained by contact, with their keys."""


def _numbers(mark: str, count: int) -> list[int]:
    """Return the numbers of a mark; those that it was written without are 0."""
    return [*map(int, filter(None, mark.split(":"))), *([0] * count)][:count]


def _place(moment: Moment) -> tuple[int, int]:
    return moment.position, moment.row


_halves = struct.Struct(">q8x").iter_unpack


def _indexes(keys: Collection[bytes]) -> Iterator[int]:
    """Return the numbers by which message keys are indexed: their first halves, as SQLite counts."""
    return map(_FIRST, _halves(b"".join(keys)))


class _Checkpoints:
    """Copies the write-ahead log back into the file, in a thread with a connection of its own."""

    def __init__(self, path: Path) -> None:
        # Opened here, where a failure is told: a thread that ended at its start would never be missed.
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("pragma synchronous = full")
        self._rows = 0
        self._clean = False
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="parcours-checkpoint", daemon=True)
        self._thread.start()

    def after(self, rows: int) -> None:
        """Tell of rows written; about as many pages were."""
        self._rows += rows
        if self._rows >= CHECKPOINT_PAGES:
            self._rows = 0
            self._wake.set()

    def clean(self) -> None:
        """Let nothing that was overwritten stay in the write-ahead log."""
        self._clean = True
        self._wake.set()

    def _run(self) -> None:
        db = self._db
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._closed:
                break
            try:
                if self._clean:
                    self._clean = bool(db.execute("pragma wal_checkpoint(truncate)").fetchone()[0])
                    continue
                _, pages, _ = db.execute("pragma wal_checkpoint(passive)").fetchone()
                if pages > LONGEST_WAL:
                    # Under steady writes a passive checkpoint never reaches the end; this one holds the writer shortly.
                    db.execute("pragma wal_checkpoint(restart)")
            except sqlite3.Error:
                # The log only grows until the next try; a disk that is full shows in the commit, where it is told.
                continue

    def close(self) -> None:
        self._closed = True
        self._wake.set()
        self._thread.join()
        self._db.close()


def _lock(path: Path) -> IO[str]:
    """Hold the store for this process; the lock goes with the process, however it ends."""
    try:
        file = path.with_suffix(".lock").open("w")
    except OSError as error:
        raise StoreError(
            f"cannot open the store {path.name}: {error.strerror}", hint="check the data folder"
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise StoreError(
            f"another process has the store {path.name} open", hint="one data folder serves one process"
        ) from None
    return file


def _record(row: Any) -> Record:
    contact = contact_from_number(row[1]) if row[1] is not None else ""
    return Record(row[0], contact, row[2], row[3])


def _hint(error: BaseException) -> str:
    text = str(error)
    if "full" in text:
        return "free some space; nothing of the batch was kept, and senders will try again"
    if "locked" in text:
        return "another process has the store open; one data folder serves one process"
    if "not a database" in text:
        return "the file is something else; choose another data folder"
    return ""
