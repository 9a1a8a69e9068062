"""A rule applied to the past, over the API: worked out beside the service, shown, and given when somebody says so.

| step    | what                                                                                                 |
|---------|------------------------------------------------------------------------------------------------------|
| ask     | a backtest finds what the rule would have given for each interaction before it was live               |
| preview | each of these is folded into a copy of its member as they are now, with all that follows from it          |
| apply   | each becomes an input in the log; its message id is derived from rule and interaction, so once is once |
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.exceptions import ClientException, HTTPException, NotFoundException
from litestar.params import FromPath, FromQuery, JSONBody

from parcours.conditions.parse import shown
from parcours.core.gate import Arrival, Asked
from parcours.core.loyalty.compiled import CompiledRule
from parcours.definitions.load import dump
from parcours.errors import InvalidDefinitionError
from parcours.runtimes.backtest.job import BacktestError, Job, PastAward
from parcours.runtimes.backtest.jobs import Request as Asking
from parcours.runtimes.backtest.jobs import TooManyBacktestsError
from parcours.runtimes.embedded import Embedded
from parcours.runtimes.engine import Accepted
from parcours.runtimes.loyalty.retroactive import SOURCE, Came, Trial, in_turn, told, was_given
from parcours.web.api.backtests import backtests_of
from parcours.web.api.common import guard, host_of
from parcours.web.api.loyalty import instant_of, programme_of
from parcours.web.api.loyalty_shapes import EntryRow, entry_row
from parcours.web.api.people import look_up, submit

SLICE = 100
"""Awards that are looked at in one turn."""

MOST_SHOWN = 1_000
"""Members in one page of a preview."""


class PastAsked(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What time a rule is to be applied to."""

    since: str
    until: str | None = None
    """Before this; never later than since when the rule has been live."""


class PastState(msgspec.Struct):
    """How far it is."""

    id: str
    state: str


class Apply(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Who says that it is given."""

    author: str


class Gives(msgspec.Struct):
    """What the rule gives, in its own words; for each award of the past all of it."""

    points: bool
    reward: str
    """The coupon is issued now, and valid from now on."""
    tier: str
    """Members are lifted to it now, if they are not higher."""
    record: str
    """The interaction that is recorded now, with the attribute `retroactive`: journeys may start with it."""
    every: int
    """Only every so-manieth time; what is left over is counted on from."""


class MemberGiven(msgspec.Struct):
    """What one member gets."""

    contact: str
    awards: int = 0
    points: int = 0
    declined: dict[str, int] = {}
    """Reason to how many awards come to nothing."""
    entries: list[EntryRow] = []
    """What the ledger gets by it, in this order."""
    rewards: dict[str, int] = {}
    """Reward to how many coupons are issued."""
    refused: dict[str, int] = {}
    """Reason to how many are not, though the rule gives them."""
    tiers: list[str] = []
    """The tiers that the member comes to, one after the other."""
    recorded: dict[str, int] = {}
    """Interaction to how often it is recorded."""
    goes_on_from: int | None = None
    """Of a rule that gives every so-manieth time: so many count towards the next time."""

    def note(self, came: Came) -> None:
        """Add what came of an award."""
        if came.carried is not None:
            self.goes_on_from = came.carried
            return
        if came.declined:
            if came.declined != "every":  # an award that is not due, for others were given
                self.declined = _added(self.declined, {came.declined: 1})
            return
        self.awards += 1
        self.points += came.points
        self.entries += map(entry_row, came.entries)
        self.rewards = _added(self.rewards, came.rewards)
        self.refused = _added(self.refused, came.refused)
        self.tiers += came.tiers
        self.recorded = _added(self.recorded, came.recorded)

    def says_something(self) -> bool:
        """Return whether there is anything to show."""
        return bool(self.awards or self.declined or self.goes_on_from is not None)


class PastReport(msgspec.Struct):
    """What applying a rule to the past comes to, or came to."""

    id: str
    state: str
    members: int = 0
    awards: int = 0
    points: int = 0
    rewards: dict[str, int] = {}
    """Reward to how many coupons are issued."""
    refused: dict[str, int] = {}
    """Reason to how many are not."""
    tiers: dict[str, int] = {}
    """Tier to how many members come to it."""
    recorded: dict[str, int] = {}
    """Interaction to how often it is recorded."""
    carried: int = 0
    """Members for whom a rule that gives every so-manieth time goes on from what it would have counted."""
    declined: dict[str, int] = {}
    """Reason to how many awards come to nothing; `repeated` were given before."""
    gives: Gives | None = None
    given: list[MemberGiven] = []
    next: str | None = None
    """Goes on behind these members; null at the end."""
    problem: str = ""
    """Why it failed."""

    def add(self, one: MemberGiven) -> None:
        """Count a member."""
        self.members += bool(one.awards)
        self.awards += one.awards
        self.points += one.points
        self.carried += one.goes_on_from is not None
        self.rewards = _added(self.rewards, one.rewards)
        self.refused = _added(self.refused, one.refused)
        self.tiers = _added(self.tiers, dict.fromkeys(one.tiers[-1:], 1))
        self.recorded = _added(self.recorded, one.recorded)
        self.declined = _added(self.declined, one.declined)


def _added(ours: dict[str, int], theirs: dict[str, int]) -> dict[str, int]:
    return ours | {name: ours.get(name, 0) + count for name, count in theirs.items()} if theirs else ours


class RetroactiveApi(Controller):
    """Rules applied to the past."""

    path = "/v1/loyalty/{programme:str}/rules/{rule:str}/retroactive"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @post("/", summary="Work out what a rule would have given before it was live", status_code=202)
    async def ask(
        self, request: Request[Any, Any, Any], programme: FromPath[str], rule: FromPath[str], data: JSONBody[PastAsked]
    ) -> PastState:
        """Take a live rule, to be tried on the time before it was live. Nothing is given by it."""
        host = host_of(request)
        programme_of(host, programme)
        compiled = host.engine.plan.loyalty.rules.get(rule)
        if compiled is None or compiled.programme.name != programme:
            raise NotFoundException(detail=f"there is no live rule {shown(rule)} in {shown(programme)}")
        if compiled.multiply is not None:
            message = f"the rule {shown(rule)} multiplies what others give, and that is not done for the past"
            raise ClientException(message)
        live = host.engine.plan.loyalty.live[rule]
        until = live if data.until is None else min(live, instant_of(data.until, "until"))
        job = Job(
            definitions=[dump(host.engine.plan.workspace.rules[rule])],
            start=max(0, instant_of(data.since, "since")) - 1,  # nothing occurred before 1970
            end=host.engine.clock.now(),
            retroactive=rule,
            before=until,
        )
        try:
            backtests = backtests_of(request)
            await backtests.check(job, host.store.publications())
            asked = backtests.ask(Asking(job=job))
        except (InvalidDefinitionError, BacktestError) as error:
            raise ClientException(str(error)) from None
        except TooManyBacktestsError as error:
            raise HTTPException(status_code=429, detail=str(error), headers={"Retry-After": "10"}) from None
        return PastState(asked.id, asked.state)

    @get("/{id_:str}", summary="What applying a rule to the past would give")
    async def preview(
        self,
        request: Request[Any, Any, Any],
        programme: FromPath[str],
        rule: FromPath[str],
        id_: FromPath[str],
        limit: FromQuery[int] = 100,
        after: FromQuery[str] = "",
    ) -> PastReport:
        """Return what it would give as things are now, member by member, with the entries of the ledger."""
        host = host_of(request)
        found, awards = _found(request, programme, rule, id_)
        limit = max(1, min(limit, MOST_SHOWN))
        members = await _tried(host, rule, awards)
        for contact, one in sorted(members.items()):
            found.add(one)
            if contact > after and one.says_something():
                if len(found.given) < limit:
                    found.given.append(one)
                else:
                    found.next = found.given[-1].contact
        return found

    @post("/{id_:str}/apply", summary="Give what a rule would have given", status_code=200)
    async def apply(
        self,
        request: Request[Any, Any, Any],
        programme: FromPath[str],
        rule: FromPath[str],
        id_: FromPath[str],
        data: JSONBody[Apply],
    ) -> PastReport:
        """Give it. Whatever was given before, by this or another run, is not given again."""
        if not data.author.strip():
            raise ClientException("/author: somebody says so")
        host = host_of(request)
        found, awards = _found(request, programme, rule, id_)
        members: dict[str, MemberGiven] = {}
        for slice_ in _slices(host, rule, awards):
            await _give(host, programme, rule, slice_, data.author, members)
        for one in members.values():
            found.add(one)
        return found


def _slices(host: Embedded, rule: str, awards: list[PastAward]) -> Iterator[list[PastAward]]:
    plan = host.engine.plan
    turns = in_turn(awards, plan, _rule(host, rule))
    return (turns[start : start + SLICE] for start in range(0, len(turns), SLICE))


async def _give(
    host: Embedded,
    programme: str,
    rule: str,
    awards: list[PastAward],
    author: str,
    members: dict[str, MemberGiven],
) -> None:
    arrivals: list[Arrival] = []
    whose: list[str] = []
    async with host.turn:
        for award in awards:
            contact = look_up(host, award.contact)
            if contact is None or contact.erased_at or not contact.identities:
                continue
            one = members.setdefault(contact.id, MemberGiven(contact.id))
            if was_given(host.store, award):
                if not award.counted:
                    one.note(_REPEATED)
                continue
            asked = Asked(action="award", programme=programme, lot=award.lot, author=author, counted=award.counted)
            arrivals.append(Arrival(SOURCE, award.key, tuple(contact.identities[:1]), asked, award.at))
            whose.append(contact.id)
    outcomes = await submit(host, arrivals)
    async with host.turn:
        compiled = _rule(host, rule)
        for arrival, id_, outcome in zip(arrivals, whose, outcomes, strict=True):
            if isinstance(outcome, Accepted):
                members[id_].note(told(host.store, outcome.contact, outcome.position, compiled))
            elif not _counted(arrival):
                members[id_].note(_REPEATED)


async def _tried(host: Embedded, rule: str, awards: list[PastAward]) -> dict[str, MemberGiven]:
    """Return what each member would get now, by folding it into copies of them."""
    members: dict[str, MemberGiven] = {}
    last = {award.contact: award for slice_ in _slices(host, rule, awards) for award in slice_}
    trial = Trial(host.store, host.engine.plan, host.engine.clock.now())
    for slice_ in _slices(host, rule, awards):
        async with host.turn:
            host.engine.catch_up()
            compiled = _rule(host, rule)
            for award in slice_:
                contact = look_up(host, award.contact)
                if contact is None or contact.erased_at or not contact.identities:
                    continue
                one = members.setdefault(contact.id, MemberGiven(contact.id))
                if was_given(host.store, award):
                    if not award.counted:
                        one.note(_REPEATED)
                    continue
                one.note(trial.give(contact, award, compiled))
                if last[award.contact] is award:
                    trial.forget(contact.id)
        await asyncio.sleep(0)  # a lock that nobody waits for lets nobody else have their turn
    return members


_REPEATED = Came(declined="repeated")


def _counted(arrival: Arrival) -> bool:
    return isinstance(arrival.what, Asked) and bool(arrival.what.counted)


def _rule(host: Embedded, name: str) -> CompiledRule:
    rule = host.engine.plan.loyalty.rules.get(name)
    if rule is None:
        raise ClientException(f"the rule {shown(name)} is not live any more")
    return rule


def _found(request: Request[Any, Any, Any], programme: str, rule: str, id_: str) -> tuple[PastReport, list[PastAward]]:
    programme_of(host_of(request), programme)
    asked = backtests_of(request).get(id_)
    if asked is None or asked.request.job.retroactive != rule:
        raise NotFoundException(f"there is no such run of the rule {shown(rule)}")
    problem = asked.problem.message if asked.problem is not None else ""
    compiled = _rule(host_of(request), rule)
    gives = Gives(
        points=bool(compiled.fixed or compiled.formula),
        reward=compiled.reward,
        tier=compiled.tier,
        record=compiled.record[0] if compiled.record is not None else "",
        every=compiled.every,
    )
    past = asked.report.past if asked.report is not None else []
    return PastReport(id_, asked.state, problem=problem, gives=gives), past
