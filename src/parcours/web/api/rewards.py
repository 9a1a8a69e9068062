"""Rewards and coupons over the API: issued, filled, checked at a till, reserved, redeemed, cancelled.

What is asked has a message id of the caller's choice (`id`): asked again with the same one, nothing is done again, and
the answer is the one of the first time.
"""

from __future__ import annotations

import uuid
from typing import Any, Literal

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.exceptions import HTTPException, NotFoundException
from litestar.params import FromPath, JSONBody

from parcours.conditions.parse import shown
from parcours.core.contact import Contact
from parcours.core.coupon import Coupon, state_at
from parcours.core.effects import What
from parcours.core.gate import Arrival, Asked
from parcours.core.inputs import Grant
from parcours.core.loyalty.coupons import discount, why_unusable
from parcours.definitions.loyalty import PoolCodes, RewardDefinition
from parcours.errors import StoreError
from parcours.runtimes.embedded import Embedded
from parcours.runtimes.engine import Accepted
from parcours.runtimes.engine.rewards import LONGEST_CODE, identity_of, in_pool, issued, normal
from parcours.web.api.common import guard, host_of, named
from parcours.web.api.loyalty import HINTS, declined
from parcours.web.api.people import ask_once, find, identity_in, iso, look_up, place_of

SOURCE = "rewards-api"
"""The source of what is asked over the API; message ids are told apart by it."""

MOST_CODES = 10_000
"""Codes that are put into a pool at once."""


class CouponShown(msgspec.Struct):
    """A coupon, with the terms it was issued with."""

    code: str
    reward: str
    state: str
    """`issued`, `reserved`, `redeemed`, `cancelled` or `expired`."""
    issued_at: int
    issued_time: str
    valid_until_at: int | None
    valid_until_time: str | None
    order: str
    percent: float
    value: float
    currency: str
    gift: str
    minimum: float
    personal: bool


class Checked(msgspec.Struct):
    """Whether a coupon can be redeemed, and what it takes off."""

    valid: bool
    reason: str
    """Why not."""
    discount: float | None
    coupon: CouponShown | None


class CouponAnswer(msgspec.Struct):
    """What became of what was asked."""

    status: Literal["done", "declined"]
    reason: str
    """Why it was declined."""
    repeated: bool
    """Whether it was asked before under this id, and this is the answer of then."""
    discount: float | None
    coupon: CouponShown | None
    hint: str = ""
    """What to do about it, where that can be said."""


class Coupons(msgspec.Struct):
    """The coupons of a contact, the latest first."""

    contact: str
    coupons: list[CouponShown]


class RewardShown(msgspec.Struct):
    """A reward, and how much of it there is."""

    name: str
    title: str
    archived: bool
    issued: int
    redeemed: int
    cancelled: int
    expired: int
    stock: int | None
    left: int | None
    """How many more can be issued; null for any number."""
    pool: int | None
    """How many codes its pool has left; null where codes are made."""


class Rewards(msgspec.Struct):
    """All rewards."""

    rewards: list[RewardShown]


class Filled(msgspec.Struct):
    """What became of codes for a pool."""

    new: int
    known: int
    """Codes that were there, or are somebody's already."""
    pool: int


class NewCodes(msgspec.Struct, forbid_unknown_fields=True):
    """Codes for a pool."""

    codes: list[str]


class IssueAsked(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """To whom a reward is issued."""

    contact: str
    id: str = ""
    """The message id; one is made when there is none, and then a repeat is another."""
    pay: bool = False
    """Whether the contact pays with points what the reward costs."""
    reason: str = ""
    author: str = ""


class CheckAsked(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A coupon as it is presented."""

    code: str
    contact: str = ""
    """Who presents it: an id or an identity. A personal coupon asks for it."""
    basket: float | None = None
    """What the basket comes to."""
    order: str = ""
    """The order it may be reserved for."""


class UseAsked(CheckAsked, kw_only=True):
    """What is asked of a coupon."""

    id: str = ""
    reason: str = ""
    author: str = ""


class RewardsApi(Controller):
    """Rewards and coupons."""

    path = "/v1/loyalty"
    guards = [guard]  # noqa: RUF012 (the framework's form)

    @get("/rewards", summary="All rewards")
    async def rewards(self, request: Request[Any, Any, Any]) -> Rewards:
        """Return every reward, with how many were issued and redeemed."""
        host = host_of(request)
        async with host.turn:
            return Rewards([_reward_shown(host, one) for one in host.engine.plan.workspace.rewards.values()])

    @get("/rewards/{name:str}", summary="A reward, and how much of it there is")
    async def reward(self, request: Request[Any, Any, Any], name: FromPath[str]) -> RewardShown:
        """Return how many were issued and redeemed, and what is left."""
        host = host_of(request)
        definition = _reward(host, name)
        async with host.turn:
            return _reward_shown(host, definition)

    @post("/rewards/{name:str}/codes", summary="Put codes into the pool of a reward", status_code=200)
    async def codes(self, request: Request[Any, Any, Any], name: FromPath[str], data: JSONBody[NewCodes]) -> Filled:
        """Put codes in; those that are there, or were issued, are left as they are. Sent twice, they are in once."""
        host = host_of(request)
        definition = _reward(host, name)
        if not isinstance(definition.codes, PoolCodes):
            raise HTTPException(status_code=400, detail=f"the reward {shown(name)} makes its codes: it has no pool")
        if len(data.codes) > MOST_CODES:
            raise HTTPException(status_code=400, detail=f"more than {MOST_CODES} at once: send them in parts")
        for index, code in enumerate(data.codes):
            if not 0 < len(normal(code)) <= LONGEST_CODE or not normal(code).isprintable():
                raise HTTPException(
                    status_code=400, detail=f"/codes/{index}: a code has 1 to {LONGEST_CODE} characters"
                )
        try:
            new = await host.fill(name, data.codes)
        except StoreError as error:
            raise HTTPException(status_code=503, detail=str(error), headers={"Retry-After": "1"}) from None
        async with host.turn:
            return Filled(new, len(data.codes) - new, in_pool(host.store, name))

    @post("/rewards/{name:str}/issue", summary="Issue a reward", status_code=200)
    async def issue(
        self, request: Request[Any, Any, Any], name: FromPath[str], data: JSONBody[IssueAsked]
    ) -> Response[CouponAnswer]:
        """Issue a reward to a contact; with `pay`, for points. 409 says why it was not."""
        host = host_of(request)
        _reward(host, name)
        async with host.turn:
            contact = look_up(host, data.contact) if ":" in data.contact else find(host, data.contact)
            if contact is not None and contact.erased_at:
                find(host, data.contact)  # which tells it
        identities = tuple(contact.identities[:1]) if contact is not None else (identity_in(data.contact),)
        asked = Asked(action="issue", reward=name, pay=data.pay, reason=data.reason, author=data.author)
        arrival = Arrival(SOURCE, data.id or str(uuid.uuid4()), identities, asked)
        outcome = await ask_once(host, arrival)
        async with host.turn:
            state = find(host, data.contact)
            position = place_of(host, arrival, outcome, state)
            record = host.store.record(position)
            item = record.input() if record is not None else None
            code = item.code if isinstance(item, Grant) else ""
            return _answered(host, state, code, position, repeated=not isinstance(outcome, Accepted))

    @post(
        "/coupons/check",
        summary="Whether a coupon can be redeemed",
        status_code=200,
        opt={"scope": "loyalty:read"},
    )
    async def check(self, request: Request[Any, Any, Any], data: JSONBody[CheckAsked]) -> Checked:
        """Say whether a coupon can be redeemed now, for a till. Nothing is changed."""
        host, code = host_of(request), normal(data.code)
        async with host.turn:
            owner = _owner(host, code)
            if owner is None or code not in owner.coupons:
                return Checked(valid=False, reason="unknown_code", discount=None, coupon=None)
            now = host.engine.clock.now()
            why = why_unusable(
                owner, code, now, presented=_presented(host, data.contact), basket=data.basket, order=data.order
            )
        coupon = owner.coupons[code]
        off = discount(coupon, data.basket) if not why else None
        return Checked(valid=not why, reason=why, discount=off, coupon=_coupon(coupon, now))

    @post("/coupons/{action:str}", summary="Reserve, redeem, release, cancel or reopen a coupon", status_code=200)
    async def use(
        self,
        request: Request[Any, Any, Any],
        action: FromPath[Literal["reserve", "redeem", "release", "cancel", "reopen"]],
        data: JSONBody[UseAsked],
    ) -> Response[CouponAnswer]:
        """Reserve a coupon for an order, redeem it, release the reservation, cancel it, or undo that it was redeemed.

        409 says why it was not.
        """
        host, code = host_of(request), normal(data.code)
        async with host.turn:
            if _owner(host, code) is None:
                return Response(
                    CouponAnswer("declined", "unknown_code", repeated=False, discount=None, coupon=None),
                    status_code=409,
                )
            presented = _presented(host, data.contact)
        asked = Asked(
            action=action,
            code=code,
            presented=presented,
            basket=data.basket,
            reference=data.order,
            reason=data.reason,
            author=data.author,
        )
        arrival = Arrival(SOURCE, data.id or str(uuid.uuid4()), (identity_of(code),), asked)
        outcome = await ask_once(host, arrival)
        async with host.turn:
            owner = _owner(host, code)
            if owner is None:
                raise NotFoundException(detail="the contact of this coupon was erased")
            position = place_of(host, arrival, outcome, owner)
            repeated = not isinstance(outcome, Accepted)
            return _answered(host, owner, code, position, repeated=repeated, basket=data.basket)

    @get("/contacts/{contact:str}/coupons", summary="The coupons of a contact")
    async def coupons(self, request: Request[Any, Any, Any], contact: FromPath[str]) -> Coupons:
        """Return the coupons of a contact, the latest first."""
        host = host_of(request)
        async with host.turn:
            state = find(host, contact)
            now = host.engine.clock.now()
        return Coupons(state.id, [_coupon(coupon, now) for coupon in reversed(state.coupons.values())])


def _owner(host: Embedded, code: str) -> Contact | None:
    """Return whose a code is. Whoever calls holds the host's turn."""
    host.engine.catch_up()
    identity = identity_of(code)
    id_ = host.store.resolve([identity]).get(identity)
    return host.store.contacts([id_]).get(id_) if id_ is not None else None


def _presented(host: Embedded, reference: str) -> str:
    """Return the contact that presents a coupon, `?` for one that nobody knows, empty for none."""
    if not reference:
        return ""
    contact = look_up(host, reference)
    return contact.id if contact is not None else "?"


def _answered(
    host: Embedded, contact: Contact, code: str, position: int, *, repeated: bool, basket: float | None = None
) -> Response[CouponAnswer]:
    reason = declined(host.store, position)
    coupon = contact.coupons.get(code)
    told = _coupon(coupon, host.engine.clock.now()) if coupon is not None else None
    off = discount(coupon, basket) if coupon is not None and not reason else None
    answer = CouponAnswer("declined" if reason else "done", reason, repeated, off, told, HINTS.get(reason, ""))
    return Response(answer, status_code=409 if reason else 200)


def _reward(host: Embedded, name: str) -> RewardDefinition:
    return named("reward", name, host.engine.plan.workspace.rewards)


def _reward_shown(host: Embedded, reward: RewardDefinition) -> RewardShown:
    """Return a reward as it is told. Whoever calls holds the host's turn."""
    statistics = host.store.statistics()
    lapsed, voided, redeemed, reopened = (
        statistics.get(("", 0, "", what, reward.name), 0)
        for what in (What.LAPSED, What.VOIDED, What.REDEEMED, What.REOPENED)
    )
    given = issued(host.store, reward.name)
    pool = in_pool(host.store, reward.name) if isinstance(reward.codes, PoolCodes) else None
    left = max(0, reward.stock - given) if reward.stock is not None else None
    if pool is not None:
        left = pool if left is None else min(left, pool)
    return RewardShown(
        name=reward.name,
        title=reward.title or reward.name,
        archived=reward.archived,
        issued=given,
        redeemed=redeemed - reopened,
        cancelled=voided,
        expired=lapsed,
        stock=reward.stock,
        left=left,
        pool=pool,
    )


def _coupon(coupon: Coupon, now: int) -> CouponShown:
    return CouponShown(
        code=coupon.code,
        reward=coupon.reward,
        state=state_at(coupon, now),
        issued_at=coupon.issued_at,
        issued_time=iso(coupon.issued_at),
        valid_until_at=coupon.until or None,
        valid_until_time=iso(coupon.until) if coupon.until else None,
        order=coupon.order,
        percent=coupon.percent,
        value=coupon.value,
        currency=coupon.currency,
        gift=coupon.gift,
        minimum=coupon.minimum,
        personal=coupon.personal,
    )
