"""Timers: whose come due, and firing them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import partial
from itertools import islice
from typing import ClassVar

import structlog

from parcours.runtimes.engine.batch import Batch
from parcours.runtimes.engine.folding import DEFECTS, Folding

_log = structlog.get_logger(__name__)


class Firing(Folding):
    """Fires timers of contacts when they come due."""

    LARGEST_TICK: ClassVar[int] = 1_000
    """Contacts whose timers fire in one transaction."""

    def _fire(self, now: int, *, finish: bool = True) -> int:
        due = self._reminders.take(now, self.LARGEST_TICK)
        if not due:
            return 0
        try:
            try:
                self._wake(due, now, finish=finish)
            except DEFECTS:
                self._forget()
                self._wake_each(due, now)
        except BaseException:
            self._forget()
            self._remind_all(due, now)
            raise
        if self._begun:
            self._undo = partial(self._remind_all, due, now)
        return len(due)

    def _remind_all(self, contacts: Iterable[str], due: int) -> None:
        for contact in contacts:
            self._reminders.add(due, contact)

    def _wake(self, contacts: Iterable[str], now: int, *, finish: bool = True) -> None:
        self.catch_up()
        batch = Batch(self.store.last_position())
        batch.changes.passing = True
        ahead = iter(contacts)
        while part := list(islice(ahead, self.PART)):
            self._wake_part(batch, part, now)
            batch = self._write_part(batch)
        if finish:
            self.finish()

    def _wake_part(self, batch: Batch, contacts: Collection[str], now: int) -> None:
        for contact in self.store.contacts(contacts).values():
            timers = contact.timers
            if timers and timers[0].due <= now:
                self._prepare(batch, contact, now)
            elif timers:
                self._reminders.add(timers[0].due, contact.id)

    def _wake_each(self, contacts: Collection[str], now: int) -> None:
        """Fire the timers of one contact after the other, for there is one among them that cannot be folded.

        Its timers are left alone until the next start, so that they hold up nobody else's.
        """
        for contact in contacts:
            try:
                self._wake([contact], now)
            except DEFECTS:
                self._forget()
                _log.exception("timer_failed", contact=contact)
