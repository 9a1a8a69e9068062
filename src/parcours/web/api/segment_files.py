"""Files of the members of a segment: CSV, JSON Lines and Parquet, written while the members are read."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from typing import IO, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from parcours.analytics.model import CONTACTS, Catalog, Kind
from parcours.web.api.segment_members import Row

ROW_GROUP = 10_000
"""Rows that stand together in a Parquet file."""

_FIRST = ("id", "identities")
_Cell = Callable[[object], object]


async def as_csv(people: AsyncIterator[list[Row]], attributes: Sequence[str]) -> AsyncIterator[bytes]:
    """Yield the parts of a CSV file in UTF-8 with a column an attribute; none of its cells is a formula."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*_FIRST, *attributes])
    async for rows in people:
        for row in rows:
            names = " ".join(f"{space}:{value}" for space, value in row.identities)
            writer.writerow([row.id, _safe(names), *(_safe(_text(row.attributes.get(name))) for name in attributes)])
        yield text.getvalue().encode("utf-8", "replace")
        text.seek(0)
        text.truncate()
    if text.tell():
        yield text.getvalue().encode("utf-8", "replace")


def _text(value: object) -> str:
    """Return a value as a cell holds it: text as it is, nothing for none, anything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _safe(text: str) -> str:
    """Return text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text[:1] in _FORMULA and not _is_number(text) else text


_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


async def as_lines(people: AsyncIterator[list[Row]], attributes: Sequence[str]) -> AsyncIterator[bytes]:
    """Yield the parts of a file of JSON Lines, with those of the attributes that somebody has."""
    chosen = set(attributes)
    encoder = msgspec.json.Encoder()
    async for rows in people:
        lines = [
            msgspec.structs.replace(
                row, attributes={name: value for name, value in row.attributes.items() if name in chosen}
            )
            for row in rows
        ]
        yield encoder.encode_lines(lines)


async def as_parquet(
    people: AsyncIterator[list[Row]], attributes: Sequence[str], catalog: Catalog
) -> AsyncIterator[bytes]:
    """Yield the parts of a Parquet file.

    A column of an attribute that was only ever numbers, booleans or lists of text is of that type, else it is text.
    """
    made = [_column(catalog, name) for name in attributes]
    names = _unlike([*_FIRST, *attributes])
    schema = pa.schema(
        [*((name, pa.string()) for name in names[:2]), *zip(names[2:], (kind for kind, _ in made), strict=True)]
    )
    with tempfile.TemporaryFile() as file:
        writer = pq.ParquetWriter(file, schema)
        read = 0
        waiting: list[Row] = []
        async for rows in people:
            waiting += rows
            if len(waiting) >= ROW_GROUP:
                writer.write_table(_table(waiting, attributes, [cell for _, cell in made], schema))
                waiting = []
                read, part = _written(file, read)
                yield part
        if waiting:
            writer.write_table(_table(waiting, attributes, [cell for _, cell in made], schema))
        writer.close()
        yield _written(file, read)[1]


def _table(rows: Sequence[Row], attributes: Sequence[str], cells: Sequence[_Cell], schema: pa.Schema) -> pa.Table:
    columns: list[list[Any]] = [[row.id for row in rows], [_text(row.identities) for row in rows]]
    for name, cell in zip(attributes, cells, strict=True):
        columns.append([cell(row.attributes.get(name)) for row in rows])
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.table(arrays, schema=schema)


def _written(file: IO[bytes], read: int) -> tuple[int, bytes]:
    """Return what was written to a file behind a place, and the place behind it."""
    file.flush()
    end = file.tell()
    file.seek(read)
    part = file.read()
    file.seek(end)
    return end, part


def _unlike(names: Sequence[str]) -> list[str]:
    """Return names of columns that differ from one another: an attribute may be called `id`."""
    found: dict[str, None] = {}
    for name in names:
        one = name
        while one in found:
            one = f"{one}_"
        found[one] = None
    return list(found)


def _column(catalog: Catalog, name: str) -> tuple[pa.DataType, _Cell]:
    known = catalog.tables[CONTACTS].attributes.get(name)
    kinds = known.kinds if known else set()
    numbers, booleans = Kind.NUMBER in kinds, Kind.BOOLEAN in kinds
    if Kind.TEXT not in kinds and Kind.LISTED not in kinds and numbers != booleans:
        return (pa.float64(), _number) if numbers else (pa.bool_(), _boolean)
    return pa.string(), lambda value: None if value is None else _text(value)


def _number(value: object) -> object:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _boolean(value: object) -> object:
    return value if isinstance(value, bool) else None
