"""Timers: whose come due, and firing them."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable
from functools import partial
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
        due: dict[str, None] = {}  # as a set that keeps its order: what was due first is decided first
        while self._due and self._due[0][0] <= now and len(due) < self.LARGEST_TICK:
            at, contact = heapq.heappop(self._due)
            if self._reminders.get(contact) == at:
                del self._reminders[contact]
                due[contact] = None
        if not due:
            return 0
        try:
            try:
                self._wake(due, now, finish=finish)
            except DEFECTS:
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
        batch = Batch(self.store.last_position())
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
            except DEFECTS:
                self.store.forget()
                _log.exception("timer_failed", contact=contact)
