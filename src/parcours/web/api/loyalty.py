"""Loyalty over the API: programmes, members, what is asked of them, their ledger, and what a programme comes to by day.

What is asked has a message id of the caller's choice (`id`): asked again with the same one, nothing is done again, and
the answer is the one of the first time. Something else under that id is declined: `core.repeats` tells the two apart.
"""

from __future__ import annotations

import contextlib
import uuid
from datetime import datetime
from typing import Any, Literal

from litestar import Controller, Request, Response, get, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery, JSONBody

from parcours.conditions.instants import milliseconds
from parcours.conditions.operators import to_instant
from parcours.conditions.parse import shown
from parcours.core.contact import Contact
from parcours.core.effects import Entry, What
from parcours.core.gate import Arrival, Asked
from parcours.core.loyalty.compiled import CompiledProgramme
from parcours.core.member import Member
from parcours.ports import Identity, Store
from parcours.runtimes.embedded import Embedded
from parcours.runtimes.engine import Accepted
from parcours.runtimes.loyalty.statement import as_csv, statement_of
from parcours.web.api.common import guard, host_of, named
from parcours.web.api.loyalty_shapes import (
    AdjustAsked,
    Answer,
    Asks,
    BalanceAt,
    EnrolAsked,
    EntryRow,
    LeaveAsked,
    LedgerPage,
    LevelRow,
    MemberShown,
    ProgrammeRow,
    Programmes,
    RefundAsked,
    SpendAsked,
    Statement,
    TransferAsked,
    entry_row,
    member_shown,
)
from parcours.web.api.people import (
    ask_once,
    cursor_of,
    find,
    identity_in,
    iso,
    look_up,
    place_in,
    place_of,
)

SOURCE = "loyalty-api"
"""The source of what is asked over the API; message ids are told apart by it."""

MOST_ENTRIES = 1_000
"""Entries of a ledger in one page."""

ID_TAKEN = "id_taken"
"""Why nothing is done under a message id that something else was asked with, or of another contact."""

HINTS = {ID_TAKEN: "something else was asked with this id: give each request an id of its own"}
"""What to do about a reason."""


class LoyaltyApi(Controller):
    """Points and tiers of members."""

    path = "/v1/loyalty"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @get("/programmes", summary="All programmes")
    async def programmes(self, request: Request[Any, Any, Any]) -> Programmes:
        """Return every programme with its tiers and its live rules."""
        plan = host_of(request).engine.plan
        rows = [
            ProgrammeRow(
                one.name,
                one.title,
                one.description,
                one.archived,
                one.timezone,
                [
                    LevelRow(level.name, level.title or level.name, level.at, level.benefits)
                    for level in (one.tiers.levels if one.tiers is not None else [])
                ],
                [rule.name for rule in plan.loyalty.rules.values() if rule.programme.name == one.name],
            )
            for one in plan.workspace.programmes.values()
        ]
        return Programmes(rows)

    @get("/{programme:str}/members/{contact:str}", summary="What somebody has in a programme")
    async def member(
        self, request: Request[Any, Any, Any], programme: FromPath[str], contact: FromPath[str]
    ) -> MemberShown:
        """Return balance, tier and what comes next of a member."""
        host = host_of(request)
        compiled = programme_of(host, programme)
        async with host.turn:
            state = find(host, contact)
            return member_shown(compiled, state, _member(state, programme), host.engine.clock.now())

    @get("/{programme:str}/members/{contact:str}/balance", summary="What somebody had at an instant")
    async def balance(
        self,
        request: Request[Any, Any, Any],
        programme: FromPath[str],
        contact: FromPath[str],
        at: FromQuery[str] = "",
    ) -> BalanceAt:
        """Return the balance at an instant (ISO 8601 with an offset), after everything that happened by then."""
        host = host_of(request)
        programme_of(host, programme)
        async with host.turn:
            now = host.engine.clock.now()
            instant = instant_of(at, "at") if at else now
            state = find(host, contact)
            _member(state, programme)
            before = 0
            while found := host.store.ledger(state.id, MOST_ENTRIES, before):
                for posting in found:
                    entry = posting.entry
                    if entry.programme == programme and entry.at <= instant:
                        return BalanceAt(state.id, programme, instant, iso(instant), entry.balance, entry.pending)
                before = found[-1].place
            return BalanceAt(state.id, programme, instant, iso(instant), 0, 0)

    @get("/{programme:str}/members/{contact:str}/ledger", summary="The ledger of a member")
    async def ledger(
        self,
        request: Request[Any, Any, Any],
        programme: FromPath[str],
        contact: FromPath[str],
        limit: FromQuery[int] = 100,
        before: FromQuery[str] = "",
    ) -> LedgerPage:
        """Return entries, newest first, page by page."""
        host = host_of(request)
        programme_of(host, programme)
        limit = max(1, min(limit, MOST_ENTRIES))
        place = place_in(before, tuple[int])[0] if before else 0
        rows: list[EntryRow] = []
        async with host.turn:
            state = find(host, contact)
            _member(state, programme)
            while found := host.store.ledger(state.id, MOST_ENTRIES, place):
                for posting in found:
                    place = posting.place
                    if posting.entry.programme == programme:
                        rows.append(entry_row(posting.entry))
                        if len(rows) == limit:
                            return LedgerPage(rows, cursor_of([place]))
        return LedgerPage(rows, None)

    @post("/{programme:str}/members/{contact:str}/enrol", summary="Make somebody a member", status_code=200)
    async def enrol(
        self,
        request: Request[Any, Any, Any],
        programme: FromPath[str],
        contact: FromPath[str],
        data: JSONBody[EnrolAsked],
    ) -> Response[Answer]:
        """Make a contact a member; an identity that is nobody's yet makes the contact, too. Who had left is back."""
        asked = Asked(action="enrol", programme=programme, card=data.card.strip())
        return await ask_member(host_of(request), contact, asked, data)

    @post("/{programme:str}/members/{contact:str}/leave", summary="Let a member leave", status_code=200)
    async def leave(
        self,
        request: Request[Any, Any, Any],
        programme: FromPath[str],
        contact: FromPath[str],
        data: JSONBody[LeaveAsked],
    ) -> Response[Answer]:
        """Let a member leave a programme."""
        return await ask_member(
            host_of(request), contact, Asked(action="leave", programme=programme, reason=data.reason), data
        )

    @post("/{programme:str}/members/{contact:str}/spend", summary="Spend points", status_code=200)
    async def spend(
        self,
        request: Request[Any, Any, Any],
        programme: FromPath[str],
        contact: FromPath[str],
        data: JSONBody[SpendAsked],
    ) -> Response[Answer]:
        """Spend points of a member, all of them or, with status 409, none."""
        asked = Asked(
            action="spend",
            programme=programme,
            points=data.points,
            reference=data.reference,
            reason=data.reason,
            author=data.author,
        )
        return await ask_member(host_of(request), contact, asked, data)

    @post("/{programme:str}/members/{contact:str}/transfer", summary="Give points to another member", status_code=200)
    async def transfer(
        self,
        request: Request[Any, Any, Any],
        programme: FromPath[str],
        contact: FromPath[str],
        data: JSONBody[TransferAsked],
    ) -> Response[Answer]:
        """Give points of a member to another, all of them or, with status 409, none."""
        host = host_of(request)
        async with host.turn:
            receiver = _receiver(host, data.to)
        asked = Asked(
            action="transfer",
            programme=programme,
            points=data.points,
            to=receiver,
            reason=data.reason,
            author=data.author,
        )
        return await ask_member(host, contact, asked, data)

    @post("/{programme:str}/members/{contact:str}/adjust", summary="Give or take points by hand", status_code=200)
    async def adjust(
        self,
        request: Request[Any, Any, Any],
        programme: FromPath[str],
        contact: FromPath[str],
        data: JSONBody[AdjustAsked],
    ) -> Response[Answer]:
        """Give points by hand, or with a number below zero take them; with a reason and an author."""
        asked = Asked(
            action="adjust",
            programme=programme,
            points=data.points,
            reason=data.reason,
            author=data.author,
            qualifying=data.qualifying,
        )
        return await ask_member(host_of(request), contact, asked, data)

    @post("/{programme:str}/members/{contact:str}/refund", summary="Reverse what an order earned", status_code=200)
    async def refund(
        self,
        request: Request[Any, Any, Any],
        programme: FromPath[str],
        contact: FromPath[str],
        data: JSONBody[RefundAsked],
    ) -> Response[Answer]:
        """Reverse what an order earned, or with `attributes` what the part that came back had earned."""
        asked = Asked(
            action="refund",
            programme=programme,
            reference=data.reference,
            whole=data.attributes is None,
            attributes=data.attributes or {},
        )
        return await ask_member(host_of(request), contact, asked, data)

    @get("/{programme:str}/statement", summary="What a programme owes, day by day")
    async def statement(
        self,
        request: Request[Any, Any, Any],
        programme: FromPath[str],
        since: FromQuery[str] = "",
        until: FromQuery[str] = "",
        format: FromQuery[Literal["json", "csv"]] = "json",  # noqa: A002 (its name in the query)
    ) -> Response[Any]:
        """Return each day on which something happened, from `since` to `until` (both days included), also as CSV."""
        host = host_of(request)
        programme_of(host, programme)
        first, last = _day(since, "since") or 0, _day(until, "until") or 99_999_999
        worth = host.engine.plan.workspace.programmes[programme].worth
        async with host.turn:
            totals = host.store.ledger_days()
        days = [
            row
            for row in statement_of(totals, programme, worth.amount if worth is not None else 0)
            if first <= int(row.day.replace("-", "")) <= last
        ]
        if format == "csv":
            headers = {"Content-Disposition": f'attachment; filename="{programme}-statement.csv"'}
            return Response(as_csv(days).encode(), media_type="text/csv; charset=utf-8", headers=headers)
        return Response(Statement(programme, worth.currency if worth is not None else "", days))


async def ask_member(host: Embedded, reference: str, asked: Asked, data: Asks) -> Response[Answer]:
    """Ask something of a member, and answer what became of it: 409 when it was declined."""
    compiled = programme_of(host, asked.programme)
    async with host.turn:
        identities = _identities(host, reference, asked, compiled)
    occurred_at = instant_of(data.occurred_at, "occurred_at") if data.occurred_at is not None else None
    arrival = Arrival(SOURCE, data.id or str(uuid.uuid4()), identities, asked, occurred_at)
    outcome = await ask_once(host, arrival)
    async with host.turn:
        state = find(host, reference)
        reason, entries = became(host.store, place_of(host, arrival, outcome, state))
        member = state.loyalty.get(asked.programme)
        shown_ = member_shown(compiled, state, member, host.engine.clock.now()) if member is not None else None
    repeated = not isinstance(outcome, Accepted)
    rows, hint = [entry_row(entry) for entry in entries], HINTS.get(reason, "")
    answer = Answer("declined" if reason else "done", reason, repeated, rows, shown_, hint)
    return Response(answer, status_code=409 if reason else 200)


def _identities(
    host: Embedded, reference: str, asked: Asked, programme: CompiledProgramme
) -> tuple[Identity, ...]:  # fmt: skip
    """Return who is asked: somebody who is there, or for an enrolment an identity that is nobody's yet."""
    contact = look_up(host, reference) if asked.action == "enrol" and ":" in reference else find(host, reference)
    if contact is not None and contact.erased_at:
        find(host, reference)  # which tells it
    first = contact.identities[:1] if contact is not None else [identity_in(reference)]
    card = [(programme.card, asked.card)] if asked.card else []
    return (*first, *(identity for identity in card if identity not in first))


def _receiver(host: Embedded, reference: str) -> Identity:
    """Return an identity of who is to have points. One of nobody's is refused, unless it is a repeat, when that is known."""
    host.engine.catch_up()
    with contextlib.suppress(HTTPException):
        contact = look_up(host, reference)
        if contact is not None and contact.identities:
            return contact.identities[0]
    return ("", reference)


def became(store: Store, position: int) -> tuple[str, list[Entry]]:
    """Return why what stands at a position was declined, empty when it was not, and the entries it made, in order."""
    return declined(store, position), store.booked(position)


def declined(store: Store, position: int) -> str:
    """Return why what stands at a position was declined, empty when it was not."""
    if not position:
        return ID_TAKEN
    # Of a coupon that could not be reopened it is told with the order: what was asked is done nevertheless.
    entries = (entry for entry in store.decided(position) if entry.what == What.DECLINED)
    return next((entry.reason for entry in entries if "order" not in (entry.detail or {})), "")


def programme_of(host: Embedded, name: str) -> CompiledProgramme:
    """Return a programme.

    Raises:
        NotFoundException: There is none of this name.
    """
    return named("programme", name, host.engine.plan.loyalty.programmes)


def _member(contact: Contact, programme: str) -> Member:
    member = contact.loyalty.get(programme)
    if member is None:
        detail = f"the contact is no member of {shown(programme)}"
        raise HTTPException(status_code=404, detail=detail, extra={"code": "no_member"})
    return member


def instant_of(text: str, name: str) -> int:
    """Return a date, or a date and time with an offset, as an instant.

    Raises:
        HTTPException: 400, it is none.
    """
    moment = to_instant(text)
    if moment is None:
        raise HTTPException(status_code=400, detail=f"{name!r} is a date, or a date and time with an offset")
    return milliseconds(moment)


def _day(text: str, name: str) -> int | None:
    if not text:
        return None
    try:
        day = datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 (a day)
    except ValueError:
        raise HTTPException(status_code=400, detail=f"{name!r} is a day, such as 2026-12-31") from None
    return day.year * 10_000 + day.month * 100 + day.day
