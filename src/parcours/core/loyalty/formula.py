"""Points from the attributes of an interaction, in whole numbers from beginning to end.

An amount is taken in millionths, as sums over history are (`operators.millionths`); points for each millionth are a
fraction of two whole numbers. So nothing depends on how a machine rounds doubles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import msgspec

from parcours.conditions.operators import MILLIONTHS, millionths
from parcours.core.compiled import Question
from parcours.core.contact import Contact
from parcours.definitions.loyalty import Formula

LARGEST = 10**12
"""The most points that one interaction earns, whatever a formula says."""


class CompiledFormula(msgspec.Struct, frozen=True):
    """A formula, ready to be asked."""

    of: str
    lines: str
    times: str
    where: Question | None
    rate: Fraction
    """Points for each millionth."""
    rounding: str
    by_line: bool
    by_tier: dict[str, Fraction]
    at_most: int

    def amounts(self, contact: Contact, attributes: Mapping[str, Any], now: int) -> list[int]:
        """Return the amounts that count, in millionths: one, or one a line."""
        if not self.lines:
            amount = millionths(attributes.get(self.of))
            return [amount] if amount is not None else []
        lines = attributes.get(self.lines)
        if not isinstance(lines, list):
            return []
        found = []
        for line in lines:
            if not isinstance(line, Mapping):
                continue
            amount = millionths(line.get(self.of))
            if amount is None or (self.where is not None and not self.where.ask(contact, line, now)):
                continue
            if self.times:
                times = millionths(line.get(self.times))
                amount = (amount * times + MILLIONTHS // 2) // MILLIONTHS if times is not None else amount
            found.append(amount)
        return found

    def points(self, amounts: list[int], factor: Fraction) -> int:
        """Return the points that amounts earn, multiplied by a factor. A negative amount takes none away."""
        rate = self.rate * factor
        parts = amounts if self.by_line else [sum(amounts)]
        total = sum(rounded(part * rate.numerator, rate.denominator, self.rounding) for part in parts)
        return max(0, min(total, self.at_most))


def rounded(numerator: int, denominator: int, rounding: str) -> int:
    """Return a fraction (with a positive denominator) as a whole number."""
    return _ROUND[rounding](numerator, denominator)


def _half_even(numerator: int, denominator: int) -> int:
    whole, rest = divmod(numerator, denominator)
    return whole + (2 * rest > denominator or (2 * rest == denominator and whole % 2 == 1))


_ROUND: dict[str, Callable[[int, int], int]] = {
    "down": lambda numerator, denominator: numerator // denominator,
    "up": lambda numerator, denominator: -(-numerator // denominator),
    "half_up": lambda numerator, denominator: (2 * numerator + denominator) // (2 * denominator),
    "half_even": _half_even,
}


def exact(number: float) -> Fraction:
    """Return a number as it was written: 0.1 is a tenth."""
    return Fraction(str(number))


def compile_formula(formula: Formula, where: Question | None) -> CompiledFormula:
    """Return a formula, compiled; `where` is its condition."""
    return CompiledFormula(
        of=formula.of,
        lines=formula.lines,
        times=formula.times,
        where=where,
        rate=exact(formula.points) / exact(formula.per) / MILLIONTHS,
        rounding=formula.rounding,
        by_line=formula.round_each == "line",
        by_tier={name: exact(number) for name, number in formula.by_tier.items()},
        at_most=formula.at_most or LARGEST,
    )
