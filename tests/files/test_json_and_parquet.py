"""JSON Lines and Parquet."""

from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from parcours.sources.files import FileError, read
from tests.files.helper import attributes, codes, good, ids, look, rows, spec, users

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def lines(*objects: Any) -> str:
    return "".join((item if isinstance(item, str) else json.dumps(item)) + "\n" for item in objects)


def test_the_shapes_of_the_plain_api() -> None:
    who = {"contact": {"user_id": 42}}
    found, read_rows = look(
        lines(
            {**who, "id": "a", "name": "Seen", "attributes": {"n": 1}, "occurred_at": "2026-01-31T12:00:00+01:00"},
            {**who, "name": "Seen"}, {**who, "name": "Seen"}, {**who, "name": "Seen", "backfill": True},
        ),
        "x.jsonl", kind="interactions",
    )  # fmt: skip
    assert found.shape == "objects"
    arrival = good(read_rows)[0].arrival
    assert (arrival.message_id, arrival.identities, arrival.occurred_at) == (
        "a",
        (("user_id", "42"),),
        1_769_857_200_000,
    )
    assert len(set(ids(read_rows))) == 4
    assert [row.arrival.backfill for row in read_rows] == [False, False, False, True]
    contact = {**who, "attributes": {"email": "a@example.com", "x": None}, "consent": {"email": "opted_in"}}
    (row,) = good(rows(lines(contact), "x.jsonl", kind="contacts", evidence={"by": "Léa"}))
    assert row.arrival.what.addresses == {"email": "a@example.com"}
    assert (row.arrival.what.consent, row.arrival.what.evidence) == ({"email": {"": "opted_in"}}, {"by": "Léa"})
    (row,) = good(rows(lines({**who, "list": "vip", "action": "remove"}), "x.jsonl", kind="lists"))
    assert row.arrival.what.lists == {"vip": False}
    (row,) = good(rows(lines({"id": 7, "attributes": {"a": [1]}}), "x.jsonl", kind="items", catalogue="c"))
    assert (row.item.id, row.item.attributes) == ("7", {"a": [1]})


def test_wrong_lines_are_told_and_cost_no_other() -> None:
    who = '"contact": {"user_id": "1"}'
    found = rows(
        lines(
            f'{{{who}, "name": "Seen"}}', "{", "[]", f"{{{who}}}", '{"name": "Seen", "contact": {}}',
            f'{{{who}, "name": "Seen", "atributes": {{}}}}', "", f'{{{who}, "name": "x\\u0000"}}',
            f'{{{who}, "name": "\\ud800"}}', f'{{{who}, "name": "S", "attributes": {{"n": 123456789012345678901}}}}',
            f'{{{who}, "name": "S", "occurred_at": "2026-01-01T00:00:00"}}', "[" * 5_000,
            f'{{{who}, "name": "{"n" * 300}"}}', f'{{{who}, "name": "Seen"}}',
        ),
        "x.jsonl", kind="interactions",
    )  # fmt: skip
    assert [(line, code) for line, code, _ in codes(found)] == [
        (2, "invalid_json"), (3, "wrong_type"), (4, "missing_name"), (5, "no_identity"), (6, "unknown_field"),
        (8, "nul_character"), (9, "lone_surrogate"), (10, "too_large"), (11, "naive_time"),
        (12, found[10].problem.code), (13, "invalid_item"),
    ]  # fmt: skip
    assert users(found) == ["1", "1"]
    assert next(row for row in found if row.line == 6).problem.hint == "did you mean 'attributes'?"


def test_flat_objects_are_columns() -> None:
    text = lines(
        {"user_id": 1, "name": "Seen", "n": 1.5, "tags": ["a", "b"], "deep": {"x": [1]}, "at": "2026-01-01T00:00:00Z"},
        {"user_id": 2, "name": "Seen", "n": None}, "nothing", {"user_id": 3, "name": "Seen", "n": "many"},
    )  # fmt: skip
    found = rows(text, "x.jsonl", kind="interactions", types={"n": "number"}, occurred_at="at")
    assert found[0].arrival.what.attributes == {"n": 1.5, "tags": ["a", "b"], "deep": {"x": [1]}}
    assert found[1].arrival.what.attributes == {}
    assert codes(found) == [(3, "invalid_json", ""), (4, "wrong_type", "/n")]


def test_values_of_several_types_keep_theirs() -> None:
    text = lines({"user_id": 1, "a": 1, "b": None}, {"user_id": 1, "a": "x"}) + lines({"user_id": 1}) * 100_000
    found, read_rows = look(text + lines({"user_id": 1, "b": [True]}), "x.jsonl", kind="contacts")
    assert [column.type for column in found.columns] == ["string", "", ""]
    assert [attributes(read_rows)[index] for index in (0, 1, -1)] == [{"a": 1}, {"a": "x"}, {"b": [True]}]


def table(**columns: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, row_group_size=10)
    return out.getvalue()


def test_parquet_keeps_types() -> None:
    moment = datetime(2026, 1, 31, 12, tzinfo=UTC)
    data = table(
        user_id=pa.array([1, 2, None]),
        at=pa.array([moment, moment, moment], pa.timestamp("ns", "Europe/Paris")),
        price=pa.array([Decimal("9.50"), Decimal("2.00"), None]),
        day=pa.array([date(1980, 12, 31), None, None]),
        naive=pa.array([moment.replace(tzinfo=None), None, None], pa.timestamp("ns")),
        tags=pa.array([["a", "b"], [], None]),
        deep=pa.array([{"x": 1, "d": Decimal("1.5")}, None, None]),
        kind=pa.array(["a", "b", "a"]).dictionary_encode(),
        big=pa.array([2**64 - 1, 1, 2], pa.uint64()),
        f=pa.array([1.0, float("nan"), 2.0]),
        flag=pa.array([True, False, None]),
    )
    found, read_rows = look(data, "x.parquet", kind="interactions", name="Seen", occurred_at="at")
    assert {column.name: column.type for column in found.columns if column.role == "attribute"} == {
        "price": "number", "day": "datetime", "naive": "string", "tags": "strings", "deep": "object", "kind": "string",
        "big": "number", "f": "number", "flag": "boolean",
    }  # fmt: skip
    assert found.notes
    assert codes(read_rows) == [(1, "too_large", "/big"), (2, "not_finite", "/f"), (3, "no_identity", "/user_id")]
    (row,) = good(rows(data, "x.parquet", kind="interactions", name="Seen", occurred_at="at", ignore=["big", "f"])[:1])
    assert row.arrival.occurred_at == int(moment.timestamp() * 1000)
    assert row.arrival.what.attributes == {
        "price": 9.5, "day": datetime(1980, 12, 31, tzinfo=UTC), "naive": "2026-01-31T12:00:00", "tags": ["a", "b"],
        "deep": {"x": 1, "d": 1.5}, "kind": "a", "flag": True,
    }  # fmt: skip


def test_naive_times_of_parquet_need_a_zone() -> None:
    data = table(user_id=["1"], at=pa.array([datetime(2026, 7, 1, 12)], pa.timestamp("us")))  # noqa: DTZ001
    given = {"kind": "interactions", "name": "Seen", "occurred_at": "at"}
    assert codes(rows(data, "x.parquet", **given)) == [(1, "naive_time", "/at")]
    (row,) = good(rows(data, "x.parquet", zone="Europe/Paris", **given))
    assert row.arrival.occurred_at == 1_782_900_000_000


def test_parquet_goes_on_from_a_checkpoint_and_ids_are_stable() -> None:
    data = table(user_id=[str(n % 3) for n in range(45)], n=list(range(45)))
    reading = read(io.BytesIO(data), spec(kind="contacts"), name="x.parquet", rows=7)
    parts = list(reading)
    everything = [row for part in parts for row in part.rows]
    assert [row.line for row in everything] == list(range(1, 46))
    for index, part in enumerate(parts):
        behind = [row for later in parts[index + 1 :] for row in later.rows]
        assert [row for again in reading.slices(part.checkpoint) for row in again.rows] == behind
    assert attributes(everything)[-1] == {"n": 44}
    assert len(set(ids(everything))) == 45


def test_what_is_no_parquet() -> None:
    with pytest.raises(FileError):
        rows(b"PAR1 and nothing more", "x", kind="contacts")
    data = table(user_id=["1"] * 100, n=list(range(100)))
    broken = data[:200] + b"\0" * 40 + data[240:]
    try:
        found = rows(broken, "x.parquet", kind="contacts")
    except FileError:
        return
    assert found
