"""Rows that the embedded store writes beside log and states: messages, entries, counts; and what an erasure leaves."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from parcours.core.codec import decode_input, encode
from parcours.core.effects import Entry, Message
from parcours.core.ids import contact_number
from parcours.core.inputs import Erase
from parcours.ports import Changes, LedgerDay, Record, Settlement, erased_record
from parcours.stores.sqlite_chains import Held, chain
from parcours.stores.sqlite_rows import lookup, record_of


def write_messages(db: sqlite3.Connection, held: Mapping[str, Held], last: int, messages: list[Message]) -> None:
    """Write messages behind the last one, each with its place in the chain of its contact."""
    rows: list[tuple[Any, ...]] = []
    for sequence, message in enumerate(messages, last + 1):
        owner = held.get(message.contact)
        number = owner.number if owner is not None else contact_number(message.contact)
        before = owner.outbox if owner is not None else 0
        rows.append((sequence, number, before, message.channel, message.message, encode(message), message.priority))
        if owner is not None:
            owner.outbox = sequence
    if rows:
        db.executemany("insert into outbox values (?, ?, ?, ?, ?, 'pending', 0, 0, '', ?, ?)", rows)


def write_ledger(db: sqlite3.Connection, held: Mapping[str, Held], last: int, entries: list[Entry]) -> None:
    """Write entries of the ledger behind the last one, and add them to the totals of their days."""
    rows: list[tuple[Any, ...]] = []
    made: dict[int, int] = {}
    days: dict[LedgerDay, list[int]] = {}
    for place, entry in enumerate(entries, last + 1):
        owner = held[entry.contact]
        rows.append((place, owner.number, owner.ledger, encode(entry)))
        owner.ledger = place
        made[entry.position] = place
        total = days.setdefault((entry.programme, entry.day, entry.kind), [0, 0, 0])
        total[0] += 1
        total[1] += entry.amount
        total[2] += entry.held
    made.pop(0, None)  # time alone
    db.executemany("insert into ledger values (?, ?, ?, ?)", rows)
    db.executemany("insert or replace into booked values (?, ?)", list(made.items()))
    db.executemany(
        "insert into ledger_day values (?, ?, ?, ?, ?, ?) on conflict (programme, day, kind) do update set"
        " entries = entries + excluded.entries, amount = amount + excluded.amount, held = held + excluded.held",
        [(*day, *total) for day, total in days.items()],
    )


def write_counts(db: sqlite3.Connection, fresh: Mapping[int, Message], changes: Changes) -> None:
    """Write the counts of a batch, and what of it stands by a name: items, knowledge, marks.

    `fresh` are messages that are not settled, by their sequence: as many of them as are in memory.
    """
    counts: Counter[tuple[str, str, str]] = Counter()
    for message in changes.messages:
        counts[message.channel, message.message, "pending"] += 1
    if changes.settlements:
        settle(db, fresh, changes.settlements, counts)
    count_messages(db, counts)
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


def settle(
    db: sqlite3.Connection,
    fresh: Mapping[int, Message],
    settlements: Sequence[Settlement],
    counts: Counter[tuple[str, str, str]],
) -> None:
    """Write what became of messages, and count it."""
    if not _settle_fresh(db, fresh, settlements, counts):
        _settle_any(db, settlements, counts)


def _settle_fresh(
    db: sqlite3.Connection,
    fresh: Mapping[int, Message],
    settlements: Sequence[Settlement],
    counts: Counter[tuple[str, str, str]],
) -> bool:
    """Do so for messages that are in memory and wait still, as most do; return whether these were such."""
    messages = [fresh.get(settled.sequence) for settled in settlements]
    if None in messages or len({settled.sequence for settled in settlements}) < len(settlements):
        return False
    db.execute("savepoint settling")
    rows = [(one.state, one.attempts, one.due, one.error, one.sequence) for one in settlements]
    done = db.executemany(f"{_SETTLE} and state = 'pending'", rows).rowcount
    if done < len(rows):
        db.execute("rollback to settling")
    db.execute("release settling")
    if done < len(rows):
        return False
    for settled, message in zip(settlements, messages, strict=True):
        assert message is not None  # noqa: S101 (looked at above)
        counts[message.channel, message.message, "pending"] -= 1
        counts[message.channel, message.message, settled.state] += 1
    return True


_SETTLE = "update outbox set state = ?, attempts = ?, due = ?, error = ? where sequence = ?"


def _settle_any(
    db: sqlite3.Connection, settlements: Sequence[Settlement], counts: Counter[tuple[str, str, str]]
) -> None:
    query = "select sequence, channel, message, state from outbox where sequence in"
    known = {row[0]: row[1:] for row in lookup(db, query, list({one.sequence for one in settlements}))}
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
    db.executemany(_SETTLE, rows)


def count_messages(db: sqlite3.Connection, counts: Counter[tuple[str, str, str]]) -> None:
    """Add to the counts of messages by channel, message and state."""
    if counts:
        db.executemany(
            "insert into outbox_count values (?, ?, ?, ?)"
            " on conflict (channel, message, state) do update set count = count + excluded.count",
            [(*place, count) for place, count in counts.items()],
        )


def erase(db: sqlite3.Connection, owner: Held) -> None:
    """Blank, delete or unlink what is there of a contact."""
    for position, _, body in list(chain(db, "log", "position", "body", owner.log)):
        if type(decode_input(body)) is not Erase:
            blank(db, position, erased_record)
        db.execute("delete from booked where position = ?", (position,))
    for id_, _ in [row[:2] for row in chain(db, "trace", "id", "position", owner.trace)]:
        db.execute("delete from trace where id = ?", (id_,))
    cancelled: Counter[tuple[str, str, str]] = Counter()
    columns = "channel, message, state"
    for sequence, _, channel, message, state in list(chain(db, "outbox", "sequence", columns, owner.outbox)):
        db.execute("delete from outbox where sequence = ?", (sequence,))
        if state == "pending":
            cancelled[channel, message, "pending"] -= 1
            cancelled[channel, message, "cancelled"] += 1
    count_messages(db, cancelled)
    for place in [row[0] for row in chain(db, "ledger", "id", "id", owner.ledger)]:
        db.execute("delete from ledger where id = ?", (place,))
    owner.trace = owner.outbox = owner.ledger = 0
    db.execute("update contact set trace = 0, outbox = 0, ledger = 0 where id = ?", (owner.number,))
    db.execute("delete from identity where contact = ?", (owner.number,))


def blank(db: sqlite3.Connection, position: int, left_of: Callable[[Record], Record]) -> None:
    """Leave of a record what a function leaves of it."""
    row = db.execute("select position, contact, key, body from log where position = ?", (position,)).fetchone()
    left = left_of(record_of(row))
    db.execute("update log set body = ?, trace = null where position = ?", (left.body, position))
