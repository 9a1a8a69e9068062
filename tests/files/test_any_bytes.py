"""Whatever a file holds, only our errors are raised, and every good row next to a bad one is read."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from parcours.errors import InvalidDefinitionError
from parcours.sources.addresses import normalize_email
from parcours.sources.files import FileError, RejectWriter, read, spec_from_data
from parcours.sources.files.build import email_address
from tests.files.helper import codes, ids, rows, users
from tests.profiles import examples

KINDS = st.sampled_from([
    {"kind": "contacts"},
    {"kind": "interactions", "name": "Seen"},
    {"kind": "lists", "list": "vip"},
    {"kind": "items", "catalogue": "c"},
])  # fmt: skip
HEADS = st.sampled_from([
    b"user_id,id,occurred_at,email\n", b"id;user_id;n\r\n", b'{"contact": {"user_id": "1"}}\n', b'{"user_id": 1}\n', b"",
    b"\xef\xbb\xbfuser_id,a\n", b"\xff\xfeu\0s\0e\0r\0_\0i\0d\0\n\0", b"\x1f\x8b", b"PAR1", b"user_id\tconsent.email\n",
])  # fmt: skip
BITS = st.lists(
    st.one_of(
        st.binary(max_size=12),
        st.sampled_from([
            b'"', b",", b";", b"\n", b"\r\n", b"\r", b"\0", b'""', b'",', b',"', b"\xe9", b"\xc3\xa9", b"2026-01-01T00:00:00Z",
            b"1", b"true", b"1e999", b"a@b.co", b"{", b"}", b'{"user_id": "1"}', b"'", b"\\", b"\xed\xa0\x80",
        ]),
    ),
    max_size=60,
).map(b"".join)  # fmt: skip


@examples(300)
@given(KINDS, HEADS, BITS, st.sampled_from(["x", "x.csv", "x.jsonl", "x.parquet", "x.csv.gz"]), st.integers(1, 30),
       st.sampled_from(["", "utf-8", "cp1252", "utf-16", "shift_jis", "utf-7"]))  # fmt: skip
def test_any_bytes(
    tmp_path_factory, kind: dict[str, str], head: bytes, rest: bytes, file: str, size: int, encoding: str
) -> None:
    spec = spec_from_data({**kind, "encoding": encoding})
    try:
        reading = read(io.BytesIO(head + rest), spec, name=file, rows=size)
    except FileError:
        return
    path = tmp_path_factory.getbasetemp() / "rejected"
    parts = list(reading)
    everything = [row for part in parts for row in part.rows]
    with RejectWriter(path, reading) as rejects:
        for row in everything:
            assert (row.arrival is None and row.item is None) == (row.problem is not None)
            if row.problem is not None:
                assert row.problem.line == row.line >= 1
                rejects.write(row)
    assert [row.line for row in everything] == sorted(row.line for row in everything)
    if everything and everything[-1].problem is not None and everything[-1].problem.code == "broken_file":
        return
    for part in parts[:3]:
        again = [row for later in reading.slices(part.checkpoint) for row in later.rows]
        assert again == everything[part.checkpoint.row :]
    if rejects.count:
        try:
            with read(path, spec, name=f"x.{'csv' if reading.found.format == 'csv' else 'jsonl'}") as mended:
                left = [row for part in mended for row in part.rows]
        except FileError:
            return
        assert len(left) >= 1


BAD = ['9,"open', '9,"a" b,c', "9", "9,1,2,3,4", "9,nul\0,1", "9,many,x", '9,"a"b,1', ",x,1", '"', '9,"a', "9,\udce9,1"]


@examples(150)
@given(st.lists(st.one_of(st.integers(0, 8), st.sampled_from(BAD)), min_size=1, max_size=80), st.integers(1, 40))
def test_every_good_row_next_to_a_bad_one_is_read(content: list[int | str], size: int) -> None:
    # No quote in a good row: a quote that is left open ends with the next one, wherever that is.
    lines = [f"{item},note,{item}" if isinstance(item, int) else item for item in content]
    data = ("user_id,note,n\n" + "\n".join(lines) + "\n").encode("utf-8", "surrogateescape")
    found = rows(data, size=size, kind="contacts", types={"n": "number"}, encoding="utf-8", delimiter=",", quote='"',
                 escape="", header=True)  # fmt: skip
    opened = [line for line in lines if line in {'9,"open', '9,"a', '"'}]
    if len(opened) <= 1:
        assert users(found) == [str(item) for item in content if isinstance(item, int)]
        assert len(codes(found)) == sum(isinstance(item, str) for item in content)
    told = {row.line for row in found}
    assert told <= set(range(2, len(lines) + 2))


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@examples(150)
@given(st.lists(st.tuples(st.integers(0, 3), CELL, CELL), min_size=1, max_size=40), st.sampled_from(",;\t|"),
       st.integers(1, 20), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))  # fmt: skip
def test_what_a_writer_of_csv_writes_is_read(
    content: list[tuple[int, str, str]], delimiter: str, size: int, encoding: str
) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow(["user_id", "a", "b"])
    writer.writerows(content)
    given_ = {
        "kind": "contacts",
        "types": {"a": "string", "b": "string"},
        "delimiter": delimiter,
        "escape": "",
        "quote": '"',
    }
    found = rows(out.getvalue().encode(encoding), size=size, **given_)
    assert not codes(found)
    wanted = [{name: cell for name, cell in (("a", a), ("b", b)) if cell} for _, a, b in content]
    assert [row.arrival.what.attributes for row in found] == wanted
    assert users(found) == [str(user) for user, _, _ in content]
    assert len(set(ids(found))) == len(content)


@examples(200)
@given(st.one_of(
    st.emails(), st.text(max_size=20),
    st.builds("{}@{}".format, st.from_regex(r"[A-Za-z0-9_+.-]{1,70}", fullmatch=True), st.sampled_from(
        ["example.com", "EXAMPLE.com", "a.test", "localhost", "bücher.example", "x_y.com", "a..com", "-a.com", "b.co"]
    )),
))  # fmt: skip
def test_an_address_is_what_the_other_doors_make_of_it(text: str) -> None:
    assert email_address(text) == normalize_email(text)


@examples(100)
@given(st.dictionaries(
    st.sampled_from(list(spec_from_data({"kind": "contacts"}).__struct_fields__)),
    st.one_of(st.none(), st.booleans(), st.text(max_size=4), st.lists(st.text(max_size=4), max_size=2),
              st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2)),
    max_size=5,
))  # fmt: skip
def test_any_description_is_read_or_refused(data: dict[str, object]) -> None:
    try:
        spec = spec_from_data({"kind": "contacts", **data})
    except InvalidDefinitionError:
        return
    try:
        rows_of = list(read(io.BytesIO(b"user_id,a\n1,2\n"), spec, name="x.csv"))
    except FileError:
        return
    assert rows_of or spec.header
