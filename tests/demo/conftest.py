"""A small dataset in the form of the real one, made of the cases in which counts go wrong."""

from __future__ import annotations

import duckdb
import pytest

# Household, day and second of the order, total in cents of its lines. The year begins with day 0.
ORDERS = [
    # 1: in time by a second, late by none, late by one; then back in time by a second, and not.
    (1, 0, 0, [500]),
    (1, 27, 86_399, [500]),
    (1, 55, 86_399, [500]),
    (1, 84, 0, [500]),
    (1, 139, 86_399, [500]),
    (1, 195, 86_399, [500]),
    # 2: two orders at the same instant, then exactly 14 days after the first.
    (2, 3, 77, [1_000]),
    (2, 3, 77, [2_000]),
    (2, 17, 77, [100]),
    # 4: the second order a second before the 14 days are over; sums that binary fractions get wrong.
    (4, 3, 78, [3_333, 3_333, 3_334]),
    (4, 17, 77, [10, 20, 9_969]),
    (4, 190, 0, [0]),
    # 3, 6, 11, 24, 36: opted out, never asked, an invalid address, no address, never asked and an invalid address.
    (3, 5, 0, [10_000]),
    (6, 5, 0, [10_000]),
    (11, 5, 0, [10_000]),
    (24, 5, 0, [10_000]),
    (36, 5, 0, [10_000]),
    # The newest input is the last of household 1. Timers that are due then: of 7 (14 days) and 10 (28 days); and timers
    # that would be due a second later: of 8 and 12.
    (7, 181, 86_399, [700]),
    (8, 182, 0, [700]),
    (10, 167, 86_399, [700]),
    (12, 168, 0, [700]),
    # 9: nothing but its campaigns is close to a limit.
    (9, 100, 43_200, [700]),
]
CAMPAIGNS = [(1, "Type A", -40), (2, "Type B", 20), (3, "Type B", 20), (4, "Type C", 186)]
RECEIVED = [(9, 1), (9, 2), (9, 3), (9, 4), (7, 2), (2, 1), (3, 1), (6, 2), (11, 3), (24, 1), (36, 3)]
# Household, campaign, day: on the first day, on the last before the reminder, on the day of it, of a campaign twice.
REDEEMED = [(9, 1, -40), (9, 2, 33), (9, 3, 34), (7, 2, 25), (7, 2, 26), (9, 2, 190)]
KNOWN = [(1, "2"), (2, "None/Unknown"), (9, "3+"), (11, "1"), (3, "1"), (24, "0")]


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """The folder of the small dataset."""
    folder = tmp_path_factory.mktemp("small")
    with duckdb.connect() as connection:

        def write(name, columns, rows, select="*"):
            marks = ", ".join(["(" + ", ".join("?" for _ in rows[0]) + ")"] * len(rows))
            values = [value for row in rows for value in row]
            connection.execute(
                f"COPY (SELECT {select} FROM (VALUES {marks}) AS rows({columns})) TO '{folder / name}.parquet'", values
            )

        day = "TIMESTAMP '2017-01-01' + to_days({0}::INTEGER)"
        lines = [
            (household, 1_000 + basket, 500 + line, number, second, cents / 100)
            for basket, (household, number, second, total) in enumerate(ORDERS)
            for line, cents in enumerate(total)
        ]
        write(
            "transactions",
            "household_id, basket_id, product_id, day, second, sales_value",
            lines,
            "household_id::BIGINT AS household_id, basket_id::BIGINT AS basket_id, product_id::BIGINT AS product_id, "
            "7::BIGINT AS store_id, 1::BIGINT AS quantity, sales_value::DOUBLE AS sales_value, "
            f"{day.format('day')} + to_seconds(second::INTEGER) AS transaction_timestamp",
        )
        write(
            "campaign_descriptions",
            "campaign_id, campaign_type, day",
            CAMPAIGNS,
            f"campaign_id::BIGINT AS campaign_id, campaign_type, {day.format('day')} AS start_date, "
            f"{day.format('day + 30')} AS end_date",
        )
        write("campaigns", "household_id, campaign_id", RECEIVED)
        write(
            "coupon_redemptions",
            "household_id, campaign_id, day, coupon_upc",
            [(*row, 10_000 + index) for index, row in enumerate(REDEEMED)],
            f"household_id, campaign_id, coupon_upc::BIGINT AS coupon_upc, {day.format('day')} AS redemption_date",
        )
        write(
            "demographics",
            "household_id, kids_count",
            KNOWN,
            "household_id, kids_count, NULL::VARCHAR AS age, '50-74K' AS income, NULL::VARCHAR AS home_ownership, "
            "NULL::VARCHAR AS marital_status, '2' AS household_size, NULL::VARCHAR AS household_comp",
        )
        write("products", "product_id, department, product_category", [(500, "GROCERY", "MILK"), (501, "MEAT", None)])
    return folder
