"""The page about files says what the code does."""

from __future__ import annotations

import io
import re
from pathlib import Path

from parcours.sources.files import read, spec_from_data, spec_from_text
from tests.files.helper import good, look

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    return re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[1]


def test_the_example_is_read() -> None:
    spec = spec_from_text("import.yaml", block("yml"))
    reading = read(io.BytesIO(block("text").encode()), spec, name="x.csv")
    read_rows = [row for part in reading for row in part.rows]
    arrival = good(read_rows)[0].arrival
    assert (arrival.source, arrival.backfill, arrival.what.name) == ("tills", True, "Store Purchase")
    assert arrival.identities == (("card", "7700-0042"), ("email", "ann@example.com"))
    assert arrival.what.attributes == {"total": 1059.9, "products": ["bag", "hat"], "postcode": "01000"}
    assert arrival.occurred_at == 1_769_879_100_000


def test_every_field_of_an_import_has_a_row() -> None:
    table = PAGE[PAGE.index("| field | what |") : PAGE.index("## Types")]
    named = set(re.findall(r"`([a-z_]+)`", " ".join(line.split("|")[1] for line in table.strip().splitlines()[2:])))
    assert named == set(spec_from_data({"kind": "contacts"}).__struct_fields__)


def test_every_code_of_a_row_stands_on_the_page() -> None:
    folder = ROOT / "src" / "parcours" / "sources" / "files"
    code = re.compile(r'(?:CellError\(|code=)\s*"([a-z_0-9]+)"')
    raised = {found for file in folder.glob("*.py") for found in code.findall(file.read_text(encoding="utf-8"))}
    of_files = {"unreadable_file", "unreadable_header", "empty_file", "double_column", "invalid_import"}
    known = set(re.findall(r"`([a-z_]+)`", PAGE)) | {"unstorable_value"}
    assert raised - of_files - known == set()


def test_flat_and_shaped_lines() -> None:
    found, read_rows = look(block("json"), "x.jsonl", kind="interactions")
    assert (found.shape, good(read_rows)[0].arrival.message_id) == ("objects", "o-1")
