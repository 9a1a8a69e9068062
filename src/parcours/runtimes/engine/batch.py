"""What one micro-batch comes to, until it is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from operator import attrgetter
from typing import NamedTuple

import structlog

from parcours.core.chains import ENDLESS
from parcours.core.contact import Contact
from parcours.core.effects import TEST, Effects, Trace, What
from parcours.core.inputs import Input
from parcours.core.prepared import Prepared
from parcours.ports import Changes, Statistic

_log = structlog.get_logger(__name__)


class Begun(NamedTuple):
    """What is still to be done of a batch that was written, once it is durable."""

    due: list[tuple[int, str]]
    inputs: list[Input | Prepared]
    prepared: bool
    received_at: int
    whole: int | None


class Batch:
    """What one micro-batch has come to so far."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.between: dict[str, Contact] = {}
        """The two contacts of the transfer that is being folded."""
        self.changes = Changes()
        self.due: list[tuple[int, str]] = []
        self._counted: list[Statistic] = []
        """What statistics count, once for each time it was decided."""
        self.inputs: list[Input | Prepared] = []
        """What is learned from once the batch is kept."""
        self.spelled: set[str] = set()
        """Names that nobody defined and of which a spelling is kept already."""
        self.cut = 0
        """How often a chain without end was cut off."""
        self.prepared = False
        """Whether interactions that were made ready are among them."""
        self.received_at = 0
        """When they were received."""
        self.whole: int | None = None
        """The position up to which the knowledge that it stores is whole."""

    @classmethod
    def of_marks(cls, position: int, marks: dict[str, str | None]) -> Batch:
        """Return a batch that keeps nothing but marks."""
        batch = cls(position)
        batch.changes.marks = marks
        return batch

    def follower(self) -> Batch:
        """Return a batch that comes behind this one in the same transaction, and knows what this takes of what all share."""
        batch = Batch(self.position)
        batch.changes.passing = self.changes.passing
        batch.changes.marks |= self.changes.marks
        batch.changes.items |= self.changes.items
        return batch

    def begun(self) -> Begun:
        """Return what is still to be done."""
        return Begun(self.due, self.inputs, self.prepared, self.received_at, self.whole)

    def whole_changes(self) -> Changes:
        """Return what is to be written: what was kept, and how often each thing was decided."""
        if self._counted:
            self.changes.statistics = Counter(self._counted)
        return self.changes

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
        if effects.cut:
            self.cut += effects.cut
            failed = [f"{entry.journey}/{entry.step}" for entry in effects.trace if entry.what == What.FAILED]
            _log.error(ENDLESS, contact=contact.id, steps=failed)
        if effects.trace:
            changes.traces.append((contact.id, position, effects.trace))
            # Tests are not counted.
            self._counted += [_STATISTIC(entry) for entry in effects.trace if not entry.run.startswith(TEST)]
        timers = contact.timers
        if timers and timers[0].due != due_before:
            self.due.append((timers[0].due, contact.id))


_STATISTIC: Callable[[Trace], Statistic] = attrgetter("journey", "version", "step", "what", "reason")
