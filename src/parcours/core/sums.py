"""What comes of adding to a value that is there, or subtracting from it."""

from __future__ import annotations

import math
from typing import Any

from parcours.conditions.parse import LARGEST

Sum = tuple[int, Any]
"""1 or -1, and what is added or subtracted."""


def summed(present: object, of: Sum) -> Any:
    """Return what is there and so much, None when that is no number or list."""
    sign, operand = of
    if isinstance(operand, str):
        operand = [operand]
    if isinstance(operand, list):
        return _listed(present, operand, sign)
    return _added(0 if present is None else present, operand, sign)


def _listed(present: object, operand: list[Any], sign: int) -> list[Any] | None:
    if present is not None and not isinstance(present, list):
        return None
    there = list(present or ())
    if sign > 0:
        return there + [item for item in dict.fromkeys(map(str, operand)) if item not in there]
    return [item for item in there if item not in operand]


def _added(present: object, operand: object, sign: int) -> int | float | None:
    if not _is_number(present) or not _is_number(operand):
        return None
    total: int | float = present + sign * operand  # type: ignore[operator]  # both are numbers
    return total if math.isfinite(total) and abs(total) <= LARGEST else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
