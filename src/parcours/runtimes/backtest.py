"""Backtests: a draft run over what was recorded, on a virtual clock, with nothing sent.

One person after the other: everything that is known of somebody is folded with a plan in which only the drafts are
live. People do not depend on each other, so shares of them can be run in processes of their own, beside a service that
runs, and give the same.

| when                         | what                                                                                     |
|------------------------------|------------------------------------------------------------------------------------------|
| before the start             | inputs are known and counted, and trigger nothing; then the drafts go live                |
| from the start to the end    | inputs come when they came; what was imported as history comes when it occurred           |
| a message would be sent      | it is counted, and reacted to at the rates that were assumed, drawn by its id              |
| the end                      | who is under way stays where they are, and is counted there                               |

Reactions in what was recorded are to messages of others, so drafts never wait for them; what they say of consent holds.
Who became part of somebody else is one person with them from the beginning. An erased person begins anew.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import msgspec

from parcours.core.contact import Contact
from parcours.core.effects import Effects, Message, Trace, What
from parcours.core.fold import fold, wake
from parcours.core.inputs import Absorb, Dissolve, Enter, Erase, Erased, Input, Interaction, Publish, Reaction, Update
from parcours.core.membership import bring_up
from parcours.core.plan import Plan
from parcours.definitions.journey import JourneyDefinition
from parcours.definitions.load import load_data
from parcours.definitions.workspace import Workspace
from parcours.errors import InvalidDefinitionError, ParcoursError

QUARTER = 900_000
"""Messages are counted by quarters of an hour: days and hours of every zone are made of these."""

MOST_FOLLOWING = 100
"""Inputs that may follow from one another at one instant."""

USUAL_DELAYS = {"delivered": 10_000, "opened": 3_600_000, "clicked": 3_660_000, "bounced": 10_000}
"""Milliseconds after which somebody reacts who does."""


class BacktestError(ParcoursError):
    """A backtest cannot be run as it was asked for."""

    code = "invalid_backtest"


class Past(Protocol):
    """What was recorded."""

    def publications(self) -> list[Publish]:
        """Return every publication, in order."""
        ...

    def people(self, shard: int, shards: int) -> Iterator[tuple[str, list[Input]]]:
        """Yield each person of a share of all of them, with what is known of them in the order of the log."""
        ...

    def close(self) -> None:
        """Let go of files."""
        ...


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be run."""

    definitions: list[dict[str, Any]]
    """The drafts, and whatever they need that is not published or is to be different."""
    start: int
    end: int
    """Milliseconds; what happens after the start, and at or before the end, counts."""
    rates: dict[str, float] = {}
    """Kind of reaction to the share of messages that are assumed to be reacted to so, of those sent."""
    delays: dict[str, int] = {}
    """Kind of reaction to milliseconds after the decision; `USUAL_DELAYS` otherwise."""
    with_live: bool = False
    """Let the journeys that are live take part, so that caps are shared; only drafts are reported."""


class Counts(msgspec.Struct):
    """What a share of people came to; shares are added."""

    people: int = 0
    inputs: int = 0
    entered: Counter[str] = msgspec.field(default_factory=Counter)
    """People that entered, by journey."""
    trace: Counter[tuple[str, str, str, str]] = msgspec.field(default_factory=Counter)
    """Decisions by journey, step, what and reason."""
    sent: Counter[tuple[str, str, int]] = msgspec.field(default_factory=Counter)
    """Messages by journey, message and quarter of an hour."""
    waiting: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    """Tokens at the end, by journey and step."""
    under_way: Counter[str] = msgspec.field(default_factory=Counter)
    """Runs at the end, by journey."""

    def add(self, other: Counts) -> None:
        """Add what another share came to."""
        self.people += other.people
        self.inputs += other.inputs
        for field in ("entered", "trace", "sent", "waiting", "under_way"):
            getattr(self, field).update(getattr(other, field))


class Backtest:
    """A job made ready: plans compiled, to be given people.

    Raises:
        InvalidDefinitionError: The drafts are not valid together with what is published.
        BacktestError: There is no journey among them, or no time between start and end.
    """

    def __init__(self, job: Job, publications: Iterable[Publish]) -> None:
        self.job = job
        workspace, drafts = _workspace(job, publications)
        self.drafts = [draft.name for draft in drafts]
        others = [item for item in workspace.all() if not isinstance(item, JourneyDefinition)]
        live = [
            item
            for item in workspace.all()
            if isinstance(item, JourneyDefinition) and job.with_live and item.state == "live" and not item.archived
        ]
        self.base = Plan.empty().publish(others)
        self.plan = self.base.publish([*live, *drafts], at=job.start)
        self.reads = self.plan.read_on_activation()
        self.reacts = self.plan.remembers_messages or any(compiled.reacts for compiled in self.plan.newest.values())

    def run(self, people: Iterable[tuple[str, list[Input]]]) -> Counts:
        """Run people through the drafts."""
        counts = Counts()
        for id_, inputs in people:
            _Person(self, id_, counts).live(inputs)
        return counts


def _workspace(job: Job, publications: Iterable[Publish]) -> tuple[Workspace, list[JourneyDefinition]]:
    if job.start >= job.end:
        raise BacktestError("there is no time between the start and the end")
    workspace = Workspace()
    for publication in publications:
        workspace, _, _ = load_data(publication.definitions, workspace)
    before = {item.name: item for item in workspace.journeys.values()}
    workspace, errors, _ = load_data([_live(item) for item in job.definitions], workspace)
    if errors:
        raise InvalidDefinitionError(errors)
    names = {str(item.get("name")) for item in job.definitions if item.get("kind") == "journey"}
    drafts = [workspace.journeys[name] for name in sorted(names)]
    if not drafts:
        hint = f"name one of those published: {', '.join(sorted(before))}" if before else ""
        raise BacktestError("there is no journey among the definitions", hint=hint)
    return workspace, drafts


def _live(item: dict[str, Any]) -> dict[str, Any]:
    return (
        {**item, "state": "live", "starts": None, "ends": None, "archived": False}
        if item.get("kind") == "journey"
        else item
    )


class _Person:
    """One person, walked from the first thing known of them to the end."""

    def __init__(self, backtest: Backtest, id_: str, counts: Counts) -> None:
        self.backtest = backtest
        self.plan = backtest.plan
        self.counts = counts
        self.contact = Contact(id_)
        self.ahead: list[tuple[int, int, Input]] = []
        """What is still to come beside what was recorded: reactions that are assumed, in the order they were."""
        self.assumed = 0
        self.journeys: set[str] = set()

    def live(self, inputs: Sequence[Input]) -> None:
        job = self.backtest.job
        timeline = [(at, item) for item in inputs if (at := _instant(item, self.backtest.drafts)) is not None]
        timeline.sort(key=_first)
        place = 0
        while place < len(timeline) and timeline[place][0] <= job.start:
            place += 1
        self._before(timeline[:place])
        ahead = self.ahead
        self.counts.people += 1
        for at, item in timeline[place:]:
            if at > job.end:
                break
            while ahead and ahead[0][0] <= at:
                self._next()
            self.counts.inputs += 1
            self._fold(item, at)
        while ahead and ahead[0][0] <= job.end:
            self._next()
        self._wake(job.end)
        self._left()

    def _before(self, timeline: Sequence[tuple[int, Input]]) -> None:
        """Know what was known when the drafts go live, and let in who is let in then."""
        start = self.backtest.job.start
        past: list[Input] = []
        for at, item in timeline:
            if isinstance(item, Erase):
                self.contact, past = Contact(self.contact.id), []
                continue
            item.received_at = at
            fold(self.backtest.base, self.contact, item)
            past.append(item)
        if not past:
            return
        self.contact.revision = 0
        self.contact.segments.clear()
        self.contact.timers.clear()
        effects = Effects()
        bring_up(self.plan, self.contact, past, (), effects)
        self._note(effects)
        for journey in self.backtest.reads:
            if journey.segment is None or not journey.segment.ask(self.contact, {}, start):
                continue
            item = Enter(
                position=0,
                received_at=start,
                occurred_at=start,
                journey=journey.name,
                version=journey.version,
                message_id=f"read:{journey.name}",
            )
            self._fold(item, start)

    def _next(self) -> None:
        at, _, item = heapq.heappop(self.ahead)
        self._fold(item, at)

    def _fold(self, item: Input, at: int, depth: int = 0) -> None:
        if isinstance(item, Erase):
            self.contact = Contact(self.contact.id)
            self.ahead.clear()
            return
        self._wake(at)
        item.received_at = at
        self._note(fold(self.plan, self.contact, item), depth)

    def _wake(self, until: int) -> None:
        timers = self.contact.timers
        while timers and timers[0].due <= until:
            effects = Effects()
            wake(self.plan, self.contact, until, effects)
            self._note(effects)

    def _note(self, effects: Effects, depth: int = 0) -> None:
        for entry in effects.trace:
            self._count(entry)
        for message in effects.messages:
            self._sent(message)
        for item in effects.follows:
            if depth < MOST_FOLLOWING:
                self._fold(item, item.received_at, depth + 1)

    def _count(self, entry: Trace) -> None:
        journey = entry.journey
        if journey in self.backtest.drafts:
            self.counts.trace[journey, entry.step, entry.what, entry.reason] += 1
            if entry.what == What.ENTERED and journey not in self.journeys:
                self.journeys.add(journey)
                self.counts.entered[journey] += 1

    def _sent(self, message: Message) -> None:
        if message.journey in self.backtest.drafts:
            self.counts.sent[message.journey, message.message, message.decided_at // QUARTER] += 1
        if self.backtest.reacts:
            for reaction, rate in self.backtest.job.rates.items():
                if _share_of(message.id) < rate:
                    self._react(message, reaction)

    def _react(self, message: Message, reaction: str) -> None:
        at = message.decided_at + self.backtest.job.delays.get(reaction, USUAL_DELAYS.get(reaction, 0))
        item = Reaction(
            position=0,
            received_at=at,
            occurred_at=at,
            reaction=reaction,
            message=message.id,
            attributes={},
            message_id=f"{reaction}:{message.id}",
        )
        self.assumed += 1
        heapq.heappush(self.ahead, (at, self.assumed, item))

    def _left(self) -> None:
        for name in self.backtest.drafts:
            for run in self.contact.runs.get(name, {}).values():
                self.counts.under_way[name] += 1
                for token in run.tokens:
                    self.counts.waiting[name, token.step] += 1


def _instant(item: Input, drafts: Sequence[str]) -> int | None:
    """Return when an input happens in a backtest, or None when it does not."""
    match item:
        case Absorb() | Dissolve() | Erased():
            return None
        case Enter():
            # Others' entries are not ours; those over the API are, of a journey of that name.
            return item.received_at if item.journey in drafts and not item.message_id.startswith("read:") else None
        case Interaction() | Update() if item.backfill:
            item.backfill = False
            return item.occurred_at
        case _:
            return item.received_at


def _first(pair: tuple[int, Input]) -> int:
    return pair[0]


def _share_of(message: str) -> float:
    """Return a number in [0, 1) that stands for a message: whoever clicks is among those who open."""
    digest = hashlib.blake2b(message.encode(), digest_size=7, person=b"backtest").digest()
    return int.from_bytes(digest, "big") / 2.0**56
