"""The analytics database: how fast it takes over a log, and typed columns against JSON picked apart by each question.

A million interactions of a hundred thousand contacts in a SQLite log, made up. Fed once in the slices of a running
service and once in those of `parcours rebuild analytics`. For the comparison the same rows stand in tables with one column
of JSON, one table for each kind of interaction, as the typed ones do. Medians of seven runs after one that is not
counted; both must find the same contacts.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from parcours.analytics import service
from parcours.analytics.duckdb_store import SLICE, DuckdbAnalytics
from parcours.analytics.questions import Group
from parcours.conditions.parse import parse_condition
from parcours.core.codec import encode
from parcours.core.contact import Contact
from parcours.core.ids import contact_id, contact_number, message_key
from parcours.core.inputs import Interaction
from parcours.ports import Changes, Record
from parcours.stores.sqlite import SqliteStore

DAY = 86_400_000
NOW = 1_772_236_800_000
RUNS = 7
BATCH = 10_000
KINDS = ("product viewed", "product added", "order completed", "product reviewed")
WEIGHTS = (60, 18, 12, 10)
CITIES = ("Atlanta", "Seattle", "Boston", "Denver", "Austin", "Chicago", "Portland", "Miami")
CATEGORIES = ("cameras", "phones", "books", "shoes", "games", "garden", "music", "toys")

QUESTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "city and age": (
        {"all": [{"contact": "city", "in": ["Atlanta", "Seattle"]}, {"contact": "age", "at_least": 30}]},
        """SELECT contact FROM json_contacts
        WHERE body->>'$.city' IN ('Atlanta', 'Seattle') AND (body->>'$.age')::DOUBLE >= 30""",
    ),
    "2 reviews of cameras in 365 days": (
        {
            "did": "product reviewed",
            "where": {"all": [{"interaction": "category", "is": "cameras"}, {"interaction": "stars", "at_least": 3}]},
            "times": {"at_least": 2},
            "within": "365d",
        },
        f"""SELECT contact FROM json_3 WHERE occurred_at > {NOW} - 365 * {DAY}::BIGINT
        AND body->>'$.category' = 'cameras' AND (body->>'$.stars')::DOUBLE >= 3 GROUP BY contact HAVING count(*) >= 2""",
    ),
    "viewed for more than 500 in a year": (
        {"did": "product viewed", "sum": {"of": "total", "more_than": 500}, "within": "365d"},
        f"""SELECT contact FROM json_0 WHERE occurred_at > {NOW} - 365 * {DAY}::BIGINT GROUP BY contact
        HAVING sum(floor((body->>'$.total')::DOUBLE * 1000000 + 0.5)::BIGINT) > 500000000""",
    ),
}


def write_log(path: Path, interactions: int, contacts: int) -> SqliteStore:
    """Return a store with made-up interactions."""
    chance = random.Random(7)
    store = SqliteStore(path)
    store.restore({})  # nothing was there before
    ids = [contact_id("user_id", str(number)) for number in range(contacts)]
    people = {
        id_: Contact(id_, 1, {"city": chance.choice(CITIES), "age": chance.randrange(16, 90), "name": f"n{number}"})
        for number, id_ in enumerate(ids)
    }
    for start in range(0, interactions, BATCH):
        changes = Changes()
        for position in range(start + 1, min(start + BATCH, interactions) + 1):
            id_ = ids[int(chance.random() ** 1.5 * contacts)]
            attributes = {
                "category": chance.choice(CATEGORIES),
                "stars": chance.randrange(1, 6),
                "total": round(chance.expovariate(1 / 40), 2),
                "sku": f"24-MB{chance.randrange(5_000):04}",
            }
            name = chance.choices(KINDS, WEIGHTS)[0]
            at = NOW - 400 * DAY + 400 * DAY * position // interactions
            item = Interaction(position=position, received_at=at, occurred_at=at, name=name, attributes=attributes)
            changes.records.append(Record(position, id_, message_key("b", str(position)), encode(item)))
            changes.contacts[id_] = people[id_]
        store.commit(changes)
    store.flush()
    return store


def feed(path: Path, store: SqliteStore, size: int) -> tuple[DuckdbAnalytics, float, list[float]]:
    """Return the database, the seconds it took, and of each slice those for which the store was in use."""
    database = DuckdbAnalytics(path)
    database.follows(store)
    held: list[float] = []
    start = time.perf_counter()
    while True:
        before = time.perf_counter()
        found = database.read(store, size)
        held.append(time.perf_counter() - before)
        if found is None:
            return database, time.perf_counter() - start, held
        database.feed(found)


def write_json(database: DuckdbAnalytics, store: SqliteStore) -> None:
    """Put the same rows into tables with one column of JSON."""
    rows: dict[str, list[tuple[int, int, str]]] = {kind: [] for kind in KINDS}
    after = 0
    while records := store.log(after, BATCH):
        for record in records:
            item = record.input()
            assert isinstance(item, Interaction)
            body = msgspec.json.encode(item.attributes).decode()
            rows[item.name].append((contact_number(record.contact), item.occurred_at, body))
        after = records[-1].position
    tables = {
        f"json_{number}": dict(zip(("contact", "occurred_at", "body"), zip(*rows[kind], strict=True), strict=True))
        for number, kind in enumerate(KINDS)
    }
    people = [(contact_number(one.id), msgspec.json.encode(one.attributes).decode()) for one in store.scan(limit=10**9)]
    tables["json_contacts"] = dict(zip(("contact", "body"), zip(*people, strict=True), strict=True))
    for name, columns in tables.items():
        database.db.register("made", pa.table({column: pa.array(values) for column, values in columns.items()}))
        database.db.execute(f"CREATE TABLE {name} AS SELECT * REPLACE (body::JSON AS body) FROM made")
        database.db.unregister("made")
    database.db.execute("checkpoint")


def measure(database: DuckdbAnalytics, statement: str) -> tuple[float, set[int]]:
    """Return the median of the seconds a statement takes, and what it selects."""
    found = {row[0] for row in database.db.execute(statement).fetchall()}
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        database.db.sql(statement).to_arrow_table()
        times.append(time.perf_counter() - start)
    return statistics.median(times), found


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interactions", type=int, default=1_000_000)
    parser.add_argument("--contacts", type=int, default=100_000)
    given = parser.parse_args()
    gc.set_threshold(50_000, 20, 50)  # as the service has it
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        store = write_log(Path(folder) / "log.db", given.interactions, given.contacts)
        print(f"{given.interactions:,} interactions, made in {time.perf_counter() - start:.0f} s", flush=True)
        gc.collect()
        gc.freeze()
        for size in (service.SLICE, SLICE):
            path = Path(folder) / f"{size}.duckdb"
            database, seconds, held = feed(path, store, size)
            database.db.execute("checkpoint")
            speed = given.interactions / seconds
            print(
                f"slices of {size:,}: {speed:,.0f} rows/s; store in use {statistics.median(held) * 1e3:.0f} ms a slice,"
                f" {max(held) * 1e3:.0f} ms at most; {database.bytes / given.interactions:.0f} bytes a row",
                flush=True,
            )
            if size != SLICE:
                database.close()
        write_json(database, store)
        print(f"{'milliseconds':<40} {'found':>8} {'columns':>8} {'JSON':>8} {'ratio':>6}")
        for name, (condition, by_hand) in QUESTIONS.items():
            node, problems = parse_condition(condition)
            assert node is not None, problems
            typed, found = measure(database, Group(node, {}, NOW).sql(database))
            picked, same = measure(database, by_hand)
            assert found == same, (name, len(found), len(same))
            print(f"{name:<40} {len(found):>8,} {typed * 1e3:>8.1f} {picked * 1e3:>8.1f} {picked / typed:>6.1f}")
        database.close()
        store.close()
    gc.unfreeze()


if __name__ == "__main__":
    main()
