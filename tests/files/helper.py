"""Reading bytes, in short."""

from __future__ import annotations

import io
from typing import Any

from parcours.sources.files import Found, ImportSpec, Known, Row, read, spec_from_data

CONTACTS = {"kind": "contacts"}
EVENTS = {"kind": "interactions"}


def spec(**given: Any) -> ImportSpec:
    return spec_from_data(given)


def rows(
    data: bytes | str, file: str = "x.csv", *, size: int = 2_000, known: Known | None = None, **given: Any
) -> list[Row]:
    return look(data, file, size=size, known=known, **given)[1]


def look(
    data: bytes | str, file: str = "x.csv", *, size: int = 2_000, known: Known | None = None, **given: Any
) -> tuple[Found, list[Row]]:
    stream = io.BytesIO(data.encode() if isinstance(data, str) else data)
    with read(stream, spec(**given), name=file, known=known or Known(), rows=size) as reading:
        return reading.found, [row for part in reading for row in part.rows]


def good(found: list[Row]) -> list[Row]:
    bad = [str(row.problem) for row in found if row.problem is not None]
    assert not bad, bad
    return found


def attributes(found: list[Row]) -> list[dict[str, Any]]:
    return [row.arrival.what.attributes if row.arrival else row.item.attributes for row in good(found)]


def codes(found: list[Row]) -> list[tuple[int, str, str]]:
    return [(row.line, row.problem.code, row.problem.pointer) for row in found if row.problem is not None]


def users(found: list[Row]) -> list[str]:
    return [row.arrival.identities[0][1] for row in found if row.arrival is not None]


def ids(found: list[Row]) -> list[str]:
    return [row.arrival.message_id for row in good(found)]
