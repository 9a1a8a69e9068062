"""Conditions about what happened, in SQL: counts, sums, least and greatest, first and last values, sequences, messages.

What is asked of the past becomes a selection with one row for each contact of whom it is true. Where it is true of a
contact without any row (`at_most: 2`), those are selected of whom it is false.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any

from sqlglot import exp

from parcours.analytics import sql
from parcours.analytics.model import Kind
from parcours.analytics.sql import UnanswerableError, Whom
from parcours.analytics.values import WHOLE, Values
from parcours.conditions import ast
from parcours.conditions.operators import COUNTS, LARGEST_SUMMAND, MILLIONTHS

_KEY = 2**63
"""More than any position: an instant times this, plus a position, orders interactions by both."""

_LONG_AGO = 2**48
"""Milliseconds: more than from the year 1 to the epoch."""


class Past:
    """Selections of contacts by what happened to them."""

    def __init__(self, values: Values) -> None:
        self.values = values

    def _where(self, node: ast.Node, scope: str, *, exact: bool) -> exp.Expr:
        """Return the truth of a condition about one past interaction, whose row is `e`."""
        match node:
            case ast.All():
                return sql.every(self._where(part, scope, exact=exact) for part in node.parts)
            case ast.Any():
                return sql.some(self._where(part, scope, exact=exact) for part in node.parts)
            case ast.Not():
                return sql.negation(self._where(node.part, scope, exact=True))
            case ast.Attribute(subject=ast.Subject.TRIGGER):
                return self.values.attribute(node, scope, "e", exact=exact)
            case _:
                raise UnanswerableError("'where' looks at attributes of the past interaction only")

    def _window(self, at: exp.Expr, window: ast.Window) -> list[exp.Expr]:
        if window.since:
            raise UnanswerableError(
                f"'since: {window.since}' counts from the start of a run, and all contacts at once have none",
                hint="use 'within' or 'from' and 'until'",
            )
        upto = self.values.now if window.end is None else min(self.values.now, window.end - 1)
        found: list[exp.Expr] = [exp.LTE(this=at, expression=sql.whole(upto))]
        after = [limit for limit in (window.start, self._since(window)) if limit is not None]
        if after:
            found.append(exp.GTE(this=at.copy(), expression=sql.whole(max(after))))
        return found

    def _since(self, window: ast.Window) -> int | None:
        return None if window.within is None else self.values.now - window.within + 1

    def _interactions(
        self,
        names: Iterable[str],
        where: ast.Node | None,
        window: ast.Window,
        columns: Callable[[str], dict[str, exp.Expr] | None],
    ) -> exp.Select | None:
        """Return the interactions that match: contact and `columns(name)`, which leaves a name out by None."""
        selects = []
        for name in dict.fromkeys(names):
            table = self.values.catalog.table(name)
            chosen = columns(name) if table else None
            if table is None or chosen is None:
                continue
            limits = self._window(sql.column("occurred_at", "e"), window)
            keep = chosen.pop("", None)
            if keep is not None:
                limits.append(keep)
            if where is not None:
                limits.append(self._where(where, name, exact=False))
            selects.append(_project(table, chosen).where(*limits, copy=False))
        return sql.union(selects)

    def history(self, leaf: ast.History) -> Whom:
        """Return the contacts of whom a condition about matching interactions is true."""
        match leaf.measure:
            case ast.Measure.COUNT:
                return self._count(leaf)
            case ast.Measure.SUM:
                return self._sum(leaf)
            case ast.Measure.MINIMUM | ast.Measure.MAXIMUM:
                return self._extreme(leaf)
            case ast.Measure.FIRST | ast.Measure.LAST:
                return self._end(leaf)

    def _count(self, leaf: ast.History) -> Whom:
        limit = _int(leaf.value)
        rows = self._interactions(leaf.interactions, leaf.where, leaf.window, lambda _: {})
        return self._counted(rows, leaf.operator, limit)

    def _counted(self, rows: exp.Select | None, operator: str, limit: int) -> Whom:
        """Return whether the number of a contact's rows compares with a limit."""
        count = sql.compare(operator, exp.Count(this=exp.Star()), sql.whole(limit))
        if COUNTS[operator](0, limit):
            return Whom(sql.having(rows, exp.Not(this=exp.paren(count, copy=False))), among=False)
        at_least_one = (operator == "at_least" and limit == 1) or (operator == "more_than" and limit == 0)
        return Whom(sql.having(rows, None if at_least_one else count))

    def _numbers(self, leaf: ast.History, keep: Callable[[exp.Expr], exp.Expr]) -> exp.Select | None:
        """Return the matching interactions' numbers as `v`."""

        def columns(name: str) -> dict[str, exp.Expr] | None:
            column = self.values.catalog.column(name, leaf.attribute, Kind.NUMBER)
            if column is None:
                return None
            return {"v": sql.column(column, "e"), "": keep(sql.column(column, "e"))}

        return self._interactions(leaf.interactions, leaf.where, leaf.window, columns)

    def _sum(self, leaf: ast.History) -> Whom:
        rows = self._numbers(
            leaf, lambda number: exp.LTE(this=exp.Abs(this=number), expression=sql.number(LARGEST_SUMMAND))
        )
        scaled = exp.Add(
            this=exp.Mul(this=sql.column("v", "r"), expression=sql.number(MILLIONTHS)), expression=sql.number(0.5)
        )
        whole = exp.cast(exp.Floor(this=scaled), "Int128" if self.values.dialect == "clickhouse" else "BIGINT")
        total = sql.coalesce(exp.Sum(this=whole), sql.whole(0))

        def compare(total: exp.Expr) -> exp.Expr:
            if leaf.operator == "between":
                low, high = (self.values.big(_millionths(limit)) for limit in _pair(leaf.value))
                return exp.and_(
                    exp.GTE(this=total, expression=low), exp.LTE(this=total.copy(), expression=high), copy=False
                )
            return sql.compare(leaf.operator, total, self.values.big(_millionths(leaf.value)))

        if self._of_nothing(leaf):
            return Whom(sql.having(rows, exp.Not(this=exp.paren(compare(total), copy=False))), among=False)
        return Whom(sql.having(rows, compare(total)))

    @staticmethod
    def _of_nothing(leaf: ast.History) -> bool:
        """Return whether a sum of 0 compares."""
        if leaf.operator == "between":
            low, high = map(_millionths, _pair(leaf.value))
            return low <= 0 <= high
        return COUNTS[leaf.operator](0, _millionths(leaf.value))

    def _extreme(self, leaf: ast.History) -> Whom:
        rows = self._numbers(leaf, sql.not_null)
        if leaf.operator == "is_missing":
            return Whom(sql.having(rows, None), among=False)
        of = exp.Min if leaf.measure is ast.Measure.MINIMUM else exp.Max
        test = self.values.compare(
            lambda kind: of(this=sql.column("v", "r")) if kind is Kind.NUMBER else None,
            leaf.operator,
            leaf.value,
            ignore_case=leaf.ignore_case,
            exact=False,
        )
        return Whom(sql.having(rows, test))

    def _end(self, leaf: ast.History) -> Whom:
        """Compare the first or last value: the comparison is made of every value, and that of the first one counts."""

        def columns(name: str) -> dict[str, exp.Expr] | None:
            cell = self.values.cell(name, leaf.attribute, "e")
            has = self.values.compare(cell, "is_present", None, ignore_case=False, exact=True)
            if isinstance(has, exp.Boolean):
                return None
            if leaf.operator in {"is_present", "is_missing"}:
                return {"": has}
            test = self.values.compare(cell, leaf.operator, leaf.value, ignore_case=leaf.ignore_case, exact=True)
            return {"k": self._key(), "p": test, "": has}

        rows = self._interactions(leaf.interactions, leaf.where, leaf.window, columns)
        if leaf.operator == "is_present":
            return Whom(sql.having(rows, None))
        if leaf.operator == "is_missing":
            return Whom(sql.having(rows, None), among=False)
        of = exp.Min if leaf.measure is ast.Measure.FIRST else exp.Max
        true = exp.Case().when(sql.column("p", "r"), sql.column("k", "r"), copy=False)
        return Whom(sql.having(rows, exp.EQ(this=of(this=true), expression=of(this=sql.column("k", "r")))))

    def sequence(self, leaf: ast.Sequence) -> Whom:
        """Return the contacts of a sequence, from its last step to its first.

        An interaction goes on when one of the next step that goes on follows it in time, see `followed`.
        """
        steps = list(leaf.steps)
        absent = steps.pop() if steps[-1].absent else None
        rows = self._step(steps[-1], leaf.window)
        if absent is not None and rows is not None:
            within = absent.within or 0
            over = exp.LTE(this=sql.column("t", "x"), expression=sql.whole(self.values.now - within))
            # It lies after the step before, so that the beginning of the window is a limit to it, too.
            after = self._step(absent, ast.Window(within=leaf.window.within, start=leaf.window.start))
            if after is None:
                rows = _all_of(rows, "x").where(over, copy=False)
            else:
                rows = self._followed(rows, after, absent.within, absent=True).where(over, copy=False)
        for before, step in reversed(list(pairwise(steps))):
            earlier = self._step(before, leaf.window)
            if earlier is None or rows is None:
                return Whom(None)
            rows = self._followed(earlier, rows, step.within)
        return Whom(sql.having(rows, None))

    def _step(self, step: ast.SequenceStep, window: ast.Window) -> exp.Select | None:
        """Return the interactions a step may be: contact, time `t` and the key `k` that orders them."""
        return self._interactions(
            step.interactions, step.where, window, lambda _: {"t": sql.column("occurred_at", "e"), "k": self._key()}
        )

    def _key(self) -> exp.Expr:
        """Return what orders interactions by time, and at one instant by arrival."""
        at = exp.cast(sql.column("occurred_at", "e"), WHOLE[self.values.dialect], dialect=self.values.dialect)
        return exp.Add(this=exp.Mul(this=at, expression=self.values.big(_KEY)), expression=sql.column("position", "e"))

    def _followed(self, rows: exp.Select, after: exp.Select, within: int | None, *, absent: bool = False) -> exp.Select:
        """Return the rows that are followed by a row of `after` in less than `within`; with `absent` those that are not.

        Time is cut into pieces as long as `within`. What follows in the same piece is near enough, so the latest of it
        decides; of the next piece the earliest decides. So each row looks at one row of figures, whatever the history.
        """
        if within is None:
            figures = exp.select(
                sql.column("contact", "y"), exp.alias_(exp.Max(this=sql.column("k", "y")), "latest", quoted=True)
            ).from_(after.subquery("y", copy=False), copy=False)
            on: exp.Expr = exp.EQ(this=sql.column("contact", "z"), expression=sql.column("contact", "x"))
            follows: exp.Expr = exp.GT(this=sql.column("latest", "z"), expression=sql.column("k", "x"))
            figures = figures.group_by(sql.column("contact", "y"), copy=False)
        else:
            # Each row counts for its own piece (w = 0) and for the one before (w = 1).
            shift = exp.union(
                exp.select(exp.alias_(sql.whole(0), "w")), exp.select(exp.alias_(sql.whole(1), "w")), distinct=False
            )
            own, next_ = (
                exp.Case().when(exp.EQ(this=sql.column("w", "v"), expression=sql.whole(number)), sql.column(name, "y"))
                for number, name in enumerate(("k", "t"))
            )
            piece = exp.Sub(this=self._piece("y", within), expression=sql.column("w", "v"))
            figures = (
                exp.select(
                    sql.column("contact", "y"),
                    exp.alias_(piece, "piece", quoted=True),
                    exp.alias_(exp.Max(this=own), "latest", quoted=True),
                    exp.alias_(exp.Min(this=next_), "earliest", quoted=True),
                )
                .from_(after.subquery("y", copy=False), copy=False)
                .join(shift.subquery("v", copy=False), join_type="cross", copy=False)
                .group_by(sql.column("contact", "y"), piece.copy(), copy=False)
            )
            on = exp.and_(
                exp.EQ(this=sql.column("contact", "z"), expression=sql.column("contact", "x")),
                exp.EQ(this=sql.column("piece", "z"), expression=self._piece("x", within)),
            )
            end = exp.Add(this=sql.column("t", "x"), expression=sql.whole(within))
            follows = sql.some(
                [
                    exp.GT(this=sql.column("latest", "z"), expression=sql.column("k", "x")),
                    exp.LT(this=sql.column("earliest", "z"), expression=end),
                ]
            )
        if absent and self.values.dialect == "clickhouse":
            # There a row without a partner is joined with zeros unless asked otherwise.
            follows = sql.every([exp.EQ(this=sql.column("hit", "z"), expression=sql.whole(1)), follows])
        figures = figures.select(exp.alias_(sql.whole(1), "hit", quoted=True), copy=False)
        test = sql.negation(sql.never_null(follows)) if absent else follows
        joined = _all_of(rows, "x").join(
            figures.subquery("z", copy=False), on=on, join_type="left" if absent else "inner", copy=False
        )
        return joined.where(test, copy=False)

    def _piece(self, table: str, length: int) -> exp.Expr:
        """Return the number of the piece of time a row is in. Whatever happened is made positive, where all round alike."""
        at = exp.paren(exp.Add(this=sql.column("t", table), expression=sql.whole(_LONG_AGO)))
        if self.values.dialect == "duckdb":
            return exp.IntDiv(this=at, expression=sql.whole(length))
        if self.values.dialect == "clickhouse":
            return exp.Anonymous(this="intDiv", expressions=[at, sql.whole(length)])
        return exp.Div(this=at, expression=sql.whole(length), typed=True)

    def messages(self, leaf: ast.MessageHistory) -> Whom:
        """Return the contacts of whom a condition about messages is true."""
        limits: list[exp.Expr] = [sql.equals("reaction", leaf.reaction)]
        if leaf.channel:
            limits.append(sql.equals("channel", leaf.channel))
        if leaf.of:
            limits.append(exp.In(this=sql.column("name"), expressions=[exp.Literal.string(name) for name in leaf.of]))
        first = exp.Min(this=sql.column("at"))
        rows = (
            sql.contacts_in("messages", *limits)
            .group_by(sql.column("contact"), sql.column("message"), copy=False)
            .having(*self._window(first, leaf.window), copy=False)
        )
        return self._counted(rows, leaf.operator, leaf.count)


def _project(table: str, columns: Mapping[str, exp.Expr]) -> exp.Select:
    chosen = [exp.alias_(column, name, quoted=True) for name, column in columns.items()]
    return exp.select(sql.column("contact", "e"), *chosen).from_(sql.table(table, "e"))


def _all_of(rows: exp.Select, alias: str) -> exp.Select:
    """Return the interactions of a step again, as `alias`."""
    return exp.select(*(sql.column(name, alias) for name in ("contact", "t", "k"))).from_(
        rows.subquery(alias, copy=False), copy=False
    )


def _millionths(value: Any) -> int:
    return math.floor(float(value) * MILLIONTHS + 0.5)


def _pair(value: Any) -> tuple[Any, Any]:
    low, high = value
    return low, high


def _int(value: Any) -> int:
    return int(value)
