"""Conditions about members of programmes and their coupons, in SQL. `analytics.members` makes the rows."""

from __future__ import annotations

from sqlglot import exp

from parcours.analytics import sql
from parcours.analytics.model import Kind
from parcours.analytics.sql import Whom
from parcours.analytics.values import Values
from parcours.conditions import ast


def of_member(leaf: ast.OfMember, values: Values) -> Whom:
    """Return the contacts of whom a leaf is true."""
    return Whom(_coupons(leaf, values.now) if isinstance(leaf, ast.HasReward) else _of_programme(leaf, values))


def _of_programme(leaf: ast.Points | ast.Tier | ast.IsMember, values: Values) -> exp.Select:
    """Return the contacts with a row of a programme, at the instant that is asked for, as a leaf wants it."""
    limits: list[exp.Expr] = [
        sql.equals("programme", leaf.programme, "m"),
        exp.LTE(this=sql.column("start", "m"), expression=sql.whole(values.now)),
        exp.GT(this=sql.column("finish", "m"), expression=sql.whole(values.now)),
    ]
    if isinstance(leaf, ast.Points) and leaf.kind == "qualifying":
        return _qualifying(leaf, values, limits)
    rows = exp.select(sql.column("contact", "m")).from_(sql.table("members", "m")).where(*limits, copy=False)
    if isinstance(leaf, ast.Points):
        return rows.where(sql.compare(leaf.operator, sql.column(leaf.kind, "m"), sql.whole(leaf.value)), copy=False)
    rows = rows.where(sql.column("current", "m"), copy=False)
    if isinstance(leaf, ast.Tier):
        reached = leaf.operator == "at_least"
        names = dict.fromkeys(leaf.names)
        tiers = [values.has(lambda _kind: sql.column("tiers", "m"), (Kind.TEXTS,), name) for name in names]
        same = sql.among(sql.column("tier", "m"), [exp.Literal.string(name) for name in names])
        rows = rows.where(sql.some(tiers) if reached else same, copy=False)
    return rows


def _qualifying(leaf: ast.Points, values: Values, limits: list[exp.Expr]) -> exp.Select:
    """Return the contacts of whom what counts towards tiers compares; whoever has nothing that counts has nothing."""
    at = sql.column("at", "q")
    aged = exp.GT(this=at, expression=exp.Sub(this=sql.whole(values.now), expression=sql.column("span", "m")))
    counts: list[exp.Expr] = [
        exp.LTE(this=at.copy(), expression=sql.whole(values.now)),
        exp.GTE(this=at.copy(), expression=sql.column("period", "m")),
        sql.some([exp.EQ(this=sql.column("span", "m"), expression=sql.whole(0)), aged]),
    ]
    same = [exp.EQ(this=sql.column(name, "q"), expression=sql.column(name, "m")) for name in ("contact", "programme")]
    counted = (
        exp.select(sql.column("contact", "m"), exp.alias_(sql.column("amount", "q"), "v", quoted=True))
        .from_(sql.table("members", "m"))
        .join(sql.table("qualified", "q"), on=exp.and_(*same, copy=False), copy=False)
        .where(*limits, *counts, copy=False)
    )
    nothing = exp.cast(sql.whole(0), "BIGINT", dialect=values.dialect)
    everybody = (
        exp.select(sql.column("contact", "m"), exp.alias_(nothing, "v", quoted=True))
        .from_(sql.table("members", "m"))
        .where(*(limit.copy() for limit in limits), copy=False)
    )
    total = sql.compare(leaf.operator, exp.Sum(this=sql.column("v", "r")), sql.whole(leaf.value))
    rows = sql.having(sql.union([counted, everybody]), total)
    assert rows is not None  # noqa: S101 (there are rows, and a test)
    return rows


def _coupons(leaf: ast.HasReward, now: int) -> exp.Select:
    """Return the contacts with a coupon such as a leaf asks for."""
    limits: list[exp.Expr] = [sql.equals("reward", leaf.reward)]
    if leaf.within:
        since = sql.column("at" if leaf.state == "redeemed" else "issued_at")
        limits.append(exp.GT(this=since, expression=sql.whole(now - leaf.within)))
    if leaf.state == "redeemed":
        limits.append(sql.equals("state", "redeemed"))
    elif leaf.state == "open":
        limits.append(sql.among(sql.column("state"), [exp.Literal.string(state) for state in ("issued", "reserved")]))
        until = sql.column("valid_until")
        over = exp.GT(this=until, expression=sql.whole(now))
        limits.append(sql.some([exp.EQ(this=until.copy(), expression=sql.whole(0)), over]))
    return sql.contacts_in("coupons", *limits).distinct(copy=False)
