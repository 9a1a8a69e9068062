"""What was left of the budgets of a rule when it gave nothing for want of them, and until when: for explanations.

An input has with it what was left (`core.loyalty.budget`), so nothing has to be worked out anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from parcours.conditions.instants import brief
from parcours.core import dates
from parcours.core.effects import Trace, What
from parcours.core.inputs import Award, Input, Interaction, Left
from parcours.core.loyalty.budget import ANY, short_of
from parcours.core.loyalty.compiled import CompiledBudget, CompiledRule, Loyalty


class BudgetLeft(msgspec.Struct):
    """A budget of a rule, and what was left of it in the period in which something occurred."""

    per: str
    """`day`, `week`, `month`, `quarter`, `year` or `ever`."""
    times: int | None
    """How often it is given at most; None for any number. So it is with points."""
    points: int | None
    left_times: int | None
    left_points: int | None
    short: bool
    """Whether nothing was given for want of it."""
    until: int | None
    """When its period ends, and another begins; None when it counts for ever."""


class OutOfBudget(msgspec.Struct):
    """A rule that gave nothing for want of budget."""

    rule: str
    points: int
    """How many it would have given."""
    budgets: list[BudgetLeft]


def out_of_budget(trace: Iterable[Trace], item: Input | None, loyalty: Loyalty) -> Iterator[OutOfBudget]:
    """Yield the rules that gave nothing for an input for want of budget; `trace` is what was decided at it."""
    if not isinstance(item, Interaction | Award) or item.budgets is None:
        return
    for entry in trace:
        detail = entry.detail or {}
        rule = loyalty.rules.get(detail.get("rule", ""))
        if entry.reason == "budget" and entry.what in {What.WITHHELD, What.DECLINED} and rule is not None:
            points = detail.get("points", 0)
            yield OutOfBudget(rule.name, points, budgets_left(rule, points, item.budgets, item.occurred_at))


def budgets_left(rule: CompiledRule, points: int, budgets: dict[str, Left], at: int) -> list[BudgetLeft]:
    """Return what was left of a rule's budgets for some points of what occurred at an instant."""
    short = {budget.key for budget in short_of(rule, points, budgets)}
    return [
        BudgetLeft(
            per=budget.unit,
            times=budget.times or None,
            points=budget.points or None,
            left_times=_number(budgets[budget.key][0]),
            left_points=_number(budgets[budget.key][1]),
            short=budget.key in short,
            until=_end(budget, rule, at),
        )
        for budget in rule.budget
        if budget.key in budgets
    ]


def said_of(budgets: Iterable[BudgetLeft]) -> str:
    """Return for want of which budgets nothing was given, as a part of a sentence."""
    return "; ".join(map(_said, (one for one in budgets if one.short)))


def counted(number: int, what: str) -> str:
    """Return a number of something."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _said(one: BudgetLeft) -> str:
    whole = [counted(one.times, "award")] if one.times is not None else []
    whole += [counted(one.points, "point")] if one.points is not None else []
    left = [counted(one.left_times, "award")] if one.left_times is not None else []
    left += [counted(one.left_points, "point")] if one.left_points is not None else []
    if not any((one.left_times, one.left_points)):
        left = ["none"]
    of = " and ".join(whole) + ("" if one.per == "ever" else f" per {one.per}")
    until = f", until {brief(one.until)}" if one.until is not None else ", and counts for ever"
    return f"its budget of {of} had {' and '.join(left)} left{until}"


def _number(left: int) -> int | None:
    return None if left == ANY else left


def _end(budget: CompiledBudget, rule: CompiledRule, at: int) -> int | None:
    if budget.unit == "ever":
        return None
    try:
        return dates.end_of(budget.unit, at, rule.programme.zone)
    except OverflowError:
        return None  # the calendar ends before
