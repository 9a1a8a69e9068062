"""What a publication leaves to be done, a slice of everybody at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import ClassVar

import structlog

from parcours.core import ids
from parcours.core.inputs import (
    CANCELLED,
    Reaction,
)
from parcours.definitions.message import LINES
from parcours.ports import Changes, Clock, Pending, Settlement, Store
from parcours.runtimes.engine.batch import Batch
from parcours.runtimes.engine.firing import Firing
from parcours.runtimes.engine.folding import DEFECTS

_DONE = "done"
_BROUGHT_UP = "brought_up"
CANCELLING = "cancelling"
"""The mark that says that messages of stopped journeys are still to be cancelled."""

_log = structlog.get_logger(__name__)


class Slices(Firing):
    """Brings everybody up to the plan in force, and cancels what is pending of journeys that were stopped."""

    LONGEST_TURN: ClassVar[float] = 0.05
    """Seconds after which bringing contacts up to a plan lets others have their turn."""

    def __init__(self, store: Store, clock: Clock) -> None:
        super().__init__(store, clock)
        # What a channel had in hand when the process was killed was left to it, and is pending still.
        self._cancelling = Cancelling() if store.mark(CANCELLING) is not None or self.plan.stopped_at else None
        """How far messages of stopped journeys are cancelled; None when all are."""
        self.in_hand: Callable[[int], bool] = lambda _sequence: False
        """Whether a channel has a message in hand, told by its sequence: then it is sent, if it can be."""
        self._bringing: str | None = self._brought_up()
        """Behind which contact others are still to be brought up to the plan; None when all are."""

    @property
    def bringing_up(self) -> bool:
        """Whether some contacts have not been held against the plan yet: what it newly counts is not whole."""
        return self._bringing is not None

    def _brought_up(self) -> str | None:
        """Return behind which contact others are to be brought up to the plan, or None when all are."""
        revision, _, after = (self.store.mark(_BROUGHT_UP) or f"0:{_DONE}").partition(":")
        if int(revision) != self.plan.revision:
            return ""
        return None if after == _DONE else after

    def _bring_up(self, after: str) -> None:
        """Bring the next slice of contacts up to the plan, so that time alone can let them enter and leave segments."""
        self.catch_up()
        found = self.store.scan(after, self.SLICE)
        late = [contact.id for contact in found if contact.revision != self.plan.revision]
        behind = found[-1].id if len(found) == self.SLICE else _DONE
        try:
            try:
                behind = self._bring_these_up(late, behind)
            except DEFECTS:
                self._forget()
                self._bring_each_up(late, behind)
        except BaseException:
            self._forget()
            raise
        self._bringing = None if behind == _DONE else behind

    def _bring_these_up(self, contacts: Sequence[str], behind: str) -> str:
        """Bring contacts up in one transaction; return behind which contact others are left, `behind` if all were."""
        self.catch_up()
        until = time.monotonic() + self.LONGEST_TURN
        batch = Batch(self.store.last_position())
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
            except DEFECTS:
                self._forget()
                _log.exception("bring_up_failed", contact=id_)
        self._bring_these_up([], behind)

    def _cancel(self, work: Cancelling) -> None:
        """Do the next slice of cancelling what is pending of stopped journeys: find it first, then go by contact."""
        stopped = self.plan.stopped_at
        if work.channels:
            found = self.store.pending(work.channels[0], work.after, self.SLICE)
            work.found += [
                item
                for item in found
                if item.message.decided_at <= stopped.get(item.message.journey, -1) and not self.in_hand(item.sequence)
            ]
            work.after = found[-1].sequence if len(found) == self.SLICE else 0
            if not work.after:
                work.channels.pop(0)
            if not work.channels:
                # Whichever order the outbox is in between contacts, the log is in this one.
                work.found.sort(key=lambda item: (item.message.contact, item.sequence), reverse=True)
            return
        slice_, now = [work.found.pop() for _ in range(min(self.SLICE, len(work.found)))], self.clock.now()
        marks: dict[str, str | None] = {} if work.found else {CANCELLING: None}
        try:
            try:
                self._cancel_these(slice_, now, marks)
            except DEFECTS:
                self._forget()
                self._cancel_each(slice_, now, marks)
        except BaseException:
            self._forget()
            self._cancelling = Cancelling()
            raise
        if not work.found:
            self._cancelling = None

    def _cancel_these(self, found: Sequence[Pending], now: int, marks: dict[str, str | None]) -> None:
        """Cancel messages in one transaction, together with marks."""
        self.catch_up()
        batch = Batch.of_marks(self.store.last_position(), marks)
        for item in found:
            self._cancel_one(batch, item, now)
        self._commit(batch)

    def _cancel_each(self, found: Sequence[Pending], now: int, marks: dict[str, str | None]) -> None:
        """Cancel one message after the other, for of one of them the contact cannot be told: it is not sent either."""
        for item in found:
            try:
                self._cancel_these([item], now, {})
            except DEFECTS:
                self._forget()
                _log.exception("cancel_failed", contact=item.message.contact, message_id=item.message.id)
                self.store.commit(Changes(settlements=[_cancelled(item)]))
        self._cancel_these([], now, marks)

    def _cancel_one(self, batch: Batch, pending: Pending, now: int) -> None:
        """Settle a message as not to be sent, and tell its contact's trace."""
        message = pending.message
        batch.changes.settlements.append(_cancelled(pending))
        known = batch.changes.contacts
        contact = known.get(message.contact) or self.store.contacts([message.contact])[message.contact]
        while contact.merged_into:
            contact = known.get(contact.merged_into) or self.store.contacts([contact.merged_into])[contact.merged_into]
        if contact.erased_at:
            return  # since it was found: it went with everything of the contact
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


def _cancelled(pending: Pending) -> Settlement:
    error = f"{pending.message.journey} was stopped"
    return Settlement(pending.sequence, "cancelled", pending.attempts, error=error)


class Cancelling:
    """How far messages of stopped journeys are cancelled."""

    def __init__(self) -> None:
        self.channels = sorted(LINES)
        self.after = 0
        self.found: list[Pending] = []
