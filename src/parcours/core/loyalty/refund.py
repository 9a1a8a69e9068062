"""Orders that are taken back: what they earned is reversed, exactly.

What is left of an order should have earned what the formula says of it, with the multipliers of then: the rest is
reversed. So parts may come in any number and order, and when all has come back all is reversed. What has expired is not
taken away once more; what was spent is owed. A fixed number of points is reversed with the whole order only.

An order may be taken back before it comes, for messages overtake each other: it is remembered, and reversed at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parcours.core.contact import Contact
from parcours.core.loyalty.account import Account
from parcours.core.loyalty.formula import CompiledFormula, rounded
from parcours.core.loyalty.tiers import qualify
from parcours.core.member import IN_REVIEW, Lot

WHOLE = ""
"""Among the parts of an order that came back: all of it."""

MOST_RETURNS = 100
"""Orders that were taken back before they came, which a member remembers at most, the latest."""


def take_back(account: Account, reference: str, parts: dict[str, int]) -> bool:
    """Reverse what an order earned. Return whether it had earned anything.

    Args:
        account: Whose it was.
        reference: The order.
        parts: Rule to the amount that came back, as the rule's formula reads it, or `WHOLE` to anything.
    """
    lots = [lot for lot in account.member.lots if lot.reference == reference]
    left = dict(parts)
    for lot in lots:
        _reverse(account, lot, left)
    if not lots:
        returns = account.member.returns
        known = returns.pop(reference, {})
        returns[reference] = {
            rule: known.get(rule, 0) + parts.get(rule, 0) for rule in sorted(known.keys() | parts.keys())
        }
        if len(returns) > MOST_RETURNS:
            del returns[next(iter(returns))]
    return bool(lots)


def is_whole(account: Account, reference: str, parts: dict[str, int]) -> bool:
    """Return whether all of an order is back, now that parts of it were taken back."""
    if WHOLE in parts:
        return True
    measured = [lot for lot in account.member.lots if lot.reference == reference and lot.basis]
    return bool(measured) and all(lot.returned >= lot.basis for lot in measured)


def parts_of(
    contact: Contact, formulas: Mapping[str, CompiledFormula], attributes: Mapping[str, Any], now: int
) -> dict[str, int]:
    """Return what came back of an order, rule by rule, as attributes tell it; all of it when they tell nothing."""
    told = {name: formula for name, formula in formulas.items() if (formula.lines or formula.of) in attributes}
    if not told:
        return {WHOLE: 1}
    return {name: sum(formula.amounts(contact, attributes, now)) for name, formula in told.items()}


def take_back_early(account: Account, lot: Lot) -> None:
    """Reverse points that were just earned for an order that was taken back before it came."""
    _reverse(account, lot, account.member.returns[lot.reference])


def _reverse(account: Account, lot: Lot, parts: dict[str, int]) -> None:
    """Reverse what a lot gave too much, now that parts came back; those that are its own are taken from them."""
    if WHOLE in parts:
        lot.returned = max(lot.basis, lot.returned)
        should = 0
    else:
        # An order may have earned in parts: what one of them has back, the next has not.
        amount = min(max(0, parts.get(lot.rule, 0)), lot.basis - lot.returned)
        parts[lot.rule] = parts.get(lot.rule, 0) - amount
        lot.returned += amount
        rest = lot.basis - lot.returned
        if not lot.basis:
            should = lot.points  # a fixed number: part of the order is still there
        else:
            should = min(lot.points, rounded(rest * lot.numerator, lot.denominator, lot.rounding)) if rest > 0 else 0
    before = lot.reversed
    points = max(0, lot.points - lot.expired - should - before)
    if points or (lot.in_review and not lot.points and WHOLE in parts):
        account.reverse(lot, points)
        lot.due = lot.due if lot.points else 0  # without points it is decided with that
    _disqualify(account, lot)


def _disqualify(account: Account, lot: Lot) -> None:
    """Let what came back no longer count towards tiers: money as it was paid, points as far as they were reversed."""
    tiers = account.programme.tiers
    if tiers is None or not lot.qualifying:
        return
    left = max(0, lot.basis - lot.returned) if tiers.by_spend else max(0, lot.points - lot.reversed)
    if left < lot.qualifying:
        if lot.due != IN_REVIEW:
            qualify(account, lot.at, left - lot.qualifying)
        lot.qualifying = left
