"""Rules tried on a real year of a grocer, against what SQL makes of the same files."""

from __future__ import annotations

import copy
from collections import defaultdict
from datetime import datetime
from typing import Any

import duckdb
import msgspec
import pytest

from parcours.core.inputs import Input, Interaction
from parcours.demo.dataset import Dataset, find_data
from parcours.runtimes.backtest.backtest import Backtest
from parcours.runtimes.backtest.job import Job
from parcours.runtimes.backtest.person import run
from parcours.runtimes.backtest.report import report_of

HOUSEHOLDS = 60
END = 10**13

CHOSEN = (
    f"household_id IN (SELECT DISTINCT household_id FROM 'DATA/transactions.parquet' ORDER BY 1 LIMIT {HOUSEHOLDS})"
)


@pytest.fixture(scope="module")
def histories() -> dict[str, list[Input]]:
    found: dict[str, list[Input]] = defaultdict(list)
    with Dataset(HOUSEHOLDS) as dataset:
        for number, text in enumerate(dataset.messages(), 1):
            message = msgspec.json.decode(text)
            if message["type"] != "track":
                continue
            at = int(datetime.fromisoformat(message["timestamp"]).timestamp() * 1000)
            found[message["userId"]].append(
                Interaction(
                    position=number,
                    received_at=at + 10**12,
                    occurred_at=at,
                    name=message["event"].casefold(),
                    attributes=message["properties"],
                    source="demo",
                    message_id=message["messageId"],
                    backfill=True,
                )
            )
    return found


def tried(histories: dict[str, list[Input]], **rule: Any) -> tuple[int, int]:
    """How many points a rule would have given, and to how many households."""
    programme = {"kind": "programme", "name": "club"}
    written = {"kind": "rule", "name": "r", "programme": "club", "on": ["Order Completed"], **rule}
    job = Job(definitions=[programme, written], start=0, end=END, everybody=True)
    made = Backtest(job, [])
    people = enumerate(copy.deepcopy(list(histories.values())))
    counts = run(made, ((f"{number:016x}", history) for number, history in people))
    (report,) = report_of(made, counts).rules
    return report.given, report.members


def counted(query: str) -> tuple[int, int]:
    with duckdb.connect() as connection:
        row = connection.execute(query.replace("CHOSEN", CHOSEN).replace("DATA", str(find_data()))).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


BASKETS = (
    "SELECT household_id, basket_id, round(sum(sales_value), 2) AS total"
    " FROM 'DATA/transactions.parquet' WHERE CHOSEN GROUP BY ALL"
)


def test_two_points_for_each_dollar(histories: dict[str, list[Input]]):
    found = tried(histories, points={"points": 2, "of": "total"})
    query = f"SELECT sum(floor(round(total * 2, 6))), count(DISTINCT household_id) FROM ({BASKETS}) WHERE total >= 0.5"
    assert found == counted(query)


def test_ten_points_for_every_fifth_basket(histories: dict[str, list[Input]]):
    found = tried(histories, points=10, every=5)
    households = f"SELECT household_id, count(*) // 5 AS times FROM ({BASKETS}) GROUP BY 1 HAVING times > 0"
    assert found == counted(f"SELECT sum(times) * 10, count(*) FROM ({households})")


def test_a_limit_a_month(histories: dict[str, list[Input]]):
    found = tried(histories, points=10, limits=[{"per": "month", "times": 3}])
    months = (
        "SELECT household_id, date_trunc('month', transaction_timestamp) AS month, count(DISTINCT basket_id) AS baskets"
        " FROM 'DATA/transactions.parquet' WHERE CHOSEN GROUP BY ALL"
    )
    assert found == counted(f"SELECT sum(least(baskets, 3)) * 10, count(DISTINCT household_id) FROM ({months})")
