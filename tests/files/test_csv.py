"""CSV in the forms in which it comes."""

from __future__ import annotations

import gzip
import io
from datetime import UTC, datetime
from pathlib import Path

import pytest

from parcours.definitions.interaction import AttributeDefinition
from parcours.sources.files import Checkpoint, FileError, Known, read
from tests.files.helper import attributes, codes, good, ids, look, rows, spec, users

PEOPLE = "user_id,name,age\n1,Ann,30\n2,Béa,41\n"


def test_names_of_columns_are_enough() -> None:
    text = (
        "id,name,user_id,email,occurred_at,total,paid\n"
        "o-1,Order Completed,42,a@example.com,2026-01-31T12:00:00+01:00,59.9,true\n"
    )
    found, (row,) = look(text, kind="interactions")
    arrival = good([row])[0].arrival
    assert (arrival.source, arrival.message_id, arrival.identities) == ("file", "o-1", (("user_id", "42"),))
    assert arrival.what.name == "Order Completed"
    assert arrival.what.attributes == {"email": "a@example.com", "total": 59.9, "paid": True}
    assert arrival.occurred_at == 1_769_857_200_000
    assert [column.role for column in found.columns[:5]] == ["id", "name", "identity", "attribute", "occurred_at"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("quote", ['"', "'"])
def test_a_dialect_is_found_out(delimiter: str, end: str, quote: str) -> None:
    lines = [
        ["user_id", "note"],
        ["1", f"{quote}a{delimiter}b{quote}"],
        ["2", f"{quote}it{quote * 2}s{quote}"],
        ["3", "c"],
    ]
    text = end.join(delimiter.join(line) for line in lines) + end
    found, read_rows = look(text, kind="contacts")
    assert (found.delimiter, found.quote, found.header) == (delimiter, quote, True)
    assert [what["note"] for what in attributes(read_rows)] == [f"a{delimiter}b", f"it{quote}s", "c"]
    assert [row.line for row in read_rows] == [2, 3, 4]


@pytest.mark.parametrize(
    "encoding, decided",
    [
        ("utf-8", "detected"), ("utf-8-sig", "mark"), ("cp1252", "detected"), ("utf-16", "mark"), ("utf-32", "mark"),
        ("utf-16-be", "declared"), ("iso8859-15", "declared"), ("shift_jis", "declared"),
    ],
)  # fmt: skip
def test_encodings(encoding: str, decided: str) -> None:
    text = "user_id,name\n1,日本\n2,b\n" if encoding == "shift_jis" else "user_id,name\n1,Béa\n2,b\n"
    given = {"encoding": encoding} if decided == "declared" else {}
    found, read_rows = look(text.encode(encoding), kind="contacts", **given)
    assert found.encoding_decided == decided
    assert [what["name"] for what in attributes(read_rows)] == [text[15:].split("\n", maxsplit=1)[0], "b"]


def test_a_byte_that_cannot_be_decoded_costs_its_row_alone() -> None:
    data = b'user_id,name\n1,Ann\n2,B\xe9a\n3,"two\nl\xe9nes"\n4,Dan\n'
    read_rows = rows(data, kind="contacts", encoding="utf-8")
    assert codes(read_rows) == [(3, "undecodable", "/name"), (4, "undecodable", "/name")]
    assert users(read_rows) == ["1", "4"]


def test_what_is_not_utf8_far_behind_the_sample_is_found() -> None:
    data = b"user_id,name\n" + b"1,Ann\n" * 300_000 + b"2,B\xe9a\n"
    found, read_rows = look(data, kind="contacts")
    assert found.encoding == "cp1252"
    assert good(read_rows)[-1].arrival.what.attributes == {"name": "Béa"}


def test_semicolons_and_decimal_commas() -> None:
    text = "user_id;spent;zip\n1;1.234,50;01234\n2;7,5;75001\n3;1 000;1\n"
    assert attributes(rows(text, kind="contacts", decimal_comma=True, types={"spent": "number"})) == [
        {"spent": 1234.5, "zip": "01234"}, {"spent": 7.5, "zip": "75001"}, {"spent": 1000, "zip": "1"},
    ]  # fmt: skip
    assert codes(rows(text, kind="contacts", types={"spent": "number"}))[0] == (2, "wrong_type", "/spent")


def test_without_a_header() -> None:
    found, read_rows = look("1,Ann\n2,Bob\n", kind="contacts", names=["user_id", "name"])
    assert not found.header
    assert attributes(read_rows) == [{"name": "Ann"}, {"name": "Bob"}]
    read_rows = rows("7;2026-01-01T00:00:00Z\n", kind="interactions", name="Seen", header=False,
                     identities={"card": "column_1"}, occurred_at="column_2")  # fmt: skip
    assert good(read_rows)[0].arrival.identities == (("card", "7"),)


def test_escapes_and_separator_lines() -> None:
    found, read_rows = look('sep=;\nuser_id;note\n1;"say \\"hi\\" now"\n', kind="contacts")
    assert (found.escape, attributes(read_rows)) == ("\\", [{"note": 'say "hi" now'}])
    assert read_rows[0].line == 3


def test_newlines_within_quotes_and_lines_are_told_apart() -> None:
    text = 'user_id,note\n1,"a\nb"\n\n2,"c\r\nd\n"\n3,e\n4\n'
    for size in (1, 2, 100):
        read_rows = rows(text, size=size, kind="contacts")
        assert [row.line for row in read_rows] == [2, 5, 8, 9]
        assert codes(read_rows) == [(9, "too_few_columns", "")]
        assert read_rows[1].arrival.what.attributes == {"note": "c\r\nd\n"}


def test_a_quote_that_is_never_closed_swallows_nothing() -> None:
    text = "user_id,note\n" + "1,a\n" * 10 + '2,"never closed\n' + "".join(f"{n},b\n" for n in range(3, 5_000))
    for size in (10, 2_000):
        read_rows = rows(text, size=size, kind="contacts")
        assert codes(read_rows) == [(12, "unclosed_quote", "")]
        assert users(read_rows) == ["1"] * 10 + [str(n) for n in range(3, 5_000)]
        assert next(row for row in read_rows if row.problem).raw == '2,"never closed'
    ends = text + '9,"c"\n9,"d"\n'
    assert codes(rows(ends, kind="contacts")) == [(12, "unclosed_quote", "")]
    assert codes(rows('user_id,note\n1,"open', kind="contacts")) == [(2, "unclosed_quote", "")]


def test_other_broken_rows() -> None:
    text = (
        'user_id,note\n1,"a" b\n2,a,b\n3\n4,' + "x" * 200_000 + "\n5," + "y" * 4_000_000 + "\n6,nul\0\n7,a\rb\n8,fine\n"
    )
    found = rows(text, kind="contacts")
    assert [(line, code) for line, code, _ in codes(found)] == [
        (2, "invalid_row"), (3, "too_many_columns"), (4, "too_few_columns"), (5, "cell_too_long"), (6, "line_too_long"),
        (7, "nul_character"), (8, "invalid_row"),
    ]  # fmt: skip
    assert users(found) == ["8"]


def test_wrong_values_are_told_with_their_column() -> None:
    text = (
        "user_id,id,when,n,b\n"
        ",a,2026-01-01T00:00:00Z,1,true\n"
        f"{'x' * 600},b,2026-01-01T00:00:00Z,1,true\n"
        "3,c,yesterday,1,true\n"
        "4,d,2026-01-01T00:00:00,1,true\n"
        "5,e,1969-01-01T00:00:00Z,1,true\n"
        "6,f,2026-01-01T00:00:00Z,one,true\n"
        "7,g,2026-01-01T00:00:00Z,99999999999999999999,true\n"
        "8,h,2026-01-01T00:00:00Z,1e999,true\n"
        "9,i,2026-01-01T00:00:00Z,1,perhaps\n"
        f"10,{'i' * 600},2026-01-01T00:00:00Z,1,true\n"
        "11,k,2026-01-01T00:00:00Z,-9223372036854775808,FALSE\n"
    )
    found = rows(text, kind="interactions", name="Seen", occurred_at="when", types={"n": "number", "b": "boolean"})
    assert codes(found) == [
        (2, "no_identity", "/user_id"), (3, "invalid_item", "/user_id"), (4, "wrong_type", "/when"),
        (5, "naive_time", "/when"), (6, "absurd_time", "/when"), (7, "wrong_type", "/n"), (8, "too_large", "/n"),
        (9, "not_finite", "/n"), (10, "wrong_type", "/b"), (11, "invalid_item", "/id"),
    ]  # fmt: skip
    assert found[-1].arrival.what.attributes == {"n": -(2**63), "b": False}


def test_types_are_inferred_by_column_and_then_required() -> None:
    text = "user_id,n,zip,card,yes,day,mixed,none\n" + "1,1.5,01234,1234567890123456,yes,1980-12-31,1,\n" * 3
    text += "1,,75001,1,no,1981-01-01,a,\n" + "1,2,3,4,no,1981-01-01,a,\n"
    found, read_rows = look(text, kind="contacts")
    types = {column.name: column.type for column in found.columns}
    assert types == {
        "user_id": "string", "n": "number", "zip": "string", "card": "string", "yes": "boolean", "day": "datetime",
        "mixed": "string", "none": "string",
    }  # fmt: skip
    assert attributes(read_rows)[3] == {
        "zip": "75001", "card": "1", "yes": False, "day": datetime(1981, 1, 1, tzinfo=UTC), "mixed": "a",
    }  # fmt: skip
    far = "user_id,n\n" + "1,2\n" * 400_000 + "2,many\n"
    assert codes(rows(far, kind="contacts")) == [(400_002, "wrong_type", "/n")]


def test_definitions_give_types() -> None:
    number, text = AttributeDefinition(type="number"), AttributeDefinition(type="string")
    known = Known(interactions={"order": {"code": text, "total": number}, "visit": {"code": number}})
    data = "name,user_id,code,total\nOrder,1,12,5\nVISIT,1,12,\n"
    assert attributes(rows(data, known=known, kind="interactions")) == [{"code": "12", "total": 5}, {"code": 12}]
    alone = "user_id,code\n1,12\n"
    found, read_rows = look(alone, known=known, kind="interactions", name="Order")
    assert attributes(read_rows) == [{"code": "12"}]
    assert found.columns[1].decided == "definition"
    overruled = rows(alone, known=known, kind="interactions", name="Order", types={"code": "number"})
    assert attributes(overruled) == [{"code": 12}]


def test_contacts_have_addresses_consent_and_evidence() -> None:
    text = (
        "user_id,email,consent.email,consent.email.news\n"
        "1,Ann@Example.com,opted_in,no\n2,nobody,,\n3,,opted_out,\n4,x@example.com,maybe,\n"
    )
    found = rows(text, kind="contacts", evidence={"by": "Léa", "how": "paper"})
    one, two, three = (row.arrival.what for row in found[:3])
    assert one.addresses == {"email": "Ann@example.com"}
    assert one.consent == {"email": {"": "opted_in", "news": "opted_out"}}
    assert one.evidence == {"by": "Léa", "how": "paper"}
    assert (two.addresses, two.consent, two.evidence) == ({"email": None}, {}, {})
    assert (three.addresses, three.attributes) == ({}, {})
    assert codes(found) == [(5, "wrong_type", "/consent.email")]
    cleared = rows("user_id,a,email\n1,,\n", kind="contacts", clear_empty=True)[0].arrival.what
    assert (cleared.attributes, cleared.addresses) == ({"a": None, "email": None}, {"email": None})


def test_an_address_says_whose_a_row_is_only_where_nothing_stronger_does() -> None:
    (row,) = good(rows("email,name\nAnn@Example.com,Ann\n", kind="contacts"))
    assert row.arrival.identities == (("email", "ann@example.com"),)
    assert row.arrival.what.attributes == {"email": "Ann@Example.com", "name": "Ann"}
    assert row.arrival.what.addresses == {"email": "Ann@example.com"}


def test_lists() -> None:
    text = "user_id,list,action\n1,vip,add\n2,vip,remove\n3,,add\n4,vip,maybe\n"
    found = rows(text, kind="lists")
    assert [row.arrival.what.lists for row in found[:2]] == [{"vip": True}, {"vip": False}]
    assert codes(found) == [(4, "missing_list", "/list"), (5, "wrong_type", "/action")]
    (row,) = good(
        rows("card\n7\n", kind="lists", list="vip", action="remove", identities={"card": "card"}, backfill=True)
    )
    assert (row.arrival.what.lists, row.arrival.backfill) == ({"vip": False}, True)


def test_items() -> None:
    text = 'sku,name,price,tags,more\na-1,Bag,9.5,"x, y","{""a"": 1}"\n,Hat,1,,\nb,Cap,1,,{\n'
    found = rows(text, kind="items", catalogue="products", id="sku", types={"tags": "strings", "more": "object"})
    assert (found[0].arrival, found[0].item.catalogue, found[0].item.id) == (None, "products", "a-1")
    assert found[0].item.attributes == {"name": "Bag", "price": 9.5, "tags": ["x", "y"], "more": {"a": 1}}
    assert codes(found) == [(3, "missing_id", "/sku"), (4, "wrong_type", "/more")]


def test_columns_are_listed_renamed_typed_and_ignored() -> None:
    text = "who,A,B,C,secret\n1,2,x|y,2026,s\n"
    listed = rows(text, kind="contacts", identities={"user_id": "who"},
                  attributes={"first": "A", "tags": {"column": "B", "type": "strings", "separator": "|"}})  # fmt: skip
    assert attributes(listed) == [{"first": 2, "tags": ["x", "y"]}]
    renamed = rows(text, kind="contacts", identities={"user_id": "who"}, rename={"A": "first"}, ignore=["secret"])
    assert attributes(renamed) == [{"first": 2, "B": "x|y", "C": 2026}]


@pytest.mark.parametrize(
    "text, given, code",
    [
        ("", {"kind": "contacts"}, "empty_file"),
        ("\n \n", {"kind": "contacts"}, "empty_file"),
        ("a,b\n1,2\n", {"kind": "contacts"}, "no_identity"),
        ("user_id,user_id\n1,2\n", {"kind": "contacts"}, "double_column"),
        ("user_id,a\n1,2\n", {"kind": "interactions"}, "unknown_column"),
        ("user_id,a\n1,2\n", {"kind": "contacts", "occurred_at": "at"}, "unknown_column"),
        ("user_id,a\n1,2\n", {"kind": "contacts", "types": {"b": "number"}}, "unknown_column"),
        ("user_id,a\n1,2\n", {"kind": "items", "catalogue": "x"}, "unknown_column"),
        ("user_id,a\n1,2\n", {"kind": "contacts", "format": "parquet"}, "unreadable_file"),
    ],
)
def test_a_file_that_is_of_no_use_is_refused_as_a_whole(text: str, given: dict[str, object], code: str) -> None:
    with pytest.raises(FileError) as raised:
        rows(text, **given)
    assert (raised.value.problem.code, raised.value.problem.file) == (code, "x.csv")


# --- ids --------------------------------------------------------------------------------------------------------------

EVENTS = {"kind": "interactions", "name": "Seen"}


def test_ids_are_stable_when_read_again_and_when_rows_are_appended() -> None:
    text = "user_id,what\n1,a\n1,a\n2,b\n1,a\n"
    first = ids(rows(text, **EVENTS))
    assert len(set(first)) == 4
    assert first[1] == f"{first[0]}-1"
    assert ids(rows(text, size=1, **EVENTS)) == first
    assert ids(rows(text + "1,a\n3,c\n", **EVENTS))[:4] == first
    assert ids(rows(text.replace(",", ";").replace("a", '"a"').replace('wh"a"t', "what"), **EVENTS)) == first
    assert set(ids(rows(text, source="other", **EVENTS))).isdisjoint(first)
    assert set(ids(rows(text, kind="interactions", name="Left"))).isdisjoint(first)


def test_a_row_without_an_id_in_the_column_of_ids_gets_a_derived_one() -> None:
    found = ids(rows("user_id,id\n1,a\n1,\n1,\n", **EVENTS))
    assert found[0] == "a"
    assert found[2] == f"{found[1]}-1"


# --- going on ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("head", ["user_id,note", "user_id,note,id"])
def test_reading_goes_on_from_a_checkpoint(encoding: str, head: str, *, packed: bool) -> None:
    lines = [f'{n % 7},"é\n{n % 3}"' if n % 5 == 0 else f"{n % 7},x" for n in range(300)]
    if head.endswith("id"):
        lines = [f"{line},i{n}" for n, line in enumerate(lines)]
    lines[50] = "1,2,3,4"
    data = ("\n".join([head, *lines]) + "\n").encode(encoding)
    data = gzip.compress(data) if packed else data
    reading = read(io.BytesIO(data), spec(kind="contacts"), name="x.csv", rows=20)
    parts = list(reading)
    everything = [row for part in parts for row in part.rows]
    assert len(everything) == 300
    for index, part in enumerate(parts[:-1]):
        behind = [row for later in parts[index + 1 :] for row in later.rows]
        assert part.checkpoint.row == 300 - len(behind)
        assert [row for again in reading.slices(part.checkpoint) for row in again.rows] == behind
    for start in (0, 1, 50, 51, 299, 300, 400):
        assert [row for part in reading.slices(start) for row in part.rows] == everything[start:]
    assert reading.checkpoint.row == 300


def test_a_stream_that_cannot_be_sought_in_is_read_once() -> None:
    class Pipe(io.RawIOBase):
        def __init__(self, data: bytes) -> None:
            self.data = io.BytesIO(data)

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:
            return self.data.readinto(buffer)

    for data in (PEOPLE.encode(), gzip.compress(PEOPLE.encode())):
        reading = read(Pipe(data), spec(kind="contacts"), name="x.csv")
        assert users([row for part in reading for row in part.rows]) == ["1", "2"]
        with pytest.raises(FileError):
            list(reading)


def test_packed_files_and_one_that_breaks_off(tmp_path: Path) -> None:
    text = "user_id,n\n" + "".join(f"{n},{n * n}\n" for n in range(20_000))
    path = tmp_path / "people.csv.gz"
    packed = gzip.compress(text.encode())
    path.write_bytes(packed)
    with read(path, spec(kind="contacts")) as reading:
        assert reading.found.compressed
        assert len(good([row for part in reading for row in part.rows])) == 20_000
        assert 0 < reading.place <= reading.size
    path.write_bytes(packed[: len(packed) // 2])
    with read(path, spec(kind="contacts")) as reading:
        found = [row for part in reading for row in part.rows]
    assert found[-1].problem.code == "broken_file"
    assert len(users(found)) > 5_000
    with pytest.raises(FileError):
        read(tmp_path / "none.csv", spec(kind="contacts"))


def test_a_checkpoint_before_the_first_row_is_the_beginning() -> None:
    reading = read(io.BytesIO(PEOPLE.encode()), spec(kind="contacts"), name="x.csv")
    assert len([row for part in reading.slices(Checkpoint()) for row in part.rows]) == 2
