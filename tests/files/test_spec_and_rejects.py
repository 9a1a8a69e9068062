"""Descriptions of imports, and rejected rows that are mended and read again."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from parcours.definitions.interaction import AttributeDefinition, InteractionDefinition
from parcours.definitions.settings import ContactSettings, WorkspaceDefinition
from parcours.definitions.workspace import Workspace
from parcours.errors import InvalidDefinitionError, Problem
from parcours.sources.files import Known, RejectWriter, read, spec_from_data, spec_from_options, spec_from_text
from tests.files.helper import attributes, codes, good, rows, users


def test_an_import_is_read_from_yaml_json_and_options() -> None:
    text = (
        "kind: interactions\nname: Seen\nidentities: {card: Card}\nattributes: {a: A, b: {column: B, type: number}}\n"
    )
    read_spec = spec_from_text("import.yaml", text, ["types.a=string", "dates=dd/mm/yyyy", "dates=iso", "header=no"])
    assert read_spec.dates == ["dd/mm/yyyy", "iso"]
    assert (read_spec.header, read_spec.types, read_spec.identities) == (False, {"a": "string"}, {"card": "Card"})
    options = ["kind=contacts", "identities.user_id=customer", "consent.email.news=letter", "clear_empty=yes"]
    assert spec_from_options(options) == spec_from_data({
        "kind": "contacts", "identities": {"user_id": "customer"}, "clear_empty": True,
        "consent": [{"column": "letter", "channel": "email", "topic": "news"}],
    })  # fmt: skip


@pytest.mark.parametrize(
    "data, pointers",
    [
        ({}, [""]),
        ({"kind": "contact"}, ["/kind"]),
        ({"kind": "contacts", "delimeter": ";"}, ["/delimeter"]),
        ({"kind": "contacts", "delimiter": ";;", "quote": "\n", "zone": "Paris"}, ["/delimiter", "/quote", "/zone"]),
        ({"kind": "contacts", "encoding": "utf-9", "dates": ["iso", "soon"]}, ["/encoding", "/dates/1"]),
        ({"kind": "contacts", "encoding": "base64"}, ["/encoding"]),
        ({"kind": "contacts", "identities": {"User": "a"}}, ["/identities/User"]),
        ({"kind": "contacts", "consent": [{"column": "a", "channel": "fax"}]}, ["/consent/0/channel"]),
        ({"kind": "contacts", "name": "Seen"}, ["/name"]),
        ({"kind": "items"}, ["/catalogue"]),
        ({"kind": "interactions", "name": "a", "name_column": "b"}, ["/name_column"]),
        ({"kind": "contacts", "names": ["a", "a"]}, ["/names"]),
        ({"kind": "contacts", "zone": "../etc/passwd"}, ["/zone"]),
    ],
)
def test_everything_that_is_wrong_with_an_import_is_told(data: dict[str, Any], pointers: list[str]) -> None:
    with pytest.raises(InvalidDefinitionError) as raised:
        spec_from_data(data)
    assert [problem.pointer for problem in raised.value.problems] == pointers


def test_problems_of_a_file_have_its_name_and_line() -> None:
    with pytest.raises(InvalidDefinitionError) as raised:
        spec_from_text("import.yaml", "kind: contacts\nzone: Paris\n")
    assert (raised.value.problems[0].file, raised.value.problems[0].line) == ("import.yaml", 2)
    for text in ("- 1\n", "a: [", "", "kind: contacts\n---\nkind: contacts\n"):
        with pytest.raises(InvalidDefinitionError):
            spec_from_text("import.yaml", text)


def test_what_a_workspace_declares() -> None:
    number = AttributeDefinition(type="number")
    workspace = Workspace(
        settings=WorkspaceDefinition(contacts=ContactSettings(attributes={"age": number}, namespaces={"card": "Card"})),
    ).with_definitions(InteractionDefinition(name="Order_Done", attributes={"total": number}))
    known = Known.of(workspace)
    assert known.interactions == {"order_done": {"total": number}}
    (row,) = good(rows("card,age\n7,030\n", kind="contacts", known=known))
    assert row.arrival.identities == (("card", "7"),)
    assert row.arrival.what.attributes == {"age": 30}


@pytest.mark.parametrize("options", [[], ["header=no", "names=user_id", "names=n", "names=note"], ["encoding=cp1252"]])
def test_rejected_rows_are_mended_and_read_again(tmp_path: Path, options: list[str]) -> None:
    text = 'user_id;n;note\n1;2;"a;b"\n2;two;"c ""d"""\n3;3\n4;4;"open\n5;5;é\n'
    if "header=no" in options:
        text = text.partition("\n")[2]
    given = spec_from_options(["kind=contacts", "types.n=number", "delimiter=;", *options])
    data = text.encode("cp1252" if "encoding=cp1252" in options else "utf-8")
    path = tmp_path / "rejected.csv"
    with read(io.BytesIO(data), given, name="x.csv") as reading, RejectWriter(path, reading) as rejects:
        found = [row for part in reading for row in part.rows]
        for row in found:
            if row.problem is not None:
                rejects.write(row)
        rejects.write(found[-1], Problem(code="strict", message="found out later"))
    assert rejects.count == 4
    assert users(found) == ["1", "5"]
    with read(path, given) as again:
        assert [code for _, code, _ in codes([row for part in again for row in part.rows])] == [
            "wrong_type", "not_mended", "not_mended",
        ]  # fmt: skip
    mended = path.read_text(encoding="utf-8-sig").replace("two", "22")
    path.write_text(mended, encoding="utf-8-sig")
    with read(path, given) as again:
        found = [row for part in again for row in part.rows]
    assert attributes([row for row in found if row.arrival is not None and row.arrival.identities[0][1] == "2"]) == [
        {"n": 22, "note": 'c "d"'}
    ]
    assert attributes([row for row in found if row.arrival is not None and row.arrival.identities[0][1] == "5"]) == [
        {"n": 5, "note": "é"}
    ]


def test_a_mended_row_has_the_id_of_the_same_row(tmp_path: Path) -> None:
    given = spec_from_data({"kind": "contacts"})
    path = tmp_path / "rejected.csv"
    with read(io.BytesIO(b"user_id,n\n1,2\n"), given, name="x.csv") as reading, RejectWriter(path, reading) as rejects:
        (row,) = [row for part in reading for row in part.rows]
        rejects.write(row, Problem(code="strict", message="refused by somebody else"))
    with read(path, given) as again:
        (same,) = [row for part in again for row in part.rows]
    assert same.arrival == row.arrival


def test_rejected_objects_are_mended_and_read_again(tmp_path: Path) -> None:
    given = spec_from_data({"kind": "interactions"})
    data = b'{"name": "Seen", "contact": {"user_id": "1"}}\n{"contact": {"user_id": "2"}}\n{nonsense\n'
    path = tmp_path / "rejected.jsonl"
    with read(io.BytesIO(data), given, name="x.jsonl") as reading, RejectWriter(path, reading) as rejects:
        for part in reading:
            for row in part.rows:
                if row.problem is not None:
                    rejects.write(row)
    kept = [json.loads(line) for line in path.read_text().splitlines()]
    assert [entry["rejected"]["line"] for entry in kept] == [2, 3]
    assert kept[1]["rejected"]["row"] == "{nonsense"
    path.write_text(json.dumps({**kept[0], "name": "Left"}) + "\n")
    with read(path, given) as again:
        (row,) = good([row for part in again for row in part.rows])
    assert row.arrival.what.name == "Left"


def test_a_writer_without_rejects_leaves_no_file(tmp_path: Path) -> None:
    given = spec_from_data({"kind": "contacts"})
    with read(io.BytesIO(b"user_id\n1\n"), given, name="x.csv") as reading:
        with RejectWriter(tmp_path / "none.csv", reading):
            pass
        assert not (tmp_path / "none.csv").exists()
