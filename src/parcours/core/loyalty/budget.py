"""Budgets of rules: what all members together get at most, in a period.

The fold sees one contact, so an input brings along what is left (`Interaction.budgets`): whoever calls the fold reads it
from what was counted, writes it down with the input, and counts what the fold took of it (`Effects.draws`) before the
next input. So a replay decides as it was decided, and of two members only one gets what is left.

| what                                  | takes from the budget, or gives back                                         |
|---------------------------------------|------------------------------------------------------------------------------|
| an award, also one that is in review  | once, and its points, of the period in which the interaction occurred        |
| points are reversed, or refused       | gives them back to that period; once they are all back, the award as well    |
| points expire, are spent or forfeited | nothing: they were given                                                     |

A budget counts from when the rule has it. It remembers as many periods as a limit does, the latest: in one that is not
known any more nothing is given, and nothing is given back to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import tzinfo

from parcours.core import dates
from parcours.core.effects import Draw
from parcours.core.inputs import Left
from parcours.core.loyalty.compiled import CompiledBudget, CompiledRule

KEPT_PERIODS = 64
"""Periods of a limit or a budget that are remembered, the latest."""

ANY = -1
"""What is left where there is no end."""

Counted = dict[int, tuple[int, int]]
"""The first instant of a period to how often, and how many points were given in it."""

Read = Callable[[str], str]
"""Returns what was counted under a name, as text; empty for nothing."""


def name_of(key: str) -> str:
    """Return the name under which it is kept what was taken from a budget."""
    return f"budget:{key}"


def decoded(text: str) -> Counted:
    """Return what was counted from its text."""
    rows = (map(int, row.split(":")) for row in text.split())
    return {period: (times, points) for period, times, points in rows}


def encoded(counted: Counted) -> str:
    """Return what was counted as text: `PERIOD:TIMES:POINTS`, parted by blanks."""
    return " ".join(f"{period}:{times}:{points}" for period, (times, points) in sorted(counted.items()))


def period_of(unit: str, at: int, zone: tzinfo) -> int:
    """Return the first instant of the period in which an instant lies, in a zone; 0 for ever."""
    return 0 if unit == "ever" else dates.start_of(unit, at, zone)


def left_of(budget: CompiledBudget, counted: Counted, period: int) -> Left:
    """Return what is left of a budget in a period."""
    if period not in counted and len(counted) >= KEPT_PERIODS and period < min(counted):
        return 0, 0  # so long ago that it is not known any more
    times, points = counted.get(period, (0, 0))
    return (
        max(0, budget.times - times) if budget.times else ANY,
        max(0, budget.points - points) if budget.points else ANY,
    )


def left_for(rules: Iterable[CompiledRule], at: int, read: Read) -> dict[str, Left]:
    """Return what is left for what occurs at an instant, of every budget of some rules: nothing beyond the calendar."""
    found: dict[str, Left] = {}
    for rule in rules:
        for budget in rule.budget:
            try:
                period = period_of(budget.unit, at, rule.programme.zone)
            except OverflowError:
                found[budget.key] = 0, 0
            else:
                found[budget.key] = left_of(budget, decoded(read(name_of(budget.key))), period)
    return found


def count(draws: Iterable[Draw], read: Read) -> dict[str, str]:
    """Return what is to be kept instead of what was read, by its name, after something was taken or given back."""
    known: dict[str, Counted] = {}
    for draw in draws:
        name = name_of(draw.key)
        counted = known.get(name)
        if counted is None:
            counted = known[name] = decoded(read(name))
        before = counted.get(draw.period)
        if before is None and draw.times <= 0:
            continue  # given back to a period that is not known any more
        times, points = before or (0, 0)
        counted[draw.period] = (max(0, times + draw.times), max(0, points + draw.points))
        if len(counted) > KEPT_PERIODS:
            del counted[min(counted)]
    return {name: encoded(counted) for name, counted in known.items()}


def fitting(rule: CompiledRule, points: int, budgets: dict[str, Left] | None) -> int | None:
    """Return how many of the points a rule's budgets leave; None when nothing is given for want of budget.

    Without budgets (a trial of one contact by itself) all is.
    """
    if budgets is None or not rule.budget:
        return points
    return None if short_of(rule, points, budgets) else _cut(rule, points, budgets)


def short_of(rule: CompiledRule, points: int, budgets: dict[str, Left]) -> list[CompiledBudget]:
    """Return those of a rule's budgets for want of which nothing of some points is given."""
    found, cut = [], _cut(rule, points, budgets)
    for budget in rule.budget:
        times, left = budgets.get(budget.key, _NO_END)
        if not times or (points and left != ANY and (not left if budget.partial else cut > left)):
            found.append(budget)
    return found


def _cut(rule: CompiledRule, points: int, budgets: dict[str, Left]) -> int:
    """Return what the budgets that give a part leave of some points."""
    lefts = (budgets.get(budget.key, _NO_END)[1] for budget in rule.budget if budget.partial)
    return min([points, *(left for left in lefts if left != ANY)])


_NO_END: Left = (ANY, ANY)
