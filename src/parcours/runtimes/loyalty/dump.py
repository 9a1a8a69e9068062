"""The ledger and the coupons a store holds, as rows to be read elsewhere: by a bookkeeper, or in a data warehouse.

| kind      | a row                                                                                        |
|-----------|----------------------------------------------------------------------------------------------|
| `ledger`  | one entry, whose it is, and by which identity they are known now                             |
| `coupons` | one coupon that a contact remembers, in the state it is in now                               |

No import reads them: points and coupons come of inputs, and of nothing else. Contacts are in the order of ids, entries of
each from the oldest on. Who became part of another has the entries of before, so that all entries of a day are the statement's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from parcours.conditions.instants import iso
from parcours.core.contact import Contact
from parcours.core.coupon import state_at
from parcours.core.effects import Entry
from parcours.ports import Store
from parcours.runtimes.dumped import strongest

Row = dict[str, Any]

KINDS = ("ledger", "coupons")

SLICE = 100
"""Contacts that are looked at for one page."""

COLUMNS: dict[str, tuple[str, ...]] = {
    "ledger": (
        "id",
        "programme",
        "contact",
        "contact_id",
        "sequence",
        "kind",
        "at",
        "day",
        "amount",
        "held",
        "balance",
        "pending",
        "rule",
        "position",
        "occurred_at",
        "lot",
        "reference",
        "reason",
        "author",
        "other",
    ),
    "coupons": (
        "code",
        "reward",
        "contact",
        "contact_id",
        "state",
        "since",
        "issued_at",
        "until",
        "order",
        "percent",
        "value",
        "currency",
        "gift",
        "minimum",
        "personal",
    ),
}
"""What a row has."""

_EVERYTHING = 10**9


def page(store: Store, kind: str, after: str, now: int) -> tuple[list[Row], str | None]:
    """Return some rows, and behind which contact to go on; None at the end."""
    people = store.scan(after, SLICE)
    made = [row for contact in people for row in _rows(store, kind, contact, now)]
    return made, people[-1].id if len(people) == SLICE else None


def _rows(store: Store, kind: str, contact: Contact, now: int) -> Iterator[Row]:
    if kind == "coupons":
        yield from _coupons(contact, now)
        return
    postings = store.ledger(contact.id, _EVERYTHING)
    if postings:
        known = _known_by(store, contact)
        for posting in reversed(postings):
            yield _entry(posting.entry, known)


def _entry(entry: Entry, known: Row) -> Row:
    day = entry.day
    return {
        "id": entry.id,
        "programme": entry.programme,
        "contact": known,
        "contact_id": entry.contact,
        "sequence": entry.sequence,
        "kind": entry.kind,
        "at": iso(entry.at),
        "day": f"{day // 10_000:04}-{day // 100 % 100:02}-{day % 100:02}",
        "amount": entry.amount,
        "held": entry.held,
        "balance": entry.balance,
        "pending": entry.pending,
        "rule": entry.rule,
        "position": entry.position,
        "occurred_at": iso(entry.occurred_at),
        "lot": entry.lot,
        "reference": entry.reference,
        "reason": entry.reason,
        "author": entry.author,
        "other": entry.other,
    }


def _coupons(contact: Contact, now: int) -> Iterator[Row]:
    for coupon in contact.coupons.values():
        yield {
            "code": coupon.code,
            "reward": coupon.reward,
            "contact": strongest(contact),
            "contact_id": contact.id,
            "state": state_at(coupon, now),
            "since": iso(coupon.at),
            "issued_at": iso(coupon.issued_at),
            "until": iso(coupon.until) if coupon.until else "",
            "order": coupon.order,
            "percent": coupon.percent,
            "value": coupon.value,
            "currency": coupon.currency,
            "gift": coupon.gift,
            "minimum": coupon.minimum,
            "personal": coupon.personal,
        }


def _known_by(store: Store, contact: Contact) -> Row:
    """Return the strongest identity of a contact, or of the one it has become part of."""
    while contact.merged_into:
        contact = store.contacts([contact.merged_into])[contact.merged_into]
    return strongest(contact)
