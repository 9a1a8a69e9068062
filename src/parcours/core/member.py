"""The state of a member of a programme, as the contact keeps it.

Points lie in lots: what came together expires together. `Member.balance` is what can be spent, and the sum of its
entries in the ledger; what lots hold is the same unless the balance is below zero, for then they hold nothing.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any, Protocol

import msgspec

_amount = itemgetter(1)


IN_REVIEW = 2**62
"""When points can be spent that somebody must approve first: never."""


class Lot(msgspec.Struct, array_like=True, gc=False):
    """Points that came together, and what is left of them."""

    id: str
    """That of the entry in the ledger that made it."""
    rule: str
    at: int
    """When what earned them occurred: the oldest are spent first."""
    points: int
    left: int
    """What is neither spent, nor expired, nor reversed."""
    due: int = 0
    """The instant at which they can be spent; 0 when they can."""
    expires: int = 0
    """0 for never."""
    position: int = 0
    """The place in the log of what earned them; 0 for time alone."""
    reference: str = ""
    """The order that earned them. A lot is kept as long as the order may come back."""
    expired: int = 0
    reversed: int = 0
    basis: int = 0
    """What the formula looked at, in millionths; 0 for a fixed number."""
    returned: int = 0
    """How much of that was taken back."""
    numerator: int = 0
    denominator: int = 1
    """Points for each millionth."""
    rounding: str = ""
    qualifying: int = 0
    """What it counts towards tiers; of points that are in review, what it will."""
    free: int = 0
    """Of points that are in review: when they could be spent, if they are approved."""
    drew: str = ""
    """The keys of the budgets that it was taken from, parted by blanks."""

    @property
    def in_review(self) -> bool:
        """Whether it waits for somebody: points, or where the rule gives none what it gives instead."""
        return self.due == IN_REVIEW and (self.left > 0 or not self.points)


class Portion(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Points on their way from one member to another: those that expire at one instant."""

    points: int
    at: int
    """When the oldest of them were earned."""
    expires: int
    """0 for never."""


class Standing(msgspec.Struct, array_like=True, gc=False):
    """A member's tier. The name is empty for none."""

    tier: str = ""
    since: int = 0
    review: int = 0
    """The instant at which it is seen whether the tier is kept; 0 for never."""
    reviewed: int = 0
    """The review after which grace was given; 0 for none."""
    has: list[str] = msgspec.field(default_factory=list)
    """The tier and all below it, lowest first."""


class Member(msgspec.Struct, array_like=True):
    """What a contact has in one programme."""

    since: int
    """When they became a member, for the first time or anew."""
    left: int = 0
    """When they left, 0 for not."""
    card: str = ""
    balance: int = 0
    """What can be spent. Below zero when a refund reversed what was spent already."""
    held: int = 0
    """What is held, and can be spent later."""
    lifetime: int = 0
    """What was ever earned, less what was reversed."""
    sequence: int = 0
    """How many entries the ledger has of the member."""
    lots: list[Lot] = msgspec.field(default_factory=list)
    """Oldest first."""
    standing: Standing = msgspec.field(default_factory=Standing)
    qualified: list[tuple[int, int]] = msgspec.field(default_factory=list)
    """What counts towards tiers: when it occurred, and how much. Sorted, one for an instant."""
    period: int = 0
    """The first instant of the calendar's period that is under way; 0 where the period is rolling."""
    span: int = 0
    """The length of a rolling period, 0 for none."""
    active: int = 0
    """When the member earned or spent last."""
    counts: dict[str, int] = msgspec.field(default_factory=dict)
    """Rule to how often it was met, for rules that give every so-manieth time."""
    limits: dict[str, dict[int, tuple[int, int]]] = msgspec.field(default_factory=dict)
    """`rule/period` to the start of each period, to how often and how many points were given in it."""
    returns: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    """Orders that were taken back before they came: to rule and amount, or to `""` for the whole."""
    due: int = 0
    """The instant of the member's timer, 0 for none."""
    past: dict[str, tuple[int, int]] = msgspec.field(default_factory=dict)
    """Rule that was applied to the past to how much of `counts` came by that, and how many awards are still due by it."""

    @property
    def tier(self) -> str:
        """The name of the member's tier, empty for none."""
        return self.standing.tier

    @property
    def tiers(self) -> list[str]:
        """The member's tier and all below it."""
        return self.standing.has

    def qualifying(self, now: int) -> int:
        """Return what counts towards tiers in the period under way."""
        after = max(self.period - 1, now - self.span if self.span else -1)
        qualified = self.qualified
        if not qualified:
            return 0
        if qualified[0][0] > after and qualified[-1][0] <= now:
            return sum(map(_amount, qualified))
        return sum(amount for at, amount in qualified if after < at <= now)


class HasMembers(Protocol):
    """Who may be a member of programmes."""

    loyalty: dict[str, Member]


def standing_of(contact: HasMembers) -> dict[str, dict[str, Any]]:
    """Return what a contact has in the programmes it is a member of, as templates see it."""
    if not contact.loyalty:
        return {}
    return {
        name: {
            "points": member.balance,
            "held": member.held,
            "lifetime": member.lifetime,
            "tier": member.tier,
            "card": member.card,
        }
        for name, member in contact.loyalty.items()
        if not member.left
    }
