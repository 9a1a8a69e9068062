"""The embedded host: one process, one event loop, one store.

Arrivals from many requests are folded together: while one batch is being committed the next one gathers, so a lone
input is committed at once and a flood in large batches, without a setting.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import msgspec
import structlog

from parcours.core.contact import Contact
from parcours.core.inputs import Move
from parcours.core.moves import MoveCheck
from parcours.core.permission import address
from parcours.core.prepared import AnyArrival
from parcours.definitions.load import load_data
from parcours.definitions.templates import KnownNames, Name, signing_secrets, template_findings, templates_in
from parcours.errors import ParcoursError, Problem, StoreError
from parcours.ports import Channel, Secrets, Settlement, Store
from parcours.runtimes.calls import Render
from parcours.runtimes.engine import Accepted, Duplicate, Engine, Marking, Outcome
from parcours.runtimes.facts import Facts, as_message
from parcours.runtimes.outbox import Outbox
from parcours.runtimes.secrets import OperatorSecrets

LARGEST_BATCH = 1_000
"""Arrivals after which a batch takes no further request."""

SMALL_BATCH = 50
"""Arrivals below which a batch is committed at once, for a change of threads would take longer."""

SETTLE_SECONDS = 0.025
SETTLE_COUNT = 256
"""Settlements alone are committed after so long, or when there are so many: a crash before costs a repeated message,
which carries the same id."""

MOST_QUEUED = 100_000
"""Arrivals that may wait; beyond that senders are asked to come back."""

PAUSE_AFTER_FAILURE = 1.0
"""Seconds after the store failed in which it is left alone: no timers, no readings, and arrivals are refused at once."""

FAILING_SECONDS = 10.0
"""Seconds after the store failed in which the host is not healthy, unless something is committed."""

EXPIRE_EVERY = 3_600_000
"""Milliseconds between looks for interactions whose time to be kept is over."""

_log = structlog.get_logger(__name__)


class OverloadedError(ParcoursError):
    """More is waiting than can be taken; nothing of this request was."""

    code = "overloaded"


class Companion(Protocol):
    """Something that runs as long as the host does."""

    async def start(self) -> None:
        """Begin."""
        ...

    async def close(self) -> None:
        """End."""
        ...


class _Group(NamedTuple):
    """Arrivals that were submitted together."""

    arrivals: Sequence[AnyArrival]
    future: asyncio.Future[list[Outcome]]
    marking: Marking | None


def _parted(groups: Iterable[_Group], outcomes: Sequence[Outcome]) -> Iterator[tuple[_Group, list[Outcome]]]:
    """Yield each group with the outcomes of its own arrivals."""
    start = 0
    for group in groups:
        end = start + len(group.arrivals)
        yield group, list(outcomes[start:end])
        start = end


def _marking_of(groups: Sequence[_Group]) -> Marking | None:
    """Return what asks each group for its marks, or None when none has any."""
    if all(group.marking is None for group in groups):
        return None

    def marking(outcomes: Sequence[Outcome]) -> dict[str, str]:
        marks: dict[str, str] = {}
        for group, found in _parted(groups, outcomes):
            if group.marking is not None:
                marks.update(group.marking(found))
        return marks

    return marking


class Embedded:
    """Runs an engine and its outbox in the event loop it is started in."""

    def __init__(
        self,
        engine: Engine,
        channels: Mapping[str, Channel],
        render: Render,
        check: Callable[[Mapping[str, str]], list[Problem]] = lambda _content: [],
        names: Callable[[Mapping[str, str]], list[Name]] = lambda _content: [],
        secrets: Secrets | None = None,
    ) -> None:
        self.engine = engine
        self.secrets: Secrets = secrets if secrets is not None else OperatorSecrets()
        """What calls of webhooks may carry."""
        self.outbox = Outbox(
            engine.store,
            channels,
            render,
            plan=lambda: self.engine.plan,
            settled=self._settled,
            bounce=lambda arrival: self.submit([arrival]),
            secrets=self.secrets,
        )
        engine.in_hand = self.outbox.in_hand
        self.companions: list[Companion] = []
        """What starts after the host, and is closed before it."""
        self.after_erasure: Callable[[], Awaitable[None]] | None = None
        """Erases what is kept beside the store of contacts that were erased."""
        self.check = check
        """Says what is wrong with templates, by their pointers."""
        self._names = names
        self.accepted = self.duplicates = self.refused = self.batches = 0
        self.sent = self.failed = self.retried = 0
        self.busy_seconds = 0.0
        self.turn = asyncio.Lock()
        """Held by whoever uses the engine or its store; what is read under it is committed."""
        self._committer = ThreadPoolExecutor(1, thread_name_prefix="parcours-commit")
        self._queue: deque[_Group] = deque()
        self._queued = 0
        self._settlements: list[Settlement] = []
        self._settle_at = 0.0
        self._expire_at = 0
        self._wake = asyncio.Event()
        self._closing = False
        self._not_before = 0.0
        self._failure = StoreError("the store failed")
        self._failing_until = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def store(self) -> Store:
        """The store behind the engine."""
        return self.engine.store

    @property
    def queued(self) -> int:
        """How many arrivals wait to be folded."""
        return self._queued

    @property
    def unprovided(self) -> dict[str, int]:
        """How many messages wait for a provider, by channel: of channels that have none."""
        waiting: dict[str, int] = {}
        for (channel, _, state), count in sorted(self.store.outbox_counts().items()):
            if state == "pending" and channel not in self.outbox.channels:
                waiting[channel] = waiting.get(channel, 0) + count
        return waiting

    @property
    def healthy(self) -> bool:
        """Whether everything runs and the store keeps what it is given."""
        running = self._task is not None and not self._task.done() and self.outbox.running
        return running and time.monotonic() >= self._failing_until

    async def start(self) -> None:
        """Begin: fire what came due meanwhile, send what is pending, take arrivals."""
        self._task = asyncio.create_task(self._run(), name="engine")
        self.outbox.start()
        for companion in self.companions:
            await companion.start()

    async def close(self) -> None:
        """Finish what was submitted, stop sending, close the store."""
        for companion in reversed(self.companions):
            with contextlib.suppress(Exception):
                await companion.close()
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await asyncio.wait([self._task])
        await self.outbox.close()
        with contextlib.suppress(Exception):
            if self._settlements:
                self.engine.accept([], self._take_settlements())
            self.engine.flush()
        self._committer.shutdown()
        self.store.close()

    async def submit(self, arrivals: Sequence[AnyArrival], marking: Marking | None = None) -> list[Outcome]:
        """Fold arrivals in their order; when this returns, what was accepted is durable.

        The marks that `marking` returns are kept in the same transaction.

        Raises:
            OverloadedError: Too much is waiting; nothing was taken.
            StoreError: The store failed, now or a moment ago; nothing was kept, sending again is safe.
        """
        if not arrivals and marking is None:
            return []
        if self._queued > MOST_QUEUED or self._closing:
            raise OverloadedError("too much is waiting to be processed", hint="send it again in a second")
        future: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._queue.append(_Group(arrivals, future, marking))
        self._queued += len(arrivals)
        self._wake.set()
        return await future

    async def publish(self, definitions: Sequence[dict[str, Any]]) -> tuple[list[Problem], list[Problem]]:
        """Publish definitions, if the texts of their messages and webhooks can be made. See `Engine.publish`."""
        if any(self.check(templates_in(definition)) for definition in definitions):
            async with self.turn:
                return self.look_over(definitions)
        await self._brought_up()
        async with self.turn:
            errors, doubtful = self._doubtful(definitions)
            if errors:
                return self.look_over(definitions)
            doubts = self.engine.doubts(definitions)
            errors, warnings = self.engine.publish(definitions)
        self._wake.set()
        self.outbox.notify()
        return errors, warnings + doubtful + ([] if errors else doubts)

    def look_over(self, definitions: Sequence[dict[str, Any]]) -> tuple[list[Problem], list[Problem]]:
        """Return the errors and warnings that publishing definitions would come to. Under `turn`."""
        errors = [
            msgspec.structs.replace(problem, pointer=f"/definitions/{index}{problem.pointer}")
            for index, definition in enumerate(definitions)
            for problem in self.check(templates_in(definition))
        ]
        wrong, doubtful = self._doubtful(definitions)
        more, warnings = self.engine.check(definitions)
        return errors + wrong + more, warnings + doubtful

    def names_in(self, definition: object) -> list[Name]:
        """Return what the templates and the steps of a definition name (plain data): attributes, secrets and so on."""
        return [*self._names(templates_in(definition)), *signing_secrets(definition)]

    def _doubtful(self, definitions: Sequence[dict[str, Any]]) -> tuple[list[Problem], list[Problem]]:
        """Return what is wrong with the names in templates, and what may be; what else is wrong is told elsewhere."""
        names = {index: found for index, definition in enumerate(definitions) if (found := self.names_in(definition))}
        errors: list[Problem] = []
        warnings: list[Problem] = []
        if not names:
            return errors, warnings
        workspace, wrong, _ = load_data(list(definitions), self.engine.plan.workspace)
        # What a definition names that has something wrong with it cannot be told.
        unread = {problem.pointer.split("/")[2] for problem in wrong if problem.pointer.startswith("/definitions/")}
        # Once: they may be files.
        secrets = {name: self.secrets.hosts(name) for name in self.secrets.names()}
        known = KnownNames(self.engine.learned_attributes, secrets)
        for index, found in names.items():
            if str(index) in unread:
                continue
            key = definitions[index]["kind"], definitions[index]["name"]
            said = template_findings(key, found, workspace, known)
            for told, problems in zip((errors, warnings), said, strict=True):
                told += [
                    msgspec.structs.replace(problem, pointer=f"/definitions/{index}{problem.pointer}")
                    for problem in problems
                ]
        return errors, warnings

    def preview(
        self,
        message: str,
        contact: Contact,
        interaction: Mapping[str, Any],
        content: Mapping[str, str] | None = None,
        run: Mapping[str, Any] | None = None,
    ) -> tuple[dict[str, str], str | None]:
        """Return what a message would say to a contact now, and the address it would go to. Under `turn`.

        Args:
            message: Its name.
            contact: To whom.
            interaction: The attributes of what would have started the run.
            content: Other templates, to be tried.
            run: What steps of the run would have saved, and its `key`.

        Raises:
            PermanentFailureError: A template cannot be filled.
        """
        engine = self.engine
        plan, definition = engine.plan, engine.plan.messages[message].definition
        if content is not None:
            definition = msgspec.structs.replace(definition, content=dict(content))
        would = as_message(plan, contact, message, engine.clock.now(), self.store.last_position(), run)
        texts = self.outbox.render(definition, Facts(self.store, plan, would, interaction))
        return dict(texts), address(contact, definition.channel)

    async def try_out(self, journey: str, contacts: Sequence[str], attributes: Mapping[str, Any]) -> dict[str, str]:
        """Let contacts begin a test of a journey. See `Engine.try_out`."""
        async with self.turn:
            found = self.engine.try_out(journey, contacts, attributes)
        self._wake.set()
        self.outbox.notify()
        return found

    async def move(self, move: Move) -> MoveCheck:
        """Move runs to another version. See `Engine.move`."""
        await self._brought_up()
        async with self.turn:
            found = self.engine.move(move)
        self._wake.set()
        self.outbox.notify()
        return found

    async def _brought_up(self) -> None:
        """Wait until all contacts were brought up to the plan in force, so that publishing has not to do it at once."""
        while self.engine.bringing_up and self.healthy and not self._closing:
            self._wake.set()
            await asyncio.sleep(0.01)

    async def erase(self, contact: str, *, suppress: bool = False) -> list[str]:
        """Erase a contact, and send it nothing more. See `Engine.erase`."""
        async with self.turn:
            erased = self.engine.erase(contact, suppress=suppress)
            self.outbox.drop(erased)
        if self.after_erasure is not None:
            await self.after_erasure()
        return erased

    async def stock(
        self,
        catalogue: str,
        items: Mapping[str, dict[str, Any] | None],
        marking: Callable[[Sequence[Problem | None]], Mapping[str, str]] | None = None,
    ) -> list[Problem | None]:
        """Put items into a catalogue or take them out. See `Engine.stock`."""
        async with self.turn:
            return self.engine.stock(catalogue, items, marking)

    async def fill(self, reward: str, codes: Collection[str]) -> int:
        """Put codes into the pool of a reward. See `Engine.fill`."""
        async with self.turn:
            return self.engine.fill(reward, codes)

    def _settled(self, settlement: Settlement) -> None:
        if settlement.state == "pending":
            self.retried += 1
        elif settlement.state == "sent":
            self.sent += 1
        elif settlement.state == "failed":
            self.failed += 1
        if not self._settlements:
            self._settle_at = time.monotonic() + SETTLE_SECONDS
        self._settlements.append(settlement)
        if len(self._settlements) in {1, SETTLE_COUNT}:
            self._wake.set()

    def _take_settlements(self) -> list[Settlement]:
        taken, self._settlements = self._settlements, []
        return taken

    async def _run(self) -> None:
        while True:
            try:
                worked = await self._go_on()
            except Exception:  # noqa: BLE001 (whatever it is, the host goes on)
                worked = False
                with contextlib.suppress(Exception):
                    _log.exception("engine_failed")
                await asyncio.sleep(PAUSE_AFTER_FAILURE)
            if self._closing and not self._queue and not worked:
                return

    async def _go_on(self) -> bool:
        """Do a round of work, or wait until there is some; return whether there was."""
        self._wake.clear()
        started = time.perf_counter()
        async with self.turn:
            worked = await self._work()
        self.busy_seconds += time.perf_counter() - started
        if worked:
            self.outbox.notify()
            # Let requests and senders have their turn before the next batch.
            await asyncio.sleep(0)
        elif not self._closing:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._idle_seconds()):
                    await self._wake.wait()
        return worked

    def _idle_seconds(self) -> float | None:
        """Return how long there is nothing to do unless something comes in; None for ever."""
        now = time.monotonic()
        if self._not_before > now:
            return self._not_before - now
        pauses = [self._settle_at - now] if self._settlements else []
        if not self.engine.clock.follows_inputs:
            pauses.append((self._expire_at - self.engine.clock.now()) / 1000)
        due = self.engine.next_due()
        if due is not None and not self.engine.clock.follows_inputs:
            pauses.append((due - self.engine.clock.now()) / 1000)
        return max(0.001, min(pauses)) if pauses else None

    def _settlements_due(self) -> bool:
        return len(self._settlements) >= SETTLE_COUNT or bool(
            self._settlements and (self._closing or time.monotonic() >= self._settle_at)
        )

    async def _work(self) -> bool:
        """Do one round: a batch of arrivals, a slice of timers, a slice of a reading. Return whether to go on."""
        if time.monotonic() < self._not_before:
            # A try would fold again all that the store's states lack, only to fail again.
            return self._refuse()
        # Settlements go with what is written anyway.
        worked = bool(self._queue or (self._settlements_due() and (self._closing or not self.engine.reading)))
        if worked:
            await self._accept()
        if self._closing or time.monotonic() < self._not_before:
            # Timers and readings go on at the next start where they are now.
            return worked
        try:
            ticked = self.engine.tick(finish=False)
            await self._finish(ticked)
            reading = self.engine.reading
            if reading:
                await self._read()
            expiring = self._expire()
        except Exception as error:  # noqa: BLE001 (whatever it is, the host goes on)
            self._failed(error)
            return worked
        if ticked or reading:
            self._failing_until = 0.0
        return worked or bool(ticked) or reading or expiring

    async def _read(self) -> None:
        """Read a slice, and write with it what became of messages."""
        settlements = self._take_settlements()
        try:
            self.engine.read(settlements, finish=False)
            await self._finish(SMALL_BATCH)
        except BaseException:
            self._settlements = settlements + self._settlements
            raise

    async def _finish(self, count: int) -> None:
        """Make so many that were begun durable."""
        if count < SMALL_BATCH:
            self.engine.finish()
        else:
            # Writing to the disk needs no interpreter: meanwhile the next requests are read, and messages are sent.
            await asyncio.get_running_loop().run_in_executor(self._committer, self.engine.finish)

    def _expire(self) -> bool:
        """Blank a slice of what need not be kept any longer, when it is time; return whether to go on."""
        now = self.engine.clock.now()
        if now < self._expire_at:
            return False
        if self.engine.expire():
            return True
        self._expire_at = now + EXPIRE_EVERY
        return False

    def _refuse(self) -> bool:
        """Tell those who wait what the store failed with; return whether anybody waited."""
        waiting, self._queue, self._queued = self._queue, deque(), 0
        self._tell(group.future for group in waiting)
        return bool(waiting)

    def _tell(self, futures: Iterable[asyncio.Future[list[Outcome]]]) -> None:
        for future in futures:
            if not future.done():
                future.set_exception(StoreError(self._failure.message, hint=self._failure.hint))

    async def _accept(self) -> None:
        arrivals: list[AnyArrival] = []
        groups: list[_Group] = []
        while self._queue and len(arrivals) < LARGEST_BATCH:
            group = self._queue.popleft()
            arrivals.extend(group.arrivals)
            groups.append(group)
        self._queued -= len(arrivals)
        settlements = self._take_settlements()
        try:
            outcomes = self.engine.begin(arrivals, settlements, _marking_of(groups))
            await self._finish(len(arrivals))
        except Exception as error:  # noqa: BLE001 (whatever it is, those who wait are told and the host goes on)
            self._settlements = settlements + self._settlements
            self._failed(error, [group.future for group in groups])
            return
        self._failing_until = 0.0
        self._count(outcomes)
        for group, found in _parted(groups, outcomes):
            if not group.future.done():
                group.future.set_result(found)

    def _failed(self, error: Exception, waiting: Iterable[asyncio.Future[list[Outcome]]] = ()) -> None:
        """Note a failure of the store, and tell those who wait."""
        self._failure = (
            error if isinstance(error, StoreError) else StoreError(f"the store failed: {type(error).__name__}")
        )
        now = time.monotonic()
        self._not_before, self._failing_until = now + PAUSE_AFTER_FAILURE, now + FAILING_SECONDS
        self._tell(waiting)
        with contextlib.suppress(Exception):
            _log.error("store_failed", hint=self._failure.hint, exc_info=error)

    def _count(self, outcomes: list[Outcome]) -> None:
        self.batches += 1
        for outcome in outcomes:
            if type(outcome) is Accepted:
                self.accepted += 1
            elif type(outcome) is Duplicate:
                self.duplicates += 1
            else:
                self.refused += 1
