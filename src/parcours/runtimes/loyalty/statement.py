"""The statement of a programme: what each day did to the points of its members, and what is owed at its end.

| column        | what                                                                                              |
|---------------|---------------------------------------------------------------------------------------------------|
| `opening`     | what could be spent when the day began; `opening_held` what was held                              |
| `earned`      | points that rules gave, held at first or not                                                      |
| `released`    | points that were held and can be spent from that day on; they are no new ones                     |
| `spent`, `expired`, `reversed` | points that are gone                                                             |
| `adjusted`    | given by hand, less taken by hand                                                                 |
| `moved`       | everything else: with contacts that were merged (which is nothing in sum), left or were erased    |
| `closing`     | what can be spent at the end; `closing_held` what is held                                         |
| `outstanding` | both: opening, and earned, less spent, expired and reversed, and adjusted and moved               |
| `liability`   | that in money, where the programme says what a point is worth                                     |

What members owe, whose refund came after they had spent, is taken off.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from decimal import ROUND_HALF_EVEN, Decimal

import msgspec

from parcours.ports import LedgerDay, Total

_CENT = Decimal("0.01")


class StatementDay(msgspec.Struct, kw_only=True):
    """A day of a statement."""

    day: str
    opening: int
    opening_held: int
    earned: int = 0
    released: int = 0
    spent: int = 0
    expired: int = 0
    reversed: int = 0
    adjusted: int = 0
    moved: int = 0
    closing: int
    closing_held: int
    outstanding: int = 0
    liability: str = ""
    """In money, empty where a point is worth nothing."""
    entries: int = 0
    kinds: dict[str, int] = msgspec.field(default_factory=dict)
    """Kind of entry to what it added to what can be spent."""
    held: dict[str, int] = msgspec.field(default_factory=dict)
    """Kind of entry to what it added to what is held."""


def statement_of(totals: Mapping[LedgerDay, Total], programme: str, worth: float = 0) -> Iterator[StatementDay]:
    """Yield each day on which something happened, in order.

    Args:
        totals: What entries of the ledger come to, by programme, day and kind.
        programme: The programme.
        worth: What a point is worth, in money; 0 for nothing.
    """
    price = Decimal(str(worth))
    balance = held = 0
    days: dict[int, list[tuple[str, Total]]] = {}
    for (name, day, kind), total in totals.items():
        if name == programme:
            days.setdefault(day, []).append((kind, total))
    for day, parts in sorted(days.items()):
        row = StatementDay(
            day=f"{day // 10_000:04}-{day // 100 % 100:02}-{day % 100:02}",
            opening=balance,
            opening_held=held,
            closing=balance,
            closing_held=held,
        )
        for kind, total in sorted(parts):
            _add(row, kind, total)
        balance, held = row.closing, row.closing_held
        row.outstanding = balance + held
        if worth:
            row.liability = str((row.outstanding * price).quantize(_CENT, ROUND_HALF_EVEN))
        yield row


def as_csv(days: Iterable[StatementDay]) -> str:
    """Return a statement as CSV, a line a day; `kinds` and `held` are left out."""
    text = io.StringIO()
    columns = [name for name in StatementDay.__struct_fields__ if name not in {"kinds", "held"}]
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(columns)
    lines.writerows([getattr(day, name) for name in columns] for day in days)
    return text.getvalue()


def _add(row: StatementDay, kind: str, total: Total) -> None:
    row.entries += total.entries
    row.closing += total.amount
    row.closing_held += total.held
    if total.amount:
        row.kinds[kind] = total.amount
    if total.held:
        row.held[kind] = total.held
    both = total.amount + total.held
    match kind:
        case "earned":
            # What comes free is an entry that takes from what is held.
            row.released -= total.held
            row.earned += both
        case "pending":
            row.earned += both
        case "adjusted":
            row.adjusted += both
        case "spent" | "expired" | "reversed":
            setattr(row, kind, getattr(row, kind) - both)
        case _:
            row.moved += both
