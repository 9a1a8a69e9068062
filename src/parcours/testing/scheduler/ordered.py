"""The world in order: what has to come of a scenario."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from parcours.core.effects import Message
from parcours.definitions.message import LINES
from parcours.runtimes.engine import Accepted, Outcome
from parcours.runtimes.simulation import Simulation
from parcours.stores.memory import MemoryStore
from parcours.testing.scheduler.channels import Channels, answer_of, posted_of
from parcours.testing.snapshot import EVERYTHING
from parcours.testing.strategies import START


class Ordered(Simulation):
    """A simulation in which channels answer, and nothing goes wrong."""

    def __init__(self, channels: Channels) -> None:
        super().__init__(MemoryStore(), START)
        self.channels = channels
        self.owners: dict[str, str] = {}
        """Message ids of arrivals that were accepted to their contacts."""
        self.became: dict[str, str] = {}
        """Contacts to the ones that they became part of."""

    def advance(self, to: int) -> None:
        """Move the clock to an instant; every timer on the way fires at its own, and every answer comes at its own."""
        while True:
            self.channels.look(self.store)
            stops = (self.engine.next_due(), self.channels.next())
            at = min([to, *(stop for stop in stops if stop is not None)])
            super().advance(at)
            self.channels.look(self.store)
            for id_, told in self.channels.due(at):
                posted = posted_of(self.store, told.message)
                if self.channels.heard(told, posted):
                    self.engine.accept(*answer_of(id_, told, posted))
                    self._settle()
            if at >= to:
                return

    def send(self, *arrivals: Any) -> list[Outcome]:
        """Let arrivals come in now, as one batch."""
        outcomes = super().send(*arrivals)
        for arrival, outcome in zip(arrivals, outcomes, strict=True):
            if isinstance(outcome, Accepted):
                self.owners[arrival.message_id] = outcome.contact
        # Now, for of who is erased later nobody can tell.
        there = self.store.scan(limit=EVERYTHING)
        self.became.update({contact.id: contact.merged_into for contact in there if contact.merged_into})
        return outcomes

    def messages(self, channels: Sequence[str] = tuple(LINES)) -> list[Message]:
        """Return every message that was decided and is kept, sent or not, in order of decision."""
        return [item.message for item in self.store.outbox(0, EVERYTHING) if item.message.channel in channels]
