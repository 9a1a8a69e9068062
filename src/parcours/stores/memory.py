"""The memory store: the reference every other store is compared with.

It keeps encoded contacts, so that what was handed out and changed, but not committed, is gone by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from parcours.core.codec import UNENCODABLE, decode_contact, encode
from parcours.core.contact import Contact
from parcours.core.effects import Trace
from parcours.core.inputs import Publish
from parcours.errors import UnstorableError
from parcours.ports import Changes, Identity, Pending, Record, Settlement, Statistic


class MemoryStore:
    """A store that lives as long as the process. See `ports.Store`."""

    def __init__(self) -> None:
        self._log: list[Record] = []
        self._keys: set[bytes] = set()
        self._identities: dict[Identity, str] = {}
        self._contacts: dict[str, bytes] = {}
        self._due: dict[str, int] = {}
        self._traces: dict[str, list[tuple[int, list[Trace]]]] = {}
        self._outbox: list[Pending] = []
        self._settled: dict[int, Settlement] = {}
        self._statistics: Counter[Statistic] = Counter()
        self._marks: dict[str, str] = {}
        self._received_at = 0
        self._written: tuple[Changes, dict[str, bytes]] = (Changes(), {})

    def last_position(self) -> int:
        return len(self._log)

    def last_received_at(self) -> int:
        return self._received_at

    def seen(self, keys: Collection[bytes]) -> set[bytes]:
        return self._keys.intersection(keys)

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
            self._written = changes, {contact.id: encode(contact) for contact in changes.contacts.values()}
        except UNENCODABLE as error:
            raise UnstorableError(f"a value cannot be kept: {error}") from error

    def finish(self) -> None:
        changes, encoded = self._written
        for record in changes.records:
            self._log.append(record)
            self._keys.add(record.key)
            self._received_at = record.input().received_at
        self._identities.update(changes.identities)
        self._contacts.update(encoded)
        for contact in changes.contacts.values():
            if contact.next_due is None:
                self._due.pop(contact.id, None)
            else:
                self._due[contact.id] = contact.next_due
        for contact_id, position, entries in changes.traces:
            self._traces.setdefault(contact_id, []).append((position, entries))
        for message in changes.messages:
            self._outbox.append(Pending(len(self._outbox) + 1, message))
        for settlement in changes.settlements:
            self._settled[settlement.sequence] = settlement
        for statistic, count in changes.statistics.items():
            self._statistics[statistic] += count
        self._marks.update(changes.marks)

    def forget(self) -> None:
        pass

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

    def history(self, contact: str, limit: int = 1_000) -> list[Record]:
        return [record for record in reversed(self._log) if record.contact == contact][:limit]

    def trace(self, contact: str, limit: int = 1_000) -> list[tuple[int, list[Trace]]]:
        return self._traces.get(contact, [])[::-1][:limit]

    def publications(self) -> list[Publish]:
        found = (record.input() for record in self._log if not record.contact)
        return [item for item in found if isinstance(item, Publish)]

    def scan(self, after: str = "", limit: int = 1_000) -> list[Contact]:
        behind = sorted(contact for contact in self._contacts if contact > after)[:limit]
        return [decode_contact(self._contacts[contact]) for contact in behind]

    def due_times(self) -> Iterator[tuple[int, str]]:
        return iter([(due, contact) for contact, due in self._due.items()])

    def pending(self, channel: str, after: int = 0, limit: int = 1_000) -> list[Pending]:
        found = []
        for item in self._outbox[after:]:
            settled = self._settled.get(item.sequence)
            if item.message.channel != channel or (settled is not None and settled.state != "pending"):
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
            settled = self._settled.get(item.sequence)
            counts[item.message.channel, item.message.message, settled.state if settled else "pending"] += 1
        return counts

    def statistics(self) -> Mapping[Statistic, int]:
        return dict(self._statistics)

    def marks(self) -> Mapping[str, str]:
        return dict(self._marks)

    def counts(self) -> Mapping[str, int]:
        return {"records": len(self._log), "contacts": len(self._contacts)}

    def close(self) -> None:
        pass
