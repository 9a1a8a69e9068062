"""Rewards of which there are only so many, in a backtest: who is refused, for there is none left.

People are folded one after another, though who comes first in time has the last one. So everybody is folded as if there
were enough; where a reward ran out is found from all askings in the order of time, and everybody is folded anew with that
known. What happens before a shortage does not depend on it, so the first shortage that is found is right, and each turn
finds the next. Most backtests take one turn, and those in which something runs out one more for each time it does.

| left at the start | is                                                                                     |
|-------------------|----------------------------------------------------------------------------------------|
| stated            | what is stated; codes that are put into a pool later do not count                        |
| of a stock        | the stock, as the reward has it, less what was issued before the start                   |
| of a pool         | the codes put into it before the start, less those; later ones are there once they came  |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from parcours.runtimes.backtest.backtest import Backtest
from parcours.runtimes.backtest.job import Asking, BacktestError, Counts, Past, Shortage

MOST_SHORTAGES = 50
"""How often rewards may run out."""


class Supply(NamedTuple):
    """What there is of a reward."""

    stock: int | None
    """How many may be issued from the start on; None for any number."""
    codes: int | None
    """How many codes are in the pool at the start; None without a pool."""
    filled: list[tuple[tuple[int, int], int]]
    """When codes are put into it later, with the place in the log, and how many."""


class Left(NamedTuple):
    """What is left of a reward at the end."""

    left: int
    ran_out: int | None
    """When it ran out first."""


def supplies_of(made: Backtest, past: Past) -> dict[str, Supply]:
    """Return what there is of each reward of which there are only so many."""
    if not made.limited:
        return {}
    start, found = made.job.start, dict[str, Supply]()
    issued, filled = past.issued(), past.filled()
    for name in sorted(made.limited):
        stated = made.job.assume.stock.get(name)
        if stated is not None:
            found[name] = Supply(stated, None, [])
            continue
        reward = made.plan.loyalty.rewards[name]
        recorded = [at for at, of in issued if of == name]
        # What erased people had is not recorded any more; it is taken to be of before.
        before = sum(at <= start for at in recorded) + max(0, past.ever_issued(name) - len(recorded))
        stock = max(0, reward.stock - before) if reward.stock else None
        codes = sum(count for at, _, of, count in filled if of == name and at <= start) - before
        later = [((at, place), count) for at, place, of, count in filled if of == name and at > start]
        found[name] = Supply(stock, max(0, codes) if reward.pool else None, later if reward.pool else [])
    return found


def with_shortages(
    made: Backtest, past: Past, run: Callable[[Sequence[Shortage]], Counts]
) -> tuple[Counts, dict[str, Left]]:
    """Run everybody as often as it takes to know whom rewards ran out for.

    Args:
        made: The job.
        past: What was recorded.
        run: Runs everybody, with the shortages known so far.

    Raises:
        BacktestError: Rewards run out too often.
    """
    supplies = supplies_of(made, past)
    known: list[Shortage] = []
    while True:
        counts = run(known)
        found = [one for name, supply in supplies.items() if (one := _next(supply, counts.askings, name, known))]
        if not found:
            return counts, {name: _left(supply, counts, name, known) for name, supply in supplies.items()}
        known.append(min(found, key=lambda one: one.since))
        if len(known) > MOST_SHORTAGES:
            message = f"rewards run out more than {MOST_SHORTAGES} times"
            raise BacktestError(message, hint="state how many there are (assume: stock), or try a shorter time")


def _next(supply: Supply, askings: Iterable[Asking], name: str, known: Iterable[Shortage]) -> Shortage | None:
    """Return the first shortage that was not known."""
    stock, codes = supply.stock, supply.codes
    waiting = list(supply.filled)
    shortages = [one for one in known if one.since.reward == name]
    for asking in sorted(one for one in askings if one.reward == name):
        while waiting and waiting[0][0] < (asking.at, asking.position):
            codes = (codes or 0) + waiting.pop(0)[1]
        if not asking.recorded:
            if any(one.covers(asking) for one in shortages):
                continue
            if stock is not None and stock <= 0:
                return Shortage(asking, "out_of_stock")
            if codes is not None and codes <= 0:
                return Shortage(asking, "pool_empty", waiting[0][0] if waiting else None)
        stock = None if stock is None else max(0, stock - 1)
        codes = None if codes is None else max(0, codes - 1)
    return None


def _left(supply: Supply, counts: Counts, name: str, known: Iterable[Shortage]) -> Left:
    shortages = [one for one in known if one.since.reward == name]
    taken = sum(
        one.recorded or not any(shortage.covers(one) for shortage in shortages)
        for one in counts.askings
        if one.reward == name
    )
    codes = None if supply.codes is None else supply.codes + sum(count for _, count in supply.filled)
    there = min(number for number in (supply.stock, codes) if number is not None)
    return Left(max(0, there - taken), min((one.since.at for one in shortages), default=None))
