"""The ledger and the coupons, written to files for others to read."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from parcours.cli.dumps import write
from parcours.core.gate import Asked, Learned
from parcours.runtimes.dump import rows
from parcours.runtimes.loyalty.dump import COLUMNS
from parcours.runtimes.loyalty.statement import statement_of
from parcours.stores.memory import MemoryStore
from tests.cli.test_commands import parcours
from tests.core.world import World
from tests.imports.helper import engine_of, run

CLUB = {"kind": "programme", "name": "club", "transfer": {}, "holding": "1d"}
BUYS = {"kind": "rule", "name": "r", "programme": "club", "on": ["Bought"], "points": {"points": 1, "of": "total"}}
CUP = {"kind": "reward", "name": "cup", "gift": "a cup", "valid_for": "30d"}
SUFFIXES = [".jsonl", ".csv", ".parquet"]


def world() -> World:
    """Ann and Bob have points, some gone from one to the other; Cid became part of Bob, and Eve was erased."""
    made = World(CLUB, BUYS, CUP)
    for who in ("ann", "bob", "cid", "eve"):
        made.asks(who, "enrol")
        made.did(who, "Bought", total=10)
    made.after("2d")
    made.asks("ann", "transfer", points=4, to=("user_id", "bob"), reason='a, "gift"')
    made.asks("cid", "spend", points=1)
    made.send(made.arrival("ann", Asked(action="issue", reward="cup")))
    both = (("user_id", "bob"), ("user_id", "cid"))
    made.accept(msgspec.structs.replace(made.arrival("bob", Learned(same=True)), identities=both))
    made.run.engine.erase(made.id_of("eve"))
    return made


def read(file: Path) -> list[dict[str, Any]]:
    """The rows of a file, flat, with numbers as numbers."""
    if file.suffix == ".jsonl":
        found = [json.loads(line) for line in file.read_text().splitlines()]
        return [
            {name: value for name, value in row.items() if name != "contact"}
            | {f"contact.{space}": value for space, value in row["contact"].items()}
            for row in found
        ]
    if file.suffix == ".csv":
        with file.open(newline="") as lines:
            return [
                {
                    name: int(text) if name in {"amount", "held", "balance", "sequence"} else text
                    for name, text in row.items()
                }
                for row in csv.DictReader(lines)
            ]
    from pyarrow import parquet

    return list(parquet.read_table(file).to_pylist())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_entries_add_up_to_balances_and_to_the_statement(tmp_path: Path, suffix: str):
    made = world()
    file = tmp_path / f"ledger{suffix}"
    count = write(file, "ledger", rows(made.run.engine, "ledger"))
    found = read(file)
    assert count == len(found) > 8
    sums: Counter[str] = Counter()
    for row in found:
        sums[row["contact.user_id"]] += row["amount"]
    assert sums == {"ann": 6, "bob": 23}
    assert sums.total() == list(statement_of(made.store.ledger_days(), "club"))[-1].closing
    taken, had = (row for row in found if row["kind"] == "transferred")
    assert (taken["other"], had["other"]) == (had["contact_id"], taken["contact_id"])
    assert (taken["reference"], taken["reason"]) == (had["reference"], 'a, "gift"')
    assert not Path(f"{file}.import.yaml").exists()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_coupons_are_told_with_their_state_of_now(tmp_path: Path, suffix: str):
    made = world()
    file = tmp_path / f"coupons{suffix}"
    assert write(file, "coupons", rows(made.run.engine, "coupons")) == 1
    (row,) = read(file)
    assert (row["reward"], row["state"], row["gift"], row["contact.user_id"]) == ("cup", "issued", "a cup", "ann")
    made.after("30d")
    write(file, "coupons", rows(made.run.engine, "coupons"))
    assert read(file)[0]["state"] == "expired"


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", ["ledger", "coupons"])
def test_a_file_of_nothing_has_its_columns(tmp_path: Path, suffix: str, kind: str):
    file = tmp_path / f"nothing{suffix}"
    assert write(file, kind, rows(engine_of(MemoryStore(), CLUB), kind)) == 0
    assert read(file) == []
    if suffix == ".csv":
        assert file.read_text().strip().split(",") == [
            "contact.user_id" if name == "contact" else name for name in COLUMNS[kind]
        ]


def test_rows_have_these_columns_and_no_others():
    made = world()
    for kind, columns in COLUMNS.items():
        for row in rows(made.run.engine, kind):
            assert tuple(row) == columns


def test_what_an_import_reads_is_the_same_with_a_ledger_and_brings_no_points(tmp_path: Path):
    first, second = world().run.engine, engine_of(MemoryStore(), CLUB, BUYS, CUP)
    for kind in ("contacts", "interactions"):
        file = tmp_path / f"{kind}.jsonl"
        write(file, kind, rows(first, kind))
        done = run(second, file, f"kind={kind}", "backfill=true", learn=True)
        assert not done.tally.problems
    for kind in ("contacts", "interactions"):
        again = [json.dumps(row, sort_keys=True) for row in rows(second, kind)]
        assert sorted(again) == sorted(json.dumps(row, sort_keys=True) for row in rows(first, kind))
    assert list(rows(second, "ledger")) == []


def test_no_import_reads_a_ledger(tmp_path: Path):
    file = tmp_path / "ledger.jsonl"
    write(file, "ledger", rows(world().run.engine, "ledger"))
    done = parcours("import", str(file), "--kind", "ledger", "--data", str(tmp_path / "data"))
    assert done.code != 0
    assert "no import reads 'ledger'" in done.err
    assert "come of inputs" in done.err
