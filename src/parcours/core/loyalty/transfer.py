"""Points that a member gives to another. The fold sees one contact, so it takes two inputs, the second from the first.

| input                | of whom      | what                                                                              |
|----------------------|--------------|-----------------------------------------------------------------------------------|
| `Transfer`           | who gives    | the points are taken, the oldest first, and a `Receive` follows                   |
| `Receive`            | who receives | the points are there, as old as they were, and expire when they would have        |
| `Receive` (returned) | who gave     | what the other could not have is there again                                      |

Nothing is against a transfer but what `give` and `why_not_receive` say, before anything is taken. Who received points
and is no member when they come sends them back. Both ledgers have entries `transferred` with one reference, which name
the other contact. What was given is neither spent nor earned: it counts towards no tier, and keeps nobody active.
"""

from __future__ import annotations

from parcours.core import dates, ids
from parcours.core.contact import Contact
from parcours.core.effects import Effects, Trace, What
from parcours.core.inputs import Receive, Transfer, cause_of
from parcours.core.loyalty.account import Account, Book, Says
from parcours.core.loyalty.announce import GIVEN, RECEIVED, SOURCE, announce
from parcours.core.loyalty.budget import KEPT_PERIODS
from parcours.core.loyalty.clock import settle
from parcours.core.loyalty.compiled import CompiledLimit, Loyalty
from parcours.core.member import Portion

KIND = "transferred"


def why_not_receive(loyalty: Loyalty, contact: Contact, programme: str) -> str:
    """Return why a contact cannot have points of others, empty when it can."""
    member = contact.loyalty.get(programme)
    if programme not in loyalty.programmes or member is None or member.left:
        return "receiver_no_member"
    return ""


def give(account: Account, item: Transfer) -> str:
    """Take points from a member, for another; return why not, empty when they are taken."""
    allowed, member = account.programme.transfer, account.member
    if allowed is None:
        return "not_allowed"
    if item.to == account.contact.id:
        return "same_member"
    if item.refused or not item.to:
        return item.refused or "receiver_no_member"
    if item.points < allowed.minimum:
        return "below_minimum"
    if item.points > member.balance:
        return "not_enough_points"
    if not _counted(account, allowed.limits, item.points):
        return "limit"
    transfer = ids.derive(account.contact.id, account.programme.name, KIND, account.cause)
    says = Says(kind=KIND, reference=transfer, reason=item.reason, author=item.author, other=item.to)
    portions = account.spend(item.points, says)
    # Before all else that follows, so that nothing comes between.
    account.effects.follows.append(_on_its_way(account, item, transfer, portions))
    announce(account, GIVEN, points=item.points, balance=member.balance, transfer=transfer)
    return ""


def receive(loyalty: Loyalty, contact: Contact, item: Receive, effects: Effects) -> None:
    """Let a contact have points that another gave, or that come back; or send them back. The contact is changed."""
    now = item.received_at
    if not item.returned and (reason := why_not_receive(loyalty, contact, item.programme)):
        _note(effects, now, reason, item)
        effects.follows.append(_on_its_way_back(contact, item, reason))
        return
    programme, member = loyalty.programmes.get(item.programme), contact.loyalty.get(item.programme)
    if member is None:
        _note(effects, now, "no_member", item)  # who gave them was erased, and they are gone with the rest
        return
    day = dates.day_number(now, programme.zone) if programme is not None else 0
    book = Book(contact.id, item.programme, member, now, day, item.position, cause_of(item), effects)
    for portion in item.portions:
        says = Says(
            kind=KIND,
            reference=item.transfer,
            reason=item.returned or item.reason,
            author=item.author,
            other=item.other,
            part=str(portion.expires),
        )
        book.receive(portion, says)
    if programme is None:
        return
    account = Account(contact, programme, member, now, item.position, cause_of(item), effects)
    if item.returned:
        if member.left and programme.forfeit:
            book.empty("forfeited", item.returned)
    else:
        # As if the points had stayed where they were: they expire neither earlier nor later.
        member.active = max(member.active, item.active)
        points = sum(portion.points for portion in item.portions)
        announce(account, RECEIVED, points=points, balance=member.balance, transfer=item.transfer)
    settle(account)


def _on_its_way(account: Account, item: Transfer, transfer: str, portions: list[Portion]) -> Receive:
    return Receive(
        position=0,
        received_at=account.now,
        occurred_at=account.now,
        programme=account.programme.name,
        contact=item.to,
        other=account.contact.id,
        transfer=transfer,
        portions=portions,
        active=account.member.active,
        reason=item.reason,
        author=item.author,
        source=SOURCE,
        message_id=ids.derive(transfer, item.to),
    )


def _on_its_way_back(contact: Contact, item: Receive, reason: str) -> Receive:
    return Receive(
        position=0,
        received_at=item.received_at,
        occurred_at=item.received_at,
        programme=item.programme,
        contact=item.other,
        other=contact.id,
        transfer=item.transfer,
        portions=item.portions,
        active=item.active,
        returned=reason,
        author=item.author,
        source=SOURCE,
        message_id=ids.derive(item.transfer, item.other),
    )


def _counted(account: Account, limits: tuple[CompiledLimit, ...], points: int) -> bool:
    """Count what is given against the limits, unless one leaves too little; return whether it was counted."""
    known = account.member.limits
    found: list[tuple[CompiledLimit, int, int, int]] = []
    for limit in limits:
        start = 0 if limit.unit == "ever" else dates.start_of(limit.unit, account.now, account.programme.zone)
        times, sum_ = known.get(limit.key, {}).get(start, (0, 0))
        if (limit.times and times >= limit.times) or (limit.points and sum_ + points > limit.points):
            return False
        found.append((limit, start, times + 1, sum_ + points))
    for limit, start, times, sum_ in found:
        periods = known.setdefault(limit.key, {})
        periods[start] = (times, sum_)
        if len(periods) > KEPT_PERIODS:
            del periods[min(periods)]
    return True


def _note(effects: Effects, now: int, reason: str, item: Receive) -> None:
    detail = {"programme": item.programme, "transfer": item.transfer, "other": item.other}
    effects.trace.append(Trace(now, What.DECLINED, reason=reason, detail=detail))
