"""A rule applied to the past, over the API: worked out beside the service, shown, and given when somebody says so.

| step    | what                                                                                                 |
|---------|------------------------------------------------------------------------------------------------------|
| ask     | a backtest finds what the rule would have given for each interaction before it was live               |
| preview | each of these is folded into a copy of its member as they are now: limits, holding and expiry are real |
| apply   | each becomes an input in the log; its message id is derived from rule and interaction, so once is once |
"""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from typing import Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.exceptions import ClientException, HTTPException, NotFoundException
from litestar.params import FromPath, FromQuery, JSONBody

from parcours.conditions.parse import shown
from parcours.core.codec import decode_contact, encode
from parcours.core.contact import Contact
from parcours.core.effects import Entry, What
from parcours.core.fold import fold
from parcours.core.gate import Arrival, Asked
from parcours.core.ids import message_key
from parcours.core.inputs import Award
from parcours.definitions.load import dump
from parcours.errors import InvalidDefinitionError
from parcours.runtimes.backtest import Backtest
from parcours.runtimes.backtest_job import BacktestError, Job, PastAward
from parcours.runtimes.backtests import Request as Asking
from parcours.runtimes.backtests import TooManyBacktestsError
from parcours.runtimes.budgets import Overlay, bring
from parcours.runtimes.embedded import Embedded
from parcours.runtimes.engine import Accepted
from parcours.web.api.backtests import backtests_of
from parcours.web.api.common import guard, host_of
from parcours.web.api.loyalty import EntryRow, became, entry_row, instant_of, programme_of
from parcours.web.api.people import look_up, submit

SOURCE = "retroactive"
"""The source of what is given for the past; message ids are told apart by it."""

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


class MemberGiven(msgspec.Struct):
    """What one member gets."""

    contact: str
    awards: int
    points: int
    declined: dict[str, int]
    """Reason to how many awards come to nothing."""
    entries: list[EntryRow]
    """What the ledger gets by it, in this order."""


class PastReport(msgspec.Struct):
    """What applying a rule to the past comes to, or came to."""

    id: str
    state: str
    members: int = 0
    awards: int = 0
    points: int = 0
    declined: dict[str, int] = {}
    """Reason to how many awards come to nothing; `repeated` were given before."""
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
        for reason, count in one.declined.items():
            self.declined = {**self.declined, reason: self.declined.get(reason, 0) + count}


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
        if not compiled.fixed and compiled.formula is None:
            raise ClientException(f"the rule {shown(rule)} gives no points, and others are not given for the past")
        live = host.engine.plan.loyalty.live[rule]
        until = live if data.until is None else min(live, instant_of(data.until, "until"))
        job = Job(
            definitions=[dump(host.engine.plan.workspace.rules[rule])],
            start=instant_of(data.since, "since") - 1,
            end=host.engine.clock.now(),
            retroactive=rule,
            before=until,
        )
        try:
            Backtest(job, host.store.publications())
            asked = backtests_of(request).ask(Asking(job=job))
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
        purse = Overlay(host.store)
        for contact, of_one in groupby(awards, key=attrgetter("contact")):
            async with host.turn:
                one = _tried(host, programme, contact, list(of_one), purse)
            found.add(one)
            if contact > after and (one.awards or one.declined):
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
        for start in range(0, len(awards), SLICE):
            await _give(host, programme, awards[start : start + SLICE], data.author, found)
        return found


async def _give(host: Embedded, programme: str, awards: list[PastAward], author: str, found: PastReport) -> None:
    arrivals: list[Arrival] = []
    whose: list[str] = []
    async with host.turn:
        for award in awards:
            contact = look_up(host, award.contact)
            if contact is None or contact.erased_at or not contact.identities:
                continue
            if _has(host, contact, award):
                found.declined = {**found.declined, "repeated": found.declined.get("repeated", 0) + 1}
                continue
            asked = Asked(action="award", programme=programme, lot=award.lot, author=author)
            arrivals.append(Arrival(SOURCE, award.key, tuple(contact.identities[:1]), asked, award.at))
            whose.append(contact.id)
    outcomes = await submit(host, arrivals)
    async with host.turn:
        given: dict[str, MemberGiven] = {}
        for id_, outcome in zip(whose, outcomes, strict=True):
            one = given.setdefault(id_, MemberGiven(id_, 0, 0, {}, []))
            reason, entries = (
                became(host.store, outcome.position) if isinstance(outcome, Accepted) else ("repeated", [])
            )
            _note(one, reason, entries)
        for one in given.values():
            found.add(one)


def _tried(host: Embedded, programme: str, id_: str, awards: list[PastAward], purse: Overlay) -> MemberGiven:
    """Return what a member would get now, by folding it into a copy of them. Whoever calls holds the host's turn.

    What it would take from budgets is counted in `purse`.
    """
    one = MemberGiven(id_, 0, 0, {}, [])
    host.engine.catch_up()
    contact = look_up(host, id_)
    if contact is None or contact.erased_at or not contact.identities:
        return one
    known = host.store.seen([message_key(SOURCE, award.key) for award in awards])
    copy = decode_contact(encode(contact))
    now = max(host.engine.clock.now(), copy.time)
    for award in awards:
        if message_key(SOURCE, award.key) in known or _has(host, contact, award):
            _note(one, "repeated", [])
            continue
        item = Award(
            position=0,
            received_at=now,
            occurred_at=award.at,
            programme=programme,
            lot=award.lot,
            author="",
            source=SOURCE,
            message_id=award.key,
        )
        bring(host.engine.plan.loyalty, item, purse.read)
        effects = fold(host.engine.plan, copy, item)
        purse.count(effects.draws)
        declined = [entry.reason for entry in effects.trace if entry.what == What.DECLINED]
        _note(one, declined[0] if declined else "", effects.ledger)
    return one


def _has(host: Embedded, contact: Contact, award: PastAward) -> bool:
    """Return whether the rule gave for the interaction as it came: it was live before, and then not for a while."""
    before = 0
    while award.position and (found := host.store.ledger(contact.id, SLICE, before)):
        for posting in found:
            entry = posting.entry
            if entry.position == award.position and entry.rule == award.lot.rule and not entry.lot:
                return True
        if any(0 < posting.entry.position < award.position for posting in found):
            return False
        before = found[-1].place
    return False


def _note(one: MemberGiven, reason: str, entries: list[Entry]) -> None:
    if reason:
        one.declined[reason] = one.declined.get(reason, 0) + 1
        return
    one.awards += 1
    # What a member earns by it; what expires at once is told by the entries.
    one.points += sum(entry.amount + entry.held for entry in entries if not entry.lot)
    one.entries += [entry_row(entry) for entry in entries]


def _found(request: Request[Any, Any, Any], programme: str, rule: str, id_: str) -> tuple[PastReport, list[PastAward]]:
    programme_of(host_of(request), programme)
    asked = backtests_of(request).get(id_)
    if asked is None or asked.request.job.retroactive != rule:
        raise NotFoundException(f"there is no such run of the rule {shown(rule)}")
    problem = asked.problem.message if asked.problem is not None else ""
    return PastReport(id_, asked.state, problem=problem), asked.report.past if asked.report is not None else []
