"""The coupons of a contact, as the contact keeps them."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

ISSUED = "issued"
RESERVED = "reserved"
REDEEMED = "redeemed"
CANCELLED = "cancelled"
EXPIRED = "expired"

OPEN = frozenset({ISSUED, RESERVED})
"""States in which a coupon may still be redeemed."""


class Coupon(msgspec.Struct, array_like=True, gc=False):
    """A reward that was issued, with the terms it was issued with."""

    code: str
    reward: str
    issued_at: int
    until: int = 0
    """It is valid before this instant; 0 for ever."""
    state: str = ISSUED
    at: int = 0
    """When it came into its state."""
    order: str = ""
    """What it is reserved for, or was redeemed with."""
    reserved_until: int = 0
    hold: int = 0
    """How long a reservation lasts."""
    percent: float = 0
    value: float = 0
    currency: str = ""
    gift: str = ""
    minimum: float = 0
    personal: bool = True
    reopens: bool = False
    """Whether it can be redeemed again when the order comes back that it was redeemed with."""
    reopened: str = ""
    """The order for which it was reopened last: for that no refund reopens it once more."""
    reopenings: int = 0
    """How often it was."""
    earlier: tuple[str, ...] = ()
    """Orders for which it was reopened before that one, the oldest first: nor does one of these."""


class HasCoupons(Protocol):
    """Who may have coupons."""

    coupons: dict[str, Coupon]


def state_at(coupon: Coupon, now: int) -> str:
    """Return the state of a coupon at an instant, also where its timer has not fired yet."""
    if coupon.state in OPEN and 0 < coupon.until <= now:
        return EXPIRED
    return ISSUED if coupon.state == RESERVED and coupon.reserved_until <= now else coupon.state


def rewards_of(contact: HasCoupons, now: int) -> dict[str, dict[str, Any]]:
    """Return the latest coupon of each reward, as templates see it."""
    return {
        coupon.reward: {
            "code": coupon.code,
            "state": state_at(coupon, now),
            "issued_at": coupon.issued_at,
            "valid_until": coupon.until or None,
            "percent": coupon.percent,
            "value": coupon.value,
            "currency": coupon.currency,
            "gift": coupon.gift,
            "minimum": coupon.minimum,
        }
        for coupon in contact.coupons.values()
    }
