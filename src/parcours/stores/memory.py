"""The memory store: the reference every other store is compared with.

It keeps encoded contacts, so that what was handed out and changed, but not committed, is gone by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from parcours.core.codec import UNENCODABLE, decode_contact, decode_item, encode
from parcours.core.contact import Contact
from parcours.core.effects import Entry, Trace
from parcours.core.inputs import Erase, Publish
from parcours.errors import UnstorableError
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


class MemoryStore:
    """A store that lives as long as the process. See `ports.Store`."""

    def __init__(self) -> None:
        self._log: list[Record] = []
        self._keys: set[bytes] = set()
        self._identities: dict[Identity, str] = {}
        self._contacts: dict[str, bytes] = {}
        self._due: dict[str, int] = {}
        self._traces: dict[str, list[tuple[int, list[Trace]]]] = {}
        self._messages: dict[str, list[int]] = {}
        """Contact to the places of its messages in the outbox."""
        self._fired: list[str] = []
        """The contact of each trace apart from an input; empty when it was erased."""
        self._outbox: list[Pending] = []
        self._ledger: list[Entry | None] = []
        self._days: dict[LedgerDay, Total] = {}
        self._settled: dict[int, Settlement] = {}
        self._statistics: Counter[Statistic] = Counter()
        self._marks: dict[str, str] = {}
        self._items: dict[tuple[str, str], bytes] = {}
        self._knowledge: dict[str, bytes] = {}
        self._tombstones: dict[bytes, Tombstone] = {}
        self._blank: dict[int, tuple[str, str, str]] = {}
        """Messages of erased contacts: sequence to channel, definition and state, all that is left of them."""
        self._received_at = 0
        self._written: list[tuple[Changes, dict[str, bytes]]] = []

    def last_position(self) -> int:
        return len(self._log)

    def last_received_at(self) -> int:
        return self._received_at

    def seen(self, keys: Collection[bytes]) -> set[bytes]:
        return self._keys.intersection(keys)

    def position_of(self, key: bytes) -> int:
        return next((record.position for record in self._log if record.key == key), 0)

    def resolve(self, identities: Collection[Identity]) -> dict[Identity, str]:
        known = self._identities
        return {identity: known[identity] for identity in identities if identity in known}

    def contacts(self, ids: Collection[str]) -> dict[str, Contact]:
        known = self._contacts
        return {contact: decode_contact(known[contact]) for contact in ids if contact in known}

    def commit(self, changes: Changes) -> None:
        self.write(changes)
        self.finish()

    def write(self, changes: Changes) -> None:
        try:
            self._written.append((changes, {contact.id: encode(contact) for contact in changes.contacts.values()}))
        except UNENCODABLE as error:
            self.forget()
            raise UnstorableError(f"a value cannot be kept: {error}") from error

    def finish(self) -> None:
        written, self._written = self._written, []
        for changes, encoded in written:
            self._adopt(changes, encoded)

    def _adopt(self, changes: Changes, encoded: dict[str, bytes]) -> None:
        for record in changes.records:
            self._log.append(record)
            self._keys.add(record.key)
            self._received_at = max(self._received_at, record.input().received_at)
        self._identities.update(changes.identities)
        self._contacts.update(encoded)
        for contact in changes.contacts.values():
            if contact.next_due is None:
                self._due.pop(contact.id, None)
            else:
                self._due[contact.id] = contact.next_due
        for contact_id, position, entries in changes.traces:
            self._traces.setdefault(contact_id, []).append((position, entries))
        self._fired += [contact_id for contact_id, position, _ in changes.traces if position <= 0]
        for message in changes.messages:
            self._messages.setdefault(message.contact, []).append(len(self._outbox))
            self._outbox.append(Pending(len(self._outbox) + 1, message))
        self._keep_entries(changes.ledger)
        self._settle(changes.settlements)
        for statistic, count in changes.statistics.items():
            self._statistics[statistic] += count
        for name in changes.marks:
            self._marks.pop(name, None)
        self._marks.update({name: mark for name, mark in changes.marks.items() if mark is not None})
        for item, attributes in changes.items.items():
            if attributes is None:
                self._items.pop(item, None)
            else:
                self._items[item] = encode(attributes)
        self._knowledge.update(changes.knowledge)
        self._tombstones.update(changes.tombstones)
        for contact_id in changes.erased:
            self._erase(contact_id)
        for position in changes.redacted:
            self._log[position - 1] = redacted_record(self._log[position - 1])

    def _settle(self, settlements: Sequence[Settlement]) -> None:
        for settlement in settlements:
            before = self._settled.get(settlement.sequence)
            if before is None or before.state != settlement.state or before.state == "pending":
                self._settled[settlement.sequence] = settlement

    def _keep_entries(self, entries: list[Entry]) -> None:
        for entry in entries:
            self._ledger.append(entry)
            day = entry.programme, entry.day, entry.kind
            known = self._days.get(day, Total(0, 0, 0))
            self._days[day] = Total(known.entries + 1, known.amount + entry.amount, known.held + entry.held)

    def _erase(self, contact: str) -> None:
        for record in self._log:
            if record.contact == contact and type(record.input()) is not Erase:
                self._log[record.position - 1] = erased_record(record)
        self._traces.pop(contact, None)
        self._ledger = [entry if entry is None or entry.contact != contact else None for entry in self._ledger]
        self._fired = ["" if fired == contact else fired for fired in self._fired]
        self._identities = {identity: owner for identity, owner in self._identities.items() if owner != contact}
        for item in self._outbox:
            if item.message.contact == contact and item.sequence not in self._blank:
                state = settled.state if (settled := self._settled.get(item.sequence)) is not None else "pending"
                state = "cancelled" if state == "pending" else state
                self._blank[item.sequence] = (item.message.channel, item.message.message, state)

    def forget(self) -> None:
        self._written = []

    @property
    def stale(self) -> bool:
        return False

    def unfolded(self) -> Iterator[Record]:
        return iter(())

    def restore(self, contacts: Mapping[str, Contact]) -> None:
        pass

    def flush(self) -> None:
        pass

    def log(self, after: int = 0, limit: int = 1_000) -> list[Record]:
        return self._log[after : after + limit]

    def record(self, position: int) -> Record | None:
        return self._log[position - 1] if 0 < position <= len(self._log) else None

    def decided(self, position: int) -> list[Trace]:
        record = self.record(position)
        traces = self._traces.get(record.contact, []) if record is not None else []
        return [entry for place, entries in traces if place == position for entry in entries]

    def history(self, contact: str, limit: int = 1_000) -> list[Record]:
        return [record for record in reversed(self._log) if record.contact == contact][:limit]

    def trace(self, contact: str, limit: int = 1_000) -> list[tuple[int, list[Trace]]]:
        return [(max(0, position), entries) for position, entries in self._traces.get(contact, [])[::-1][:limit]]

    def timeline(self, contact: str, limit: int = 100, before: tuple[int, int] | None = None) -> list[Moment]:
        made: dict[int, list[Trace]] = {}
        moments: list[Moment] = []
        for row, (position, entries) in enumerate(self._traces.get(contact, ()), 1):
            if position > 0:
                made[position] = entries
            else:
                moments.append(Moment(-position, row, None, entries))
        records = [record for record in self._log if record.contact == contact]
        moments += [Moment(record.position, 0, record, made.get(record.position, [])) for record in records]
        moments.sort(key=lambda moment: (moment.position, moment.row), reverse=True)
        return [moment for moment in moments if before is None or (moment.position, moment.row) < before][:limit]

    def posted(self, contact: str, limit: int = 1_000, before: int = 0) -> list[Posted]:
        items = (self._outbox[place] for place in reversed(self._messages.get(contact, [])))
        there = (item for item in items if item.sequence not in self._blank and not 0 < before <= item.sequence)
        return [self._posted(item) for item in islice(there, limit)]

    def _posted(self, item: Pending) -> Posted:
        settled = self._settled.get(item.sequence) or Settlement(item.sequence, "pending", 0)
        return Posted(item.sequence, item.message, settled.state, settled.attempts, settled.error)

    def outbox(self, after: int = 0, limit: int = 1_000) -> list[Posted]:
        there = (item for item in self._outbox[after:] if item.sequence not in self._blank)
        return [self._posted(item) for item in islice(there, limit)]

    def fired(self, after: int = 0, limit: int = 1_000) -> list[tuple[int, str]]:
        there = ((row, contact) for row, contact in enumerate(self._fired[after:], after + 1) if contact)
        return list(islice(there, limit))

    def ledger(self, contact: str, limit: int = 1_000, before: int = 0) -> list[Posting]:
        places = range((before - 1) if before else len(self._ledger), 0, -1)
        entries = ((place, self._ledger[place - 1]) for place in places if place <= len(self._ledger))
        found = (Posting(place, entry) for place, entry in entries if entry is not None and entry.contact == contact)
        return list(islice(found, limit))

    def booked(self, position: int) -> list[Entry]:
        return [entry for entry in self._ledger if entry is not None and entry.position == position > 0]

    def last_entry(self) -> int:
        return len(self._ledger)

    def ledger_days(self) -> Mapping[LedgerDay, Total]:
        return dict(self._days)

    def items(self, catalogue: str, ids: Collection[str]) -> dict[str, dict[str, Any]]:
        known = self._items
        return {id_: decode_item(known[catalogue, id_]) for id_ in ids if (catalogue, id_) in known}

    def scan_items(self, catalogue: str, after: str = "", limit: int = 1_000) -> list[tuple[str, dict[str, Any]]]:
        behind = sorted(id_ for name, id_ in self._items if name == catalogue and id_ > after)[:limit]
        return list(self.items(catalogue, behind).items())

    def knowledge(self) -> Mapping[str, bytes]:
        return dict(self._knowledge)

    def tombstones(self) -> Mapping[bytes, Tombstone]:
        return dict(self._tombstones)

    def publications(self, after: int = 0) -> list[Publish]:
        found = (record.input() for record in islice(self._log, after, None) if not record.contact)
        return [item for item in found if isinstance(item, Publish)]

    def scan(self, after: str = "", limit: int = 1_000) -> list[Contact]:
        return [decode_contact(self._contacts[contact]) for contact in self.ids(after, limit)]

    def ids(self, after: str = "", limit: int = 1_000) -> list[str]:
        return sorted(contact for contact in self._contacts if contact > after)[:limit]

    def due_times(self) -> Iterator[tuple[int, str]]:
        return iter([(due, contact) for contact, due in self._due.items()])

    def pending(self, channel: str, after: int = 0, limit: int = 1_000, *, urgent: bool = False) -> list[Pending]:
        found = []
        for item in self._outbox[after:]:
            settled = self._settled.get(item.sequence)
            if (
                item.message.channel != channel
                or (urgent and item.message.priority <= 0)
                or item.sequence in self._blank
                or (settled is not None and settled.state != "pending")
            ):
                continue
            if settled is not None:
                item = Pending(item.sequence, item.message, settled.attempts, settled.due, settled.error)  # noqa: PLW2901 (the same item, as it is now)
            found.append(item)
            if len(found) == limit:
                break
        return found

    def outbox_counts(self) -> Mapping[tuple[str, str, str], int]:
        counts: Counter[tuple[str, str, str]] = Counter()
        for item in self._outbox:
            if item.sequence in self._blank:
                counts[self._blank[item.sequence]] += 1
                continue
            settled = self._settled.get(item.sequence)
            counts[item.message.channel, item.message.message, settled.state if settled else "pending"] += 1
        return counts

    def statistics(self) -> Mapping[Statistic, int]:
        return dict(self._statistics)

    def mark(self, name: str) -> str | None:
        return self._marks.get(name)

    def marks(self) -> Mapping[str, str]:
        return dict(self._marks)

    def counts(self) -> Mapping[str, int]:
        return {"records": len(self._log), "contacts": len(self._contacts)}

    def close(self) -> None:
        pass
