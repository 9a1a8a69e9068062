"""Reading files: the purchases of *The Complete Journey*, 1,469,307 lines with eleven columns, as CSV, Parquet and JSON.

What is measured is all that reading does: cells, types, checks, ids derived from the rows, and arrivals. Nothing is kept.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from parcours.demo.dataset import connect, find_data
from parcours.sources.files import read, spec_from_options

COLUMNS = {
    "eight": "household_id, store_id, basket_id, product_id, quantity, sales_value, week, transaction_timestamp",
    "eleven": "*",
}
DEFINED = ["kind=interactions", "name=Line Bought", "identities.household=household_id", "occurred_at=moment"]


def write(path: Path, columns: str, rows: int, options: str) -> None:
    """Write purchases as a file."""
    with connect() as connection:
        source = str(find_data() / "transactions.parquet").replace("'", "''")
        connection.execute(f"""
            COPY (
                SELECT * EXCLUDE transaction_timestamp,
                    strftime(transaction_timestamp, '%Y-%m-%dT%H:%M:%SZ') AS moment
                FROM (SELECT {columns} FROM '{source}' LIMIT {rows})
            ) TO '{path}' ({options})
        """)  # noqa: S608 (our own names)


def measure(label: str, path: Path, *options: str) -> None:
    """Read a file once and print how fast that was."""
    spec = spec_from_options([*DEFINED, *options])
    start = time.perf_counter()
    count = bad = 0
    with read(path, spec) as reading:
        for part in reading:
            count += len(part.rows)
            bad += sum(row.problem is not None for row in part.rows)
    seconds = time.perf_counter() - start
    assert bad == 0, f"{bad} rows were refused"
    print(f"  {label:<42} {count:>9,} rows in {seconds:5.1f} s: {count / seconds:>9,.0f} rows/s")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000, help="how many purchases at most")
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        print("files: cells, types, checks, ids and arrivals, on one core")
        for label, columns in COLUMNS.items():
            write(folder / f"{label}.csv", columns, rows, "FORMAT csv")
        measure("CSV, 8 columns, ids derived", folder / "eight.csv")
        measure("CSV, 8 columns, ids in a column", folder / "eight.csv", "id=basket_id")
        measure("CSV, 11 columns, ids derived", folder / "eleven.csv")
        write(folder / "eight.csv.gz", COLUMNS["eight"], rows, "FORMAT csv, COMPRESSION gzip")
        measure("CSV, packed, 8 columns, ids derived", folder / "eight.csv.gz")
        write(folder / "eight.parquet", COLUMNS["eight"], rows, "FORMAT parquet")
        measure("Parquet, 8 columns, ids derived", folder / "eight.parquet")
        write(folder / "eight.jsonl", COLUMNS["eight"], rows, "FORMAT json")
        measure("JSON Lines, 8 keys, ids derived", folder / "eight.jsonl")


if __name__ == "__main__":
    main()
