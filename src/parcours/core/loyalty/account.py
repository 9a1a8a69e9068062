"""A member and the ledger: every change of a balance is made here, as an entry.

| change    | entry                                  | the lots                                                            |
|-----------|----------------------------------------|---------------------------------------------------------------------|
| earn      | `pending` when held, else `earned`     | a new one; what the member owes is taken from it                    |
| release   | `earned`                               | the lot can be spent; what the member owes is taken from it         |
| spend     | `spent`                                | oldest first                                                        |
| expire    | `expired`                              | what is left of one                                                 |
| reverse   | `reversed`                             | what is left of the lot, then the oldest, then the member owes      |
| adjust    | `adjusted`                             | a new one, or oldest first                                          |
| transfer  | `transferred`                          | oldest first; the other has one for each instant at which they expire|
| empty     | `forfeited`, `merged`, `erased`        | none is left                                                        |

A member owes when a refund reversed what was spent already: the balance is below zero then, and no lot holds anything
that can be spent. The id of an entry is derived from the member, the rule and what caused it, so once is once.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from operator import attrgetter

import msgspec

from parcours.core import ids
from parcours.core.contact import Contact
from parcours.core.dates import day_number
from parcours.core.effects import Draw, Effects, Entry, Trace, What
from parcours.core.loyalty.budget import period_of
from parcours.core.loyalty.compiled import CompiledProgramme, Moment
from parcours.core.member import IN_REVIEW, Lot, Member, Portion

_place = attrgetter("at", "position")


class Says(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry tells beside its amounts."""

    kind: str
    rule: str = ""
    lot: str = ""
    occurred_at: int | None = None
    """None for the instant of the entry."""
    reference: str = ""
    reason: str = ""
    author: str = ""
    other: str = ""
    part: str = ""
    """What tells it from other entries of the same kind, rule, lot and cause."""


class Book(msgspec.Struct, frozen=True):
    """Where entries of a member go."""

    contact: str
    programme: str
    member: Member
    now: int
    day: int
    """The day of that in the zone of the programme."""
    position: int
    """The place in the log of the input that is folded; 0 for time alone."""
    cause: str
    """What tells that from every other input, or instant."""
    effects: Effects

    def post(self, says: Says, *, amount: int = 0, held: int = 0) -> Entry:
        """Put an entry into the ledger, and what it adds to the balances."""
        member = self.member
        member.balance += amount
        member.held += held
        member.sequence += 1
        entry = Entry(
            id=ids.derive(
                self.contact, self.programme, says.kind, says.rule, says.lot, self.cause, *filter(None, [says.part])
            ),
            contact=self.contact,
            programme=self.programme,
            sequence=member.sequence,
            at=self.now,
            day=self.day,
            kind=says.kind,
            amount=amount,
            held=held,
            balance=member.balance,
            pending=member.held,
            rule=says.rule,
            position=self.position,
            occurred_at=self.now if says.occurred_at is None else says.occurred_at,
            lot=says.lot,
            reference=says.reference,
            reason=says.reason,
            author=says.author,
            other=says.other,
        )
        self.effects.ledger.append(entry)
        detail: dict[str, object] = {"programme": self.programme, "entry": entry.id, "points": amount}
        if held:
            detail["held"] = held
        if says.other:
            detail["other"] = says.other
        self.effects.trace.append(Trace(self.now, What.BOOKED, reason=says.kind, detail=detail))
        return entry

    def receive(self, portion: Portion, says: Says) -> None:
        """Let a member have points that were somebody's: they stay as old as they are, and expire when they would."""
        lot = Lot("", "", portion.at, portion.points, portion.points, 0, portion.expires, self.position)
        _settle_debt(self.member, lot)
        lot.id = self.post(says, amount=portion.points).id
        insort(self.member.lots, lot, key=_place)

    def empty(self, kind: str, reason: str = "") -> None:
        """Leave nothing of a member's points: neither what can be spent, nor what is held, nor what is owed."""
        member = self.member
        if member.balance or member.held:
            self.post(Says(kind=kind, reason=reason), amount=-member.balance, held=-member.held)
        member.lots = []


class Account(msgspec.Struct):
    """A member, the instant, and where effects go."""

    contact: Contact
    programme: CompiledProgramme
    member: Member
    now: int
    position: int
    """The place in the log of the input that is folded; 0 for time alone."""
    cause: str
    """What tells that from every other input, or instant."""
    effects: Effects

    def book(self) -> Book:
        """Return where entries go."""
        day = day_number(self.now, self.programme.zone)
        return Book(
            self.contact.id, self.programme.name, self.member, self.now, day, self.position, self.cause, self.effects
        )

    def note(self, what: str, reason: str, **detail: object) -> None:
        """Put an entry into the trace."""
        self.effects.trace.append(Trace(self.now, what, reason=reason, detail=dict(detail) or None))

    def earn(self, points: int, says: Says, holding: int, expires: Moment | None, *, review: bool = False) -> Lot:
        """Let a member have points, held for a time from when they were earned, or until a review. Return their lot."""
        member, at = self.member, self.now if says.occurred_at is None else says.occurred_at
        due = at + holding
        held = review or due > self.now
        lot = Lot(
            "",
            says.rule,
            at,
            points,
            points,
            IN_REVIEW if review else due if held else 0,
            expires(at) if expires is not None else 0,
            self.position,
            says.reference,
            free=due if review else 0,
        )
        member.active = max(member.active, at)
        if says.kind == "earned":
            member.lifetime += points
        if held:
            lot.id = self.book().post(msgspec.structs.replace(says, kind="pending"), held=points).id
        else:
            _settle_debt(self.member, lot)
            lot.id = self.book().post(says, amount=points).id
        insort(member.lots, lot, key=_place)
        return lot

    def release(self, lot: Lot, reason: str = "", author: str = "") -> None:
        """Let held points be spent from now on."""
        points, lot.due = lot.left, 0
        _settle_debt(self.member, lot)
        self.book().post(_about(lot, "earned", reason, author), amount=points, held=-points)

    def expire(self, lot: Lot) -> None:
        """Let what is left of a lot expire."""
        points, lot.left = lot.left, 0
        lot.expired += points
        self.book().post(_about(lot, "expired"), amount=-points)

    def reverse(self, lot: Lot, points: int, reason: str = "", author: str = "") -> None:
        """Take points back that a lot gave: no more than it gave, less what was reversed and what expired."""
        own = min(points, lot.left)
        lot.left -= own
        lot.reversed += points
        self.member.lifetime -= points
        for key in lot.drew.split():
            self.draw(key, lot.at, -1 if lot.reversed >= lot.points else 0, -points)
        if lot.due:
            # Nothing of a lot that is held was spent, so that all is there.
            self.book().post(_about(lot, "reversed", reason, author), held=-points)
            return
        self._take(points - own)
        self.book().post(_about(lot, "reversed"), amount=-points)

    def draw(self, key: str, at: int, times: int, points: int) -> None:
        """Take from a budget for what occurred at an instant, or with numbers below zero give back to it."""
        period = period_of(key.rpartition("/")[2], at, self.programme.zone)
        self.effects.draws.append(Draw(key, period, times, points))

    def spend(self, points: int, says: Says) -> list[Portion]:
        """Take points that are there, the oldest first; return what they were, by when they expire."""
        taken = self._take(points)
        if says.kind == "spent":
            self.member.active = max(self.member.active, self.now)
        self.book().post(says, amount=-points)
        return taken

    def spendable(self) -> Iterator[Lot]:
        """Yield the lots of which something can be spent, oldest first."""
        return (lot for lot in self.member.lots if lot.left and not lot.due)

    def tidy(self) -> None:
        """Forget lots of which nothing is left, once their order is not taken back any more."""
        kept = self.now - self.programme.refundable
        lots = self.member.lots
        if any(not lot.left and (not lot.reference or lot.at <= kept) for lot in lots):
            self.member.lots = [lot for lot in lots if lot.left or (lot.reference and lot.at > kept) or lot.in_review]

    def _take(self, points: int) -> list[Portion]:
        found: dict[int, Portion] = {}
        for lot in self.spendable():
            if not points:
                break
            taken = min(points, lot.left)
            lot.left -= taken
            points -= taken
            known = found.get(lot.expires)
            found[lot.expires] = Portion(
                taken + (known.points if known else 0), known.at if known else lot.at, lot.expires
            )
        return list(found.values())


def _settle_debt(member: Member, lot: Lot) -> None:
    """Take what the member owes out of points that come free; their entry is posted next."""
    if member.balance < 0:
        lot.left -= min(lot.left, -member.balance)


def _about(lot: Lot, kind: str, reason: str = "", author: str = "") -> Says:
    return Says(kind=kind, rule=lot.rule, lot=lot.id, reference=lot.reference, reason=reason, author=author)
