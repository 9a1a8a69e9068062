"""What is asked of all contacts: how many, who, of what kind, and who else.

A question is compiled when it is asked, for only then it is known which columns there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import duckdb
import msgspec

from parcours.analytics.compile import compile_sql
from parcours.analytics.duckdb_store import AnalyticsError, DuckdbAnalytics
from parcours.analytics.model import CONTACTS, Kind
from parcours.analytics.sql import UnanswerableError
from parcours.conditions import ast
from parcours.conditions.needs import walk
from parcours.conditions.parse import shown
from parcours.errors import Problem, did_you_mean

BINS = 10
"""Bins into which numbers are sorted, about equally full."""


class TooFarAheadError(AnalyticsError):
    """More of what members have changes until an instant than is told ahead."""

    code = "too_far_ahead"


class Group(NamedTuple):
    """A condition about contacts, as of an instant."""

    node: ast.Node
    segments: Mapping[str, ast.Node]
    now: int

    def sql(self, analytics: DuckdbAnalytics) -> str:
        """Return the statement that selects the group.

        Raises:
            UnanswerableError: Nobody can tell who belongs to it.
            TooFarAheadError: It cannot be told yet.
        """
        for problem in problems(self.node, self.segments):
            raise UnanswerableError(problem.message, hint=problem.hint)
        self._told(analytics)
        return compile_sql(self.node, analytics.catalog, self.now, segments=self.segments)

    def since(self, instant: int) -> Group:
        """Return the group as of an instant, if that is later."""
        return self._replace(now=max(self.now, instant))

    def _told(self, analytics: DuckdbAnalytics) -> None:
        """See whether the tables tell what the condition asks of members, as of that instant."""
        leaves = [leaf for leaf in _leaves(self.node, self.segments, set()) if isinstance(leaf, ast.OfMember)]
        if leaves:
            self.look(analytics, {leaf.programme for leaf in leaves if not isinstance(leaf, ast.HasReward)})

    def look(self, analytics: DuckdbAnalytics, programmes: set[str]) -> None:
        """See whether the tables tell what members of programmes have at the instant.

        Raises:
            UnanswerableError: It is past, and nobody can tell.
            TooFarAheadError: It cannot be told yet.
        """
        if self.now < analytics.as_of:
            message = "what members of programmes had at an instant that is past is not kept"
            raise UnanswerableError(message, hint="ask as of now, or look at the sizes that a segment had")
        for name in sorted(programmes):
            told = "select min(known_until) from members where programme = ?"
            until = rows(analytics, told, [name])[0][0]
            if until is not None and until <= self.now:
                message = f"more of the programme {shown(name)} comes due by then than is told ahead"
                raise TooFarAheadError(message, hint="if that was asked as of now, timers are late: ask again soon")


def problems(node: ast.Node, segments: Mapping[str, ast.Node], pointer: str = "") -> list[Problem]:
    """Return why a condition cannot be asked of all contacts at once."""

    def problem(code: str, message: str, hint: str) -> Problem:
        return Problem(code=code, message=message, pointer=pointer, hint=hint)

    found: list[Problem] = []
    for leaf in _leaves(node, segments, set()):
        if isinstance(leaf, ast.InSegment):
            hint = did_you_mean(leaf.name, segments)
            found.append(problem("unknown_segment", f"there is no segment {shown(leaf.name)}", hint))
        elif isinstance(leaf, ast.Attribute) and leaf.subject is not ast.Subject.CONTACT:
            found.append(problem("no_interaction", "there is no interaction to look at", "ask 'did' instead"))
        elif isinstance(leaf, ast.History | ast.Sequence | ast.MessageHistory) and leaf.window.since:
            found.append(problem("no_run", "there is no run whose start could be meant", "ask 'within' instead"))
    return found


def _leaves(node: ast.Node, segments: Mapping[str, ast.Node], seen: set[str]) -> Iterator[ast.Node]:
    """Yield every leaf, also of the segments that are named; a segment itself only where it is not known."""
    for leaf in walk(node):
        if not isinstance(leaf, ast.InSegment) or leaf.name not in segments:
            yield leaf
        elif leaf.name not in seen:
            seen.add(leaf.name)
            yield from _leaves(segments[leaf.name], segments, seen)


class Bin(msgspec.Struct):
    """Numbers from one to another, both included."""

    least: float
    greatest: float
    count: int


class Breakdown(msgspec.Struct):
    """A group by the values of an attribute."""

    size: int
    missing: int
    """Contacts without a value."""
    values: list[tuple[str | float | bool, int]]
    """The most frequent values with the number of contacts; of a list each of its texts counts."""
    others: int
    """How many other values there are."""
    bins: list[Bin]
    """Numbers, where there are too many different ones to name each."""


class Overlap(msgspec.Struct):
    """Two groups, and what they share."""

    sizes: tuple[int, int]
    both: int
    either: int

    @property
    def jaccard(self) -> float | None:
        """The share of those in both among those in either; None when nobody is in either."""
        return self.both / self.either if self.either else None


def rows(analytics: DuckdbAnalytics, sql: str, values: Sequence[object] = ()) -> list[Any]:
    """Return the rows of a statement.

    Raises:
        AnalyticsError: It failed.
    """
    try:
        return analytics.db.execute(sql, values).fetchall()
    except duckdb.Error as error:
        raise AnalyticsError(f"the analytics database failed: {error}") from error


def everybody(analytics: DuckdbAnalytics) -> int:
    """Return how many contacts there are."""
    return int(rows(analytics, "select count(*) from contacts")[0][0])


def count(analytics: DuckdbAnalytics, group: Group) -> int:
    """Return how many contacts are in a group."""
    return int(rows(analytics, f"select count(*) from ({group.sql(analytics)})")[0][0])


def members(analytics: DuckdbAnalytics, group: Group, after: int = -1, limit: int | None = None) -> list[int]:
    """Return the numbers of the contacts of a group behind one, in order."""
    sql = f"select contact from ({group.sql(analytics)}) where contact > ? order by contact"
    found = rows(analytics, sql if limit is None else f"{sql} limit {int(limit)}", [after])
    return [row[0] for row in found]


def sample(analytics: DuckdbAnalytics, group: Group, size: int, seed: str) -> list[int]:
    """Return contacts of a group at random, and for the same seed the same ones for as long as they are in it."""
    sql = f"select contact from ({group.sql(analytics)}) order by md5(concat(?, ':', contact)), contact limit ?"
    return [row[0] for row in rows(analytics, sql, [seed, size])]


def overlap(analytics: DuckdbAnalytics, first: Group, second: Group) -> Overlap:
    """Return the sizes of two groups, and how many are in both."""
    sql = (
        f"with a as materialized ({first.sql(analytics)}), b as materialized ({second.sql(analytics)})"
        " select (select count(*) from a), (select count(*) from b), (select count(*) from a join b using (contact))"
    )
    one, other, both = rows(analytics, sql)[0]
    return Overlap((one, other), both, one + other - both)


def breakdown(analytics: DuckdbAnalytics, group: Group, attribute: str, most: int) -> Breakdown:
    """Return how many contacts of a group have which values of an attribute, up to `most` of them."""
    inside = f"from contacts where contact in ({group.sql(analytics)})"
    columns = {kind: analytics.catalog.column(CONTACTS, attribute, kind) for kind in Kind}
    present = [
        f'"{column}" is not null'
        for kind in (Kind.TEXT, Kind.NUMBER, Kind.BOOLEAN, Kind.LISTED)
        if (column := columns[kind]) is not None
    ]
    there = " or ".join(present) or "false"
    size, missing = rows(analytics, f"select count(*), count(*) filter (where not ({there})) {inside}")[0]
    texts = [f'select contact, "{column}" as value {inside}'] if (column := columns[Kind.TEXT]) else []
    if column := columns[Kind.TEXTS]:
        texts.append(f'select contact, unnest(list_distinct("{column}")) as value {inside}')
    asked = [" union all ".join(texts)] if texts else []
    bins: list[Bin] = []
    for kind in (Kind.BOOLEAN, Kind.NUMBER):
        if column := columns[kind]:
            if kind is Kind.NUMBER and _different(analytics, f'select "{column}" as value {inside}') > most:
                bins = _bins(analytics, column, inside)
            else:
                asked.append(f'select contact, "{column}" as value {inside}')
    found: list[tuple[str | float | bool, int]] = []
    for part in asked:
        counts = f"select value, count(*) as number from ({part}) where value is not null group by value"
        found += rows(analytics, f"{counts} order by number desc, value limit ?", [most])
    found.sort(key=lambda pair: (-pair[1], str(pair[0])))
    others = sum(_different(analytics, part) for part in asked) - len(found[:most])
    return Breakdown(size, missing, found[:most], others, bins)


def tiers(analytics: DuckdbAnalytics, group: Group, programme: str) -> Breakdown:
    """Return how many contacts of a group have which tier of a programme; those who are no members have none."""
    group.look(analytics, {programme})
    inside = f"from ({group.sql(analytics)})"
    size = rows(analytics, f"select count(*) {inside}")[0][0]
    found = rows(
        analytics,
        f"select tier, count(*) {inside} join members using (contact) where programme = ? and start <= ? and finish > ?"
        " and current and tier <> '' group by tier order by 2 desc, 1",
        [programme, group.now, group.now],
    )
    return Breakdown(size, size - sum(count for _, count in found), found, 0, [])


def _different(analytics: DuckdbAnalytics, values: str) -> int:
    return int(rows(analytics, f"select count(distinct value) from ({values})")[0][0])


def _bins(analytics: DuckdbAnalytics, column: str, inside: str) -> list[Bin]:
    # Equal numbers belong to one bin, so a bin is known by the rank of its first number.
    numbers = f'select "{column}" as value {inside} and "{column}" is not null'
    ranked = f"select value, (rank() over (order by value) - 1) * {BINS} // (count(*) over ()) as bin from ({numbers})"
    found = rows(analytics, f"select min(value), max(value), count(*) from ({ranked}) group by bin order by 1")
    return [Bin(*row) for row in found]
