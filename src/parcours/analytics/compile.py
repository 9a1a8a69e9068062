"""Compile a tree of conditions to SQL: the contacts of which it is true at an instant.

The statement answers for all contacts what the closure of `conditions.to_python` answers for one. It is an expression
tree from beginning to end: no value is ever pasted into text.

- A comparison with a missing cell is NULL in SQL and false here. Where only true ones are kept, NULL is as good as
  false; below a `not` every leaf is wrapped, so that it is never NULL (`exact`).
- What is asked of the past or of members becomes a set: a subquery with one row for each contact of which it is true,
  joined to the contacts once.

| condition of                              | module       |
|-------------------------------------------|--------------|
| a value, by operators                     | `values`     |
| what happened, and messages               | `past`       |
| members of programmes, and their coupons  | `of_members` |
| segments, lists, consent, samples         | this one     |
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from parcours.analytics import sql
from parcours.analytics.model import CONTACTS, Catalog
from parcours.analytics.of_members import of_member
from parcours.analytics.past import Past
from parcours.analytics.sql import UnanswerableError, Whom
from parcours.analytics.values import Values
from parcours.conditions import ast
from parcours.conditions.samples import DIGITS, PLACES, edges

Segments = Mapping[str, ast.Node]


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
        self.values = Values(catalog, now, dialect)
        self.past = Past(self.values)
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
            query = exp.select(sql.column("contact", base)).from_(first[0].subquery(base, copy=False), copy=False)
        else:
            query = exp.select(sql.column("contact", base)).from_(sql.table("contacts", base))
        for alias, subquery in self.sets.items():
            query = query.join(
                subquery.select(exp.alias_(sql.whole(1), "hit", quoted=True)).subquery(alias, copy=False),
                on=exp.EQ(this=sql.column("contact", alias), expression=sql.column("contact", base)),
                join_type="left",
                copy=False,
            )
        for subquery, wanted in plain:
            if not subquery.args.get("having"):
                subquery.set("group", None)
            inside = exp.In(this=sql.column("contact", base), query=subquery.subquery(copy=False))
            tests.append(inside if wanted else exp.Not(this=inside))
        return query.where(sql.every(tests), copy=False)

    # Nodes. With `exact` the expression is never NULL; without, NULL stands for false.

    def truth(self, node: ast.Node, *, exact: bool) -> exp.Expr:  # noqa: PLR0911 (a case a kind of node)
        match node:
            case ast.All():
                return sql.every(self.truth(part, exact=exact) for part in node.parts)
            case ast.Any():
                return sql.some(self.truth(part, exact=exact) for part in node.parts)
            case ast.Not():
                return sql.negation(self.truth(node.part, exact=True))
            case ast.Attribute():
                if node.subject is not ast.Subject.CONTACT:
                    raise UnanswerableError(
                        f"attribute {node.name!r} is of an interaction at hand, and of all contacts at once there is none",
                        hint="ask for past interactions with 'did' and 'where'",
                    )
                return self.values.attribute(node, CONTACTS, "c", exact=exact)
            case ast.InSegment():
                return self.segment(node, exact=exact)
            case ast.History():
                return self.whom(self.past.history(node), exact=exact)
            case ast.Sequence():
                return self.whom(self.past.sequence(node), exact=exact)
            case ast.MessageHistory():
                return self.whom(self.past.messages(node), exact=exact)
            case ast.InList():
                rows = sql.contacts_in("list_members", sql.equals("list", node.name)).distinct(copy=False)
                return self.member(rows, exact=exact)
            case ast.Consent():
                return self.whom(_consent(node), exact=exact)
            case ast.Sample():
                return _sample(node, self.dialect)
            case ast.Points() | ast.Tier() | ast.IsMember() | ast.HasReward():
                return self.whom(of_member(node, self.values), exact=exact)

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

    # Sets of contacts.

    def whom(self, found: Whom, *, exact: bool) -> exp.Expr:
        """Return whether the contact is one of those found."""
        return (
            self.member(found.rows, exact=exact) if found.among else sql.negation(self.member(found.rows, exact=True))
        )

    def member(self, rows: exp.Select | None, *, exact: bool) -> exp.Expr:
        """Return whether the contact is among those selected; None selects nobody."""
        if rows is None:
            return exp.false()
        text = rows.sql(dialect=self.dialect)
        if text not in self.aliases:
            alias = self.aliases[text] = f"s{len(self.aliases) + 1}"
            self.sets[alias] = rows
        hit: exp.Expr = sql.column("hit", self.aliases[text])
        return exp.EQ(this=sql.coalesce(hit, sql.whole(0)) if exact else hit, expression=sql.whole(1))


def _consent(leaf: ast.Consent) -> Whom:
    def said(topic: str) -> exp.Expr:
        state = exp.Case().when(
            exp.and_(sql.equals("topic", topic), exp.NEQ(this=sql.column("state"), expression=exp.Literal.string(""))),
            sql.column("state"),
        )
        return exp.Max(this=state)

    topics = dict.fromkeys((leaf.topic, ""))
    state = sql.coalesce(*(said(topic) for topic in topics), exp.Literal.string("unknown"))
    unknown = leaf.state == "unknown"
    test = (exp.NEQ if unknown else exp.EQ)(this=state, expression=exp.Literal.string(leaf.state))
    rows = (
        sql.contacts_in(
            "consents",
            sql.equals("channel", leaf.channel),
            exp.In(this=sql.column("topic"), expressions=[exp.Literal.string(topic) for topic in topics]),
        )
        .group_by(sql.column("contact"), copy=False)
        .having(test, copy=False)
    )
    return Whom(rows, among=not unknown)


def _sample(leaf: ast.Sample, dialect: str) -> exp.Expr:
    """Return whether the contact's place in a draw lies in a part of it. Places are compared as they are written."""
    number = exp.cast(sql.column("contact", "c"), "TEXT", dialect=dialect)
    text = exp.Anonymous(this="concat", expressions=[exp.Literal.string(f"{leaf.seed}:"), number])
    if dialect == "clickhouse":
        digits: exp.Expr = exp.Anonymous(this="MD5", expressions=[text])
        digits = exp.Anonymous(this="lower", expressions=[exp.Anonymous(this="hex", expressions=[digits])])
    else:
        digits = exp.Anonymous(this="md5", expressions=[text])
    found: exp.Expr = exp.Anonymous(this="substring", expressions=[digits, sql.whole(1), sql.whole(DIGITS)])
    if dialect == "postgres":
        found = exp.Collate(this=found, expression=exp.to_identifier("C", quoted=True))
    start, end = edges(leaf)
    if start >= end:
        return exp.false()
    limits: list[exp.Expr] = []
    if start > 0:
        limits.append(exp.GTE(this=found, expression=exp.Literal.string(f"{start:0{DIGITS}x}")))
    if end < PLACES:
        limits.append(exp.LT(this=found.copy(), expression=exp.Literal.string(f"{end:0{DIGITS}x}")))
    return sql.every(limits)


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
