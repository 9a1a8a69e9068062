"""What an input brings along of budgets, and what is counted of them: in marks, with the batch that keeps the input.

The mark `budget:RULE/UNIT` says how often and how many points were given in each period. It changes in the transaction
that keeps the input by which something was given, so a budget is never exceeded, whatever happens in between.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import msgspec

from parcours.core.effects import Draw
from parcours.core.inputs import Award, Input, Interaction
from parcours.core.loyalty import budget
from parcours.core.loyalty.compiled import CompiledRule, Loyalty
from parcours.ports import Changes, Store


def bring(loyalty: Loyalty, item: Input, read: budget.Read) -> bool:
    """Let an input have what is left of the budgets that it may draw on. Return whether there are any."""
    rules: list[CompiledRule] = []
    if type(item) is Interaction:
        route = loyalty.routes.get(item.name) if not item.backfill else None
        rules = route.budgeted if route is not None else []
    elif type(item) is Award:
        rule = loyalty.rules.get(item.lot.rule)
        rules = [rule] if rule is not None and rule.budget else []
    if not rules:
        return False
    item.budgets = budget.left_for(rules, item.occurred_at, read)  # type: ignore[union-attr]  # it is one of the two
    return True


def complete(store: Store, changes: Changes, loyalty: Loyalty, item: Input) -> bool:
    """Let an input have what is left of budgets, with what a batch has taken so far. Return whether there are any."""
    return bring(loyalty, item, partial(_mark, store, changes))


def count(store: Store, changes: Changes, draws: Iterable[Draw]) -> None:
    """Count what a fold took."""
    changes.marks.update(budget.count(draws, partial(_mark, store, changes)))


def _mark(store: Store, changes: Changes, name: str) -> str:
    return changes.marks.get(name) or store.mark(name) or ""


class Overlay:
    """What was counted in a store, and what would be taken on top of it, of which nothing is kept."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._taken: dict[str, str] = {}

    def read(self, name: str) -> str:
        """Return what was counted under a name."""
        return self._taken.get(name) or self._store.mark(name) or ""

    def count(self, draws: Iterable[Draw]) -> None:
        """Count what would be taken."""
        self._taken.update(budget.count(draws, self.read))


class BudgetState(msgspec.Struct):
    """A budget of a rule, in the period of an instant."""

    rule: str
    per: str
    """`day`, `week`, `month`, `quarter`, `year` or `ever`."""
    since_at: int | None
    """The first instant of the period, None for ever."""
    times: int | None
    """How often it is given at most; None for any number. So it is with points."""
    points: int | None
    partial: bool
    given_times: int
    given_points: int
    """Less what was taken back."""
    left_times: int | None
    left_points: int | None


def states(store: Store, loyalty: Loyalty, programme: str, at: int) -> list[BudgetState]:
    """Return the budgets of the live rules of a programme, as they are in the periods of an instant."""
    found: list[BudgetState] = []
    for rule in loyalty.rules.values():
        for one in rule.budget if rule.programme.name == programme else ():
            counted = budget.decoded(store.mark(budget.name_of(one.key)) or "")
            period = budget.period_of(one.unit, at, rule.programme.zone)
            times, points = counted.get(period, (0, 0))
            left = [None if number == budget.ANY else number for number in budget.left_of(one, counted, period)]
            found.append(
                BudgetState(
                    rule=rule.name,
                    per=one.unit,
                    since_at=None if one.unit == "ever" else period,
                    times=one.times or None,
                    points=one.points or None,
                    partial=one.partial,
                    given_times=times,
                    given_points=points,
                    left_times=left[0],
                    left_points=left[1],
                )
            )
    return found
