"""The outbox: hands decided messages to their channels, at least once, with retries and back-off.

Each channel has a line of its own, so a provider that is slow or down holds up nobody else's. A channel that has no
provider has no line: its messages stay in the outbox until there is one.

| what became of a try      | state     | then                                                                      |
|---------------------------|-----------|---------------------------------------------------------------------------|
| the provider accepted it  | `sent`    |                                                                           |
| temporary failure         | `pending` | again after 1 s, 2 s, 4 s … 1 h, each with jitter; the provider's own wish wins |
| temporary, too often      | `failed`  | a `bounced` reaction                                                      |
| permanent failure         | `failed`  | a `bounced` reaction                                                      |
| a call was answered       | `sent`    | an `answered` reaction, before it is settled                              |
| a call failed, or so often as its step tries | `failed` | a `failed` reaction                                     |
| temporary, and its journey was stopped meanwhile | `cancelled` |                                                  |

A reaction of ours that is refused, by a defect of ours, changes nothing of what became of the message: it is settled, with
that as its error, and the refusal is logged and counted. To try again would call or write to somebody a second time, for
a reaction that is refused again.

What was decided before its journey was stopped is not begun any more: the engine cancels it.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import random
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import structlog

from parcours.core.calls import ANSWERED, FAILED
from parcours.core.effects import Message
from parcours.core.gate import Arrival, Reacted
from parcours.core.plan import Plan
from parcours.definitions.message import WEBHOOK
from parcours.definitions.steps import Webhook
from parcours.errors import PermanentFailureError, TemporaryFailureError
from parcours.ports import Answer, Channel, Delivery, Pending, Secrets, Settlement, Store
from parcours.runtimes.calls import Render, call_of
from parcours.runtimes.clocks import wall_time
from parcours.runtimes.engine import Outcome, Refused
from parcours.runtimes.facts import facts_of
from parcours.runtimes.secrets import OperatorSecrets, blanked, blanked_answer

FIRST_PAUSE = 1.0
"""Seconds before the second try."""

LONGEST_PAUSE = 3_600.0
"""Seconds between tries at the most."""

LONGEST_WISH = 86_400.0
"""Seconds to wait because a provider wishes it at the most."""

PAUSE_AFTER_FAILURE = 1.0
"""Seconds before a line goes on whose own work failed, such as reading what is pending."""

MOST_ATTEMPTS = 36
"""Tries before a message is given up: with the pauses above, after a day or so."""

SENDERS = 32
"""Messages of one channel that are under way at the same time."""

LOOK_AHEAD = 512
"""Messages that are read from the store in one go."""

MOST_WAITING = 20_000
"""Messages of one channel that wait in memory to be tried again; beyond that no new ones are begun."""

Bounce = Callable[[Arrival], Awaitable[Sequence[Outcome]]]

_log = structlog.get_logger(__name__)


def pause(attempts: int, retry_after: float, jitter: float) -> float:
    """Return how many seconds to wait after so many tries; `jitter` is in [0, 1)."""
    wanted = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempts - 1, 20))
    return max(min(retry_after, LONGEST_WISH), wanted * (0.5 + jitter / 2))


class Outbox:
    """Sends what is pending. Lives in the event loop that owns the store.

    Args:
        store: Read for pending messages and for what started a run.
        channels: The providers, by channel.
        render: Makes the texts.
        plan: Returns the plan in force.
        settled: Called when a settlement is to be committed.
        bounce: Takes the reaction that tells of a message given up.
        secrets: What calls may carry; nothing, if none are given.
    """

    def __init__(
        self,
        store: Store,
        channels: Mapping[str, Channel],
        render: Render,
        *,
        plan: Callable[[], Plan],
        settled: Callable[[Settlement], None],
        bounce: Bounce,
        secrets: Secrets | None = None,
    ) -> None:
        self.store = store
        self.channels = channels
        self.render = render
        self.plan = plan
        self.settled = settled
        self.bounce = bounce
        self.secrets = secrets if secrets is not None else OperatorSecrets()
        self.refused = 0
        """How many reactions that tell what became of a message were refused."""
        self._lines = {name: _Line(self, name) for name in channels}

    def start(self) -> None:
        """Begin to send."""
        for line in self._lines.values():
            line.start()

    def notify(self) -> None:
        """Tell that messages were committed."""
        for line in self._lines.values():
            line.wake.set()

    def drop(self, contacts: Collection[str]) -> None:
        """Let go of the messages of contacts that were erased; what a channel has in hand is not tried again."""
        for line in self._lines.values():
            line.drop(contacts)

    def stopped(self, message: Message) -> bool:
        """Return whether a message is not to be sent, for its journey was stopped since it was decided."""
        stopped_at = self.plan().stopped_at
        return bool(stopped_at) and message.decided_at <= stopped_at.get(message.journey, -1)

    def in_hand(self, sequence: int) -> bool:
        """Return whether a channel has a message in hand, told by its sequence."""
        return any(line.in_hand(sequence) for line in self._lines.values())

    @property
    def busy(self) -> int:
        """How many messages are under way or wait to be tried again."""
        return sum(line.busy for line in self._lines.values())

    @property
    def running(self) -> bool:
        """Whether every line does its work."""
        return all(line.running for line in self._lines.values())

    async def close(self) -> None:
        """Stop sending; what is under way is cut off and, not being settled, sent again after the next start."""
        for line in self._lines.values():
            await line.close()
        for channel in self.channels.values():
            await channel.close()

    def deliver(self, message: Message) -> Delivery:
        """Return the message made ready for its channel.

        Raises:
            PermanentFailureError: Its text cannot be made.
        """
        if message.channel == WEBHOOK:
            return self._call(message)
        definition = self.plan().texts.get((message.message, message.version))
        if definition is None:
            raise PermanentFailureError(f"the message {message.message!r} has no version {message.version}")
        content = self.render(definition, facts_of(self.store, self.plan(), message))
        return Delivery(id=message.id, channel=message.channel, address=message.address, content=content)

    def webhook(self, message: Message) -> Webhook | None:
        """Return the step that makes a call, None when its journey is gone."""
        journey = self.plan().journeys.get(message.journey, {}).get(message.journey_version)
        step = journey.steps.get(message.step) if journey is not None else None
        return step.definition if step is not None and isinstance(step.definition, Webhook) else None

    def _call(self, message: Message) -> Delivery:
        step = self.webhook(message)
        if step is None:
            raise PermanentFailureError(f"the journey {message.journey!r} has no step {message.step!r} any more")
        return call_of(message, step, self.render, facts_of(self.store, self.plan(), message), self.secrets)


class _Ready(NamedTuple):
    """A message that may be sent now, in the order in which it is: the higher priority first, then as decided."""

    rank: int
    sequence: int
    pending: Pending

    @classmethod
    def of(cls, item: Pending) -> _Ready:
        return cls(-item.message.priority, item.sequence, item)


class _Line:
    """The messages of one channel, those of a higher priority first, and those who send them."""

    def __init__(self, outbox: Outbox, name: str) -> None:
        self.wake = asyncio.Event()
        self._outbox = outbox
        self._name = name
        self._channel = outbox.channels[name]
        self._ready: asyncio.PriorityQueue[_Ready] = asyncio.PriorityQueue()
        self._waiting: list[tuple[int, int, Pending]] = []
        self._read = 0
        self._urgent = 0
        """Up to which sequence those of a high priority were read ahead of the others."""
        self._overtaken: set[int] = set()
        """Those that were, behind `_read`: they are not read again."""
        self._sending: list[Pending] = []
        """What the channel has in hand."""
        self._dropped: set[int] = set()
        """The sequences of what it had in hand when its contact was erased."""
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def busy(self) -> int:
        return self._ready.qsize() + len(self._sending) + len(self._waiting)

    @property
    def running(self) -> bool:
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._feed(), name=f"outbox-{self._name}")]
        self._tasks += [asyncio.create_task(self._send_all(), name=f"outbox-{self._name}") for _ in range(SENDERS)]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def in_hand(self, sequence: int) -> bool:
        return any(item.sequence == sequence for item in self._sending)

    def drop(self, contacts: Collection[str]) -> None:
        ready = [self._ready.get_nowait() for _ in range(self._ready.qsize())]
        for item in ready:
            if item.pending.message.contact not in contacts:
                self._ready.put_nowait(item)
        self._waiting = [one for one in self._waiting if one[2].message.contact not in contacts]
        heapq.heapify(self._waiting)
        self._dropped.update(item.sequence for item in self._sending if item.message.contact in contacts)
        self.wake.set()

    async def _feed(self) -> None:
        """Keep the queue filled from the store and from those whose pause is over."""
        while True:
            try:
                await self._fill()
            except Exception:  # noqa: BLE001 (whatever it is, the line goes on)
                await self._rest("outbox_not_read")

    async def _fill(self) -> None:
        """Fill the queue once, and wait until there may be more."""
        self.wake.clear()
        now = wall_time()
        while self._waiting and self._waiting[0][0] <= now:
            self._ready.put_nowait(_Ready.of(heapq.heappop(self._waiting)[2]))
        # Those that are not due must not hold up those behind them.
        more = True
        while more and self._ready.qsize() < LOOK_AHEAD and len(self._waiting) < MOST_WAITING:
            more = self._load(now)
            await asyncio.sleep(0)
        if more:
            self._overtake(now)
        timeout = (self._waiting[0][0] - wall_time()) / 1000 if self._waiting else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout if timeout is None else max(0.001, timeout)):
                await self.wake.wait()

    async def _rest(self, event: str) -> None:
        """Say that a turn failed, if that can be said, and pause."""
        with contextlib.suppress(Exception):
            _log.exception(event, channel=self._name)
        await asyncio.sleep(PAUSE_AFTER_FAILURE)

    def _load(self, now: int) -> bool:
        """Read the next messages; return whether there may be more."""
        found = self._outbox.store.pending(self._name, self._read, LOOK_AHEAD)
        for item in found:
            self._read = item.sequence
            if item.sequence not in self._overtaken:
                self._take(item, now)
        if self._overtaken:
            self._overtaken = {sequence for sequence in self._overtaken if sequence > self._read}
        return len(found) == LOOK_AHEAD

    def _overtake(self, now: int) -> None:
        """Read those of a high priority ahead of all that wait in line: more than is looked ahead does."""
        if len(self._overtaken) + self._ready.qsize() > MOST_WAITING:
            return
        after = max(self._read, self._urgent)
        for item in self._outbox.store.pending(self._name, after, LOOK_AHEAD, urgent=True):
            self._urgent = item.sequence
            self._overtaken.add(item.sequence)
            self._take(item, now)

    def _take(self, item: Pending, now: int) -> None:
        if item.due > now:
            heapq.heappush(self._waiting, (item.due, item.sequence, item))
        else:
            self._ready.put_nowait(_Ready.of(item))

    async def _send_all(self) -> None:
        while True:
            item = (await self._ready.get()).pending
            if self._outbox.stopped(item.message):
                continue
            self._sending.append(item)
            try:
                await self._send(item)
            except Exception:  # noqa: BLE001 (whatever it is, the line goes on)
                await self._rest("outbox_failed")
            finally:
                self._sending.remove(item)
                self._dropped.discard(item.sequence)
            if self._ready.qsize() < LOOK_AHEAD // 2:
                self.wake.set()

    async def _send(self, item: Pending) -> None:
        # Whatever is said is said last, so that a log that cannot be written costs no message.
        attempts = item.attempts + 1
        defect: Exception | None = None
        try:
            answer = await self._handed_over(item.message)
        except TemporaryFailureError as error:
            failure = error
        except PermanentFailureError as error:
            await self._give_up(item, attempts, "refused", str(error), error.answer)
            return
        except Exception as error:  # noqa: BLE001 (a defect in a channel must cost one try, not the line)
            defect = error
            failure = TemporaryFailureError(f"{type(error).__name__}: {error}")
        else:
            refused = "" if answer is None else await self._report(item, attempts, ANSWERED, _of(answer))
            if refused is not None:
                self._outbox.settled(Settlement(item.sequence, "sent", attempts, error=refused))
            return
        step = self._outbox.webhook(item.message) if self._name == WEBHOOK else None
        if attempts < (MOST_ATTEMPTS if step is None else step.retries + 1):
            self._again(item, attempts, failure)
        else:
            await self._give_up(
                item, attempts, "given_up", f"gave up after {attempts} tries: {failure}", failure.answer
            )
        if defect is not None:
            _log.error("channel_failed", channel=self._name, message_id=item.message.id, exc_info=defect)

    async def _handed_over(self, message: Message) -> Answer | None:
        """Hand a message to its channel. What is said of it afterwards, also by an error, tells no secret."""
        delivery = self._outbox.deliver(message)
        private = delivery.private
        if not private:
            return await self._channel.send(delivery)
        try:
            return blanked_answer(await self._channel.send(delivery), private)  # type: ignore[no-any-return]
        except TemporaryFailureError as error:
            answer = blanked_answer(error.answer, private)
            said = blanked(str(error), private)
            raise TemporaryFailureError(said, retry_after=error.retry_after, answer=answer) from None
        except PermanentFailureError as error:
            answer = blanked_answer(error.answer, private)
            raise PermanentFailureError(blanked(str(error), private), answer=answer) from None
        except Exception as error:  # noqa: BLE001 (a defect is told as one, but for secrets)
            defect = RuntimeError(blanked(f"{type(error).__name__}: {error}", private))
            raise defect.with_traceback(error.__traceback__) from None

    def _again(self, item: Pending, attempts: int, error: TemporaryFailureError) -> None:
        if item.sequence in self._dropped:
            return
        text = _kept(str(error))
        if self._outbox.stopped(item.message):
            self._outbox.settled(Settlement(item.sequence, "cancelled", attempts, error=text))
            return
        seconds = pause(attempts, error.retry_after, random.random())  # noqa: S311 (spreads tries; not a secret)
        due = wall_time() + int(seconds * 1000)
        again = Pending(item.sequence, item.message, attempts, due, text)
        heapq.heappush(self._waiting, (due, item.sequence, again))
        self._outbox.settled(Settlement(item.sequence, "pending", attempts, due, text))
        self.wake.set()
        said = _told(item, text)
        _log.info("message_delayed", channel=self._name, message_id=item.message.id, seconds=seconds, error=said)

    async def _give_up(self, item: Pending, attempts: int, why: str, error: str, answer: object = None) -> None:
        if item.sequence in self._dropped:
            return
        error = _kept(error)
        kind, said = "bounced", {"channel": self._name, "error": error}
        if self._name == WEBHOOK:
            kind, said = FAILED, {"error": error, **(_of(answer) if isinstance(answer, Answer) else {})}
        refused = await self._report(item, attempts, kind, said, why)
        if refused is None:
            return
        noted = f"{error}; {refused}" if refused else error
        self._outbox.settled(Settlement(item.sequence, "failed", attempts, error=noted))
        _log.warning("message_failed", channel=self._name, message_id=item.message.id, error=_told(item, error))

    async def _report(self, item: Pending, attempts: int, kind: str, said: dict[str, Any], why: str = "") -> str | None:
        """Tell what became of a message, durably; when that cannot be kept now, try the message again.

        Return what is to be noted with the message, if this is refused; None when it is tried again.
        """
        message = item.message
        reaction = Reacted(kind, message.id, said, ours=True, why=why)
        try:
            (outcome,) = await self._outbox.bounce(Arrival("parcours", f"{kind}:{message.id}", (), reaction))
        except Exception as unkept:  # noqa: BLE001 (whatever it is, the message must not be lost)
            # Nobody would learn of it if it were settled now.
            self._again(item, attempts, TemporaryFailureError(f"{kind}, and that cannot be kept now: {unkept}"))
            return None
        if not isinstance(outcome, Refused) or item.sequence in self._dropped:
            return ""
        self._outbox.refused += 1
        problem = outcome.problem
        with contextlib.suppress(Exception):
            _log.error(
                "outcome_refused",
                channel=self._name,
                message_id=message.id,
                outcome=kind,
                code=problem.code,
                error=problem.message,
            )
        return f"the outcome was refused: {problem.message}"


def _of(answer: Answer) -> dict[str, Any]:
    return {"status": answer.status, "body": answer.body}


def _kept(error: str) -> str:
    """Return an error as a store can keep it: what a mail server says in Latin-1 comes as halves of surrogate pairs."""
    return _UNSTORABLE.sub("\ufffd", error)


_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def _told(item: Pending, error: str) -> str:
    """Return an error as it is logged: providers repeat the address, and a log is not erased."""
    return re.sub(re.escape(item.message.address), "(the address)", error, flags=re.IGNORECASE)
