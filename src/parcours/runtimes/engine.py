"""The engine: prefetch, fold, commit, one micro-batch at a time. The same for every host that calls it.

| step     | what                                                                                     |
|----------|------------------------------------------------------------------------------------------|
| prefetch | drop repeats, find or make the contacts, load their states: a few reads for a whole batch |
| fold     | admit each arrival and fold it; pure                                                     |
| commit   | log, states, outbox, trace, statistics together; only then is anything acknowledged      |

Time: every input is stamped with the engine's clock when its batch is put together, and timers fire up to that same
clock, so no timer fires ahead of an input that was received before it.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
import structlog

from parcours.core import ids
from parcours.core.codec import UNENCODABLE, decode_contact, encode
from parcours.core.contact import Contact
from parcours.core.effects import Effects
from parcours.core.fold import fold, wake
from parcours.core.gate import DAY, Arrival, Learned, Reacted, admit
from parcours.core.inputs import Absorb, Dissolve, Enter, Input, Publish, WorkspaceInput
from parcours.core.plan import CompiledJourney, Plan
from parcours.definitions.load import load_data
from parcours.definitions.workspace import AnyDefinition, key_of
from parcours.errors import InvalidDefinitionError, Problem, UnstorableError
from parcours.ports import Changes, Clock, Identity, Record, Settlement, Store

LARGEST_TICK = 1_000
"""Contacts whose timers fire in one transaction."""

SLICE = 1_000
"""Contacts of a segment that are read in one transaction."""

_log = structlog.get_logger(__name__)


class Accepted(msgspec.Struct, frozen=True):
    """The arrival is in the log at this position, durably."""

    position: int
    contact: str


class Duplicate(msgspec.Struct, frozen=True):
    """The same `(source, message id)` was accepted before; nothing changed."""


class Refused(msgspec.Struct, frozen=True):
    """The arrival is not in the log."""

    problem: Problem


Outcome = Accepted | Duplicate | Refused


class _Batch:
    """What one micro-batch has come to so far."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.contacts: dict[str, Contact] = {}
        self.changes = Changes()
        self.due: list[tuple[int, str]] = []

    @classmethod
    def of_marks(cls, position: int, marks: dict[str, str]) -> _Batch:
        """Return a batch that keeps nothing but marks."""
        batch = cls(position)
        batch.changes.marks = marks
        return batch

    def keep(self, contact: Contact, position: int, effects: Effects, due_before: int | None) -> None:
        """Take over what a fold left."""
        changes = self.changes
        changes.contacts[contact.id] = contact
        if effects.messages:
            changes.messages += effects.messages
        if effects.trace:
            changes.traces.append((contact.id, position, effects.trace))
            statistics = changes.statistics
            for entry in effects.trace:
                place = (entry.journey, entry.version, entry.step, entry.what, entry.reason)
                statistics[place] = statistics.get(place, 0) + 1
        timers = contact.timers
        if timers and timers[0].due != due_before:
            self.due.append((timers[0].due, contact.id))


class Engine:
    """Folds arrivals, timers and publications into a store. Used from one thread."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self.plan = Plan.empty()
        for publication in store.publications():
            self.plan = self.plan.publish(self._definitions(publication))
        self._begun: _Batch | None = None
        self._due: list[tuple[int, str]] = []
        self._reminders: dict[str, int] = {}
        """Contact to when it is looked at for timers: at or before the first of them, so each is in the heap once."""
        self.catch_up()
        for due, contact in store.due_times():
            self._remind(due, contact)
        self._reads = [
            journey for journey in self.plan.read_on_activation() if store.marks().get(_mark(journey), "") != _DONE
        ]
        clock.observe(store.last_received_at())

    def catch_up(self) -> None:
        """Fold once more what the store's states lack. What followed from it was kept the first time."""
        if not self.store.stale:
            return
        contacts: dict[str, Contact] = {}
        try:
            for record in self.store.unfolded():
                contact = contacts.get(record.contact)
                if contact is None:
                    known = self.store.contacts([record.contact])
                    contact = contacts[record.contact] = known.get(record.contact) or Contact(record.contact)
                item = record.input()
                assert not isinstance(item, WorkspaceInput)  # noqa: S101 (that concerns no contact)
                fold(self.plan, contact, item)
            self.store.restore(contacts)
        except BaseException:
            # What was folded half-way must not be folded again on top of itself.
            self.store.forget()
            raise
        for contact in contacts.values():
            if contact.next_due is not None:
                self._remind(contact.next_due, contact.id)

    def _remind(self, due: int, contact: str) -> None:
        """Have a contact looked at when its first timer comes due, unless it is looked at before anyway."""
        if due < self._reminders.get(contact, _NEVER):
            self._reminders[contact] = due
            heapq.heappush(self._due, (due, contact))

    # --- arrivals -----------------------------------------------------------------------------------------------------

    def accept(self, arrivals: Sequence[Arrival], settlements: Iterable[Settlement] = ()) -> list[Outcome]:
        """Fold a micro-batch and commit it: `begin` and `finish`. When this returns, what was accepted is durable.

        Raises:
            StoreError: Nothing of the batch was kept.
        """
        outcomes = self.begin(arrivals, settlements)
        self.finish()
        return outcomes

    def begin(self, arrivals: Sequence[Arrival], settlements: Iterable[Settlement] = ()) -> list[Outcome]:
        """Fold a micro-batch and write it. It is durable, and may be acknowledged, only after `finish`.

        An arrival that cannot be folded (a defect of ours) is refused by itself; its neighbours are not.

        Raises:
            StoreError: Nothing of the batch was kept, and there is nothing to finish.
        """
        settled = list(settlements)
        self.catch_up()
        try:
            return self._begin(arrivals, settled)
        except _DEFECTS as error:
            self.store.forget()
            if len(arrivals) != 1:
                if settled:
                    self.store.commit(Changes(settlements=settled))
                return [outcome for arrival in arrivals for outcome in self.accept([arrival])]
            if settled:
                self.store.commit(Changes(settlements=settled))
            _log.exception("input_failed", message_id=arrivals[0].message_id)
            problem = Problem(code="internal_error", message=f"could not be processed: {type(error).__name__}")
            return [Refused(problem)]

    def finish(self) -> None:
        """Make what was begun durable. May run in another thread while nothing else is asked of the engine.

        Raises:
            StoreError: Nothing of the batch was kept.
        """
        batch, self._begun = self._begun, None
        if batch is None:
            return
        self.store.finish()
        for due, contact in batch.due:
            self._remind(due, contact)

    def _begin(self, arrivals: Sequence[Arrival], settlements: list[Settlement]) -> list[Outcome]:
        clock, plan = self.clock, self.plan
        keys = [ids.message_key(arrival.source, arrival.message_id) for arrival in arrivals]
        repeated = self.store.seen(keys)
        batch = _Batch(self.store.last_position())
        people = _People(self.store, arrivals)
        batch.changes.settlements = settlements
        outcomes: list[Outcome] = []
        now = clock.now()
        horizon = clock.horizon()
        for arrival, key in zip(arrivals, keys, strict=True):
            if key in repeated:
                outcomes.append(Duplicate())
                continue
            owner = people.owner(arrival)
            if owner is None:
                outcomes.append(Refused(_UNKNOWN_MESSAGE if isinstance(arrival.what, Reacted) else _NO_IDENTITY))
                continue
            if clock.follows_inputs and arrival.occurred_at is not None:
                if arrival.occurred_at <= horizon + DAY:
                    clock.observe(arrival.occurred_at)
                now = clock.now()
            new = people.unknown(arrival)
            others = people.others(arrival, owner) if len(arrival.identities) > 1 else []
            position = batch.position + 1 + 2 * len(others)
            item = admit(plan, arrival, new, received_at=now, horizon=horizon, position=position)
            if isinstance(item, Problem):
                outcomes.append(Refused(item))
                continue
            try:
                body = encode(item)
            except UNENCODABLE as error:
                outcomes.append(Refused(Problem(code="unstorable_value", message=f"a value cannot be kept: {error}")))
                continue
            if others:
                self._merge(batch, people, str(owner), others, now)
            contact = people.take(owner, new, batch.changes.identities)
            batch.position += 1
            repeated.add(key)
            batch.changes.records.append(Record(batch.position, contact.id, key, body))
            self._fold(batch, contact, item)
            outcomes.append(Accepted(batch.position, contact.id))
        self._write(batch)
        return outcomes

    def _merge(self, batch: _Batch, people: _People, into: str, others: list[str], now: int) -> None:
        """Let contacts that were found to be another become part of it: two records each, one in either history."""
        contact = people.contact(into)
        for id_ in others:
            other = people.contact(id_)
            self._fire(batch, other, now)
            state = decode_contact(encode(other))
            dissolve = Dissolve(position=batch.position + 1, received_at=now, occurred_at=now, into=into)
            absorb = Absorb(position=batch.position + 2, received_at=now, occurred_at=now, other=state)
            for item, of in ((dissolve, other), (absorb, contact)):
                batch.position = item.position
                item.message_id = f"merge:{item.position}"
                key = ids.message_key("", item.message_id)
                batch.changes.records.append(Record(item.position, of.id, key, encode(item)))
                self._fold(batch, of, item)
            for identity in state.identities:
                batch.changes.identities[identity] = into
            people.moved(state.identities, into)

    def _fire(self, batch: _Batch, contact: Contact, now: int) -> None:
        """Fire what is due, apart from any input, so that the trace does not lay at its door what a timer did."""
        timers = contact.timers
        if timers and timers[0].due <= now:
            effects = Effects()
            wake(self.plan, contact, now, effects)
            batch.keep(contact, -batch.position, effects, None)

    def _fold(self, batch: _Batch, contact: Contact, item: Input) -> None:
        timers = contact.timers
        if timers and timers[0].due <= item.received_at:
            self._fire(batch, contact, item.received_at)
            timers = contact.timers
        before = timers[0].due if timers else None
        batch.keep(contact, item.position, fold(self.plan, contact, item), before)

    def _write(self, batch: _Batch) -> None:
        changes = batch.changes
        if changes.records or changes.contacts or changes.settlements or changes.marks:
            self.store.write(changes)
            self._begun = batch

    def _commit(self, batch: _Batch) -> None:
        self._write(batch)
        self.finish()

    # --- time ---------------------------------------------------------------------------------------------------------

    def next_due(self) -> int | None:
        """Return an instant at or before which no timer is due; None when there are no timers."""
        return self._due[0][0] if self._due else None

    def tick(self, now: int | None = None) -> int:
        """Fire timers due by `now` (else the clock's time), of up to `LARGEST_TICK` contacts; return of how many.

        Raises:
            StoreError: Nothing more was kept; the timers stay due.
        """
        now = self.clock.now() if now is None else now
        due: dict[str, None] = {}  # as a set that keeps its order: what was due first is decided first
        while self._due and self._due[0][0] <= now and len(due) < LARGEST_TICK:
            at, contact = heapq.heappop(self._due)
            if self._reminders.get(contact) == at:
                del self._reminders[contact]
                due[contact] = None
        if not due:
            return 0
        try:
            try:
                self._wake(due, now)
            except _DEFECTS:
                self.store.forget()
                self._wake_each(due, now)
        except BaseException:
            self.store.forget()
            for contact in due:
                self._remind(now, contact)
            raise
        return len(due)

    def _wake(self, contacts: Collection[str], now: int) -> None:
        self.catch_up()
        batch = _Batch(self.store.last_position())
        for contact in self.store.contacts(contacts).values():
            if contact.next_due is None or contact.next_due > now:
                if contact.next_due is not None:
                    self._remind(contact.next_due, contact.id)
                continue
            effects = Effects()
            wake(self.plan, contact, now, effects)
            batch.keep(contact, -batch.position, effects, None)
        self._commit(batch)

    def _wake_each(self, contacts: Collection[str], now: int) -> None:
        """Fire the timers of one contact after the other, for there is one among them that cannot be folded.

        Its timers are left alone until the next start, so that they hold up nobody else's.
        """
        for contact in contacts:
            try:
                self._wake([contact], now)
            except _DEFECTS:
                self.store.forget()
                _log.exception("timer_failed", contact=contact)

    # --- definitions --------------------------------------------------------------------------------------------------

    def publish(self, definitions: Sequence[dict[str, Any]]) -> tuple[list[Problem], list[Problem]]:
        """Publish definitions (plain data): check them, put them in the log and go on with the plan they make.

        Returns the errors and the warnings; with an error nothing was published. Everything due by now fires under the
        plan before.

        Raises:
            StoreError: Nothing was published.
        """
        workspace, errors, warnings = load_data(list(definitions), self.plan.workspace)
        if errors:
            return errors, warnings
        now = self.clock.now()  # once, so that what is due by the publication's own time is what fires before it
        while self.tick(now):
            pass
        self.catch_up()
        # States are whole before the plan changes, so what they lack was always folded with the plan in force.
        self.store.flush()
        position = self.store.last_position() + 1
        item = Publish(position=position, received_at=now, occurred_at=now, definitions=list(definitions))
        changed = _changed(workspace.all(), self.plan.workspace.all())
        if not changed:
            return [], warnings
        plan = self.plan.publish(changed)
        changes = Changes(records=[Record(position, "", ids.message_key("", f"publish:{position}"), encode(item))])
        reads = [journey for journey in plan.read_on_activation() if _mark(journey) not in self.store.marks()]
        for journey in reads:
            changes.marks[_mark(journey)] = ""
        self.store.commit(changes)
        self.plan = plan
        self._reads = [
            journey for journey in plan.read_on_activation() if self.store.marks().get(_mark(journey), "") != _DONE
        ]
        return [], warnings

    def _definitions(self, publication: Publish) -> list[AnyDefinition]:
        workspace, errors, _ = load_data(list(publication.definitions), self.plan.workspace)
        if errors:
            raise InvalidDefinitionError(errors)
        return workspace.all()

    # --- segments -----------------------------------------------------------------------------------------------------

    @property
    def reading(self) -> bool:
        """Whether a segment is still being read into a journey."""
        return bool(self._reads)

    def read(self) -> bool:
        """Read the next slice of a segment into the journey that asks for it; return whether there is more to read.

        How far it got is committed with the entries, so a reading that was cut off goes on where it was.

        Raises:
            StoreError: Nothing of the slice was kept.
        """
        if not self._reads:
            return False
        self.catch_up()
        journey = self._reads[0]
        after = self.store.marks().get(_mark(journey), "")
        found = self.store.scan(after, SLICE)
        batch = _Batch(self.store.last_position())
        batch.changes.marks[_mark(journey)] = found[-1].id if len(found) == SLICE else _DONE
        now = self.clock.now()
        question = journey.segment
        members = [
            contact.id
            for contact in found
            if not contact.merged_into and question is not None and question.ask(contact, {}, now)
        ]
        try:
            try:
                self._enter(batch, journey, members, now)
            except _DEFECTS:
                self.store.forget()
                self._enter_each(journey, members, now)
                self._commit(_Batch.of_marks(self.store.last_position(), batch.changes.marks))
            else:
                self._commit(batch)
        except BaseException:
            self.store.forget()
            raise
        if batch.changes.marks[_mark(journey)] == _DONE:
            self._reads.pop(0)
        return bool(self._reads)

    def _enter(self, batch: _Batch, journey: CompiledJourney, members: Sequence[str], now: int) -> None:
        """Fold what lets members of a segment into a journey, but for those who were let in before."""
        self.catch_up()
        keys = {id_: ids.message_key("", f"read:{journey.name}:{id_}") for id_ in members}
        before = self.store.seen(keys.values())
        for contact in self.store.contacts(members).values():
            if keys[contact.id] in before:
                continue
            batch.position += 1
            item = Enter(
                position=batch.position,
                received_at=now,
                occurred_at=now,
                journey=journey.name,
                version=journey.version,
                message_id=f"read:{journey.name}:{contact.id}",
            )
            batch.changes.records.append(Record(batch.position, contact.id, keys[contact.id], encode(item)))
            self._fold(batch, contact, item)

    def _enter_each(self, journey: CompiledJourney, members: Sequence[str], now: int) -> None:
        """Let one member after the other in, for there is one among them that cannot be folded and is left out."""
        for id_ in members:
            batch = _Batch(self.store.last_position())
            try:
                self._enter(batch, journey, [id_], now)
            except _DEFECTS:
                self.store.forget()
                _log.exception("entry_failed", journey=journey.name, contact=id_)
            else:
                self._commit(batch)


class _People:
    """Whose arrivals these are: identities resolved and contacts loaded for a whole batch."""

    def __init__(self, store: Store, arrivals: Sequence[Arrival]) -> None:
        asked: set[Identity] = set()
        told: set[str] = set()
        for arrival in arrivals:
            if type(arrival.what) is Reacted:
                contact = ids.contact_of_message(arrival.what.message)
                if contact is not None:
                    told.add(contact)
            else:
                asked.update(arrival.identities)
        self._store = store
        self._owners = store.resolve(asked)
        self._contacts = store.contacts(told.union(self._owners.values()))

    def owner(self, arrival: Arrival) -> str | Identity | None:
        """Return the contact's id, or the identity under which it is to be made, or None when nothing tells."""
        if type(arrival.what) is Reacted:
            return self._addressed(arrival.what)
        for identity in arrival.identities:
            known = self._owners.get(identity)
            if known is not None:
                return known
        return arrival.identities[0] if arrival.identities else None

    def _addressed(self, reaction: Reacted) -> str | None:
        """Return the contact a message went to, or the one that contact has become part of."""
        id_ = ids.contact_of_message(reaction.message)
        while id_ is not None:
            contact = self._contacts.get(id_) or self._store.contacts([id_]).get(id_)
            if contact is None:
                return None
            self._contacts[id_] = contact
            if not contact.merged_into:
                return id_
            id_ = contact.merged_into
        return None

    def others(self, arrival: Arrival, owner: str | Identity) -> list[str]:
        """Return the contacts that the arrival tells to be its own: those that are nobody known yet.

        Only what is learned of somebody tells that. A contact with a user id of its own stays who it is: two people may
        share a device.
        """
        if not isinstance(owner, str) or type(arrival.what) is not Learned:
            return []
        named = dict.fromkeys(self._owners[identity] for identity in arrival.identities if identity in self._owners)
        return [
            id_
            for id_ in named
            if id_ != owner
            and (arrival.what.same or not any(space == _KNOWN for space, _ in self._contacts[id_].identities))
        ]

    def contact(self, id_: str) -> Contact:
        """Return a contact that was asked for with the batch."""
        return self._contacts[id_]

    def moved(self, identities: Iterable[Identity], into: str) -> None:
        """Note that identities belong to another contact from now on."""
        self._owners.update(dict.fromkeys(identities, into))

    def unknown(self, arrival: Arrival) -> list[Identity]:
        """Return the identities of an arrival that are nobody's yet; a reaction tells of nobody's."""
        owners = self._owners
        if type(arrival.what) is Reacted:
            return []
        if len(arrival.identities) == 1:
            return [] if arrival.identities[0] in owners else [arrival.identities[0]]
        return [identity for identity in dict.fromkeys(arrival.identities) if identity not in owners]

    def take(self, owner: str | Identity, new: list[Identity], identities: dict[Identity, str]) -> Contact:
        """Return the contact, made if it is new, and note that new identities are its own (the fold tells it)."""
        contact = self._make(owner) if isinstance(owner, tuple) else self._contacts[owner]
        for identity in new:
            self._owners[identity] = identities[identity] = contact.id
        return contact

    def _make(self, identity: Identity) -> Contact:
        attempt = 0
        while True:
            id_ = ids.contact_id(*identity, attempt)
            if id_ not in self._contacts and not self._store.contacts([id_]):
                break
            attempt += 1
        contact = self._contacts[id_] = Contact(id_)
        return contact


def _changed(new: list[AnyDefinition], old: list[AnyDefinition]) -> list[AnyDefinition]:
    before = {key_of(definition): definition for definition in old}
    return [definition for definition in new if before.get(key_of(definition)) != definition]


def _mark(journey: CompiledJourney) -> str:
    return f"read:{journey.name}"


_DEFECTS = (
    ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, UnstorableError, ValueError
)  # fmt: skip
"""What a mistake of ours in the fold looks like: it concerns one contact, not the store."""

_DONE = "done"
_NEVER = 2**63
_KNOWN = "user_id"
"""The namespace of people who are known; anybody else is anonymous until they are found to be one of these."""

_UNKNOWN_MESSAGE = Problem(
    code="unknown_message",
    message="the reaction names no message of ours",
    pointer="/properties/message_id",
    hint="pass on the id that was sent with the message",
)
_NO_IDENTITY = Problem(code="no_identity", message="nothing says whose this is", hint="send a userId or an anonymousId")
