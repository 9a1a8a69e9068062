"""What the engine does with one input: its place in the log, the fold, and what follows from it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import groupby
from typing import ClassVar

from parcours.core import ids
from parcours.core.chains import is_ahead, work_out
from parcours.core.codec import encode
from parcours.core.contact import Contact
from parcours.core.effects import Effects, Message
from parcours.core.fold import fold, wake
from parcours.core.inputs import (
    Grant,
    Input,
    Interaction,
    Publish,
    Reaction,
    Receive,
    Transfer,
    Update,
    WorkspaceInput,
)
from parcours.core.learned import CONTACTS, Learner
from parcours.core.loyalty.coupons import why_not
from parcours.core.loyalty.earn import TO_REVIEW
from parcours.core.loyalty.transfer import why_not_receive
from parcours.core.membership import bring_up
from parcours.core.merge import parts_of
from parcours.core.plan import Plan
from parcours.core.prepared import Kind, Prepared
from parcours.definitions.load import with_known_good
from parcours.definitions.workspace import AnyDefinition
from parcours.errors import UnstorableError
from parcours.ports import Clock, Identity, Record, Store, Tombstone
from parcours.runtimes import places
from parcours.runtimes.engine import budgets, rewards
from parcours.runtimes.engine.batch import Batch, Begun
from parcours.runtimes.engine.reminders import Reminders

DEFECTS = (
    ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, UnstorableError, ValueError
)  # fmt: skip
"""What a mistake of ours in the fold looks like: it concerns one contact, not the store."""

EVERYTHING = 10**9
"""More records than any history has."""

_LEARNED = "learned"


class Folding:
    """The state of an engine, and how an input is written into the log and folded into a contact."""

    LEARNED_BEHIND: ClassVar[int] = 20_000
    """Inputs after which what was learned of attributes is stored at the latest: what a start has to learn from again."""

    SLICE: ClassVar[int] = 1_000
    """Contacts or records of the log that are gone through at once."""

    PART: ClassVar[int] = 50
    """Of so many contacts that pass by, all is written before the next are read: a processor's cache holds no more."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self.plan = Plan.empty()
        for publication in store.publications():
            self.plan = self.plan.publish(
                self._definitions(publication),
                at=publication.received_at,
                position=publication.position,
                moves=publication.moves,
            )
        self.learner = Learner()
        self.reviews: set[str] | None = None
        """Contacts that may have awards in review, once somebody asks for them: kept up with from then on."""
        self.reviews_whole = False
        """Whether everybody was looked at since then."""
        self.cut = 0
        """How often a chain without end was cut off, since the process started."""
        self._begun: list[Begun] = []
        """What was written and is not durable."""
        self._undo: Callable[[], None] | None = None
        """What is to be done if the batch that was begun cannot be finished."""
        self._whole = 0
        """The position up to which the stored knowledge is whole."""
        self._taken: set[str] = set()
        """Names of which something changed that is not stored yet."""
        self._reminders = Reminders(store.due_times())
        self.catch_up()
        self._tombstones = dict(store.tombstones())
        self._learn_again()
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
                self._ready(contact)
                fold(self.plan, contact, item)
            self.store.restore(contacts)
        except BaseException:
            # What was folded half-way must not be folded again on top of itself.
            self._forget()
            raise
        for contact in contacts.values():
            if contact.next_due is not None:
                self._reminders.add(contact.next_due, contact.id)

    def _learn_again(self) -> None:
        """Take up what was learned, and learn from what came after it was stored."""
        for name, data in self.store.knowledge().items():
            self.learner.restore(name, data)
        at = self._whole = int(self.store.mark(_LEARNED) or "0")
        while records := self.store.log(at, self.SLICE):
            for record in records:
                if record.contact:
                    self.learner.observe(record.input())  # type: ignore[arg-type]  # it concerns a contact
            at = records[-1].position

    def _keep_knowledge(self, batch: Batch) -> None:
        """Let a batch store what was learned up to the batch before."""
        self._taken |= self.learner.take_changed()
        batch.changes.knowledge = {name: self.learner.encode(name) for name in self._taken}
        batch.whole = self.store.last_position()
        batch.changes.marks[_LEARNED] = str(batch.whole)

    def _relearn(self) -> None:
        """Learn anew from what is kept, for what was taken back is not erased after all."""
        self.learner, self._taken = Learner(), set()
        self._learn_again()

    def learned_attributes(self, name: str) -> list[str]:
        """Return the attributes that were learned of an interaction's folded name, or of contacts (an empty name)."""
        known = self.learner.knowledge(name or CONTACTS)
        return list(known.attributes) if known is not None else []

    def flush(self) -> None:
        """Write what the store and the learner are behind: nothing is lost without, but the next start takes longer.

        Raises:
            StoreError: It is not written.
        """
        self.catch_up()
        if self.store.last_position() > self._whole:
            batch = Batch(self.store.last_position())
            self._keep_knowledge(batch)
            self._commit(batch)
        self.store.flush()

    def finish(self) -> None:
        """Make what was begun durable. May run in another thread while nothing else is asked of the engine.

        Raises:
            StoreError: Nothing of the batch was kept.
        """
        if not self._begun:
            return
        try:
            self.store.finish()
        except BaseException:
            self._forget()
            raise
        begun, self._begun, self._undo = self._begun, [], None
        # All of them before anything is learned: whatever comes of that, no timer is forgotten.
        for batch in begun:
            for due, contact in batch.due:
                self._reminders.add(due, contact)
        for batch in begun:
            self._finish(batch)

    def _finish(self, batch: Begun) -> None:
        if batch.whole is not None:
            self._whole, self._taken = batch.whole, set()
        if not batch.prepared:
            for item in batch.inputs:
                self.learner.observe(item)  # type: ignore[arg-type]  # it was not made ready
            return
        for kind, items in groupby(batch.inputs, _kind_of):
            if kind is not None:
                self.learner.observe_many(list(items), batch.received_at)  # type: ignore[arg-type]  # they have a kind
                continue
            for item in items:
                self.learner.observe(item)  # type: ignore[arg-type]  # it has none

    def _forget(self) -> None:
        """Drop what was folded and not committed, and what was begun, which is as if it had not been."""
        undo, self._undo, self._begun = self._undo, None, []
        if undo is not None:
            undo()
        self.store.forget()

    def tombstone(self, identity: Identity) -> Tombstone | None:
        """Return what is kept of an identity whose contact was erased."""
        return self._tombstones.get(ids.identity_key(*identity))

    @property
    def has_tombstones(self) -> bool:
        """Whether any contact was ever erased."""
        return bool(self._tombstones)

    def _prepare(self, batch: Batch, contact: Contact, now: int) -> None:
        """Bring a contact up to the plan and fire what is due, apart from any input.

        So the trace does not lay at an input's door what a timer did. To be called before the next input of the contact
        is given its place in the log.
        """
        if contact.revision != self.plan.revision:
            effects = self._ready(contact)
            if effects is not None:
                batch.keep(contact, -batch.position, effects, None)
                self._follow(batch, contact, effects)
        timers = contact.timers
        while timers and timers[0].due <= now:
            effects = Effects()
            wake(self.plan, contact, now, effects)
            batch.keep(contact, -batch.position, effects, None)
            self._follow(batch, contact, effects)

    def _fold(self, batch: Batch, contact: Contact, item: Input) -> None:
        """Fold an input that has its place in the log into a contact that is prepared, and what follows from it."""
        effects = self._fold_one(batch, contact, item)
        if effects.follows:
            self._follow(batch, contact, effects)

    def _fold_one(self, batch: Batch, contact: Contact, item: Input) -> Effects:
        timers = contact.timers
        before = timers[0].due if timers else None
        effects = fold(self.plan, contact, item)
        batch.keep(contact, item.position, effects, before)
        if effects.draws:
            budgets.count(self.store, batch.changes, effects.draws)
        return effects

    def _follow(self, batch: Batch, contact: Contact, effects: Effects) -> None:
        """Write down and fold what follows from what was decided, each with what follows from that before the next."""
        ahead = deque(effects.follows)
        while ahead:
            item = ahead.popleft()
            batch.inputs.append(item)
            if type(item) is Receive:
                self._append(batch, batch.between[item.contact], item, ids.message_key("", item.message_id))
                continue
            if type(item) is Update:
                work_out(contact, item)
            self._write_down(batch, contact, item, ids.message_key("", item.message_id))
            ahead.extendleft(reversed(self._fold_one(batch, contact, item).follows))
            if type(item) is Interaction:
                # Its name is known from now on, as it would be to the next batch.
                batch.spelled.add(item.name)

    def _ready(self, contact: Contact) -> Effects | None:
        """Bring a contact up to the plan and return what follows; None when it is, or is new."""
        plan = self.plan
        if contact.revision == plan.revision or not contact.time or contact.merged_into or contact.erased_at:
            return None
        past: list[Input] = []
        sent: list[Message] = []
        lacks_history, lacks_sent = plan.lacks_history(contact.revision), plan.lacks_sent(contact.revision)
        parts = self._parts(contact) if lacks_history or lacks_sent else []
        if parts and (plan.remembers_messages or lacks_sent):
            posted = [item for id_ in parts for item in self.store.posted(id_, EVERYTHING)]
            sent = [item.message for item in sorted(posted, key=lambda item: item.sequence)]
        if lacks_history:
            records = [record for id_ in parts for record in self.store.history(id_, EVERYTHING)]
            records.sort(key=lambda record: record.position)
            past = [record.input() for record in records if record.position <= plan.revised_position]  # type: ignore[misc]  # they concern a contact
        effects = Effects()
        bring_up(plan, contact, past, sent, effects)
        return effects

    def _parts(self, contact: Contact) -> list[str]:
        """Return the ids of a contact and of everyone who became part of it, and of them."""
        return parts_of(contact.id, lambda id_: self.store.contacts([id_])[id_].merged)

    def _append(self, batch: Batch, contact: Contact, item: Input, key: bytes) -> None:
        """Put an input of our own into the log and fold it."""
        if not is_ahead(contact, item):
            self._prepare(batch, contact, item.received_at)
        self._write_down(batch, contact, item, key)
        self._fold(batch, contact, item)

    def _write_down(self, batch: Batch, contact: Contact, item: Input, key: bytes) -> None:
        """Give an input of our own its place in the log."""
        batch.position += 1
        item.position = batch.position
        self._complete(batch, contact, item)
        batch.changes.records.append(Record(batch.position, contact.id, key, encode(item)))

    def _complete(self, batch: Batch, contact: Contact, item: Input) -> bool:
        """Put into an input of a contact that is prepared what it needs of all contacts; return whether it needs any."""
        if type(item) is Grant:
            self._answer(batch, contact, item)
            return True
        if type(item) is Reaction:
            return places.complete(self.store, batch.changes, contact, item)
        return budgets.complete(self.store, batch.changes, self.plan.loyalty, item)

    def _answer(self, batch: Batch, contact: Contact, item: Grant) -> None:
        """Put a code into what is to be issued to a contact that is prepared, or why there is none."""
        item.refused = why_not(self.plan.loyalty, contact, item)
        if not item.refused:
            reward = self.plan.loyalty.rewards[item.reward]
            rewards.answer(self.store, batch.changes, reward, item, contact.id, self._buried_code)

    def _buried_code(self, code: str) -> bool:
        """Return whether a code was that of a contact who was erased."""
        return bool(self._tombstones) and self.tombstone(rewards.identity_of(code)) is not None

    def _address(self, batch: Batch, contact: Contact, item: Transfer, receiver: Contact) -> None:
        """Put into a transfer who is to have the points, and why they cannot. Both are prepared."""
        loyalty, now = self.plan.loyalty, item.received_at
        item.to, item.refused = receiver.id, why_not_receive(loyalty, receiver, item.programme, item.points, now)
        batch.between = {contact.id: contact, receiver.id: receiver}

    def _write(self, batch: Batch) -> None:
        changes = batch.whole_changes()
        if changes.records or changes.contacts or changes.settlements or changes.marks:
            self.store.write(changes)
            self._begun.append(batch.begun())
            self.cut += batch.cut
            if self.reviews is not None and changes.ledger:
                self.reviews.update(
                    entry.contact for entry in changes.ledger if entry.reason == TO_REVIEW or entry.kind == "merged"
                )

    def _write_part(self, batch: Batch) -> Batch:
        """Write a batch, and return the one that goes on behind it in the same transaction."""
        follower = batch.follower()
        self._write(batch)
        return follower

    def _commit(self, batch: Batch) -> None:
        self._write(batch)
        self.finish()

    def _definitions(self, publication: Publish) -> list[AnyDefinition]:
        return with_known_good(self.plan.workspace, publication.definitions).all()


def _kind_of(item: Input | Prepared) -> Kind | None:
    return item.kind if type(item) is Prepared else None
