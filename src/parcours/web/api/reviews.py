"""Awards that were put aside, over the API: which there are, and what somebody decides."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery, JSONBody

from parcours.conditions.parse import shown
from parcours.core.contact import Contact
from parcours.core.gate import Asked
from parcours.core.loyalty.review import in_review
from parcours.core.member import Lot
from parcours.runtimes.embedded import Embedded
from parcours.web.api.common import guard, host_of
from parcours.web.api.loyalty import ask_member, programme_of
from parcours.web.api.loyalty_shapes import Answer, Asks
from parcours.web.api.people import iso, look_up
from parcours.web.api.search import contacts

MOST_REVIEWS = 1_000
"""Awards in review that are shown, the oldest."""


class ReviewRow(msgspec.Struct):
    """An award in review."""

    id: str
    """Of the entry with which its points came."""
    contact: str
    rule: str
    points: int
    at: int
    """When what earned it occurred."""
    time: str
    position: int
    """The place in the log of what earned it."""
    reference: str
    free_at: int
    """When its points can be spent, if they are approved before."""
    free_time: str
    reward: str
    """What comes with it when it is approved, beside points, as the rule says now; so it is with the next two."""
    tier: str
    record: str
    """The interaction that is recorded."""


class Reviews(msgspec.Struct):
    """Awards in review, the oldest first, and how many there are."""

    reviews: list[ReviewRow]
    total: int


class Decision(Asks, kw_only=True):
    """What somebody decides."""

    author: str
    reason: str = ""


class ReviewsApi(Controller):
    """The review queue of a programme."""

    path = "/v1/loyalty/{programme:str}/reviews"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @get("/", summary="Awards that wait for a review")
    async def every(
        self, request: Request[Any, Any, Any], programme: FromPath[str], rule: FromQuery[str] = ""
    ) -> Reviews:
        """Return the awards that somebody must approve or refuse, the oldest first; of one rule, if it is named."""
        host = host_of(request)
        programme_of(host, programme)
        found = [(contact, lot) for contact, lot in await _waiting(host, programme) if rule in {"", lot.rule}]
        found.sort(key=lambda pair: (pair[1].at, pair[1].id))
        return Reviews([_row(contact, lot, host) for contact, lot in found[:MOST_REVIEWS]], len(found))

    @post("/{id_:str}/approve", summary="Approve an award", status_code=200)
    async def approve(
        self, request: Request[Any, Any, Any], programme: FromPath[str], id_: FromPath[str], data: JSONBody[Decision]
    ) -> Response[Answer]:
        """Let a member have points that were put aside."""
        return await _decide(host_of(request), programme, id_, data, approved=True)

    @post("/{id_:str}/refuse", summary="Refuse an award", status_code=200)
    async def refuse(
        self, request: Request[Any, Any, Any], programme: FromPath[str], id_: FromPath[str], data: JSONBody[Decision]
    ) -> Response[Answer]:
        """Take points back that were put aside."""
        return await _decide(host_of(request), programme, id_, data, approved=False)


async def _decide(host: Embedded, programme: str, id_: str, data: Decision, *, approved: bool) -> Response[Answer]:
    programme_of(host, programme)
    contact = next((contact for contact, lot in await _waiting(host, programme) if lot.id == id_), None)
    if contact is None:
        detail = f"no award {shown(id_)} of {shown(programme)} is in review; it may have been decided"
        raise HTTPException(status_code=404, detail=detail, extra={"code": "no_review"})
    asked = Asked(
        action="review", programme=programme, reference=id_, approved=approved, reason=data.reason, author=data.author
    )
    # Of two who decide at once the second gets the answer of the first.
    data.id = data.id or f"review:{id_}"
    return await ask_member(host, contact.id, asked, data)


async def _waiting(host: Embedded, programme: str) -> list[tuple[Contact, Lot]]:
    """Return what is in review. Everybody is looked at once a start of the service; then it is kept up with."""
    engine = host.engine
    if engine.reviews is None:
        engine.reviews = set()
    if not engine.reviews_whole:
        async for people in contacts(host):
            for contact in people:
                if any(in_review(member) for member in contact.loyalty.values()):
                    engine.reviews.add(contact.id)
        engine.reviews_whole = True
    found: dict[str, Contact] = {}
    async with host.turn:
        engine.catch_up()
        for id_ in sorted(engine.reviews):
            state = look_up(host, id_)
            if state is None or not any(in_review(member) for member in state.loyalty.values()):
                engine.reviews.discard(id_)
            else:
                found[state.id] = state
        members = ((contact, contact.loyalty.get(programme)) for contact in found.values())
        return [(contact, lot) for contact, member in members if member is not None for lot in in_review(member)]


def _row(contact: Contact, lot: Lot, host: Embedded) -> ReviewRow:
    rule = host.engine.plan.loyalty.rules.get(lot.rule)
    return ReviewRow(
        id=lot.id,
        contact=contact.id,
        rule=lot.rule,
        points=lot.left,
        at=lot.at,
        time=iso(lot.at),
        position=lot.position,
        reference=lot.reference,
        free_at=lot.free,
        free_time=iso(lot.free),
        reward=rule.reward if rule is not None else "",
        tier=rule.tier if rule is not None else "",
        record=rule.record[0] if rule is not None and rule.record is not None else "",
    )
