"""The world in disorder: kills, repeats, other orders, late ticks and full disks, as chance has it."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from parcours.core import ids
from parcours.core.gate import Arrival, Asked, Reacted
from parcours.core.plan import Plan
from parcours.errors import StoreError
from parcours.ports import Settlement
from parcours.runtimes.engine import Accepted, Duplicate, Engine, Outcome
from parcours.runtimes.simulation import Simulation
from parcours.stores.memory import MemoryStore
from parcours.stores.sqlite import SqliteStore
from parcours.testing.faults import FaultyStore, copy_store
from parcours.testing.scheduler.channels import Channels, Told, answer_of, posted_of
from parcours.testing.scheduler.comparing import fail
from parcours.testing.scheduler.ordered import Ordered
from parcours.testing.snapshot import Snapshot, snapshot
from parcours.testing.strategies import START, Step, copy_of

Check = Callable[[Snapshot, Plan], None]
"""Fails when something does not hold that must hold at any time."""

MOST_KILLS = 10
"""Kills between the slices of what is done at once."""

_T = TypeVar("_T")


class Report(msgspec.Struct):
    """What happened in one simulation."""

    seed: int
    inputs: int = 0
    """Records of the log at the end."""
    happened: Counter[str] = msgspec.field(default_factory=Counter)
    """How often what was drawn."""


class Disordered:
    """A world in which things go wrong, as chance has it."""

    def __init__(
        self,
        seed: int,
        chance: random.Random,
        channels: Channels,
        folder: Path,
        lateness: int,
        ordered: Ordered,
        check: Check,
    ) -> None:
        self.report = Report(seed)
        self._chance = chance
        self._channels = channels
        self._lateness = lateness
        self._ordered = ordered
        self._check = check
        self._folder = folder
        self._files = 0
        self._hold = chance.choice([0, 1, 3, 1_000])
        self._durable = chance.random() < 0.7  # noqa: PLR2004 (the store that can lose something is the one to look at)
        self._risk = chance.choice([0.0, 0.05, 0.2])
        """How likely something goes wrong where it may."""
        self.store: Any = FaultyStore(self._opened() if self._durable else MemoryStore())
        self._world = Simulation(self.store, START)
        self.clock = self._world.clock
        self._accepted: list[Arrival] = []

    @property
    def engine(self) -> Engine:
        """The engine that lives now."""
        return self._world.engine

    def close(self) -> None:
        """Let go of the store."""
        self.store.close()

    def _opened(self) -> SqliteStore:
        return SqliteStore(self._file(), hold=self._hold)

    def _file(self) -> Path:
        return self._folder / f"{self._files}.db"

    def _happens(self, what: str, risk: float | None = None) -> bool:
        """Draw whether something goes wrong here, and count it."""
        drawn = self._chance.random() < (self._risk if risk is None else risk)
        if drawn:
            self.report.happened[what] += 1
        return drawn

    # --- kills --------------------------------------------------------------------------------------------------------

    def _kill(self) -> None:
        """End the process where it stands, and start again with what is on the disk."""
        if self._durable:
            before = self._file()
            self._files += 1
            copy_store(self.store, self._file())
            with contextlib.suppress(StoreError):
                self.store.close()
            for file in (before, before.with_name(f"{before.name}-wal"), before.with_name(f"{before.name}-shm")):
                file.unlink(missing_ok=True)
            self.store = FaultyStore(self._opened())
        self._world.store = self.store
        self._world.engine = Engine(self.store, self.clock)

    def _settle(self) -> None:
        """Do what there is to do now, in slices between which the process may end.

        Some of it begins anew with the process, so one that never lives for as long as that takes would not get there.
        """
        left = MOST_KILLS
        while True:
            left -= self._dropped("tick", left)
            if not self.engine.tick() and not self.engine.reading:
                return
            left -= self._killed_between_slices(left)
            left -= self._dropped("read", left)
            self.engine.read()
            left -= self._killed_between_slices(left)

    def _dropped(self, what: str, left: int) -> int:
        """Begin a slice of timers or of a reading, and drop it before it is durable; return how often that was done."""
        before = left
        if left > 0 and self._happens("disk full in a slice"):
            left -= 1
            method, after = self._chance.choice([("write", 0), ("write", 1), ("write", 2), ("finish", 0)])
            self.store.fail(method, StoreError("the disk is full"), after=after)
            with contextlib.suppress(StoreError):
                getattr(self.engine, what)()
            self.store.heal()
        if left > 0 and self._durable and self._happens("killed in a slice"):
            left -= 1
            getattr(self.engine, what)(finish=False)
            self._kill()
        return before - left

    def _killed_between_slices(self, left: int) -> bool:
        killed = left > 0 and self._happens("killed between slices")
        if killed:
            self._kill()
        return killed

    def _accept(self, arrivals: Sequence[Arrival], told: Told | None = None) -> None:
        """Send a batch until it is acknowledged."""
        kept: list[bool] | None = None
        """Of each arrival, whether it is in the log, once that is known; None while all or none of them are."""
        first: list[Outcome] = []
        while True:
            settled = self._settlements(told)
            if self._happens("killed before"):
                self._kill()
            if self._happens("disk full"):
                self.store.fail("write", StoreError("the disk is full"))
                with contextlib.suppress(StoreError):
                    self.engine.accept([copy_of(arrival) for arrival in arrivals], settled)
                self.store.heal()
                # What one by one was written before is acknowledged by nobody, and known none the less.
                self._known(arrivals)
            outcomes = self.engine.begin([copy_of(arrival) for arrival in arrivals], settled)
            if kept is not None:
                known = [isinstance(outcome, Duplicate) for outcome in outcomes]
                if not all(known) and any(known):
                    fail(f"of a batch, a part was kept: {known}, after {first}")
            if self._durable and self._happens("killed between begin and finish"):
                self._kill()
                continue
            self.engine.finish()
            if self._happens("killed before the answer"):
                self._kill()
                # What was refused may be taken by now: whom it names may have become known behind it.
                kept_ones = zip(arrivals, outcomes, strict=True)
                again = [
                    copy_of(arrival) for arrival, outcome in kept_ones if isinstance(outcome, Accepted | Duplicate)
                ]
                for other in self.engine.accept(again):
                    if other != Duplicate():
                        fail(f"what was kept is not known: {other}")
            break
        self._known(arrivals)

    def _known(self, arrivals: Sequence[Arrival]) -> None:
        """Note which arrivals are in the log."""
        keys = {ids.message_key(arrival.source, arrival.message_id): arrival for arrival in arrivals}
        self._accepted += [keys[key] for key in sorted(self.store.seen(list(keys)))]

    def _settlements(self, told: Told | None) -> list[Settlement]:
        if told is None or told.reaction:
            return []
        posted = posted_of(self.store, told.message)
        if posted is None or posted.state != "pending" or posted.attempts >= told.attempts:
            return []  # it was settled before the kill
        return answer_of("", told, posted)[1]

    # --- what happens -------------------------------------------------------------------------------------------------

    def play(self, script: Sequence[Step]) -> None:
        """Let a script happen."""
        waiting = list(script)
        while waiting:
            step = waiting.pop(0)
            self._go_to(step.at)
            if step.arrivals:
                together = [step]
                while waiting and waiting[0].arrivals and waiting[0].at == step.at:
                    together.append(waiting.pop(0))
                self._come([arrival for one in together for arrival in one.arrivals])
            self._change(step)
            if self._accepted and self._happens("repeated", 0.1):
                self._repeat()
            if self._happens("checked", 0.1) or not waiting:
                self._settle()
                self._look()
        self.report.inputs = self.store.last_position()

    def _go_to(self, to: int) -> None:
        """Move the clock to an instant, ticking early enough for what channels answer."""
        while True:
            self._channels.look(self.store)
            due, turn = self.engine.next_due(), self.engine.plan.next_turn
            late = self._chance.randint(0, self._lateness)
            stops = (None if due is None else due + late, turn, self._channels.next())
            at = min([to, *(stop for stop in stops if stop is not None)])
            self.clock.set(at)
            if not self._lateness or turn == at or due is None or due + late <= at:
                self._settle()
            self.report.happened["late"] += due is not None and due < at
            self._channels.look(self.store)
            self._tell(self._channels.due(at))
            if at >= to:
                return

    def _tell(self, coming: list[tuple[str, Told]]) -> None:
        """Let channels answer: what concerns one person in order, people in any."""
        people: dict[str, list[tuple[str, Told]]] = {}
        for id_, told in coming:
            contact = ids.contact_of_message(told.message) or ""
            people.setdefault(self._person(contact), []).append((id_, told))
        for id_, told in self._mixed(list(people.values())):
            posted = posted_of(self.store, told.message)
            if self._channels.heard(told, posted):
                self.report.happened["reacted" if told.reaction else told.state] += 1
                self._accept(answer_of(id_, told, posted)[0], told)
                if not self._lateness:
                    self._settle()

    def _person(self, contact: str) -> str:
        """Return whom a contact is part of in the end: what its parts did in one instant is in order, too."""
        while contact in self._ordered.became:
            contact = self._ordered.became[contact]
        return contact

    def _mixed(self, queues: list[list[_T]]) -> list[_T]:
        """Return what is in queues in a random order that keeps that of each."""
        order = [index for index, queue in enumerate(queues) for _ in queue]
        self._chance.shuffle(order)
        heads = [iter(queue) for queue in queues]
        return [next(heads[index]) for index in order]

    def _come(self, arrivals: list[Arrival]) -> None:
        """Let arrivals of one instant come, in batches of any size and with those of others in any order."""
        before = arrivals
        arrivals = self._mixed(self._apart(arrivals))
        self.report.happened["mixed"] += any(one is not other for one, other in zip(arrivals, before, strict=True))
        while arrivals:
            size = self._chance.choice([1, 1, 2, len(arrivals)])
            batch, arrivals = arrivals[:size], arrivals[size:]
            self.report.happened["batched"] += len(batch) > 1
            self._accept(batch)
            if not self._lateness:
                self._settle()

    def _apart(self, arrivals: Sequence[Arrival]) -> list[list[Arrival]]:
        """Return arrivals by whom they may concern: those that share an identity, a contact or a card are together.

        So are who gives points and who is to have them.
        """
        groups: list[tuple[set[Any], list[int]]] = []
        """Names, and places of arrivals, for an arrival that comes again may be the very same object."""
        for place, arrival in enumerate(arrivals):
            identities = list(arrival.identities)
            if isinstance(arrival.what, Asked) and arrival.what.to is not None:
                identities.append(arrival.what.to)
            names: set[Any] = set(identities)
            names.update(map(self._person, self.store.resolve(identities).values()))
            if arrival.message_id in self._ordered.owners:
                names.add(self._person(self._ordered.owners[arrival.message_id]))
            if isinstance(arrival.what, Reacted):
                names.add(self._person(ids.contact_of_message(arrival.what.message) or ""))
            if isinstance(arrival.what, Asked) and arrival.what.card:
                names.add(arrival.what.card)
            # A repeat that was refused before may be of anybody, and comes after itself.
            names.add(arrival.message_id)
            own = [place]
            for others in [group for group in groups if group[0] & names]:
                groups.remove(others)
                names |= others[0]
                own += others[1]
            groups.append((names, own))
        # In the order in which they came.
        return [[arrivals[place] for place in sorted(own)] for _, own in groups]

    def _change(self, step: Step) -> None:
        if step.definitions:
            self._world.engine.publish(step.definitions)
            self._settle()
        if step.move is not None:
            self.engine.move(step.move)
            self._settle()
        if step.erased:
            self.engine.erase(step.erased, suppress=step.suppress)
        if self._happens("killed between moves"):
            self._kill()

    def _repeat(self) -> None:
        arrival = copy_of(self._chance.choice(self._accepted))
        arrival.occurred_at = self.clock.now() - 1  # nothing but source and message id tells a repeat
        outcomes = self.engine.accept([arrival, copy_of(arrival)])
        if outcomes != [Duplicate(), Duplicate()]:
            fail(f"a repeat is none: {outcomes}")

    def _look(self) -> None:
        self._check(snapshot(self.store), self.engine.plan)
