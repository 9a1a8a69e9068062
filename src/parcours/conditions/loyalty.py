"""Conditions about members of programmes: how they are written, asked, and when an answer changes by itself.

{points: club, at_least: 100}                    what can be spent
{points: club, kind: qualifying, less_than: 500} or held, lifetime
{tier: club, is: gold}                           or in: [silver, gold], at_least: silver
{member: club}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from parcours.conditions import ast
from parcours.conditions.operators import COUNTS

POINTS: dict[str, str] = {
    "spendable": "can be spent",
    "held": "are held",
    "qualifying": "count towards tiers in the period under way",
    "lifetime": "were ever earned",
}
"""Which points can be asked for, and what they are."""

TIER_OPERATORS = ("is", "in", "at_least")

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


class HasLoyalty(Protocol):
    """Who may be a member."""

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
    programme = leaf.programme
    match leaf:
        case ast.Points():
            return _points(leaf)
        case ast.Tier():
            names, reached = frozenset(leaf.names), leaf.operator == "at_least"

            def tier(person: HasLoyalty, _trigger: Mapping[str, Any], _now: int) -> bool:
                member = person.loyalty.get(programme)
                if member is None or member.left:
                    return False
                return not names.isdisjoint(member.tiers) if reached else member.tier in names

            return tier
        case ast.IsMember():

            def test(person: HasLoyalty, _trigger: Mapping[str, Any], _now: int) -> bool:
                member = person.loyalty.get(programme)
                return member is not None and not member.left

            return test


def _points(leaf: ast.Points) -> Test:
    programme, figure, compare, limit = leaf.programme, _FIGURES[leaf.kind], COUNTS[leaf.operator], leaf.value

    def points(person: HasLoyalty, _trigger: Mapping[str, Any], now: int) -> bool:
        member = person.loyalty.get(programme)
        return member is not None and compare(figure(member, now), limit)

    return points


def seen_of(leaf: ast.OfMember, person: HasLoyalty, now: int) -> int | str | bool | None:
    """Return the value that a leaf looks at; None of who was never a member."""
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
        case ast.Points():
            which = "" if leaf.kind == "spendable" else f"{leaf.kind} "
            return f"{which}points in {leaf.programme} {leaf.operator.replace('_', ' ')} {leaf.value}"
        case ast.Tier():
            names = ", ".join(f'"{name}"' for name in leaf.names)
            operator = leaf.operator.replace("_", " ")
            return f"tier in {leaf.programme} {operator} " + (f"({names})" if leaf.operator == "in" else names)
        case ast.IsMember():
            return f"member of {leaf.programme}"
