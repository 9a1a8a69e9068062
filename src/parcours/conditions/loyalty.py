"""Conditions about members of programmes: how they are written, asked, and when an answer changes by itself.

{points: club, at_least: 100}                    what can be spent
{points: club, kind: qualifying, less_than: 500} or held, lifetime
{tier: club, is: gold}                           or in: [silver, gold], at_least: silver
{member: club}
{reward: ten-percent, is: redeemed, within: 30d}  or issued (the default), open
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from parcours.conditions import ast
from parcours.conditions.durations import format_duration
from parcours.conditions.operators import COUNTS

POINTS: dict[str, str] = {
    "spendable": "can be spent",
    "held": "are held",
    "qualifying": "count towards tiers in the period under way",
    "lifetime": "were ever earned",
}
"""Which points can be asked for, and what they are."""

TIER_OPERATORS = ("is", "in", "at_least")

REWARD_STATES: dict[str, str] = {
    "issued": "was issued, whatever became of it",
    "redeemed": "was redeemed",
    "open": "can still be redeemed",
}
"""What can be asked of the coupons of a reward, and what it is."""

MOST_POINTS = 2**53


class MemberOf(Protocol):
    """What a condition may look at of a member."""

    left: int
    balance: int
    held: int
    lifetime: int
    span: int
    qualified: list[tuple[int, int]]

    @property
    def tier(self) -> str:
        """The name of their tier, empty for none."""
        ...

    @property
    def tiers(self) -> Sequence[str]:
        """That tier and all below it."""
        ...

    def qualifying(self, now: int) -> int:
        """Return what counts towards tiers in the period under way."""
        ...


class CouponOf(Protocol):
    """What a condition may look at of a coupon."""

    reward: str
    state: str
    issued_at: int
    at: int
    until: int


class HasLoyalty(Protocol):
    """Who may be a member, and have coupons."""

    @property
    def coupons(self) -> Mapping[str, CouponOf]:
        """Code to the coupon."""
        ...

    @property
    def loyalty(self) -> Mapping[str, MemberOf]:
        """Programme to what they have in it."""
        ...


Test = Callable[[HasLoyalty, Mapping[str, Any], int], bool]

_FIGURES: dict[str, Callable[[MemberOf, int], int]] = {
    "spendable": lambda member, _now: member.balance,
    "held": lambda member, _now: member.held,
    "qualifying": lambda member, now: member.qualifying(now),
    "lifetime": lambda member, _now: member.lifetime,
}


def compile_loyalty(leaf: ast.OfMember) -> Test:
    """Return the closure of a leaf."""
    match leaf:
        case ast.HasReward():
            return lambda person, _trigger, now: _found(leaf, person, now)
        case ast.Points():
            return _points(leaf)
        case ast.Tier():
            programme, names, reached = leaf.programme, frozenset(leaf.names), leaf.operator == "at_least"

            def tier(person: HasLoyalty, _trigger: Mapping[str, Any], _now: int) -> bool:
                member = person.loyalty.get(programme)
                if member is None or member.left:
                    return False
                return not names.isdisjoint(member.tiers) if reached else member.tier in names

            return tier
        case ast.IsMember():
            programme = leaf.programme

            def test(person: HasLoyalty, _trigger: Mapping[str, Any], _now: int) -> bool:
                member = person.loyalty.get(programme)
                return member is not None and not member.left

            return test


def _found(leaf: ast.HasReward, person: HasLoyalty, now: int) -> bool:
    """Return whether there is a coupon such as a leaf asks for."""
    return any(_fits(leaf, coupon, now) for coupon in person.coupons.values() if coupon.reward == leaf.reward)


def _fits(leaf: ast.HasReward, coupon: CouponOf, now: int) -> bool:
    if leaf.within and (coupon.at if leaf.state == "redeemed" else coupon.issued_at) <= now - leaf.within:
        return False
    match leaf.state:
        case "redeemed":
            return coupon.state == "redeemed"
        case "open":
            return coupon.state in {"issued", "reserved"} and not 0 < coupon.until <= now
        case _:
            return True


def _next(leaf: ast.HasReward, person: HasLoyalty, now: int) -> int | None:
    """Return when a coupon that fits does not any more."""
    found = []
    for coupon in person.coupons.values():
        if coupon.reward == leaf.reward and _fits(leaf, coupon, now):
            if leaf.within:
                found.append((coupon.at if leaf.state == "redeemed" else coupon.issued_at) + leaf.within)
            if leaf.state == "open" and coupon.until:
                found.append(coupon.until)
    return min(found, default=None)


def _points(leaf: ast.Points) -> Test:
    programme, figure, compare, limit = leaf.programme, _FIGURES[leaf.kind], COUNTS[leaf.operator], leaf.value

    def points(person: HasLoyalty, _trigger: Mapping[str, Any], now: int) -> bool:
        member = person.loyalty.get(programme)
        return member is not None and compare(figure(member, now), limit)

    return points


def seen_of(leaf: ast.OfMember, person: HasLoyalty, now: int) -> int | str | bool | None:
    """Return the value that a leaf looks at; None of who was never a member."""
    if isinstance(leaf, ast.HasReward):
        return _found(leaf, person, now)
    member = person.loyalty.get(leaf.programme)
    match leaf:
        case ast.Points():
            return _FIGURES[leaf.kind](member, now) if member is not None else None
        case ast.Tier():
            return member.tier if member is not None and not member.left else None
        case ast.IsMember():
            return member is not None and not member.left


def change_of(leaf: ast.OfMember) -> Callable[[HasLoyalty, int], int | None] | None:
    """Return what tells the next instant at which time alone may change the answer, beside the timers of the member."""
    if isinstance(leaf, ast.HasReward):
        return lambda person, now: _next(leaf, person, now)
    if not isinstance(leaf, ast.Points) or leaf.kind != "qualifying":
        return None
    programme = leaf.programme

    def change(person: HasLoyalty, now: int) -> int | None:
        member = person.loyalty.get(programme)
        if member is None or not member.span:
            return None
        return next((at + member.span for at, _ in member.qualified if at + member.span > now), None)

    return change


def describe_loyalty(leaf: ast.OfMember) -> str:
    """Return what a leaf asks, for people."""
    match leaf:
        case ast.HasReward():
            within = f" in the last {format_duration(leaf.within)}" if leaf.within else ""
            return f"reward {leaf.reward} is {leaf.state}{within}"
        case ast.Points():
            which = "" if leaf.kind == "spendable" else f"{leaf.kind} "
            return f"{which}points in {leaf.programme} {leaf.operator.replace('_', ' ')} {leaf.value}"
        case ast.Tier():
            names = ", ".join(f'"{name}"' for name in leaf.names)
            operator = leaf.operator.replace("_", " ")
            return f"tier in {leaf.programme} {operator} " + (f"({names})" if leaf.operator == "in" else names)
        case ast.IsMember():
            return f"member of {leaf.programme}"
