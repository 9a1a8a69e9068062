"""What a store holds, as one value that can be compared; and what a log comes to when it is folded anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from parcours.core.codec import decode_message, encode
from parcours.core.contact import Contact, Delayed
from parcours.core.effects import TEST, Effects, Entry, Message, Trace
from parcours.core.fold import due_before, fold, wake
from parcours.core.inputs import CANCELLED, Absorb, Erase, Publish, Reaction, Stock
from parcours.core.loyalty import budget
from parcours.core.membership import bring_up
from parcours.core.plan import Plan
from parcours.definitions.load import with_known_good
from parcours.definitions.message import LINES
from parcours.ports import Changes, Identity, LedgerDay, Record, Settlement, Statistic, Store, Total
from parcours.stores.memory import MemoryStore

EVERYTHING = 10**9
"""A limit that is none."""


class Snapshot(msgspec.Struct):
    """Everything a store holds, except what depends on how the work was cut into batches.

    Traces are kept flat, each entry with the position of its input, for a timer that fires with others is written in
    one row with them. The order of messages is kept within a contact only, for contacts are independent of each other.
    """

    records: list[Record]
    contacts: dict[str, Contact]
    identities: dict[Identity, str]
    """Those the contacts say are theirs, and whose the store says they are."""
    traces: dict[str, list[tuple[int, Trace]]]
    """Oldest first."""
    messages: dict[str, list[Message]]
    """Those that were decided and not cancelled since, sent or not, by contact, in order."""
    states: dict[str, str]
    """What became of each so far, by its id."""
    outbox: dict[tuple[str, str, str], int]
    statistics: dict[Statistic, int]
    due: dict[str, int]
    counts: dict[str, int]
    ledger: dict[str, list[Entry]]
    """By contact, oldest first."""
    days: dict[LedgerDay, Total]
    budgets: dict[str, str]
    """What was counted of budgets, by the names of the marks."""


def snapshot(store: Store) -> Snapshot:
    """Return what a store holds. It is only read."""
    contacts = {contact.id: contact for contact in store.scan(limit=EVERYTHING)}
    claimed = [identity for contact in contacts.values() for identity in contact.identities]
    messages: dict[str, list[Message]] = {}
    posted = [item for item in store.outbox(0, EVERYTHING) if item.state != "cancelled"]
    for item in posted:
        messages.setdefault(item.message.contact, []).append(item.message)
    return Snapshot(
        records=store.log(limit=EVERYTHING),
        contacts=contacts,
        identities=store.resolve(claimed),
        traces={id_: flat for id_ in contacts if (flat := flat_trace(store, id_))},
        messages=messages,
        states={item.message.id: item.state for item in posted},
        outbox=dict(store.outbox_counts()),
        statistics=dict(store.statistics()),
        due={contact: due for due, contact in store.due_times()},
        counts=dict(store.counts()),
        ledger={id_: found for id_ in contacts if (found := flat_ledger(store, id_))},
        days=dict(store.ledger_days()),
        budgets={name: text for name, text in store.marks().items() if name.startswith(budget.name_of(""))},
    )


def flat_trace(store: Store, contact: str) -> list[tuple[int, Trace]]:
    """Return a contact's trace, oldest first, each entry with the position of its input (0 for a timer)."""
    rows = reversed(store.trace(contact, EVERYTHING))
    return [(position, entry) for position, entries in rows for entry in entries]


def flat_ledger(store: Store, contact: str) -> list[Entry]:
    """Return a contact's entries of the ledger, oldest first."""
    return [posting.entry for posting in reversed(store.ledger(contact, EVERYTHING))]


def by_contact(found: Snapshot) -> Snapshot:
    """Return a snapshot in which places in the log are places among the records of their contact.

    What timers let follow is written down when they fire, and so at another place of the log when they fire late. The
    order of what concerns one contact is the same nevertheless, and so is everything that refers to it.
    """
    places: dict[int, str] = {0: ""}
    seen: dict[str, int] = {}
    for record in found.records:
        seen[record.contact] = seen.get(record.contact, 0) + 1
        places[record.position] = f"{record.contact}#{seen[record.contact]}"
    records = []
    for record in found.records:
        item = _placed(record.input(), places)
        records.append(Record(item.position, record.contact, record.key, encode(item)))
    return msgspec.structs.replace(
        found,
        # Only the order within a contact says something.
        records=sorted(records, key=lambda record: record.contact),
        contacts={id_: _placed(contact, places) for id_, contact in found.contacts.items()},
        traces={
            id_: [(places[position], entry) for position, entry in entries] for id_, entries in found.traces.items()
        },
        messages={id_: [_placed(message, places) for message in sent] for id_, sent in found.messages.items()},
        ledger={id_: [_placed(entry, places) for entry in entries] for id_, entries in found.ledger.items()},
    )


def _placed(value: Any, places: Mapping[int, str]) -> Any:
    """Return a copy of a value in which places in the log are replaced."""
    match value:
        case msgspec.Struct():
            fields = {name: _placed(getattr(value, name), places) for name in value.__struct_fields__}
            for name in ("position", "trigger"):
                if isinstance(number := fields.get(name), int):
                    fields[name] = places[number]
            if isinstance(value, Delayed):
                fields["body"] = encode(_placed(decode_message(value.body), places))
            if isinstance(value, Contact):
                fields["figures"] = {
                    id_: [(at, places[place], known) for at, place, known in entries]
                    for id_, entries in value.figures.items()
                }
            return type(value)(**fields)
        case dict():
            return {name: _placed(one, places) for name, one in value.items()}
        case list():
            return [_placed(one, places) for one in value]
        case _:
            return value


def replay(records: Iterable[Record], until: int) -> MemoryStore:
    """Fold a log anew, input by input, and return a memory store that holds what it came to.

    This is the shortest statement of what an engine does, with nothing of how: no batches, no clock, no reading ahead.
    Whatever an engine has left in its store must be what this leaves, except for marks and for what became of messages.

    Args:
        records: The log, from its beginning.
        until: Timers due at or before this instant fire at the end.
    """
    world = _Replay()
    log = list(records)
    # Of an erased contact nothing is brought back: what stands before its erasure is empty.
    gone = {record.contact for record in log if type(record.input()) is Erase}
    for record in log:
        item = record.input()
        if record.contact in gone and type(item) is not Erase:
            world.store.commit(Changes(records=[record]))
            continue
        if isinstance(item, Stock):
            items = {(item.catalogue, id_): attributes for id_, attributes in item.items.items()}
            world.store.commit(Changes(records=[record], items=items))
        elif isinstance(item, Publish):
            world.wake_all(item.received_at)
            world.publish(item)
            world.store.commit(Changes(records=[record]))
            world.bring_up_all()
        else:
            contact = world.contact(record.contact)
            world.ready(contact)
            while due_before(contact, item):
                world.fire(contact, item.received_at)
            changes = Changes(
                records=[record],
                settlements=world.cancelled(item),
                identities=dict.fromkeys(_new_identities(item), contact.id),
            )
            world.keep(contact, record.position, fold(world.plan, contact, item), changes)
    world.wake_all(until)
    return world.store


def _new_identities(item: Any) -> list[Identity]:
    if isinstance(item, Absorb):
        return item.other.identities
    found: list[Identity] = getattr(item, "identities", [])
    return found


class _Replay:
    def __init__(self) -> None:
        self.store = MemoryStore()
        self.plan = Plan.empty()
        self._everybody = False

    def publish(self, item: Publish) -> None:
        workspace = with_known_good(self.plan.workspace, item.definitions)
        before = self.plan.revision
        self.plan = self.plan.publish(workspace.all(), at=item.received_at, position=item.position, moves=item.moves)
        self._everybody = self.plan.revision != before

    def bring_up_all(self) -> None:
        """Bring up every contact, if the plan remembers or watches something new."""
        if self._everybody:
            for contact in self.store.scan(limit=EVERYTHING):
                self.ready(contact)

    def ready(self, contact: Contact) -> None:
        """Bring a contact up to the plan, if it is not and is not new."""
        known = contact.revision == self.plan.revision
        if known or not contact.time or contact.merged_into or contact.erased_at:
            return
        parts, waiting = [contact.id], list(contact.merged)
        while waiting:
            id_ = waiting.pop()
            parts.append(id_)
            waiting += self.contact(id_).merged
        past = [
            record.input()
            for record in self.store.log(limit=EVERYTHING)
            if record.contact in parts and record.position <= self.plan.revised_position
        ]
        effects = Effects()
        posted = sorted((item.sequence, item.message) for id_ in parts for item in self.store.posted(id_, EVERYTHING))
        sent = [message for _, message in posted]
        bring_up(self.plan, contact, past, sent, effects)  # type: ignore[arg-type]  # they concern a contact
        self.keep(contact, 0, effects, Changes())

    def cancelled(self, item: Any) -> list[Settlement]:
        """Return what tells the outbox that a message is not to be sent, if an input tells that."""
        if not isinstance(item, Reaction) or item.reaction != CANCELLED:
            return []
        found = [one for channel in LINES for one in self.store.pending(channel, 0, EVERYTHING)]
        return [Settlement(one.sequence, "cancelled", 0) for one in found if one.message.id == item.message]

    def contact(self, id_: str) -> Contact:
        return self.store.contacts([id_]).get(id_) or Contact(id_)

    def fire(self, contact: Contact, until: int) -> None:
        self.ready(contact)
        effects = Effects()
        wake(self.plan, contact, until, effects)
        self.keep(contact, 0, effects, Changes())

    def wake_all(self, until: int) -> None:
        for contact in self.store.scan(limit=EVERYTHING):
            while contact.next_due is not None and contact.next_due <= until:
                self.fire(contact, until)

    def keep(self, contact: Contact, position: int, effects: Effects, changes: Changes) -> None:
        changes.contacts[contact.id] = contact
        changes.messages = effects.messages
        changes.ledger = effects.ledger
        marks = self.store.marks()
        changes.marks.update(budget.count(effects.draws, lambda name: marks.get(name, "")))
        if effects.trace:
            changes.traces = [(contact.id, position, effects.trace)]
        for entry in effects.trace:
            if entry.run.startswith(TEST):
                continue
            place = (entry.journey, entry.version, entry.step, entry.what, entry.reason)
            changes.statistics[place] = changes.statistics.get(place, 0) + 1
        self.store.commit(changes)
