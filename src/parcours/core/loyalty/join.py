"""Two members are found to be one, or one is forgotten.

| of the other member       | in the one that stays                                                       |
|---------------------------|-----------------------------------------------------------------------------|
| points, spendable or held | added, as an entry `merged`; the other's ledger ends with one that takes them |
| lots                      | go on with their times; what either owes is taken from them                 |
| what counts towards tiers | added, and the higher tier is kept                                          |
| counts and limits of rules| added, so that nobody gets twice as much by being two                       |
| membership                | since the earlier; whoever is a member as either is one                     |
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter

from parcours.core.contact import Contact
from parcours.core.dates import day_number
from parcours.core.effects import Effects
from parcours.core.inputs import Absorb, Dissolve, Erase, cause_of
from parcours.core.loyalty.account import Account, Book, Says
from parcours.core.loyalty.budget import KEPT_PERIODS
from parcours.core.loyalty.clock import set_timer, settle
from parcours.core.loyalty.compiled import Loyalty
from parcours.core.loyalty.tiers import promote
from parcours.core.member import Member

_place = attrgetter("at", "position", "id")


def absorb(loyalty: Loyalty, contact: Contact, item: Absorb, effects: Effects) -> None:
    """Let a contact have what another has. The contact is changed."""
    other, now, position, cause = item.other, item.received_at, item.position, cause_of(item)
    for name in sorted(other.loyalty):
        theirs = other.loyalty[name]
        member = contact.loyalty.get(name)
        if member is None:
            member = contact.loyalty[name] = Member(theirs.since, theirs.left, period=theirs.period, span=theirs.span)
        _add(member, theirs)
        programme = loyalty.programmes.get(name)
        if theirs.balance or theirs.held:
            day = day_number(now, programme.zone) if programme is not None else 0
            book = Book(contact.id, name, member, now, day, position, cause, effects)
            book.post(Says(kind="merged", reason=other.id), amount=theirs.balance, held=theirs.held)
        _settle_debt(member)
        if programme is not None:
            account = Account(contact, programme, member, now, position, cause, effects)
            promote(account, theirs.standing.tier, "merged")
            if member.standing.tier == theirs.standing.tier and theirs.standing.review > member.standing.review > 0:
                member.standing.review = theirs.standing.review
            settle(account)


def leave_empty(
    loyalty: Loyalty, contact: Contact, kind: str, item: Dissolve | Erase, effects: Effects, reason: str = ""
) -> None:
    """Take all points of a contact that is merged or erased, so that the ledger ends with nothing."""
    for name in sorted(contact.loyalty):
        programme = loyalty.programmes.get(name)
        day = day_number(item.received_at, programme.zone) if programme is not None else 0
        member = contact.loyalty[name]
        book = Book(contact.id, name, member, item.received_at, day, item.position, cause_of(item), effects)
        book.empty(kind, reason)
        set_timer(contact, name, member, 0)


def _add(member: Member, theirs: Member) -> None:
    if member.left and not theirs.left:
        member.since, member.left = theirs.since, 0
    elif bool(member.left) == bool(theirs.left):
        member.since, member.left = min(member.since, theirs.since), max(member.left, theirs.left)
    member.card = member.card or theirs.card
    member.lifetime += theirs.lifetime
    member.active = max(member.active, theirs.active)
    member.lots = sorted([*member.lots, *theirs.lots], key=_place)
    member.qualified = _added(member.qualified, theirs.qualified)
    for rule, count in theirs.counts.items():
        member.counts[rule] = member.counts.get(rule, 0) + count
    for rule, (counted, due) in theirs.past.items():
        own = member.past.get(rule, (0, 0))
        member.past[rule] = (own[0] + counted, own[1] + due)
    for key, periods in theirs.limits.items():
        known = member.limits.setdefault(key, {})
        for start, (times, points) in periods.items():
            own = known.get(start, (0, 0))
            known[start] = (own[0] + times, own[1] + points)
        for start in sorted(known)[:-KEPT_PERIODS]:
            del known[start]
    for reference, parts in theirs.returns.items():
        known_parts = member.returns.setdefault(reference, {})
        for rule, amount in parts.items():
            known_parts[rule] = known_parts.get(rule, 0) + amount


def _added(ours: Iterable[tuple[int, int]], theirs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    total: dict[int, int] = {}
    for at, amount in (*ours, *theirs):
        total[at] = total.get(at, 0) + amount
    return sorted(total.items())


def _settle_debt(member: Member) -> None:
    """Let lots hold what the balance says: either of the two may have owed."""
    over = sum(lot.left for lot in member.lots if not lot.due) - max(member.balance, 0)
    for lot in member.lots:
        if over <= 0:
            break
        if not lot.due:
            taken = min(lot.left, over)
            lot.left -= taken
            over -= taken
