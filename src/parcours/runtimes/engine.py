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

import contextlib
import heapq
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import msgspec
import structlog

from parcours.conditions.durations import parse_duration
from parcours.core import ids
from parcours.core.codec import UNENCODABLE, decode_contact, encode
from parcours.core.contact import Contact
from parcours.core.effects import TEST, Effects, Message, What
from parcours.core.fold import fold, unheard, wake
from parcours.core.gate import DAY, Arrival, Asked, Called, Happened, Learned, Reacted, admit, admit_item
from parcours.core.inputs import (
    CANCELLED,
    Absorb,
    Dissolve,
    Enter,
    Erase,
    Grant,
    Input,
    Interaction,
    Move,
    Publish,
    Reaction,
    Stock,
    WorkspaceInput,
)
from parcours.core.learned import CONTACTS, Learner
from parcours.core.loyalty.coupons import why_not
from parcours.core.loyalty.earn import TO_REVIEW
from parcours.core.membership import bring_up
from parcours.core.moves import MoveCheck, check_move
from parcours.core.plan import Plan
from parcours.core.prepared import HEAD, AnyArrival, Kind, Prepared
from parcours.definitions.doubts import doubts
from parcours.definitions.load import load_data
from parcours.definitions.message import LINES
from parcours.definitions.workspace import AnyDefinition, Workspace, key_of
from parcours.errors import InvalidDefinitionError, Problem, StoreError, UnstorableError
from parcours.ports import Changes, Clock, Identity, Pending, Record, Settlement, Store, Tombstone
from parcours.runtimes import rewards
from parcours.runtimes.readings import Reading, Readings, mark_name
from parcours.runtimes.schedules import problems_of_journey

LARGEST_TICK = 1_000
"""Contacts whose timers fire in one transaction."""

SLICE = 1_000
"""Contacts of a segment, or records of the log, that are gone through at once."""

LONGEST_TURN = 0.05
"""Seconds after which bringing contacts up to a plan lets others have their turn."""

MOST_FOLLOWING = 100
"""Inputs of our own that may follow from one input, or from timers: more than any chain that makes sense."""

LEARNED_BEHIND = 20_000
"""Inputs after which what was learned of attributes is stored at the latest: what a start has to learn from again."""

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

Marking = Callable[[Sequence[Outcome]], Mapping[str, str]]
"""Returns the marks to be kept with a batch, once its outcomes are known; may be asked again, with others, when the
batch has to be folded anew."""


class _Batch:
    """What one micro-batch has come to so far."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.contacts: dict[str, Contact] = {}
        self.changes = Changes()
        self.due: list[tuple[int, str]] = []
        self.inputs: list[Input | Prepared] = []
        """What is learned from once the batch is kept."""
        self.spelled: set[str] = set()
        """Names that nobody defined and of which a spelling is kept already."""
        self.following: int | None = None
        """How many inputs have followed so far from the one that is being folded; None between them."""
        self.prepared = False
        """Whether interactions that were made ready are among them."""
        self.received_at = 0
        """When they were received."""
        self.whole: int | None = None
        """The position up to which the knowledge that it stores is whole."""

    @classmethod
    def of_marks(cls, position: int, marks: dict[str, str | None]) -> _Batch:
        """Return a batch that keeps nothing but marks."""
        batch = cls(position)
        batch.changes.marks = marks
        return batch

    def keep(self, contact: Contact, position: int, effects: Effects, due_before: int | None) -> None:
        """Take over what a fold left."""
        changes = self.changes
        changes.contacts[contact.id] = contact
        if position <= 0:
            changes.unlogged.add(contact.id)
        elif changes.unlogged:
            changes.unlogged.discard(contact.id)
        if effects.messages:
            changes.messages += effects.messages
        if effects.ledger:
            changes.ledger += effects.ledger
        if effects.trace:
            changes.traces.append((contact.id, position, effects.trace))
            statistics = changes.statistics
            for entry in effects.trace:
                if entry.run.startswith(TEST):
                    continue  # tests are not counted
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
        self._begun: _Batch | None = None
        self._undo: Callable[[], None] | None = None
        """What is to be done if the batch that was begun cannot be finished."""
        self._whole = 0
        """The position up to which the stored knowledge is whole."""
        self._taken: set[str] = set()
        """Names of which something changed that is not stored yet."""
        self._due: list[tuple[int, str]] = []
        self._reminders: dict[str, int] = {}
        """Contact to when it is looked at for timers: at or before the first of them, so each is in the heap once."""
        self.catch_up()
        self._tombstones = dict(store.tombstones())
        self._learn_again()
        for due, contact in store.due_times():
            if due < self._reminders.get(contact, _NEVER):
                self._reminders[contact] = due
                self._due.append((due, contact))
        heapq.heapify(self._due)
        self._readings = Readings(self.plan, store.marks(), clock.now())
        self._cancelling = _Cancelling() if _CANCELLING in store.marks() else None
        """How far messages of stopped journeys are cancelled; None when all are."""
        self.in_hand: Callable[[int], bool] = lambda _sequence: False
        """Whether a channel has a message in hand, told by its sequence: then it is sent, if it can be."""
        self._bringing: str | None = self._brought_up()
        """Behind which contact others are still to be brought up to the plan; None when all are."""
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
            self.store.forget()
            raise
        for contact in contacts.values():
            if contact.next_due is not None:
                self._remind(contact.next_due, contact.id)

    def _learn_again(self) -> None:
        """Take up what was learned, and learn from what came after it was stored."""
        for name, data in self.store.knowledge().items():
            self.learner.restore(name, data)
        at = self._whole = int(self.store.marks().get(_LEARNED, "0"))
        while records := self.store.log(at, SLICE):
            for record in records:
                if record.contact:
                    self.learner.observe(record.input())  # type: ignore[arg-type]  # it concerns a contact
            at = records[-1].position

    def _keep_knowledge(self, batch: _Batch) -> None:
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
            batch = _Batch(self.store.last_position())
            self._keep_knowledge(batch)
            self._commit(batch)
        self.store.flush()

    def _remind(self, due: int, contact: str) -> None:
        """Have a contact looked at when its first timer comes due, unless it is looked at before anyway."""
        if due < self._reminders.get(contact, _NEVER):
            self._reminders[contact] = due
            heapq.heappush(self._due, (due, contact))

    # --- arrivals -----------------------------------------------------------------------------------------------------

    def accept(
        self, arrivals: Sequence[AnyArrival], settlements: Iterable[Settlement] = (), marking: Marking | None = None
    ) -> list[Outcome]:
        """Fold a micro-batch and commit it: `begin` and `finish`. When this returns, what was accepted is durable.

        Raises:
            StoreError: Nothing of the batch was kept.
        """
        outcomes = self.begin(arrivals, settlements, marking)
        self.finish()
        return outcomes

    def begin(
        self, arrivals: Sequence[AnyArrival], settlements: Iterable[Settlement] = (), marking: Marking | None = None
    ) -> list[Outcome]:
        """Fold a micro-batch and write it. It is durable, and may be acknowledged, only after `finish`.

        The marks that `marking` returns are kept with it.

        An arrival that cannot be folded (a defect of ours) is refused by itself; its neighbours are not.

        Raises:
            StoreError: Nothing of the batch was kept, and there is nothing to finish.
        """
        settled = list(settlements)
        if self.plan.next_turn is not None:
            self._turn_until(self._carried(arrivals))
        self.catch_up()
        try:
            if len(arrivals) > 1 and self._may_turn_on_the_way():
                return self._begin_each(arrivals, settled, marking)
            return self._begin(arrivals, settled, marking)
        except _DEFECTS as error:
            self.store.forget()
            if len(arrivals) != 1:
                return self._begin_each(arrivals, settled, marking)
            if settled or marking is not None:
                marks: dict[str, str | None] = {} if marking is None else dict(marking([_failed(error)]))
                self.store.commit(Changes(settlements=settled, marks=marks))
            _log.exception("input_failed", message_id=arrivals[0].message_id)
            return [_failed(error)]
        except BaseException:
            # What was folded is not kept, and must not be written with a later batch.
            self.store.forget()
            raise

    def _begin_each(
        self, arrivals: Sequence[AnyArrival], settled: list[Settlement], marking: Marking | None
    ) -> list[Outcome]:
        """Fold and commit one arrival after the other."""
        if settled:
            self.store.commit(Changes(settlements=settled))
        outcomes = [outcome for arrival in arrivals for outcome in self.accept([arrival])]
        if marking is not None:
            self.store.commit(Changes(marks=dict(marking(outcomes))))
        return outcomes

    def finish(self) -> None:
        """Make what was begun durable. May run in another thread while nothing else is asked of the engine.

        Raises:
            StoreError: Nothing of the batch was kept.
        """
        batch, self._begun = self._begun, None
        undo, self._undo = self._undo, None
        if batch is None:
            return
        try:
            self.store.finish()
        except BaseException:
            if undo is not None:
                undo()
            raise
        for due, contact in batch.due:
            self._remind(due, contact)
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

    def _begin(
        self, arrivals: Sequence[AnyArrival], settlements: list[Settlement], marking: Marking | None
    ) -> list[Outcome]:
        clock = self.clock
        keys = [arrival.key or ids.message_key(arrival.source, arrival.message_id) for arrival in arrivals]  # type: ignore[union-attr]  # what was made ready has a key
        repeated = self.store.seen(keys)
        batch = _Batch(self.store.last_position())
        people = _People(self.store, arrivals)
        batch.changes.settlements = settlements
        outcomes: list[Outcome] = []
        batch.received_at = now = clock.now()
        horizon = clock.horizon()
        direct: _Direct | None = None
        for arrival, key in zip(arrivals, keys, strict=True):
            if key in repeated:
                outcomes.append(Duplicate())
                continue
            if clock.follows_inputs and arrival.occurred_at is not None:
                if arrival.occurred_at <= horizon + DAY:
                    clock.observe(arrival.occurred_at)
                now = clock.now()
            outcome: Outcome
            if type(arrival) is Prepared:
                direct = direct or _Direct(self, batch, people)
                outcome = direct.take(arrival, key) or self._take(
                    batch, people, arrival.arrival(), key, now, horizon
                )  # fmt: skip
            else:
                if direct is not None:
                    direct.at_rest.clear()  # it may be anything, for one have a timer that is due at once
                outcome = self._take(batch, people, arrival, key, now, horizon)
            if type(outcome) is Accepted:
                repeated.add(key)
            outcomes.append(outcome)
        if self.store.last_position() - self._whole >= LEARNED_BEHIND:
            self._keep_knowledge(batch)
        if marking is not None:
            batch.changes.marks.update(marking(outcomes))
        self._write(batch)
        return outcomes

    def _take(
        self, batch: _Batch, people: _People, arrival: Arrival, key: bytes, now: int, horizon: int
    ) -> Accepted | Refused:
        """Admit an arrival, give it its place in the log and fold it."""
        owner, new = people.whose(arrival)
        if owner is None:
            return Refused(_UNKNOWN_MESSAGE if isinstance(arrival.what, Reacted) else _NO_IDENTITY)
        if self._tombstones and (problem := self._buried(arrival.identities, arrival, now)) is not None:
            return Refused(problem)
        if type(arrival.what) is Asked and arrival.what.code and not isinstance(owner, str):
            return Refused(_UNKNOWN_CODE)
        if type(arrival.what) is Asked and people.taken(arrival):
            return Refused(_TAKEN)
        others = people.others(arrival, owner) if len(arrival.identities) > 1 else []
        if isinstance(owner, str):
            for id_ in (*others, owner):
                # What follows from time has its place in the log before the arrival.
                self._prepare(batch, people.contact(id_), now)
        position = batch.position + 1 + 2 * len(others)
        item = admit(self.plan, arrival, new, received_at=now, horizon=horizon, position=position, learned=self.learner)
        if isinstance(item, Problem):
            return Refused(item)
        if type(item) is Interaction and item.spelling:
            if item.name in batch.spelled:
                item.spelling = ""
            batch.spelled.add(item.name)
        try:
            body = encode(item)
        except UNENCODABLE as error:
            return Refused(Problem(code="unstorable_value", message=f"a value cannot be kept: {error}"))
        if others:
            self._merge(batch, people, str(owner), others, now, backfill=arrival.backfill)
        contact = people.take(owner, new, batch.changes.identities)
        batch.position += 1
        if item.position != batch.position:  # more than the two records of each merge was written
            item.position = batch.position
            body = encode(item)
        if type(item) is Grant:
            self._answer(batch, contact, item)
            body = encode(item)
        batch.changes.records.append(Record(batch.position, contact.id, key, body))
        self._fold(batch, contact, item)
        batch.inputs.append(item)
        return Accepted(item.position, contact.id)  # others may have followed

    def tombstone(self, identity: Identity) -> Tombstone | None:
        """Return what is kept of an identity whose contact was erased."""
        return self._tombstones.get(ids.identity_key(*identity))

    @property
    def has_tombstones(self) -> bool:
        """Whether any contact was ever erased."""
        return bool(self._tombstones)

    def _buried(self, identities: Iterable[Identity], arrival: Arrival, now: int) -> Problem | None:
        """Return why nothing is taken under identities of which one was an erased contact's, or None."""
        occurred_at = now if arrival.occurred_at is None else arrival.occurred_at
        for identity in identities:
            stone = self.tombstone(identity)
            if stone is not None and (stone.suppressed or occurred_at <= stone.erased_at):
                return Problem(
                    code="erased",
                    message="the contact of this identity was erased",
                    hint="nothing is taken of it any more" if stone.suppressed else "only what occurs from now on is",
                )
        return None

    def _merge(self, batch: _Batch, people: _People, into: str, others: list[str], now: int, *, backfill: bool) -> None:
        """Let contacts that were found to be another become part of it: two records each, one in either history."""
        contact = people.contact(into)
        for id_ in others:
            other = people.contact(id_)
            state = decode_contact(encode(other))
            dissolve = Dissolve(position=batch.position + 1, received_at=now, occurred_at=now, into=into)
            absorb = Absorb(
                position=batch.position + 2, received_at=now, occurred_at=now, other=state, backfill=backfill
            )
            for item, of in ((dissolve, other), (absorb, contact)):
                batch.position = item.position
                item.message_id = f"{'absorb' if item is absorb else 'dissolve'}:{id_}"
                key = ids.message_key("", item.message_id)
                batch.changes.records.append(Record(item.position, of.id, key, encode(item)))
                self._fold(batch, of, item)
            moved = [*state.identities, *map(rewards.identity_of, state.coupons)]
            for identity in moved:
                batch.changes.identities[identity] = into
            people.moved(moved, into)

    def _prepare(self, batch: _Batch, contact: Contact, now: int) -> None:
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

    def _fold(self, batch: _Batch, contact: Contact, item: Input) -> None:
        """Fold an input that has its place in the log into a contact that is prepared, and what follows from it."""
        timers = contact.timers
        before = timers[0].due if timers else None
        effects = fold(self.plan, contact, item)
        batch.keep(contact, item.position, effects, before)
        if effects.follows:
            self._follow(batch, contact, effects)

    def _follow(self, batch: _Batch, contact: Contact, effects: Effects) -> None:
        """Write down and fold the inputs that follow from what was decided, each before the next."""
        if not effects.follows:
            return
        outermost = batch.following is None
        if batch.following is None:
            batch.following = 0
        for item in effects.follows:
            if batch.following >= MOST_FOLLOWING:
                _log.error("too_much_follows", contact=contact.id, input=item.message_id)
                break
            batch.following += 1
            self._append(batch, contact, item, ids.message_key("", item.message_id))
            batch.inputs.append(item)
            if type(item) is Interaction:
                # Its name is known from now on, as it would be to the next batch.
                batch.spelled.add(item.name)
        if outermost:
            batch.following = None

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
            posted = [item for id_ in parts for item in self.store.posted(id_, _EVERYTHING)]
            sent = [item.message for item in sorted(posted, key=lambda item: item.sequence)]
        if lacks_history:
            records = [record for id_ in parts for record in self.store.history(id_, _EVERYTHING)]
            records.sort(key=lambda record: record.position)
            past = [record.input() for record in records if record.position <= plan.revised_position]  # type: ignore[misc]  # they concern a contact
        effects = Effects()
        bring_up(plan, contact, past, sent, effects)
        return effects

    def _write(self, batch: _Batch) -> None:
        changes = batch.changes
        if changes.records or changes.contacts or changes.settlements or changes.marks:
            self.store.write(changes)
            self._begun = batch
            if self.reviews is not None and changes.ledger:
                self.reviews.update(
                    entry.contact for entry in changes.ledger if entry.reason == TO_REVIEW or entry.kind == "merged"
                )

    def _commit(self, batch: _Batch) -> None:
        self._write(batch)
        self.finish()

    # --- time ---------------------------------------------------------------------------------------------------------

    def next_due(self) -> int | None:
        """Return an instant at or before which no timer is due and no journey begins or ends; None when none ever is."""
        due, turn = self._due[0][0] if self._due else None, self.plan.next_turn
        return min((at for at in (due, turn, self._readings.next_due()) if at is not None), default=None)

    def next_reading(self) -> int | None:
        """Return when the next segment is to be read; None when none ever is."""
        return self._readings.next_due()

    def tick(self, now: int | None = None, *, finish: bool = True) -> int:
        """Fire timers due by `now` (else the clock's time), of up to `LARGEST_TICK` contacts; return of how many.

        A journey that begins or ends on the way counts as one. Unless told to `finish`, that is left to be called.

        Raises:
            StoreError: Nothing more was kept; the timers stay due.
        """
        now = self.clock.now() if now is None else now
        turn = self.plan.next_turn
        if turn is None or turn > now:
            return self._fire(now, finish=finish)
        fired = self._fire(turn)
        if not fired:
            self._turn(turn)
        return fired or 1

    def _turn_until(self, now: int) -> None:
        """Let journeys begin and end whose time came by an instant, each at its own, and what is due before it fire."""
        while (turn := self.plan.next_turn) is not None and turn <= now:
            self._turn(turn)

    def _turn(self, at: int) -> None:
        """Let journeys begin and end at an instant: a publication of nothing, which puts the same plan in force anew."""
        self._be_up_to(at)
        self._put_in_force([], [], at)

    def _carried(self, arrivals: Sequence[AnyArrival]) -> int:
        """Return up to which instant the first of arrivals carries the clock."""
        at = arrivals[0].occurred_at if arrivals and self.clock.follows_inputs else None
        if at is not None and at <= self.clock.horizon() + DAY:
            self.clock.observe(at)
        return self.clock.now()

    def _may_turn_on_the_way(self) -> bool:
        """Whether arrivals of one batch may carry the clock over an instant at which a journey begins or ends."""
        return self.clock.follows_inputs and self.plan.next_turn is not None

    def _fire(self, now: int, *, finish: bool = True) -> int:
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
                self._wake(due, now, finish=finish)
            except _DEFECTS:
                self.store.forget()
                self._wake_each(due, now)
        except BaseException:
            self.store.forget()
            self._remind_all(due, now)
            raise
        if self._begun is not None:
            self._undo = partial(self._remind_all, due, now)
        return len(due)

    def _remind_all(self, contacts: Iterable[str], due: int) -> None:
        for contact in contacts:
            self._remind(due, contact)

    def _wake(self, contacts: Collection[str], now: int, *, finish: bool = True) -> None:
        self.catch_up()
        batch = _Batch(self.store.last_position())
        batch.changes.passing = True
        for contact in self.store.contacts(contacts).values():
            if contact.next_due is None or contact.next_due > now:
                if contact.next_due is not None:
                    self._remind(contact.next_due, contact.id)
                continue
            self._prepare(batch, contact, now)
        self._write(batch)
        if finish:
            self.finish()

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
        errors = self._wrong_schedules(definitions, workspace)
        if errors:
            return errors, warnings
        now = self.clock.now()  # once, so that what is due by the publication's own time is what fires before it
        self._turn_until(now)
        self._be_up_to(now)
        changed = _changed(workspace.all(), self.plan.workspace.all())
        if changed:
            self._put_in_force(list(definitions), changed, now)
        return [], warnings

    def _wrong_schedules(self, definitions: Sequence[dict[str, Any]], workspace: Workspace) -> list[Problem]:
        """Return what is wrong with schedules, each with its place among the definitions."""
        errors: list[Problem] = []
        for index, data in enumerate(definitions):
            journey = workspace.journeys.get(str(data.get("name"))) if data.get("kind") == "journey" else None
            if journey is not None:
                errors += problems_of_journey(journey, workspace.settings.zone, f"/definitions/{index}")
        return errors

    def _be_up_to(self, now: int) -> None:
        """Have everybody where they would be if nothing more were published: brought up, and what is due has fired.

        So everybody sees each plan, in order: one that pauses a journey, and one that lets it go on.
        """
        while self._fire(now):
            pass
        while self._bringing is not None:
            self._bring_up(self._bringing)
        while self._fire(now):
            pass

    def try_out(self, journey: str, contacts: Sequence[str], attributes: Mapping[str, Any]) -> dict[str, str]:
        """Let contacts begin a test of a journey; return the run of each that began one.

        Raises:
            StoreError: No test was begun.
        """
        now = self.clock.now()
        self._turn_until(now)
        self.catch_up()
        batch = _Batch(self.store.last_position())
        version, found = self.plan.newest[journey].version, dict[str, str]()
        try:
            for contact in self.store.contacts(dict.fromkeys(contacts)).values():
                item = Enter(
                    position=0,
                    received_at=now,
                    occurred_at=now,
                    journey=journey,
                    version=version,
                    message_id=f"test:{journey}:{contact.id}:{batch.position + 1}",
                    attributes=dict(attributes),
                    test=True,
                )
                self._append(batch, contact, item, ids.message_key("", item.message_id))
            for contact_id, position, entries in batch.changes.traces:
                for entry in entries:
                    if position > 0 and entry.what == What.ENTERED and entry.journey == journey and TEST in entry.run:
                        found[contact_id] = entry.run
            self._commit(batch)
        except BaseException:
            self.store.forget()
            raise
        return found

    def check(self, definitions: Sequence[dict[str, Any]]) -> tuple[list[Problem], list[Problem]]:
        """Return the errors and warnings that publishing definitions would come to."""
        _, errors, warnings = load_data(list(definitions), self.plan.workspace)
        return errors, warnings + self.doubts(definitions)

    def doubts(self, definitions: Sequence[dict[str, Any]]) -> list[Problem]:
        """Return what is likely not meant in the journeys among definitions, as far as these can be read."""
        if not any(definition.get("kind") == "journey" for definition in definitions):
            return []
        workspace, _, _ = load_data(list(definitions), self.plan.workspace)
        found = []
        for index, definition in enumerate(definitions):
            journey = workspace.journeys.get(str(definition.get("name")))
            if journey is not None and definition.get("kind") == "journey":
                found += [
                    msgspec.structs.replace(problem, pointer=f"/definitions/{index}{problem.pointer}")
                    for problem in doubts(journey, workspace, self.learned_attributes)
                ]
        return found

    def check_move(self, move: Move) -> MoveCheck:
        """Return what a move would do, as things are now."""
        return check_move(self.plan, move, self.store.statistics())

    def move(self, move: Move) -> MoveCheck:
        """Move the runs of one version of a journey to another, unless something is wrong with that.

        Raises:
            StoreError: Nothing was moved.
        """
        now = self.clock.now()
        self._turn_until(now)
        self._be_up_to(now)
        found = check_move(self.plan, move, self.store.statistics())
        if not found.errors:
            self._put_in_force([], [], now, [move])
        return found

    def _put_in_force(
        self,
        definitions: list[dict[str, Any]],
        changed: list[AnyDefinition],
        now: int,
        moves: Sequence[Move] = (),
    ) -> None:
        self.catch_up()
        # States are whole before the plan changes, so what they lack was always folded with the plan in force.
        self.store.flush()
        position = self.store.last_position() + 1
        item = Publish(position=position, received_at=now, occurred_at=now, definitions=definitions, moves=list(moves))
        plan = self.plan.publish(changed, at=now, position=position, moves=moves)
        changes = Changes(records=[Record(position, "", ids.message_key("", f"publish:{position}"), encode(item))])
        readings = Readings(plan, self.store.marks(), now, self.plan)
        changes.marks.update(readings.marks())
        if plan.stopping and plan.revision != self.plan.revision:
            changes.marks[_CANCELLING] = "yes"
        self.store.commit(changes)
        self.plan = plan
        self._readings = readings
        self._bringing = self._brought_up()
        self._cancelling = _Cancelling() if _CANCELLING in self.store.marks() else None

    def _definitions(self, publication: Publish) -> list[AnyDefinition]:
        workspace, errors, _ = load_data(list(publication.definitions), self.plan.workspace)
        if errors:
            raise InvalidDefinitionError(errors)
        return workspace.all()

    # --- erasure and retention ----------------------------------------------------------------------------------------

    def erase(self, contact: str, *, suppress: bool = False) -> list[str]:
        """Erase a contact, with all that became part of it, and return the ids of all these.

        What is left: empty records that say there were inputs, their message keys (a repeat is still one), counts, and
        for each identity a tombstone, so that nothing that occurred before is taken again. With `suppress`, nothing is
        taken under these identities ever again. A contact that became part of another is erased with the other. Whoever
        was erased before is not erased again.

        Raises:
            KeyError: There is no such contact, or it was erased.
            StoreError: Nothing was erased.
        """
        now = self.clock.now()
        self._turn_until(now)
        self.flush()
        state = self._survivor(contact)
        everyone = self._parts(state)
        batch = _Batch(self.store.last_position())
        people = self.store.contacts(everyone)
        for id_ in everyone:
            for identity in people[id_].identities:
                batch.changes.tombstones[ids.identity_key(*identity)] = Tombstone(now, suppress)
            for record in self.store.history(id_, _EVERYTHING):
                self.learner.forget(record.input())  # type: ignore[arg-type]  # it concerns a contact
        for id_ in everyone:
            item = Erase(position=0, received_at=now, occurred_at=now, message_id=f"erase:{id_}")
            # Once: whoever comes back after it is another contact.
            self._append(batch, people[id_], item, ids.message_key("", item.message_id))
        # What was decided about the runs is counted, and not kept.
        batch.changes.traces.clear()
        batch.changes.erased = everyone
        try:
            self._keep_knowledge(batch)
            self._commit(batch)
        except BaseException:
            self.store.forget()
            with contextlib.suppress(StoreError):
                self._relearn()
            raise
        self._tombstones.update(batch.changes.tombstones)
        return everyone

    def _append(self, batch: _Batch, contact: Contact, item: Input, key: bytes) -> None:
        """Put an input of our own into the log and fold it."""
        self._prepare(batch, contact, item.received_at)
        batch.position += 1
        item.position = batch.position
        if type(item) is Grant:
            self._answer(batch, contact, item)
        batch.changes.records.append(Record(batch.position, contact.id, key, encode(item)))
        self._fold(batch, contact, item)

    def _answer(self, batch: _Batch, contact: Contact, item: Grant) -> None:
        """Put a code into what is to be issued to a contact that is prepared, or why there is none."""
        item.refused = why_not(self.plan.loyalty, contact, item)
        if not item.refused:
            rewards.answer(self.store, batch.changes, self.plan.loyalty.rewards[item.reward], item, contact.id)

    def _survivor(self, contact: str) -> Contact:
        state = self.store.contacts([contact])[contact]
        while state.merged_into:
            state = self.store.contacts([state.merged_into])[state.merged_into]
        if state.erased_at:
            raise KeyError(contact)
        return state

    def _parts(self, contact: Contact) -> list[str]:
        """Return the ids of a contact and of everyone who became part of it, and of them."""
        found: dict[str, None] = {}
        waiting = [contact.id]
        while waiting:
            id_ = waiting.pop()
            if id_ not in found:
                found[id_] = None
                waiting += self.store.contacts([id_])[id_].merged
        return list(found)

    def expire(self) -> bool:
        """Blank the next slice of interactions whose time to be kept is over; return whether there may be more.

        Raises:
            StoreError: Nothing of the slice was blanked.
        """
        if self._bringing is not None:
            return False  # what is new in the plan is still to be counted from them
        now = self.clock.now()
        marks = self.store.marks()
        for name, definition in self.plan.workspace.interactions.items():
            if definition.retention is None:
                continue
            until = now - parse_duration(definition.retention)
            mark = f"kept:{name}"
            after = int(marks.get(mark, "0"))
            if self._expire(mark, name, after, until):
                return True
        return False

    def _expire(self, mark: str, name: str, after: int, until: int) -> bool:
        # Of a blanked record nothing can be folded again, so states are whole before.
        self.flush()
        batch = _Batch(self.store.last_position())
        at = after
        for record in self.store.log(after, SLICE):
            item = record.input()
            if item.received_at >= until:
                break
            at = record.position
            if isinstance(item, Interaction) and item.name == name:
                batch.changes.redacted.append(at)
                self.learner.forget(item)
        if at == after:
            return False
        batch.changes.marks[mark] = str(at)
        try:
            self._keep_knowledge(batch)
            self._commit(batch)
        except BaseException:
            with contextlib.suppress(StoreError):
                self._relearn()
            raise
        return at == after + SLICE

    # --- catalogues ---------------------------------------------------------------------------------------------------

    def stock(
        self,
        catalogue: str,
        items: Mapping[str, dict[str, Any] | None],
        marking: Callable[[Sequence[Problem | None]], Mapping[str, str]] | None = None,
    ) -> list[Problem | None]:
        """Put items into a catalogue, replacing those of the same id, or with None take them out.

        Returns for each item what is wrong with it, or None: then it is kept, durably. The marks that `marking` returns
        are kept with them.

        Raises:
            StoreError: None was kept.
        """
        problems = [admit_item(self.plan, catalogue, id_, attributes) for id_, attributes in items.items()]
        chosen = {id_: items[id_] for id_, problem in zip(items, problems, strict=True) if problem is None}
        for place, (id_, attributes) in enumerate(items.items()):
            try:
                encode(attributes)
            except UNENCODABLE as error:
                chosen.pop(id_, None)
                problems[place] = Problem(code="unstorable_value", message=f"a value cannot be kept: {error}")
        self._turn_until(self.clock.now())
        self.catch_up()
        batch = _Batch(self.store.last_position())
        if chosen:
            position, now = batch.position + 1, self.clock.now()
            item = Stock(position=position, received_at=now, occurred_at=now, catalogue=catalogue, items=chosen)
            batch.changes.records.append(Record(position, "", ids.message_key("", f"stock:{position}"), encode(item)))
            batch.changes.items = {(catalogue, id_): attributes for id_, attributes in chosen.items()}
        if marking is not None:
            batch.changes.marks.update(marking(problems))
        self._commit(batch)
        return problems

    def fill(self, reward: str, codes: Iterable[str]) -> int:
        """Put codes into the pool of a reward; return how many of them are new.

        Raises:
            StoreError: None was kept.
        """
        self._turn_until(self.clock.now())
        self.catch_up()
        chosen: dict[str, dict[str, Any] | None] = {key: {} for key in rewards.new_codes(self.store, reward, codes)}
        if not chosen:
            return 0
        batch = _Batch(self.store.last_position())
        position, now, pool = batch.position + 1, self.clock.now(), rewards.pool_of(reward)
        item = Stock(position=position, received_at=now, occurred_at=now, catalogue=pool, items=chosen)
        batch.changes.records.append(Record(position, "", ids.message_key("", f"stock:{position}"), encode(item)))
        batch.changes.items = {(pool, code): attributes for code, attributes in chosen.items()}
        batch.changes.marks[f"pool:{reward}"] = str(rewards.in_pool(self.store, reward) + len(chosen))
        self._commit(batch)
        return len(chosen)

    # --- segments -----------------------------------------------------------------------------------------------------

    @property
    def reading(self) -> bool:
        """Whether a segment is still being read into a journey, or something else goes on in slices."""
        busy = self._bringing is not None or self._cancelling is not None
        return busy or self._readings.under_way(self.clock.now())

    @property
    def bringing_up(self) -> bool:
        """Whether some contacts have not been held against the plan yet: what it newly counts is not whole."""
        return self._bringing is not None

    def _brought_up(self) -> str | None:
        """Return behind which contact others are to be brought up to the plan, or None when all are."""
        revision, _, after = self.store.marks().get(_BROUGHT_UP, f"0:{_DONE}").partition(":")
        if int(revision) != self.plan.revision:
            return ""
        return None if after == _DONE else after

    def _bring_up(self, after: str) -> None:
        """Bring the next slice of contacts up to the plan, so that time alone can let them enter and leave segments."""
        self.catch_up()
        found = self.store.scan(after, SLICE)
        late = [contact.id for contact in found if contact.revision != self.plan.revision]
        behind = found[-1].id if len(found) == SLICE else _DONE
        try:
            try:
                behind = self._bring_these_up(late, behind)
            except _DEFECTS:
                self.store.forget()
                self._bring_each_up(late, behind)
        except BaseException:
            self.store.forget()
            raise
        self._bringing = None if behind == _DONE else behind

    def _bring_these_up(self, contacts: Sequence[str], behind: str) -> str:
        """Bring contacts up in one transaction; return behind which contact others are left, `behind` if all were."""
        self.catch_up()
        until = time.monotonic() + LONGEST_TURN
        batch = _Batch(self.store.last_position())
        for id_ in contacts:
            for contact in self.store.contacts([id_]).values():
                self._prepare(batch, contact, contact.time)
            if time.monotonic() > until and id_ != contacts[-1]:
                # Histories are long here: others have their turn.
                behind = id_
                break
        batch.changes.marks[_BROUGHT_UP] = f"{self.plan.revision}:{behind}"
        self._commit(batch)
        return behind

    def _bring_each_up(self, contacts: Sequence[str], behind: str) -> None:
        """Bring one contact up after the other, for there is one among them that cannot be, and is left as it is."""
        for id_ in contacts:
            try:
                self._bring_these_up([id_], id_)
            except _DEFECTS:
                self.store.forget()
                _log.exception("bring_up_failed", contact=id_)
        self._bring_these_up([], behind)

    def _cancel(self, work: _Cancelling) -> None:
        """Do the next slice of cancelling what is pending of stopped journeys: find it first, then go by contact."""
        stopped = self.plan.stopped_at
        if work.channels:
            found = self.store.pending(work.channels[0], work.after, SLICE)
            work.found += [
                item
                for item in found
                if item.message.decided_at <= stopped.get(item.message.journey, -1) and not self.in_hand(item.sequence)
            ]
            work.after = found[-1].sequence if len(found) == SLICE else 0
            if not work.after:
                work.channels.pop(0)
            if not work.channels:
                # Whichever order the outbox is in between contacts, the log is in this one.
                work.found.sort(key=lambda item: (item.message.contact, item.sequence), reverse=True)
            return
        self.catch_up()
        batch = _Batch(self.store.last_position())
        slice_, now = [work.found.pop() for _ in range(min(SLICE, len(work.found)))], self.clock.now()
        if not work.found:
            batch.changes.marks[_CANCELLING] = None
        try:
            for item in slice_:
                self._cancel_one(batch, item, now)
            self._commit(batch)
        except BaseException:
            self.store.forget()
            self._cancelling = _Cancelling()
            raise
        if not work.found:
            self._cancelling = None

    def _cancel_one(self, batch: _Batch, pending: Pending, now: int) -> None:
        """Settle a message as not to be sent, and tell its contact's trace."""
        message = pending.message
        batch.changes.settlements.append(
            Settlement(pending.sequence, "cancelled", pending.attempts, error=f"{message.journey} was stopped")
        )
        known = batch.changes.contacts
        contact = known.get(message.contact) or self.store.contacts([message.contact])[message.contact]
        while contact.merged_into:
            contact = known.get(contact.merged_into) or self.store.contacts([contact.merged_into])[contact.merged_into]
        said = {
            "journey": message.journey,
            "version": message.journey_version,
            "run": message.run,
            "step": message.step,
            "reason": "stopped",
        }
        item = Reaction(
            position=0,
            received_at=now,
            occurred_at=now,
            reaction=CANCELLED,
            message=message.id,
            attributes=said,
            message_id=f"cancelled:{message.id}",
        )
        self._append(batch, contact, item, ids.message_key("", item.message_id))

    def read(self, *, finish: bool = True) -> bool:
        """Read the next slice of a segment into the journey that asks for it; return whether there is more to read.

        How far it got is committed with the entries, so a reading that was cut off goes on where it was. Unless told to
        `finish`, that is left to be called.

        Raises:
            StoreError: Nothing of the slice was kept.
        """
        if self._bringing is not None:
            # First, so that who is read into a journey is known by all that its condition counts.
            self._bring_up(self._bringing)
            return self.reading
        if self._cancelling is not None:
            self._cancel(self._cancelling)
            return self.reading
        self._turn_until(self.clock.now())
        now = self.clock.now()
        reading = self._readings.current(now)
        if reading is None:
            return self.reading
        self.catch_up()
        assert reading.after is not None  # noqa: S101 (it is under way)
        found = self.store.ids(reading.after, SLICE)
        batch = _Batch(self.store.last_position())
        batch.changes.passing = True
        before, reading.after = reading.after, found[-1] if len(found) == SLICE else None
        batch.changes.marks[mark_name(reading.journey)] = reading.mark()
        question = reading.journey.segment
        members = [
            contact.id
            for contact in self.store.contacts(found).values()
            if not contact.merged_into
            and not contact.erased_at
            and question is not None
            and question.ask(contact, {}, now)
        ]
        try:
            try:
                self._enter(batch, reading, members, now, certain=reading.certain)
                reading.begun = True
            except _DEFECTS:
                self.store.forget()
                reading.begun = False
                self._enter_each(reading, members, now)
                self._commit(_Batch.of_marks(self.store.last_position(), batch.changes.marks))
            else:
                self._write(batch)
                if finish:
                    self.finish()
        except BaseException:
            reading.after, reading.begun = before, False
            self.store.forget()
            raise
        if self._begun is not None:
            self._undo = partial(setattr, reading, "after", before)
        return self.reading

    def _enter(
        self, batch: _Batch, reading: Reading, members: Sequence[str], now: int, *, certain: bool = False
    ) -> None:
        """Fold what lets members of a segment into a journey, but for those who were let in before.

        It is `certain` that none was, or it is asked.
        """
        self.catch_up()
        journey = reading.journey
        keys = {id_: ids.message_key("", reading.message_id(id_)) for id_ in members}
        before = self.store.seen(keys.values()) if not certain else ()
        for contact in self.store.contacts(members).values():
            if keys[contact.id] in before:
                continue
            item = Enter(
                position=0,
                received_at=now,
                occurred_at=now,
                journey=journey.name,
                version=journey.version,
                message_id=reading.message_id(contact.id),
            )
            self._append(batch, contact, item, keys[contact.id])

    def _enter_each(self, reading: Reading, members: Sequence[str], now: int) -> None:
        """Let one member after the other in, for there is one among them that cannot be folded and is left out."""
        for id_ in members:
            batch = _Batch(self.store.last_position())
            try:
                self._enter(batch, reading, [id_], now)
            except _DEFECTS:
                self.store.forget()
                _log.exception("entry_failed", journey=reading.journey.name, contact=id_)
            else:
                self._commit(batch)


class _Direct:
    """Takes in interactions that were made ready, of contacts of which nothing changes by them but the time."""

    def __init__(self, engine: Engine, batch: _Batch, people: _People) -> None:
        self.at_rest: dict[tuple[Identity, ...], Contact] = {}
        """Contacts that were found to be such; to be cleared when one of them may have changed."""
        self._engine = engine
        self._plan = engine.plan
        self._batch = batch
        self._people = people
        self._now = batch.received_at
        self._received_at = encode(self._now)
        self._kind: Kind | None = None
        self._suits = False

    def take(self, item: Prepared, key: bytes) -> Accepted | None:
        """Take one in, or return None: then it is to be looked at as any other arrival."""
        if item.kind is not self._kind:
            self._kind = item.kind
            self._suits = not self._engine.clock.follows_inputs and self._is_suited(item.kind)
        if not self._suits:
            self.at_rest.clear()
            return None
        if item.occurred_at > self._now:
            return None
        contact = self.at_rest.get(item.identities) or self._find(item.identities)
        if contact is None:
            return None
        batch = self._batch
        batch.prepared = True
        batch.position = position = batch.position + 1
        body = b"".join((HEAD, encode(position), self._received_at, item.tail))
        batch.changes.records.append(Record(position, contact.id, key, body))
        batch.inputs.append(item)
        return Accepted(position, contact.id)

    def _is_suited(self, kind: Kind) -> bool:
        plan = self._plan
        route = plan.routes.get(kind.name)
        if route is None or route.definition is None:
            if kind.definition or plan.workspace.settings.strict or kind.name not in self._engine.learner:
                return False
        elif encode(route.definition) != kind.definition:
            return False
        return unheard(plan, kind.name, backfill=kind.backfill)

    def _find(self, identities: tuple[Identity, ...]) -> Contact | None:
        contact = self._people.known(identities)
        if contact is None or not contact.time or contact.revision != self._plan.revision:
            return None
        timers = contact.timers
        if (timers and timers[0].due <= self._now) or contact.merged_into or contact.erased_at:
            return None
        if any(map(self._engine.tombstone, identities)):
            return None
        contact.time = self._now
        self._batch.changes.contacts[contact.id] = contact
        self.at_rest[identities] = contact
        return contact


class _Cancelling:
    """How far messages of stopped journeys are cancelled."""

    def __init__(self) -> None:
        self.channels = sorted(LINES)
        self.after = 0
        self.found: list[Pending] = []


class _People:
    """Whose arrivals these are: identities resolved and contacts loaded for a whole batch."""

    def __init__(self, store: Store, arrivals: Sequence[AnyArrival]) -> None:
        asked: set[Identity] = set()
        told: set[str] = set()
        for arrival in arrivals:
            if type(arrival) is not Prepared and type(arrival.what) is Reacted:
                contact = ids.contact_of_message(arrival.what.message)
                if contact is not None:
                    told.add(contact)
            else:
                asked.update(arrival.identities)
        self._store = store
        self._owners = store.resolve(asked)
        self._contacts = store.contacts(told.union(self._owners.values()))

    def whose(self, arrival: Arrival) -> tuple[str | Identity | None, list[Identity]]:
        """Return what `owner` and `unknown` do, quickly for the usual: one identity, of somebody known."""
        identities = arrival.identities
        if len(identities) == 1 and type(arrival.what) is not Reacted:
            known = self._owners.get(identities[0])
            if known is not None:
                return known, _NOTHING_NEW
        return self.owner(arrival), self.unknown(arrival)

    def known(self, identities: Sequence[Identity]) -> Contact | None:
        """Return whose identities these are, if each is somebody's: the first one's owner."""
        owner = self._owners.get(identities[0])
        if owner is None or any(identity not in self._owners for identity in identities[1:]):
            return None
        return self._contacts[owner]

    def owner(self, arrival: Arrival) -> str | Identity | None:
        """Return the contact's id, or the identity under which it is to be made, or None when nothing tells."""
        if type(arrival.what) is Reacted:
            return self._addressed(arrival.what)
        identities = arrival.identities
        for identity in identities:
            known = self._owners.get(identity)
            if known is None or (identity is not identities[0] and self._shared(identities, known, arrival.what)):
                continue
            return known
        return identities[0] if identities else None

    def _shared(
        self, identities: Sequence[Identity], contact: str, what: Happened | Learned | Reacted | Asked | Called
    ) -> bool:
        """Return whether a new user only uses the device of somebody who is known: they stay two.

        It is one person's when the sender says so (an alias).
        """
        if identities[0][0] != _KNOWN or (type(what) is Learned and what.same):
            return False
        return any(space == _KNOWN for space, _ in self._contacts[contact].identities)

    def _addressed(self, reaction: Reacted) -> str | None:
        """Return the contact a message went to, or the one that contact has become part of."""
        id_ = ids.contact_of_message(reaction.message)
        while id_ is not None:
            contact = self._contacts.get(id_) or self._store.contacts([id_]).get(id_)
            if contact is None:
                return None
            self._contacts[id_] = contact
            if contact.erased_at:
                return None
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

    def taken(self, arrival: Arrival) -> bool:
        """Return whether an identity that is given to the first one's contact is somebody else's."""
        first, *more = arrival.identities
        owner = self._owners.get(first)
        return any(identity in self._owners and self._owners[identity] != owner for identity in more)

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


def _kind_of(item: Input | Prepared) -> Kind | None:
    return item.kind if type(item) is Prepared else None


def _failed(error: Exception) -> Refused:
    problem = Problem(code="internal_error", message=f"could not be processed: {type(error).__name__}")
    return Refused(problem)


def _changed(new: list[AnyDefinition], old: list[AnyDefinition]) -> list[AnyDefinition]:
    before = {key_of(definition): definition for definition in old}
    return [definition for definition in new if before.get(key_of(definition)) != definition]


_DEFECTS = (
    ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, UnstorableError, ValueError
)  # fmt: skip
"""What a mistake of ours in the fold looks like: it concerns one contact, not the store."""

_NOTHING_NEW: list[Identity] = []
"""Identities of an arrival that are nobody's yet, where there are none: not to be changed."""

_DONE = "done"
_LEARNED = "learned"
_BROUGHT_UP = "brought_up"
_CANCELLING = "cancelling"
_EVERYTHING = 10**9
_NEVER = 2**63
_KNOWN = "user_id"
"""The namespace of people who are known; anybody else is anonymous until they are found to be one of these."""

_UNKNOWN_MESSAGE = Problem(
    code="unknown_message",
    message="the reaction names no message of ours",
    pointer="/properties/message_id",
    hint="pass on the id that was sent with the message",
)
_TAKEN = Problem(
    code="identity_taken",
    message="the card belongs to somebody else",
    pointer="/card",
    hint="give a card that is nobody's, or merge the two contacts first",
)
_UNKNOWN_CODE = Problem(code="unknown_code", message="there is no coupon of this code", pointer="/code")
_NO_IDENTITY = Problem(code="no_identity", message="nothing says whose this is", hint="send a userId or an anonymousId")
