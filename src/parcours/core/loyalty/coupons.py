"""Rewards and coupons: issued, reserved, redeemed once, cancelled, expired.

| asked   | of a coupon that is     | it is then                      | declined otherwise with                            |
|---------|-------------------------|---------------------------------|----------------------------------------------------|
| issue   | -                       | issued                          | `why_not`; the engine: `out_of_stock`, `pool_empty`|
| reserve | issued, or of the order | reserved for `reserved_for`     | `why_unusable`                                     |
| redeem  | issued, or of the order | redeemed                        | `why_unusable`                                     |
| release | reserved by the order   | issued                          | `not_reserved`, `reserved` (by another order)      |
| cancel  | issued or reserved      | cancelled                       | `redeemed`, `cancelled`, `expired`                 |
| reopen  | redeemed with the order | issued, with the validity it had | its state, `other_order`, `expired`                |
| refund  | redeemed with the order | the same, if its reward says so | the same; `reopened` by this order before, `too_often` |
| time    | reserved                | issued, when the time is over   |                                                    |
| time    | issued or reserved      | expired, when it is not valid   |                                                    |

What is issued is a `Grant` in the log. Who calls the fold has put a code into it, or why there is none: stock, pools
and codes are the engine's, all else is asked here. A `Grant` with neither is one of a simulation.
"""

from __future__ import annotations

from bisect import insort
from fractions import Fraction

from parcours.conditions.instants import moment_of
from parcours.conditions.names import match_name
from parcours.core import chains, ids
from parcours.core.contact import OF_COUPONS, Contact, Timer
from parcours.core.coupon import CANCELLED, EXPIRED, ISSUED, OPEN, REDEEMED, RESERVED, Coupon, state_at
from parcours.core.effects import Effects, Trace, What
from parcours.core.inputs import Grant, Interaction, UseCoupon, cause_of
from parcours.core.loyalty.account import Account, Says
from parcours.core.loyalty.announce import SOURCE
from parcours.core.loyalty.clock import settle
from parcours.core.loyalty.compiled import CompiledReward, Loyalty

MOST_OPEN = 100
"""Coupons that one contact may have open."""

MOST_KEPT = 300
"""Coupons that a contact remembers: of those that are over, the latest."""

MOST_REOPENED = 20
"""Orders that a coupon remembers to have been reopened for. After so many no refund reopens it: one could do so twice."""

REWARD_ISSUED = "Reward Issued"
REWARD_REDEEMED = "Reward Redeemed"
REWARD_REOPENED = "Reward Reopened"


def why_not(loyalty: Loyalty, contact: Contact, item: Grant) -> str:
    """Return why a reward is not issued to a contact, empty when nothing of the contact's keeps it from being."""
    reward, now = loyalty.rewards.get(item.reward), item.received_at
    if reward is None:
        return "unknown_reward"
    if 0 < reward.until <= now:
        return "expired"
    if reward.programme is not None:
        member = contact.loyalty.get(reward.programme)
        if member is None or member.left:
            return "no_member"
        if item.pay and member.balance < reward.points:
            return "not_enough_points"
    if reward.limit and contact.claimed.get(item.reward, 0) >= reward.limit:
        return "limit"
    if sum(coupon.state in OPEN for coupon in contact.coupons.values()) >= MOST_OPEN:
        return "too_many_coupons"
    return ""


def grant(loyalty: Loyalty, contact: Contact, item: Grant, effects: Effects) -> None:
    """Issue a reward, or tell why it is not. The contact is changed."""
    if not item.code and not item.refused:
        item.refused = why_not(loyalty, contact, item)
    reward, now = loyalty.rewards.get(item.reward), item.received_at
    if item.refused or reward is None:
        _decline(effects, now, item.refused or "unknown_reward", reward=item.reward)
        return
    coupon = _issued(reward, item.code or ids.derive(contact.id, cause_of(item)), now)
    if item.pay and reward.points and reward.programme is not None:
        _pay(loyalty, contact, reward, item, coupon, effects)
    contact.coupons[coupon.code] = coupon
    contact.claimed[reward.name] = contact.claimed.get(reward.name, 0) + 1
    _tidy(contact)
    set_timer(contact)
    _note(effects, now, What.ISSUED, coupon, by=item.by)
    _announce(contact, REWARD_ISSUED, coupon, now, effects)


def _issued(reward: CompiledReward, code: str, now: int) -> Coupon:
    ends = [end for end in (now + reward.valid_for if reward.valid_for else 0, reward.until) if end]
    return Coupon(
        code,
        reward.name,
        now,
        min(ends, default=0),
        at=now,
        hold=reward.reserved_for,
        percent=reward.percent,
        value=reward.value,
        currency=reward.currency,
        gift=reward.gift,
        minimum=reward.minimum,
        personal=reward.personal,
        reopens=reward.reopens,
    )


def _pay(
    loyalty: Loyalty, contact: Contact, reward: CompiledReward, item: Grant, coupon: Coupon, effects: Effects
) -> None:
    programme = loyalty.programmes[str(reward.programme)]
    member = contact.loyalty[programme.name]
    account = Account(contact, programme, member, item.received_at, item.position, cause_of(item), effects)
    account.spend(reward.points, Says(kind="spent", reference=coupon.code, reason=f"reward:{reward.name}"))
    settle(account)


def why_unusable(
    contact: Contact, code: str, now: int, *, presented: str = "", basket: float | None = None, order: str = ""
) -> str:
    """Return why a coupon cannot be redeemed, empty when it can.

    Args:
        contact: Whose code it is.
        code: The code.
        now: When.
        presented: The contact that presents it, as far as it is known.
        basket: What the basket comes to.
        order: Whose reservation it may be.
    """
    coupon = contact.coupons.get(code)
    if coupon is None:
        return "unknown_code"
    state = state_at(coupon, now)
    if state == RESERVED and not (order and order == coupon.order):
        return "reserved"
    if state not in OPEN:
        return state
    if coupon.personal and presented != contact.id:
        return "not_yours" if presented else "identity_needed"
    if coupon.minimum and (basket is None or basket < coupon.minimum):
        return "below_minimum"
    return ""


def use(contact: Contact, item: UseCoupon, effects: Effects) -> None:
    """Reserve, redeem, release or cancel a coupon, or tell why not. The contact is changed."""
    now, coupon = item.received_at, contact.coupons.get(item.code)
    if coupon is None:
        _decline(effects, now, "unknown_code", code=item.code)
        return
    why = ""
    if item.action in {"reserve", "redeem"}:
        why = why_unusable(
            contact, item.code, now, presented=item.presented, basket=item.basket, order=item.order
        )  # fmt: skip
    elif item.action == "release":
        why = "" if coupon.state == RESERVED else "not_reserved"
        if not why and coupon.order != item.order:
            why = "reserved"
    elif item.action == "reopen":
        why = _why_not_reopened(coupon, item.order, now)
    elif coupon.state not in OPEN:
        why = coupon.state
    if why:
        _decline(effects, now, why, code=item.code, reward=coupon.reward)
        return
    state, what = _BECOMES[item.action]
    if item.action == "reopen":
        reopen(contact, coupon, now, effects, by=item.author)
        return
    coupon.state, coupon.at = state, now
    coupon.order = "" if state == ISSUED else item.order
    coupon.reserved_until = now + coupon.hold if state == RESERVED else 0
    set_timer(contact)
    _note(effects, now, what, coupon, by=item.author)
    if state == REDEEMED:
        _announce(contact, REWARD_REDEEMED, coupon, now, effects, order=item.order, basket=item.basket)


_BECOMES = {
    "reserve": (RESERVED, What.RESERVED),
    "redeem": (REDEEMED, What.REDEEMED),
    "release": (ISSUED, What.RELEASED),
    "cancel": (CANCELLED, What.VOIDED),
    "reopen": (ISSUED, What.REOPENED),
}

USES = tuple(_BECOMES)
"""What can be asked of a coupon."""


def _why_not_reopened(coupon: Coupon, order: str, now: int) -> str:
    if coupon.state != REDEEMED:
        return state_at(coupon, now)
    if coupon.order != order:
        return "other_order"
    return EXPIRED if 0 < coupon.until <= now else ""


def reopen(contact: Contact, coupon: Coupon, now: int, effects: Effects, by: str = "") -> None:
    """Let a coupon that was redeemed be redeemed again, as long as it would have been valid. The contact is changed."""
    order = coupon.order
    if order not in _reopened_for(coupon) and len(coupon.earlier) < MOST_REOPENED - 1:
        if coupon.reopenings:
            coupon.earlier = _reopened_for(coupon)
        coupon.reopened = order
    coupon.reopenings += 1
    coupon.state, coupon.at, coupon.order = ISSUED, now, ""
    set_timer(contact)
    _note(effects, now, What.REOPENED, coupon, by=by)
    _announce(contact, REWARD_REOPENED, coupon, now, effects, order=order)


def come_back(contact: Contact, order: str, now: int, effects: Effects) -> bool:
    """Let coupons that an order was redeemed with be redeemed again, for the whole of it came back.

    Returns whether any coupon was; of one that is not valid any more the trace says so. The contact is changed.
    """
    found = False
    for coupon in list(contact.coupons.values()):
        if not coupon.reopens or coupon.state != REDEEMED or coupon.order != order:
            continue
        why = _why_not_again(coupon, order) or _why_not_reopened(coupon, order, now)
        if why:
            _decline(effects, now, why, code=coupon.code, reward=coupon.reward, order=order)
            continue
        reopen(contact, coupon, now, effects)
        found = True
    return found


def _why_not_again(coupon: Coupon, order: str) -> str:
    known = _reopened_for(coupon)
    if order in known:
        return "reopened"
    return "too_often" if len(known) >= MOST_REOPENED else ""


def _reopened_for(coupon: Coupon) -> tuple[str, ...]:
    """Return the orders for which a coupon was reopened, the oldest first."""
    return (*coupon.earlier, coupon.reopened) if coupon.reopenings else ()


def discount(coupon: Coupon, basket: float | None) -> float | None:
    """Return what a coupon takes off a basket, in cents' precision; None for a gift, or without a basket."""
    if coupon.gift or basket is None:
        return None
    total = Fraction(str(basket))
    off = total * Fraction(str(coupon.percent)) / 100 if coupon.percent else Fraction(str(coupon.value))
    cents = min(off, total) * 100 + Fraction(1, 2)
    return (cents.numerator // cents.denominator) / 100


def come_due(contact: Contact, timer: Timer, effects: Effects) -> None:
    """Let what is over be over: reservations, and coupons. The contact is changed."""
    now = timer.due
    for coupon in contact.coupons.values():
        state = state_at(coupon, now)
        if state != coupon.state:
            coupon.state, coupon.at, coupon.order, coupon.reserved_until = state, now, "", 0
            _note(effects, now, What.LAPSED if state == EXPIRED else What.RELEASED, coupon)
    set_timer(contact)


def set_timer(contact: Contact) -> None:
    """Let a contact have one timer for its coupons, or none. The contact is changed."""
    due = 0
    for coupon in contact.coupons.values():
        if coupon.state in OPEN:
            for at in (coupon.until, coupon.reserved_until):
                if at and (not due or at < due):
                    due = at
    timers = contact.timers
    known = next((index for index, timer in enumerate(timers) if timer.token == OF_COUPONS), None)
    if known is not None:
        if timers[known].due == due:
            return
        del timers[known]
    if due:
        contact.created += 1
        insort(timers, Timer(due, contact.created, "", "", OF_COUPONS))


def absorb(contact: Contact, other: Contact) -> None:
    """Let a contact have the coupons of another that becomes part of it. The contact is changed."""
    if not other.coupons and not other.claimed:
        return
    both = [*contact.coupons.values(), *other.coupons.values()]
    contact.coupons = {coupon.code: coupon for coupon in sorted(both, key=lambda one: (one.issued_at, one.code))}
    for name, count in other.claimed.items():
        contact.claimed[name] = contact.claimed.get(name, 0) + count
    _tidy(contact)
    set_timer(contact)


def _tidy(contact: Contact) -> None:
    """Forget the oldest of the coupons that are over, when there are many."""
    over = len(contact.coupons) - MOST_KEPT
    if over > 0:
        for code in [code for code, coupon in contact.coupons.items() if coupon.state not in OPEN][:over]:
            del contact.coupons[code]


def _note(effects: Effects, now: int, what: str, coupon: Coupon, by: str = "") -> None:
    detail = {"code": coupon.code, "reward": coupon.reward, "order": coupon.order, "by": by}
    effects.trace.append(
        Trace(now, what, reason=coupon.reward, detail={name: value for name, value in detail.items() if value})
    )


def _decline(effects: Effects, now: int, reason: str, **detail: str) -> None:
    effects.trace.append(Trace(now, What.DECLINED, reason=reason, detail=dict(detail)))


def _announce(contact: Contact, name: str, coupon: Coupon, now: int, effects: Effects, **more: object) -> None:
    # A coupon that was reopened is redeemed once more: each is told by itself.
    again = [str(coupon.reopenings)] if coupon.reopenings else []
    attributes = {"reward": coupon.reward, "code": coupon.code, **more}
    if coupon.until:
        attributes["valid_until"] = moment_of(coupon.until).isoformat()
    chains.announce(
        contact,
        effects,
        Interaction(
            position=0,
            received_at=now,
            occurred_at=now,
            name=match_name(name),
            attributes={name: value for name, value in attributes.items() if value not in {None, ""}},
            source=SOURCE,
            message_id=ids.derive(contact.id, coupon.reward, name, coupon.code, *again),
            spelling=name,
        ),
        f"{coupon.reward}/{name}",
    )
