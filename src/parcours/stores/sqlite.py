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
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from parcours.core.codec import (
    UNENCODABLE,
    decode_contact,
    decode_input,
    decode_item,
    encode,
)
from parcours.core.contact import Contact
from parcours.core.effects import Message
from parcours.core.ids import contact_from_number, contact_number
from parcours.errors import StoreError, UnstorableError
from parcours.ports import (
    Changes,
    Identity,
    Record,
    Settlement,
    redacted_record,
)
from parcours.stores.sqlite_chains import ContactRows, Held
from parcours.stores.sqlite_file import Checkpoints, hint_of, lock, make_tables, open_file
from parcours.stores.sqlite_rows import CommittedRows, indexes, lookup, record_of
from parcours.stores.sqlite_writing import blank, erase, write_counts, write_ledger, write_messages

SLICE = 65_536
"""Message keys that wait in memory before they are indexed."""

LONGEST_BEHIND = 50_000
"""Inputs after which the state of a contact is written at the latest: what a start after a kill has to fold again."""

SMALL_BATCH = 64
"""Contacts up to which a batch writes their states at once."""


MOST_FRESH = 5_000
"""Messages that are kept in memory until they are settled, so that they need not be read back to be sent."""


class SqliteStore(CommittedRows, ContactRows):
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
        self._held: dict[str, Held] = {}
        self._unwritten: set[str] = set()
        """Contacts that have no row yet."""
        self._fetched: set[str] = set()
        """Contacts that were read since the last batch was kept."""
        self._behind: dict[str, tuple[int, int, int, int]] = {}
        """Contacts whose written state lacks inputs, to the first position, trace, message and entry it lacks."""
        self._lost = False
        self._counted = False
        """Whether contacts that have no row yet are counted."""
        self._written: list[_Written] = []
        """What is in the transaction that is open."""
        self._known: dict[Identity, str] = {}
        self._fresh = {}
        self._lock = lock(path)
        try:
            self._db = open_file(path)
            # What is read here was committed, also while a transaction of the other connection is under way.
            self._reader = open_file(path)
            self._prepare()
        except BaseException as error:
            self._lock.close()
            if isinstance(error, sqlite3.Error):
                raise StoreError(f"cannot open the store {path.name}: {error}", hint=hint_of(error)) from error
            raise
        self._checkpoints = Checkpoints(path)

    def _prepare(self) -> None:
        db = self._db
        make_tables(db, self._path.name)
        self._marks = dict(db.execute("select name, value from mark"))
        self._position: int = db.execute("select coalesce(max(position), 0) from log").fetchone()[0]
        self._traces: int = db.execute("select coalesce(max(id), 0) from trace").fetchone()[0]
        self._sequence: int = db.execute("select coalesce(max(sequence), 0) from outbox").fetchone()[0]
        self._entries: int = db.execute("select coalesce(max(id), 0) from ledger").fetchone()[0]
        traces, messages, entries = _numbers(self._marks.get("heads", ""), 3)
        self._traces, self._sequence = max(self._traces, traces), max(self._sequence, messages)
        self._entries = max(self._entries, entries)
        self._ahead = self._last()
        """The newest places with what is in the transaction that is open."""
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
        asked = dict(zip(indexes(left), left, strict=True))
        # In their order, so that those that lie beside each other are looked up one after the other.
        for number, position in lookup(self._db, "select key, position from seen where key in", sorted(asked)):
            # Half a key finds the row, the whole key in the row decides.
            row = self._db.execute("select key from log where position = ?", (position,)).fetchone()
            if row is not None and row[0] == asked[number]:
                found.add(row[0])
        return found

    def position_of(self, key: bytes) -> int:
        known: int | None = self._recent.get(key)
        if known is not None:
            return known
        query = "select log.position, log.key from seen join log using (position) where seen.key = ?"
        row = self._db.execute(query, tuple(indexes([key]))).fetchone()
        # Half a key finds the row, the whole key in the row decides.
        return int(row[0]) if row is not None and row[1] == key else 0

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
            for value, number in lookup(self._db, query, values, namespace):
                found[namespace, value] = known[namespace, value] = contact_from_number(number)
        return found

    def contacts(self, ids: Collection[str]) -> dict[str, Contact]:
        held = self._held
        missing = [contact_number(contact) for contact in ids if contact not in held]
        if missing:
            query = "select id, log, trace, outbox, ledger, state from contact where id in"
            for number, log, trace, outbox, ledger, state in lookup(self._db, query, missing):
                contact = decode_contact(state)
                held[contact.id] = Held(contact, number, (log, trace, outbox, ledger), stored=True)
                self._fetched.add(contact.id)
        return {id_: one.contact for id_ in ids if (one := held.get(id_)) is not None}

    def _let_go(self, contacts: Collection[str]) -> None:
        """Keep contacts at hand no longer, if their states are written."""
        for id_ in contacts:
            if id_ not in self._behind:
                self._held.pop(id_, None)

    def _trim(self) -> None:
        """Keep memory bounded: let go of the half that has been here longest. Only when no contact is lent out."""
        if len(self._held) > self._hold:
            for id_ in list(self._held)[: len(self._held) // 2]:
                if id_ not in self._behind:
                    del self._held[id_]
        if len(self._known) > self._hold:
            for identity in list(self._known)[: len(self._known) // 2]:
                del self._known[identity]

    def items(self, catalogue: str, ids: Collection[str]) -> dict[str, dict[str, Any]]:
        rows = lookup(self._reader, "select id, body from item where catalogue = ? and id in", list(ids), catalogue)
        return {row[0]: decode_item(row[1]) for row in rows}

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

    def mark(self, name: str) -> str | None:
        return self._marks.get(name) if name not in _OWN_MARKS else None

    def marks(self) -> Mapping[str, str]:
        return {name: value for name, value in self._marks.copy().items() if name not in _OWN_MARKS}

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
                yield record_of(row)

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
            self._held[id_] = Held(contact, number, (log, trace, outbox, ledger), stored=before is not None)
            if before is None:
                self._unwritten.add(id_)
            if not self._counted:
                self._people += before is None
        self._lost = False
        self._counted = True

    def flush(self) -> None:
        """Write every state that is behind, unless something is written that is not to be durable before `finish`.

        Raises:
            StoreError: They are not written; nothing is lost.
        """
        if self._behind and not self._lost and not self._written:
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
            if not self._written:
                self._db.execute("begin immediate")
            self._written.append(self._write(changes))
        except sqlite3.Error as error:
            raise self._failed(error) from error
        except UNENCODABLE as error:
            self._failed(error)
            raise UnstorableError(f"a value cannot be kept: {error}") from error
        except BaseException as error:
            self._failed(error)
            raise
        if changes.passing:
            self._let_go(self._fetched.intersection(changes.contacts))

    def finish(self) -> None:
        try:
            self._db.execute("commit")
        except sqlite3.Error as error:
            raise self._failed(error) from error
        written, self._written = self._written, []
        for part in written:
            self._adopt(part)
        self._position, self._traces, self._sequence, self._entries = self._ahead
        if any(part.passing for part in written):
            self._let_go(self._fetched)
        self._fetched.clear()
        self._trim()
        self._checkpoints.after(sum(part.rows for part in written))

    def _failed(self, error: BaseException) -> StoreError:
        # Heads of chains moved in memory, and what was folded is not to be kept.
        self.forget()
        return StoreError(f"the store could not keep a batch: {error}", hint=hint_of(error))

    def _write(self, changes: Changes) -> _Written:
        """Write the rows of a batch. On failure memory is ahead of the file, and has to be forgotten."""
        db, held = self._db, self._held
        last_position, last_trace, last_message, last_entry = self._ahead
        new = 0
        for id_, contact in changes.contacts.items():
            known = held.get(id_)
            if known is None:
                held[id_] = Held(contact, contact_number(id_), (0, 0, 0, 0), stored=False)
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
                head = last_trace + len(timers) + 1
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
        write_messages(db, held, last_message, changes.messages)
        if changes.ledger:
            write_ledger(db, held, last_entry, changes.ledger)
        after = _Places(
            changes.records[-1].position if changes.records else last_position,
            last_trace + len(timers),
            last_message + len(changes.messages),
            last_entry + len(changes.ledger),
        )
        self._write_states(changes, after)
        if changes.identities:
            db.executemany(
                "insert or replace into identity values (?, ?, ?)",
                [(space, value, contact_number(id_)) for (space, value), id_ in changes.identities.items()],
            )
        keys = {record.key: record.position for record in changes.records}
        waiting = [*self._waiting(), keys]
        flushed = bool(keys) and sum(map(len, waiting)) > SLICE
        if flushed:
            places = {number: at for part in waiting for number, at in zip(indexes(part), part.values(), strict=True)}
            rows = [(number, places[number]) for number in sorted(places)]
            db.executemany("insert or ignore into seen values (?, ?)", rows)
            db.execute("insert or replace into mark values ('seen', ?)", (str(after.position),))
        write_counts(db, self._fresh, changes)
        if changes.erased or changes.redacted or changes.tombstones:
            self._write_erasures(changes, after)
        self._ahead = after
        return _Written(
            rows=len(changes.records) + len(changes.contacts) + len(changes.traces),
            last=changes.records[-1] if changes.records else None,
            keys=keys,
            flushed=flushed,
            new=new,
            messages=changes.messages,
            first=last_message + 1,
            settlements=changes.settlements,
            identities=changes.identities,
            marks=changes.marks,
            erased=bool(changes.erased),
            redacted=bool(changes.redacted),
            passing=changes.passing,
        )

    def _waiting(self) -> list[dict[bytes, int]]:
        """Return the message keys that are not indexed, of what was committed and of what was written since."""
        waiting = [self._recent]
        for part in self._written:
            waiting = [] if part.flushed else [*waiting, part.keys]
        return waiting

    def _write_states(self, changes: Changes, after: _Places) -> None:
        """Write the states whose turn it is: those of a small batch at once, and those that only pass by; others behind.

        `after` are the newest places with this batch.
        """
        behind, held = self._behind, self._held
        if len(changes.contacts) <= SMALL_BATCH or not changes.records or changes.passing:
            due = list(changes.contacts)
        else:
            _, trace, message, entry = self._ahead
            first = (changes.records[0].position, trace + 1, message + 1, entry + 1)
            for id_ in changes.contacts:
                if id_ not in behind:
                    behind[id_] = first
            oldest = after.position - LONGEST_BEHIND
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
        nothing = (after.position + 1, after.trace + 1, after.message + 1, after.entry + 1)
        whole, trace, outbox, ledger = next(iter(behind.values()), nothing)
        if whole - 1 > self._whole()[0] + SLICE or (not behind and len(due) > SMALL_BATCH):
            mark = f"{whole - 1}:{trace - 1}:{outbox - 1}:{ledger - 1}"
            self._db.execute("insert or replace into mark values ('states', ?)", (mark,))
            self._marks["states"] = mark

    def _write_erasures(self, changes: Changes, after: _Places) -> None:
        """Blank what is to be forgotten. What was deleted is overwritten, not only unlinked (`secure_delete`)."""
        db = self._db
        for id_ in changes.erased:
            erase(db, self._held[id_])
        for position in changes.redacted:
            blank(db, position, redacted_record)
        db.executemany(
            "insert or replace into tombstone values (?, ?, ?)",
            [(key, stone.erased_at, stone.suppressed) for key, stone in changes.tombstones.items()],
        )
        # Their numbers are not given again: states written behind are told apart by them.
        heads = f"{after.trace}:{after.message}:{after.entry}"
        db.execute("insert or replace into mark values ('heads', ?)", (heads,))

    def _last(self) -> _Places:
        """Return the newest places of what was committed."""
        return _Places(self._position, self._traces, self._sequence, self._entries)

    def _adopt(self, part: _Written) -> None:
        """Let memory follow, now that the transaction is durable."""
        if part.last is not None:
            self._received_at = max(self._received_at, decode_input(part.last.body).received_at)
        if part.flushed:
            self._recent = {}
        else:
            self._recent |= part.keys
        self._freshen(part)
        self._people += part.new
        if part.erased:
            self._known.clear()
        if part.erased or part.redacted:
            self._checkpoints.clean()
        self._known.update(part.identities)
        for name in part.marks:
            self._marks.pop(name, None)
        self._marks.update({name: mark for name, mark in part.marks.items() if mark is not None})

    def _freshen(self, part: _Written) -> None:
        """Keep the messages of a batch in memory until they are settled, as long as there is room."""
        fresh = self._fresh
        for settled in part.settlements:
            if settled.state != "pending":
                fresh.pop(settled.sequence, None)
        if part.messages:
            fresh.update(enumerate(part.messages, part.first))
            for sequence in list(islice(fresh, max(0, len(fresh) - MOST_FRESH))):
                del fresh[sequence]
        if part.erased:
            fresh.clear()

    def forget(self) -> None:
        if self._db.in_transaction:
            self._db.execute("rollback")
        self._written, self._ahead = [], self._last()
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


class _Places(NamedTuple):
    """The newest row of each table whose rows are numbered."""

    position: int
    """In the log."""
    trace: int
    message: int
    """In the outbox."""
    entry: int
    """In the ledger."""


class _Written(NamedTuple):
    """What memory needs to know of a batch once it is durable."""

    rows: int
    """About how many it has."""
    last: Record | None
    keys: dict[bytes, int]
    """Message keys and the positions of their records."""
    flushed: bool
    """Whether every key was indexed with it, and with those of all before."""
    new: int
    """How many contacts it made."""
    messages: list[Message]
    first: int
    """The sequence of the first of them."""
    settlements: list[Settlement]
    identities: dict[Identity, str]
    marks: dict[str, str | None]
    erased: bool
    """Whether it erases contacts."""
    redacted: bool
    """Whether it blanks records."""
    passing: bool


_NUMBER = itemgetter(6)

_OWN_MARKS = frozenset({"seen", "states", "heads"})
"""Marks that are the store's own, and are not told."""

_LATEST = 100
_CHAINS = (("log", "position"), ("trace", "id"), ("outbox", "sequence"), ("ledger", "id"))
"""The tables whose rows are chained by contact, with their keys."""


def _numbers(mark: str, count: int) -> list[int]:
    """Return the numbers of a mark; those that it was written without are 0."""
    return [*map(int, filter(None, mark.split(":"))), *([0] * count)][:count]
