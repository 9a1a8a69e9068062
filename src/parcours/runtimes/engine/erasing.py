"""Erasure of contacts, and interactions whose time to be kept is over."""

from __future__ import annotations

import contextlib

from parcours.conditions.durations import parse_duration
from parcours.core import ids
from parcours.core.contact import Contact
from parcours.core.inputs import (
    Erase,
    Grant,
    Interaction,
)
from parcours.errors import StoreError
from parcours.ports import Tombstone
from parcours.runtimes.engine import rewards
from parcours.runtimes.engine.batch import Batch
from parcours.runtimes.engine.folding import EVERYTHING
from parcours.runtimes.engine.publishing import Publishing


class Erasing(Publishing):
    """Erases contacts, and blanks interactions that were kept long enough."""

    def erase(self, contact: str, *, suppress: bool = False) -> list[str]:
        """Erase a contact, with all that became part of it, and return the ids of all these.

        What is left: empty records that say there were inputs, their message keys (a repeat is still one), counts, and
        for each identity a tombstone, so that nothing that occurred before is taken again, and for each code of a coupon
        one, so that nobody else gets it. With `suppress`, nothing is
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
        batch = Batch(self.store.last_position())
        people = self.store.contacts(everyone)
        for id_ in everyone:
            for identity in people[id_].identities:
                batch.changes.tombstones[ids.identity_key(*identity)] = Tombstone(now, suppress)
            for record in self.store.history(id_, EVERYTHING):
                past = record.input()
                self.learner.forget(past)  # type: ignore[arg-type]  # it concerns a contact
                if isinstance(past, Grant) and past.code:
                    # Nobody else gets the code: it may lie on a paper, or come with the next list of codes.
                    code = ids.identity_key(*rewards.identity_of(past.code))
                    batch.changes.tombstones[code] = Tombstone(now, suppressed=True)
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
            self._forget()
            with contextlib.suppress(StoreError):
                self._relearn()
            raise
        self._tombstones.update(batch.changes.tombstones)
        return everyone

    def _survivor(self, contact: str) -> Contact:
        state = self.store.contacts([contact])[contact]
        while state.merged_into:
            state = self.store.contacts([state.merged_into])[state.merged_into]
        if state.erased_at:
            raise KeyError(contact)
        return state

    def expire(self) -> bool:
        """Blank the next slice of interactions whose time to be kept is over; return whether there may be more.

        Raises:
            StoreError: Nothing of the slice was blanked.
        """
        if self._bringing is not None:
            return False  # what is new in the plan is still to be counted from them
        now = self.clock.now()
        for name, definition in self.plan.workspace.interactions.items():
            if definition.retention is None:
                continue
            until = now - parse_duration(definition.retention)
            mark = f"kept:{name}"
            after = int(self.store.mark(mark) or "0")
            if self._expire(mark, name, after, until):
                return True
        return False

    def _expire(self, mark: str, name: str, after: int, until: int) -> bool:
        # Of a blanked record nothing can be folded again, so states are whole before.
        self.flush()
        batch = Batch(self.store.last_position())
        at = after
        for record in self.store.log(after, self.SLICE):
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
        return at == after + self.SLICE
