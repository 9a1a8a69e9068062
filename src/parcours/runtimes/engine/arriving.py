"""Arrivals: whose they are, whether they are taken, and their place in the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import structlog

from parcours.core import ids
from parcours.core.codec import UNENCODABLE, decode_contact, encode
from parcours.core.effects import TEST, What
from parcours.core.gate import DAY, Arrival, Asked, Reacted, admit
from parcours.core.inputs import (
    Absorb,
    Dissolve,
    Enter,
    Interaction,
    Transfer,
)
from parcours.core.prepared import AnyArrival, Prepared
from parcours.errors import Problem
from parcours.ports import Changes, Identity, Record, Settlement
from parcours.runtimes.engine import rewards
from parcours.runtimes.engine.batch import Batch
from parcours.runtimes.engine.direct import Direct
from parcours.runtimes.engine.folding import DEFECTS
from parcours.runtimes.engine.outcomes import Accepted, Duplicate, Marking, Outcome, Refused
from parcours.runtimes.engine.people import People
from parcours.runtimes.engine.publishing import Publishing

_log = structlog.get_logger(__name__)


class Arriving(Publishing):
    """Takes arrivals in, one micro-batch at a time."""

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
        except DEFECTS as error:
            self._forget()
            if len(arrivals) != 1:
                return self._begin_each(arrivals, settled, marking)
            if settled or marking is not None:
                marks: dict[str, str | None] = {} if marking is None else dict(marking([_failed(error)]))
                self.store.commit(Changes(settlements=settled, marks=marks))
            _log.exception("input_failed", message_id=arrivals[0].message_id)
            return [_failed(error)]
        except BaseException:
            # What was folded is not kept, and must not be written with a later batch.
            self._forget()
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

    def _begin(
        self, arrivals: Sequence[AnyArrival], settlements: list[Settlement], marking: Marking | None
    ) -> list[Outcome]:
        clock = self.clock
        keys = [arrival.key or ids.message_key(arrival.source, arrival.message_id) for arrival in arrivals]  # type: ignore[union-attr]  # what was made ready has a key
        repeated = self.store.seen(keys)
        batch = Batch(self.store.last_position())
        people = People(self.store, arrivals)
        batch.changes.settlements = settlements
        outcomes: list[Outcome] = []
        batch.received_at = now = clock.now()
        horizon = clock.horizon()
        direct: Direct | None = None
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
                direct = direct or Direct(self, batch, people)
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
        if self.store.last_position() - self._whole >= self.LEARNED_BEHIND:
            self._keep_knowledge(batch)
        if marking is not None:
            batch.changes.marks.update(marking(outcomes))
        self._write(batch)
        return outcomes

    def _take(
        self, batch: Batch, people: People, arrival: Arrival, key: bytes, now: int, horizon: int
    ) -> Accepted | Refused:
        """Admit an arrival, give it its place in the log and fold it."""
        owner, new = people.whose(arrival)
        if owner is None:
            return Refused(_UNKNOWN_MESSAGE if isinstance(arrival.what, Reacted) else _NO_IDENTITY)
        if type(arrival.what) is Asked and (problem := people.unaskable(arrival, owner)) is not None:
            return Refused(problem)
        if self._tombstones and (problem := self._buried(arrival.identities, arrival, now)) is not None:
            return Refused(problem)
        others = people.others(arrival, owner) if len(arrival.identities) > 1 else []
        if isinstance(owner, str):
            for id_ in (*others, *people.receivers(arrival), owner):
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
        if isinstance(item, Transfer):
            self._address(batch, contact, item, people.contact(people.receivers(arrival)[0]))
            body = encode(item)
        elif self._complete(batch, contact, item):
            body = encode(item)
        batch.changes.records.append(Record(batch.position, contact.id, key, body))
        self._fold(batch, contact, item)
        batch.inputs.append(item)
        return Accepted(item.position, contact.id)  # others may have followed

    def _carried(self, arrivals: Sequence[AnyArrival]) -> int:
        """Return up to which instant the first of arrivals carries the clock."""
        at = arrivals[0].occurred_at if arrivals and self.clock.follows_inputs else None
        if at is not None and at <= self.clock.horizon() + DAY:
            self.clock.observe(at)
        return self.clock.now()

    def _may_turn_on_the_way(self) -> bool:
        """Whether arrivals of one batch may carry the clock over an instant at which a journey begins or ends."""
        return self.clock.follows_inputs and self.plan.next_turn is not None

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

    def _merge(self, batch: Batch, people: People, into: str, others: list[str], now: int, *, backfill: bool) -> None:
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

    def try_out(self, journey: str, contacts: Sequence[str], attributes: Mapping[str, Any]) -> dict[str, str]:
        """Let contacts begin a test of a journey; return the run of each that began one.

        Raises:
            StoreError: No test was begun.
        """
        now = self.clock.now()
        self._turn_until(now)
        self.catch_up()
        batch = Batch(self.store.last_position())
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
            self._forget()
            raise
        return found


def _failed(error: Exception) -> Refused:
    problem = Problem(code="internal_error", message=f"could not be processed: {type(error).__name__}")
    return Refused(problem)


_UNKNOWN_MESSAGE = Problem(
    code="unknown_message",
    message="the reaction names no message of ours",
    pointer="/properties/message_id",
    hint="pass on the id that was sent with the message",
)
_NO_IDENTITY = Problem(code="no_identity", message="nothing says whose this is", hint="send a userId or an anonymousId")
