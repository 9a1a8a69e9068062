"""Members of programmes and their coupons as rows, for every instant from now on.

What a member has changes by time alone: points come free and expire, tiers are reviewed, periods end. So there is a row of
`members` for each stretch of time in which it stays the same, told ahead by the clock of the fold (`core.loyalty.outlook`).
Whatever else happens to a contact touches it, and its rows are replaced. A programme that was changed means something else
for members to whom nothing happens: then all contacts are gone through (`Place.swept`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from parcours.core.contact import Contact
from parcours.core.loyalty.compiled import Loyalty
from parcours.core.loyalty.outlook import outlook
from parcours.core.member import Member
from parcours.core.plan import Plan
from parcours.definitions.load import with_known_good
from parcours.ports import Store

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(dict[str, Member])

Rows = Iterator[tuple[str, tuple[object, ...]]]


class Held(NamedTuple):
    """What a contact has, as it was read: the contact itself goes on changing."""

    id: str
    time: int
    revision: int
    members: bytes
    coupons: list[tuple[str, str, int, int, int]]
    """Reward, state, when it was issued, when it came into the state, until when it is valid."""


def held_by(contact: Contact) -> Held | None:
    """Return what a contact has; None for nothing."""
    if not contact.loyalty and not contact.coupons:
        return None
    coupons = [(one.reward, one.state, one.issued_at, one.at, one.until) for one in contact.coupons.values()]
    return Held(contact.id, contact.time, contact.revision, _encoder.encode(contact.loyalty), coupons)


def rows_of(number: int, held: Held, loyalty: Loyalty) -> Rows:
    """Yield the rows of a contact, each with its table."""
    for coupon in held.coupons:
        yield "coupons", (number, *coupon)
    contact = Contact(held.id, held.time, loyalty=_decoder.decode(held.members), revision=held.revision)
    for programme, member in contact.loyalty.items():
        for at, amount in member.qualified:
            yield "qualified", (number, programme, at, amount)
    for programme, ahead in outlook(loyalty, contact).items():
        for start, end, having in ahead.stretches:
            yield "members", (number, programme, start, end, ahead.until, *having[:-1], list(having.tiers))


class Programmes:
    """The programmes in force at the end of a store's log, for contacts are read as they are there."""

    def __init__(self) -> None:
        self._plan = Plan.empty()
        self._upto = 0

    @property
    def loyalty(self) -> Loyalty:
        """What is in force."""
        return self._plan.loyalty

    def follow(self, store: Store) -> None:
        """Take up what was published since."""
        for item in store.publications(self._upto):
            workspace = with_known_good(self._plan.workspace, item.definitions)
            self._plan = self._plan.publish(
                workspace.all(), at=item.received_at, position=item.position, moves=item.moves
            )
            self._upto = item.position
