"""Segments of all contacts in DuckDB: what the compiler writes against SQL written by hand.

Five million interactions of half a million contacts in a year. The SQL by hand asks two layouts: the tables that the
compiler asks, one for each kind of interaction, and one table of everything with a column for the kind. Medians of five
runs after one that is not counted. Both must find the same contacts.
"""

from __future__ import annotations

import argparse
import statistics
import time

import duckdb
import numpy as np
import pyarrow as pa

from parcours.analytics.compile import compile_sql
from parcours.analytics.model import CONTACTS, Catalog, Kind, create_tables
from parcours.conditions import ast

DAY = 86_400_000
NOW = 1_772_236_800_000
RUNS = 5

KINDS = {"product viewed": 0.60, "product added": 0.18, "order completed": 0.12, "product reviewed": 0.10}
"""Of all interactions, the share of each kind."""
CITIES = ["Atlanta", "Seattle", "Boston", "Denver", "Austin", "Chicago", "Portland", "Miami"]
CATEGORIES = ["cameras", "phones", "books", "shoes", "games", "garden", "music", "toys"]


def load(connection: duckdb.DuckDBPyConnection, interactions: int, contacts: int) -> Catalog:
    """Fill both layouts with the same made-up data and return the catalog of the one."""
    random = np.random.default_rng(7)
    catalog = Catalog()
    city = catalog.learn(CONTACTS, "city", Kind.TEXT)
    folded = catalog.learn(CONTACTS, "city", Kind.FOLDED)
    age = catalog.learn(CONTACTS, "age", Kind.NUMBER)
    for name in KINDS:
        for attribute, kind in (("category", Kind.TEXT), ("stars", Kind.NUMBER), ("total", Kind.NUMBER)):
            catalog.learn(name, attribute, kind)
    for statement in create_tables(catalog):
        connection.execute(statement)
    names = np.array(CITIES)[random.integers(0, len(CITIES), contacts)]
    people = pa.table(
        {
            "contact": np.arange(contacts),
            city: pa.array(names),
            folded: pa.array(np.char.lower(names)),
            age: random.integers(16, 90, contacts).astype("f8"),
        }
    )
    connection.register("people", people)
    connection.execute(f"INSERT INTO contacts (contact, {city}, {folded}, {age}) SELECT * FROM people")
    connection.execute(f"CREATE TABLE hand_contacts AS SELECT contact, {city} AS city, {age} AS age FROM people")
    at = np.sort(NOW - random.integers(0, 365 * DAY, interactions))
    happened = pa.table(
        {
            # Some contacts do much more than others.
            "contact": (random.random(interactions) ** 1.5 * contacts).astype("i8"),
            "position": np.arange(interactions),
            "t": at,
            "kind": pa.array(np.array(list(KINDS))[random.choice(len(KINDS), interactions, p=list(KINDS.values()))]),
            "category": pa.array(np.array(CATEGORIES)[random.integers(0, len(CATEGORIES), interactions)]),
            "stars": random.integers(1, 6, interactions).astype("f8"),
            "total": np.round(random.exponential(40, interactions), 2),
        }
    )
    connection.register("happened", happened)
    connection.execute("CREATE TABLE hand AS SELECT * FROM happened")
    for name in KINDS:
        columns = {attribute: column for attribute, _, column in catalog.columns(name)}
        connection.execute(
            f"INSERT INTO {catalog.table(name)} (contact, position, occurred_at, received_at, {', '.join(columns.values())})"
            f" SELECT contact, position, t, t, {', '.join(columns)} FROM happened WHERE kind = '{name}'"
        )
        renamed = ", ".join(f"{column} AS {attribute}" for attribute, column in columns.items())
        view = name.replace(" ", "_")
        connection.execute(
            f"CREATE VIEW {view} AS SELECT contact, position, occurred_at AS t, {renamed} FROM {catalog.table(name)}"
        )
    return catalog


CAMERAS = ast.All(
    (
        ast.Attribute(ast.Subject.TRIGGER, "category", "is", "cameras"),
        ast.Attribute(ast.Subject.TRIGGER, "stars", "at_least", 3),
    )
)
CONTACT = ast.All(
    (
        ast.Attribute(ast.Subject.CONTACT, "city", "in", ("Atlanta", "Seattle")),
        ast.Attribute(ast.Subject.CONTACT, "age", "at_least", 30),
    )
)
REVIEWS = ast.History(("product reviewed",), "at_least", 3, where=CAMERAS, window=ast.Window(within=90 * DAY))
WEEK = ast.Window(within=7 * DAY)
NOT_BOUGHT = ast.All(
    (
        ast.History(("product viewed",), "at_least", 1, window=WEEK),
        ast.Not(ast.History(("order completed",), "at_least", 1, window=WEEK)),
    )
)
ABANDONED = ast.Sequence(
    (
        ast.SequenceStep(("product viewed",)),
        ast.SequenceStep(("order completed",), within=7 * DAY, absent=True),
    ),
    ast.Window(within=30 * DAY),
)
THREE_STEPS = ast.Sequence(
    (
        ast.SequenceStep(("product viewed",)),
        ast.SequenceStep(("product added",), within=DAY),
        ast.SequenceStep(("order completed",), within=7 * DAY),
    )
)
SOME_REVIEW = ast.History(("product reviewed",), "at_least", 1, where=CAMERAS, window=ast.Window(within=90 * DAY))
COMBINED = ast.All((CONTACT, SOME_REVIEW, ast.Not(ABANDONED), ast.Any((NOT_BOUGHT, THREE_STEPS))))

_CONTACT = "SELECT contact FROM hand_contacts WHERE city IN ('Atlanta', 'Seattle') AND age >= 30"
_CAMERAS = "category = 'cameras' AND stars >= 3 AND t > $now - 90 * $day AND t <= $now"
_REVIEWS = "SELECT contact FROM {reviewed} AND " + _CAMERAS + " GROUP BY contact HAVING count(*) >= 3"
_NOT_BOUGHT = """
    SELECT DISTINCT contact FROM {viewed} AND t > $now - 7 * $day AND t <= $now AND contact NOT IN
    (SELECT contact FROM {ordered} AND t > $now - 7 * $day AND t <= $now)"""
_ABANDONED = """
    SELECT DISTINCT v.contact FROM (SELECT * FROM {viewed} AND t > $now - 30 * $day AND t <= $now - 7 * $day) v
    ASOF LEFT JOIN (SELECT * FROM {ordered}) o
    ON v.contact = o.contact AND v.t < o.t
    WHERE o.t IS NULL OR o.t - v.t >= 7 * $day"""
_THREE_STEPS = """
    SELECT DISTINCT o.contact FROM (SELECT * FROM {ordered}) o
    JOIN (SELECT * FROM {added}) a ON a.contact = o.contact AND a.t < o.t AND o.t - a.t < 7 * $day
    JOIN (SELECT * FROM {viewed}) v ON v.contact = a.contact AND v.t < a.t AND a.t - v.t < $day"""
_COMBINED = f"""
    {_CONTACT} AND contact IN (SELECT contact FROM {{reviewed}} AND {_CAMERAS})
    AND contact NOT IN ({_ABANDONED}) AND (contact IN ({_NOT_BOUGHT}) OR contact IN ({_THREE_STEPS}))"""

QUERIES = {
    "attributes only": (CONTACT, _CONTACT),
    "3 reviews of cameras in 90 days": (REVIEWS, _REVIEWS),
    "viewed, not bought, in 7 days": (NOT_BOUGHT, _NOT_BOUGHT),
    "viewed, then not bought within 7 days": (ABANDONED, _ABANDONED),
    "three steps in order": (THREE_STEPS, _THREE_STEPS),
    "all combined": (COMBINED, _COMBINED),
}

LAYOUTS = {
    "a table a kind": {kind.split()[1]: f"{kind.replace(' ', '_')} WHERE TRUE" for kind in KINDS},
    "one table": {kind.split()[1]: f"hand WHERE kind = '{kind}'" for kind in KINDS},
}
WORDS = {"viewed": "viewed", "added": "added", "completed": "ordered", "reviewed": "reviewed"}


def written(text: str, layout: str) -> str:
    """Return a statement written by hand for one layout."""
    for word, said in WORDS.items():
        text = text.replace("{" + said + "}", LAYOUTS[layout][word])
    return text.replace("$now", f"{NOW}::BIGINT").replace("$day", f"{DAY}::BIGINT")


def measure(connection: duckdb.DuckDBPyConnection, statement: str) -> tuple[float, set[int]]:
    """Return the median of the seconds a statement takes, and what it selects."""
    found = {row[0] for row in connection.execute(statement).fetchall()}
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        connection.sql(statement).to_arrow_table()
        times.append(time.perf_counter() - start)
    return statistics.median(times), found


def main() -> None:
    """Print the medians, and how many times as long the compiled statement takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interactions", type=int, default=5_000_000)
    parser.add_argument("--contacts", type=int, default=500_000)
    given = parser.parse_args()
    connection = duckdb.connect()
    start = time.perf_counter()
    catalog = load(connection, given.interactions, given.contacts)
    print(
        f"{given.interactions:,} interactions of {given.contacts:,} contacts, made in {time.perf_counter() - start:.1f} s"
    )
    print(
        f"{'milliseconds':<38} {'found':>8} {'compiled':>9}" + "".join(f" {name:>15} {'ratio':>5}" for name in LAYOUTS)
    )
    for name, (node, text) in QUERIES.items():
        spent, found = measure(connection, compile_sql(node, catalog, NOW))
        line = f"{name:<38} {len(found):>8,} {spent * 1e3:>9.1f}"
        for layout in LAYOUTS:
            by_hand, same = measure(connection, written(text, layout))
            assert same == found, (name, len(same), len(found))
            line += f" {by_hand * 1e3:>15.1f} {spent / by_hand:>5.2f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
