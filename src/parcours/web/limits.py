"""How much a key may ask for in a time: a token bucket."""

from __future__ import annotations

import math
from collections.abc import Callable

_SLACK = 0.001
"""Tokens that may lack: who waited as long as was asked is not turned away for the rounding of a division."""


class Bucket:
    """Fills with `rate` tokens a second up to `burst`, and is full at first.

    What costs more than `burst` passes when the bucket is full, and leaves a debt that has to fill up first: it is
    late then, instead of never. Over any time t at most `burst + rate * t` tokens are given, and one such debt.

    Args:
        rate: Tokens a second.
        burst: Tokens that may be taken at once after a pause.
        clock: Returns seconds that never go back.
    """

    __slots__ = ("_at", "_burst", "_clock", "_level", "_rate")

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._level = burst
        self._at = clock()

    def take(self, cost: float) -> int:
        """Take tokens and return 0, or take none and return after how many whole seconds they are there."""
        now = self._clock()
        self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now
        lacking = min(cost, self._burst) - self._level
        if lacking > _SLACK:
            return max(1, math.ceil(lacking / self._rate))
        self._level -= cost
        return 0
