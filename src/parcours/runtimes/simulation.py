"""The memory host on a virtual clock: journeys as they would run, in no time and with nothing sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from parcours.core.effects import Message, Trace
from parcours.core.inputs import Move
from parcours.core.moves import MoveCheck
from parcours.core.prepared import AnyArrival
from parcours.definitions.message import CHANNELS
from parcours.errors import InvalidDefinitionError, Problem
from parcours.ports import Store
from parcours.runtimes.clocks import VirtualClock
from parcours.runtimes.engine import Engine, Outcome


class Simulation:
    """An engine whose time is set by hand.

    Args:
        store: Where the state lives; as a rule a new memory store.
        start: The instant at which the clock stands at first, in milliseconds.
    """

    def __init__(self, store: Store, start: int = 0) -> None:
        self.store = store
        self.clock = VirtualClock(start)
        self.engine = Engine(self.store, self.clock)

    def publish(self, definitions: Sequence[dict[str, Any]]) -> list[Problem]:
        """Publish definitions and do at once what follows; return the warnings.

        Raises:
            InvalidDefinitionError: They were refused.
        """
        errors, warnings = self.engine.publish(definitions)
        if errors:
            raise InvalidDefinitionError(errors)
        self._settle()
        return warnings

    def move(self, move: Move) -> MoveCheck:
        """Move runs to another version of their journey and do at once what follows."""
        found = self.engine.move(move)
        self._settle()
        return found

    def advance(self, to: int) -> None:
        """Move the clock to an instant; every timer on the way fires at its own, and segments are read at theirs."""
        while (at := self.engine.next_reading()) is not None and at < to:
            self.clock.set(max(at, self.clock.now()))
            self._settle()
        self.clock.set(to)
        self._settle()

    def send(self, *arrivals: AnyArrival) -> list[Outcome]:
        """Let arrivals come in now, as one batch."""
        outcomes = self.engine.accept(arrivals)
        self._settle()
        return outcomes

    def messages(self, channels: Sequence[str] = tuple(CHANNELS)) -> list[Message]:
        """Return every message that was decided, in order of decision."""
        found = [item for channel in channels for item in self.store.pending(channel, 0, 1_000_000)]
        return [item.message for item in sorted(found, key=lambda item: item.sequence)]

    def trace(self, contact: str) -> list[Trace]:
        """Return a contact's trace, oldest first."""
        return [entry for _, entries in reversed(self.store.trace(contact)) for entry in entries]

    def _settle(self) -> None:
        while self.engine.tick() or self.engine.reading:
            self.engine.read()
