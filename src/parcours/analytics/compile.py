"""Compile a tree of conditions to SQL: the contacts of which it is true at an instant.

The statement answers for all contacts what the closure of `conditions.to_python` answers for one. It is an expression
tree from beginning to end: no value is ever pasted into text.

- A comparison with a missing cell is NULL in SQL and false here. Where only true ones are kept, NULL is as good as
  false; below a `not` every leaf is wrapped, so that it is never NULL (`exact`).
- What is asked of the past becomes a set: a subquery with one row for each contact of which it is true, joined to the
  contacts once. Where it is true of a contact without any row (`at_most: 2`), the set is of those of which it is false.
- Names of tables and columns come from the catalog; an attribute without a column has no value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from itertools import pairwise
from typing import Any

from sqlglot import exp

from parcours.analytics.model import CONTACTS, Catalog, Kind, micros, path_text
from parcours.conditions import ast
from parcours.conditions.instants import moment_of
from parcours.conditions.operators import COUNTS, LARGEST_SUMMAND, MILLIONTHS, OPERATORS, fold_case, prepare
from parcours.conditions.samples import DIGITS, PLACES, edges
from parcours.errors import ParcoursError

DIALECTS = ("duckdb", "postgres", "clickhouse")

Segments = Mapping[str, ast.Node]
Cell = Callable[[Kind], exp.Expr | None]
"""The expression that holds a value's cell of one kind; None where no value has such a cell."""

_DAY = 86_400_000
_LEAP_DAY = 229
_KEY = 2**63
"""More than any position: an instant times this, plus a position, orders interactions by both."""

_LONG_AGO = 2**48
"""Milliseconds: more than from the year 1 to the epoch."""

_WHOLE = {"duckdb": "HUGEINT", "postgres": "NUMERIC", "clickhouse": "Int128"}
"""A type of whole numbers of 128 bits."""


class UnanswerableError(ParcoursError):
    """A condition cannot be asked of all contacts at once, or names what is not there."""

    code = "unanswerable_condition"


def compile_sql(
    node: ast.Node, catalog: Catalog, now: int, *, segments: Segments | None = None, dialect: str = "duckdb"
) -> str:
    """Return the statement that selects the ids of the contacts of which a condition is true at `now`.

    Raises:
        UnanswerableError: The condition looks at a run or at an interaction at hand, or names an unknown segment.
    """
    return compile_query(node, catalog, now, segments=segments, dialect=dialect).sql(dialect=dialect)


def compile_query(
    node: ast.Node, catalog: Catalog, now: int, *, segments: Segments | None = None, dialect: str = "duckdb"
) -> exp.Select:
    """Return what `compile_sql` writes as an expression, to be made part of a larger one. Its column is `contact`."""
    return _Compiler(catalog, now, segments or {}, dialect).query(node)


class _Compiler:
    def __init__(self, catalog: Catalog, now: int, segments: Segments, dialect: str) -> None:
        self.catalog = catalog
        self.now = now
        self.segments = segments
        self.dialect = dialect
        self.sets: dict[str, exp.Select] = {}
        """Alias to the set that is joined by it."""
        self.aliases: dict[str, str] = {}
        """Statement to the alias of the set it makes, so that the same question is asked once."""
        self.inside: tuple[str, ...] = ()
        """The segments whose conditions are being compiled."""

    def query(self, node: ast.Node) -> exp.Select:
        tests = [self.truth(part, exact=False) for part in _conjuncts(node)]
        # A set that the whole condition needs, or must not meet, and that is used nowhere else, need not be joined.
        plain: list[tuple[exp.Select, bool]] = []
        for test in list(tests):
            alias, wanted = _membership(test)
            if not alias or sum(column.table == alias for other in tests for column in other.find_all(exp.Column)) > 1:
                continue
            if wanted or self.dialect != "postgres":  # which is slow at NOT IN, and good at outer joins
                tests.remove(test)
                plain.append((self.sets.pop(alias), wanted))
        base = "c"
        if any(wanted for _, wanted in plain) and not any(
            column.table == "c" for test in tests for column in test.find_all(exp.Column)
        ):
            # Everybody who is asked for is in that set, so the contacts themselves need not be looked at.
            first = next(pair for pair in plain if pair[1])
            plain.remove(first)
            base = "s"
            query = exp.select(_column("contact", base)).from_(first[0].subquery(base, copy=False), copy=False)
        else:
            query = exp.select(_column("contact", base)).from_(_table("contacts", base))
        for alias, subquery in self.sets.items():
            query = query.join(
                subquery.select(exp.alias_(_whole(1), "hit", quoted=True)).subquery(alias, copy=False),
                on=exp.EQ(this=_column("contact", alias), expression=_column("contact", base)),
                join_type="left",
                copy=False,
            )
        for subquery, wanted in plain:
            if not subquery.args.get("having"):
                subquery.set("group", None)
            inside = exp.In(this=_column("contact", base), query=subquery.subquery(copy=False))
            tests.append(inside if wanted else exp.Not(this=inside))
        return query.where(_every(tests), copy=False)

    # Nodes. With `exact` the expression is never NULL; without, NULL stands for false.

    def truth(self, node: ast.Node, *, exact: bool) -> exp.Expr:  # noqa: PLR0911 (a case a kind of node)
        match node:
            case ast.All():
                return _every(self.truth(part, exact=exact) for part in node.parts)
            case ast.Any():
                return _some(self.truth(part, exact=exact) for part in node.parts)
            case ast.Not():
                return _not(self.truth(node.part, exact=True))
            case ast.Attribute():
                if node.subject is not ast.Subject.CONTACT:
                    raise UnanswerableError(
                        f"attribute {node.name!r} is of an interaction at hand, and of all contacts at once there is none",
                        hint="ask for past interactions with 'did' and 'where'",
                    )
                return self.attribute(node, CONTACTS, "c", exact=exact)
            case ast.InSegment():
                return self.segment(node, exact=exact)
            case ast.History():
                return self.history(node, exact=exact)
            case ast.Sequence():
                return self.member(self.sequence(node), exact=exact)
            case ast.MessageHistory():
                return self.messages(node, exact=exact)
            case ast.InList():
                return self.member(_rows("list_members", _equals("list", node.name)).distinct(copy=False), exact=exact)
            case ast.Consent():
                return self.consent(node, exact=exact)
            case ast.Sample():
                return self.sample(node)
            case ast.Points() | ast.Tier() | ast.IsMember() | ast.HasReward():
                rows = self.coupons(node) if isinstance(node, ast.HasReward) else self.of_programme(node)
                return self.member(rows, exact=exact)

    def segment(self, leaf: ast.InSegment, *, exact: bool) -> exp.Expr:
        if leaf.name in self.inside:
            raise UnanswerableError(f"segment {leaf.name!r} is a part of itself")
        if leaf.name not in self.segments:
            raise UnanswerableError(f"there is no segment {leaf.name!r}")
        outer, self.inside = self.inside, (*self.inside, leaf.name)
        try:
            return self.truth(self.segments[leaf.name], exact=exact)
        finally:
            self.inside = outer

    def attribute(self, leaf: ast.Attribute, scope: str, table: str, *, exact: bool) -> exp.Expr:
        def cell(kind: Kind) -> exp.Expr | None:
            name = self.catalog.column(scope, leaf.name, kind)
            return _column(name, table) if name else None

        return self.compare(cell, leaf.operator, leaf.value, ignore_case=leaf.ignore_case, exact=exact)

    def past(self, node: ast.Node, scope: str, *, exact: bool) -> exp.Expr:
        """Return the truth of a condition about one past interaction, whose row is `e`."""
        match node:
            case ast.All():
                return _every(self.past(part, scope, exact=exact) for part in node.parts)
            case ast.Any():
                return _some(self.past(part, scope, exact=exact) for part in node.parts)
            case ast.Not():
                return _not(self.past(node.part, scope, exact=True))
            case ast.Attribute(subject=ast.Subject.TRIGGER):
                return self.attribute(node, scope, "e", exact=exact)
            case _:
                raise UnanswerableError("'where' looks at attributes of the past interaction only")

    # Sets of contacts.

    def member(self, rows: exp.Select | None, *, exact: bool) -> exp.Expr:
        """Return whether the contact is among those selected; None selects nobody."""
        if rows is None:
            return exp.false()
        text = rows.sql(dialect=self.dialect)
        if text not in self.aliases:
            alias = self.aliases[text] = f"s{len(self.aliases) + 1}"
            self.sets[alias] = rows
        hit: exp.Expr = _column("hit", self.aliases[text])
        return exp.EQ(this=_coalesce(hit, _whole(0)) if exact else hit, expression=_whole(1))

    def not_member(self, rows: exp.Select | None) -> exp.Expr:
        return _not(self.member(rows, exact=True))

    def window(self, at: exp.Expr, window: ast.Window) -> list[exp.Expr]:
        if window.since:
            raise UnanswerableError(
                f"'since: {window.since}' counts from the start of a run, and all contacts at once have none",
                hint="use 'within' or 'from' and 'until'",
            )
        upto = self.now if window.end is None else min(self.now, window.end - 1)
        found: list[exp.Expr] = [exp.LTE(this=at, expression=_whole(upto))]
        after = [limit for limit in (window.start, self._since(window)) if limit is not None]
        if after:
            found.append(exp.GTE(this=at.copy(), expression=_whole(max(after))))
        return found

    def _since(self, window: ast.Window) -> int | None:
        return None if window.within is None else self.now - window.within + 1

    def interactions(
        self,
        names: Iterable[str],
        where: ast.Node | None,
        window: ast.Window,
        columns: Callable[[str], dict[str, exp.Expr] | None],
    ) -> exp.Select | None:
        """Return the interactions that match: contact and `columns(name)`, which leaves a name out by None."""
        selects = []
        for name in dict.fromkeys(names):
            table = self.catalog.table(name)
            chosen = columns(name) if table else None
            if table is None or chosen is None:
                continue
            limits = self.window(_column("occurred_at", "e"), window)
            keep = chosen.pop("", None)
            if keep is not None:
                limits.append(keep)
            if where is not None:
                limits.append(self.past(where, name, exact=False))
            selects.append(_project(table, chosen).where(*limits, copy=False))
        return _union(selects)

    def history(self, leaf: ast.History, *, exact: bool) -> exp.Expr:
        match leaf.measure:
            case ast.Measure.COUNT:
                return self.count(leaf, exact=exact)
            case ast.Measure.SUM:
                return self.sum(leaf, exact=exact)
            case ast.Measure.MINIMUM | ast.Measure.MAXIMUM:
                return self.extreme(leaf, exact=exact)
            case ast.Measure.FIRST | ast.Measure.LAST:
                return self.end(leaf, exact=exact)

    def count(self, leaf: ast.History, *, exact: bool) -> exp.Expr:
        limit = _int(leaf.value)
        rows = self.interactions(leaf.interactions, leaf.where, leaf.window, lambda _: {})
        return self.counted(rows, leaf.operator, limit, exact=exact)

    def counted(self, rows: exp.Select | None, operator: str, limit: int, *, exact: bool) -> exp.Expr:
        """Return whether the number of a contact's rows compares with a limit."""
        count = _compare_whole(operator, exp.Count(this=exp.Star()), _whole(limit))
        if COUNTS[operator](0, limit):
            return self.not_member(_having(rows, exp.Not(this=exp.paren(count, copy=False))))
        at_least_one = (operator == "at_least" and limit == 1) or (operator == "more_than" and limit == 0)
        return self.member(_having(rows, None if at_least_one else count), exact=exact)

    def numbers(self, leaf: ast.History, keep: Callable[[exp.Expr], exp.Expr]) -> exp.Select | None:
        """Return the matching interactions' numbers as `v`."""

        def columns(name: str) -> dict[str, exp.Expr] | None:
            column = self.catalog.column(name, leaf.attribute, Kind.NUMBER)
            if column is None:
                return None
            return {"v": _column(column, "e"), "": keep(_column(column, "e"))}

        return self.interactions(leaf.interactions, leaf.where, leaf.window, columns)

    def sum(self, leaf: ast.History, *, exact: bool) -> exp.Expr:
        rows = self.numbers(
            leaf, lambda number: exp.LTE(this=exp.Abs(this=number), expression=_number(LARGEST_SUMMAND))
        )
        scaled = exp.Add(this=exp.Mul(this=_column("v", "r"), expression=_number(MILLIONTHS)), expression=_number(0.5))
        whole = exp.cast(exp.Floor(this=scaled), "Int128" if self.dialect == "clickhouse" else "BIGINT")
        total = _coalesce(exp.Sum(this=whole), _whole(0))

        def compare(total: exp.Expr) -> exp.Expr:
            if leaf.operator == "between":
                low, high = (self.big(_millionths(limit)) for limit in _pair(leaf.value))
                return exp.and_(
                    exp.GTE(this=total, expression=low), exp.LTE(this=total.copy(), expression=high), copy=False
                )
            return _compare_whole(leaf.operator, total, self.big(_millionths(leaf.value)))

        if self.of_nothing(leaf):
            return self.not_member(_having(rows, exp.Not(this=exp.paren(compare(total), copy=False))))
        return self.member(_having(rows, compare(total)), exact=exact)

    @staticmethod
    def of_nothing(leaf: ast.History) -> bool:
        """Return whether a sum of 0 compares."""
        if leaf.operator == "between":
            low, high = map(_millionths, _pair(leaf.value))
            return low <= 0 <= high
        return COUNTS[leaf.operator](0, _millionths(leaf.value))

    def big(self, number: int) -> exp.Expr:
        return exp.cast(exp.Literal.string(str(number)), _WHOLE[self.dialect], dialect=self.dialect)

    def extreme(self, leaf: ast.History, *, exact: bool) -> exp.Expr:
        rows = self.numbers(leaf, _not_null)
        if leaf.operator == "is_missing":
            return self.not_member(_having(rows, None))
        of = exp.Min if leaf.measure is ast.Measure.MINIMUM else exp.Max
        test = self.compare(
            lambda kind: of(this=_column("v", "r")) if kind is Kind.NUMBER else None,
            leaf.operator,
            leaf.value,
            ignore_case=leaf.ignore_case,
            exact=False,
        )
        return self.member(_having(rows, test), exact=exact)

    def end(self, leaf: ast.History, *, exact: bool) -> exp.Expr:
        """Compare the first or last value: the comparison is made of every value, and that of the first one counts."""

        def columns(name: str) -> dict[str, exp.Expr] | None:
            def cell(kind: Kind) -> exp.Expr | None:
                column = self.catalog.column(name, leaf.attribute, kind)
                return _column(column, "e") if column else None

            has = self.compare(cell, "is_present", None, ignore_case=False, exact=True)
            if isinstance(has, exp.Boolean):
                return None
            if leaf.operator in {"is_present", "is_missing"}:
                return {"": has}
            test = self.compare(cell, leaf.operator, leaf.value, ignore_case=leaf.ignore_case, exact=True)
            return {"k": self.key(), "p": test, "": has}

        rows = self.interactions(leaf.interactions, leaf.where, leaf.window, columns)
        if leaf.operator == "is_present":
            return self.member(_having(rows, None), exact=exact)
        if leaf.operator == "is_missing":
            return self.not_member(_having(rows, None))
        of = exp.Min if leaf.measure is ast.Measure.FIRST else exp.Max
        true = exp.Case().when(_column("p", "r"), _column("k", "r"), copy=False)
        return self.member(
            _having(rows, exp.EQ(this=of(this=true), expression=of(this=_column("k", "r")))), exact=exact
        )

    def sequence(self, leaf: ast.Sequence) -> exp.Select | None:
        """Return the contacts of a sequence, from its last step to its first.

        An interaction goes on when one of the next step that goes on follows it in time, see `followed`.
        """
        steps = list(leaf.steps)
        absent = steps.pop() if steps[-1].absent else None
        rows = self.step(steps[-1], leaf.window)
        if absent is not None and rows is not None:
            within = absent.within or 0
            over = exp.LTE(this=_column("t", "x"), expression=_whole(self.now - within))
            # It lies after the step before, so that the beginning of the window is a limit to it, too.
            after = self.step(absent, ast.Window(within=leaf.window.within, start=leaf.window.start))
            if after is None:
                rows = _all_of(rows, "x").where(over, copy=False)
            else:
                rows = self.followed(rows, after, absent.within, absent=True).where(over, copy=False)
        for before, step in reversed(list(pairwise(steps))):
            earlier = self.step(before, leaf.window)
            if earlier is None or rows is None:
                return None
            rows = self.followed(earlier, rows, step.within)
        return None if rows is None else _having(rows, None)

    def step(self, step: ast.SequenceStep, window: ast.Window) -> exp.Select | None:
        """Return the interactions a step may be: contact, time `t` and the key `k` that orders them."""
        return self.interactions(
            step.interactions, step.where, window, lambda _: {"t": _column("occurred_at", "e"), "k": self.key()}
        )

    def key(self) -> exp.Expr:
        """Return what orders interactions by time, and at one instant by arrival."""
        at = exp.cast(_column("occurred_at", "e"), _WHOLE[self.dialect], dialect=self.dialect)
        return exp.Add(this=exp.Mul(this=at, expression=self.big(_KEY)), expression=_column("position", "e"))

    def followed(self, rows: exp.Select, after: exp.Select, within: int | None, *, absent: bool = False) -> exp.Select:
        """Return the rows that are followed by a row of `after` in less than `within`; with `absent` those that are not.

        Time is cut into pieces as long as `within`. What follows in the same piece is near enough, so the latest of it
        decides; of the next piece the earliest decides. So each row looks at one row of figures, whatever the history.
        """
        if within is None:
            figures = exp.select(
                _column("contact", "y"), exp.alias_(exp.Max(this=_column("k", "y")), "latest", quoted=True)
            ).from_(after.subquery("y", copy=False), copy=False)
            on: exp.Expr = exp.EQ(this=_column("contact", "z"), expression=_column("contact", "x"))
            follows: exp.Expr = exp.GT(this=_column("latest", "z"), expression=_column("k", "x"))
            figures = figures.group_by(_column("contact", "y"), copy=False)
        else:
            # Each row counts for its own piece (w = 0) and for the one before (w = 1).
            shift = exp.union(
                exp.select(exp.alias_(_whole(0), "w")), exp.select(exp.alias_(_whole(1), "w")), distinct=False
            )
            own, next_ = (
                exp.Case().when(exp.EQ(this=_column("w", "v"), expression=_whole(number)), _column(name, "y"))
                for number, name in enumerate(("k", "t"))
            )
            piece = exp.Sub(this=self.piece("y", within), expression=_column("w", "v"))
            figures = (
                exp.select(
                    _column("contact", "y"),
                    exp.alias_(piece, "piece", quoted=True),
                    exp.alias_(exp.Max(this=own), "latest", quoted=True),
                    exp.alias_(exp.Min(this=next_), "earliest", quoted=True),
                )
                .from_(after.subquery("y", copy=False), copy=False)
                .join(shift.subquery("v", copy=False), join_type="cross", copy=False)
                .group_by(_column("contact", "y"), piece.copy(), copy=False)
            )
            on = exp.and_(
                exp.EQ(this=_column("contact", "z"), expression=_column("contact", "x")),
                exp.EQ(this=_column("piece", "z"), expression=self.piece("x", within)),
            )
            end = exp.Add(this=_column("t", "x"), expression=_whole(within))
            follows = _some(
                [
                    exp.GT(this=_column("latest", "z"), expression=_column("k", "x")),
                    exp.LT(this=_column("earliest", "z"), expression=end),
                ]
            )
        if absent and self.dialect == "clickhouse":
            # There a row without a partner is joined with zeros unless asked otherwise.
            follows = _every([exp.EQ(this=_column("hit", "z"), expression=_whole(1)), follows])
        figures = figures.select(exp.alias_(_whole(1), "hit", quoted=True), copy=False)
        test = _not(_never_null(follows)) if absent else follows
        joined = _all_of(rows, "x").join(
            figures.subquery("z", copy=False), on=on, join_type="left" if absent else "inner", copy=False
        )
        return joined.where(test, copy=False)

    def piece(self, table: str, length: int) -> exp.Expr:
        """Return the number of the piece of time a row is in. Whatever happened is made positive, where all round alike."""
        at = exp.paren(exp.Add(this=_column("t", table), expression=_whole(_LONG_AGO)))
        if self.dialect == "duckdb":
            return exp.IntDiv(this=at, expression=_whole(length))
        if self.dialect == "clickhouse":
            return exp.Anonymous(this="intDiv", expressions=[at, _whole(length)])
        return exp.Div(this=at, expression=_whole(length), typed=True)

    def messages(self, leaf: ast.MessageHistory, *, exact: bool) -> exp.Expr:
        limits: list[exp.Expr] = [_equals("reaction", leaf.reaction)]
        if leaf.channel:
            limits.append(_equals("channel", leaf.channel))
        if leaf.of:
            limits.append(exp.In(this=_column("name"), expressions=[exp.Literal.string(name) for name in leaf.of]))
        first = exp.Min(this=_column("at"))
        rows = (
            _rows("messages", *limits)
            .group_by(_column("contact"), _column("message"), copy=False)
            .having(*self.window(first, leaf.window), copy=False)
        )
        return self.counted(rows, leaf.operator, leaf.count, exact=exact)

    def consent(self, leaf: ast.Consent, *, exact: bool) -> exp.Expr:
        def said(topic: str) -> exp.Expr:
            state = exp.Case().when(
                exp.and_(_equals("topic", topic), exp.NEQ(this=_column("state"), expression=exp.Literal.string(""))),
                _column("state"),
            )
            return exp.Max(this=state)

        topics = dict.fromkeys((leaf.topic, ""))
        state = _coalesce(*(said(topic) for topic in topics), exp.Literal.string("unknown"))
        unknown = leaf.state == "unknown"
        test = (exp.NEQ if unknown else exp.EQ)(this=state, expression=exp.Literal.string(leaf.state))
        rows = (
            _rows(
                "consents",
                _equals("channel", leaf.channel),
                exp.In(this=_column("topic"), expressions=[exp.Literal.string(topic) for topic in topics]),
            )
            .group_by(_column("contact"), copy=False)
            .having(test, copy=False)
        )
        return self.not_member(rows) if unknown else self.member(rows, exact=exact)

    def of_programme(self, leaf: ast.Points | ast.Tier | ast.IsMember) -> exp.Select:
        """Return the contacts with a row of a programme, at the instant that is asked for, as a leaf wants it."""
        limits: list[exp.Expr] = [
            _equals("programme", leaf.programme, "m"),
            exp.LTE(this=_column("start", "m"), expression=_whole(self.now)),
            exp.GT(this=_column("finish", "m"), expression=_whole(self.now)),
        ]
        if isinstance(leaf, ast.Points) and leaf.kind == "qualifying":
            return self.qualifying(leaf, limits)
        rows = exp.select(_column("contact", "m")).from_(_table("members", "m")).where(*limits, copy=False)
        if isinstance(leaf, ast.Points):
            return rows.where(_compare_whole(leaf.operator, _column(leaf.kind, "m"), _whole(leaf.value)), copy=False)
        rows = rows.where(_column("current", "m"), copy=False)
        if isinstance(leaf, ast.Tier):
            reached = leaf.operator == "at_least"
            names = dict.fromkeys(leaf.names)
            tiers = [self.has(lambda _kind: _column("tiers", "m"), (Kind.TEXTS,), name) for name in names]
            same = _in(_column("tier", "m"), [exp.Literal.string(name) for name in names])
            rows = rows.where(_some(tiers) if reached else same, copy=False)
        return rows

    def qualifying(self, leaf: ast.Points, limits: list[exp.Expr]) -> exp.Select:
        """Return the contacts of whom what counts towards tiers compares; whoever has nothing that counts has nothing."""
        at = _column("at", "q")
        aged = exp.GT(this=at, expression=exp.Sub(this=_whole(self.now), expression=_column("span", "m")))
        counts: list[exp.Expr] = [
            exp.LTE(this=at.copy(), expression=_whole(self.now)),
            exp.GTE(this=at.copy(), expression=_column("period", "m")),
            _some([exp.EQ(this=_column("span", "m"), expression=_whole(0)), aged]),
        ]
        same = [exp.EQ(this=_column(name, "q"), expression=_column(name, "m")) for name in ("contact", "programme")]
        counted = (
            exp.select(_column("contact", "m"), exp.alias_(_column("amount", "q"), "v", quoted=True))
            .from_(_table("members", "m"))
            .join(_table("qualified", "q"), on=exp.and_(*same, copy=False), copy=False)
            .where(*limits, *counts, copy=False)
        )
        nothing = exp.cast(_whole(0), "BIGINT", dialect=self.dialect)
        everybody = (
            exp.select(_column("contact", "m"), exp.alias_(nothing, "v", quoted=True))
            .from_(_table("members", "m"))
            .where(*(limit.copy() for limit in limits), copy=False)
        )
        total = _compare_whole(leaf.operator, exp.Sum(this=_column("v", "r")), _whole(leaf.value))
        rows = _having(_union([counted, everybody]), total)
        assert rows is not None  # noqa: S101 (there are rows, and a test)
        return rows

    def coupons(self, leaf: ast.HasReward) -> exp.Select:
        """Return the contacts with a coupon such as a leaf asks for."""
        limits: list[exp.Expr] = [_equals("reward", leaf.reward)]
        if leaf.within:
            since = _column("at" if leaf.state == "redeemed" else "issued_at")
            limits.append(exp.GT(this=since, expression=_whole(self.now - leaf.within)))
        if leaf.state == "redeemed":
            limits.append(_equals("state", "redeemed"))
        elif leaf.state == "open":
            limits.append(_in(_column("state"), [exp.Literal.string(state) for state in ("issued", "reserved")]))
            until = _column("valid_until")
            over = exp.GT(this=until, expression=_whole(self.now))
            limits.append(_some([exp.EQ(this=until.copy(), expression=_whole(0)), over]))
        return _rows("coupons", *limits).distinct(copy=False)

    def sample(self, leaf: ast.Sample) -> exp.Expr:
        """Return whether the contact's place in a draw lies in a part of it. Places are compared as they are written."""
        number = exp.cast(_column("contact", "c"), "TEXT", dialect=self.dialect)
        text = exp.Anonymous(this="concat", expressions=[exp.Literal.string(f"{leaf.seed}:"), number])
        if self.dialect == "clickhouse":
            digits: exp.Expr = exp.Anonymous(this="MD5", expressions=[text])
            digits = exp.Anonymous(this="lower", expressions=[exp.Anonymous(this="hex", expressions=[digits])])
        else:
            digits = exp.Anonymous(this="md5", expressions=[text])
        found: exp.Expr = exp.Anonymous(this="substring", expressions=[digits, _whole(1), _whole(DIGITS)])
        if self.dialect == "postgres":
            found = exp.Collate(this=found, expression=exp.to_identifier("C", quoted=True))
        start, end = edges(leaf)
        if start >= end:
            return exp.false()
        limits: list[exp.Expr] = []
        if start > 0:
            limits.append(exp.GTE(this=found, expression=exp.Literal.string(f"{start:0{DIGITS}x}")))
        if end < PLACES:
            limits.append(exp.LT(this=found.copy(), expression=exp.Literal.string(f"{end:0{DIGITS}x}")))
        return _every(limits)

    # Comparisons of one value.

    def compare(self, cell: Cell, operator: str, value: Any, *, ignore_case: bool, exact: bool) -> exp.Expr:
        """Return whether a value compares, as `operators` says."""
        has = self.present(cell)
        if operator == "is_missing":
            return _not(has)
        if operator == "is_present":
            return has
        if operator in {"is_not", "not_in"}:
            values = value if operator == "not_in" else (value,)
            same = self.among(cell, values, ignore_case=ignore_case)
            return _every([has, _not(_never_null(same))])
        test = self.comparison(cell, operator, value, ignore_case=ignore_case)
        return _never_null(test) if exact else test

    def present(self, cell: Cell) -> exp.Expr:
        kinds = (Kind.NUMBER, Kind.TEXT, Kind.BOOLEAN, Kind.LISTED)
        return _some(_not_null(found) for kind in kinds if (found := cell(kind)) is not None)

    def comparison(self, cell: Cell, operator: str, value: Any, *, ignore_case: bool) -> exp.Expr:
        match operator:
            case "is":
                return self.among(cell, (value,), ignore_case=ignore_case)
            case "in":
                return self.among(cell, value, ignore_case=ignore_case)
            case "less_than" | "at_most" | "more_than" | "at_least":
                return self.order(cell, _ORDER[operator], value, ignore_case=ignore_case)
            case "between":
                low, high = value
                return _every(
                    [
                        self.order(cell, exp.GTE, low, ignore_case=ignore_case),
                        self.order(cell, exp.LTE, high, ignore_case=ignore_case),
                    ]
                )
            case "contains" | "starts_with" | "ends_with" | "under" | "contains_any" | "contains_all":
                return self.within_text(cell, operator, fold_case(value) if ignore_case else value, fold=ignore_case)
            case _:
                return self.instant(cell, operator, value)

    def among(self, cell: Cell, values: Iterable[Any], *, ignore_case: bool) -> exp.Expr:
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
            (self.text(cell, fold=ignore_case), [exp.Literal.string(text) for text in texts]),
            (cell(Kind.NUMBER), [_number(number) for number in numbers]),
            (cell(Kind.BOOLEAN), [exp.Boolean(this=boolean) for boolean in booleans]),
        ]
        return _some(_in(column, constants) for column, constants in parts if column is not None and constants)

    def order(self, cell: Cell, comparison: type[exp.Binary], value: Any, *, ignore_case: bool) -> exp.Expr:
        if isinstance(value, str):
            column = self.text(cell, fold=ignore_case)
            if column is None:
                return exp.false()
            if self.dialect == "postgres":
                column = exp.Collate(this=column, expression=exp.to_identifier("C", quoted=True))
            return comparison(this=column, expression=exp.Literal.string(fold_case(value) if ignore_case else value))
        column = cell(Kind.NUMBER)
        return exp.false() if column is None else comparison(this=column, expression=_number(value))

    @staticmethod
    def text(cell: Cell, *, fold: bool) -> exp.Expr | None:
        text, folded = cell(Kind.TEXT), cell(Kind.FOLDED) if fold else None
        return text if text is None or folded is None else _coalesce(folded, text)

    def within_text(self, cell: Cell, operator: str, value: Any, *, fold: bool) -> exp.Expr:
        lists = [Kind.TEXTS, *([Kind.FOLDED_TEXTS] if fold else [])]
        if operator in {"contains_any", "contains_all"}:
            is_list = cell(Kind.LISTED)
            items = [self.has(cell, lists, item) for item in dict.fromkeys(value)]
            if is_list is None:
                return exp.false()
            return _some(items) if operator == "contains_any" else _every([is_list, *items])
        text = self.text(cell, fold=fold)
        if operator == "under":
            return self.under(cell, text, lists, prepare(OPERATORS["under"], value, ignore_case=fold), fold=fold)
        literal = exp.Literal.string(value)
        found: list[exp.Expr] = []
        if text is not None and not value:
            found.append(_not_null(text))  # every text holds the empty one; engines differ
        elif text is not None and operator == "contains":
            found.append(self.holds(text, literal))
        elif text is not None and operator == "starts_with":
            found.append(self.call(("starts_with", "starts_with", "startsWith"), text, literal))
        elif text is not None:
            found.append(self.ends(text, value))
        if operator == "contains":
            found.append(self.has(cell, lists, value))
        return _some(found)

    def under(
        self, cell: Cell, text: exp.Expr | None, lists: list[Kind], path: tuple[str, ...], *, fold: bool
    ) -> exp.Expr:
        if not path:
            return exp.false()
        beginning = path_text(path)
        found: list[exp.Expr] = []
        written, folded = cell(Kind.PATH), cell(Kind.FOLDED_PATH) if fold else None
        if written is not None:
            column = written if folded is None else _coalesce(folded, written)
            found.append(self.call(("starts_with", "starts_with", "startsWith"), column, exp.Literal.string(beginning)))
        if len(path) == 1:
            if text is not None:
                found.append(exp.EQ(this=text, expression=exp.Literal.string(path[0])))
            found.append(self.has(cell, lists, path[0]))
        found.append(self.has(cell, [Kind.PATHS, *([Kind.FOLDED_PATHS] if fold else [])], beginning))
        return _some(_never_null(part) for part in found)

    def has(self, cell: Cell, kinds: Iterable[Kind], item: str) -> exp.Expr:
        """Return whether a list has an item. A folded item that is in a list is in the folded list, too."""
        columns = [column for kind in kinds if (column := cell(kind)) is not None]
        if self.dialect == "postgres":
            return _some(
                exp.EQ(this=exp.Literal.string(item), expression=exp.Any(this=exp.paren(column))) for column in columns
            )
        return _some(self.call(("list_contains", "", "has"), column, exp.Literal.string(item)) for column in columns)

    def holds(self, text: exp.Expr, literal: exp.Expr) -> exp.Expr:
        if self.dialect == "duckdb":
            return exp.Anonymous(this="contains", expressions=[text, literal])
        found = self.call(("", "strpos", "position"), text, literal)
        return exp.GT(this=found, expression=_whole(0))

    def ends(self, text: exp.Expr, value: str) -> exp.Expr:
        literal = exp.Literal.string(value)
        if self.dialect == "postgres":
            last = exp.Anonymous(this="right", expressions=[text, _whole(len(value))])
            return exp.EQ(this=last, expression=literal)
        return self.call(("ends_with", "", "endsWith"), text, literal)

    def call(self, names: tuple[str, str, str], *arguments: exp.Expr) -> exp.Expr:
        """Return a call of the function that is named so in each dialect."""
        return exp.Anonymous(this=names[DIALECTS.index(self.dialect)], expressions=list(arguments))

    def instant(self, cell: Cell, operator: str, value: Any) -> exp.Expr:
        if operator == "anniversary_within":
            day = cell(Kind.DAY)
            days = anniversaries(self.now, value)
            return exp.false() if day is None else _in(day, [_whole(number) for number in days])
        column = cell(Kind.INSTANT)
        if column is None:
            return exp.false()
        now = self.now * 1_000
        match operator:
            case "before":
                return exp.LT(
                    this=column, expression=_whole(micros(prepare(OPERATORS[operator], value, ignore_case=False)))
                )
            case "after":
                end = prepare(OPERATORS[operator], value, ignore_case=False)[1]
                return exp.GTE(this=column, expression=_whole(micros(end)))
            case "within_last":
                return _between(column, now - value * 1_000, now)
            case "within_next":
                return _between(column, now, now + value * 1_000)
            case "older_than":
                return exp.LTE(this=column, expression=_whole(now - value * 1_000))
            case _:
                raise UnanswerableError(f"there is no operator {operator!r} for all contacts at once")


_ORDER: dict[str, type[exp.Binary]] = {
    "less_than": exp.LT,
    "at_most": exp.LTE,
    "more_than": exp.GT,
    "at_least": exp.GTE,
    "exactly": exp.EQ,
}


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


# Small pieces of SQL.


def _table(name: str, alias: str) -> exp.Expr:
    return exp.alias_(exp.to_table(name), alias, table=True, quoted=True)


def _column(name: str, table: str | None = None) -> exp.Column:
    return exp.column(name, table=table, quoted=True)


def _whole(number: int) -> exp.Expr:
    return exp.Literal.number(number) if number >= 0 else exp.Neg(this=exp.Literal.number(-number))


def _number(value: float) -> exp.Expr:
    """Return a double. Written with an exponent, for a plain fraction is a decimal in some engines."""
    text = repr(abs(float(value)))
    literal: exp.Expr = exp.Literal.number(text if "e" in text else f"{text}e0")
    return exp.cast(exp.Neg(this=literal) if value < 0 else literal, "DOUBLE")


def _coalesce(*parts: exp.Expr) -> exp.Expr:
    return exp.Coalesce(this=parts[0], expressions=list(parts[1:]))


def _never_null(test: exp.Expr) -> exp.Expr:
    return test if isinstance(test, exp.Boolean | exp.Coalesce) else _coalesce(test, exp.false())


def _not_null(value: exp.Expr) -> exp.Expr:
    return exp.Not(this=exp.Is(this=value, expression=exp.null()))


def _not(test: exp.Expr) -> exp.Expr:
    return exp.Boolean(this=not test.this) if isinstance(test, exp.Boolean) else exp.not_(test, copy=False)


def _every(tests: Iterable[exp.Expr]) -> exp.Expr:
    parts = [test for test in tests if not (isinstance(test, exp.Boolean) and test.this)]
    if any(isinstance(part, exp.Boolean) for part in parts):
        return exp.false()
    return exp.and_(*parts, copy=False) if parts else exp.true()


def _some(tests: Iterable[exp.Expr]) -> exp.Expr:
    parts = [test for test in tests if not (isinstance(test, exp.Boolean) and not test.this)]
    if any(isinstance(part, exp.Boolean) for part in parts):
        return exp.true()
    return exp.or_(*parts, copy=False) if parts else exp.false()


def _in(column: exp.Expr, constants: list[exp.Expr]) -> exp.Expr:
    if len(constants) == 1:
        return exp.EQ(this=column, expression=constants[0])
    return exp.In(this=column, expressions=constants)


def _between(column: exp.Expr, after: int, upto: int) -> exp.Expr:
    """Return whether a column is in a half open span, without its beginning and with its end."""
    return exp.and_(
        exp.GT(this=column, expression=_whole(after)), exp.LTE(this=column.copy(), expression=_whole(upto)), copy=False
    )


def _equals(column: str, text: str, table: str | None = None) -> exp.Expr:
    return exp.EQ(this=_column(column, table), expression=exp.Literal.string(text))


def _rows(table: str, *limits: exp.Expr) -> exp.Select:
    return exp.select(_column("contact")).from_(exp.to_table(table)).where(*limits, copy=False)


def _project(table: str, columns: Mapping[str, exp.Expr]) -> exp.Select:
    chosen = [exp.alias_(column, name, quoted=True) for name, column in columns.items()]
    return exp.select(_column("contact", "e"), *chosen).from_(_table(table, "e"))


def _union(selects: list[exp.Select]) -> exp.Select | None:
    """Return the rows of all selects; None when there is none."""
    if len(selects) < 2:  # noqa: PLR2004 (one needs no union)
        return selects[0] if selects else None
    union: exp.Query = exp.union(*selects, distinct=False, copy=False)
    return exp.select(exp.Star()).from_(union.subquery("u", copy=False), copy=False)


def _having(rows: exp.Select | None, test: exp.Expr | None) -> exp.Select | None:
    """Return the contacts whose rows, as `r`, pass a test of them together."""
    if rows is None or (isinstance(test, exp.Boolean) and not test.this):
        return None
    query = (
        exp.select(_column("contact", "r"))
        .from_(rows.subquery("r", copy=False), copy=False)
        .group_by(_column("contact", "r"), copy=False)
    )
    return query if test is None else query.having(test, copy=False)


def _all_of(rows: exp.Select, alias: str) -> exp.Select:
    """Return the interactions of a step again, as `alias`."""
    return exp.select(*(_column(name, alias) for name in ("contact", "t", "k"))).from_(
        rows.subquery(alias, copy=False), copy=False
    )


def _conjuncts(node: ast.Node) -> list[ast.Node]:
    """Return the conditions that all must be true for a condition to be true."""
    return [inner for part in node.parts for inner in _conjuncts(part)] if isinstance(node, ast.All) else [node]


def _membership(test: exp.Expr) -> tuple[str, bool]:
    """Return the alias of the set a test asks for and nothing else, and whether the contact must be in it."""
    wanted = True
    while isinstance(test, exp.Not | exp.Paren):
        wanted ^= isinstance(test, exp.Not)
        test = test.this
    hit = test.this if isinstance(test, exp.EQ) else None
    if isinstance(hit, exp.Coalesce):
        hit = hit.this
    return (hit.table, wanted) if isinstance(hit, exp.Column) and hit.name == "hit" else ("", wanted)


def _compare_whole(operator: str, figure: exp.Expr, limit: exp.Expr) -> exp.Expr:
    return _ORDER[operator](this=figure, expression=limit)


def _millionths(value: Any) -> int:
    return math.floor(float(value) * MILLIONTHS + 0.5)


def _pair(value: Any) -> tuple[Any, Any]:
    low, high = value
    return low, high


def _int(value: Any) -> int:
    return int(value)
