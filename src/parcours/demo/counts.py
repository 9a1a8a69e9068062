"""What the service must come to, counted by SQL on the raw data.

Nothing of `dataset` is used but the place of the files: addresses, consent, times and sums are written down a second
time here, and the journeys of `examples/complete-journey` a third, as window functions. So an agreement says something.

The rules that decide the counts, from `semantics.md`:

| rule                                                                           | so in SQL                    |
|--------------------------------------------------------------------------------|------------------------------|
| a timeout at an instant comes before an input at that instant                  | `next_order < due`           |
| time ends with the newest input; what is due at that instant still comes due   | `due <= now`                 |
| a window `14d` asked at `t` is `(t - 14d, t]`                                  | `moment > first_order`       |
| consent is asked before the address; a transactional mail needs no consent     | `marketing`, `transactional` |
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from parcours.demo.dataset import connect, find_data

Key = tuple[str, str, str, str]
"""Journey, step, what happened (`arrived`, ...) and reason; the words of the service's own statistics."""


class Expected(msgspec.Struct, frozen=True):
    """Everything that SQL can say about a run of the demo."""

    inputs: int
    contacts: int
    orders: int
    lines: int
    now: int
    """The instant of the newest input, in milliseconds."""
    statistics: dict[Key, int]
    """Only counts above zero."""
    mails: dict[str, int]
    """Mails sent, by message."""

    def total(self, what: str, *, journey: str | None = None, reason: str | None = None) -> int:
        """Return the sum of the counts of one kind."""
        return sum(
            count
            for (of, _, kind, why), count in self.statistics.items()
            if kind == what and (journey is None or of == journey) and (reason is None or why == reason)
        )


def expected(households: int | None = None, folder: Path | None = None) -> Expected:
    """Count what the service must come to.

    Args:
        households: The first so many households by number; None for all.
        folder: Where the dataset's files are; the installed package's by default.

    Raises:
        DemoError: Something is not installed.
    """
    folder = folder or find_data()
    with connect() as connection:
        for name in ("transactions", "demographics", "campaigns", "campaign_descriptions", "coupon_redemptions"):
            path = str(folder / f"{name}.parquet").replace("'", "''")
            connection.execute(f"CREATE VIEW {name} AS FROM '{path}'")
        connection.execute(_CHOSEN, {"most": households})
        for script in (_BASE, _WELCOME, _WIN_BACK, _CAMPAIGN_FOLLOW_UP, _RECEIPT):
            connection.execute(script)
        found = connection.execute(_STATISTICS).fetchall()
        statistics = {(journey, step, what, reason): int(count) for journey, step, what, reason, count in found}
        row = connection.execute(_TOTALS).fetchone()
    assert row is not None  # noqa: S101 (aggregates have one row)
    mails: dict[str, int] = {}
    for (_, _, what, reason), count in statistics.items():
        if what == "sent":
            mails[reason] = mails.get(reason, 0) + count
    inputs, contacts, orders, lines, now = (int(value) for value in row)
    return Expected(inputs, contacts, orders, lines, now, statistics, mails)


_CHOSEN = """
CREATE TABLE chosen AS
SELECT DISTINCT household_id AS id FROM transactions ORDER BY id LIMIT coalesce($most, 1000000)
"""

_BASE = """
CREATE TABLE household AS
WITH permitted AS (
    SELECT
        id,
        CASE id % 10 WHEN 3 THEN 'opted_out' WHEN 6 THEN 'no_consent' END AS consent,
        CASE WHEN id % 50 = 24 THEN 'no_address' WHEN id % 25 = 11 THEN 'invalid_address' END AS address
    FROM chosen
)
SELECT
    id,
    coalesce(consent, address) AS marketing,  -- why a marketing mail is refused, NULL when it is not
    address AS transactional,
    coalesce(kids_count IN ('1', '2', '3+'), false) AS family
FROM permitted LEFT JOIN demographics ON household_id = id;

CREATE TABLE bought AS
SELECT household_id AS id, basket_id AS basket, transaction_timestamp AS moment,
    sum(round(sales_value * 100)::BIGINT)::BIGINT AS cents, count(*) AS lines
FROM transactions WHERE household_id IN (SELECT id FROM household)
GROUP BY ALL;

CREATE TABLE received AS
SELECT household_id AS id, campaign_id AS campaign, campaign_type = 'Type A' AS personal, start_date AS moment
FROM campaigns JOIN campaign_descriptions USING (campaign_id)
WHERE household_id IN (SELECT id FROM household);

CREATE TABLE redeemed AS
SELECT household_id AS id, campaign_id AS campaign, redemption_date::DATE + TIME '12:00:00' AS moment
FROM coupon_redemptions
WHERE household_id IN (SELECT id FROM household);

CREATE TABLE clock AS
SELECT max(moment) AS now
FROM (SELECT moment FROM bought UNION ALL SELECT moment FROM received UNION ALL SELECT moment FROM redeemed);

-- One row for each time that something happened to somebody in a journey.
CREATE TABLE fact (journey VARCHAR, step VARCHAR, what VARCHAR, reason VARCHAR);

-- A step that sends one message to each of these households, whose mail is refused for `refusal` when it has one.
CREATE MACRO outcome(refusal, message) AS
    CASE WHEN refusal IS NULL THEN {what: 'sent', reason: message} ELSE {what: 'suppressed', reason: refusal} END;
"""

_WELCOME = """
CREATE TABLE welcome AS
WITH first AS (SELECT id, min(moment) AS first_order, count(*) AS orders FROM bought GROUP BY id)
SELECT
    *,
    first_order + INTERVAL 14 DAY <= now AS decided,
    EXISTS (
        SELECT 1 FROM bought
        WHERE bought.id = first.id AND moment > first_order AND moment < first_order + INTERVAL 14 DAY
    ) AS again
FROM first JOIN household USING (id) CROSS JOIN clock;

INSERT INTO fact
SELECT 'welcome', step, what, reason FROM (
    SELECT '' AS step, 'entered' AS what, '' AS reason FROM welcome
    UNION ALL SELECT '', 'refused', 'entered_before' FROM welcome, range(orders - 1)
    UNION ALL SELECT unnest(['greet', 'two-weeks']), 'arrived', '' FROM welcome
    UNION ALL SELECT 'greet', unnest(outcome(marketing, 'welcome')) FROM welcome
    UNION ALL SELECT 'ordered-again', 'arrived', '' FROM welcome WHERE decided
    UNION ALL SELECT 'settled', 'arrived', '' FROM welcome WHERE decided AND again
    UNION ALL SELECT 'has-children', 'arrived', '' FROM welcome WHERE decided AND NOT again
    UNION ALL SELECT 'invite-family', 'arrived', '' FROM welcome WHERE decided AND NOT again AND family
    UNION ALL SELECT 'invite-family', unnest(outcome(marketing, 'second-visit-family'))
        FROM welcome WHERE decided AND NOT again AND family
    UNION ALL SELECT 'invite', 'arrived', '' FROM welcome WHERE decided AND NOT again AND NOT family
    UNION ALL SELECT 'invite', unnest(outcome(marketing, 'second-visit'))
        FROM welcome WHERE decided AND NOT again AND NOT family
    UNION ALL SELECT 'unreached', 'arrived', '' FROM welcome WHERE decided AND NOT again AND marketing IS NOT NULL
    UNION ALL SELECT '', 'ended', 'finished' FROM welcome WHERE decided
);
"""

_WIN_BACK = """
-- Every order starts a run, because the run before has ended by then: by this order if not earlier.
CREATE TABLE win_back AS
WITH run AS (
    SELECT
        *,
        lead(moment) OVER (PARTITION BY id ORDER BY moment, basket) AS next_order,
        moment + INTERVAL 28 DAY AS due,
        moment + INTERVAL 56 DAY AS late
    FROM bought
)
SELECT
    *,
    next_order IS NOT NULL AND next_order < due AS ordered,
    NOT ordered AND due <= now AS missed,
    missed AND next_order IS NOT NULL AND next_order < late AS came_back,
    missed AND NOT came_back AND late <= now AS lost
FROM run JOIN household USING (id) CROSS JOIN clock;

INSERT INTO fact
SELECT 'win-back', step, what, reason FROM (
    SELECT '' AS step, 'entered' AS what, '' AS reason FROM win_back
    UNION ALL SELECT 'quiet', 'arrived', '' FROM win_back
    UNION ALL SELECT 'ordered', 'arrived', '' FROM win_back WHERE ordered
    UNION ALL SELECT unnest(['miss', 'hope']), 'arrived', '' FROM win_back WHERE missed
    UNION ALL SELECT 'miss', unnest(outcome(marketing, 'we-miss-you')) FROM win_back WHERE missed
    UNION ALL SELECT 'came-back', 'arrived', '' FROM win_back WHERE came_back
    UNION ALL SELECT 'lost', 'arrived', '' FROM win_back WHERE lost
    UNION ALL SELECT '', 'ended', 'finished' FROM win_back WHERE ordered OR came_back OR lost
);
"""

_CAMPAIGN_FOLLOW_UP = """
CREATE TABLE follow_up AS
WITH run AS (
    SELECT
        *,
        EXISTS (
            SELECT 1 FROM redeemed
            WHERE redeemed.id = received.id AND redeemed.campaign = received.campaign
                AND redeemed.moment >= received.moment AND redeemed.moment < received.moment + INTERVAL 14 DAY
        ) AS used
    FROM received
)
SELECT *, NOT used AND moment + INTERVAL 14 DAY <= now AS forgotten
FROM run JOIN household USING (id) CROSS JOIN clock;

INSERT INTO fact
SELECT 'campaign-follow-up', step, what, reason FROM (
    SELECT '' AS step, 'entered' AS what, '' AS reason FROM follow_up
    UNION ALL SELECT 'redeems', 'arrived', '' FROM follow_up
    UNION ALL SELECT 'redeemed', 'arrived', '' FROM follow_up WHERE used
    UNION ALL SELECT 'which-campaign', 'arrived', '' FROM follow_up WHERE forgotten
    UNION ALL SELECT 'remind-personally', 'arrived', '' FROM follow_up WHERE forgotten AND personal
    UNION ALL SELECT 'remind-personally', unnest(outcome(marketing, 'personal-coupons-waiting'))
        FROM follow_up WHERE forgotten AND personal
    UNION ALL SELECT 'remind', 'arrived', '' FROM follow_up WHERE forgotten AND NOT personal
    UNION ALL SELECT 'remind', unnest(outcome(marketing, 'coupons-waiting'))
        FROM follow_up WHERE forgotten AND NOT personal
    UNION ALL SELECT 'unreached', 'arrived', '' FROM follow_up WHERE forgotten AND marketing IS NOT NULL
    UNION ALL SELECT '', 'ended', 'finished' FROM follow_up WHERE used OR forgotten
);
"""

_RECEIPT = """
CREATE TABLE big AS FROM bought JOIN household USING (id) WHERE cents >= 10000;

INSERT INTO fact
SELECT 'receipt', step, what, reason FROM (
    SELECT '' AS step, 'entered' AS what, '' AS reason FROM big
    UNION ALL SELECT 'receipt', 'arrived', '' FROM big
    UNION ALL SELECT 'receipt', unnest(outcome(transactional, 'receipt')) FROM big
    UNION ALL SELECT '', 'ended', 'finished' FROM big
);
"""

_STATISTICS = "SELECT journey, step, what, reason, count(*) FROM fact GROUP BY ALL ORDER BY ALL"

_TOTALS = """
SELECT
    (SELECT count(*) FROM household)
    + (SELECT count(*) FROM bought) + (SELECT count(*) FROM received) + (SELECT count(*) FROM redeemed),
    (SELECT count(*) FROM household),
    (SELECT count(*) FROM bought),
    (SELECT sum(lines) FROM bought),
    (SELECT epoch_ms(now) FROM clock)
"""
