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

Rules of loyalty are drafts as journeys are. What programmes and rules that are live gave before the start is worked out
anew, with rules live since when they really were; what they tell as interactions is made anew, too.

Reactions in what was recorded are to messages of others, so drafts never wait for them; what they say of consent holds.
What rules with a budget give depends on who came first, so with these everybody is walked at once, in order of time
(`runtimes.in_order`): all that is known of all people is in memory then, and there are no shares.

What steps of the drafts made happen when they were live happens anew; a webhook is called by nobody, and answered as it
was recorded to have been, if it was.
Who became part of somebody else is one person with them from the beginning. An erased person begins anew.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from parcours.core.acting import maker_of
from parcours.core.contact import OF_PROGRAMME, Contact
from parcours.core.effects import Effects, Entry, Message, Trace, What
from parcours.core.fold import fold, wake
from parcours.core.ids import derive
from parcours.core.inputs import (
    Absorb,
    Dissolve,
    Enrol,
    Enter,
    Erase,
    Erased,
    Grant,
    Input,
    Interaction,
    Publish,
    Reaction,
    Receive,
    Update,
    cause_of,
)
from parcours.core.loyalty.announce import SOURCE as OF_PROGRAMMES
from parcours.core.member import IN_REVIEW, Lot
from parcours.core.membership import bring_up
from parcours.core.plan import Plan
from parcours.definitions.journey import JourneyDefinition
from parcours.definitions.load import load_data
from parcours.definitions.loyalty import ProgrammeDefinition, RuleDefinition
from parcours.definitions.workspace import Workspace
from parcours.errors import InvalidDefinitionError, ParcoursError
from parcours.runtimes.budgets import bring
from parcours.runtimes.in_order import Place, Purse, in_order

QUARTER = 900_000
"""Messages are counted by quarters of an hour: days and hours of every zone are made of these."""

MOST_FOLLOWING = 100
"""Inputs that may follow from one input, or from timers."""

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
    everybody: bool = False
    """Let everybody be a member of the programmes from the start, or from when they are known."""
    retroactive: str = ""
    """A rule of which every award is told, for it to be applied to the past; its own start and end hold then."""
    before: int = 0
    """Awards for what occurred before this are told."""
    baseline: bool = False
    """There need be no drafts: what is live is run, to compare with."""


Posted = tuple[str, str, int, str]
"""Programme, rule, day and kind of entries of the ledger."""


class PastAward(msgspec.Struct):
    """What a rule would have given for one interaction."""

    contact: str
    at: int
    """When that occurred."""
    position: int
    """Its place in the log; 0 for one that follows from another."""
    key: str
    """Stands for the rule and the interaction."""
    lot: Lot
    """What is left of it at the end, but for what expired or was spent: as if it were given now."""


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

    entries: Counter[Posted] = msgspec.field(default_factory=Counter)
    """Entries of the ledger by programme, rule, day and kind."""
    amounts: Counter[Posted] = msgspec.field(default_factory=Counter)
    """What they added to what can be spent."""
    helds: Counter[Posted] = msgspec.field(default_factory=Counter)
    """What they added to what is held."""
    awards: Counter[str] = msgspec.field(default_factory=Counter)
    """How often each rule gave."""
    touched: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    """People with entries, by programme and rule; those with any under no rule."""
    withheld: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    """How often a rule gave nothing, by rule and reason."""
    members: Counter[str] = msgspec.field(default_factory=Counter)
    """Members at the end, by programme."""
    balances: Counter[str] = msgspec.field(default_factory=Counter)
    """What they can spend at the end."""
    held: Counter[str] = msgspec.field(default_factory=Counter)
    """What is held for them at the end."""

    ran_out: dict[str, int] = msgspec.field(default_factory=dict)
    """Rule to when its budget was not enough for the first time."""
    past: list[PastAward] = msgspec.field(default_factory=list)
    """What the rule gives that is to be applied to the past."""

    def add(self, other: Counts) -> None:
        """Add what another share came to."""
        self.people += other.people
        self.inputs += other.inputs
        self.past += other.past
        for field in self.__struct_fields__:
            if isinstance(mine := getattr(self, field), Counter):
                mine.update(getattr(other, field))


class Backtest:
    """A job made ready: plans compiled, to be given people.

    Raises:
        InvalidDefinitionError: The drafts are not valid together with what is published.
        BacktestError: There is no journey among them, or no time between start and end.
    """

    def __init__(self, job: Job, publications: Iterable[Publish]) -> None:
        self.job = job
        workspace, before, since, drafts = _workspace(job, publications)
        self.drafts = [draft.name for draft in drafts if isinstance(draft, JourneyDefinition)]
        self.rules = [draft.name for draft in drafts if isinstance(draft, RuleDefinition)]
        self.programmes = sorted({draft.programme for draft in drafts if isinstance(draft, RuleDefinition)})
        """Those that are reported; without drafts all."""
        if not drafts:
            self.programmes = sorted(workspace.programmes)
        live = [
            item
            for item in workspace.all()
            if isinstance(item, JourneyDefinition) and job.with_live and item.state == "live" and not item.archived
        ]
        nothing = Plan.empty()
        nothing.loyalty.live = since
        self.base = nothing.publish(
            [
                *(item for item in workspace.all() if not isinstance(item, JourneyDefinition | OfLoyalty)),
                *(item for item in before.all() if isinstance(item, OfLoyalty)),
            ]
        )
        for name in self.rules:
            self.base.loyalty.live.pop(name, None)
        new = [item for item in workspace.all() if isinstance(item, OfLoyalty)]
        journeys = [draft for draft in drafts if isinstance(draft, JourneyDefinition)]
        self.plan = self.base.publish([*new, *live, *journeys], at=job.start)
        self.plan.loyalty.tells = bool(self.programmes)
        self.reads = self.plan.read_on_activation()
        self.purse = Purse(job.start, self.rules) if self._has_budgets() else None
        """What budgets come to; None where no rule has one. With one, people are run at once, not in shares."""
        self.reacts = self.plan.remembers_messages or any(compiled.reacts for compiled in self.plan.newest.values())

    def run(self, people: Iterable[tuple[str, list[Input]]]) -> Counts:
        """Run people through the drafts."""
        counts = Counts()
        lives = (_Person(self, id_, counts).live(inputs) for id_, inputs in people)
        if self.purse is not None:
            in_order(lives, self.purse)
            return counts
        for life in lives:
            for _ in life:
                pass
        return counts

    def _has_budgets(self) -> bool:
        return any(rule.budget for plan in (self.base, self.plan) for rule in plan.loyalty.rules.values())


OfLoyalty = ProgrammeDefinition | RuleDefinition


def _workspace(
    job: Job, publications: Iterable[Publish]
) -> tuple[Workspace, Workspace, dict[str, int], list[JourneyDefinition | RuleDefinition]]:
    """Return what is defined with the drafts and without them, since when rules are live, and the drafts."""
    if job.start >= job.end:
        raise BacktestError("there is no time between the start and the end")
    before = Workspace()
    since: dict[str, int] = {}
    for publication in publications:
        before, _, _ = load_data(publication.definitions, before)
        rules = before.rules.values()
        since = {
            rule.name: since.get(rule.name, publication.received_at)
            for rule in rules
            if rule.state == "live" and not rule.archived and not before.programmes[rule.programme].archived
        }
    workspace, errors, _ = load_data([_live(item, job) for item in job.definitions], before)
    if errors:
        raise InvalidDefinitionError(errors)
    names = [(item.get("kind"), str(item.get("name"))) for item in job.definitions]
    drafts: list[JourneyDefinition | RuleDefinition] = [
        *(workspace.journeys[name] for name in sorted({name for kind, name in names if kind == "journey"})),
        *(workspace.rules[name] for name in sorted({name for kind, name in names if kind == "rule"})),
    ]
    if not drafts and not job.baseline:
        known = sorted([*before.journeys, *before.rules])
        hint = f"name one of those published: {', '.join(known)}" if known else ""
        raise BacktestError("there is no journey or rule among the definitions", hint=hint)
    return workspace, before, since, drafts


def _live(item: dict[str, Any], job: Job) -> dict[str, Any]:
    if job.retroactive:
        return item
    return (
        {**item, "state": "live", "starts": None, "ends": None, "archived": False}
        if item.get("kind") in {"journey", "rule"}
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
        self.position = self.followed = 0
        """The latest place in the log, and how many inputs have followed from the one that is being folded."""
        self.journeys: set[str] = set()
        self.past: list[Input] | None = []
        """What happened before the drafts go live; None from then on."""
        self.touched: set[tuple[str, str]] = set()
        self.given: list[PastAward] = []

    def live(self, inputs: Sequence[Input]) -> Iterator[Place]:
        """Walk the person; yield before each thing that happens when it does."""
        job = self.backtest.job
        drafts = self.backtest.drafts
        timeline = [
            (at, item)
            for item in inputs
            if (at := _instant(item, drafts)) is not None
            # What drafts make happen from the start on happens anew.
            if at <= job.start or maker_of(item) not in drafts
        ]
        timeline.sort(key=_first)
        place = 0
        while place < len(timeline) and timeline[place][0] <= job.start:
            place += 1
        yield from self._before(timeline[:place])
        self.counts.people += 1
        if job.everybody and timeline and timeline[0][0] <= job.end:
            self._enrol(max(job.start, timeline[0][0]))
        for at, item in timeline[place:]:
            if at > job.end:
                break
            yield from self._pass(at)
            yield at, item.position
            self.counts.inputs += 1
            self._fold(item, at)
        yield from self._pass(job.end)
        self._wake(job.end)
        self._left()

    def _pass(self, until: int) -> Iterator[Place]:
        """Let come what was not recorded, up to an instant: reactions that are assumed, and timers if others may mind."""
        while True:
            ahead = self.ahead[0][0] if self.ahead else _NEVER
            due = self.contact.next_due if self.backtest.purse is not None else None
            if due is not None and due <= min(until, ahead):
                yield due, 0
                self._wake(due)
            elif ahead <= until:
                yield ahead, 0
                self._next()
            else:
                return

    def _before(self, timeline: Sequence[tuple[int, Input]]) -> Iterator[Place]:
        """Know what was known when the drafts go live, and let in who is let in then."""
        start = self.backtest.job.start
        self.plan, counts, self.counts = self.backtest.base, self.counts, Counts()
        for at, item in timeline:
            yield from self._pass(at)
            yield at, item.position
            self._fold(item, at)
        yield from self._pass(start)
        self._wake(start)
        past, self.past = self.past, None
        self.plan, self.counts = self.backtest.plan, counts
        self.touched.clear()
        if not past:
            return
        self.contact.revision = 0
        self.contact.segments.clear()
        self.contact.timers[:] = [timer for timer in self.contact.timers if timer.token == OF_PROGRAMME]
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
            self.given.clear()
            if self.past is not None:
                self.past.clear()
            return
        self._wake(at)
        item.received_at = at
        self.position = max(self.position, item.position)
        purse = self.backtest.purse
        if purse is not None:
            bring(self.plan.loyalty, item, purse.read)
        effects = fold(self.plan, self.contact, item)
        if purse is not None and effects.draws:
            purse.count(effects.draws)
        if self.past is not None:
            self.past.append(item)
        elif self.backtest.job.retroactive and isinstance(item, Interaction):
            self._remember(item, effects)
        self._note(effects, depth)

    def _remember(self, item: Interaction, effects: Effects) -> None:
        """Remember what the rule gave that is to be applied to the past; lots go on changing."""
        job = self.backtest.job
        for entry in effects.ledger:
            if entry.rule == job.retroactive and not entry.lot and item.occurred_at < job.before:
                member = self.contact.loyalty[entry.programme]
                key = derive("retroactive", entry.programme, entry.rule, cause_of(item))
                self.given += [
                    PastAward(self.contact.id, item.occurred_at, item.position, key, lot)
                    for lot in member.lots
                    if lot.id == entry.id
                ]

    def _enrol(self, at: int) -> None:
        """Let a person be a member of every programme that is looked at."""
        for programme in self.backtest.programmes:
            item = Enrol(
                position=0, received_at=at, occurred_at=at, programme=programme, message_id=f"everybody:{programme}"
            )
            self._fold(item, at)

    def _wake(self, until: int) -> None:
        timers = self.contact.timers
        while timers and timers[0].due <= until:
            effects = Effects()
            wake(self.plan, self.contact, until, effects)
            self._note(effects)

    def _note(self, effects: Effects, depth: int = 0) -> None:
        for entry in effects.trace:
            self._count(entry)
        for posted in effects.ledger:
            self._post(posted)
        for message in effects.messages:
            self._sent(message)
        if not depth:
            self.followed = 0
        for item in effects.follows:
            if self.followed >= MOST_FOLLOWING:
                break
            if isinstance(item, Receive):
                continue  # another's: it is among what was recorded of them
            self.followed += 1
            item.position = self.position
            self._fold(item, item.received_at, depth + 1)

    def _count(self, entry: Trace) -> None:
        journey = entry.journey
        if journey in self.backtest.drafts:
            self.counts.trace[journey, entry.step, entry.what, entry.reason] += 1
            if entry.what == What.ENTERED and journey not in self.journeys:
                self.journeys.add(journey)
                self.counts.entered[journey] += 1

        elif entry.what == What.AWARDED:
            self.counts.awards[entry.reason] += 1
        elif entry.what == What.WITHHELD and entry.detail is not None:
            rule = entry.detail["rule"]
            self.counts.withheld[rule, entry.reason] += 1
            if entry.reason == "budget":
                self.counts.ran_out[rule] = min(entry.at, self.counts.ran_out.get(rule, entry.at))

    def _post(self, entry: Entry) -> None:
        if entry.programme not in self.backtest.programmes:
            return
        key = (entry.programme, entry.rule, entry.day, entry.kind)
        self.counts.entries[key] += 1
        self.counts.amounts[key] += entry.amount
        self.counts.helds[key] += entry.held
        self.touched |= {(entry.programme, entry.rule), (entry.programme, "")}

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
        self.counts.touched.update(self.touched)
        for award in self.given:
            lot = award.lot
            points = lot.points - lot.reversed
            if points > 0:
                due = lot.due if lot.due == IN_REVIEW else 0
                award.lot = replace(lot, id="", points=points, left=points, due=due, expires=0, expired=0, reversed=0)
                award.lot = replace(award.lot, basis=lot.basis - lot.returned, returned=0, free=0)
                self.counts.past.append(award)
        for name in self.backtest.programmes:
            member = self.contact.loyalty.get(name)
            if member is not None:
                self.counts.members[name] += not member.left
                self.counts.balances[name] += member.balance
                self.counts.held[name] += member.held


_NEVER = 2**63


def _instant(item: Input, drafts: Sequence[str]) -> int | None:
    """Return when an input happens in a backtest, or None when it does not."""
    match item:
        case Absorb() | Dissolve() | Erased():
            return None
        case Enter():
            # Others' entries are not ours; those over the API are, of a journey of that name.
            return item.received_at if item.journey in drafts and not item.message_id.startswith("read:") else None
        case Interaction() | Grant() if item.source == OF_PROGRAMMES:
            return None  # it is told anew
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
