"""Small pieces of SQL, of which the compilers of conditions are made. No value is ever pasted into text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlglot import exp

from parcours.errors import ParcoursError

DIALECTS = ("duckdb", "postgres", "clickhouse")
"""The engines that the statements are for."""

ORDER: dict[str, type[exp.Binary]] = {
    "less_than": exp.LT,
    "at_most": exp.LTE,
    "more_than": exp.GT,
    "at_least": exp.GTE,
    "exactly": exp.EQ,
}
"""Operators that compare figures."""


class UnanswerableError(ParcoursError):
    """A condition cannot be asked of all contacts at once, or names what is not there."""

    code = "unanswerable_condition"


class Whom(NamedTuple):
    """Contacts: those that are selected, or with `among` false all others."""

    rows: exp.Select | None
    """One row for each, with the column `contact`. None selects nobody."""
    among: bool = True


def table(name: str, alias: str) -> exp.Expr:
    """Return a table under another name."""
    return exp.alias_(exp.to_table(name), alias, table=True, quoted=True)


def column(name: str, table: str | None = None) -> exp.Column:
    """Return a column."""
    return exp.column(name, table=table, quoted=True)


def whole(number: int) -> exp.Expr:
    """Return a whole number."""
    return exp.Literal.number(number) if number >= 0 else exp.Neg(this=exp.Literal.number(-number))


def number(value: float) -> exp.Expr:
    """Return a double. Written with an exponent, for a plain fraction is a decimal in some engines."""
    text = repr(abs(float(value)))
    literal: exp.Expr = exp.Literal.number(text if "e" in text else f"{text}e0")
    return exp.cast(exp.Neg(this=literal) if value < 0 else literal, "DOUBLE")


def coalesce(*parts: exp.Expr) -> exp.Expr:
    """Return the first of some values that is not missing."""
    return exp.Coalesce(this=parts[0], expressions=list(parts[1:]))


def never_null(test: exp.Expr) -> exp.Expr:
    """Return a test that is false where it was NULL."""
    return test if isinstance(test, exp.Boolean | exp.Coalesce) else coalesce(test, exp.false())


def not_null(value: exp.Expr) -> exp.Expr:
    """Return whether a value is there."""
    return exp.Not(this=exp.Is(this=value, expression=exp.null()))


def negation(test: exp.Expr) -> exp.Expr:
    """Return the opposite of a test."""
    return exp.Boolean(this=not test.this) if isinstance(test, exp.Boolean) else exp.not_(test, copy=False)


def every(tests: Iterable[exp.Expr]) -> exp.Expr:
    """Return whether all tests are true."""
    parts = [test for test in tests if not (isinstance(test, exp.Boolean) and test.this)]
    if any(isinstance(part, exp.Boolean) for part in parts):
        return exp.false()
    return exp.and_(*parts, copy=False) if parts else exp.true()


def some(tests: Iterable[exp.Expr]) -> exp.Expr:
    """Return whether one of some tests is true."""
    parts = [test for test in tests if not (isinstance(test, exp.Boolean) and not test.this)]
    if any(isinstance(part, exp.Boolean) for part in parts):
        return exp.true()
    return exp.or_(*parts, copy=False) if parts else exp.false()


def among(column: exp.Expr, constants: list[exp.Expr]) -> exp.Expr:
    """Return whether a value is one of some constants."""
    if len(constants) == 1:
        return exp.EQ(this=column, expression=constants[0])
    return exp.In(this=column, expressions=constants)


def between(column: exp.Expr, after: int, upto: int) -> exp.Expr:
    """Return whether a column is in a half open span, without its beginning and with its end."""
    return exp.and_(
        exp.GT(this=column, expression=whole(after)), exp.LTE(this=column.copy(), expression=whole(upto)), copy=False
    )


def equals(name: str, text: str, table: str | None = None) -> exp.Expr:
    """Return whether a column is a text."""
    return exp.EQ(this=column(name, table), expression=exp.Literal.string(text))


def contacts_in(table: str, *limits: exp.Expr) -> exp.Select:
    """Return the contact of each row of a table within limits."""
    return exp.select(column("contact")).from_(exp.to_table(table)).where(*limits, copy=False)


def union(selects: list[exp.Select]) -> exp.Select | None:
    """Return the rows of all selects; None when there is none."""
    if len(selects) < 2:  # noqa: PLR2004 (one needs no union)
        return selects[0] if selects else None
    joined: exp.Query = exp.union(*selects, distinct=False, copy=False)
    return exp.select(exp.Star()).from_(joined.subquery("u", copy=False), copy=False)


def having(rows: exp.Select | None, test: exp.Expr | None) -> exp.Select | None:
    """Return the contacts whose rows, as `r`, pass a test of them together."""
    if rows is None or (isinstance(test, exp.Boolean) and not test.this):
        return None
    query = (
        exp.select(column("contact", "r"))
        .from_(rows.subquery("r", copy=False), copy=False)
        .group_by(column("contact", "r"), copy=False)
    )
    return query if test is None else query.having(test, copy=False)


def compare(operator: str, figure: exp.Expr, limit: exp.Expr) -> exp.Expr:
    """Return whether a figure compares with a limit, by one of `ORDER`."""
    return ORDER[operator](this=figure, expression=limit)
