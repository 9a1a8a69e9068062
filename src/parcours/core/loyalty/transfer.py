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
from parcours.core.loyalty.compiled import CompiledLimit, CompiledProgramme, Loyalty
from parcours.core.member import Member, Portion

KIND = "transferred"


def why_not_receive(loyalty: Loyalty, contact: Contact, programme: str, points: int, now: int) -> str:
    """Return why a contact cannot have points of others, empty when it can."""
    compiled, member = loyalty.programmes.get(programme), contact.loyalty.get(programme)
    if compiled is None or member is None or member.left:
        return "receiver_no_member"
    limits = compiled.transfer.receiving if compiled.transfer is not None else ()
    return "" if _within(member, compiled, limits, points, now) else "receiver_limit"


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
    if not _within(member, account.programme, allowed.limits, item.points, account.now):
        return "limit"
    _count(member, account.programme, allowed.limits, item.points, account.now)
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
    points = sum(portion.points for portion in item.portions)
    if not item.returned and (reason := why_not_receive(loyalty, contact, item.programme, points, now)):
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
    allowed = programme.transfer
    if item.returned:
        if allowed is not None:
            _count(member, programme, allowed.limits, -points, item.occurred_at, -1)
        if member.left and programme.forfeit:
            book.empty("forfeited", item.returned)
    else:
        # As if the points had stayed where they were: they expire neither earlier nor later.
        member.active = max(member.active, item.active)
        if allowed is not None:
            _count(member, programme, allowed.receiving, points, now)
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
        occurred_at=item.occurred_at,
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


def _within(
    member: Member, programme: CompiledProgramme, limits: tuple[CompiledLimit, ...], points: int, at: int
) -> bool:
    """Return whether limits leave so many points, all at once, at an instant."""
    for limit in limits:
        times, sum_ = member.limits.get(limit.key, {}).get(_start(programme, limit, at), (0, 0))
        if (limit.times and times >= limit.times) or (limit.points and sum_ + points > limit.points):
            return False
    return True


def _count(
    member: Member,
    programme: CompiledProgramme,
    limits: tuple[CompiledLimit, ...],
    points: int,
    at: int,
    times: int = 1,
) -> None:
    """Count points against limits, or with numbers below zero no longer."""
    for limit in limits:
        periods = member.limits.setdefault(limit.key, {})
        start = _start(programme, limit, at)
        known = periods.get(start, (0, 0))
        periods[start] = (max(0, known[0] + times), max(0, known[1] + points))
        if len(periods) > KEPT_PERIODS:
            del periods[min(periods)]


def _start(programme: CompiledProgramme, limit: CompiledLimit, at: int) -> int:
    return 0 if limit.unit == "ever" else dates.start_of(limit.unit, at, programme.zone)


def _note(effects: Effects, now: int, reason: str, item: Receive) -> None:
    detail = {"programme": item.programme, "transfer": item.transfer, "other": item.other}
    effects.trace.append(Trace(now, What.DECLINED, reason=reason, detail=detail))
