"""A world in which everything goes wrong that may, decided by one seed: journeys must come to the same all the same.

    scenario = scenario_of(seed)
    report = simulate(seed, scenario, folder)

A scenario is played twice. First in order, in a memory store: that is what has to come of it. Then on a store of the
kind under test, by a scheduler that draws from `random.Random(seed)` and from nothing else:

| it draws                                       | and what must hold                                                 |
|------------------------------------------------|--------------------------------------------------------------------|
| a kill before a batch, in the middle, after it | it is kept whole or not at all; what was acknowledged is kept       |
| a kill between slices of what is done by itself | it goes on where it was                                           |
| what was not acknowledged, sent again          | it is new exactly when nothing of it was kept                      |
| anything accepted, sent again at any time      | a duplicate, which changes nothing                                 |
| arrivals of an instant in another order, in batches of any size | contacts do not concern each other; one contact's stay in order |
| ticks up to an hour late                       | a timer is as if it fired at its own instant                       |
| a disk that is full for a while                | what could not be written changes nothing                          |
| small slices, states written late, little memory | nobody can tell                                                  |

In both worlds channels are slow: `Channels` decides by the seed and the message's id how often a provider fails, when it
takes a message at last or gives it up, and when the contact reacts, late and in any order.
"""

from __future__ import annotations

import contextlib
import heapq
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import msgspec
from hypothesis import HealthCheck, given, settings

from parcours.core import chains, ids
from parcours.core.codec import encode
from parcours.core.effects import Message
from parcours.core.gate import Arrival, Asked, Reacted
from parcours.core.inputs import Erase, Interaction
from parcours.core.plan import Plan
from parcours.definitions.message import LINES, WEBHOOK
from parcours.errors import StoreError
from parcours.ports import Posted, Record, Settlement, Store
from parcours.runtimes.engine import Accepted, Duplicate, Engine, Outcome
from parcours.runtimes.simulation import Simulation
from parcours.stores import sqlite
from parcours.stores.memory import MemoryStore
from parcours.stores.sqlite import SqliteStore
from parcours.testing.faults import FaultyStore, copy_store
from parcours.testing.snapshot import EVERYTHING, Snapshot, by_contact, snapshot
from parcours.testing.strategies import RING, START, Scenario, Step, copy_of, play, scenarios

Check = Callable[[Snapshot, Plan], None]
"""Fails when something does not hold that must hold at any time."""

HOUR = 3_600_000
AFTERWARDS = 9 * 24 * HOUR
"""Time that passes after the last move: every run and every message comes to its end."""

MOST_KILLS = 10
"""Kills between the slices of what is done at once."""

LATEST = HOUR - 60_000
"""Milliseconds by which a tick may be late: less than any channel takes, which answers only what was decided."""

_T = TypeVar("_T")
_BYTES = 16_384
_DELAYS = (HOUR, 2 * HOUR, 6 * HOUR, 7 * HOUR, 26 * HOUR, 49 * HOUR)


class Report(msgspec.Struct):
    """What happened in one simulation."""

    seed: int
    inputs: int = 0
    """Records of the log at the end."""
    happened: Counter[str] = msgspec.field(default_factory=Counter)
    """How often what was drawn."""


def scenario_of(seed: int) -> Scenario:
    """Return the scenario of a seed: the same for ever, as long as the strategies and Hypothesis are the same."""
    found: list[Scenario] = []

    @settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(scenarios(loyalty=True))
    def take(scenario: Scenario) -> None:
        found.append(scenario)

    chance = random.Random(f"scenario {seed}")  # noqa: S311 (chance that can be repeated)
    while not found:
        take.hypothesis.fuzz_one_input(chance.randbytes(_BYTES))  # type: ignore[attr-defined]
    scenario = found[0]
    if chance.random() < 0.5:  # noqa: PLR2004 (drawn journeys seldom send much)
        scenario = msgspec.structs.replace(scenario, definitions=[*scenario.definitions, BUSY])
    if RING[0] not in scenario.definitions and chance.random() < 0.2:  # noqa: PLR2004 (these hardly ever are endless)
        scenario = msgspec.structs.replace(scenario, definitions=[*scenario.definitions, *RING])
    return scenario


BUSY = {
    "kind": "journey",
    "name": "busy",
    "entry": {"type": "interaction", "interaction": ["Go", "Paid", "Seen"]},
    "re_entry": "always",
    "max_duration": "5d",
    "start": "first",
    "steps": {
        "first": {"type": "send", "messages": ["news", "receipt", "card"], "next": "answer"},
        "answer": {
            "type": "wait_for",
            "events": [
                {"type": "reaction", "reaction": "opened", "message": "news", "next": "second"},
                {"type": "reaction", "reaction": "delivered", "message": "receipt", "next": "pause"},
            ],
            "timeout": {"after": "1d", "next": "second"},
        },
        "pause": {"type": "wait", "for": "6h", "next": "second"},
        "second": {"type": "send", "messages": ["ping", "offer"], "next": "thanks"},
        "thanks": {
            "type": "wait_for",
            "events": [{"type": "reaction", "reaction": "clicked"}, {"type": "interaction", "interaction": "Paid"}],
            "timeout": {"after": "2d"},
            "next": "last",
        },
        "last": {"type": "send", "messages": ["nudge", "text"]},
    },
}
"""A journey that sends much and waits for answers: beside the drawn ones in every other scenario."""


def simulate(seed: int, scenario: Scenario, folder: Path, check: Check = lambda _found, _plan: None) -> Report:
    """Play a scenario in order and in disorder, and compare.

    Args:
        seed: Decides everything that is drawn.
        scenario: What happens.
        folder: An empty folder for files of stores.
        check: Called with what the store holds, now and then and at the end.

    Raises:
        AssertionError: What came of it in disorder is not what had to come of it, or something did not hold.
    """
    chance = random.Random(f"disorder {seed}")  # noqa: S311 (chance that can be repeated)
    lateness = chance.choice([0, 0, 60_000, LATEST])
    expected = Ordered(Channels(seed, slow=lateness > 0))
    with _sizes(chance), mock.patch.object(chains, "MOST_MADE", chance.choice([3, 3, 20])):
        script = play(expected, scenario)
        end = script[-1].at + AFTERWARDS
        expected.advance(end)
        world = Disordered(seed, chance, Channels(seed, slow=lateness > 0), folder, lateness, expected, check)
        try:
            world.play([*script, Step(end, [])])
            _same(snapshot(world.store), snapshot(expected.store))
        finally:
            world.close()
        world.report.happened["cut off"] = expected.engine.cut
    return world.report


@contextlib.contextmanager
def _sizes(chance: random.Random) -> Iterator[None]:
    """Let slices be small and what is put off be put off for any length."""
    drawn: list[tuple[Any, str, list[float]]] = [
        (Engine, "LARGEST_TICK", [1, 2, 1_000]),
        (Engine, "SLICE", [1, 2, 1_000]),
        (Engine, "PART", [1, 2, 50]),
        # By the machine's clock it would not be the same when it is repeated.
        (Engine, "LONGEST_TURN", [-1.0, 1e9]),
        (sqlite, "SMALL_BATCH", [0, 1, 2]),
        (sqlite, "LONGEST_BEHIND", [1, 3, 10]),
        (sqlite, "SLICE", [1, 3, 10]),
    ]
    with contextlib.ExitStack() as stack:
        for module, name, sizes in drawn:
            stack.enter_context(mock.patch.object(module, name, chance.choice(sizes)))
        yield


# --- channels ---------------------------------------------------------------------------------------------------------


class Told(msgspec.Struct, frozen=True):
    """Something that becomes of a message: a try to send it, or a reaction."""

    message: str
    attempts: int = 0
    state: str = ""
    """Of the try: `pending`, `sent` or `failed`; empty for a reaction."""
    due: int = 0
    reaction: str = ""
    call: bool = False
    """Whether a webhook is called, which answers at once."""


class Channels:
    """What providers and people make of messages: decided by the seed and each message's id, so alike in both worlds.

    Args:
        seed: Decides.
        slow: Whether nothing is answered within the first hour.
    """

    def __init__(self, seed: int, *, slow: bool) -> None:
        self._seed = seed
        self._delays = _DELAYS if slow else (1_000, 60_000, *_DELAYS)
        self._coming: list[tuple[int, str, int, Told]] = []
        self._known: set[str] = set()
        self._sent: set[str] = set()

    def look(self, store: Store) -> None:
        """Take up the messages that are new in a store."""
        for posted in store.outbox(0, EVERYTHING):
            if posted.message.id not in self._known:
                self._known.add(posted.message.id)
                for index, (at, told) in enumerate(self._fate(posted.message)):
                    heapq.heappush(self._coming, (at, told.message, index, told))

    def next(self) -> int | None:
        """Return when something is told next."""
        return self._coming[0][0] if self._coming else None

    def due(self, now: int) -> list[tuple[str, Told]]:
        """Return what is told by an instant, in order, each with an id of its own."""
        found = []
        while self._coming and self._coming[0][0] <= now:
            _, message, index, told = heapq.heappop(self._coming)
            found.append((f"{message}:{index}", told))
        return found

    def heard(self, told: Told, posted: Posted | None) -> bool:
        """Return whether it happens: a message that is gone or cancelled is not sent, and so nobody reacts to it."""
        if told.reaction:
            return told.message in self._sent
        there = posted is not None and posted.state == "pending"
        if there and told.state == "sent":
            self._sent.add(told.message)
        return there

    def _fate(self, message: Message) -> Iterator[tuple[int, Told]]:
        chance = random.Random(f"{self._seed} {message.id}")  # noqa: S311 (chance that can be repeated)
        call = message.channel == WEBHOOK
        at, attempts = message.decided_at, 0
        if chance.random() < 0.2:  # noqa: PLR2004 (a provider that takes nothing for now)
            return
        while chance.random() < 0.3:  # noqa: PLR2004 (tries that fail)
            at += chance.choice(self._delays)
            attempts += 1
            yield at, Told(message.id, attempts, "pending", at, call=call)
        at += chance.choice(self._delays)
        if chance.random() < 0.2:  # noqa: PLR2004 (given up)
            yield at, Told(message.id, attempts + 1, "failed", call=call)
            return
        yield at, Told(message.id, attempts + 1, "sent", call=call)
        if call:
            return
        for reaction in ("delivered", "opened", "clicked", "bounced", "complained", "unsubscribed"):
            # In no order: somebody may open what was not yet said to be delivered.
            for _ in range(chance.choice(_TIMES.get(reaction, _SELDOM))):
                yield at + chance.choice([0, *self._delays]), Told(message.id, reaction=reaction)


_TIMES = {"delivered": [0, 1, 1, 2], "opened": [0, 1, 1, 2], "clicked": [0, 0, 1]}
_SELDOM = [0] * 9 + [1]
"""How often a reaction comes."""


def _answer(id_: str, told: Told, posted: Posted | None) -> tuple[list[Arrival], list[Settlement]]:
    """Return what the engine is told."""
    arrivals = []
    if told.call and told.state != "pending":
        came = Reacted("failed", told.message, {"error": "gone"}, ours=True)
        if told.state == "sent":
            answer = {"status": 200, "body": {"age": told.attempts}}
            came = Reacted("answered", told.message, answer, ours=True)
        arrivals.append(Arrival("parcours", id_, (), came))
    elif told.reaction or told.state == "failed":
        reaction = Reacted(told.reaction or "bounced", told.message, {"channel": "email"})
        arrivals.append(Arrival("provider", id_, (), reaction))
    if told.reaction or posted is None:
        return arrivals, []
    return arrivals, [Settlement(posted.sequence, told.state, told.attempts, told.due)]


def _posted(store: Store, message: str) -> Posted | None:
    return next((item for item in store.outbox(0, EVERYTHING) if item.message.id == message), None)


# --- in order ---------------------------------------------------------------------------------------------------------


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
                posted = _posted(self.store, told.message)
                if self.channels.heard(told, posted):
                    self.engine.accept(*_answer(id_, told, posted))
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


# --- in disorder ------------------------------------------------------------------------------------------------------


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
            copy_store(before, self._file())
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
        while self.engine.tick() or self.engine.reading:
            left -= self._killed_between_slices(left)
            self.engine.read()
            left -= self._killed_between_slices(left)

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
                    _fail(f"of a batch, a part was kept: {known}, after {first}")
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
                        _fail(f"what was kept is not known: {other}")
            break
        self._known(arrivals)

    def _known(self, arrivals: Sequence[Arrival]) -> None:
        """Note which arrivals are in the log."""
        keys = {ids.message_key(arrival.source, arrival.message_id): arrival for arrival in arrivals}
        self._accepted += [keys[key] for key in sorted(self.store.seen(list(keys)))]

    def _settlements(self, told: Told | None) -> list[Settlement]:
        if told is None or told.reaction:
            return []
        posted = _posted(self.store, told.message)
        if posted is None or posted.state != "pending" or posted.attempts >= told.attempts:
            return []  # it was settled before the kill
        return _answer("", told, posted)[1]

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
            posted = _posted(self.store, told.message)
            if self._channels.heard(told, posted):
                self.report.happened["reacted" if told.reaction else told.state] += 1
                self._accept(_answer(id_, told, posted)[0], told)
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
            _fail(f"a repeat is none: {outcomes}")

    def _look(self) -> None:
        self._check(snapshot(self.store), self.engine.plan)


# --- comparing --------------------------------------------------------------------------------------------------------


def _fail(message: str) -> None:
    raise AssertionError(message)


def _same(found: Snapshot, expected: Snapshot) -> None:
    """Compare contact by contact, in places of the log within each contact."""
    found, expected = by_contact(_apart_from_order(found)), by_contact(_apart_from_order(expected))
    for part in Snapshot.__struct_fields__:
        one, other = getattr(found, part), getattr(expected, part)
        if one != other:
            raise AssertionError(f"{part} came to something else: {_difference(one, other)}")


def _apart_from_order(found: Snapshot) -> Snapshot:
    """Return a snapshot without what depends on the places of contacts among each other.

    These are the spelling of a name that nobody defined, which the first has, and the keys of erasures.
    """
    records = []
    for record in found.records:
        item = record.input()
        if isinstance(item, Interaction) and item.spelling:
            item.spelling = ""
            record = Record(record.position, record.contact, record.key, encode(item))  # noqa: PLW2901 (in its place)
        elif isinstance(item, Erase):
            record = Record(record.position, record.contact, b"", record.body)  # noqa: PLW2901 (in its place)
        records.append(record)
    return msgspec.structs.replace(found, records=records)


def _difference(one: Any, other: Any, place: str = "") -> str:
    """Return the first place where two values differ, with both."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}, key=repr):
            if one.get(key) != other.get(key):
                return _difference(one.get(key), other.get(key), f"{place}[{key!r}]")
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        for index, (a, b) in enumerate(zip(one, other, strict=False)):
            if a != b:
                return _difference(a, b, f"{place}[{index}]")
    if isinstance(one, msgspec.Struct) and type(one) is type(other):
        for name in one.__struct_fields__:
            if getattr(one, name) != getattr(other, name):
                return _difference(getattr(one, name), getattr(other, name), f"{place}.{name}")
    return f"{place}: {one!r} in disorder, {other!r} in order"
