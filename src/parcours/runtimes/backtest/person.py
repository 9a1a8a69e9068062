"""One person in a backtest, walked from the first thing known of them to the end."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from parcours.core.acting import maker_of
from parcours.core.calls import ANSWERS
from parcours.core.chains import is_ahead, work_out
from parcours.core.compiled import CompiledJourney
from parcours.core.contact import OF_COUPONS, OF_PROGRAMME, Contact
from parcours.core.effects import Effects, Entry, Message, Trace, What
from parcours.core.fold import due_before, fold, wake
from parcours.core.inputs import (
    Absorb,
    Award,
    Dissolve,
    Enrol,
    Enter,
    Erase,
    Erased,
    Grant,
    Input,
    Interaction,
    Reaction,
    Receive,
    Update,
)
from parcours.core.loyalty.announce import SOURCE as OF_PROGRAMMES
from parcours.core.loyalty.coupons import why_not
from parcours.core.membership import bring_up
from parcours.definitions.message import WEBHOOK
from parcours.runtimes.backtest.backtest import Backtest, Round
from parcours.runtimes.backtest.in_order import Place, in_order
from parcours.runtimes.backtest.job import QUARTER, Asking, Counts
from parcours.runtimes.backtest.past_awards import PastAwards
from parcours.runtimes.engine.budgets import bring
from parcours.runtimes.readings import message_id_of


def run(backtest: Backtest, people: Iterable[tuple[str, list[Input]]]) -> Counts:
    """Run people through the drafts."""
    counts = Counts()
    lives = (_Person(backtest, id_, counts).live(inputs) for id_, inputs in people)
    if backtest.purse is not None:
        in_order(lives, backtest.purse)
        return counts
    for life in lives:
        for _ in life:
            pass
    return counts


class _Person:
    """One person, walked from the first thing known of them to the end."""

    def __init__(self, backtest: Backtest, id_: str, counts: Counts) -> None:
        self.backtest = backtest
        self.plan = backtest.plan
        self.counts = counts
        self.contact = Contact(id_)
        self.ahead: list[tuple[int, int, Input]] = []
        """What is still to come beside what was recorded: what is assumed, in the order it was."""
        self.assumed = 0
        self.round = 0
        """Which reading of a segment is the next."""
        self.read: set[str] = set()
        """Journeys into which the person was read that read everybody once."""
        self.answers: dict[str, int] = {}
        """Calls of which the answer is recorded, with the instant of that."""
        self.turn = self.cause = 0
        """What tells askings apart, and the place in the log of what happens now; 0 for time alone."""
        self.sent: set[str] = set()
        """Messages and calls that were decided."""
        self.position = 0
        """The latest place in the log."""
        self.journeys: set[str] = set()
        self.past: list[Input] | None = []
        """What happened before the drafts go live; None from then on."""
        self.touched: set[tuple[str, str]] = set()
        self.given: PastAwards | None = None
        """What the rule gives that is to be applied to the past."""

    def live(self, inputs: Sequence[Input]) -> Iterator[Place]:
        """Walk the person; yield before each thing that happens when it does."""
        backtest, job = self.backtest, self.backtest.job
        running = backtest.running
        if job.retroactive:
            rule = backtest.plan.loyalty.rules[job.retroactive]
            self.given = PastAwards(
                rule, job.start + 1, job.before, backtest.live, backtest.lived, self.contact.id, inputs
            )
        timeline = [
            (at, item)
            for item in inputs
            if (at := _instant(item, backtest)) is not None
            # What steps make happen from the start on happens anew.
            if at <= job.start or maker_of(item) not in running
        ]
        timeline.sort(key=_first)
        place = 0
        while place < len(timeline) and timeline[place][0] <= job.start:
            place += 1
        yield from self._before(timeline[:place])
        self.counts.people += 1
        if job.everybody and timeline and timeline[0][0] <= job.end:
            self._enrol(max(job.start, timeline[0][0]))
        if backtest.rounds and timeline:
            self.round = bisect_left(backtest.instants, timeline[0][0])
        if backtest.calls:
            self.answers = {
                item.message: at
                for at, item in timeline[place:]
                if isinstance(item, Reaction) and item.reaction in ANSWERS
            }
        for at, item in timeline[place:]:
            if at > job.end:
                break
            if self._comes_by(at) and not is_ahead(self.contact, item):
                yield from self._pass(at)
            yield at, item.position
            self.counts.inputs += 1
            if type(item) is Enter and item.source:
                self.counts.recorded[item.journey] += 1
            self._fold(item, at)
        yield from self._pass(job.end)
        self._wake(job.end)
        self._left()

    def _comes_by(self, at: int) -> bool:
        """Return whether anything comes up to an instant that was not recorded."""
        timers, rounds = self.contact.timers, self.backtest.rounds
        return bool(
            (timers and timers[0].due <= at)
            or (self.ahead and self.ahead[0][0] <= at)
            or (self.round < len(rounds) and rounds[self.round].at <= at)
        )

    def _pass(self, until: int) -> Iterator[Place]:
        """Let come what was not recorded, up to an instant, in order: timers, readings, what is assumed."""
        rounds = self.backtest.rounds
        while True:
            ahead = self.ahead[0][0] if self.ahead else _NEVER
            read = rounds[self.round].at if self.round < len(rounds) else _NEVER
            due = self.contact.next_due
            if due is not None and due <= min(until, ahead, read):
                yield due, 0
                self._wake(due)
            elif read <= min(until, ahead):
                yield read, 0
                self._read(rounds[self.round])
                self.round += 1
            elif ahead <= until:
                yield ahead, 0
                at, _, item = heapq.heappop(self.ahead)
                self._fold(item, at)
            else:
                return

    def _read(self, one: Round) -> None:
        """Let the person enter a journey whose segment is read, if it is known by then and in it."""
        journey, at = one.journey, one.at
        if not self.contact.time or journey.segment is None or journey.name in self.read:
            return
        self._wake(at)
        if journey.segment.ask(self.contact, {}, at):
            if one.once:
                self.read.add(journey.name)
            self._enter(journey, at, at)

    def _enter(self, journey: CompiledJourney, at: int, round_: int) -> None:
        item = Enter(
            position=0,
            received_at=at,
            occurred_at=at,
            journey=journey.name,
            version=journey.version,
            message_id=message_id_of(journey, round_, self.contact.id),
        )
        self._fold(item, at)

    def _before(self, timeline: Sequence[tuple[int, Input]]) -> Iterator[Place]:
        """Know what was known when the drafts go live, and let in who is let in then."""
        start = self.backtest.job.start
        self.plan, counts, self.counts = self.backtest.base, self.counts, Counts()
        for at, item in timeline:
            if self.backtest.purse is not None:
                yield from self._pass(at)
            yield at, item.position
            if self.given is not None:
                self.plan = self.backtest.base_live if self.given.knows(item) else self.backtest.base
            self._fold(item, at)
        self.plan = self.backtest.base
        yield from self._pass(start)
        self._wake(start)
        past, self.past = self.past, None
        self.plan, self.counts = self.backtest.plan, counts
        self.touched.clear()
        if not past:
            return
        self.contact.revision = 0
        self.contact.segments.clear()
        self.contact.timers[:] = [timer for timer in self.contact.timers if timer.token in {OF_PROGRAMME, OF_COUPONS}]
        effects = Effects()
        bring_up(self.plan, self.contact, past, (), effects)
        self._note(effects)
        for journey in self.backtest.reads:
            if journey.segment is not None and journey.segment.ask(self.contact, {}, start):
                self._enter(journey, start, 0)

    def _fold(self, item: Input, at: int) -> None:
        if isinstance(item, Erase):
            self.contact = Contact(self.contact.id)
            self.ahead.clear()
            if self.given is not None:
                self.given.forget()
            self.read.clear()
            if self.past is not None:
                self.past.clear()
            return
        item.received_at = at
        while due_before(self.contact, item):
            self._fire(at)
        self.cause = item.position
        self._note(self._fold_one(item, at))

    def _fold_one(self, item: Input, at: int) -> Effects:
        """Fold an input, and leave it to others what follows from it."""
        self.position = max(self.position, item.position)
        if type(item) is Grant and self.past is None:
            self._draw(item, at)
        elif type(item) is Reaction and item.failure is not None and item.message not in self.sent:
            item.failure = None  # of a message that others sent
        purse = self.backtest.purse
        if purse is not None:
            bring(self.plan.loyalty, item, purse.read)
        if self.given is not None:
            self.given.begin(self.contact)
        effects = fold(self.plan, self.contact, item)
        if purse is not None and effects.draws:
            purse.count(effects.draws)
        if self.past is not None:
            self.past.append(item)
        elif type(item) is Interaction:
            if self.given is not None:
                self.given.note(self.contact, item, effects)
            if item.name in self.backtest.assumed.entries:
                for due, entry in self.backtest.assumed.entries_after(item):
                    self._assume(due, entry, "entry", entry.journey)
        elif type(item) is Grant:
            self._count_given(item)
        return effects

    def _draw(self, item: Grant, at: int) -> None:
        """Take a reward of which there are only so many, or say that there is none left."""
        backtest = self.backtest
        if item.refused or item.reward not in backtest.limited:
            return
        recorded = bool(item.code)
        if not recorded and why_not(self.plan.loyalty, self.contact, item):
            return  # the fold says so
        self.turn += 1
        asking = Asking(at, self.cause, self.contact.id, self.turn, item.reward, recorded)
        self.counts.askings.append(asking)
        if not recorded:
            item.refused = backtest.shortage(asking)

    def _count_given(self, item: Grant) -> None:
        journey = maker_of(item)
        if journey in self.backtest.drafts:
            step = item.message_id.split(":")[3]
            self.counts.given[journey, step, item.refused] += 1
        if item.refused:
            self.counts.declined[item.reward, item.refused] += 1
        else:
            self.counts.issued[item.reward] += 1

    def _enrol(self, at: int) -> None:
        """Let a person be a member of every programme that is looked at."""
        for programme in self.backtest.programmes:
            item = Enrol(
                position=0, received_at=at, occurred_at=at, programme=programme, message_id=f"everybody:{programme}"
            )
            self._fold(item, at)

    def _wake(self, until: int) -> None:
        while (due := self.contact.next_due) is not None and due <= until:
            self._fire(until)

    def _fire(self, until: int) -> None:
        effects = Effects()
        wake(self.plan, self.contact, until, effects)
        self.cause = 0
        self._note(effects)

    def _note(self, effects: Effects) -> None:
        """Count what was decided, and fold what follows from it, each with what follows from that before the next."""
        self._count_all(effects)
        ahead = deque(effects.follows)
        while ahead:
            item = ahead.popleft()
            if isinstance(item, Receive):
                continue  # another's: it is among what was recorded of them
            item.position = self.position
            if type(item) is Update:
                work_out(self.contact, item)
            effects = self._fold_one(item, item.received_at)
            self._count_all(effects)
            ahead.extendleft(reversed(effects.follows))

    def _count_all(self, effects: Effects) -> None:
        for entry in effects.trace:
            self._count(entry)
        for posted in effects.ledger:
            self._post(posted)
        for message in effects.messages:
            self._sent(message)

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
        self.sent.add(message.id)
        if message.channel == WEBHOOK:
            self._called(message)
            return
        if message.journey in self.backtest.drafts:
            self.counts.sent[message.journey, message.message, message.decided_at // QUARTER] += 1
        if self.backtest.reacts:
            for at, reaction in self.backtest.assumed.reactions_to(message):
                self._assume(at, reaction, "reaction", reaction.reaction)

    def _called(self, call: Message) -> None:
        """Let somebody who waits for the answer to a call have it: that which is recorded, else one that is assumed."""
        if call.id not in self.contact.awaits:
            how = "unheeded"
        elif self.answers.get(call.id, -1) >= call.decided_at:
            how = "recorded"
        else:
            at, answer = self.backtest.assumed.answer_to(call)
            how = answer.reaction
            self._assume(at, answer, "answer", call.step)
        if call.journey in self.backtest.drafts:
            self.counts.calls[call.journey, call.step, how] += 1

    def _assume(self, at: int, item: Input, kind: str, name: str) -> None:
        self.assumed += 1
        self.counts.assumed[kind, name] += 1
        heapq.heappush(self.ahead, (at, self.assumed, item))

    def _left(self) -> None:
        for name in self.backtest.drafts:
            for run in self.contact.runs.get(name, {}).values():
                self.counts.under_way[name] += 1
                for token in run.tokens:
                    self.counts.waiting[name, token.step] += 1
        self.counts.touched.update(self.touched)
        if self.given is not None:
            self.counts.past += self.given.left()
        for name in self.backtest.programmes:
            member = self.contact.loyalty.get(name)
            if member is not None:
                self.counts.members[name] += not member.left
                self.counts.balances[name] += member.balance
                self.counts.held[name] += member.held


def _instant(item: Input, backtest: Backtest) -> int | None:
    """Return when an input happens in a backtest, or None when it does not."""
    match item:
        case Absorb() | Dissolve() | Erased():
            return None
        case Enter():
            return _instant_of_entry(item, backtest)
        case Interaction() | Grant() if item.source == OF_PROGRAMMES:
            return None  # it is told anew
        case Award() if item.lot.rule == backtest.job.retroactive:
            # What it was made to give for the past it gives as if it had been live; what was counted before is known.
            return item.received_at if item.counted and item.received_at <= backtest.job.start else None
        case Interaction() | Update() if item.backfill:
            item.backfill = False
            return item.occurred_at
        case _:
            return item.received_at


def _instant_of_entry(item: Enter, backtest: Backtest) -> int | None:
    """Return when somebody enters who was asked for or started by another journey; tests and readings are left out."""
    journey = backtest.plan.newest.get(item.journey)
    if journey is None or item.test:
        return None
    if not maker_of(item) and (not item.source or item.journey not in backtest.entered_over_api):
        return None
    item.version = journey.version  # drafts have one version
    return item.received_at


_NEVER = 2**63


def _first(pair: tuple[int, Input]) -> int:
    return pair[0]
