"""Where a scenario runs: hosts that differ in how they work, and must come to the same.

| host       | what                                                                                        |
|------------|---------------------------------------------------------------------------------------------|
| `memory`   | the reference: a memory store; every timer fires as the clock passes it                      |
| `embedded` | the store of the service, in files; closed and opened again before each step                 |
| `late`     | a memory store; timers are looked at only when an input of their contact or a look asks for it |
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from parcours.core.gate import Arrival
from parcours.core.inputs import Move
from parcours.errors import Problem
from parcours.ports import Store
from parcours.runtimes.engine import Outcome
from parcours.runtimes.simulation import Simulation
from parcours.stores.memory import MemoryStore
from parcours.stores.sqlite import SqliteStore


class Host:
    """The memory host. Others change what they do differently."""

    def __init__(self, start: int) -> None:
        self.run = Simulation(MemoryStore(), start)

    @property
    def store(self) -> Store:
        """Where the state is."""
        return self.run.store

    @property
    def now(self) -> int:
        """The instant at which the clock stands."""
        return self.run.clock.now()

    def begin_step(self) -> None:
        """A step begins."""

    def advance(self, to: int) -> None:
        """Move the clock on."""
        self.run.advance(to)

    def send(self, arrival: Arrival) -> Outcome:
        """Let something come in."""
        return self.run.send(arrival)[0]

    def publish(self, definitions: Sequence[dict[str, Any]]) -> None:
        """Put definitions in force.

        Raises:
            InvalidDefinitionError: They were refused.
        """
        self.run.publish(definitions)

    def move(self, move: Move) -> list[Problem]:
        """Move runs to another version; return what keeps them from being moved."""
        problems = self.run.engine.move(move).errors
        self.run.advance(self.now)
        return problems

    def settle(self) -> None:
        """Do all that is due by now: somebody looks."""

    def close(self) -> None:
        """Let go of everything."""
        self.store.close()


class EmbeddedHost(Host):
    """The store of the service. It is closed and opened again before each step: in turn in peace, and cut short."""

    def __init__(self, start: int) -> None:
        # In memory where there is such a folder: what is looked at is what is written, not the disk.
        memory = Path("/dev/shm")  # noqa: S108 (a folder with a name of its own is made in it)
        self._folder = tempfile.TemporaryDirectory(
            prefix="parcours-scenario-", dir=memory if os.access(memory, os.W_OK) else None
        )
        self._peaceful = True
        self.run = Simulation(self._open(), start)

    def _open(self) -> SqliteStore:
        return SqliteStore(Path(self._folder.name) / "store.db")

    def begin_step(self) -> None:
        now = self.now
        if self._peaceful:
            self.run.engine.flush()
        self._peaceful = not self._peaceful
        self.store.close()
        self.run = Simulation(self._open(), now)
        self.run.advance(now)

    def close(self) -> None:
        super().close()
        self._folder.cleanup()


class LateHost(Host):
    """Timers wait until somebody asks: what they do must still have been done at their own instant.

    Segments are read when it is time: a reading that is missed is made up for, and only once.
    """

    def advance(self, to: int) -> None:
        engine = self.run.engine
        while (at := engine.next_reading()) is not None and at <= to:
            self.run.clock.set(at)
            engine.read()
            while engine.reading:
                engine.read()
        self.run.clock.set(to)

    def send(self, arrival: Arrival) -> Outcome:
        return self.run.engine.accept([arrival])[0]

    def settle(self) -> None:
        self.run.advance(self.now)


HOSTS: dict[str, Callable[[int], Host]] = {"memory": Host, "embedded": EmbeddedHost, "late": LateHost}
"""Every host, by name; each is made with the instant at which the clock stands at first."""
