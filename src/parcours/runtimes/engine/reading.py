"""Segments that are read into journeys, a slice at a time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import structlog

from parcours.core import ids
from parcours.core.inputs import Enter
from parcours.ports import Changes, Settlement
from parcours.runtimes.engine.batch import Batch
from parcours.runtimes.engine.folding import DEFECTS
from parcours.runtimes.engine.publishing import Publishing
from parcours.runtimes.readings import Reading, mark_name

_log = structlog.get_logger(__name__)


class ReadingSegments(Publishing):
    """Reads segments into the journeys that ask for it."""

    @property
    def reading(self) -> bool:
        """Whether a segment is still being read into a journey, or something else goes on in slices."""
        busy = self._bringing is not None or self._cancelling is not None
        return busy or self._readings.under_way(self.clock.now())

    def read(self, settlements: Sequence[Settlement] = (), *, finish: bool = True) -> bool:
        """Read the next slice of a segment into the journey that asks for it; return whether there is more to read.

        How far it got is committed with the entries, so a reading that was cut off goes on where it was; settlements are
        kept with them. Unless told to `finish`, that is left to be called.

        Raises:
            StoreError: Nothing of the slice was kept.
        """
        settled = list(settlements)
        if self._bringing is not None:
            self._settle(settled)
            # First, so that who is read into a journey is known by all that its condition counts.
            self._bring_up(self._bringing)
            return self.reading
        if self._cancelling is not None:
            self._settle(settled)
            self._cancel(self._cancelling)
            return self.reading
        self._turn_until(self.clock.now())
        now = self.clock.now()
        reading = self._readings.current(now)
        if reading is None:
            self._settle(settled)
            return self.reading
        self.catch_up()
        assert reading.after is not None  # noqa: S101 (it is under way)
        found = self.store.ids(reading.after, self.SLICE)
        batch = Batch(self.store.last_position())
        batch.changes.passing = True
        batch.changes.settlements = settled
        before, reading.after = reading.after, found[-1] if len(found) == self.SLICE else None
        place: dict[str, str | None] = {mark_name(reading.journey): reading.mark()}
        batch.changes.marks |= place
        try:
            try:
                for first in range(0, len(found), self.PART):
                    batch = self._write_part(batch) if first else batch
                    members = self._members(reading, found[first : first + self.PART], now)
                    self._enter(batch, reading, members, now, certain=reading.certain)
                self._write(batch)
            except DEFECTS:
                self._forget()
                reading.begun = False
                self._enter_each(reading, found, now)
                # What the members took of what all share is kept with each of them, and not what was taken at first.
                rest = Batch.of_marks(self.store.last_position(), place)
                rest.changes.settlements = settled
                self._commit(rest)
            else:
                reading.begun = True
                if finish:
                    self.finish()
        except BaseException:
            self._forget()
            _go_back(reading, before)
            raise
        if self._begun:
            self._undo = partial(_go_back, reading, before)
        return self.reading

    def _members(self, reading: Reading, found: Sequence[str], now: int) -> list[str]:
        """Return who of some contacts is a member of what is read; one that cannot be asked is left out."""
        question = reading.journey.segment
        members: list[str] = []
        for contact in self.store.contacts(found).values():
            if question is None or contact.merged_into or contact.erased_at:
                continue
            try:
                if question.ask(contact, {}, now):
                    members.append(contact.id)
            except DEFECTS:
                _log.exception("entry_failed", journey=reading.journey.name, contact=contact.id)
        return members

    def _settle(self, settled: list[Settlement]) -> None:
        if settled:
            self.store.commit(Changes(settlements=settled))

    def _enter(
        self, batch: Batch, reading: Reading, members: Sequence[str], now: int, *, certain: bool = False
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

    def _enter_each(self, reading: Reading, found: Sequence[str], now: int) -> None:
        """Let one member after the other in, for there is one among them that cannot be folded and is left out."""
        self.catch_up()
        for id_ in self._members(reading, found, now):
            batch = Batch(self.store.last_position())
            try:
                self._enter(batch, reading, [id_], now)
                self._commit(batch)
            except DEFECTS:
                self._forget()
                _log.exception("entry_failed", journey=reading.journey.name, contact=id_)


def _go_back(reading: Reading, after: str | None) -> None:
    """Let a slice that is not kept, as far as one can tell, be read again: who entered with it is asked."""
    reading.after, reading.begun = after, False
