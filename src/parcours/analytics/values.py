"""Comparisons of one value with what a condition says, in SQL, as `conditions.operators` means them.

An attribute without a column has no value. A comparison with a missing cell is NULL; with `exact` it is false instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from sqlglot import exp

from parcours.analytics import sql
from parcours.analytics.model import Catalog, Kind, micros, path_text
from parcours.analytics.sql import DIALECTS, UnanswerableError
from parcours.conditions import ast
from parcours.conditions.instants import moment_of
from parcours.conditions.operators import OPERATORS, fold_case, prepare

Cell = Callable[[Kind], exp.Expr | None]
"""The expression that holds a value's cell of one kind; None where no value has such a cell."""

WHOLE = {"duckdb": "HUGEINT", "postgres": "NUMERIC", "clickhouse": "Int128"}
"""A type of whole numbers of 128 bits."""

_DAY = 86_400_000
_LEAP_DAY = 229


class Values:
    """Comparisons of the values of a catalog, at an instant and in a dialect."""

    def __init__(self, catalog: Catalog, now: int, dialect: str) -> None:
        self.catalog = catalog
        self.now = now
        self.dialect = dialect

    def attribute(self, leaf: ast.Attribute, scope: str, table: str, *, exact: bool) -> exp.Expr:
        """Return whether an attribute of the row of a table compares as a leaf says."""
        return self.compare(
            self.cell(scope, leaf.name, table), leaf.operator, leaf.value, ignore_case=leaf.ignore_case, exact=exact
        )

    def cell(self, scope: str, attribute: str, table: str) -> Cell:
        """Return where an attribute's cells are in the row of a table."""

        def cell(kind: Kind) -> exp.Expr | None:
            name = self.catalog.column(scope, attribute, kind)
            return sql.column(name, table) if name else None

        return cell

    def big(self, number: int) -> exp.Expr:
        """Return a whole number of up to 128 bits."""
        return exp.cast(exp.Literal.string(str(number)), WHOLE[self.dialect], dialect=self.dialect)

    def compare(self, cell: Cell, operator: str, value: Any, *, ignore_case: bool, exact: bool) -> exp.Expr:
        """Return whether a value compares, as `operators` says."""
        has = self._present(cell)
        if operator == "is_missing":
            return sql.negation(has)
        if operator == "is_present":
            return has
        if operator in {"is_not", "not_in"}:
            values = value if operator == "not_in" else (value,)
            same = self._among(cell, values, ignore_case=ignore_case)
            return sql.every([has, sql.negation(sql.never_null(same))])
        test = self._comparison(cell, operator, value, ignore_case=ignore_case)
        return sql.never_null(test) if exact else test

    def _present(self, cell: Cell) -> exp.Expr:
        kinds = (Kind.NUMBER, Kind.TEXT, Kind.BOOLEAN, Kind.LISTED)
        return sql.some(sql.not_null(found) for kind in kinds if (found := cell(kind)) is not None)

    def _comparison(self, cell: Cell, operator: str, value: Any, *, ignore_case: bool) -> exp.Expr:
        match operator:
            case "is":
                return self._among(cell, (value,), ignore_case=ignore_case)
            case "in":
                return self._among(cell, value, ignore_case=ignore_case)
            case "less_than" | "at_most" | "more_than" | "at_least":
                return self._order(cell, sql.ORDER[operator], value, ignore_case=ignore_case)
            case "between":
                low, high = value
                return sql.every(
                    [
                        self._order(cell, exp.GTE, low, ignore_case=ignore_case),
                        self._order(cell, exp.LTE, high, ignore_case=ignore_case),
                    ]
                )
            case "contains" | "starts_with" | "ends_with" | "under" | "contains_any" | "contains_all":
                return self._within_text(cell, operator, fold_case(value) if ignore_case else value, fold=ignore_case)
            case _:
                return self._instant(cell, operator, value)

    def _among(self, cell: Cell, values: Iterable[Any], *, ignore_case: bool) -> exp.Expr:
        """Return whether the value equals one of some constants of its own family."""
        texts: dict[str, None] = {}
        numbers: dict[float, None] = {}
        booleans: dict[bool, None] = {}
        for value in values:
            if isinstance(value, bool):
                booleans[value] = None
            elif isinstance(value, str):
                texts[fold_case(value) if ignore_case else value] = None
            else:
                numbers[float(value)] = None
        parts: list[tuple[exp.Expr | None, list[exp.Expr]]] = [
            (self._text(cell, fold=ignore_case), [exp.Literal.string(text) for text in texts]),
            (cell(Kind.NUMBER), [sql.number(number) for number in numbers]),
            (cell(Kind.BOOLEAN), [exp.Boolean(this=boolean) for boolean in booleans]),
        ]
        return sql.some(sql.among(column, constants) for column, constants in parts if column is not None and constants)

    def _order(self, cell: Cell, comparison: type[exp.Binary], value: Any, *, ignore_case: bool) -> exp.Expr:
        if isinstance(value, str):
            column = self._text(cell, fold=ignore_case)
            if column is None:
                return exp.false()
            if self.dialect == "postgres":
                column = exp.Collate(this=column, expression=exp.to_identifier("C", quoted=True))
            return comparison(this=column, expression=exp.Literal.string(fold_case(value) if ignore_case else value))
        column = cell(Kind.NUMBER)
        return exp.false() if column is None else comparison(this=column, expression=sql.number(value))

    @staticmethod
    def _text(cell: Cell, *, fold: bool) -> exp.Expr | None:
        text, folded = cell(Kind.TEXT), cell(Kind.FOLDED) if fold else None
        return text if text is None or folded is None else sql.coalesce(folded, text)

    def _within_text(self, cell: Cell, operator: str, value: Any, *, fold: bool) -> exp.Expr:
        lists = [Kind.TEXTS, *([Kind.FOLDED_TEXTS] if fold else [])]
        if operator in {"contains_any", "contains_all"}:
            is_list = cell(Kind.LISTED)
            items = [self.has(cell, lists, item) for item in dict.fromkeys(value)]
            if is_list is None:
                return exp.false()
            return sql.some(items) if operator == "contains_any" else sql.every([is_list, *items])
        text = self._text(cell, fold=fold)
        if operator == "under":
            return self._under(cell, text, lists, prepare(OPERATORS["under"], value, ignore_case=fold), fold=fold)
        literal = exp.Literal.string(value)
        found: list[exp.Expr] = []
        if text is not None and not value:
            found.append(sql.not_null(text))  # every text holds the empty one; engines differ
        elif text is not None and operator == "contains":
            found.append(self._holds(text, literal))
        elif text is not None and operator == "starts_with":
            found.append(self._call(("starts_with", "starts_with", "startsWith"), text, literal))
        elif text is not None:
            found.append(self._ends(text, value))
        if operator == "contains":
            found.append(self.has(cell, lists, value))
        return sql.some(found)

    def _under(
        self, cell: Cell, text: exp.Expr | None, lists: list[Kind], path: tuple[str, ...], *, fold: bool
    ) -> exp.Expr:
        if not path:
            return exp.false()
        beginning = path_text(path)
        found: list[exp.Expr] = []
        written, folded = cell(Kind.PATH), cell(Kind.FOLDED_PATH) if fold else None
        if written is not None:
            column = written if folded is None else sql.coalesce(folded, written)
            found.append(
                self._call(("starts_with", "starts_with", "startsWith"), column, exp.Literal.string(beginning))
            )
        if len(path) == 1:
            if text is not None:
                found.append(exp.EQ(this=text, expression=exp.Literal.string(path[0])))
            found.append(self.has(cell, lists, path[0]))
        found.append(self.has(cell, [Kind.PATHS, *([Kind.FOLDED_PATHS] if fold else [])], beginning))
        return sql.some(sql.never_null(part) for part in found)

    def has(self, cell: Cell, kinds: Iterable[Kind], item: str) -> exp.Expr:
        """Return whether a list has an item. A folded item that is in a list is in the folded list, too."""
        columns = [column for kind in kinds if (column := cell(kind)) is not None]
        if self.dialect == "postgres":
            return sql.some(
                exp.EQ(this=exp.Literal.string(item), expression=exp.Any(this=exp.paren(column))) for column in columns
            )
        return sql.some(
            self._call(("list_contains", "", "has"), column, exp.Literal.string(item)) for column in columns
        )

    def _holds(self, text: exp.Expr, literal: exp.Expr) -> exp.Expr:
        if self.dialect == "duckdb":
            return exp.Anonymous(this="contains", expressions=[text, literal])
        found = self._call(("", "strpos", "position"), text, literal)
        return exp.GT(this=found, expression=sql.whole(0))

    def _ends(self, text: exp.Expr, value: str) -> exp.Expr:
        literal = exp.Literal.string(value)
        if self.dialect == "postgres":
            last = exp.Anonymous(this="right", expressions=[text, sql.whole(len(value))])
            return exp.EQ(this=last, expression=literal)
        return self._call(("ends_with", "", "endsWith"), text, literal)

    def _call(self, names: tuple[str, str, str], *arguments: exp.Expr) -> exp.Expr:
        """Return a call of the function that is named so in each dialect."""
        return exp.Anonymous(this=names[DIALECTS.index(self.dialect)], expressions=list(arguments))

    def _instant(self, cell: Cell, operator: str, value: Any) -> exp.Expr:
        if operator == "anniversary_within":
            day = cell(Kind.DAY)
            days = anniversaries(self.now, value)
            return exp.false() if day is None else sql.among(day, [sql.whole(number) for number in days])
        column = cell(Kind.INSTANT)
        if column is None:
            return exp.false()
        now = self.now * 1_000
        match operator:
            case "before":
                return exp.LT(
                    this=column, expression=sql.whole(micros(prepare(OPERATORS[operator], value, ignore_case=False)))
                )
            case "after":
                end = prepare(OPERATORS[operator], value, ignore_case=False)[1]
                return exp.GTE(this=column, expression=sql.whole(micros(end)))
            case "within_last":
                return sql.between(column, now - value * 1_000, now)
            case "within_next":
                return sql.between(column, now, now + value * 1_000)
            case "older_than":
                return exp.LTE(this=column, expression=sql.whole(now - value * 1_000))
            case _:
                raise UnanswerableError(f"there is no operator {operator!r} for all contacts at once")


def anniversaries(now: int, length: int) -> list[int]:
    """Return the days, month times 100 and day, with an anniversary in so many milliseconds of days from today."""
    today = moment_of(now).date()
    found: dict[int, None] = {}
    for ahead in range(min(-(-length // _DAY), 366)):
        try:
            day = today + timedelta(days=ahead)
        except OverflowError:
            break
        found[day.month * 100 + day.day] = None
        after = day + timedelta(days=1)
        if (day.month, day.day) == (2, 28) and after.month != day.month:
            found[_LEAP_DAY] = None
    return list(found)
